//! Who calls.

use crate::rejection::Rejection;
use crate::settings::Settings;
use http::{HeaderMap, HeaderName};
use mesh_core::{AgentName, Principal, TaskId};

const AGENT: HeaderName = HeaderName::from_static("agentmesh-agent");
const TASK: HeaderName = HeaderName::from_static("agentmesh-task");
const TENANT: HeaderName = HeaderName::from_static("agentmesh-tenant");
/// Longest value of these headers.
const LONGEST: usize = 128;

/// A caller, and the task that it works on.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) task: Option<TaskId>,
}

/// Finds out who calls. Authentication is off in this version: everybody is the local principal, and a host says in
/// headers for which of its agents and tasks it calls. Naming another tenant gains nothing: nothing belongs to it.
pub(crate) fn authenticate(settings: &Settings, headers: &HeaderMap) -> Result<Caller, Rejection> {
    let mut owner = Principal::person(settings.tenant.clone(), settings.principal.clone());
    if !settings.trust_agent_headers {
        return Ok(Caller { principal: owner, task: None });
    }
    if let Some(tenant) = read(headers, &TENANT)? {
        owner.tenant = tenant.into();
    }
    let task = read(headers, &TASK)?.map(TaskId::from);
    let principal = match read(headers, &AGENT)? {
        Some(agent) => Principal::agent_for(&AgentName::from(agent), &owner),
        None => owner,
    };
    Ok(Caller { principal, task })
}

fn read<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Rejection> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(value) if !value.is_empty() && value.len() <= LONGEST => Ok(Some(value)),
        _ => Err(Rejection::Identity(format!("header `{name}` must be 1 to {LONGEST} visible characters"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_agent_acts_for_the_local_user() {
        let mut headers = HeaderMap::new();
        headers.insert(AGENT, HeaderValue::from_static("sales"));
        headers.insert(TASK, HeaderValue::from_static("t-1"));
        let caller = authenticate(&Settings::default(), &headers).unwrap();
        assert_eq!(caller.principal.id.as_str(), "sales");
        assert_eq!(caller.principal.on_behalf_of.unwrap().as_str(), "local");
        assert_eq!(caller.task.unwrap().as_str(), "t-1");
        let distrustful = Settings { trust_agent_headers: false, ..Settings::default() };
        assert_eq!(authenticate(&distrustful, &headers).unwrap().principal, Principal::local());
        headers.insert(AGENT, HeaderValue::from_static(""));
        assert!(authenticate(&Settings::default(), &headers).is_err());
    }
}

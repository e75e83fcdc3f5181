//! Agents by name, as the gateway's directory lists them, or by URL.

use crate::a2a::{Card, Client};
use crate::cli::GatewayArgs;
use crate::exit::{Failure, Outcome};
use crate::output::Printer;
use crate::{http, target};
use futures_util::StreamExt as _;
use reqwest::Url;
use serde_json::Value;

/// How many agents are asked at a time.
const AT_ONCE: usize = 8;

/// An agent that can be talked to.
pub(crate) struct Agent {
    /// As the user or the directory calls it.
    pub(crate) name: String,
    /// Speaks to it.
    pub(crate) client: Client,
}

/// The gateway's list of agents.
pub(crate) struct Directory {
    http: http::Client,
    gateway: String,
    /// As received.
    pub(crate) value: Value,
}

impl Directory {
    /// Reads the list.
    pub(crate) async fn read(http: &http::Client, args: &GatewayArgs) -> Outcome<Self> {
        let gateway = target::gateway(args)?;
        let value = http.get_json(&format!("{gateway}/agents")).await.map_err(|error| {
            Failure::from(error)
                .hint(target::advice(args, "or name its gateway with --gateway URL or AGENT_GATEWAY_URL"))
        })?;
        Ok(Self { http: http.clone(), gateway, value })
    }

    /// The entries.
    pub(crate) fn entries(&self) -> &[Value] {
        self.value["agents"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().filter_map(|entry| entry["name"].as_str())
    }

    /// Connects to the agent of this name.
    async fn agent(&self, name: &str) -> Outcome<Agent> {
        let card = Card::resolve(&self.http, &self.route(name)?).await?;
        Ok(Agent { name: name.to_owned(), client: Client::new(self.http.clone(), card) })
    }

    /// Where the card is that leads to the agent through the gateway; the agent's own, if the gateway has none.
    fn route(&self, name: &str) -> Outcome<String> {
        let entry = self.entries().iter().find(|entry| entry["name"].as_str() == Some(name));
        match entry.and_then(|entry| entry["cardUrl"].as_str()) {
            Some(address) => absolute(&self.gateway, address),
            None => self.address(name),
        }
    }

    /// Where the card of the agent of this name is, as the agent wrote it: what the gateway serves is not signed.
    fn address(&self, name: &str) -> Outcome<String> {
        let Some(entry) = self.entries().iter().find(|entry| entry["name"].as_str() == Some(name)) else {
            let failure = Failure::not_found(format!("no agent `{name}` at {}", self.gateway));
            return Err(match nearest(name, self.names()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => {
                    failure.hint("`agentmesh agents` lists them; any other A2A server is named by its URL")
                }
            });
        };
        let address = entry["card_url"].as_str().or_else(|| entry["url"].as_str()).unwrap_or_default();
        absolute(&self.gateway, address)
    }

    /// Connects to every agent; those that cannot be reached come as failures.
    pub(crate) async fn all(&self) -> Vec<(String, Outcome<Agent>)> {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        futures_util::stream::iter(names)
            .map(|name| async move {
                let agent = self.agent(&name).await;
                (name, agent)
            })
            .buffered(AT_ONCE)
            .collect()
            .await
    }
}

/// The agent that the user means: a URL, or a name in the directory.
pub(crate) async fn agent(http: &http::Client, args: &GatewayArgs, named: &str) -> Outcome<Agent> {
    if named.contains("://") {
        http::parse_url(named).map_err(Failure::usage)?;
        let card = Card::resolve(http, named).await?;
        return Ok(Agent { name: card.name().to_owned(), client: Client::new(http.clone(), card) });
    }
    Directory::read(http, args).await?.agent(named).await
}

/// The card of the agent that the user means, as it came, and where it is.
pub(crate) async fn card(http: &http::Client, args: &GatewayArgs, named: &str) -> Outcome<(Url, Value)> {
    let address = if named.contains("://") {
        http::parse_url(named).map_err(Failure::usage)?;
        named.to_owned()
    } else {
        Directory::read(http, args).await?.address(named)?
    };
    let (url, card) = Card::fetch(http, &address).await?;
    Ok((http::parse_url(&url).map_err(Failure::usage)?, card))
}

/// Asks agents, several at a time. One that does not answer is named, and what the others say is still there.
pub(crate) async fn ask_all<T>(
    agents: Vec<(String, Outcome<Agent>)>,
    printer: &Printer,
    ask: impl AsyncFn(&Agent) -> Outcome<T>,
) -> Outcome<Vec<(String, T)>> {
    let asked = agents.len();
    let ask = &ask;
    let answers: Vec<(String, Outcome<T>)> = futures_util::stream::iter(agents)
        .map(|(name, agent)| async move {
            match agent {
                Ok(agent) => (name, ask(&agent).await),
                Err(failure) => (name, Err(failure)),
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let (mut heard, mut failures) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Ok(answer) => heard.push((name, answer)),
            Err(failure) => {
                printer.warn(&format!("{name}: {failure}"));
                failures.push(failure);
            }
        }
    }
    match failures.into_iter().next() {
        Some(first) if heard.is_empty() && asked > 0 => {
            Err(Failure::new(first.status, "no agent could be asked"))
        }
        _ => Ok(heard),
    }
}

/// The agent that has this task, with the task: the named one, or the first in the directory that knows it.
pub(crate) async fn agent_with_task(
    http: &http::Client,
    args: &GatewayArgs,
    named: Option<&str>,
    task: &str,
    history: Option<u32>,
) -> Outcome<(Agent, Value)> {
    if let Some(named) = named {
        let agent = agent(http, args, named).await?;
        let found = agent.client.get(task, history).await?;
        return Ok((agent, found));
    }
    let directory = Directory::read(http, args).await?;
    let mut silent = Vec::new();
    let mut answers = futures_util::stream::iter(directory.all().await)
        .map(|(name, agent)| async move {
            let agent = agent.map_err(|failure| (name.clone(), failure))?;
            match agent.client.get(task, history).await {
                Ok(found) => Ok(Some((agent, found))),
                Err(error) => match Failure::from(error) {
                    failure if failure.status == crate::exit::ExitStatus::NotFound => Ok(None),
                    failure => Err((name, failure)),
                },
            }
        })
        .buffered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err((name, failure)) => silent.push(format!("{name}: {failure}")),
        }
    }
    let failure = Failure::not_found(format!("no agent of the directory has a task `{task}`"));
    Err(if silent.is_empty() {
        failure.hint("an agent outside the directory is named with --agent URL")
    } else {
        failure.hint(format!("these could not be asked: {}", silent.join("; ")))
    })
}

/// An address from the directory, which may be relative to the gateway.
fn absolute(gateway: &str, address: &str) -> Outcome<String> {
    let joined = Url::parse(gateway).and_then(|base| base.join(address));
    joined.map(|url| url.to_string()).map_err(|error| {
        Failure::unreachable(format!("the directory lists a wrong address `{address}`: {error}"))
    })
}

/// The candidate that is most like `name`, if any is.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognized() {
        assert_eq!(nearest("slaes", ["marketing", "sales"].into_iter()), Some("sales"));
        assert_eq!(nearest("Sales", ["sales"].into_iter()), Some("sales"));
        assert_eq!(nearest("warehouse", ["marketing", "sales"].into_iter()), None);
    }

    #[test]
    fn addresses_in_the_directory_may_be_relative() {
        let at = |address| absolute("http://h:1", address).unwrap();
        assert_eq!(at("/agents/sales"), "http://h:1/agents/sales");
        assert_eq!(at("http://other/x"), "http://other/x");
    }
}

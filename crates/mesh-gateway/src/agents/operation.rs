//! What a request to an agent asks for, found from its method or path alone.

use http::Method;
use mesh_policy::Action;

/// An operation of A2A (section 5.3), as far as the door tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    ListTasks,
    CancelTask,
    SubscribeToTask,
    CreatePush,
    GetPush,
    ListPush,
    DeletePush,
    ExtendedCard,
    /// Something that A2A does not know and that looks like reading.
    OtherRead,
    /// Something else that A2A does not know. It needs the right that allows most.
    Other,
}

impl Operation {
    /// All of them, for what is counted.
    pub(crate) const ALL: [Self; 13] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreatePush,
        Self::GetPush,
        Self::ListPush,
        Self::DeletePush,
        Self::ExtendedCard,
        Self::OtherRead,
        Self::Other,
    ];

    /// The method of JSON-RPC, in 1.0 or 0.3; gRPC has the names of 1.0, and of 0.3 some.
    pub(crate) fn of_method(method: &str) -> Self {
        match method {
            "SendMessage" | "message/send" => Self::SendMessage,
            "SendStreamingMessage" | "message/stream" => Self::SendStreamingMessage,
            "GetTask" | "tasks/get" => Self::GetTask,
            "ListTasks" | "tasks/list" => Self::ListTasks,
            "CancelTask" | "tasks/cancel" => Self::CancelTask,
            "SubscribeToTask" | "TaskSubscription" | "tasks/resubscribe" => Self::SubscribeToTask,
            "CreateTaskPushNotificationConfig" | "tasks/pushNotificationConfig/set" => Self::CreatePush,
            "GetTaskPushNotificationConfig" | "tasks/pushNotificationConfig/get" => Self::GetPush,
            "ListTaskPushNotificationConfigs"
            | "ListTaskPushNotificationConfig"
            | "tasks/pushNotificationConfig/list" => Self::ListPush,
            "DeleteTaskPushNotificationConfig" | "tasks/pushNotificationConfig/delete" => Self::DeletePush,
            "GetExtendedAgentCard" | "GetAgentCard" | "agent/getAuthenticatedExtendedCard" => {
                Self::ExtendedCard
            }
            _ => Self::Other,
        }
    }

    /// A path of HTTP+JSON below the agent's address, percent-encoding undone: in 1.0, also under a tenant, or in 0.3,
    /// under `v1`.
    pub(crate) fn of_path(verb: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let found = Self::of_segments(verb, &segments)
            .or_else(|| segments.split_first().and_then(|(_, rest)| Self::of_segments(verb, rest)));
        found.unwrap_or(if *verb == Method::GET { Self::OtherRead } else { Self::Other })
    }

    fn of_segments(verb: &Method, segments: &[&str]) -> Option<Self> {
        let (get, post, delete) = (*verb == Method::GET, *verb == Method::POST, *verb == Method::DELETE);
        Some(match *segments {
            ["message:send"] if post => Self::SendMessage,
            ["message:stream"] if post => Self::SendStreamingMessage,
            ["tasks"] if get => Self::ListTasks,
            ["tasks", id] => match id.rsplit_once(':') {
                Some((_, "cancel")) if post => Self::CancelTask,
                Some((_, "subscribe")) if post || get => Self::SubscribeToTask,
                _ if get => Self::GetTask,
                _ => return None,
            },
            ["tasks", _, "pushNotificationConfigs"] if get => Self::ListPush,
            ["tasks", _, "pushNotificationConfigs"] if post => Self::CreatePush,
            ["tasks", _, "pushNotificationConfigs", _] if get => Self::GetPush,
            ["tasks", _, "pushNotificationConfigs", _] if delete => Self::DeletePush,
            ["extendedAgentCard"] if get => Self::ExtendedCard,
            // Only 0.3 has it, and only under `v1`; elsewhere it is nobody's.
            ["v1", "card"] if get => Self::ExtendedCard,
            _ => return None,
        })
    }

    /// What its caller has to be allowed.
    pub(crate) const fn action(self) -> Action {
        match self {
            Self::SendMessage | Self::SendStreamingMessage | Self::Other => Action::SendMessage,
            Self::CancelTask => Action::CancelTask,
            Self::ExtendedCard => Action::ReadAgent,
            _ => Action::ReadTask,
        }
    }

    /// Whether asking twice is the same as asking once, and changes nothing.
    pub(crate) const fn only_reads(self) -> bool {
        matches!(self, Self::GetTask | Self::ListTasks | Self::GetPush | Self::ListPush | Self::ExtendedCard)
    }

    /// Whether it is answered with events.
    pub(crate) const fn streams(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }

    /// Whether it takes as long as work takes.
    pub(crate) const fn works(self) -> bool {
        matches!(self, Self::SendMessage | Self::Other)
    }

    /// The name in metrics, audit records and spans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreatePush => "CreateTaskPushNotificationConfig",
            Self::GetPush => "GetTaskPushNotificationConfig",
            Self::ListPush => "ListTaskPushNotificationConfigs",
            Self::DeletePush => "DeleteTaskPushNotificationConfig",
            Self::ExtendedCard => "GetExtendedAgentCard",
            Self::OtherRead | Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_both_versions_is_found_with_and_without_a_tenant() {
        for prefix in ["", "/v1", "/some-tenant"] {
            for (verb, path, operation) in [
                (Method::POST, "/message:send", Operation::SendMessage),
                (Method::POST, "/message:stream", Operation::SendStreamingMessage),
                (Method::GET, "/tasks", Operation::ListTasks),
                (Method::GET, "/tasks/t", Operation::GetTask),
                (Method::POST, "/tasks/t:cancel", Operation::CancelTask),
                (Method::POST, "/tasks/t:subscribe", Operation::SubscribeToTask),
                (Method::GET, "/tasks/t:subscribe", Operation::SubscribeToTask),
                (Method::GET, "/tasks/t/pushNotificationConfigs", Operation::ListPush),
                (Method::POST, "/tasks/t/pushNotificationConfigs", Operation::CreatePush),
                (Method::GET, "/tasks/t/pushNotificationConfigs/c", Operation::GetPush),
                (Method::DELETE, "/tasks/t/pushNotificationConfigs/c", Operation::DeletePush),
                (Method::GET, "/extendedAgentCard", Operation::ExtendedCard),
            ] {
                assert_eq!(
                    Operation::of_path(&verb, &format!("{prefix}{path}")),
                    operation,
                    "{prefix}{path}"
                );
            }
        }
        assert_eq!(Operation::of_path(&Method::GET, "/v1/card"), Operation::ExtendedCard);
    }

    #[test]
    fn what_is_not_known_needs_the_right_that_allows_most_unless_it_reads() {
        assert_eq!(Operation::of_path(&Method::POST, "/tasks/t:destroy"), Operation::Other);
        assert_eq!(Operation::of_path(&Method::PUT, "/tasks/t"), Operation::Other);
        assert_eq!(Operation::of_path(&Method::GET, "/extensions/context/c"), Operation::OtherRead);
        assert_eq!(Operation::of_method("tasks/destroy"), Operation::Other);
        assert_eq!(Operation::Other.action(), Action::SendMessage);
        assert_eq!(Operation::OtherRead.action(), Action::ReadTask);
    }

    #[test]
    fn only_what_changes_nothing_is_safe_to_repeat() {
        for operation in Operation::ALL.into_iter().filter(|operation| operation.only_reads()) {
            assert!(!matches!(operation.action(), Action::SendMessage | Action::CancelTask));
        }
        assert!(!Operation::OtherRead.only_reads(), "nobody says so");
        assert!(!Operation::CreatePush.only_reads());
        assert!(!Operation::DeletePush.only_reads());
    }
}

use std::time::Duration;

use crate::kinds::{Count, List, OptSecret, Text, Timeout};
use crate::secret::Secret;
use crate::section::{all_defaults, section};

section! {
    /// Push notifications: events of a task, posted to an address that the client names.
    pub struct Push {
        /// Private targets that are allowed all the same: networks (10.1.0.0/16), addresses, or names of hosts. These may be
        /// plain http.
        allow: Vec<String> as List<Text> = "[]",
        /// Configurations of one task. 0: agents send no push notifications.
        per_task: usize as Count<usize, 0, 1000> = "10",
        /// Configurations that are followed at the same time, per agent.
        followed: usize as Count<usize, 1, 1_000_000> = "10000",
        /// Notifications under way at the same time, per agent.
        concurrency: usize as Count<usize, 1, 10_000> = "64",
        /// How long a receiver may take to answer.
        timeout: Duration as Timeout = "15s",
        /// How long a notification is tried again before it is given up, and with it those behind it.
        retry_for: Duration as Timeout = "1h",
        /// Key of the signature that every notification carries. No signature without one.
        signing_key: Option<Secret> as OptSecret,
    }
}

all_defaults!(Push);

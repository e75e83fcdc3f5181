//! Configurations that were given up: the dead letters. What is stored of them is in their records; here is which tasks have
//! some, so that a listing need not ask for each of its tasks.

use super::record::{PushRecord, State};
use mesh_core::{Seq, TaskKey, Timestamp};
use mesh_log::RecordKey;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Configurations that are remembered here; beyond it, each task is asked for.
const REMEMBERED: usize = 10_000;

/// What is told of a configuration that was given up, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GivenUp {
    /// The configuration.
    pub(crate) id: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// When the first try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failing_since: Option<Timestamp>,
    /// The first event that the receiver does not have.
    pub(crate) event: Seq,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// Why the last try failed.
    pub(crate) error: String,
}

impl GivenUp {
    /// `None` if it was not given up.
    pub(super) fn of(record: &PushRecord) -> Option<Self> {
        let State::Dead(error) = &record.state else { return None };
        Some(Self {
            id: record.config.id.clone(),
            since: record.given_up.map(Timestamp),
            failing_since: record.failing_since.map(Timestamp),
            event: record.delivered + 1,
            tries: record.failures,
            error: error.clone(),
        })
    }
}

/// Which configurations of the agent were given up, as far as this host knows.
#[derive(Default)]
pub(super) struct Known {
    configs: Mutex<Configs>,
}

#[derive(Default)]
struct Configs {
    keys: HashSet<RecordKey>,
    /// Tasks by how many of theirs are in `keys`.
    tasks: BTreeMap<TaskKey, usize>,
    /// There are more than are remembered; counted anew by each scan.
    more: usize,
    /// What was noted since a scan began, which may have read it as it was before.
    meanwhile: Option<HashMap<RecordKey, bool>>,
}

impl Known {
    fn open(&self) -> MutexGuard<'_, Configs> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a record says; returns how many were given up.
    pub(super) fn note(&self, key: &RecordKey, given_up: bool) -> usize {
        let mut configs = self.open();
        if let Some(meanwhile) = &mut configs.meanwhile {
            meanwhile.insert(key.clone(), given_up);
        }
        configs.set(key, given_up);
        configs.count()
    }

    /// Begins to go over all records.
    pub(super) fn scan(&self) -> Scan {
        self.open().meanwhile = Some(HashMap::new());
        Scan::default()
    }

    /// What all records say; returns how many were given up.
    pub(super) fn replace(&self, scan: Scan) -> usize {
        let mut configs = self.open();
        let meanwhile = configs.meanwhile.take().unwrap_or_default();
        *configs = Configs { more: scan.more, ..Configs::default() };
        scan.keys.iter().for_each(|key| configs.add(key));
        meanwhile.iter().for_each(|(key, given_up)| configs.set(key, *given_up));
        configs.count()
    }

    /// Whether a task may have some. `false` is sure, for what this host has heard of.
    pub(super) fn may_have(&self, task: &TaskKey) -> bool {
        let configs = self.open();
        configs.more > 0 || configs.tasks.contains_key(task)
    }
}

/// Keys of a scan that is under way, up to as many as are remembered, and how many more there were.
#[derive(Default)]
pub(super) struct Scan {
    keys: Vec<RecordKey>,
    more: usize,
}

impl Scan {
    pub(super) fn add(&mut self, key: &RecordKey) {
        if self.keys.len() < REMEMBERED {
            self.keys.push(key.clone());
        } else {
            self.more += 1;
        }
    }
}

impl Configs {
    fn count(&self) -> usize {
        self.keys.len() + self.more
    }

    fn set(&mut self, key: &RecordKey, given_up: bool) {
        if given_up {
            self.add(key);
        } else {
            self.remove(key);
        }
    }

    fn add(&mut self, key: &RecordKey) {
        if self.keys.contains(key) {
            return;
        }
        if self.keys.len() >= REMEMBERED {
            self.more += 1;
        } else if let Some(task) = task_of(key) {
            self.keys.insert(key.clone());
            *self.tasks.entry(task).or_insert(0) += 1;
        }
    }

    fn remove(&mut self, key: &RecordKey) {
        if !self.keys.remove(key) {
            return;
        }
        if let Some(task) = task_of(key)
            && let Some(count) = self.tasks.get_mut(&task)
        {
            *count -= 1;
            if *count == 0 {
                self.tasks.remove(&task);
            }
        }
    }
}

/// The task that a record's name begins with.
pub(super) fn task_of(key: &RecordKey) -> Option<TaskKey> {
    let (task, _) = key.name.split_once('/')?;
    Some(TaskKey::new(key.tenant.clone(), task.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_log::Space;

    fn key(task: usize, config: usize) -> RecordKey {
        RecordKey::new(Space::Push, "t".into(), format!("{task}/{config}"))
    }

    fn task(number: usize) -> TaskKey {
        TaskKey::new("t".into(), number.to_string().into())
    }

    #[test]
    fn a_task_is_known_as_long_as_it_has_a_configuration_that_was_given_up() {
        let known = Known::default();
        assert_eq!([known.note(&key(1, 1), true), known.note(&key(1, 1), true)], [1, 1]);
        assert_eq!(known.note(&key(1, 2), true), 2);
        assert_eq!(known.note(&key(1, 1), false), 1);
        assert!(known.may_have(&task(1)) && !known.may_have(&task(2)));
        assert_eq!([known.note(&key(1, 2), false), known.note(&key(1, 2), false)], [0, 0]);
        assert!(!known.may_have(&task(1)));
    }

    #[test]
    fn beyond_what_is_remembered_every_task_may_have_one() {
        let known = Known::default();
        let mut scan = known.scan();
        (0..REMEMBERED + 5).for_each(|number| scan.add(&key(number, 1)));
        assert_eq!(known.replace(scan), REMEMBERED + 5);
        assert!(known.may_have(&task(REMEMBERED + 100)));
        let mut scan = known.scan();
        scan.add(&key(3, 1));
        assert_eq!(known.replace(scan), 1);
        assert!(known.may_have(&task(3)) && !known.may_have(&task(4)));
    }

    #[test]
    fn what_changes_while_the_records_are_read_is_not_forgotten() {
        let known = Known::default();
        let mut scan = known.scan();
        scan.add(&key(1, 1));
        known.note(&key(1, 1), false);
        known.note(&key(2, 1), true);
        assert_eq!(known.replace(scan), 1);
        assert!(!known.may_have(&task(1)) && known.may_have(&task(2)));
        assert_eq!(known.replace(known.scan()), 0);
    }
}

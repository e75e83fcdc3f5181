//! What an examination of a store comes to.

use crate::soundness::TaskFault;
use mesh_core::TaskKey;
use serde::Serialize;

/// Findings that are told one by one; the others are counted.
const MOST_FINDINGS: usize = 1000;
/// What to do about most of them.
pub(crate) const RESTORE: &str =
    "stop the mesh, keep a copy of the file, and restore a backup (agentmesh restore)";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The store is not sound.
    Error,
    /// It is sound; somebody should look at it all the same.
    Warning,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A short name for programs, like `missing-event`.
    pub kind: &'static str,
    /// The task that is concerned, as `tenant/task`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What it is.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

/// What is in a store, and how large it is; bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreFacts {
    /// Version of the file's format.
    pub format: i32,
    /// Tasks.
    pub tasks: u64,
    /// Tasks that have not ended.
    pub unfinished: u64,
    /// Events of all tasks.
    pub events: u64,
    /// Events whose content is kept apart from their rows.
    pub large_events: u64,
    /// Records beside the tasks.
    pub records: u64,
    /// The file.
    pub file_bytes: u64,
    /// Of it, what can be used again.
    pub free_bytes: u64,
    /// The write-ahead log beside it.
    pub wal_bytes: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub omitted: u64,
    /// What there is.
    pub facts: StoreFacts,
}

impl Examination {
    /// Whether there is no error.
    pub fn is_sound(&self) -> bool {
        self.omitted == 0 && self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    pub(crate) fn note(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn error(&mut self, kind: &'static str, what: impl Into<String>, advice: &'static str) {
        self.note(Finding { severity: Severity::Error, kind, task: None, what: what.into(), advice });
    }

    pub(crate) fn cut_off(&mut self, pages: u64) {
        let what = format!("the file is cut off: it has {} bytes of {pages}", self.facts.file_bytes);
        self.error("cut-off", what, RESTORE);
    }

    pub(crate) fn warning(&mut self, kind: &'static str, what: impl Into<String>, advice: &'static str) {
        self.note(Finding { severity: Severity::Warning, kind, task: None, what: what.into(), advice });
    }

    /// What is wrong with a task.
    pub(crate) fn faults(&mut self, task: &TaskKey, faults: Vec<TaskFault>) {
        for fault in faults {
            let (kind, what, task) = (fault.kind(), fault.to_string(), Some(task.to_string()));
            self.note(Finding { severity: Severity::Error, kind, task, what, advice: RESTORE });
        }
    }
}

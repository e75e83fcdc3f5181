//! How a command ends: the one list of exit statuses, and the failures that lead to them.

use std::fmt;
use std::process::ExitCode;

/// The exit statuses of every command. Scripts depend on them: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Done.
    Ok = 0,
    /// The thing itself failed: a task failed, was rejected or canceled; a tool reported an error; a check failed.
    Failed = 1,
    /// The command line or its input is wrong.
    Usage = 2,
    /// Nobody answers, or not with the protocol.
    Unreachable = 3,
    /// No such agent, task, context, tool or store; or the events are no longer kept.
    NotFound = 4,
    /// The mesh file is invalid.
    InvalidConfig = 5,
    /// The task waits for input or authorization.
    InputRequired = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// What a command comes to.
pub(crate) type Outcome<T = ExitStatus> = Result<T, Failure>;

/// Why a command could not do what it was asked, for the person who asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub(crate) status: ExitStatus,
    /// What went wrong; `None` when everything has been said already.
    pub(crate) message: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with a message.
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), hint: None }
    }

    /// The thing itself failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failed, message)
    }

    /// The command line or its input is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// Nobody answers, or not with the protocol.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Unreachable, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::NotFound, message)
    }

    /// An exit status after everything has been said.
    pub(crate) const fn silent(status: ExitStatus) -> Self {
        Self { status, message: None, hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for Failure {}

//! One file for each command.

pub(crate) mod agents;
pub(crate) mod backup;
pub(crate) mod call;
pub(crate) mod cancel;
pub(crate) mod card;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod gateway;
pub(crate) mod push;
pub(crate) mod reload;
pub(crate) mod restore;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod tap;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod tools;
pub(crate) mod up;
pub(crate) mod upstreams;
pub(crate) mod version;

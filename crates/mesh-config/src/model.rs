//! The mesh as its file describes it.

mod agent;
mod card;
mod directory;
mod gateway;
mod limits;
mod mesh;
mod on_worker_loss;
mod push;
mod storage;
mod tool_pattern;
mod upstream;
mod worker;

pub use agent::{Agent, Retention, Tasks};
pub use card::{Card, ExtendedCard, Extension, Provider, Signing, Skill};
pub use directory::{Directory, OutsideAgent};
pub use gateway::{Access, Admin, Auth, Gateway, Level, LogFormat, Model, Telemetry};
pub use limits::Limits;
pub use mesh::Mesh;
pub use on_worker_loss::OnWorkerLoss;
pub use push::Push;
pub use storage::{Durability, Storage};
pub use tool_pattern::ToolPattern;
pub use upstream::{Endpoint, Upstream};
pub use worker::{Launch, Worker};

/// Field names of every section under the name that the schema gives it.
#[cfg(test)]
pub(crate) fn sections() -> Vec<(&'static str, &'static [crate::section::Field])> {
    use crate::section::Section;
    vec![
        ("Access", Access::FIELDS),
        ("Admin", Admin::FIELDS),
        ("Agent", Agent::FIELDS),
        ("Card", Card::FIELDS),
        ("Directory", Directory::FIELDS),
        ("ExtendedCard", ExtendedCard::FIELDS),
        ("Extension", Extension::FIELDS),
        ("Gateway", Gateway::FIELDS),
        ("Limits", Limits::FIELDS),
        ("Mesh", Mesh::FIELDS),
        ("Model", Model::FIELDS),
        ("OutsideAgent", directory::OutsideAgentFields::FIELDS),
        ("Provider", Provider::FIELDS),
        ("Push", Push::FIELDS),
        ("Retention", Retention::FIELDS),
        ("Retry", on_worker_loss::RetryFields::FIELDS),
        ("Signing", Signing::FIELDS),
        ("Skill", Skill::FIELDS),
        ("Storage", Storage::FIELDS),
        ("Tasks", Tasks::FIELDS),
        ("Telemetry", Telemetry::FIELDS),
        ("Upstream", upstream::UpstreamFields::FIELDS),
        ("Worker", worker::WorkerFields::FIELDS),
    ]
}

//! The mesh as its file describes it.

mod agent;
mod card;
mod fragment;
mod gateway;
mod glob;
mod limits;
mod mesh;
mod on_worker_loss;
mod push;
mod restart;
mod selection;
mod storage;
mod tool_pattern;
mod toolset;
mod upstream;
mod versions;
mod worker;

pub use agent::{Agent, Retention, Tasks};
pub use card::{Card, ExtendedCard, Extension, Provider, Signing, Skill};
pub use fragment::Fragment;
pub use gateway::{Access, Admin, Auth, Gateway, Level, LogFormat, Model, Reload, Telemetry};
pub use glob::Glob;
pub use limits::Limits;
pub use mesh::Mesh;
pub use on_worker_loss::OnWorkerLoss;
pub use push::Push;
pub use selection::{Selection, ToolRule};
pub use storage::{Durability, Storage};
pub use tool_pattern::ToolPattern;
pub use toolset::{Argument, Choice, Fill, ToolRef, Toolset};
pub use upstream::{Endpoint, Upstream};
pub use versions::{Shadow, Split, SplitBy};
pub use worker::{Launch, Worker};

/// Field names of every section under the name that the schema gives it.
#[cfg(test)]
pub(crate) fn sections() -> Vec<(&'static str, &'static [crate::section::Field])> {
    use crate::section::Section;
    vec![
        ("Access", Access::FIELDS),
        ("Admin", Admin::FIELDS),
        ("Agent", Agent::FIELDS),
        ("Argument", toolset::ArgumentFields::FIELDS),
        ("Card", Card::FIELDS),
        ("Choice", toolset::ChoiceFields::FIELDS),
        ("ExtendedCard", ExtendedCard::FIELDS),
        ("Extension", Extension::FIELDS),
        ("Gateway", Gateway::FIELDS),
        ("Limits", Limits::FIELDS),
        ("Mesh", Mesh::FIELDS),
        ("Model", Model::FIELDS),
        ("Provider", Provider::FIELDS),
        ("Push", Push::FIELDS),
        ("Retention", Retention::FIELDS),
        ("Retry", on_worker_loss::RetryFields::FIELDS),
        ("Shadow", Shadow::FIELDS),
        ("Signing", Signing::FIELDS),
        ("Skill", Skill::FIELDS),
        ("Split", Split::FIELDS),
        ("Storage", Storage::FIELDS),
        ("Tasks", Tasks::FIELDS),
        ("Telemetry", Telemetry::FIELDS),
        ("ToolRule", ToolRule::FIELDS),
        ("Toolset", Toolset::FIELDS),
        ("Upstream", upstream::UpstreamFields::FIELDS),
        ("Worker", worker::WorkerFields::FIELDS),
    ]
}

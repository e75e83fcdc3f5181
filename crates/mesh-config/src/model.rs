//! The mesh as its file describes it.

mod agent;
mod card;
mod dependable;
mod directory;
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
mod target;
mod tool_pattern;
mod toolset;
mod upstream;
mod versions;
mod worker;

pub use agent::{Agent, Retention, Tasks};
pub use card::{Card, ExtendedCard, Extension, Provider, Signing, Skill};
pub use dependable::{Breaker, Cache, Health, Retries};
pub use directory::{Directory, OutsideAgent};
pub use fragment::Fragment;
pub use gateway::{Access, Admin, Auth, Gateway, Level, LogFormat, Model, Reload, Telemetry};
pub use glob::Glob;
pub use limits::Limits;
pub use mesh::Mesh;
pub use on_worker_loss::OnWorkerLoss;
pub use push::Push;
pub use selection::{Selection, ToolRule};
pub use storage::{Durability, Storage};
pub use target::Target;
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
        ("Breaker", Breaker::FIELDS),
        ("Cache", Cache::FIELDS),
        ("Card", Card::FIELDS),
        ("Choice", toolset::ChoiceFields::FIELDS),
        ("Directory", Directory::FIELDS),
        ("ExtendedCard", ExtendedCard::FIELDS),
        ("Extension", Extension::FIELDS),
        ("Gateway", Gateway::FIELDS),
        ("Health", Health::FIELDS),
        ("Limits", Limits::FIELDS),
        ("Mesh", Mesh::FIELDS),
        ("Model", Model::FIELDS),
        ("OutsideAgent", directory::OutsideAgentFields::FIELDS),
        ("Provider", Provider::FIELDS),
        ("Push", Push::FIELDS),
        ("Retention", Retention::FIELDS),
        ("Retries", Retries::FIELDS),
        ("Retry", on_worker_loss::RetryFields::FIELDS),
        ("Shadow", Shadow::FIELDS),
        ("Signing", Signing::FIELDS),
        ("Skill", Skill::FIELDS),
        ("Split", Split::FIELDS),
        ("Storage", Storage::FIELDS),
        ("Target", target::TargetFields::FIELDS),
        ("Tasks", Tasks::FIELDS),
        ("Telemetry", Telemetry::FIELDS),
        ("ToolRule", ToolRule::FIELDS),
        ("Toolset", Toolset::FIELDS),
        ("Upstream", upstream::UpstreamFields::FIELDS),
        ("Worker", worker::WorkerFields::FIELDS),
    ]
}

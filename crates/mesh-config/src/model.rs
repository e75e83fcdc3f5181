//! The mesh as its file describes it.

mod agent;
mod card;
mod dependable;
mod gateway;
mod glob;
mod limits;
mod mesh;
mod on_worker_loss;
mod push;
mod storage;
mod target;
mod tool_pattern;
mod upstream;
mod worker;

pub use agent::{Agent, Retention, Tasks};
pub use card::{Card, ExtendedCard, Extension, Provider, Signing, Skill};
pub use dependable::{Breaker, Cache, Health, Retries};
pub use gateway::{Access, Admin, Auth, Gateway, Level, LogFormat, Model, Telemetry};
pub use glob::Glob;
pub use limits::Limits;
pub use mesh::Mesh;
pub use on_worker_loss::OnWorkerLoss;
pub use push::Push;
pub use storage::{Durability, Storage};
pub use target::Target;
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
        ("Breaker", Breaker::FIELDS),
        ("Cache", Cache::FIELDS),
        ("Card", Card::FIELDS),
        ("ExtendedCard", ExtendedCard::FIELDS),
        ("Extension", Extension::FIELDS),
        ("Gateway", Gateway::FIELDS),
        ("Health", Health::FIELDS),
        ("Limits", Limits::FIELDS),
        ("Mesh", Mesh::FIELDS),
        ("Model", Model::FIELDS),
        ("Provider", Provider::FIELDS),
        ("Push", Push::FIELDS),
        ("Retention", Retention::FIELDS),
        ("Retries", Retries::FIELDS),
        ("Retry", on_worker_loss::RetryFields::FIELDS),
        ("Signing", Signing::FIELDS),
        ("Skill", Skill::FIELDS),
        ("Storage", Storage::FIELDS),
        ("Target", target::TargetFields::FIELDS),
        ("Tasks", Tasks::FIELDS),
        ("Telemetry", Telemetry::FIELDS),
        ("Upstream", upstream::UpstreamFields::FIELDS),
        ("Worker", worker::WorkerFields::FIELDS),
    ]
}

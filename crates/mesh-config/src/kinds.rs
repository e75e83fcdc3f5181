//! What a field can hold. Each kind says how to read a value, how to write it, and what an editor is told.

mod any;
mod collections;
mod globs;
mod names;
mod net;
mod paths;
mod scalars;
mod units;

pub(crate) use any::{Flag, JsonObject};
pub(crate) use collections::{List, NonEmpty, Opt};
pub(crate) use globs::{AnyJson, ArgumentName, ToolGlob, UpstreamRef};
pub(crate) use names::{
    AgentName, EnvName, ExtensionUri, HeaderName, Id, NameRule, Named, PeerRef, PythonEntry, UpstreamName,
};
pub(crate) use net::{Listen, Url};
pub(crate) use paths::{PathFromFile, PathInStorage};
pub(crate) use scalars::{Count, HeaderSecret, LiteralSecret, OptSecret, Text, choice, not_a_choice};
pub(crate) use units::{Dur, OrForever, Size, Timeout};

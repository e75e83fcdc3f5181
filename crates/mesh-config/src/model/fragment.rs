use std::collections::BTreeMap;

use super::{Toolset, Upstream};
use crate::kinds::{Named, UpstreamName};
use crate::section::section;

section! {
    /// A file of the watched directory: upstreams and toolsets, written as in the mesh file.
    pub struct Fragment {
        /// MCP servers behind the gateway, by id.
        tools: BTreeMap<String, Upstream> as Named<UpstreamName, Upstream> = "{}",
        /// Toolsets, by id.
        toolsets: BTreeMap<String, Toolset> as Named<UpstreamName, Toolset> = "{}",
    }
}

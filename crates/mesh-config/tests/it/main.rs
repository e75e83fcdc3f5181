//! What a mesh file may say, and what is said about one that is wrong.

mod aliases;
mod defaults;
mod diagnostics;
mod examples;
mod properties;
mod references;
mod refusals;
mod schema;
mod support;
mod toolsets;

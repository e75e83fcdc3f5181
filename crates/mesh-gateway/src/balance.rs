//! Which of several targets gets the next call.
//!
//! A target may be anything: an MCP server, a replica of an agent. Of two targets that are drawn by weight the one with
//! fewer calls under way is taken. One that fails again and again is ejected for a time that grows, never the last one;
//! checks that somebody else makes ([`watch`]) take one out as well, and bring it back. What comes back gets its share
//! of the calls little by little.
//!
//! Picking neither locks nor allocates.

mod choice;
mod health;
mod load;
mod mask;
mod set;
mod standing;

pub(crate) use health::{Checks, watch};
pub(crate) use mask::Mask;
pub(crate) use set::{Balance, Picked, Place, TargetView, Verdict};
pub(crate) use standing::Ejection;

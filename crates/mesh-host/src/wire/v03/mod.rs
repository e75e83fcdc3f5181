//! JSON-RPC of A2A 0.3: other names of methods, and objects that say their `kind`. What they mean is the same, so requests
//! become the operations of 1.0, and their outcomes are told in the older words.

mod decode;
mod encode;

pub(crate) use self::decode::decode;
pub(crate) use self::encode::{answer, event, task};

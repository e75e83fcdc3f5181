//! Stores from outside: which one is meant, and work on it that takes long.

mod place;
mod space;
mod work;

pub(crate) use place::{Place, sqlite};
pub(crate) use space::{free, size};
pub(crate) use work::work;

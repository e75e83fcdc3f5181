//! Entry points of the fuzz targets in `fuzz/`: each takes any bytes and must not panic.

pub use crate::jetstream::fuzz::frame;

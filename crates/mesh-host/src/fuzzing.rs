//! Entry points of the fuzz targets in `fuzz/`: each takes any bytes and must not panic. Beside "nothing crashes" they
//! check that what was decoded is encoded as the same.

pub use crate::card::fuzz as card;
pub use crate::wire::fuzz::{event, grpc, json_rpc, params, rest_path, rest_query, resume as last_event_id};
pub use crate::worker::fuzz::line as worker_line;

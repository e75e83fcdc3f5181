//! What only the JetStream provider promises.

mod bounds;
mod cluster;
mod examine;
mod loss;
mod proxy;
mod server;
mod several;
mod trimming;

pub(crate) use server::Server;

use mesh_log::{JetStreamLog, JetStreamOptions};

pub(crate) async fn open(server: &Server) -> JetStreamLog {
    JetStreamLog::open(JetStreamOptions::new(server.url())).await.unwrap()
}

//! Metrics of the process itself, under the names that Prometheus clients agree on.

use mesh_core::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt;

/// Which build it is.
#[derive(Clone, Debug)]
pub struct Build {
    /// The version.
    pub version: String,
    /// The commit, if the build knows it.
    pub commit: Option<String>,
}

/// Adds `agentmesh_build_info`, `process_start_time_seconds`, `process_resident_memory_bytes` and `process_open_fds`
/// (the last two where there is a `/proc`).
pub fn register_process(registry: &mut Registry, build: Build, started: Timestamp) {
    let labels = vec![("version", build.version), ("commit", build.commit.unwrap_or_default())];
    registry.register("agentmesh_build", "The build that runs", Info::new(labels));
    registry.register_collector(Box::new(Process { started }));
}

/// Read anew for each scrape.
#[derive(Debug)]
struct Process {
    started: Timestamp,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit a double for a long time"
        )]
        let started = self.started.millis() as f64 / 1000.0;
        gauge(&mut encoder, "process_start_time_seconds", "When the process started, since 1970", started)?;
        if let Some(bytes) = resident_bytes() {
            gauge(
                &mut encoder,
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM",
                bytes,
            )?;
        }
        if let Some(count) = open_fds() {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", count)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn resident_bytes() -> Option<i64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn open_fds() -> Option<i64> {
    // One of them is the one that reads the folder.
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    i64::try_from(open).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2_097_152));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }
}

//! What processes and their descendants use, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// The kernel's clock ticks: 100 a second in every Linux ABI that counts.
const TICK: Duration = Duration::from_millis(10);

/// A process cannot be measured.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} cannot be measured: {reason}")]
pub struct UsageError {
    pid: u32,
    reason: String,
}

/// What was used between two moments, or since a process began.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    pids: Vec<u32>,
    /// User and system time.
    pub cpu: Duration,
    /// Sum of the peaks of resident memory.
    pub rss_peak_bytes: u64,
}

struct Process {
    parent: u32,
    /// Its own time and that of its children that have ended.
    ticks: u64,
}

impl Usage {
    /// Looks at the process trees, and asks the kernel to count peaks from now on.
    ///
    /// # Errors
    /// One of the processes is not there.
    pub fn begin(pids: &[u32]) -> Result<Self, UsageError> {
        let usage = Self::of(pids)?;
        for process in pids.iter().flat_map(|pid| tree(*pid)) {
            // Peaks that could not be reset are those of the whole life of the process.
            let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
        Ok(usage)
    }

    /// What was used since `self`.
    ///
    /// # Errors
    /// One of the processes has ended.
    pub fn until_now(&self) -> Result<Self, UsageError> {
        let now = Self::of(&self.pids)?;
        Ok(Self { cpu: now.cpu.saturating_sub(self.cpu), ..now })
    }

    fn of(pids: &[u32]) -> Result<Self, UsageError> {
        for pid in pids {
            read_stat(*pid).map_err(|reason| UsageError { pid: *pid, reason })?;
        }
        let tree: Vec<u32> = pids.iter().flat_map(|pid| tree(*pid)).collect();
        let ticks: u64 = tree.iter().filter_map(|pid| read_stat(*pid).ok()).map(|p| p.ticks).sum();
        let rss_peak_bytes = tree.iter().map(|pid| status_bytes(*pid, "VmHWM:")).sum();
        let cpu = TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        Ok(Self { pids: pids.to_vec(), cpu, rss_peak_bytes })
    }
}

/// Resident memory of processes and their descendants now.
pub fn resident_bytes(pids: &[u32]) -> u64 {
    pids.iter().flat_map(|pid| tree(*pid)).map(|pid| status_bytes(pid, "VmRSS:")).sum()
}

/// A process and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Ok(process) = read_stat(pid) {
            children.entry(process.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

fn read_stat(pid: u32) -> Result<Process, String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.to_string())?;
    // The name in parentheses may contain anything, so fields are counted from its end.
    let (_, rest) = stat.rsplit_once(") ").ok_or("its stat is unreadable")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
    let parent = u32::try_from(field(1)).unwrap_or_default();
    Ok(Process { parent, ticks: (11..=14).map(field).sum() })
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time_only_goes_on() {
        let pids = [std::process::id()];
        let before = Usage::begin(&pids).unwrap();
        assert!(resident_bytes(&pids) > 0);
        let used = before.until_now().unwrap();
        assert!(used.rss_peak_bytes > 0);
        assert!(Usage::begin(&[u32::MAX]).is_err());
    }
}

//! The numbered times that `stamp` of `scripted-worker` writes into its chunks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, since 1970; the clock of the worker, if that runs on this machine.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Checks that stamps come one after the other.
#[derive(Default)]
pub(super) struct Stamps {
    last: u64,
}

impl Stamps {
    /// How many there were.
    pub(super) fn seen(&self) -> u64 {
        self.last
    }

    /// Takes the stamps of an event, and returns when they were written. There are several in an event that joins
    /// pieces of the worker.
    pub(super) fn take(&mut self, event: &[u8]) -> Result<Vec<Duration>, String> {
        let mut times = Vec::new();
        let mut rest = event;
        while let Some(at) = rest.iter().position(|byte| *byte == b'@') {
            rest = rest.get(at + 1..).unwrap_or_default();
            let mut fields = rest.splitn(3, |byte| *byte == b':').map(number);
            let (Some(Some(seq)), Some(Some(nanoseconds))) = (fields.next(), fields.next()) else { continue };
            if seq != self.last + 1 {
                return Err(format!("stamp {seq} after {}", self.last));
            }
            self.last = seq;
            times.push(Duration::from_nanos(nanoseconds));
        }
        Ok(times)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_wherever_they_are_and_a_missing_one_is_told() {
        let mut stamps = Stamps::default();
        assert!(stamps.take(b"a@b.example").unwrap().is_empty());
        let times = stamps.take(br#"{"parts":[{"text":"@1:5:...."},{"text":"@2:70:@3:80:"}]}"#).unwrap();
        assert_eq!(times, [5, 70, 80].map(Duration::from_nanos));
        assert_eq!(stamps.seen(), 3);
        assert!(stamps.take(b"@3:90:").is_err());
        assert!(stamps.take(b"@5:90:").is_err());
    }
}

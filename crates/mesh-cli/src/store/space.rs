//! Sizes, for people, and the room that is left on a disk.

use std::path::Path;

/// Bytes that are free for us on the disk of a file, or of the directory that it is to be in.
pub(crate) fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|part| part.exists()).unwrap_or_else(|| Path::new("."));
    let disk = nix::sys::statvfs::statvfs(there).ok()?;
    #[allow(clippy::useless_conversion, reason = "these numbers are narrower on other systems")]
    let (blocks, size) = (u64::from(disk.blocks_available()), u64::from(disk.fragment_size()));
    Some(blocks.saturating_mul(size))
}

/// A size, in the unit that leaves few digits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut unit, mut size) = (None, bytes as f64);
    for name in UNITS {
        if size < 1024.0 {
            break;
        }
        (unit, size) = (Some(name), size / 1024.0);
    }
    unit.map_or_else(|| format!("{bytes} bytes"), |unit| format!("{size:.1} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(
            ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "2.0 GiB"],
            [size(0), size(1023), size(1024), size(3 << 19), size(2 << 30)]
        );
    }

    #[test]
    fn there_is_room_where_the_tests_run() {
        assert!(free(Path::new("/nowhere/at/all")).is_some_and(|bytes| bytes > 0));
    }
}

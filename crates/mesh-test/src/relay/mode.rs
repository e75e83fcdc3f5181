//! The ways in which a server can fail.

use std::fmt;
use std::str::FromStr;

/// What happens to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// They go to a server, and its answers come back.
    Pass,
    /// The same, after [`Mode::DELAY`].
    Delay,
    /// Every connection is reset, those that are open at once.
    Reset,
    /// Connections are accepted and stay open; nothing is read or answered.
    HalfOpen,
    /// Answered with 503.
    Unavailable,
    /// Answered with 200 and bytes that are no JSON.
    Garbage,
    /// Answered with a stream of events that goes on and never has the result.
    Endless,
    /// The server's answers come a byte at a time, [`Mode::TRICKLE`] apart.
    Trickle,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::Delay,
        Self::Reset,
        Self::HalfOpen,
        Self::Unavailable,
        Self::Garbage,
        Self::Endless,
        Self::Trickle,
    ];
    /// Longer than any call of a test may take.
    pub const DELAY: std::time::Duration = std::time::Duration::from_secs(5);
    /// Slow, and never silent for long.
    pub const TRICKLE: std::time::Duration = std::time::Duration::from_millis(50);

    /// Its name on the control port.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Delay => "delay",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::Unavailable => "unavailable",
            Self::Garbage => "garbage",
            Self::Endless => "endless",
            Self::Trickle => "trickle",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.map(Self::name).into();
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_found_by_its_name_and_no_other() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert!("Pass".parse::<Mode>().unwrap_err().contains("half-open"));
    }
}

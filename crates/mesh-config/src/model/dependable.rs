//! What keeps an upstream dependable: which targets are used, when calls are refused, repeated, or answered from memory.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Glob;
use crate::kinds::{Count, Dur, Flag, List, Named, Opt, Size, Timeout, ToolGlob};
use crate::section::{all_defaults, section};

section! {
    /// When one of several targets is left out, and how it comes back.
    pub struct Health {
        /// Failures in a row for which a target is ejected: no connection, reset, 5xx, garbage, time-out. 0: never.
        failures: u32 as Count<u32, 0, 1000> = "3",
        /// How long it is ejected. Twice as long each further time.
        eject: Duration as Timeout = "10s",
        /// The longest time for which it is ejected.
        longest: Duration as Timeout = "5m",
        /// Most targets that are ejected at once, in per cent; one may always be, but never all.
        most: u8 as Count<u8, 0, 100> = "50",
        /// Time between two checks of a target: it is asked something that its protocol revision has for that. 0s: no checks.
        interval: Duration as Dur = "10s",
        /// How long a check may take.
        timeout: Duration as Timeout = "2s",
        /// Checks in a row that must fail, or pass, to change what is thought of a target.
        threshold: u32 as Count<u32, 1, 100> = "2",
        /// Time in which a target that came back gets to its full share of the calls.
        slow_start: Duration as Dur = "10s",
    }
}

section! {
    /// When calls are refused because too many failed.
    pub struct Breaker {
        /// Part of the calls in the window that must fail, in per cent. 0: there is no breaker.
        failures: u8 as Count<u8, 0, 100> = "50",
        /// Calls in the window below which it never opens.
        volume: u32 as Count<u32, 1, 65_535> = "20",
        /// How far back calls count.
        window: Duration as Timeout = "10s",
        /// How long it stays open before some calls are let through.
        open: Duration as Timeout = "5s",
        /// Calls that are let through then, and must all succeed.
        probes: u8 as Count<u8, 1, 100> = "3",
        /// Whether each tool has a breaker of its own, too.
        per_tool: bool as Flag = "false",
    }
}

section! {
    /// When a call is made again. What was never sent goes to another target in any case; lists and reads are always safe.
    pub struct Retries {
        /// Attempts in all.
        attempts: u32 as Count<u32, 1, 10> = "3",
        /// Longest pause before the second attempt; twice as long before each further one.
        backoff: Duration as Timeout = "50ms",
        /// Longest pause.
        longest: Duration as Timeout = "1s",
        /// Repeats that an upstream gets at most, in per cent of its calls.
        budget: u8 as Count<u8, 0, 100> = "20",
        /// Tools that are safe to call again, by name or pattern. A pattern does not cover a tool that says it is not.
        tools: Vec<Glob> as List<Glob> = "[]",
        /// Whether a tool is safe to call again when its own annotations say so: readOnlyHint or idempotentHint.
        trust_hints: bool as Flag = "false",
        /// How long one attempt may take, where there can be another one.
        attempt_timeout: Option<Duration> as Opt<Timeout>,
        /// Time after which a call that is safe to repeat is made at a second target as well; the first answer counts.
        hedge_after: Option<Duration> as Opt<Timeout>,
    }
}

section! {
    /// Answers that are kept. Nothing is, unless it says so here.
    pub struct Cache {
        /// How long answers of tools are kept, by name or pattern. A pattern does not cover a tool that says it is not read-only.
        tools: BTreeMap<String, Duration> as Named<ToolGlob, Timeout> = "{}",
        /// How long resources are kept. 0s: they are not.
        resources: Duration as Dur = "0s",
        /// Whether resources are kept for as long as a server of revision 2026-07-28 says that they may be.
        hints: bool as Flag = "false",
        /// Tools and resources whose answers are the same for everybody in the tenant, by name, URI or pattern.
        public: Vec<Glob> as List<Glob> = "[]",
        /// Bytes that are kept of one upstream. One answer takes an eighth at most.
        max_bytes: u64 as Size<65_536> = "16MiB",
    }
}

all_defaults!(Health, Breaker, Retries, Cache);

impl Cache {
    /// Whether anything is kept at all.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.tools.is_empty() || !self.resources.is_zero() || self.hints
    }
}

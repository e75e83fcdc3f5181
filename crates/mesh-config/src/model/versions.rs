use crate::kinds::{Count, Flag, UpstreamRef, choice};
use crate::section::section;

choice! {
    /// Who is on which side of a split.
    pub enum SplitBy {
        /// Each call on its own.
        Call = "call",
        /// A caller with all its calls.
        Principal = "principal",
    }
}

section! {
    /// A part of the calls goes to another version of the upstream.
    pub struct Split {
        /// Id of the upstream that is the other version.
        to: String as UpstreamRef,
        /// How many of a hundred go there.
        percent: u8 as Count<u8, 0, 100>,
        /// Whether it is decided for each call, or for each principal: call or principal.
        by: SplitBy as SplitBy = "call",
    }
}

section! {
    /// A part of the calls is made at another version of the upstream as well; its answer is compared and thrown away.
    pub struct Shadow {
        /// Id of the upstream that is the other version.
        to: String as UpstreamRef,
        /// How many of a hundred are made there as well.
        percent: u8 as Count<u8, 0, 100>,
        /// Whether calls of tools that are not known to be read-only are made there, too.
        writes: bool as Flag = "false",
        /// Such calls at the same time; more are left out.
        concurrency: usize as Count<usize, 1, 1_000> = "8",
    }
}

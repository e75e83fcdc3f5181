//! A native worker for benches and fault tests: the text of the task's message is the program.
//!
//! Steps are separated by newlines or ` && ` and run in order; after the last one the task is completed.
//!
//! | step | does |
//! |---|---|
//! | `bench` | 10 chunks of artifact `out` |
//! | `echo TEXT` | one chunk with the text |
//! | `chunks N [BYTES]` | N chunks, each BYTES long |
//! | `status N` | N status updates |
//! | `ask QUESTION` | waits for input, then one chunk with the answer; takes a recorded answer if there is one |
//! | `authorize QUESTION` | the same in state auth-required |
//! | `call TOOL JSON` | calls a tool; artifact `result` with its text and its whole result |
//! | `agent NAME TEXT` | calls an agent; artifact `result` likewise |
//! | `memory JSON` | a call to the context's memory, like `{"op":"get","key":"k"}`; artifact `result` with its whole result |
//! | `count KEY N` | adds 1 to the entry N times: each time from what it reads, again when another was faster |
//! | `history [JSON]` | reads the earlier tasks of the context; artifact `result` likewise |
//! | `fail TEXT`, `reject [TEXT]` | ends the attempt so |
//! | `slow N MS` | N chunks with a pause of MS after each |
//! | `tell N MS` | N chunks that say their attempt and their number in it, with a pause of MS after each |
//! | `stamp N MS [BYTES]` | N chunks like `slow`; the text of each is `@`, its number, `:`, its time in ns since 1970, `:`, dots |
//! | `wait-file PATH` | one chunk, then waits until the file exists |
//! | `hang` | a status update, then waits for `cancel` and obeys it |
//! | `hog` | a status update, then nothing for this attempt, whatever comes |
//! | `freeze` | the worker reads no more of its input: pings stay unanswered |
//! | `crash` | aborts the process at once |
//! | `crash-once` | 3 chunks, then aborts the process, in attempt 1 only |
//! | `crash-at N [ATTEMPTS]` | N chunks, then aborts; only in the first ATTEMPTS attempts, if given |
//! | `garbage`, `stdout-noise` | writes half a JSON object, or a line of plain text |
//! | `huge` | writes a line longer than the configured limit |
//!
//! A text that is no program is rejected, and the rejection names the first step that it could not read.

mod attempt;
mod outbox;
mod program;
mod serve;
mod wire;

pub use program::{ParseError, Step, parse};
pub use serve::{Options, serve};

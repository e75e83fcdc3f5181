//! An OpenAI-compatible chat server that follows a script instead of thinking.
//!
//! ```yaml
//! personas:
//!   - match: "Sales Representative"        # in the text of any system, developer or user message
//!     capture: { customer: "C-[0-9]+" }    # regexes on the conversation's text: group 1, or the whole match
//!     delay_ms: 30                         # pause between the pieces of a stream
//!     steps:                               # step i is taken when i tool results are in the conversation
//!       - call: get_customer
//!         arguments: { customer_id: "{{customer}}" }
//!       - say: "Proposal for {{result.0./name}}"
//! ```
//!
//! `{{result.N}}` is the text of the N-th tool result and `{{result.N./pointer}}` a place in it when it is JSON.
//! An argument that is nothing but such a pointer keeps its JSON type; everywhere else values become text.
//! The first persona that matches answers. What cannot be answered gets status 400 and says why.

mod completion;
mod conversation;
mod decide;
mod script;
mod server;
mod template;

pub use script::{Persona, Script, ScriptError, Step};
pub use server::{ScriptedModel, serve};

//! Breaks one of three targets of a gateway's upstream in every way, under calls at a steady rate, and counts.
//!
//! Calls come by the clock, not when the last one is answered: a slow gateway gets no fewer of them. Each fault lasts
//! while calls go on to the broken upstream and to another one, whose latency must not move.

mod calls;
mod gateway;
mod report;
mod run;

pub use report::{Fault, Report};
pub use run::{Options, run};

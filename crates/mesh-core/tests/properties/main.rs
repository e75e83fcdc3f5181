//! What holds for every sequence of commands and for every input.

mod commands;
mod lifecycle;
mod messages;

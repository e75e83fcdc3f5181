//! The only place that writes to the terminal.
//!
//! Results go to standard output; progress, notes and errors to standard error. Text of agents and tools passes
//! through [`clean`] on its way to a person, so that it cannot steer the terminal.

use crate::exit::{ExitStatus, Failure, Outcome};
use clap::ValueEnum;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document, or JSON lines where events are streamed
    Json,
}

/// Colours, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Headings and names.
    Bold,
    /// What matters less.
    Dim,
    /// Bad.
    Red,
    /// Good.
    Green,
    /// Look at this.
    Yellow,
    /// Neutral emphasis.
    Cyan,
}

impl Ink {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

struct Stream {
    to: Box<dyn Write + Send>,
    /// Whether the last thing written ended a line.
    at_line_start: bool,
}

/// Writes results, notes and errors in the format that the user chose.
pub(crate) struct Printer {
    format: Format,
    out: Mutex<Stream>,
    err: Mutex<Stream>,
    color_out: bool,
    color_err: bool,
    live: bool,
    watched: bool,
    on_interrupt: Mutex<Option<String>>,
}

impl Printer {
    /// Writes to the standard streams.
    pub(crate) fn standard(format: Format) -> Self {
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (out_tty, err_tty) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            format,
            out: stream(io::stdout()),
            err: stream(io::stderr()),
            color_out: color && out_tty,
            color_err: color && err_tty,
            live: out_tty,
            watched: err_tty,
            on_interrupt: Mutex::new(None),
        }
    }

    /// Writes to buffers, as if to a terminal if `live`.
    #[cfg(test)]
    pub(crate) fn to_buffers(format: Format, live: bool) -> (Self, Buffer, Buffer) {
        let (out, err) = (Buffer::default(), Buffer::default());
        let printer = Self {
            format,
            out: stream(out.clone()),
            err: stream(err.clone()),
            color_out: false,
            color_err: false,
            live,
            watched: false,
            on_interrupt: Mutex::new(None),
        };
        (printer, out, err)
    }

    /// Whether a program reads the results.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether somebody watches the results as they appear. If not, only finished ones are written.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: &str) -> Outcome<()> {
        write_to(&self.out, |stream| {
            stream.fresh_line()?;
            writeln!(stream.to, "{text}")
        })
    }

    /// A piece of the result, without a line end.
    pub(crate) fn piece(&self, text: &str) -> Outcome<()> {
        write_to(&self.out, |stream| {
            stream.to.write_all(text.as_bytes())?;
            stream.at_line_start = text.ends_with('\n') || (text.is_empty() && stream.at_line_start);
            Ok(())
        })
    }

    /// Ends the line that a piece left open.
    pub(crate) fn end_piece(&self) -> Outcome<()> {
        write_to(&self.out, Stream::fresh_line)
    }

    /// A JSON document: the whole result.
    pub(crate) fn document(&self, value: &impl Serialize) -> Outcome<()> {
        self.line(&serde_json::to_string_pretty(value).unwrap_or_default())
    }

    /// A JSON line: one of many results.
    pub(crate) fn record(&self, value: &impl Serialize) -> Outcome<()> {
        self.line(&serde_json::to_string(value).unwrap_or_default())
    }

    /// Columns for people, with a heading.
    pub(crate) fn table(&self, heading: &[&str], rows: &[Vec<String>]) -> Outcome<()> {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
        let widths: Vec<usize> = (0..heading.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.chain([heading[column].chars().count()]).max().unwrap_or_default()
            })
            .collect();
        let layout = |cells: &mut dyn Iterator<Item = &str>| {
            let line: String =
                cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ", width = *width)).collect();
            line.trim_end().to_owned()
        };
        self.line(&self.ink(Ink::Bold, &layout(&mut heading.iter().copied())))?;
        rows.iter().try_for_each(|row| self.line(&layout(&mut row.iter().map(String::as_str))))
    }

    /// A line about how things go, for people; nothing a script would read.
    pub(crate) fn note(&self, text: &str) {
        // Somebody who closed standard error does not want to read it: not a failure.
        let _ = write_to(&self.err, |stream| writeln!(stream.to, "{text}"));
    }

    /// A line of progress that the next one replaces; an empty one takes it away. Only where somebody watches.
    pub(crate) fn progress(&self, text: &str) {
        if self.watched {
            let _ = write_to(&self.err, |stream| write!(stream.to, "\r\u{1b}[K{text}"));
        }
    }

    /// Says why a command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let _ = self.end_piece();
        if let Some(message) = &failure.message {
            self.note(&format!("{} {}", self.err_ink(Ink::Red, "error:"), clean(message)));
        }
        if let Some(hint) = &failure.hint {
            self.note(&format!("{} {}", self.err_ink(Ink::Cyan, "hint:"), clean(hint)));
        }
    }

    /// A warning that does not stop anything.
    pub(crate) fn warn(&self, text: &str) {
        self.note(&format!("{} {}", self.err_ink(Ink::Yellow, "warning:"), clean(text)));
    }

    /// What to tell the user who presses Ctrl-C from now on.
    pub(crate) fn set_interrupt_hint(&self, hint: String) {
        *self.on_interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
    }

    /// The failure that Ctrl-C is.
    pub(crate) fn interrupted(&self) -> Failure {
        let hint = self.on_interrupt.lock().unwrap_or_else(PoisonError::into_inner).take();
        Failure { status: ExitStatus::Interrupted, message: None, hint }
    }

    /// Text in colour, for standard output.
    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        paint(self.color_out, ink, text)
    }

    /// Text in colour, for standard error.
    pub(crate) fn err_ink(&self, ink: Ink, text: &str) -> String {
        paint(self.color_err, ink, text)
    }
}

impl Stream {
    fn fresh_line(&mut self) -> io::Result<()> {
        if !self.at_line_start {
            self.at_line_start = true;
            self.to.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn stream(to: impl Write + Send + 'static) -> Mutex<Stream> {
    Mutex::new(Stream { to: Box::new(to), at_line_start: true })
}

fn write_to(to: &Mutex<Stream>, write: impl FnOnce(&mut Stream) -> io::Result<()>) -> Outcome<()> {
    let mut stream = to.lock().unwrap_or_else(PoisonError::into_inner);
    write(&mut stream).and_then(|()| stream.to.flush()).map_err(|error| match error.kind() {
        // `agentmesh … | head`: the reader has what it wanted.
        io::ErrorKind::BrokenPipe => Failure::silent(ExitStatus::Ok),
        _ => Failure::failed(format!("cannot write the result: {error}")),
    })
}

fn paint(color: bool, ink: Ink, text: &str) -> String {
    if color { format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code()) } else { text.to_owned() }
}

/// Text of somebody else, without the control characters that a terminal would obey.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |char: char| !char.is_control() || matches!(char, '\n' | '\t');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    // A carriage return before a line feed is only an old way to end a line.
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.chars().map(|char| if harmless(char) { char } else { '\u{fffd}' }).collect())
}

/// Text of somebody else on one line.
pub(crate) fn one_line(text: &str) -> String {
    clean(text.trim()).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `width` characters of `text`.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.chars().nth(width).is_none() {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A buffer that can be read while a printer holds it.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Buffer(std::sync::Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Buffer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\td\u{9b}"), "a\u{fffd}[2Jb\nc\td\u{fffd}");
        assert_eq!(one_line(" a\n  b\tc "), "a b c");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }

    #[test]
    fn a_line_after_a_piece_starts_on_its_own() {
        let (printer, out, _) = Printer::to_buffers(Format::Text, true);
        printer.piece("half").unwrap();
        printer.line("whole").unwrap();
        printer.end_piece().unwrap();
        assert_eq!(out.text(), "half\nwhole\n");
    }

    #[test]
    fn a_table_lines_its_columns_up() {
        let (printer, out, _) = Printer::to_buffers(Format::Text, false);
        printer
            .table(
                &["NAME", "WHAT"],
                &[vec!["a".into(), "one\ntwo".into()], vec!["longer".into(), String::new()]],
            )
            .unwrap();
        assert_eq!(out.text(), "NAME    WHAT\na       one two\nlonger\n");
    }
}

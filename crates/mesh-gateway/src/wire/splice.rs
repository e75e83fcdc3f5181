//! Cuts the `result` out of a JSON-RPC answer while the answer arrives.
//!
//! The splicer reads bytes as they come, however they are cut, and says which of them belong to the value of `result`.
//! It takes exactly what is JSON: what it passes on can be put into another envelope without being read again.

use std::ops::Range;

/// Deepest nesting of an answer that is streamed.
pub(crate) const MAX_DEPTH: usize = 1024;
/// Longest text of a member's name or an id that is kept: all that mean something to us are shorter.
const KEPT: usize = 96;

/// Why an answer cannot be spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("its answer is not JSON")]
    Syntax,
    #[error("its answer is nested deeper than {MAX_DEPTH}")]
    Depth,
    #[error("its answer is not one result")]
    Envelope,
    #[error("it answered another request")]
    Id,
}

/// What the message is, as far as can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Undecided,
    /// Its `result` has begun.
    Result,
    /// Something else: an error, a request, a notification.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Id,
    Result,
    /// One that cannot stand next to a result, unless it is null.
    Rival,
    Other,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Splicer {
    own_id: u64,
    json: Json,
    utf8: Utf8,
    kind: Kind,
    member: Member,
    /// Within the value of a member of the envelope.
    inside: bool,
    /// The text of the name or the id that is being read, and whether it was too long.
    kept: Vec<u8>,
    id: Option<bool>,
    has_result: bool,
}

impl Splicer {
    /// For the answer to request `own_id`.
    pub(crate) fn new(own_id: u64) -> Self {
        Self {
            own_id,
            json: Json::default(),
            utf8: Utf8::default(),
            kind: Kind::Undecided,
            member: Member::Other,
            inside: false,
            kept: Vec::new(),
            id: None,
            has_result: false,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes the next bytes; says which of them belong to the result.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Range<usize>, Damage> {
        self.utf8.push(bytes)?;
        let in_result = self.inside && self.member == Member::Result;
        let mut found: Option<Range<usize>> = in_result.then_some(0..bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            // Text of which nothing is kept is skipped at the speed of memory.
            if self.json.state == State::Text && !self.keeps() {
                at += plain(&bytes[at..]);
                if at == bytes.len() {
                    break;
                }
            }
            let byte = bytes[at];
            let (before, depth) = (self.json.state, self.json.depth);
            self.json.step(byte)?;
            if depth <= 1 || self.json.depth <= 1 {
                self.envelope(before, depth, byte, at, bytes.len(), &mut found)?;
            }
            at += 1;
        }
        Ok(found.unwrap_or(0..0))
    }

    /// The answer ended. It must be whole, and ours.
    pub(crate) fn finish(&self) -> Result<(), Damage> {
        if self.json.state != State::After || self.json.depth != 0 || !self.utf8.is_whole() {
            return Err(Damage::Syntax);
        }
        match (self.kind, self.has_result, self.id) {
            (Kind::Result, true, Some(true)) => Ok(()),
            (Kind::Result, true, _) => Err(Damage::Id),
            _ => Err(Damage::Envelope),
        }
    }

    /// Whether the bytes at this place are of a name or an id.
    fn keeps(&self) -> bool {
        self.json.depth == 1 && (self.json.in_key || (self.inside && self.member == Member::Id))
    }

    /// Follows the members of the envelope: `before` and `depth` are from before this byte.
    fn envelope(
        &mut self,
        before: State,
        depth: usize,
        byte: u8,
        at: usize,
        end: usize,
        found: &mut Option<Range<usize>>,
    ) -> Result<(), Damage> {
        if depth == 0 {
            let is_object = self.json.depth == 1 && self.json.is_object();
            let is_space = byte.is_ascii_whitespace();
            return if is_object || is_space { Ok(()) } else { Err(Damage::Envelope) };
        }
        let now = self.json.state;
        if self.inside {
            let ended_before = before.is_number() && depth == 1 && !now.is_number();
            let ends_here = self.json.depth == 1 && now == State::After && !ended_before;
            if self.member == Member::Id && !ended_before && self.kept.len() < KEPT {
                self.kept.push(byte);
            }
            if ended_before || ends_here {
                self.end_value(at + usize::from(ends_here), found);
            }
        } else if depth == 1 && before == State::Value && !byte.is_ascii_whitespace() {
            self.inside = true;
            match self.member {
                Member::Result => *found = Some(at..end),
                Member::Id => {
                    self.kept.clear();
                    self.kept.push(byte);
                }
                Member::Rival if byte != b'n' => match self.kind {
                    Kind::Result => return Err(Damage::Envelope),
                    Kind::Undecided | Kind::Other => self.kind = Kind::Other,
                },
                Member::Rival | Member::Other => {}
            }
        } else if depth == 1 && self.json.in_key {
            let begins = matches!(before, State::ObjectFirst | State::Key);
            if begins {
                self.kept.clear();
            }
            if (begins || before.is_text()) && self.kept.len() < KEPT {
                self.kept.push(byte);
            }
            if now == State::Colon && before == State::Text {
                self.begin_member()?;
            }
        }
        Ok(())
    }

    /// A name was read, quotes included.
    fn begin_member(&mut self) -> Result<(), Damage> {
        self.json.in_key = false;
        let name = std::str::from_utf8(&self.kept).ok().and_then(super::object::as_str);
        self.member = match name.as_deref() {
            Some("id") if self.id.is_none() => Member::Id,
            Some("result") if self.kind == Kind::Undecided => {
                self.kind = Kind::Result;
                Member::Result
            }
            Some("error" | "method") => Member::Rival,
            // Twice.
            Some("id" | "result") if self.kind != Kind::Other => return Err(Damage::Envelope),
            _ => Member::Other,
        };
        Ok(())
    }

    fn end_value(&mut self, at: usize, found: &mut Option<Range<usize>>) {
        self.inside = false;
        match self.member {
            Member::Result => {
                self.has_result = true;
                if let Some(found) = found {
                    found.end = at;
                }
            }
            Member::Id => {
                let text = std::str::from_utf8(&self.kept).unwrap_or_default();
                self.id = Some(text.trim().parse() == Ok(self.own_id));
            }
            Member::Rival | Member::Other => {}
        }
    }
}

/// How many bytes of a string mean only themselves.
fn plain(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).unwrap_or(bytes.len())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A value must come.
    #[default]
    Value,
    /// After `[`.
    ArrayFirst,
    /// After `{`.
    ObjectFirst,
    /// After a comma in an object.
    Key,
    Colon,
    /// After a value.
    After,
    Text,
    Escape,
    /// So many digits of `\u` are missing.
    Hex(u8),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl State {
    fn is_number(self) -> bool {
        matches!(
            self,
            Self::Minus
                | Self::Zero
                | Self::Integer
                | Self::Point
                | Self::Fraction
                | Self::Exponent
                | Self::ExponentSign
                | Self::ExponentDigits
        )
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Escape | Self::Hex(_))
    }
}

/// Reads JSON, byte by byte.
#[derive(Debug)]
struct Json {
    state: State,
    depth: usize,
    /// One bit for each open container: whether it is an object.
    objects: [u64; MAX_DEPTH / 64],
    in_key: bool,
}

impl Default for Json {
    fn default() -> Self {
        Self { state: State::Value, depth: 0, objects: [0; MAX_DEPTH / 64], in_key: false }
    }
}

impl Json {
    fn is_object(&self) -> bool {
        self.depth > 0 && {
            let at = self.depth - 1;
            self.objects[at / 64] >> (at % 64) & 1 == 1
        }
    }

    fn open(&mut self, object: bool) -> Result<State, Damage> {
        if self.depth == MAX_DEPTH {
            return Err(Damage::Depth);
        }
        let bit = 1 << (self.depth % 64);
        let word = &mut self.objects[self.depth / 64];
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Ok(if object { State::ObjectFirst } else { State::ArrayFirst })
    }

    fn step(&mut self, byte: u8) -> Result<(), Damage> {
        self.state = match self.state {
            State::Text => match byte {
                b'"' if self.in_key && self.depth == 1 => State::Colon,
                b'"' if std::mem::take(&mut self.in_key) => State::Colon,
                b'"' => State::After,
                b'\\' => State::Escape,
                0..=0x1f => return Err(Damage::Syntax),
                _ => State::Text,
            },
            State::Escape => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text,
                b'u' => State::Hex(4),
                _ => return Err(Damage::Syntax),
            },
            State::Hex(missing) if byte.is_ascii_hexdigit() => {
                if missing == 1 {
                    State::Text
                } else {
                    State::Hex(missing - 1)
                }
            }
            State::Literal([next, rest @ ..]) if byte == *next => {
                if rest.is_empty() {
                    State::After
                } else {
                    State::Literal(rest)
                }
            }
            state if state.is_number() => match number(state, byte) {
                Some(state) => state,
                None if matches!(
                    state,
                    State::Zero | State::Integer | State::Fraction | State::ExponentDigits
                ) =>
                {
                    self.state = State::After;
                    self.between(byte)?
                }
                None => return Err(Damage::Syntax),
            },
            State::Hex(_) | State::Literal(_) => return Err(Damage::Syntax),
            _ => self.between(byte)?,
        };
        Ok(())
    }

    /// A byte outside of strings, numbers and literals.
    fn between(&mut self, byte: u8) -> Result<State, Damage> {
        let state = self.state;
        Ok(match (state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Value | State::ArrayFirst, b'{') => self.open(true)?,
            (State::Value | State::ArrayFirst, b'[') => self.open(false)?,
            (State::Value | State::ArrayFirst, b'"') => State::Text,
            (State::Value | State::ArrayFirst, b't') => State::Literal(b"rue"),
            (State::Value | State::ArrayFirst, b'f') => State::Literal(b"alse"),
            (State::Value | State::ArrayFirst, b'n') => State::Literal(b"ull"),
            (State::Value | State::ArrayFirst, b'-') => State::Minus,
            (State::Value | State::ArrayFirst, b'0') => State::Zero,
            (State::Value | State::ArrayFirst, b'1'..=b'9') => State::Integer,
            (State::ObjectFirst | State::Key, b'"') => {
                self.in_key = true;
                State::Text
            }
            (State::Colon, b':') => State::Value,
            (State::After, b',') if self.depth > 0 => {
                if self.is_object() {
                    State::Key
                } else {
                    State::Value
                }
            }
            (State::ObjectFirst, b'}') | (State::ArrayFirst, b']') => {
                self.depth -= 1;
                State::After
            }
            (State::After, b'}') if self.is_object() => {
                self.depth -= 1;
                State::After
            }
            (State::After, b']') if self.depth > 0 && !self.is_object() => {
                self.depth -= 1;
                State::After
            }
            _ => return Err(Damage::Syntax),
        })
    }
}

/// The state after one more byte of a number; `None` if the byte is not of it.
fn number(state: State, byte: u8) -> Option<State> {
    Some(match (state, byte) {
        (State::Minus, b'0') => State::Zero,
        (State::Minus, b'1'..=b'9') | (State::Integer, b'0'..=b'9') => State::Integer,
        (State::Zero | State::Integer, b'.') => State::Point,
        (State::Point | State::Fraction, b'0'..=b'9') => State::Fraction,
        (State::Zero | State::Integer | State::Fraction, b'e' | b'E') => State::Exponent,
        (State::Exponent, b'+' | b'-') => State::ExponentSign,
        (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => State::ExponentDigits,
        _ => return None,
    })
}

/// Whether bytes are UTF-8, however they are cut.
#[derive(Debug, Default)]
struct Utf8 {
    /// The beginning of a character whose rest has not come.
    open: [u8; 4],
    len: usize,
}

impl Utf8 {
    fn is_whole(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Damage> {
        while self.len > 0 {
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            self.open[self.len] = *first;
            self.len += 1;
            bytes = rest;
            match std::str::from_utf8(&self.open[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() || self.len == 4 => return Err(Damage::Syntax),
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            if error.error_len().is_some() {
                return Err(Damage::Syntax);
            }
            let open = &bytes[error.valid_up_to()..];
            self.open[..open.len()].copy_from_slice(open);
            self.len = open.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

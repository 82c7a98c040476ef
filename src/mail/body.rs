//! One text part, encoded once, with places for what is a reader's own (RFC 2045 §6.7 and §6.8).
//!
//! What is written here needs no second look: lines end with CRLF and are at most [`LINE_MAX`] bytes long, none begins
//! with a dot (RFC 5321 §4.5.2), and the relaxed form that DKIM hashes is the same bytes (RFC 6376 §3.4.4), since no
//! blank ends a line and no two stand side by side. `=_` does not occur, so that a boundary can begin with it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::ContentTransferEncoding;

use super::header::LINE_MAX;
use crate::domain::text::{clean, escape_html};

/// What fits on a line of base64: whole groups of three bytes.
const LINE_BYTES: usize = LINE_MAX / 4 * 3;

/// A part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The same for every reader.
    Text(&'a str),
    /// The number of the reader's value that stands here.
    Place(usize),
    /// The number of the reader's value that stands here as it is: in HTML it is HTML already.
    Markup(usize),
}

/// Where a reader's value belongs.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: usize,
    is_markup: bool,
}

/// How a value stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// Escaped for content and double-quoted attributes.
    Html,
}

/// A body in which only the places are left to be encoded.
#[derive(Debug)]
pub(super) struct Body {
    form: Form,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    Quoted(Vec<Quoted>),
    Base64(Vec<Base64>),
}

#[derive(Debug)]
enum Quoted {
    /// Begins at the first column; ends there too, unless a line end follows.
    Text(Vec<u8>),
    Place {
        slot: Slot,
        /// Whether a line end of the text, or the end of the part, follows.
        ends_line: bool,
    },
}

#[derive(Debug)]
enum Base64 {
    Text(Phases),
    Place(Slot),
}

/// A text in base64 for each number of bytes by which what stands before it falls short of a group of three.
#[derive(Debug)]
struct Phases {
    text: Vec<u8>,
    /// Whole groups in lines, each with its CRLF, without this many bytes at the beginning.
    lines: [Vec<u8>; 3],
}

impl Body {
    /// Encodes what all readers get alike, in quoted-printable or base64, whichever is shorter.
    pub(super) fn new(form: Form, pieces: &[Piece<'_>]) -> Self {
        let pieces = merged(pieces);
        let parts = if is_shorter_in_base64(&pieces) {
            let part = |piece| match piece {
                Merged::Text(text) => Base64::Text(Phases::new(text.into_bytes())),
                Merged::Place(slot) => Base64::Place(slot),
            };
            Parts::Base64(pieces.into_iter().map(part).collect())
        } else {
            Parts::Quoted(quoted(&pieces))
        };
        Self { form, parts }
    }

    /// The value of its header.
    pub(super) fn encoding(&self) -> ContentTransferEncoding {
        match self.parts {
            Parts::Quoted(_) => ContentTransferEncoding::QuotedPrintable,
            Parts::Base64(_) => ContentTransferEncoding::Base64,
        }
    }

    /// Bytes that it takes without the readers' values.
    pub(super) fn len(&self) -> usize {
        match &self.parts {
            Parts::Quoted(parts) => {
                parts.iter().map(|part| if let Quoted::Text(text) = part { text.len() } else { 0 }).sum()
            }
            Parts::Base64(parts) => {
                parts.iter().map(|part| if let Base64::Text(text) = part { text.lines[0].len() } else { 0 }).sum()
            }
        }
    }

    /// Writes it for one reader, from the first column of a line; a boundary with its CRLF in front may follow.
    pub(super) fn write(&self, values: &[&str], out: &mut Vec<u8>) {
        let value = |slot: Slot| self.value(values.get(slot.number).copied().unwrap_or_default(), slot.is_markup);
        match &self.parts {
            Parts::Quoted(parts) => {
                for part in parts {
                    match part {
                        Quoted::Text(text) => out.extend_from_slice(text),
                        Quoted::Place { slot, ends_line } => {
                            let mut writer = QuotedWriter::new(out);
                            writer.text(&value(*slot));
                            writer.close(*ends_line);
                        }
                    }
                }
            }
            Parts::Base64(parts) => {
                let mut writer = Base64Writer::new(out);
                for part in parts {
                    match part {
                        Base64::Text(text) => writer.phases(text),
                        Base64::Place(slot) => writer.bytes(value(*slot).as_bytes()),
                    }
                }
                writer.close();
            }
        }
    }

    fn value<'v>(&self, value: &'v str, is_markup: bool) -> Cow<'v, str> {
        let value = normal(value);
        if self.form == Form::Html && !is_markup && value.bytes().any(|b| b"&<>\"'".contains(&b)) {
            escape_html(&value).into()
        } else {
            value
        }
    }
}

/// A piece of normal text, never two in a row and never empty.
enum Merged {
    Text(String),
    Place(Slot),
}

fn merged(pieces: &[Piece<'_>]) -> Vec<Merged> {
    let mut out = vec![];
    for piece in pieces {
        let text = match piece {
            Piece::Text(text) => normal(text),
            Piece::Place(number) | Piece::Markup(number) => {
                let is_markup = matches!(piece, Piece::Markup(_));
                out.push(Merged::Place(Slot { number: *number, is_markup }));
                continue;
            }
        };
        match out.last_mut() {
            Some(Merged::Text(before)) => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => out.push(Merged::Text(text.into_owned())),
        }
    }
    out
}

/// Clean text with CRLF at every line end, whatever it had.
fn normal(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if !text.bytes().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n')) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = &*text;
    while let Some(at) = rest.find(['\r', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str("\r\n");
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
    }
    out.push_str(rest);
    out.into()
}

/// Whether most of it would have to be escaped: each escape costs two bytes more, base64 a third and a line end every
/// 76 bytes.
fn is_shorter_in_base64(pieces: &[Merged]) -> bool {
    let (mut length, mut escaped) = (0, 0);
    for piece in pieces {
        if let Merged::Text(text) = piece {
            let stands = |b: &u8| matches!(b, b' '..=b'<' | b'>'..=b'~' | b'\t' | b'\r' | b'\n');
            length += text.len();
            escaped += text.bytes().filter(|b| !stands(b)).count();
        }
    }
    escaped * 2 > length * 37 / 100
}

fn quoted(pieces: &[Merged]) -> Vec<Quoted> {
    let ends_line = |after: Option<&Merged>| match after {
        None => true,
        Some(Merged::Text(text)) => text.starts_with("\r\n"),
        Some(Merged::Place(_)) => false,
    };
    let mut parts = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let ends_line = ends_line(pieces.get(at + 1));
        parts.push(match piece {
            Merged::Text(text) => {
                let mut encoded = Vec::with_capacity(text.len() + text.len() / 8);
                let mut writer = QuotedWriter::new(&mut encoded);
                writer.text(text);
                writer.close(ends_line);
                Quoted::Text(encoded)
            }
            Merged::Place(slot) => Quoted::Place { slot: *slot, ends_line },
        });
    }
    parts
}

/// Writes quoted-printable from the first column of a line on.
struct QuotedWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the line begins.
    line: usize,
}

impl<'a> QuotedWriter<'a> {
    /// The last column is kept for a soft line break.
    const WIDTH: usize = LINE_MAX - 1;

    fn new(out: &'a mut Vec<u8>) -> Self {
        let line = out.len();
        Self { out, line }
    }

    fn column(&self) -> usize {
        self.out.len() - self.line
    }

    fn ends_with_blank(&self) -> bool {
        self.column() > 0 && self.out.ends_with(b" ")
    }

    /// Normal text: its line ends are CRLF.
    fn text(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        loop {
            // Programs that keep mail in one file put a `>` before "From ".
            if self.column() == 0 && (rest.starts_with(b".") || rest.starts_with(b"From ")) {
                self.escape(rest[0]);
                rest = &rest[1..];
            }
            let room = Self::WIDTH - self.column();
            let stands = |byte: &u8| matches!(byte, b'!'..=b'<' | b'>'..=b'~');
            let run = rest.iter().take(room).position(|byte| !stands(byte)).unwrap_or(room.min(rest.len()));
            self.out.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            let Some(&byte) = rest.first() else { break };
            if let Some(after) = rest.strip_prefix(b"\r\n") {
                self.close(true);
                self.out.extend_from_slice(b"\r\n");
                self.line = self.out.len();
                rest = after;
            } else if run == room {
                self.soft_break();
            } else {
                if byte == b' ' && !self.ends_with_blank() {
                    self.out.push(b' ');
                } else if !stands(&byte) {
                    self.escape(byte);
                }
                rest = &rest[1..];
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        if self.column() + 3 > Self::WIDTH {
            self.soft_break();
        }
        self.out.extend([b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }

    /// A line end that is not one of the text.
    fn soft_break(&mut self) {
        if self.column() > 0 {
            self.out.extend_from_slice(b"=\r\n");
            self.line = self.out.len();
        }
    }

    /// Ends what was written: for a line end that follows, else so that the next piece begins at the first column.
    fn close(&mut self, ends_line: bool) {
        if !ends_line {
            self.soft_break();
        } else if self.ends_with_blank() {
            self.out.pop();
            self.escape(b' ');
        }
    }
}

impl Phases {
    fn new(text: Vec<u8>) -> Self {
        let lines = [0, 1, 2].map(|skipped| {
            let mut lines = Vec::with_capacity(text.len() / LINE_BYTES * (LINE_MAX + 2) + LINE_MAX + 2);
            let mut writer = Base64Writer::new(&mut lines);
            writer.groups(&text[Self::whole(text.len(), skipped)]);
            writer.end_line();
            lines
        });
        Self { text, lines }
    }

    /// The whole groups of three after so many bytes.
    fn whole(length: usize, skipped: usize) -> std::ops::Range<usize> {
        let start = skipped.min(length);
        start..start + (length - start) / 3 * 3
    }
}

/// Writes base64 in lines of whole groups, from the first column on.
struct Base64Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Where the line begins.
    line: usize,
    /// Less than a group.
    carried: [u8; 3],
    count: usize,
}

impl<'a> Base64Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, line: start, carried: [0; 3], count: 0 }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.count > 0
            && let Some((&byte, after)) = rest.split_first()
        {
            self.carry(byte);
            rest = after;
        }
        let whole = rest.len() / 3 * 3;
        self.groups(&rest[..whole]);
        for byte in &rest[whole..] {
            self.carry(*byte);
        }
    }

    fn carry(&mut self, byte: u8) {
        self.carried[self.count] = byte;
        self.count += 1;
        if self.count == 3 {
            let group = self.carried;
            self.count = 0;
            self.groups(&group);
        }
    }

    /// What completes the group before it is encoded, the rest was.
    fn phases(&mut self, phases: &Phases) {
        let missing = (3 - self.count) % 3;
        let whole = Phases::whole(phases.text.len(), missing);
        if whole.len() < LINE_BYTES {
            return self.bytes(&phases.text);
        }
        self.bytes(&phases.text[..whole.start]);
        self.end_line();
        self.out.extend_from_slice(&phases.lines[missing]);
        self.line = self.out.len();
        self.bytes(&phases.text[whole.end..]);
    }

    /// Bytes that are encoded at once: whole groups, but for the very last.
    fn groups(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = self.out.len();
            let room = (LINE_MAX - (start - self.line)) / 4 * 3;
            if room == 0 {
                self.end_line();
                continue;
            }
            let (now, after) = rest.split_at(room.min(rest.len()));
            self.out.resize(start + now.len().div_ceil(3) * 4, 0);
            let written = STANDARD.encode_slice(now, &mut self.out[start..]).unwrap_or_default();
            self.out.truncate(start + written);
            rest = after;
        }
    }

    fn end_line(&mut self) {
        if self.out.len() > self.line {
            self.out.extend_from_slice(b"\r\n");
            self.line = self.out.len();
        }
    }

    fn close(mut self) {
        let (carried, count) = (self.carried, self.count);
        self.groups(&carried[..count]);
        // The boundary brings the CRLF of the last line.
        if self.out.len() == self.line && self.line > self.start {
            self.out.truncate(self.line - 2);
        }
    }
}

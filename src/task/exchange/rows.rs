//! Lines of a file, one after another, whatever it is: never more of it in memory than one line may have.
//!
//! Reading CSV by hand, and not with `csv`, keeps three promises: a line has the number that an editor shows, a quotation
//! mark that is missing costs one line and not the rest of the file, and no line takes more memory than its limit.

use std::collections::VecDeque;
use std::io::BufRead;

use serde_json::{Map, Value};

use super::text::{Text, decoded, is_beyond_ascii};
use crate::problem::Problem;

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// Longest object of JSON, in bytes: it may hold a ledger.
const MAX_OBJECT: usize = 4 * 1024 * 1024;
/// A line longer than this is none: the file is something else.
const MAX_SKIPPED: usize = 8 * 1024 * 1024;
/// So many quotation marks may be missing until the file is given up.
const MAX_UNCLOSED: u32 = 20;

/// A line: its fields by their places, or by their names.
#[derive(Debug, PartialEq)]
pub(super) enum Fields {
    /// Of CSV.
    Placed(Vec<String>),
    /// Of JSON.
    Named(Map<String, Value>),
}

/// A line with its number, or what is wrong with it.
pub(super) type Line = (usize, Result<Fields, (String, &'static str)>);

/// Why reading ends before the file does: the line, what is there, a remedy.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) hint: &'static str,
}

impl Broken {
    pub(super) fn problem(&self, file: &str) -> Problem {
        Problem::new(file, self.what.clone()).at(self.line).hint(self.hint)
    }
}

fn broken(line: usize, what: impl Into<String>, hint: &'static str) -> Broken {
    Broken { line, what: what.into(), hint }
}

/// The lines of a text.
pub(super) struct Rows<'a> {
    input: Box<dyn BufRead + Send + 'a>,
    is_utf8: bool,
    kind: Kind,
    /// Bytes that are read again before the rest.
    again: VecDeque<u8>,
    /// The line on which the next byte stands.
    line: usize,
    after_return: bool,
    unclosed: u32,
    /// Bytes since something stood somewhere.
    blank: usize,
    /// Whether something was read as windows-1252.
    pub(super) windows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Fields between this byte.
    Csv(u8),
    /// Objects, each on a line of its own.
    Lines,
    /// Objects within brackets.
    Array,
}

impl<'a> Rows<'a> {
    pub(super) fn of(text: Text<'a>) -> Self {
        let first = text.sample.iter().find(|byte| !byte.is_ascii_whitespace());
        let kind = match first {
            Some(b'{') => Kind::Lines,
            Some(b'[') => Kind::Array,
            _ => Kind::Csv(separator(&text.sample)),
        };
        let (input, is_utf8) = (text.input, text.is_utf8);
        Self {
            input,
            is_utf8,
            kind,
            again: VecDeque::new(),
            line: 1,
            after_return: false,
            unclosed: 0,
            blank: 0,
            windows: false,
        }
    }

    /// Whether it is CSV, with a heading.
    pub(super) fn has_heading(&self) -> bool {
        matches!(self.kind, Kind::Csv(_))
    }

    /// Gives up a file in which nothing stands for long.
    fn pass_over(&mut self, bytes: usize) -> Result<(), Broken> {
        self.blank += bytes;
        if self.blank <= MAX_SKIPPED {
            return Ok(());
        }
        let what = format!("nothing stands in the {} MiB up to here: this is no list", MAX_SKIPPED >> 20);
        Err(broken(self.line, what, "write a CSV or JSON file, with a line for each person"))
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Broken> {
        match self.kind {
            Kind::Csv(separator) => self.record(separator),
            Kind::Lines | Kind::Array => self.object(),
        }
    }

    /// The next byte, every line end as LF.
    fn byte(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let next = if let Some(byte) = self.again.pop_front() {
                Some(byte)
            } else {
                let ready = self.input.fill_buf().map_err(|error| Broken {
                    line: self.line,
                    what: format!("the file cannot be read any further: {error}"),
                    hint: "bring it again; who was taken in is known",
                })?;
                let byte = ready.first().copied();
                self.input.consume(usize::from(byte.is_some()));
                byte
            };
            let Some(byte) = next else { return Ok(None) };
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    return Ok(Some(b'\n'));
                }
                0 => {
                    let hint = "write a CSV or JSON file; a spreadsheet's own files are none";
                    return Err(broken(self.line, "a byte of zero stands here: this is no text", hint));
                }
                byte => return Ok(Some(byte)),
            }
        }
    }

    /// One record of CSV (RFC 4180 §2).
    fn record(&mut self, separator: u8) -> Result<Option<Line>, Broken> {
        loop {
            let started = self.line;
            let (mut raw, mut text, mut ends) =
                (Vec::with_capacity(128), Vec::with_capacity(128), Vec::with_capacity(8));
            let (mut quoted, mut at_start, mut closed) = (false, true, false);
            let end = loop {
                if raw.len() > MAX_LINE {
                    break End::TooLong;
                }
                let Some(byte) = self.byte()? else { break if quoted { End::Unclosed } else { End::OfFile } };
                raw.push(byte);
                if quoted {
                    if byte == b'"' {
                        (quoted, closed) = (false, true);
                    } else {
                        text.push(byte);
                    }
                    continue;
                }
                if byte == b'"' && (at_start || closed) {
                    // Twice within quotation marks is one.
                    if closed {
                        text.push(byte);
                    }
                    (quoted, at_start, closed) = (true, false, false);
                    continue;
                }
                closed = false;
                if byte == separator {
                    ends.push(text.len());
                    at_start = true;
                } else if byte == b'\n' {
                    break End::OfLine;
                } else {
                    at_start = false;
                    text.push(byte);
                }
            };
            ends.push(text.len());
            match end {
                End::TooLong | End::Unclosed => return self.recovered(started, &raw, end).map(Some),
                End::OfFile if raw.is_empty() => return Ok(None),
                End::OfLine | End::OfFile => {}
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                self.pass_over(raw.len())?;
                continue;
            }
            self.blank = 0;
            return Ok(Some((started, self.fields(&text, &ends))));
        }
    }

    fn fields(&mut self, text: &[u8], ends: &[usize]) -> Result<Fields, (String, &'static str)> {
        self.is_utf8 |= is_beyond_ascii(text);
        let mut from = 0;
        let mut fields = Vec::with_capacity(ends.len());
        for end in ends {
            let bytes = &text[from..*end];
            from = *end;
            let field = decoded(bytes, !self.is_utf8)
                .ok_or_else(|| ("the line is not UTF-8".to_owned(), "save the file as UTF-8"))?;
            self.windows |= matches!(field, std::borrow::Cow::Owned(_));
            fields.push(field.into_owned());
        }
        Ok(Fields::Placed(fields))
    }

    /// Goes on below the first line of a record that does not end.
    fn recovered(&mut self, started: usize, raw: &[u8], end: End) -> Result<Line, Broken> {
        const HINT: &str = "a quotation mark may be missing above it";
        self.unclosed += 1;
        if self.unclosed > MAX_UNCLOSED {
            let what = format!("more than {MAX_UNCLOSED} lines up to this one do not end");
            return Err(broken(started, what, "check the quotation marks, and the separators"));
        }
        if let Some(first) = raw.iter().position(|byte| *byte == b'\n') {
            for byte in raw[first + 1..].iter().rev() {
                self.again.push_front(*byte);
            }
            self.line = started + 1;
            // The other half of a line end that was read already.
            if std::mem::take(&mut self.after_return)
                && self.input.fill_buf().is_ok_and(|ready| ready.first() == Some(&b'\n'))
            {
                self.input.consume(1);
            }
        } else {
            self.skip_line(started, raw.len())?;
        }
        let what = match end {
            End::Unclosed => "a quotation mark is not closed".to_owned(),
            _ => format!("the line is longer than {MAX_LINE} bytes"),
        };
        Ok((started, Err((what, HINT))))
    }

    fn skip_line(&mut self, started: usize, so_far: usize) -> Result<(), Broken> {
        let mut skipped = so_far;
        while self.byte()?.is_some_and(|byte| byte != b'\n') {
            skipped += 1;
            if skipped > MAX_SKIPPED {
                let what = format!("the line is longer than {} MiB: this is no list", MAX_SKIPPED >> 20);
                return Err(broken(started, what, "write a CSV or JSON file, with a line for each person"));
            }
        }
        Ok(())
    }

    /// One object of JSON.
    fn object(&mut self) -> Result<Option<Line>, Broken> {
        loop {
            let started = self.line;
            let Some(byte) = self.byte()? else { return Ok(None) };
            match byte {
                b'{' => {}
                b'[' | b']' | b',' if self.kind == Kind::Array => {
                    self.pass_over(1)?;
                    continue;
                }
                byte if byte.is_ascii_whitespace() => {
                    self.pass_over(1)?;
                    continue;
                }
                _ if self.kind == Kind::Lines => {
                    self.skip_line(started, 1)?;
                    return Ok(Some((started, Err(not_json()))));
                }
                _ => {
                    return Err(broken(
                        started,
                        "no object stands here",
                        "write a list of objects: [{\"address\": …}, …]",
                    ));
                }
            }
            self.blank = 0;
            let mut text = vec![byte];
            let (mut depth, mut in_text, mut escaped) = (1_u32, false, false);
            while depth > 0 {
                let Some(byte) = self.byte()? else {
                    return Err(broken(started, "the object that begins here does not end", "the file may be cut off"));
                };
                if byte == b'\n' && self.kind == Kind::Lines {
                    return Ok(Some((started, Err(not_json()))));
                }
                if text.len() > MAX_OBJECT {
                    let what = format!("the object that begins here is longer than {MAX_OBJECT} bytes");
                    return Err(broken(started, what, "a quotation mark or a brace may be missing"));
                }
                text.push(byte);
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_text => escaped = true,
                    b'"' => in_text = !in_text,
                    b'{' | b'[' if !in_text => depth += 1,
                    b'}' | b']' if !in_text => depth -= 1,
                    _ => {}
                }
            }
            let parsed = serde_json::from_slice(&text).map(Fields::Named);
            return Ok(Some((started, parsed.map_err(|_| not_json()))));
        }
    }
}

fn not_json() -> (String, &'static str) {
    ("this is not JSON".to_owned(), "write an object such as {\"address\": \"ann@example.org\"}")
}

#[derive(Debug, Clone, Copy)]
enum End {
    OfLine,
    OfFile,
    Unclosed,
    TooLong,
}

/// What stands between the fields of the first line: a comma, a semicolon or a tab, whichever there are most of.
fn separator(sample: &[u8]) -> u8 {
    let first = sample.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.trim_ascii().is_empty());
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in first.unwrap_or_default() {
        quoted ^= *byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(byte == separator && !quoted);
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or_default();
    counts.iter().find(|(_, count)| *count == most).map_or(b',', |(separator, _)| *separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<(usize, String)>, Option<usize>) {
        let mut rows = Rows::of(Text::open(bytes).unwrap());
        let mut found = vec![];
        loop {
            match rows.next() {
                Ok(None) => return (found, None),
                Ok(Some((line, Ok(Fields::Placed(fields))))) => found.push((line, fields.join("|"))),
                Ok(Some((line, Ok(Fields::Named(fields))))) => found.push((line, Value::Object(fields).to_string())),
                Ok(Some((line, Err((what, _))))) => found.push((line, format!("! {what}"))),
                Err(broken) => return (found, Some(broken.line)),
            }
        }
    }

    fn lines(bytes: &[u8]) -> Vec<(usize, String)> {
        let (found, broken) = read(bytes);
        assert_eq!(broken, None);
        found
    }

    #[test]
    fn fields_stand_between_whatever_separates_the_first_line() {
        for separator in [",", ";", "\t"] {
            let text = "a;b;c\n\"1\n2\";\"x;\"\"y\"\"\";\n\n  \nz;\"\";q\"r".replace(';', separator);
            let expected = [(1, "a|b|c"), (2, "1\n2|x;\"y\"|"), (6, "z||q\"r")];
            let expected = expected.map(|(line, text)| (line, text.replace(';', separator)));
            assert_eq!(lines(text.as_bytes()), expected, "{separator:?}");
        }
    }

    #[test]
    fn a_quotation_mark_that_is_missing_costs_one_line() {
        let text = "a,b\n\"1,2\n3,4\n5,6\n";
        let unclosed = "! a quotation mark is not closed".to_owned();
        assert_eq!(lines(text.as_bytes())[1..], [(2, unclosed), (3, "3|4".into()), (4, "5|6".into())]);
        let long = format!("a,b\n\"1,2\n{}", "3,4\r\n".repeat(30_000));
        let found = lines(long.as_bytes());
        assert_eq!(found.len(), 30_002);
        assert!(found[1].1.starts_with("! the line is longer"), "{:?}", found[1]);
        assert_eq!(found.last().unwrap(), &(30_002, "3|4".to_owned()));
    }

    #[test]
    fn what_is_no_list_is_given_up_with_its_line() {
        let endless = [b"a,b\n1,2\n".as_slice(), &vec![b'x'; MAX_SKIPPED + 10]].concat();
        assert_eq!(read(&endless).1, Some(3));
        assert_eq!(read(b"a,b\n1,2\n\0\0\0").1, Some(3));
        let open = format!("\"{}", format!("{}\n", "x".repeat(999)).repeat(70));
        assert_eq!(read(format!("a,b\n{}", open.repeat(22)).as_bytes()).1, Some(1402));
        assert_eq!(read(b"[{\"a\": 1},\n{\"a\":\n").1, Some(2));
        assert_eq!(read(b"[{\"a\": 1},\n17]").1, Some(2));
    }

    #[test]
    fn objects_are_read_from_a_list_and_line_by_line() {
        let array = "[\n  {\"a\": \"}\\\"\"},\n  {\"a\": {\"b\": []}}\n]\n";
        assert_eq!(lines(array.as_bytes()), [(2, "{\"a\":\"}\\\"\"}".into()), (3, "{\"a\":{\"b\":[]}}".into())]);
        let text = "{\"a\":1}\nnonsense\n{\"a\":\n\n{\"a\":2}\n";
        let wrong = || "! this is not JSON".to_owned();
        assert_eq!(
            lines(text.as_bytes()),
            [(1, "{\"a\":1}".into()), (2, wrong()), (3, wrong()), (5, "{\"a\":2}".into())]
        );
    }
}

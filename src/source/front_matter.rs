//! Front matter: the lines before the body, as TOML between `+++` or YAML between `---`.
//!
//! Both become one small tree of values that remember their lines. What the keys mean is none of its business.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Complaints, line_after};

/// A value and the line of the file that it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What front matter can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing: YAML's null.
    Nothing,
    Text(String),
    Bool(bool),
    /// A number as it was written: in YAML it may well be meant as text.
    Number(String),
    /// A TOML date, as it is written in RFC 3339.
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// Keys and values in no particular order.
pub(super) type Table = Vec<(String, Node)>;

impl Value {
    /// The value as a complaint names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Text(text) => format!("{text:?}"),
            Self::Bool(value) => value.to_string(),
            Self::Number(written) | Self::Date(written) => written.clone(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// A file taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Parts<'a> {
    /// The front matter, where there is any.
    pub(super) front: Option<Front<'a>>,
    pub(super) body: &'a str,
    /// Line of the file that the body begins on.
    pub(super) body_line: usize,
}

/// The text between the fences.
#[derive(Debug, PartialEq)]
pub(super) struct Front<'a> {
    text: &'a str,
    language: Language,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Language {
    Toml,
    Yaml,
}

/// YAML values that aliases may repeat, all told: a nest of them would otherwise grow without end.
const MAX_REPLAYED: usize = 10_000;

/// Lines of the file before the front matter's own first line: the fence.
const FENCE_LINES: usize = 1;

/// Takes front matter and body apart; `Err` names the fence that is never closed.
pub(super) fn split(text: &str) -> Result<Parts<'_>, &'static str> {
    let first_end = text.find('\n').map_or(text.len(), |at| at + 1);
    let (fence, language) = match text[..first_end].trim_end() {
        "+++" => ("+++", Language::Toml),
        "---" => ("---", Language::Yaml),
        _ => return Ok(Parts { front: None, body: text, body_line: 1 }),
    };
    let mut at = first_end;
    for (number, line) in text[first_end..].split_inclusive('\n').enumerate() {
        let closes = line.trim_end();
        if closes == fence || (language == Language::Yaml && closes == "...") {
            let front = Some(Front { text: &text[first_end..at], language });
            return Ok(Parts { front, body: &text[at + line.len()..], body_line: number + FENCE_LINES + 2 });
        }
        at += line.len();
    }
    Err(fence)
}

/// The front matter's keys and values; `None` where it is not TOML or YAML, with the complaints made.
pub(super) fn read(front: &Front<'_>, complaints: &mut Complaints<'_>) -> Option<Table> {
    match front.language {
        Language::Toml => toml(front.text, complaints),
        Language::Yaml => yaml(front.text, complaints),
    }
}

fn toml(text: &str, complaints: &mut Complaints<'_>) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(toml_table(table.into_inner(), &mut Lines::of(text)));
    }
    for error in errors {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = line_after(before, 1 + FENCE_LINES);
        complaints.add(line, format!("front matter is not TOML: {}", error.message()));
    }
    None
}

fn toml_table(table: DeTable<'_>, lines: &mut Lines<'_>) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let line = lines.at(key.span().start);
            let key = key.into_inner().into_owned();
            (key, Node { line, value: toml_value(value.into_inner(), lines) })
        })
        .collect()
}

fn toml_value(value: DeValue<'_>, lines: &mut Lines<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Number(number.to_string()),
        DeValue::Float(number) => Value::Number(number.to_string()),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(at) => Value::Date(at.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| Node { line: lines.at(item.span().start), value: toml_value(item.into_inner(), lines) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(toml_table(table, lines)),
    }
}

/// Turns offsets in the front matter into lines of the file.
struct Lines<'a> {
    text: &'a str,
    /// An offset and its line, to go on from where the next is later.
    known: (usize, usize),
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, known: (0, 1 + FENCE_LINES) }
    }

    fn at(&mut self, offset: usize) -> usize {
        let (from, line) = if self.known.0 <= offset { self.known } else { (0, 1 + FENCE_LINES) };
        self.known = (offset, line_after(self.text.get(from..offset).unwrap_or_default(), line));
        self.known.1
    }
}

fn yaml(text: &str, complaints: &mut Complaints<'_>) -> Option<Table> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
    };
    let root = match serde_saphyr::from_str_with_options::<Option<Spanned<Yaml>>>(text, options) {
        Ok(root) => root,
        Err(error) => {
            let line = error.location().and_then(|at| usize::try_from(at.line()).ok()).unwrap_or(0);
            let what = error.without_snippet().to_string();
            // The crate's own message repeats the place, counted from the fence, and speaks to programmers.
            let what =
                [" at line ", ", set "].iter().fold(what.as_str(), |what, end| what.split(end).next().unwrap_or(what));
            complaints.add(line + FENCE_LINES, format!("front matter is not YAML: {what}"));
            return None;
        }
    };
    match root.map(|root| node(root, text)) {
        None | Some(Node { value: Value::Nothing, .. }) => Some(Table::new()),
        Some(Node { value: Value::Table(table), .. }) => Some(table),
        Some(Node { line, value }) => {
            let what = format!("front matter is not made of keys and values but is {}", value.describe());
            complaints.add(line, what).hint("write title: … and date: …, one to a line");
            None
        }
    }
}

/// A YAML value as the parser hands it over.
enum Yaml {
    Nothing,
    Text(String),
    Bool(bool),
    Number(String),
    List(Vec<Spanned<Yaml>>),
    Table(Vec<(String, Spanned<Yaml>)>),
}

/// The value with its line; a number gets back the digits that were written (`1.10` is not `1.1`).
fn node(yaml: Spanned<Yaml>, text: &str) -> Node {
    let line = usize::try_from(yaml.referenced.line()).unwrap_or(0) + FENCE_LINES;
    let span = yaml.defined.span();
    let value = match yaml.value {
        Yaml::Nothing => Value::Nothing,
        Yaml::Text(text) => Value::Text(text),
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => {
            let written = span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
                let start = usize::try_from(start).ok()?;
                text.get(start..start + usize::try_from(length).ok()?)
            });
            let written = written.map(str::trim).filter(|written| written.starts_with(|c: char| c.is_ascii_digit()));
            Value::Number(written.map_or(number, str::to_owned))
        }
        Yaml::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Yaml::Table(table) => Value::Table(table.into_iter().map(|(key, value)| (key, node(value, text))).collect()),
    };
    Node { line, value }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false, a list, or keys and values")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Yaml::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, Vec<String>> {
        let mut complaints = Complaints::new("a.md");
        let parts = split(text).map_err(|fence| vec![fence.to_owned()])?;
        let table = parts.front.as_ref().and_then(|front| read(front, &mut complaints));
        table.ok_or_else(|| complaints.list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn toml_and_yaml_say_the_same_with_their_lines() {
        let mut toml = table("+++\r\ntitle = \"A\"\r\n\r\ntags = [\r\n  \"b\",\r\n  \"c\"]\r\n+++\r\nbody").unwrap();
        let mut yaml = table("---\r\ntitle: A\r\n\r\ntags:\r\n - b\r\n - c\r\n---\r\nbody").unwrap();
        toml.sort_by_key(|(_, node)| node.line);
        yaml.sort_by_key(|(_, node)| node.line);
        let lines = |table: &Table| match &table[1].1.value {
            Value::List(items) => items.iter().map(|item| (item.line, item.value.describe())).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!((toml[0].1.line, yaml[0].1.line), (2, 2));
        assert_eq!(lines(&toml), [(5, "\"b\"".to_owned()), (6, "\"c\"".to_owned())]);
        assert_eq!(lines(&yaml), lines(&toml));
    }

    #[test]
    fn a_body_knows_its_line() {
        let parts = split("+++\na = 1\n+++\nbody").unwrap();
        assert_eq!((parts.body, parts.body_line), ("body", 4));
        assert_eq!(split("body").unwrap(), Parts { front: None, body: "body", body_line: 1 });
        assert_eq!(split("---\na: 1\n"), Err("---"));
    }

    #[test]
    fn every_fault_of_toml_is_named_with_its_line() {
        let faults = table("+++\ntitle = \ndate = 2026-03-02\nfeatured = yes\n+++\n").unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("a.md:2: front matter is not TOML"), "{faults:?}");
        assert!(faults[1].starts_with("a.md:4: front matter is not TOML"), "{faults:?}");
    }

    #[test]
    fn a_fault_of_yaml_is_named_with_its_line() {
        let faults = table("---\ntitle: A\ntags: [a, b\ndate: x\n---\n").unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("a.md:"), "{faults:?}");
        let faults = table("---\ntitle: A\ntitle: B\n---\n").unwrap_err();
        assert!(faults[0].starts_with("a.md:3: front matter is not YAML: duplicate"), "{faults:?}");
        let faults = table("---\njust text\n---\n").unwrap_err();
        assert!(faults[0].starts_with("a.md:2: front matter is not made of keys"), "{faults:?}");
    }

    #[test]
    fn numbers_in_yaml_keep_the_digits_that_were_written() {
        let table = table("---\na: 1.10\nb: 007\nc: yes\nd: true\ne:\n---\n").unwrap();
        let values: Vec<_> = table.into_iter().map(|(_, node)| node.value).collect();
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            values,
            [Value::Number("1.10".to_owned()), text("007"), text("yes"), Value::Bool(true), Value::Nothing]
        );
    }

    #[test]
    fn a_nest_of_aliases_does_not_eat_the_memory() {
        let level = |level: usize| format!("a{level}: &a{level} [{}x]\n", format!("*a{}, ", level - 1).repeat(9));
        let levels: String = (1..20).map(level).collect();
        let bomb = format!("---\na0: &a0 [x, x, x]\n{levels}---\n");
        assert_eq!(table(&bomb).unwrap_err().len(), 1);
    }
}

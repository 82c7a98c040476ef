//! Attributes: what else is known of a subscriber, a small JSON object with names of the publication's own choice.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::text::one_line;

/// The longest they may be, as JSON.
pub const MAX_BYTES: usize = 16 * 1024;
/// So many there may be.
pub const MAX_NAMES: usize = 100;
/// The longest name, in characters.
pub const MAX_NAME: usize = 64;
/// How deep values may stand within one another, the object itself counted.
pub const MAX_DEPTH: usize = 4;

/// Whole numbers up to here are the same for everyone who reads JSON (RFC 8259 §6).
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// What is wrong with attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeFault {
    /// The text is no JSON object.
    NoObject,
    /// A name is empty or too long.
    Name,
    /// There are too many.
    TooMany,
    /// They are too long altogether.
    TooLong,
    /// They stand too deep within one another.
    TooDeep,
}

impl fmt::Display for AttributeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => f.write_str("attributes are no JSON object"),
            Self::Name => write!(f, "an attribute's name is empty or longer than {MAX_NAME} characters"),
            Self::TooMany => write!(f, "there are more than {MAX_NAMES} attributes"),
            Self::TooLong => write!(f, "attributes are longer than {MAX_BYTES} bytes"),
            Self::TooDeep => write!(f, "attributes stand more than {MAX_DEPTH} deep within one another"),
        }
    }
}

impl AttributeFault {
    /// A remedy.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoObject => "write an object such as {\"city\": \"Port Example\"}",
            Self::Name => "write a short name, such as city",
            Self::TooMany | Self::TooLong => "keep what mail is chosen by, and leave the rest out",
            Self::TooDeep => "write texts, numbers, true, false, or lists of them",
        }
    }
}

/// The attributes of one subscriber, within their limits. Texts are one line each; nothing is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// Reads JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AttributeFault> {
        if text.len() > 4 * MAX_BYTES {
            return Err(AttributeFault::TooLong);
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Self::of(fields),
            _ => Err(AttributeFault::NoObject),
        }
    }

    /// Takes an object as it came.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(fields: Map<String, Value>) -> Result<Self, AttributeFault> {
        let attributes = Self(object(fields, 1)?);
        attributes.within_limits()?;
        Ok(attributes)
    }

    fn within_limits(&self) -> Result<(), AttributeFault> {
        if self.0.len() > MAX_NAMES {
            return Err(AttributeFault::TooMany);
        }
        if self.to_json().len() > MAX_BYTES { Err(AttributeFault::TooLong) } else { Ok(()) }
    }

    /// The same with what `newer` says, which goes before.
    ///
    /// # Errors
    /// When both together are too many.
    pub fn with(mut self, newer: Self) -> Result<Self, AttributeFault> {
        self.0.extend(newer.0);
        self.within_limits()?;
        Ok(self)
    }

    /// The same without these.
    #[must_use]
    pub fn without(mut self, names: &[String]) -> Self {
        for name in names {
            self.0.remove(&one_line(name));
        }
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// As the object that they are.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Each text, number, `true` or `false` that one has: itself, or those of its list.
    pub fn each(&self, name: &str) -> impl Iterator<Item = &Value> {
        let values = match self.0.get(name) {
            Some(Value::Array(list)) => list.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        values.iter().filter(|value| !value.is_object() && !value.is_array())
    }

    /// As JSON, the same for the same attributes.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// What a text means that somebody typed: a number and a truth value are what they look like, where they would be written
/// again in the same way.
pub fn typed(text: &str) -> Value {
    let text = one_line(text);
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let is_same = |number: &Number| number.to_string() == text;
    let whole = text.parse::<i64>().ok().and_then(|number| plain(&Number::from(number)));
    let broken = || text.parse::<f64>().ok().and_then(Number::from_f64).and_then(|number| plain(&number));
    whole.or_else(broken).filter(is_same).map_or(Value::String(text), Value::Number)
}

/// A value as text: what comparing with a word means.
pub fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number that every engine writes alike; none where it has too many digits or is too small.
fn plain(number: &Number) -> Option<Number> {
    let value = number.as_f64()?;
    if value.abs() > MAX_WHOLE {
        return None;
    }
    if value.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        return Some(Number::from(value as i64));
    }
    let digits = value.abs().to_string().chars().filter(char::is_ascii_digit).count();
    (value.abs() >= 0.001 && digits <= 14).then(|| Number::from_f64(value)).flatten()
}

fn object(fields: Map<String, Value>, depth: usize) -> Result<Map<String, Value>, AttributeFault> {
    let mut clean = Map::new();
    for (name, value) in fields {
        let name = one_line(&name);
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(AttributeFault::Name);
        }
        if let Some(value) = cleaned(value, depth + 1)? {
            clean.insert(name, value);
        }
    }
    Ok(clean)
}

fn cleaned(value: Value, depth: usize) -> Result<Option<Value>, AttributeFault> {
    let is_nested = value.is_object() || value.is_array();
    if is_nested && depth > MAX_DEPTH {
        return Err(AttributeFault::TooDeep);
    }
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => Value::Bool(truth),
        Value::String(text) => Value::String(one_line(&text)),
        Value::Number(number) => plain(&number).map_or_else(|| Value::String(number.to_string()), Value::Number),
        Value::Array(list) => {
            let list: Result<Vec<_>, _> = list.into_iter().map(|value| cleaned(value, depth + 1)).collect();
            Value::Array(list?.into_iter().flatten().collect())
        }
        Value::Object(fields) => Value::Object(object(fields, depth)?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, AttributeFault> {
        Attributes::parse(text).map(|attributes| attributes.to_json())
    }

    #[test]
    fn what_comes_in_is_cleaned() {
        for (text, json) in [
            ("{}", "{}"),
            (r#"{"b": null, "a": 1.0}"#, r#"{"a":1}"#),
            (r#"{" the  city ": "Port\u0000\n\u202eExample"}"#, r#"{"the city":"Port Example"}"#),
            (r#"{"tags": ["x", null, 2.5], "of": {"a": {"b": true}}}"#, r#"{"of":{"a":{"b":true}},"tags":["x",2.5]}"#),
            (r#"{"n": 1e30, "m": 0.00001}"#, r#"{"m":"0.00001","n":"1e+30"}"#),
        ] {
            assert_eq!(read(text).as_deref(), Ok(json), "{text}");
        }
    }

    #[test]
    fn they_have_limits() {
        let long = |length: usize| format!("{{\"a\": \"{}\"}}", "x".repeat(length));
        let many = |number: usize| {
            let parts: Vec<String> = (0..number).map(|at| format!("\"a{at}\": 1")).collect();
            format!("{{{}}}", parts.join(","))
        };
        assert!(read(&long(16_000)).is_ok() && read(&many(100)).is_ok());
        assert!(read(r#"{"a": {"b": {"c": {"d": 1}}}}"#).is_ok());
        for (text, fault) in [
            (long(17_000), AttributeFault::TooLong),
            (long(70_000), AttributeFault::TooLong),
            (many(101), AttributeFault::TooMany),
            (r#"{"a": {"b": {"c": {"d": {}}}}}"#.to_owned(), AttributeFault::TooDeep),
            (r#"{"": 1}"#.to_owned(), AttributeFault::Name),
            (format!("{{\"{}\": 1}}", "x".repeat(65)), AttributeFault::Name),
            ("[1]".to_owned(), AttributeFault::NoObject),
            ("nonsense".to_owned(), AttributeFault::NoObject),
            (format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), AttributeFault::NoObject),
        ] {
            assert_eq!(read(&text), Err(fault), "{text:.80}");
        }
    }

    #[test]
    fn a_typed_number_is_one_where_nothing_of_it_would_be_lost() {
        for (text, json) in [
            ("12", "12"),
            ("-2.5", "-2.5"),
            ("true", "true"),
            ("007", "\"007\""),
            ("+1", "\"+1\""),
            ("1.50", "\"1.50\""),
            ("1e5", "\"1e5\""),
            ("inf", "\"inf\""),
            ("12345678901234567890", "\"12345678901234567890\""),
            ("-0", "\"-0\""),
            (" Port  Example ", "\"Port Example\""),
        ] {
            assert_eq!(typed(text).to_string(), json, "{text}");
        }
    }
}

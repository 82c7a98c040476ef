//! What readers agreed to and took back: each step with its time, its source and the words that were agreed to.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::feed::FeedName;
use super::newsletter::Cadence;
use super::text::{one_line, shorten};

/// Longest name of a version of the form's words: ours are hashes.
const MAX_VERSION: usize = 100;

/// By which way a reader's word came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The public form, and the link that confirms what was asked for there.
    Form,
    /// The pages behind the signed links in mail.
    Preferences,
    /// One click in a mail program (RFC 8058), or a letter to the address to leave by.
    Header,
    /// A list from elsewhere.
    Import,
    /// An editor at the command line.
    Cli,
    /// The clock: a pause that was over.
    Clock,
}

impl Source {
    const ALL: [Self; 6] = [Self::Form, Self::Preferences, Self::Header, Self::Import, Self::Cli, Self::Clock];

    /// The word for it in SQL and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Preferences => "preferences",
            Self::Header => "header",
            Self::Import => "import",
            Self::Cli => "cli",
            Self::Clock => "clock",
        }
    }

    /// The source that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// One step of a reader's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Asked for, with the form.
    Asked,
    /// Came from elsewhere.
    Imported,
    /// Put in by an editor, who has the reader's word.
    Added,
    /// Agreed to from the address itself.
    Confirmed,
    /// Another cadence.
    Changed,
    /// Paused.
    Paused,
    /// Taken up again, after a pause or a mistaken click.
    Resumed,
    /// Ended.
    Left,
    /// Another address.
    AddressChanged,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Asked,
        Self::Imported,
        Self::Added,
        Self::Confirmed,
        Self::Changed,
        Self::Paused,
        Self::Resumed,
        Self::Left,
        Self::AddressChanged,
    ];

    /// The word for it in SQL and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Imported => "imported",
            Self::Added => "added",
            Self::Confirmed => "confirmed",
            Self::Changed => "changed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Left => "left",
            Self::AddressChanged => "address_changed",
        }
    }

    /// The step that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When, by which way and under which words something is agreed to or taken back.
///
/// An instant alone is an editor's word: `store.leave(who, None, now)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// When.
    pub at: DateTime<Utc>,
    /// By which way.
    pub source: Source,
    /// Which version of the form's words was shown.
    pub text_version: Option<String>,
    /// Where it came from, where the publication keeps that.
    pub ip: Option<IpAddr>,
}

impl Consent {
    /// One by this way.
    pub fn new(source: Source, at: DateTime<Utc>) -> Self {
        Self { at, source, text_version: None, ip: None }
    }
}

impl From<DateTime<Utc>> for Consent {
    fn from(at: DateTime<Utc>) -> Self {
        Self::new(Source::Cli, at)
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub step: Step,
    /// Of which feed; `None` is the person.
    pub feed: Option<FeedName>,
    /// How often, from then on.
    pub cadence: Option<Cadence>,
    /// By which way.
    pub source: Source,
    /// Which version of the form's words was shown.
    pub text_version: Option<String>,
    /// Where it came from, where the publication keeps that.
    pub ip: Option<String>,
}

impl Entry {
    /// Reads lines as an export writes them, a list in JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn list(json: &str) -> Result<Vec<Self>, String> {
        let Ok(lines) = serde_json::from_str::<Vec<serde_json::Map<String, serde_json::Value>>>(json) else {
            return Err("consents are no list of objects in JSON".to_owned());
        };
        lines.iter().map(Self::read).collect()
    }

    fn read(line: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let text = |name: &str| line.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
        fn known<T>(name: &str, text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
            let unknown = |text| format!("a line of the consents has an unknown {name}: {text:?}");
            text.map(|text| parse(text).ok_or_else(|| unknown(text))).transpose()
        }
        let needed = |name: &str| format!("a line of the consents has no {name}");
        let at = known("at", text("at"), |text| DateTime::parse_from_rfc3339(text).ok())?;
        Ok(Self {
            at: at.ok_or_else(|| needed("at"))?.to_utc(),
            step: known("step", text("step"), Step::parse)?.ok_or_else(|| needed("step"))?,
            feed: known("feed", text("feed"), FeedName::parse)?,
            cadence: known("cadence", text("cadence"), Cadence::parse)?,
            source: known("source", text("source"), Source::parse)?.ok_or_else(|| needed("source"))?,
            text_version: text("text_version").map(|text| shorten(&one_line(text), MAX_VERSION)),
            ip: known("ip", text("ip"), |text| text.parse::<IpAddr>().ok())?.map(|ip| ip.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_they_are_written() {
        assert!(Step::ALL.into_iter().all(|step| Step::parse(step.as_str()) == Some(step)));
        assert!(Source::ALL.into_iter().all(|source| Source::parse(source.as_str()) == Some(source)));
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let line = Entry {
            at: DateTime::from_timestamp_millis(1_780_000_000_123).unwrap(),
            step: Step::Confirmed,
            feed: FeedName::parse("news"),
            cadence: Some(Cadence::Weekly),
            source: Source::Form,
            text_version: Some("1f".into()),
            ip: Some("192.0.2.1".into()),
        };
        let bare = Entry { feed: None, cadence: None, text_version: None, ip: None, ..line.clone() };
        let json = serde_json::to_string(&[&line, &bare]).unwrap();
        assert_eq!(Entry::list(&json), Ok(vec![line, bare]));
        for (json, what) in [
            ("{}", "no list"),
            (r#"[{"at": "yesterday"}]"#, "unknown at: \"yesterday\""),
            (r#"[{"at": "2026-01-01T00:00:00Z", "step": "sold"}]"#, "unknown step"),
            (r#"[{"at": "2026-01-01T00:00:00Z", "step": "left"}]"#, "has no source"),
            (r#"[{"at": "2026-01-01T00:00:00Z", "step": "left", "source": "form", "ip": "x"}]"#, "unknown ip"),
        ] {
            assert!(Entry::list(json).is_err_and(|said| said.contains(what)), "{json}");
        }
    }
}

//! `[[source]]`: feeds elsewhere whose entries are articles here.

use chrono::TimeDelta;
use serde::Deserialize;
use url::Url;

use super::editors::Flag;
use super::span::{SPAN_HINT, Span};
use super::written::{Reader, Text};
use crate::domain::text::one_line;

/// A feed elsewhere.
#[derive(Clone)]
pub struct Source {
    /// What people call it, and what it is known by.
    pub name: String,
    /// Where it is.
    pub feed: Url,
    /// The section of its articles.
    pub section: Option<String>,
    /// Their language tag, whatever they say.
    pub language: Option<String>,
    /// Who wrote them, whatever they say.
    pub authors: Vec<String>,
    /// How often it is asked; by its own rhythm where nothing is said.
    pub every: Option<TimeDelta>,
    /// Whether feeds, mail and lists lead to pages here, and not to the originals.
    pub pages: bool,
    /// Whether the text of entries that are summaries is taken from their pages.
    pub full_text: bool,
    /// Whether it may be on this machine or in a private network.
    pub may_be_private: bool,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its address may hold a password.
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Most characters of a name.
    pub const NAME_MAX: usize = 100;

    /// The least time between two polls: no site likes to be asked more often.
    pub const EVERY_MIN: TimeDelta = TimeDelta::minutes(1);

    /// What a feed is called where nobody named it: its host.
    pub fn usual_name(feed: &Url) -> String {
        let host = feed.host_str().unwrap_or_default();
        host.strip_prefix("www.").unwrap_or(host).to_owned()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSource {
    feed: Text,
    name: Text,
    section: Text,
    language: Text,
    authors: Vec<String>,
    every: Text,
    pages: Option<Flag>,
    full_text: Option<Flag>,
    private: Option<Flag>,
}

impl Reader<'_> {
    pub(super) fn sources(&mut self, written: Vec<WrittenSource>) -> Vec<Source> {
        let mut sources: Vec<Source> = vec![];
        for written in written {
            let at = written.name.clone().or_else(|| written.feed.clone());
            let Some(source) = self.source(written) else { continue };
            if sources.iter().any(|known| known.name == source.name) {
                let what = format!("two sources are called {:?}", source.name);
                self.complain(at.as_ref(), what, "write another name = \"…\" for one of them");
            } else if sources.iter().any(|known| known.feed == source.feed) {
                let what = format!("two sources have the same feed: {:?}", source.name);
                self.complain(at.as_ref(), what, "take one of them out");
            } else {
                sources.push(source);
            }
        }
        sources
    }

    fn source(&mut self, written: WrittenSource) -> Option<Source> {
        const HINT: &str = "write it whole, such as feed = \"https://blog.example.org/feed.xml\"";
        let Some(text) = written.feed else {
            self.complain(written.name.as_ref(), "source.feed is missing".into(), HINT);
            return None;
        };
        let feed: Option<Url> = text.get_ref().trim().parse().ok();
        let feed = feed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(mut feed) = feed else {
            let what = format!("source.feed is not an address on the web: {:?}", text.get_ref());
            self.complain(Some(&text), what, HINT);
            return None;
        };
        feed.set_fragment(None);
        let line = |text: &Text| text.as_ref().map(|text| one_line(text.get_ref())).filter(|text| !text.is_empty());
        let name = line(&written.name).unwrap_or_else(|| Source::usual_name(&feed));
        if name.chars().count() > Source::NAME_MAX {
            let what = format!("source.name is longer than {} characters", Source::NAME_MAX);
            self.complain(written.name.as_ref(), what, "write a short one");
            return None;
        }
        let every_at = written.every.clone();
        let every = self.parsed::<Span>(written.every, "source.every", SPAN_HINT).map(Span::delta);
        if every.is_some_and(|every| every < Source::EVERY_MIN) {
            let hint = "write a minute or more, or leave it out: then it is asked by its own rhythm";
            self.complain(every_at.as_ref(), "source.every is less than a minute".into(), hint);
        }
        Some(Source {
            name,
            feed,
            section: line(&written.section),
            language: line(&written.language),
            authors: written.authors.iter().map(|name| one_line(name)).filter(|name| !name.is_empty()).collect(),
            every,
            pages: written.pages.is_some_and(|flag| flag.0),
            full_text: written.full_text.is_some_and(|flag| flag.0),
            may_be_private: written.private.is_some_and(|flag| flag.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn sources(text: &str) -> Result<Vec<Source>, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n{text}");
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        Config::load(dir.path(), [])
            .map(|config| config.sources)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_address_is_enough() {
        let sources = sources("[[source]]\nfeed = \"https://www.blog.example/feed#x\"\n").unwrap();
        let [source] = sources.as_slice() else { panic!("{sources:?}") };
        assert_eq!((source.name.as_str(), source.feed.as_str()), ("blog.example", "https://www.blog.example/feed"));
        assert!(!source.pages && !source.full_text && !source.may_be_private && source.every.is_none());
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        for (text, line, part) in [
            ("[[source]]\nname = \"x\"\n", 5, "source.feed is missing"),
            ("[[source]]\nfeed = \"blog.example\"\n", 5, "not an address on the web"),
            ("[[source]]\nfeed = \"ftp://blog.example/\"\n", 5, "not an address on the web"),
            ("[[source]]\nfeed = \"https://b.example/\"\nevery = \"30s\"\n", 6, "less than a minute"),
            ("[[source]]\nfeed = \"https://b.example/\"\nevery = \"often\"\n", 6, "not understood"),
            ("[[source]]\nfeed = \"https://b.example/\"\nfulltext = true\n", 6, "unknown key"),
            (
                "[[source]]\nfeed = \"https://b.example/1\"\n[[source]]\nfeed = \"https://b.example/2\"\n",
                7,
                "two sources are called",
            ),
            (
                "[[source]]\nfeed = \"https://b.example/\"\n[[source]]\nfeed = \"https://b.example/\"\nname = \"x\"\n",
                8,
                "the same feed",
            ),
        ] {
            let faults = sources(text).unwrap_err();
            assert!(faults[0].starts_with(&format!("config.toml:{line}: ")) && faults[0].contains(part), "{faults:?}");
        }
    }
}

//! Feeds: a named selection of articles, published as RSS, Atom and JSON Feed, and maybe by mail.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::article::{Article, Slug};
use super::newsletter::Newsletter;
use super::podcast::Podcast;

/// The name of a feed, as it stands in its file's name and in its URLs: made like a [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct FeedName(String);

impl FeedName {
    /// A name, if `text` is one: lower-case ASCII letters, digits, single hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        Slug::from_text(text).filter(|slug| slug.as_str() == text).map(|slug| Self(slug.as_str().to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One word or several, any of which will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyOf {
    /// `section = "news"`
    One(String),
    /// `section = ["news", "sport"]`
    Several(Vec<String>),
}

impl AnyOf {
    /// The words.
    pub fn words(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }

    fn meets<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        values.into_iter().any(|value| self.words().iter().any(|word| same(word, value)))
    }
}

/// Words of a selection are compared without regard to case.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

/// Which articles a feed holds. What is not asked for does not matter; an empty selection is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// The article's section is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<AnyOf>,
    /// It bears one of these tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<AnyOf>,
    /// Its label is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<AnyOf>,
    /// One of these wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<AnyOf>,
    /// Its language (or the publication's, where it names none) is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<AnyOf>,
    /// Whether it is featured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub featured: Option<bool>,
    /// At least one of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "some")]
    pub any: Vec<Select>,
    /// Each of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Select>,
    /// This does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Select>>,
}

/// A list that is not empty, where it is there.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Select>, D::Error> {
    let several = Vec::deserialize(deserializer)?;
    if several.is_empty() {
        return Err(D::Error::custom("any: an empty list takes nothing"));
    }
    Ok(several)
}

impl Select {
    /// Whether `article` is selected, in a publication whose own language is `language`.
    pub fn takes(&self, article: &Article, language: &str) -> bool {
        let is = |wanted: &Option<AnyOf>, value: Option<&str>| wanted.as_ref().is_none_or(|wanted| wanted.meets(value));
        is(&self.section, article.section.as_deref())
            && is(&self.label, article.label.as_deref())
            && is(&self.language, Some(article.language.as_deref().unwrap_or(language)))
            && self.tag.as_ref().is_none_or(|wanted| wanted.meets(article.tags.iter().map(String::as_str)))
            && self.author.as_ref().is_none_or(|wanted| wanted.meets(article.authors.iter().map(String::as_str)))
            && self.featured.is_none_or(|featured| featured == article.featured)
            && (self.any.is_empty() || self.any.iter().any(|select| select.takes(article, language)))
            && self.all.iter().all(|select| select.takes(article, language))
            && self.not.as_ref().is_none_or(|select| !select.takes(article, language))
    }
}

/// A feed as its file in `feeds/` defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// The file's name.
    pub name: FeedName,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// Language tag; the publication's where the file names none.
    pub language: String,
    /// URL of a picture.
    pub image: Option<String>,
    /// Which articles it holds.
    pub select: Select,
    /// How many entries its documents hold at most.
    pub limit: usize,
    /// What podcast apps are told, where it is one for them.
    pub podcast: Option<Podcast>,
    /// Whether entries carry the whole content or the summary alone.
    pub full: bool,
    /// The mail side of it.
    pub newsletter: Option<Newsletter>,
}

impl Feed {
    /// Entries in a feed document where the definition does not say: enough that a reader who polls once
    /// a week misses nothing of a busy newsroom, small enough to cost a poller little.
    pub const LIMIT: usize = 50;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::article::{ArticleId, uuid_at};

    fn article() -> Article {
        let date = chrono::DateTime::UNIX_EPOCH;
        Article {
            id: ArticleId(uuid_at(date)),
            key: "a.md".into(),
            slug: Slug::from_text("a").unwrap(),
            title: "A".into(),
            label: Some("Breaking news".into()),
            place: None,
            section: Some("News".into()),
            language: None,
            date,
            updated: None,
            authors: vec!["Mara Quill".into()],
            tags: vec!["harbour".into(), "history".into()],
            summary: String::new(),
            summary_given: false,
            html: String::new(),
            image: None,
            enclosure: None,
            featured: false,
            related: vec![],
            faq: vec![],
            original: None,
            draft: false,
            words: 0,
        }
    }

    fn takes(select: &str) -> bool {
        toml::from_str::<Select>(select).unwrap().takes(&article(), "en")
    }

    #[test]
    fn a_selection_takes_what_meets_every_condition() {
        assert!(takes(""));
        assert!(takes("section = \"news\"\ntag = [\"sport\", \"history\"]\nlanguage = \"en\""));
        assert!(!takes("section = \"news\"\ntag = \"sport\""));
        assert!(!takes("featured = true"));
        assert!(takes("not = { author = \"Tom Reed\" }"));
        assert!(takes("any = [{ tag = \"sport\" }, { label = \"breaking news\" }]"));
        assert!(!takes("all = [{ tag = \"history\" }, { tag = \"sport\" }]"));
    }

    #[test]
    fn a_feed_name_is_what_can_stand_in_a_url() {
        assert!(FeedName::parse("news").is_some());
        for bad in ["News", "../news", "a b", "", "a--b", "-a"] {
            assert!(FeedName::parse(bad).is_none(), "{bad}");
        }
    }
}

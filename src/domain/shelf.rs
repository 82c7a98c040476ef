//! Shelves: what all articles of one section, tag or author stand on. Each has a feed of its own, where the publication
//! wants such feeds.
//!
//! Two words are one where they differ in case alone; which one is shown is the newest article's. A shelf's address is its
//! word as a slug. Where a shelf has that address already, the next gets a hash of its word behind it: which words meet may
//! change, what a word's hash is does not.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};

use super::article::{Article, Slug};

/// What shelves are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The part of the publication that an article belongs to.
    Section,
    /// Free words.
    Tag,
    /// Names of those who wrote it.
    Author,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Section, Self::Tag, Self::Author];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Section => "section",
            Self::Tag => "tag",
            Self::Author => "author",
        }
    }

    /// The folder that its shelves stand in on the web.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Section => "sections",
            Self::Tag => "tags",
            Self::Author => "authors",
        }
    }

    /// The kind with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which kinds of shelves there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds([bool; Kind::ALL.len()]);

impl Kinds {
    /// Whether shelves of this kind are among them.
    pub fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        let mut all = Self::default();
        kinds.into_iter().for_each(|kind| all.0[kind as usize] = true);
        all
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = Kind::ALL.into_iter().filter(|kind| self.has(*kind)).map(Kind::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// A shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// What it is by.
    pub kind: Kind,
    /// Its word, as the newest article writes it.
    pub word: String,
    /// The last part of its address, for ever.
    pub slug: String,
    /// The store's revision in which it changed last.
    pub revision: i64,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
}

/// Where an article stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// What by.
    pub kind: Kind,
    /// The word, as the article writes it.
    pub word: &'a str,
}

impl Place<'_> {
    /// What tells its shelf from others.
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind, self.word.to_lowercase())
    }
}

/// Shelves of one kind that an article can stand on: beyond, a list of words sorts nothing.
pub const MOST_WORDS: usize = 50;
/// Characters of a word that is a shelf's.
pub const LONGEST_WORD: usize = 100;
/// Shelves in use at a time: far more than readers find their way among, and few enough for files, memory and a list of
/// them all. Who is there stays; further words have no feed.
pub const MOST_SHELVES: usize = 5000;

/// Where an article stands, each shelf once, within the limits.
pub fn places<'a>(section: Option<&'a str>, tags: &'a [String], authors: &'a [String], kinds: Kinds) -> Vec<Place<'a>> {
    let mut seen = HashSet::new();
    let mut places = vec![];
    let mut put = |kind, words: &mut dyn Iterator<Item = &'a str>| {
        if !kinds.has(kind) {
            return;
        }
        let fit = words.filter(|word| !word.trim().is_empty() && word.chars().nth(LONGEST_WORD).is_none());
        let fit = fit.map(|word| Place { kind, word }).filter(|place| seen.insert(place.key()));
        places.extend(fit.take(MOST_WORDS));
    };
    put(Kind::Section, &mut section.into_iter());
    put(Kind::Tag, &mut tags.iter().map(String::as_str));
    put(Kind::Author, &mut authors.iter().map(String::as_str));
    places
}

/// Where an article stands: a draft nowhere.
pub fn places_of(article: &Article, kinds: Kinds) -> Vec<Place<'_>> {
    if article.draft {
        return vec![];
    }
    places(article.section.as_deref(), &article.tags, &article.authors, kinds)
}

/// What of an article is beyond the limits, and what to do about it.
pub fn faults(article: &Article, kinds: Kinds) -> Vec<(String, String)> {
    let mut faults = vec![];
    let section: Vec<String> = article.section.iter().cloned().collect();
    for (kind, words) in [(Kind::Section, &section), (Kind::Tag, &article.tags), (Kind::Author, &article.authors)] {
        if !kinds.has(kind) {
            continue;
        }
        if words.len() > MOST_WORDS {
            let what = format!("it has {} {}: only the first {MOST_WORDS} have feeds", words.len(), kind.folder());
            faults.push((what, format!("leave some out, or {kind} out of feeds.by in config.toml")));
        }
        let long = words.iter().filter(|word| word.chars().nth(LONGEST_WORD).is_some()).count();
        if long > 0 {
            let what = match long {
                1 => format!("a {kind} is longer than {LONGEST_WORD} characters: it has no feed"),
                _ => format!("{long} {} are longer than {LONGEST_WORD} characters: they have no feeds", kind.folder()),
            };
            faults.push((what, "write a word or a few".to_owned()));
        }
    }
    faults
}

/// Characters of a hash behind an address.
const HASH: usize = 8;

/// The address of a word's shelf where `is_taken` says which others have: the word as a slug; with a hash of it where
/// another has that; the hash alone where no letter is left of the word.
pub fn address(word: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let folded = word.to_lowercase();
    let plain = Slug::from_text(&folded).map(|slug| slug.as_str().to_owned()).unwrap_or_default();
    if !plain.is_empty() && !is_taken(&plain) {
        return plain;
    }
    let hash = digest(&SHA256, folded.as_bytes());
    let hash = format!("{:032x}", u128::from_be_bytes(std::array::from_fn(|at| hash.as_ref()[at])));
    let end = plain.len().min(Slug::MAX - HASH - 1);
    let before = plain[..end].trim_end_matches('-');
    let dash = if before.is_empty() { "" } else { "-" };
    // A longer one where even that is taken, which nobody will see.
    let mut addresses = (HASH..=hash.len()).step_by(HASH).map(|length| format!("{before}{dash}{}", &hash[..length]));
    addresses.find(|address| !is_taken(address)).unwrap_or(hash)
}

/// Whether a word's plain address says the word itself: of those that meet it comes first.
pub fn is_plain(word: &str) -> bool {
    let folded = word.to_lowercase();
    Slug::from_text(&folded).is_some_and(|slug| slug.as_str() == folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn tags() -> Kinds {
        [Kind::Tag].into_iter().collect()
    }

    #[test]
    fn words_that_differ_in_case_alone_are_one_shelf() {
        let tags = words(&["Harbour", "harbour", "HARBOUR", "Café", "CAFÉ", "cafe"]);
        let keys: Vec<_> = places(None, &tags, &[], self::tags()).iter().map(Place::key).collect();
        assert_eq!(keys, ["tag/harbour", "tag/café", "tag/cafe"]);
        let authors = words(&["News"]);
        let all = places(Some("News"), &tags[..1], &authors, Kind::ALL.into_iter().collect());
        let keys: Vec<_> = all.iter().map(Place::key).collect();
        assert_eq!(keys, ["section/news", "tag/harbour", "author/news"]);
        assert!(places(Some("News"), &tags, &[], Kinds::default()).is_empty());
    }

    #[test]
    fn an_article_stands_on_no_more_shelves_than_sort_it() {
        let many: Vec<String> = (0..10_000).map(|number| format!("tag {number}")).collect();
        let found = places(None, &many, &[], tags());
        assert_eq!((found.len(), found[49].word), (MOST_WORDS, "tag 49"));
        let long = ["x".repeat(100_000), "é".repeat(101), "é".repeat(100)];
        assert_eq!(places(None, &long, &[], tags()).len(), 1);
    }

    #[test]
    fn different_words_have_different_addresses() {
        let taken = |all: &[&'static str]| {
            let all: Vec<&'static str> = all.to_vec();
            move |address: &str| all.contains(&address)
        };
        assert_eq!(address("Harbour", taken(&[])), "harbour");
        assert_eq!(address("Café", taken(&[])), "cafe");
        assert_eq!(address("C", taken(&["c"])), "c-2e7d2c03");
        let (plus, sharp) = (address("C++", taken(&["c"])), address("C#", taken(&["c"])));
        assert!(plus.starts_with("c-") && plus != sharp && plus.len() == 10, "{plus} {sharp}");
        assert_eq!(plus, address("c++", taken(&["c", "c-other"])), "whoever else is there");
        assert_eq!(address("…", taken(&[])).len(), HASH);
        let long = "word ".repeat(100);
        let cut = address(&long, taken(&[]));
        assert_eq!(cut.len(), "word-".repeat(24).len() - 1);
        let next = address(&long, |address| address == cut);
        assert!(next.len() <= Slug::MAX && next != cut, "{next}");
        assert!(Slug::from_text(&next).is_some_and(|slug| slug.as_str() == next), "{next}");
        assert!(is_plain("Harbour") && !is_plain("Café") && !is_plain("old town"));
    }
}

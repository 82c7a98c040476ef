//! Documents that are served from memory: each with its codings, made once per publish, and with what it was before, so
//! that whoever had that is sent what is new alone.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use brotli::enc::BrotliEncoderParams;
use chrono::{DateTime, Utc};
use hyper::HeaderMap;
use rayon::prelude::*;

use super::fingerprint;
use crate::domain::entry::{Entry, FeedDocument, LEAST_KEPT_S};
use crate::syndication::Format;

/// Smaller documents gain nothing by a coding that a packet would not have carried.
const WORTH_CODING: usize = 1024;
/// Versions of a feed that are remembered: more than a day of a busy newsroom.
const VERSIONS: usize = 64;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All codings, the one that a document is usually smallest in first.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the names of files end in that are coded so, as web servers look for them.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    /// The bytes in this coding: as small as can be had in some hundredths of a second for each megabyte, for a publish
    /// has many documents and readers wait for it. None where they do not become smaller.
    pub fn of(self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.at(bytes, Effort { brotli: 7, zstd: 9, gzip: 6 })
    }

    /// The bytes in this coding, in some milliseconds for each megabyte: for one of very many documents, or one that
    /// somebody waits for who is likely to be the only one. None where they do not become smaller.
    pub fn quickly(self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.at(bytes, Effort { brotli: 2, zstd: 3, gzip: 2 })
    }

    fn at(self, bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
        if bytes.len() < WORTH_CODING {
            return None;
        }
        let mut coded = Vec::with_capacity(bytes.len() / 3);
        // Told how much is to come, a coder takes tables of that size: else it takes, and clears, tens of megabytes.
        let written = match self {
            Self::Brotli => {
                let bits = i32::try_from(usize::BITS - bytes.len().leading_zeros()).unwrap_or(22);
                let parameters = BrotliEncoderParams {
                    quality: effort.brotli,
                    lgwin: bits.clamp(16, 22),
                    size_hint: bytes.len(),
                    ..BrotliEncoderParams::default()
                };
                brotli::BrotliCompress(&mut &*bytes, &mut coded, &parameters).map(drop)
            }
            Self::Zstd => zstd::bulk::compress(bytes, effort.zstd).map(|bytes| coded = bytes),
            // Its header bears neither name nor time: the same bytes give the same bytes.
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(&mut coded, flate2::Compression::new(effort.gzip));
                writer.write_all(bytes).and_then(|()| writer.try_finish())
            }
        };
        (written.is_ok() && coded.len() < bytes.len()).then_some(coded)
    }
}

/// How hard each coding tries, on its own scale.
#[derive(Debug, Clone, Copy)]
struct Effort {
    brotli: i32,
    zstd: i32,
    gzip: u32,
}

/// What stands above a document in an answer, made once for each coding.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its strong ETag.
    pub etag: String,
    /// For whoever has these bytes already (304).
    pub known: HeaderMap,
    /// For whoever is sent them.
    pub whole: HeaderMap,
}

/// A document in a coding.
#[derive(Debug, Clone)]
struct Coded {
    coding: Coding,
    bytes: Arc<[u8]>,
    head: OnceLock<Box<Head>>,
}

impl Coded {
    fn new(coding: Coding, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { coding, bytes: bytes.into(), head: OnceLock::new() }
    }
}

/// One document, ready to be served.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Media type.
    pub content_type: &'static str,
    /// When it got these bytes, as far as this process knows.
    pub modified: Option<DateTime<Utc>>,
    /// What stands in its header `Link` (RFC 8288): a feed's own address, and the hubs that tell of its changes.
    pub link: Option<String>,
    /// How long a reader may keep it without asking, in seconds.
    pub kept_for_s: u32,
    /// A hash of its bytes.
    hash: String,
    head: OnceLock<Box<Head>>,
    codings: Vec<Coded>,
    feed: Option<Arc<Shown>>,
    versions: Vec<Arc<Version>>,
}

/// A feed as a document shows it.
#[derive(Debug)]
pub struct Shown {
    document: FeedDocument,
    marks: Arc<HashSet<String>>,
}

impl Shown {
    /// A feed, to be written in any format.
    pub fn new(document: FeedDocument) -> Self {
        let marks = Arc::new(document.entries.iter().map(mark).collect());
        Self { document, marks }
    }
}

/// What tells an entry from others, and from itself after an edit.
fn mark(entry: &Entry) -> String {
    fingerprint([format!("{entry:?}")])
}

/// What a document was before, and what is new since.
#[derive(Debug)]
struct Version {
    hash: String,
    marks: Arc<HashSet<String>>,
    delta: OnceLock<Box<Document>>,
}

impl Document {
    /// A document with these bytes, not coded yet.
    pub fn new(bytes: Vec<u8>, content_type: &'static str) -> Self {
        let hash = fingerprint([&bytes]);
        Self::known_by(hash, bytes, content_type)
    }

    /// A document for whose bytes, and no others, `hash` stands.
    pub fn known_by(hash: String, bytes: Vec<u8>, content_type: &'static str) -> Self {
        let (codings, versions, kept_for_s) = (vec![], vec![], LEAST_KEPT_S);
        let (bytes, modified, link, feed, head) = (bytes.into(), None, None, None, OnceLock::new());
        Self { bytes, content_type, modified, link, kept_for_s, hash, head, codings, feed, versions }
    }

    /// A feed in a format.
    pub fn of_feed(feed: &Arc<Shown>, format: Format) -> Self {
        let document = Self::new(format.bytes(&feed.document), format.content_type());
        let hubs = feed.document.hubs.iter().map(|hub| format!("<{hub}>; rel=\"hub\", "));
        let link = format!("{}<{}>; rel=\"self\"", hubs.collect::<String>(), format.url(&feed.document));
        let kept_for_s = feed.document.kept_for_s();
        Self { link: Some(link), kept_for_s, feed: Some(Arc::clone(feed)), ..document }
    }

    /// Whether it is a feed.
    pub fn is_feed(&self) -> bool {
        self.feed.is_some()
    }

    /// What stands for its bytes, and no others.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its strong ETag in a coding, with its quotation marks: each representation has its own (RFC 9110 §8.8.3.3).
    pub fn etag(&self, coding: Option<Coding>) -> String {
        match coding {
            None => format!("\"{}\"", self.hash),
            Some(coding) => format!("\"{}.{}\"", self.hash, coding.ending()),
        }
    }

    /// What stands above it in a coding that it has, made by `make` the first time that somebody asks.
    pub fn head(&self, coding: Option<Coding>, make: impl FnOnce() -> Head) -> &Head {
        let coded = coding.and_then(|coding| self.in_coding(coding));
        coded.map_or(&self.head, |coded| &coded.head).get_or_init(|| Box::new(make()))
    }

    /// Its bytes in a coding, where it has that.
    pub fn coded(&self, coding: Coding) -> Option<&Arc<[u8]>> {
        self.in_coding(coding).map(|coded| &coded.bytes)
    }

    fn in_coding(&self, coding: Coding) -> Option<&Coded> {
        self.codings.iter().find(|known| known.coding == coding)
    }

    /// Takes the place of `before`: where it has the same bytes it keeps date and codings, and if not it remembers what
    /// it was and is of `now`. The newest date among its entries would not do: an edit, or an article with an old date,
    /// changes the bytes and not that date, and whoever asks by `If-Modified-Since` alone would never see it.
    pub fn replace(&mut self, before: Option<&Self>, now: DateTime<Utc>) {
        if let Some(before) = before {
            if before.hash == self.hash {
                self.modified = before.modified.or(Some(now));
                let kept = |coded: &Coded| Coded::new(coded.coding, Arc::clone(&coded.bytes));
                self.codings = before.codings.iter().map(kept).collect();
                self.versions.clone_from(&before.versions);
                return;
            }
            self.versions = before.versions.iter().map(|version| Arc::new(version.anew())).collect();
            if let Some(feed) = &before.feed {
                let (hash, marks) = (before.hash.clone(), Arc::clone(&feed.marks));
                self.versions.insert(0, Arc::new(Version { hash, marks, delta: OnceLock::new() }));
                self.versions.truncate(VERSIONS);
            }
        }
        self.modified = Some(now);
        self.code();
    }

    /// The same with its codings, made while somebody waits for it.
    #[must_use]
    pub fn coded_quickly(mut self) -> Self {
        let coded = |coding: Coding| Some(Coded::new(coding, coding.quickly(&self.bytes)?));
        self.codings = Coding::ALL.into_iter().filter_map(coded).collect();
        self
    }

    /// About how many bytes of memory it takes, with what it shows and what it was.
    pub fn weight(&self) -> usize {
        let codings: usize = self.codings.iter().map(|coded| coded.bytes.len()).sum();
        let shown = if self.feed.is_some() { self.bytes.len() } else { 0 };
        // What is small has its pieces all the same, and what stands above it.
        4096 * (2 + self.versions.len() + self.codings.len()) + self.bytes.len() + shown + codings
    }

    fn code(&mut self) {
        let coded = |coding: Coding| Some(Coded::new(coding, coding.of(&self.bytes)?));
        self.codings = Coding::ALL.into_par_iter().filter_map(coded).collect();
    }

    /// The feed with what is new or changed alone since the version with this ETag, in whatever coding it was; where this
    /// document is a feed and that is one of its last versions.
    pub fn since(&self, etag: &str) -> Option<&Self> {
        let hash = etag.trim_matches('"').split('.').next()?;
        // As browsers have it: under another media type.
        let hash = hash.strip_prefix('x').unwrap_or(hash);
        let version = self.versions.iter().find(|version| version.hash == hash)?;
        let feed = self.feed.as_ref()?;
        let format = Format::ALL.into_iter().find(|format| format.content_type() == self.content_type)?;
        Some(version.delta.get_or_init(|| {
            let mut document = feed.document.clone();
            document.entries.retain(|entry| !version.marks.contains(&mark(entry)));
            let mut delta = Self::new(format.bytes(&document), self.content_type);
            delta.code();
            Box::new(delta)
        }))
    }
}

impl Version {
    /// The same version, for a document that has changed again.
    fn anew(&self) -> Self {
        Self { hash: self.hash.clone(), marks: Arc::clone(&self.marks), delta: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_coding_gives_the_bytes_back_and_the_same_ones_each_time() {
        let text = "After nine dark winters the lamp burns again. ".repeat(300).into_bytes();
        for coding in Coding::ALL {
            let coded = coding.of(&text).unwrap();
            assert!(coded.len() < text.len() / 10, "{coding:?}: {}", coded.len());
            assert_eq!(coding.of(&text).unwrap(), coded);
            let mut back = vec![];
            match coding {
                Coding::Brotli => brotli::Decompressor::new(&coded[..], 4096).read_to_end(&mut back),
                Coding::Zstd => zstd::stream::copy_decode(&coded[..], &mut back).map(|()| 0),
                Coding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut back),
            }
            .unwrap();
            assert_eq!(back, text, "{coding:?}");
        }
    }

    #[test]
    fn what_is_small_is_not_coded() {
        assert!(Coding::ALL.into_iter().all(|coding| coding.of(&[b'a'; WORTH_CODING - 1]).is_none()));
    }
}

//! What is known of the files that articles bring along: those below `static/` are looked at, others are as they are told.
//!
//! A file is looked into once and again when it has another size or time; that nothing is kept of it in the store means
//! that a file which is exchanged is told of rightly, whenever its article was read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lofty::config::ParseOptions;
use lofty::file::AudioFile;
use lofty::probe::Probe;
use percent_encoding::percent_decode_str;

use super::present::{Presenter, Speech, Value};
use crate::config::{Config, Urls};
use crate::domain::article::{Article, Image};
use crate::domain::media::{Enclosure, Purpose, is_plain_path, media_type};
use crate::problem::Problem;
use crate::template::view::{CaptionsView, EnclosureView, LinkView};

/// Files of which something is remembered: some hundred bytes each.
const KEPT: usize = 20_000;

/// What a file was when it was looked into.
type Stamp = (u64, Option<SystemTime>);
/// What it was, where it was there, and what came of it.
type Known = (Option<Stamp>, Result<Facts, Unfit>);

/// What was found in a file that can be given out.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    /// Seconds, rounded up.
    duration_s: Option<u32>,
    /// Pixels.
    size: Option<(u32, u32)>,
}

impl Facts {
    fn of(path: &Path) -> Self {
        let kind = media_type(&path.to_string_lossy()).unwrap_or_default();
        match kind.split('/').next() {
            Some("image") => Self { size: pixels(path), duration_s: None },
            Some("audio" | "video") => Self { duration_s: duration_s(path), size: None },
            _ => Self::default(),
        }
    }
}

/// Looks at the files below `static/`.
#[derive(Debug)]
pub struct Media {
    folder: PathBuf,
    urls: Urls,
    known: Mutex<HashMap<PathBuf, Known>>,
    /// How often what was known of a file turned out not to hold any more.
    generation: AtomicU64,
}

/// Why a file below `static/` cannot be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There is none.
    Missing,
    /// It is a folder, or a link out of `static/`.
    NoFile,
    /// Nothing is in it.
    Empty,
    /// Part of its way is hidden, or is no plain name.
    Hidden,
}

/// Where a URL leads to.
enum Place {
    /// Below `static/`, unless nothing is given out from there.
    Ours(Result<PathBuf, Unfit>),
    /// Away from the publication.
    Elsewhere,
}

impl Unfit {
    /// In words, behind the name of what it is.
    fn said(self, media: &Media, url: &str) -> String {
        let path = url.strip_prefix(media.urls.base()).and_then(percent_decoded).unwrap_or_default();
        match self {
            Self::Missing => format!("is not there: static{path}"),
            Self::NoFile => format!("is no file: static{path}"),
            Self::Empty => format!("is empty: static{path}"),
            Self::Hidden => format!("is not given out, for part of its path is hidden or no plain name: static{path}"),
        }
    }
}

impl Media {
    /// For a publication.
    pub fn new(config: &Config) -> Self {
        Self {
            folder: config.static_files.clone(),
            urls: config.urls(),
            known: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// An enclosure with what is known of its file, or nothing where that is one of ours and cannot be given out.
    pub fn of(&self, enclosure: &Enclosure) -> Option<Enclosure> {
        match self.look(enclosure) {
            Err(unfit) if is_kept(enclosure, unfit) => Some(enclosure.clone()),
            looked => looked.ok(),
        }
    }

    /// The same, or why not.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn look(&self, enclosure: &Enclosure) -> Result<Enclosure, Unfit> {
        let Place::Ours(path) = self.place(&enclosure.url) else { return Ok(enclosure.clone()) };
        let (length, facts) = self.facts(path?)?;
        Ok(Enclosure {
            length: Some(length),
            duration_s: enclosure.duration_s.or(facts.duration_s),
            ..enclosure.clone()
        })
    }

    /// A picture with its size, where it is one of ours.
    pub fn measured(&self, image: &Image) -> Image {
        let found = match self.place(&image.url) {
            Place::Ours(Ok(path)) if image.size.is_none() => self.facts(path).ok().and_then(|(_, facts)| facts.size),
            _ => None,
        };
        Image { size: found.or(image.size), ..image.clone() }
    }

    /// What is made of files is good for as long as this stays the same: it is another once a file is known to have come,
    /// gone or been written to since it was looked at. Whoever keeps what they make asks before they make it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks whether each file is still what it was, forgets those that are not, and says of which generation the rest is.
    pub fn refresh(&self) -> u64 {
        // Nobody waits for the disk to look into what is known.
        let known: Vec<_> = self.known().iter().map(|(path, (before, _))| (path.clone(), *before)).collect();
        let is_other = |(path, before): &(PathBuf, Option<Stamp>)| *before != now(path);
        let stale: Vec<_> = known.into_iter().filter(is_other).collect();
        let mut known = self.known();
        for (path, before) in stale {
            // Somebody else may have looked meanwhile, and counted it.
            if known.get(&path).is_some_and(|(after, _)| *after == before) {
                known.remove(&path);
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
        }
        self.generation()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the file stands that a URL below the publication's own means; no part of its way is hidden or leads out.
    fn place(&self, url: &str) -> Place {
        let below = url.strip_prefix(self.urls.base()).and_then(|below| below.strip_prefix('/'));
        let Some(below) = below.and_then(|below| below.split(['?', '#']).next()) else { return Place::Elsewhere };
        let decoded = percent_decoded(below).filter(|decoded| is_plain_path(decoded));
        Place::Ours(decoded.map(|decoded| self.folder.join(decoded)).ok_or(Unfit::Hidden))
    }

    /// Size of a file and what is found in it, as `serve` and `publish` would give it out: nothing that a link leads to.
    fn facts(&self, path: PathBuf) -> Result<(u64, Facts), Unfit> {
        let metadata = path.symlink_metadata().ok();
        let stamp = metadata.as_ref().map(stamp);
        let length = stamp.map_or(0, |(length, _)| length);
        if let Some((_, found)) = self.known().get(&path).filter(|(before, _)| *before == stamp) {
            return found.map(|facts| (length, facts));
        }
        let found = match metadata {
            None => Err(Unfit::Missing),
            Some(metadata) if !metadata.is_file() || !self.is_inside(&path) => Err(Unfit::NoFile),
            Some(_) if length == 0 => Err(Unfit::Empty),
            Some(_) => Ok(Facts::of(&path)),
        };
        let mut known = self.known();
        let is_full = known.len() >= KEPT && !known.contains_key(&path);
        if is_full {
            known.clear();
        }
        let before = known.insert(path, (stamp, found));
        // What is forgotten may change unseen.
        if is_full || before.is_some_and(|(before, _)| before != stamp) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        found.map(|facts| (length, facts))
    }

    /// Whether no part of the way to a file is a link.
    fn is_inside(&self, path: &Path) -> bool {
        let root = self.folder.canonicalize().ok();
        let below = path.strip_prefix(&self.folder).ok();
        root.zip(below).is_some_and(|(root, below)| path.canonicalize().is_ok_and(|real| real == root.join(below)))
    }
}

/// Whether an enclosure goes out as it is written, though its file is not in `static/`: who says how large it is may have it
/// given out by another server of the same host.
fn is_kept(enclosure: &Enclosure, unfit: Unfit) -> bool {
    unfit == Unfit::Missing && enclosure.length.is_some()
}

/// What is wrong with the files that an article names, each at its line of the file `name`, which holds `text`.
pub(super) fn faults(media: &Media, article: &Article, name: &str, text: &str) -> Vec<Problem> {
    let Some(enclosure) = &article.enclosure else { return vec![] };
    let episode = &enclosure.episode;
    let beside = episode.transcripts.iter().map(|transcript| &transcript.url);
    let beside = beside.chain(&episode.chapters).chain(&episode.image);
    let problem = |url: &str, what: String| {
        let mut problem = Problem::new(name, what);
        problem.line = line_naming(text, url);
        problem
    };
    let mut problems = vec![];
    match media.look(enclosure) {
        Err(unfit) => {
            let outcome = if is_kept(enclosure, unfit) {
                "feeds name it as it is written, with the length given"
            } else {
                "the article goes out without it"
            };
            let what = format!("the enclosure {}: {outcome}", unfit.said(media, &enclosure.url));
            problems.push(problem(&enclosure.url, what).hint(FILE_HINT));
        }
        Ok(found) if found.length.is_none() => {
            let what = "the enclosure is elsewhere and its size is not known: feeds say 0 for it";
            let hint = "write enclosure = { url = \"…\", length = 12345 }, its size in bytes";
            problems.push(problem(&enclosure.url, what.to_owned()).hint(hint));
        }
        Ok(_) => {}
    }
    for url in beside {
        let plain = Enclosure { url: url.clone(), ..Enclosure::default() };
        if let Err(unfit) = media.look(&plain) {
            problems.push(
                problem(url, format!("the episode names a file that {}", unfit.said(media, url))).hint(FILE_HINT),
            );
        }
    }
    problems
}

const FILE_HINT: &str = "put the file into static/ and write its path from there, such as /audio/one.mp3";

/// The line of an article's file that names what `url` leads to, by the last part of its path.
fn line_naming(text: &str, url: &str) -> Option<usize> {
    let last = url.split(['?', '#']).next()?.rsplit('/').next().filter(|last| !last.is_empty())?;
    let decoded = percent_decoded(last).unwrap_or_default();
    text.lines().position(|line| line.contains(last) || line.contains(&decoded)).map(|at| at + 1)
}

/// What an article in `language` brings along, as templates see it.
pub(super) fn view(presenter: &Presenter<'_>, article: &Article, language: &str) -> Option<EnclosureView> {
    let enclosure = presenter.enclosure(article)?;
    let speech = presenter.speech();
    let size = enclosure.length.map(|bytes| size(&speech, bytes));
    let duration = enclosure.duration_s.map(|seconds| {
        // To the nearest minute, and nothing plays for none.
        let minutes = i64::from(seconds.saturating_add(30) / 60).max(1);
        speech.word("media_minutes", &[("count", Value::Number(minutes))])
    });
    let facts = match (duration, &size) {
        (Some(duration), Some(size)) => {
            Some(speech.word("comma", &[("first", Value::Text(&duration)), ("last", Value::Text(size))]))
        }
        (duration, size) => duration.or_else(|| size.clone()),
    };
    let purpose = enclosure.purpose();
    let word = match purpose {
        Purpose::Audio => "media_listen",
        Purpose::Video => "media_watch",
        Purpose::File => "media_download",
    };
    // Our pages let a browser play what is ours or comes over https; captions it takes from where the page is alone.
    let is_ours = |url: &str| url.strip_prefix(presenter.urls.base()).is_some_and(|below| below.starts_with('/'));
    let plays = |as_such| purpose == as_such && (enclosure.url.starts_with("https://") || is_ours(&enclosure.url));
    let (is_audio, is_video) = (plays(Purpose::Audio), plays(Purpose::Video));
    let (timed, read): (Vec<_>, Vec<_>) = enclosure
        .episode
        .transcripts
        .iter()
        .partition(|transcript| is_video && transcript.media_type == "text/vtt" && is_ours(&transcript.url));
    let transcript = speech.word("media_transcript", &[]);
    Some(EnclosureView {
        is_audio,
        is_video,
        label: with_facts(&speech, word, facts.as_deref()),
        download: with_facts(&speech, "media_download", facts.as_deref()),
        transcripts: read.iter().map(|read| LinkView { url: read.url.clone(), label: transcript.clone() }).collect(),
        captions: timed
            .iter()
            .map(|timed| CaptionsView {
                url: timed.url.clone(),
                language: timed.language.clone().unwrap_or_else(|| language.to_owned()),
            })
            .collect(),
        media_type: enclosure.kind().to_owned(),
        url: enclosure.url,
    })
}

/// "Listen (12 min, 14 MB)", or "Listen" where nothing is known.
fn with_facts(speech: &Speech<'_>, word: &str, facts: Option<&str>) -> String {
    let what = speech.word(word, &[]);
    match facts {
        Some(facts) => speech.word("media_facts", &[("what", Value::Text(&what)), ("facts", Value::Text(facts))]),
        None => what,
    }
}

/// A size for people, in the decimal units that shops and phones use.
fn size(speech: &Speech<'_>, bytes: u64) -> String {
    let (unit, word) = if bytes < 1_000_000 { (1_000, "media_kb") } else { (1_000_000, "media_mb") };
    let number = i64::try_from((bytes + unit / 2) / unit).unwrap_or(i64::MAX).max(1);
    speech.word(word, &[("number", Value::Number(number))])
}

/// What a file is by now, where there is one.
fn now(path: &Path) -> Option<Stamp> {
    path.symlink_metadata().ok().as_ref().map(stamp)
}

/// What tells a file from what it was.
fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

/// How long a file plays. A damaged one may have its reader in trouble: that costs the number alone.
fn duration_s(path: &Path) -> Option<u32> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let read = || {
        let file = Probe::open(path).ok()?.options(options).guess_file_type().ok()?.read().ok()?;
        u32::try_from(file.properties().duration().as_millis().div_ceil(1000)).ok()
    };
    let found = std::panic::catch_unwind(read).ok().flatten();
    found.filter(|seconds| *seconds > 0)
}

fn pixels(path: &Path) -> Option<(u32, u32)> {
    let size = std::panic::catch_unwind(|| imagesize::size(path).ok()).ok().flatten()?;
    let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

/// Percent-encoded text as it was meant (RFC 3986 §2.1), where that is UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

//! The use cases. The one place where sources, store, templates, feeds and mail meet.

pub mod archive;
mod cadences;
pub mod calendar;
pub mod check;
pub mod choices;
pub mod compose;
pub mod confirm;
pub mod consent;
pub mod dispatch;
pub mod document;
pub mod exchange;
pub mod fit;
pub mod hours;
pub mod hub;
pub mod import;
pub mod letters;
pub mod media;
mod moved;
pub mod notice;
pub mod own_feed;
pub mod pages;
pub mod poll;
pub mod present;
pub mod progress;
pub mod publish;
pub mod push;
pub mod readers;
pub mod render;
pub mod report;
pub mod run;
pub mod schedule;
pub mod shelves;
pub mod sign;
pub mod sign_up;
pub mod sync;
pub mod templates;
pub mod tidy;
pub mod trial;
pub mod volumes;
pub mod webhook;
pub mod welcome;
pub mod why;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::Config;
use crate::domain::feed::{Feed, FeedName};
use crate::domain::language::Languages;
use crate::domain::link::{Keyring, Link, Purpose};
use crate::domain::segment::{Segment, Setting};
use crate::domain::subscription::SubscriberId;
use crate::domain::text::{hex, unhex};
use crate::fetch::{Fetcher, Manners};
use crate::mail::dkim::Signers;
use crate::problem::Problem;
use crate::store::{Store, StoreError};
use crate::template::Templates;
use crate::template::words::canonical;

/// What stops a task: a fault in what a person wrote, or one of the machine.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Something that a person wrote has to be mended first.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The mailbox that reports come to could not be read.
    #[error("cannot read reports from the mailbox")]
    Mailbox(#[from] crate::mail::imap::ImapError),
    /// A message could not be made.
    #[error("cannot make the message")]
    Message(#[from] crate::mail::message::MessageError),
    /// A message could not be signed.
    #[error("cannot sign the message")]
    Sign(#[from] crate::mail::dkim::SignFault),
    /// The machine gave no randomness.
    #[error("this machine gives no random numbers")]
    Random,
    /// What several waited for failed for all of them.
    #[error("what was done for several at once failed")]
    Shared(#[source] Arc<TaskError>),
    /// A task of ours ended before its time.
    #[error("this program is being ended")]
    Interrupted,
    /// A thread of ours ended before its time.
    #[error("a thread of this program ended before its time")]
    Thread(#[from] tokio::task::JoinError),
}

impl From<Problem> for TaskError {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The one door through which the time of day comes in.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// This machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock of one's own, for a year in a second.
    pub fn from_fn(read: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it shows, to the millisecond: the store keeps no more.
    pub fn now(&self) -> DateTime<Utc> {
        let now = (self.0)();
        DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }
}

/// How far something long has come. Called often: keep it cheap.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The whole: configuration, feeds, templates and store, opened.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What `config.toml` decides.
    pub config: Arc<Config>,
    /// The feeds, by name.
    pub feeds: Arc<[Feed]>,
    /// What is wrong with feed definitions; those feeds are missing above.
    pub feed_problems: Arc<[Problem]>,
    /// The segments, by name.
    pub segments: Arc<[Segment]>,
    /// What is wrong with segments; those are missing above.
    pub segment_problems: Arc<[Problem]>,
    /// The templates.
    pub templates: Arc<Templates>,
    /// The languages that readers can have.
    pub languages: Arc<Languages>,
    /// The store.
    pub store: Store,
    /// The keys of signed links.
    pub keyring: Arc<Keyring>,
    /// The keys that sign mail.
    pub signers: Arc<Signers>,
    /// The way to whatever is fetched or posted over HTTP.
    pub fetcher: Fetcher,
    /// What is known of the files that articles bring along.
    pub media: Arc<media::Media>,
    /// What this process keeps for the hub.
    pub hub: Arc<hub::Hub>,
    /// The time.
    pub clock: Clock,
}

impl Publication {
    /// Opens a publication: reads feeds and templates, opens the store, makes a key where there is none.
    ///
    /// # Errors
    /// Templates that are not well formed, a DKIM key that cannot be used, or a store that does not open. A bad feed definition is no error: it is
    /// named in `feed_problems` and the others go on.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, TaskError> {
        let (feeds, feed_problems) = crate::config::load_feeds(&config);
        let (segments, segment_problems) = crate::config::load_segments(&config, &feeds);
        let folder = config.templates.clone();
        // Some hundredths of a second, in which the database is opened.
        let templates = tokio::task::spawn_blocking(move || Templates::load(Some(&folder)));
        let signers = sign::signers(&config).map_err(TaskError::Problems)?;
        let store = Store::open(config.database_url.reveal()).await;
        let (templates, store) = (templates.await?.map_err(TaskError::Problems)?, store?);
        let keyring = keyring(&store).await?;
        let languages = languages(&config, &templates);
        let fetcher = fetcher(&config);
        let media = Arc::new(media::Media::new(&config));
        Ok(Self {
            config: Arc::new(config),
            feeds: feeds.into(),
            feed_problems: feed_problems.into(),
            segments: segments.into(),
            segment_problems: segment_problems.into(),
            templates: Arc::new(templates),
            languages: Arc::new(languages),
            store,
            keyring: Arc::new(keyring),
            signers: Arc::new(signers),
            media,
            hub: Arc::new(hub::Hub::new(&fetcher)),
            fetcher,
            clock,
        })
    }

    /// The feed with this name.
    pub fn feed(&self, name: &FeedName) -> Option<&Feed> {
        self.feeds.iter().find(|feed| feed.name == *name)
    }

    /// The path of the page where a reader chooses.
    pub fn preferences(&self, subscriber: SubscriberId) -> String {
        let link = Link { purpose: Purpose::Preferences, subscriber, feed: None, expires_at: None };
        format!("/preferences/{}", self.keyring.sign(&link))
    }

    /// What a segment is judged by now.
    pub fn setting(&self) -> Setting {
        let own = &self.config.publication;
        Setting { language: own.language.clone(), time_zone: own.time_zone, now: self.clock.now() }
    }
}

/// What fetches and posts for the publication.
pub fn fetcher(config: &Config) -> Fetcher {
    let agent = format!("Tidings/{} (+{})", env!("CARGO_PKG_VERSION"), config.publication.url);
    Fetcher::new(Manners::new(agent, crate::mail::trust))
}

/// The publication's language, with those that the configuration names, or else all that have words.
fn languages(config: &Config, templates: &Templates) -> Languages {
    let own = &config.publication.language;
    let words = templates.words();
    match &config.form.languages {
        // Without words it would be English under another name; `check` says so.
        Some(named) => Languages::new(own, named.iter().filter(|named| words.has(named)).cloned()),
        None => Languages::new(own, words.languages().map(canonical)),
    }
}

/// The keys that sign links: kept in the store, so that every machine that sends has the same.
async fn keyring(store: &Store) -> Result<Keyring, TaskError> {
    const FACT: &str = "link_keys";
    let kept = if let Some(kept) = store.fact(FACT).await? {
        kept
    } else {
        let mut fresh = [0; Keyring::KEY_BYTES];
        getrandom::fill(&mut fresh).map_err(|_| TaskError::Random)?;
        store.fact_or(FACT, &hex(&fresh)).await?
    };
    let keys: Option<Vec<Vec<u8>>> = kept.split_whitespace().map(unhex).collect();
    let corrupt = || TaskError::Store(StoreError::Corrupt("the keys of signed links".into()));
    Keyring::new(&keys.ok_or_else(corrupt)?).ok_or_else(corrupt)
}

/// A short hash of anything, to see whether it changed.
fn fingerprint<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        let part = part.as_ref();
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    hex(&context.finish().as_ref()[..16])
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

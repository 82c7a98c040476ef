//! The pages of entries that came as summaries, asked for their text (`full_text = true`).
//!
//! They are asked for within the poll that brings the entry, for so long as [`FOR_PAGES`] and no longer: what is not here by
//! then is released with its summary, and its page asked for at the polls to come, [`ATTEMPTS`] times at most. A page is not
//! asked for again unless its entry was edited.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use url::{Position, Url};

use super::chain;
use crate::domain::article::ArticleId;
use crate::fetch::robots::Robots;
use crate::fetch::{Answer, FetchError, Fetcher, Limits, REDIRECTS, Reach, Request};
use crate::source::remote::{self, Document, RemoteEntry};
use crate::store::{FullText, KnownFile, Store, StoreError};
use crate::task::fingerprint;

/// How long a poll may spend on pages: what is new is not to wait for them.
const FOR_PAGES: Duration = Duration::from_secs(30);
/// Pages of one poll: of a feed that is asked for the first time the newest alone.
const MOST: usize = 100;
/// How often a page is asked for in vain.
const ATTEMPTS: u32 = 5;
/// The longest time that a site may want to be left alone between two pages.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What one page may take. It is no larger than what `tidings import` takes (`source::MAX_BYTES`).
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(10), body: 5 << 20, ratio: 200 };
/// What a robots.txt may take (RFC 9309 §2.5).
const ROBOTS: Limits = Limits { body: 512 * 1024, ..LIMITS };

/// What a round of polls knows of the sites whose pages it asks for: one request at a time to each.
pub(super) struct Sites {
    fetcher: Fetcher,
    sites: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Site>>>>,
}

/// What is known of a site.
#[derive(Debug, Default)]
struct Site {
    robots: Option<Result<Robots, String>>,
    asked: Option<Instant>,
}

/// Why a page did not bring a text, and whether it is of use to ask again.
struct Fault {
    why: String,
    is_lasting: bool,
}

impl Fault {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_lasting: false }
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        Self { why: chain(&error), is_lasting: error.is_lasting() }
    }
}

impl Sites {
    pub(super) fn new(fetcher: &Fetcher) -> Self {
        Self { fetcher: fetcher.clone(), sites: Mutex::default() }
    }

    /// The text of an entry's page.
    async fn text(&self, entry: &RemoteEntry, page: &Url, reach: Reach) -> Result<String, Fault> {
        let answer = self.page(page, reach).await?;
        if !answer.status.is_success() {
            return Err(Fault::new(format!("the page's server answers {}", answer.status)));
        }
        let kind = answer.header("content-type").unwrap_or("text/html").to_ascii_lowercase();
        if !kind.contains("html") {
            return Err(Fault::new("at its address there is no page"));
        }
        let entry = entry.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let page = Document { url: &answer.url, content_type: answer.header("content-type"), bytes: &answer.body };
            remote::full_text(&page, &entry)
        });
        let text = reading.await.unwrap_or_default();
        text.ok_or_else(|| Fault::new("the page has no more text than the feed, as far as it can be told"))
    }

    /// A page, where its site and those that it is redirected to allow it.
    async fn page(&self, page: &Url, reach: Reach) -> Result<Answer, Fault> {
        let mut url = page.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.allowed(&url, reach).await?;
            match answer.leads_to()? {
                None => return Ok(answer),
                Some(next) => url = next,
            }
        }
        Err(Fault::new(format!("the page is redirected more than {REDIRECTS} times")))
    }

    /// What is at an address, if its site allows it; after the pause that it wants.
    async fn allowed(&self, url: &Url, reach: Reach) -> Result<Answer, Fault> {
        let key = url[..Position::BeforeUsername].to_owned() + &url[Position::BeforeHost..Position::AfterPort];
        let site = {
            let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sites.entry(key).or_default())
        };
        let mut site = site.lock().await;
        if site.robots.is_none() {
            let robots = self.robots(url, reach).await;
            site.asked = Some(Instant::now());
            site.robots = Some(robots);
        }
        let robots = match &site.robots {
            Some(Ok(robots)) => robots,
            Some(Err(why)) => return Err(Fault::new(why.clone())),
            None => return Err(Fault::new("its robots.txt was not read")),
        };
        if !robots.allows(url) {
            let why = "the site's robots.txt asks programs to leave the page alone".to_owned();
            return Err(Fault { why, is_lasting: true });
        }
        let usual = self.fetcher.manners().pause;
        let pause = robots.pause.unwrap_or(usual).max(usual).min(LONGEST_PAUSE);
        if let Some(asked) = site.asked {
            sleep_until(asked + pause).await;
        }
        let request = Request::get(url.clone()).within(reach).limited(LIMITS).without_redirects();
        let answer = self.fetcher.fetch(request.header("accept", "text/html,application/xhtml+xml;q=0.9")).await;
        site.asked = Some(Instant::now());
        Ok(answer?)
    }

    /// What a site allows: everything where it has no such file, and nothing while it cannot say (RFC 9309 §2.3.1).
    async fn robots(&self, url: &Url, reach: Reach) -> Result<Robots, String> {
        let request = Request::get(Robots::address(url)).within(reach).limited(ROBOTS);
        match self.fetcher.fetch(request).await {
            Ok(answer) if answer.status.is_success() => Ok(Robots::parse(&String::from_utf8_lossy(&answer.body))),
            Ok(answer) if answer.status.is_client_error() => Ok(Robots::default()),
            Ok(answer) => Err(format!("the site's robots.txt cannot be read: its server answers {}", answer.status)),
            Err(error) => Err(format!("the site's robots.txt cannot be read: {}", chain(&error))),
        }
    }
}

/// What the pages of a document's entries brought, by the keys of these.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Texts that came just now.
    pub(super) new: HashMap<String, String>,
    /// Articles that have their page's text already, and keep it.
    kept: HashMap<String, ArticleId>,
    /// Pages that did not bring a text this time.
    pub(super) failed: usize,
    noted: Vec<FullText>,
    /// Those that were to be asked for before.
    due: Vec<FullText>,
}

impl Texts {
    /// Asks for the pages of the entries that are summaries and new, edited, or due; beside each entry
    /// stands whether it is one of the former.
    pub(super) async fn gather(
        sites: &Sites,
        store: &Store,
        source: (&str, Reach),
        entries: &[(&RemoteEntry, bool)],
        known: &HashMap<String, KnownFile>,
    ) -> Result<Self, StoreError> {
        let (key, reach) = source;
        let before = store.full_texts(key).await?;
        let mut texts = Self::default();
        let until = Instant::now() + FOR_PAGES;
        let mut asked = 0;
        for (entry, has_changed) in entries {
            let had = before.get(&entry.key);
            let is_summary = remote::is_summary(entry);
            // What is no summary any more has its own text, which is newer than the page's.
            if let (true, Some(known)) = (is_summary && had.is_some_and(|had| had.has_page), known.get(&entry.key)) {
                texts.kept.insert(entry.key.clone(), known.id);
            }
            let hash = fingerprint([format!("{entry:?}")]);
            let same = had.filter(|had| had.entry == hash);
            let has_page = is_summary && had.is_some_and(|had| had.has_page);
            let is_wanted = is_summary && same.map_or(*has_changed, |had| had.is_due);
            let (true, Some(page)) = (is_wanted && asked < MOST, &entry.link) else {
                if let (Some(had), None) = (had, same) {
                    // Edited, and not asked for: now or at all.
                    let is_due = is_summary && entry.link.is_some() && (*has_changed || had.is_due);
                    let why = is_due.then(|| "there was no time for it".to_owned());
                    let key = entry.key.clone();
                    texts.noted.push(FullText { key, entry: hash, has_page, is_due, attempts: 0, why });
                }
                continue;
            };
            asked += 1;
            let attempts = same.map_or(0, |had| had.attempts);
            let mut note = FullText {
                key: entry.key.clone(),
                entry: hash,
                has_page,
                is_due: true,
                attempts,
                why: Some("there was no time for it".to_owned()),
            };
            // What time did not allow to begin was no attempt.
            if Instant::now() >= until {
                texts.noted.push(note);
                continue;
            }
            note.attempts += 1;
            let text = timeout_at(until, sites.text(entry, page, reach)).await;
            match text.unwrap_or_else(|_| Err(Fault::new("it was not here in time"))) {
                Ok(text) => {
                    (note.has_page, note.is_due, note.why) = (true, false, None);
                    texts.new.insert(entry.key.clone(), text);
                }
                Err(fault) => {
                    note.is_due = !fault.is_lasting && note.attempts < ATTEMPTS;
                    note.why = Some(fault.why);
                    texts.failed += 1;
                }
            }
            texts.noted.push(note);
        }
        texts.due = before.into_values().filter(|had| had.is_due).collect();
        Ok(texts)
    }

    /// What is not among the entries of a whole document is not asked for any more.
    pub(super) fn forget_all_but(&mut self, entries: &[(&RemoteEntry, bool)]) {
        let here: HashSet<&str> = entries.iter().map(|(entry, _)| entry.key.as_str()).collect();
        let gone = self.due.drain(..).filter(|had| !here.contains(had.key.as_str()));
        self.noted.extend(gone.map(|had| FullText { is_due: false, ..had }));
    }

    /// Gives entries the texts of their pages: those that came, and those that their articles have.
    pub(super) async fn give(&mut self, store: &Store, entries: &mut [&mut RemoteEntry]) -> Result<(), StoreError> {
        let missing: Vec<ArticleId> = entries
            .iter()
            .filter(|entry| !self.new.contains_key(&entry.key))
            .filter_map(|entry| self.kept.get(&entry.key).copied())
            .collect();
        let mut bodies = if missing.is_empty() { HashMap::new() } else { store.bodies(&missing).await? };
        for entry in entries {
            let kept = || self.kept.get(&entry.key).and_then(|article| bodies.remove(&article.to_string()));
            if let Some(text) = self.new.remove(&entry.key).or_else(kept) {
                **entry = remote::with_full_text(std::mem::take(*entry), text);
            }
        }
        Ok(())
    }

    /// Notes what came of it.
    pub(super) async fn note(&self, store: &Store, key: &str) -> Result<(), StoreError> {
        if self.noted.is_empty() { Ok(()) } else { store.note_full_texts(key, &self.noted).await }
    }
}

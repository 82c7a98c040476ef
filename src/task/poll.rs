//! Feeds elsewhere into the store: asked when they are due, read, and their new entries released.
//!
//! An entry is an article from the poll that saw it first, and stays one: a document shows the newest alone, and only a
//! tombstone withdraws. Its release number is given then, so whatever happens to its date or its place in the document, a
//! digest brings it once. What the first poll finds is archive, which nobody gets by mail.
//!
//! The date that it bears is its own where that can be: one that is not there is the moment it was seen first, and so is
//! one that lies ahead, for what stands in a public document is public.
//!
//! | Module | What it does |
//! |---|---|
//! | `entries` | which entries become articles, with which slugs and dates |
//! | `pages` | asks the pages of entries that are summaries for their text |
//! | `taking` | makes them into articles, writes and releases them |

mod entries;
mod pages;
mod taking;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use hyper::StatusCode;
use serde::Serialize;
use url::Url;

use pages::Sites;
use taking::Extent;

use super::{Publication, TaskError, chain, fingerprint, push};
use crate::config::Source;
use crate::domain::article::{ArticleId, uuid_at};
use crate::domain::rhythm::{LOOKED_AT, Rhythm};
use crate::fetch::{Answer, Limits, Reach, Request};
use crate::problem::Problem;
use crate::source::remote::{self, Document, Manner, Remote, RemoteEntry};
use crate::store::{PollOutcome, RemoteState};

pub use crate::store::FullTexts;

/// Raised when what entries become changes, so that each is made anew.
const RENDERING: u32 = 1;
/// For how long a process has a poll in hand: longer than the slowest takes.
const LEASE: TimeDelta = TimeDelta::minutes(10);
/// Polls at a time.
const AT_ONCE: usize = 4;
/// A feed may take longer than a hook.
const PATIENCE: Duration = Duration::from_mins(1);
/// Polls that fail at an address that a feed moved to before the one that is configured is tried again.
const AWAY: u32 = 3;
/// How a person lets a source into private networks.
const PRIVATE: &str = "private = true";

/// What a poll brought.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PollReport {
    /// The source.
    pub source: String,
    /// Entries in the document; none where nothing was read.
    pub found: usize,
    /// Those that are new.
    pub new: usize,
    /// Those that were edited.
    pub changed: usize,
    /// Those that were withdrawn.
    pub withdrawn: usize,
    /// Pages that brought the text of an entry.
    pub pages: usize,
    /// Pages that did not.
    pub pages_failed: usize,
    /// Articles that became public.
    pub released: u64,
    /// Whether this was the first poll: what it released is archive.
    pub first: bool,
    /// The server said that nothing is new.
    pub not_modified: bool,
    /// Why it failed.
    pub trouble: Option<String>,
    /// Whether it failed before, too.
    pub again: bool,
    /// When it is asked again; never where it is there no more.
    pub next_at: Option<DateTime<Utc>>,
    /// What is wrong with the document or single entries of it.
    pub problems: Vec<Problem>,
}

impl PollReport {
    /// Whether anything is different from before.
    pub fn is_change(&self) -> bool {
        self.new + self.changed + self.withdrawn > 0 || self.released > 0
    }
}

/// What the store calls the source of this name.
pub fn key_of(name: &str) -> String {
    format!("feed:{name}")
}

/// Makes known what is configured. A source that is called otherwise than before keeps what came from it.
///
/// # Errors
/// When the store fails.
pub async fn know(publication: &Publication) -> Result<(), TaskError> {
    let (store, sources) = (&publication.store, &publication.config.sources);
    let known = store.remotes().await?;
    for source in sources {
        let is_known = known.iter().any(|remote| remote.name == source.name);
        let before = known.iter().find(|remote| {
            remote.url == source.feed.as_str() && !sources.iter().any(|source| source.name == remote.name)
        });
        if let (false, Some(before)) = (is_known, before) {
            store.rename_remote([&before.name, &source.name], [&key_of(&before.name), &key_of(&source.name)]).await?;
        }
        store.know_remote(&source.name, source.feed.as_str(), publication.clock.now()).await?;
    }
    Ok(())
}

/// Polls every source that is due, a few at a time. One that fails stops none of the others.
///
/// # Errors
/// When the store fails.
pub async fn poll_due(publication: &Publication) -> Result<Vec<PollReport>, TaskError> {
    let sources = &publication.config.sources;
    if sources.is_empty() {
        return Ok(vec![]);
    }
    let due: HashSet<String> = publication.store.due_remotes(publication.clock.now()).await?.into_iter().collect();
    let due: Vec<&Source> = sources.iter().filter(|source| due.contains(&source.name)).collect();
    poll_these(publication, &due, false).await
}

/// Polls these sources now, due or not. One that another process has in hand is missing in the answer.
///
/// # Errors
/// When the store fails.
pub async fn poll_now(publication: &Publication, sources: &[&Source]) -> Result<Vec<PollReport>, TaskError> {
    poll_these(publication, sources, true).await
}

async fn poll_these(
    publication: &Publication,
    due: &[&Source],
    is_asked_for: bool,
) -> Result<Vec<PollReport>, TaskError> {
    let sites = &Sites::new(&publication.fetcher);
    let polls = due.iter().map(|source| async move { Poll { publication, source, sites }.run(is_asked_for).await });
    let mut polls = futures_util::stream::iter(polls).buffered(AT_ONCE);
    let mut reports = vec![];
    while let Some(report) = polls.next().await {
        reports.extend(report?);
    }
    Ok(reports)
}

/// How often, and for how long, a poll under way is waited for before something that was brought is taken in.
const TURNS: (u32, Duration) = (60, Duration::from_secs(1));

/// Takes in what a hub brought of a source, as if a poll had found it; none where it was never polled
/// whole, or another process has it in hand for long.
///
/// # Errors
/// When the store fails.
pub(super) async fn pushed(
    publication: &Publication,
    source: &Source,
    found_at: &Url,
    content_type: Option<String>,
    body: Vec<u8>,
) -> Result<Option<PollReport>, TaskError> {
    let store = &publication.store;
    let sites = &Sites::new(&publication.fetcher);
    let poll = Poll { publication, source, sites };
    let mut report = PollReport { source: source.name.clone(), ..PollReport::default() };
    let remote = match read(found_at.clone(), content_type, body).await {
        Ok(remote) => remote,
        Err(problem) => {
            report.trouble = Some(in_words(&problem));
            report.problems.push(problem);
            return Ok(Some(report));
        }
    };
    for _ in 0..TURNS.0 {
        let now = publication.clock.now();
        let claim = uuid_at(now).to_string();
        if let Some(state) = store.claim_remote(&source.name, &claim, now + LEASE, true, now).await? {
            if store.source_fingerprint(&key_of(&source.name)).await?.is_none() {
                // What is there from before is archive, and only the whole document says what that is.
                store.settle_brought(&source.name, &claim).await?;
                return Ok(None);
            }
            let taken = poll.take(remote, Extent::Brought, &poll.settings(), &mut report).await;
            report.next_at = Some(state.next_at);
            store.settle_brought(&source.name, &claim).await?;
            return taken.map(|()| Some(report));
        }
        tokio::time::sleep(TURNS.1).await;
    }
    Ok(None)
}

/// What stands at an address, read and nothing else.
///
/// # Errors
/// Whatever keeps it from being read, in words.
pub async fn look(publication: &Publication, feed: &Url, may_be_private: bool) -> Result<(Url, Remote), Problem> {
    let request = request(feed.clone(), may_be_private);
    let file = remote::shown(feed);
    let answer = publication.fetcher.fetch(request).await.map_err(|error| Problem::new(&file, chain(&error)))?;
    if !answer.status.is_success() {
        return Err(refusal(&file, answer.status));
    }
    let url = if answer.moved_for_good { answer.url.clone() } else { feed.clone() };
    let content_type = answer.header("content-type").map(str::to_owned);
    read(answer.url, content_type, answer.body).await.map(|remote| (url, remote))
}

fn request(url: Url, may_be_private: bool) -> Request {
    Request::get(url)
        .within(Reach::of(may_be_private, PRIVATE))
        .header(
            "accept",
            "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5",
        )
        .limited(Limits { whole: PATIENCE, ..Limits::default() })
}

/// On a thread of its own: a large document takes a second.
async fn read(url: Url, content_type: Option<String>, body: Vec<u8>) -> Result<Remote, Problem> {
    let reading = tokio::task::spawn_blocking(move || {
        let document = Document { url: &url, content_type: content_type.as_deref(), bytes: &body };
        remote::read(&document)
    });
    reading.await.unwrap_or_else(|_| Err(Problem::new("", "the document cannot be read")))
}

/// An answer that brings nothing.
fn refusal(file: &str, status: StatusCode) -> Problem {
    let problem = Problem::new(file, format!("the server answers {status}"));
    match status.as_u16() {
        401 | 403 => problem.hint("the feed is not public; a name and password can stand in its address"),
        404 => problem.hint("look whether the feed has another address now"),
        410 => problem.hint("it is there no more; what came from it stays"),
        429 | 503 => problem.hint("it is asked again later"),
        _ => problem,
    }
}

/// What is wrong, on one line.
fn in_words(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.what),
        None => problem.what.clone(),
    }
}

struct Poll<'a> {
    publication: &'a Publication,
    source: &'a Source,
    sites: &'a Sites,
}

impl Poll<'_> {
    async fn run(&self, is_asked_for: bool) -> Result<Option<PollReport>, TaskError> {
        let (store, now) = (&self.publication.store, self.publication.clock.now());
        let claim = uuid_at(now).to_string();
        let name = &self.source.name;
        let Some(before) = store.claim_remote(name, &claim, now + LEASE, is_asked_for, now).await? else {
            return Ok(None);
        };
        let mut report = PollReport { source: name.clone(), ..PollReport::default() };
        let mut outcome = PollOutcome { state: RemoteState { polled_at: Some(now), ..before.clone() }, tell: None };
        self.ask(&before, &mut outcome, &mut report).await?;
        report.again = report.trouble.is_some() && before.failures > 0;
        report.next_at = Some(outcome.state.next_at).filter(|_| outcome.state.gone_at.is_none());
        store.settle_remote(&claim, &outcome).await?;
        Ok(Some(report))
    }

    /// Asks, and takes what comes.
    async fn ask(
        &self,
        before: &RemoteState,
        outcome: &mut PollOutcome,
        report: &mut PollReport,
    ) -> Result<(), TaskError> {
        let settings = self.settings();
        // What is made otherwise than before has to be seen once more.
        let is_known = before.settings.as_deref() == Some(settings.as_str())
            // And so has an entry whose page is still to be asked for.
            && !(self.source.full_text && self.publication.store.has_due_pages(&key_of(&self.source.name)).await?);
        let moved = before.moved_to.as_deref().and_then(|moved| Url::parse(moved).ok());
        let url = moved.unwrap_or_else(|| self.source.feed.clone());
        let mut request = request(url.clone(), self.source.may_be_private);
        if is_known {
            // RFC 3229, and its use for feeds: of a document that we have, what is new is enough.
            request = request.unless_known(before.etag.as_deref(), before.modified.as_deref()).header("a-im", "feed");
        }
        let answer = match self.publication.fetcher.fetch(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let problem = Problem::new(remote::shown(&url), chain(&error));
                return self.failed(problem, None, outcome, report);
            }
        };
        // Remembered where a feed stands there.
        let moved_to = answer.moved_for_good.then(|| answer.url.to_string());
        match answer.status {
            StatusCode::NOT_MODIFIED => {
                report.not_modified = true;
                outcome.state.moved_to = moved_to.or(outcome.state.moved_to.take());
                // What did not change still has the rhythm that it had.
                let asked_to_wait = server_says(&answer).max(outcome.state.rhythm);
                self.went_well(asked_to_wait, outcome).await
            }
            StatusCode::OK | StatusCode::IM_USED => {
                let kept = |name: &str| answer.header(name).map(str::to_owned);
                let ((mut hubs, topic), found_at) = (push::named(&answer), answer.url.clone());
                let extent = if answer.status == StatusCode::OK { Extent::Whole } else { Extent::New };
                let (etag, modified, from_server) = (kept("etag"), kept("last-modified"), server_says(&answer));
                let content_type = kept("content-type");
                // Whether a hub is asked to push is told by where we are, too.
                let (home, is_private) = (self.publication.config.live_urls(), self.source.may_be_private);
                let about = format!("{found_at} {content_type:?} {hubs:?} {topic:?} {} {is_private}", home.base());
                let document = fingerprint([about.as_bytes(), &answer.body]);
                if is_known && before.document.as_ref() == Some(&document) {
                    // Nothing but the bytes says that it is as it was.
                    report.found = before.entries;
                    let state = &mut outcome.state;
                    (state.etag, state.modified) = (etag, modified);
                    state.moved_to = moved_to.or(state.moved_to.take());
                    return self.went_well(from_server.max(before.rhythm), outcome).await;
                }
                let remote = match read(answer.url, content_type, answer.body).await {
                    Ok(remote) => remote,
                    Err(problem) => return self.failed(problem, None, outcome, report),
                };
                outcome.state.moved_to = moved_to.or(outcome.state.moved_to.take());
                let (title, every) = (remote.title.clone(), remote.every);
                hubs.extend(remote.hubs.iter().cloned());
                let topic = topic.or_else(|| remote.topic.clone());
                self.take(remote, extent, &settings, report).await?;
                self.look_whether_missed(report).await?;
                // Once all is taken in: until then nobody can tell what is new of that which a hub brings.
                push::want(self.publication, self.source, (hubs, topic), &found_at).await?;
                let state = &mut outcome.state;
                (state.etag, state.modified, state.settings) = (etag, modified, Some(settings));
                (state.title, state.rhythm) = (title.or(state.title.take()), every);
                let is_whole = extent == Extent::Whole && report.problems.is_empty();
                (state.document, state.entries) = (is_whole.then_some(document), report.found);
                self.went_well(from_server.max(every), outcome).await
            }
            // At another address than the configured one it may be only that which is gone.
            StatusCode::GONE if answer.url == self.source.feed => {
                let what = in_words(&refusal("", StatusCode::GONE));
                outcome.state.gone_at = Some(self.publication.clock.now());
                outcome.tell = Some(what);
                self.failed(refusal(&remote::shown(&url), StatusCode::GONE), None, outcome, report)
            }
            status => {
                let retry_after = answer.retry_after(self.publication.clock.now());
                self.failed(refusal(&remote::shown(&url), status), retry_after, outcome, report)
            }
        }
    }

    /// Notes where a hub did not bring what there is: after the second time it is not relied on any more.
    async fn look_whether_missed(&self, report: &PollReport) -> Result<(), TaskError> {
        let now = self.publication.clock.now();
        if report.new > 0 && !report.first && push::is_alive(self.publication, self.source, now).await? {
            let trouble = "a poll found what the hub had not brought";
            self.publication.store.note_missed(&self.source.name, trouble).await?;
        }
        Ok(())
    }

    async fn went_well(&self, asked_to_wait: Option<TimeDelta>, outcome: &mut PollOutcome) -> Result<(), TaskError> {
        let now = self.publication.clock.now();
        let dates = self.publication.store.newest_dates(&key_of(&self.source.name), LOOKED_AT).await?;
        let is_pushed = push::is_alive(self.publication, self.source, now).await?;
        let rhythm = Rhythm { every: self.source.every, asked_to_wait, is_pushed, dates: &dates };
        let state = &mut outcome.state;
        state.next_at = now + rhythm.wait(now);
        (state.succeeded_at, state.failures, state.trouble, state.gone_at) = (Some(now), 0, None, None);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends what can fail otherwise")]
    fn failed(
        &self,
        problem: Problem,
        retry_after: Option<TimeDelta>,
        outcome: &mut PollOutcome,
        report: &mut PollReport,
    ) -> Result<(), TaskError> {
        let state = &mut outcome.state;
        state.failures = state.failures.saturating_add(1);
        if state.failures >= AWAY {
            state.moved_to = None;
        }
        let rhythm = Rhythm { every: self.source.every, asked_to_wait: None, is_pushed: false, dates: &[] };
        state.next_at = self.publication.clock.now() + rhythm.wait_after_failure(state.failures, retry_after, chance());
        let trouble = in_words(&problem);
        state.trouble = Some(trouble.clone());
        report.trouble = Some(trouble);
        report.problems.push(problem);
        Ok(())
    }

    /// What entries become depends on this besides themselves.
    fn settings(&self) -> String {
        let site = &self.publication.config.publication;
        let full_text = if self.source.full_text { "full text" } else { "" };
        fingerprint([&format!("{:?}", self.manner()), site.url.as_str(), full_text, &RENDERING.to_string()])
    }

    fn manner(&self) -> Manner {
        Manner {
            name: self.source.name.clone(),
            section: self.source.section.clone(),
            language: self.source.language.clone(),
            authors: self.source.authors.clone(),
            pages: self.source.pages,
            own_language: self.publication.config.publication.language.clone(),
        }
    }
}

/// For how long the server says that its answer holds (RFC 9111 §4.2.1), or wants to be left alone.
fn server_says(answer: &Answer) -> Option<TimeDelta> {
    let control = answer.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    let max_age = control.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse::<u32>().ok());
    let date = |name: &str| answer.header(name).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let expires = || Some(date("expires")? - date("date")?).filter(|wait| *wait > TimeDelta::zero());
    max_age.map(|seconds| TimeDelta::seconds(seconds.into())).or_else(expires)
}

/// Any number from 0 to 255; 0 where the machine gives no randomness.
fn chance() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

/// An address as it may be shown.
pub fn shown(url: &Url) -> String {
    remote::shown(url)
}

/// The title that an entry would have.
pub fn title_of(entry: &RemoteEntry) -> String {
    remote::title(entry)
}

/// Forgets a source, with its articles where they are to be withdrawn.
///
/// # Errors
/// When the store fails.
pub async fn forget(publication: &Publication, name: &str, withdraw: bool) -> Result<(), TaskError> {
    let (store, key) = (&publication.store, key_of(name));
    if withdraw {
        let known = store.known_files(&key).await?;
        let articles: Vec<ArticleId> = known.values().filter(|one| !one.withdrawn).map(|one| one.id).collect();
        if !articles.is_empty() {
            store.withdraw(&key, &articles, &[], publication.clock.now()).await?;
        }
    }
    Ok(store.forget_remote(name, &key).await?)
}

//! The long-running side: what `serve` does while it serves.

mod changes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

pub use self::changes::Changes;
use super::dispatch::{Counts, DispatchReport, Stop, Vigil, close_digests, dispatch, interval};
use super::poll::{self, PollReport};
use super::progress::{self, Course, Progress};
use super::publish::{PublishReport, Site};
use super::report::{ReportTally, take_mailbox, take_maildir};
use super::sync::{SOURCE, SyncReport};
use super::{Publication, TaskError, confirm, letters, notice, publish, push, schedule, sync, tidy, welcome};

/// How often slots, releases and retries are looked for: a slot is late by no more than this.
const TICK: Duration = Duration::from_secs(2);
/// How long a folder must be quiet before it is read: a burst of saves, such as a checkout, is one sync.
const QUIET: Duration = Duration::from_millis(300);
/// How long quiet is waited for at most: a folder that something writes to without end is read all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after a look at what the watch named everything is looked at: no watch tells of all that becomes of a folder.
/// Most changes bring word of themselves before, by the store's revision.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// How often a Maildir is looked into for reports.
const LOOK_INTO_MAILDIR: Duration = Duration::from_secs(30);
/// How often a mailbox on a server is: few servers like to be asked more often.
const LOOK_INTO_MAILBOX: Duration = Duration::from_mins(3);
/// How often feeds elsewhere are looked for that are due.
const LOOK_FOR_DUE: Duration = Duration::from_secs(10);
/// How often what nobody confirmed is looked for.
const TIDY: Duration = Duration::from_hours(1);
/// How long a relay that is away is left alone.
const COOLING: Duration = Duration::from_mins(1);

/// What happened, for whoever wants to say it.
#[derive(Debug)]
pub enum Event {
    /// Articles were synced and published.
    Synced(SyncReport, PublishReport),
    /// A feed elsewhere was asked, and something came or it failed for the first time.
    Polled(PollReport),
    /// A digest was composed.
    Composed(crate::domain::digest::Digest),
    /// Deliveries are going out, and it takes a while.
    Sending(Progress),
    /// Deliveries went out.
    Dispatched(DispatchReport),
    /// Confirmations went out.
    Confirmed(u64),
    /// Welcomes went out.
    Welcomed(u64),
    /// Bounces and complaints came in.
    Reported(ReportTally),
    /// So many people were forgotten who never confirmed.
    Forgotten(u64),
    /// Editors were told of what needs them.
    Told(u64),
    /// So many listeners were told that a feed has changed, and so many could not be.
    HubTold(u64, u64),
    /// A hub was told that so many feed documents have changed.
    HubPinged(u64),
    /// Something failed; it is tried again.
    Failed(TaskError),
}

/// Watches the articles' folder, and one beside it that may come and go.
#[derive(Debug)]
pub struct Watch {
    watcher: notify::RecommendedWatcher,
    beside: PathBuf,
    is_beside_watched: bool,
    changes: Arc<Changes>,
}

impl Watch {
    /// Watches `folder`, and `beside` where that is there; each change is passed on.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn new(folder: &Path, beside: &Path, changes: Arc<Changes>) -> notify::Result<Self> {
        // What the system names begins with where the folder is in truth.
        let folder = folder.canonicalize().map_err(notify::Error::io)?;
        let (told, of) = (Arc::clone(&changes), folder.clone());
        let mut watcher = notify::recommended_watcher(move |event| told.hear(&of, event))?;
        watcher.watch(&folder, RecursiveMode::Recursive)?;
        let is_beside_watched = beside.is_dir();
        if is_beside_watched {
            watcher.watch(beside, RecursiveMode::Recursive)?;
        }
        Ok(Self { watcher, beside: beside.to_owned(), is_beside_watched, changes })
    }

    /// Watches the folder beside as soon as it is there, until the word to stop. What would tell of it is the folder that
    /// both are in, where the database is written to as well.
    pub async fn follow(&mut self, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.given() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            let is_there = self.beside.is_dir();
            if !is_there {
                self.is_beside_watched = false;
            } else if !self.is_beside_watched && self.watcher.watch(&self.beside, RecursiveMode::Recursive).is_ok() {
                self.is_beside_watched = true;
                // What came with it was not seen.
                self.changes.anything();
            }
        }
    }
}

/// Syncs and publishes whenever there is word of changes, until the word to stop: what is named is served first, and a look
/// at everything follows.
pub async fn keep_in_sync(
    publication: &Publication,
    changes: &Changes,
    mut stop: Stop,
    site: &ArcSwap<Site>,
    on_event: &(dyn Fn(Event) + Sync),
) {
    let mut is_certain = true;
    loop {
        tokio::select! {
            () = stop.given() => return,
            () = changes.heard() => {}
            () = tokio::time::sleep(AFTERWARDS), if !is_certain => changes.doubt(),
        }
        // Wait until nothing more has come for a while.
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = stop.given() => return,
                () = &mut patience => break,
                more = tokio::time::timeout(QUIET, changes.heard()) => if more.is_err() { break },
            }
        }
        let touched = changes.take();
        is_certain = touched.is_none();
        match update(publication, site, touched.as_ref()).await {
            Ok((synced, published)) if synced.is_change() || !published.unchanged => {
                on_event(Event::Synced(synced, published));
            }
            Ok(_) => {}
            Err(error) => {
                changes.doubt();
                on_event(Event::Failed(error));
            }
        }
    }
}

/// One sync, then one publish: into memory, in one swap, and into `public/`.
///
/// # Errors
/// When the store fails or something cannot be rendered or written.
pub async fn sync_and_publish(
    publication: &Publication,
    site: &ArcSwap<Site>,
) -> Result<(SyncReport, PublishReport), TaskError> {
    update(publication, site, None).await
}

/// The same after these files alone were touched, where that is known.
async fn update(
    publication: &Publication,
    site: &ArcSwap<Site>,
    touched: Option<&BTreeSet<String>>,
) -> Result<(SyncReport, PublishReport), TaskError> {
    let synced = sync::sync_after(publication, touched, &|_, _| {}).await?;
    // By the store's revision and not by this sync's report: another process may have synced before us.
    let before = site.load_full();
    let is_other = before.documents.is_empty() || publication.media.refresh() != before.files;
    if is_other || before.revision != publication.store.revision().await? {
        let (mut built, _) = publish::site(publication, publication.config.live_urls()).await?;
        built.replace(&before, publication.clock.now());
        site.store(Arc::new(built));
        publication.hub.ring();
    }
    let published = publish::publish(publication, false, &|_, _| {}).await?;
    Ok((synced, published))
}

/// Releases, schedules, confirms and dispatches until the word to stop. `poke` calls for confirmations before the next
/// tick. Nothing waits for another: a dispatch may take hours.
pub async fn keep_sending(
    publication: &Publication,
    poke: &Notify,
    changes: &Changes,
    stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
) {
    let composed = Notify::new();
    tokio::join!(
        keep_scheduling(publication, changes, &composed, stop.clone(), on_event),
        keep_polling(publication, changes, stop.clone(), on_event),
        keep_confirming(publication, poke, stop.clone(), on_event),
        keep_dispatching(publication, &composed, stop.clone(), on_event),
        keep_telling(publication, stop.clone(), on_event),
        keep_tidy(publication, stop.clone(), on_event),
        keep_reading_reports(publication, stop, on_event),
    );
}

/// Polls the feeds elsewhere that are due, until the word to stop; a poll under way then is broken off, and its lease
/// passes on. There may be no such feed.
async fn keep_polling(publication: &Publication, changes: &Changes, mut stop: Stop, on_event: &(dyn Fn(Event) + Sync)) {
    if publication.config.sources.is_empty() {
        return;
    }
    if let Err(error) = poll::know(publication).await {
        on_event(Event::Failed(error));
    }
    loop {
        tokio::select! {
            () = stop.given() => return,
            polled = poll::poll_due(publication) => match polled {
                Ok(reports) => {
                    if reports.iter().any(PollReport::is_change) {
                        changes.anything();
                    }
                    let tells = |report: &PollReport| report.is_change() || (report.trouble.is_some() && !report.again);
                    reports.into_iter().filter(tells).for_each(|report| on_event(Event::Polled(report)));
                }
                Err(error) => on_event(Event::Failed(error)),
            }
        }
        tokio::select! {
            () = stop.given() => return,
            asked = push::ask_hubs(publication) => if let Err(error) = asked { on_event(Event::Failed(error)) },
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(LOOK_FOR_DUE) => {}
        }
    }
}

/// Forgets who never confirmed and whom `[retention]` names, until the word to stop.
async fn keep_tidy(publication: &Publication, mut stop: Stop, on_event: &(dyn Fn(Event) + Sync)) {
    loop {
        match tidy::purge(publication).await {
            Ok(purged) if purged.people() == 0 => {}
            Ok(purged) => on_event(Event::Forgotten(purged.people())),
            Err(error) => on_event(Event::Failed(error)),
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(TIDY) => {}
        }
    }
}

/// Tells editors what needs them, until the word to stop; what is under way then is told again at the next start.
pub async fn keep_telling(publication: &Publication, mut stop: Stop, on_event: &(dyn Fn(Event) + Sync)) {
    loop {
        tokio::select! {
            () = stop.given() => return,
            told = notice::tell(publication) => match told {
                Ok(0) => {}
                Ok(told) => on_event(Event::Told(told)),
                Err(error) => on_event(Event::Failed(error)),
            }
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Looks for reports where the configuration says that they come in; there may be no such place.
async fn keep_reading_reports(publication: &Publication, stop: Stop, on_event: &(dyn Fn(Event) + Sync)) {
    let reports = &publication.config.reports;
    let from_maildir = async {
        if let Some(maildir) = &reports.maildir {
            keep_looking(LOOK_INTO_MAILDIR, stop.clone(), on_event, || take_maildir(publication, maildir)).await;
        }
    };
    let from_mailbox = async {
        if let Some(imap) = &reports.imap {
            keep_looking(LOOK_INTO_MAILBOX, stop.clone(), on_event, || take_mailbox(publication, imap)).await;
        }
    };
    tokio::join!(from_maildir, from_mailbox);
}

/// Looks again and again until the word to stop; what is under way then is broken off: a report that was not taken to
/// its end is still there, and one that was is known.
async fn keep_looking<F: Future<Output = Result<ReportTally, TaskError>>>(
    every: Duration,
    mut stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
    look: impl Fn() -> F,
) {
    loop {
        tokio::select! {
            () = stop.given() => return,
            looked = look() => match looked {
                Ok(tally) if tally.total() > 0 => on_event(Event::Reported(tally)),
                Ok(_) => {}
                Err(error) => on_event(Event::Failed(error)),
            }
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn keep_scheduling(
    publication: &Publication,
    changes: &Changes,
    composed: &Notify,
    mut stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
) {
    let seen = std::cell::Cell::new(None);
    let look = async || {
        // What begins to be sent, by whichever process, has its place in the archive at once; and a page may have seen a
        // file first, where the folder tells of no changes.
        let now = (publication.store.revision().await?, publication.media.generation());
        if seen.replace(Some(now)).is_some_and(|seen| seen != now) {
            changes.anything();
        }
        if publication.store.next_due_release(SOURCE).await?.is_some_and(|due| due <= publication.clock.now()) {
            changes.anything();
        }
        schedule::tick(publication).await
    };
    loop {
        match look().await {
            Ok(digests) => {
                for digest in digests {
                    on_event(Event::Composed(digest));
                    composed.notify_one();
                }
            }
            Err(error) => on_event(Event::Failed(error)),
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn keep_confirming(publication: &Publication, poke: &Notify, mut stop: Stop, on_event: &(dyn Fn(Event) + Sync)) {
    loop {
        let is_away = match confirm_what_waits(publication, &stop, on_event).await {
            Ok(still_waiting) => still_waiting,
            Err(error) => {
                on_event(Event::Failed(error));
                false
            }
        };
        match welcome::send_welcomes(publication, &stop).await {
            Ok(0) => {}
            Ok(welcomed) => on_event(Event::Welcomed(welcomed)),
            Err(error) => on_event(Event::Failed(error)),
        }
        tokio::select! {
            () = stop.given() => return,
            () = poke.notified(), if !is_away => {}
            () = tokio::time::sleep(if is_away { COOLING } else { TICK }) => {}
        }
    }
}

/// Whether confirmations still wait, of which none could be handed over.
async fn confirm_what_waits(
    publication: &Publication,
    stop: &Stop,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<bool, TaskError> {
    let confirmed =
        confirm::send_confirmations_until(publication, stop).await? + letters::send_letters(publication, stop).await?;
    if confirmed > 0 {
        on_event(Event::Confirmed(confirmed));
        return Ok(false);
    }
    Ok(!publication.store.pending_confirmations(publication.clock.now(), 1).await?.is_empty())
}

/// Sends whatever is due, and takes over what processes that died had in hand, until the word to stop.
pub async fn keep_dispatching(
    publication: &Publication,
    composed: &Notify,
    mut stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
) {
    let watching = keep_vigil(publication, composed, stop.clone());
    let sending = async {
        loop {
            let is_away = match dispatch_what_is_due(publication, &stop, on_event).await {
                Ok(is_away) => is_away,
                Err(error) => {
                    on_event(Event::Failed(error));
                    false
                }
            };
            tokio::select! {
                () = stop.given() => return,
                () = composed.notified(), if !is_away => {}
                () = tokio::time::sleep(if is_away { COOLING } else { TICK }) => {}
            }
        }
    };
    tokio::join!(watching, sending);
}

/// Looks after the processes that send, this one included.
async fn keep_vigil(publication: &Publication, taken_over: &Notify, mut stop: Stop) {
    let mut vigil = Vigil::default();
    loop {
        match vigil.look(publication, std::time::Instant::now()).await {
            Ok(seen) if seen.taken_over > 0 => taken_over.notify_one(),
            Ok(_) => {}
            Err(error) => tracing::debug!(?error, "no look at the senders"),
        }
        tokio::select! {
            () = stop.given() => return,
            () = tokio::time::sleep(interval(publication)) => {}
        }
    }
}

/// Whether no relay takes anything for now.
async fn dispatch_what_is_due(
    publication: &Publication,
    stop: &Stop,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<bool, TaskError> {
    if !publication.store.is_anything_due(publication.clock.now()).await? {
        close_digests(publication).await?;
        return Ok(false);
    }
    let counts = Counts::default();
    let telling = async {
        // What is soon over is not looked at.
        let mut wait = progress::EVERY / 2;
        let mut course = None;
        loop {
            tokio::time::sleep(wait).await;
            // Where the store does not answer, sending says so.
            match &mut course {
                None => course = Course::begin(publication, &counts).await.ok(),
                Some(course) => {
                    wait = progress::EVERY;
                    if let Ok(progress) = course.look().await {
                        on_event(Event::Sending(progress));
                    }
                }
            }
        }
    };
    let report = tokio::select! {
        report = dispatch(publication, stop, &counts) => report?,
        never = telling => never,
    };
    let is_away = report.relay_away.is_some();
    on_event(Event::Dispatched(report));
    Ok(is_away)
}

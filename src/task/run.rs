//! The long-running side: what `serve` does while it serves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::dispatch::{Counts, DispatchReport, Stop, dispatch};
use super::publish::{PublishReport, Site};
use super::sync::SyncReport;
use super::{Publication, TaskError, confirm, publish, schedule, sync};

/// How often slots, releases and retries are looked for: a slot is late by no more than this.
const TICK: Duration = Duration::from_secs(2);
/// How long a folder must be quiet before it is read: a burst of saves, such as a checkout, is one sync.
const QUIET: Duration = Duration::from_millis(300);

/// What happened, for whoever wants to say it.
#[derive(Debug)]
pub enum Event {
    /// Articles were synced and published.
    Synced(SyncReport, PublishReport),
    /// A digest was composed.
    Composed(crate::domain::digest::Digest),
    /// Deliveries went out.
    Dispatched(DispatchReport),
    /// Confirmations went out.
    Confirmed(u64),
    /// Something failed; it is tried again.
    Failed(TaskError),
}

/// Watches the articles' folder; each change gives a word to `changed`.
///
/// # Errors
/// When the system cannot watch it.
pub fn watch(folder: &Path, changed: Arc<Notify>) -> notify::Result<impl Watcher + use<>> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Syncs and publishes whenever `changed` is given a word, until the word to stop.
pub async fn keep_in_sync(
    publication: &Publication,
    changed: &Notify,
    mut stop: Stop,
    site: &ArcSwap<Site>,
    on_event: &(dyn Fn(Event) + Sync),
) {
    loop {
        tokio::select! {
            () = stop.given() => return,
            () = changed.notified() => {}
        }
        // Wait until nothing more has come for a while.
        while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {}
        match sync_and_publish(publication, site).await {
            Ok((synced, published)) if synced.is_change() || !published.unchanged => {
                on_event(Event::Synced(synced, published));
            }
            Ok(_) => {}
            Err(error) => on_event(Event::Failed(error)),
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
    let synced = sync::sync(publication, &|_, _| {}).await?;
    // By the store's revision and not by this sync's report: another process may have synced before us.
    let before = site.load_full();
    if before.documents.is_empty() || before.revision != publication.store.revision().await? {
        let (mut built, _) = publish::site(publication, publication.config.live_urls()).await?;
        built.date(&before, publication.clock.now());
        site.store(Arc::new(built));
    }
    let published = publish::publish(publication, false, &|_, _| {}).await?;
    Ok((synced, published))
}

/// Releases, schedules, confirms and dispatches until the word to stop. `poke` calls for attention before the next tick.
pub async fn keep_sending(
    publication: &Publication,
    poke: &Notify,
    changed: &Notify,
    mut stop: Stop,
    on_event: &(dyn Fn(Event) + Sync),
) {
    loop {
        if let Err(error) = send_what_is_due(publication, changed, &stop, on_event).await {
            on_event(Event::Failed(error));
        }
        tokio::select! {
            () = stop.given() => return,
            () = poke.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn send_what_is_due(
    publication: &Publication,
    changed: &Notify,
    stop: &Stop,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<(), TaskError> {
    let now = publication.clock.now();
    if publication.store.next_due_release().await?.is_some_and(|due| due <= now) {
        changed.notify_one();
    }
    let confirmed = confirm::send_confirmations(publication).await?;
    if confirmed > 0 {
        on_event(Event::Confirmed(confirmed));
    }
    for digest in schedule::tick(publication).await? {
        on_event(Event::Composed(digest));
    }
    if publication.store.next_due().await?.is_some_and(|due| due <= now) {
        let report = dispatch(publication, stop, &Counts::default()).await?;
        on_event(Event::Dispatched(report));
    }
    Ok(())
}

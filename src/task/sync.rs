//! Articles into the store: only what changed is read, parsed on every core, and written in batches.
//!
//! One bad file never stops the others: it is complained about, and the complaint is kept, so that it is repeated while
//! nothing changes. An article that is public stays as it was while its file has a fault.

mod look;
mod manifest;
mod pass;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::look::Look;
use self::manifest::Manifest;
use self::pass::Pass;
use super::{Progress, Publication, TaskError, fingerprint, shelves};
use crate::domain::article::{Article, entry_id_prefix};
use crate::domain::feed::{Feed, FeedName};
use crate::problem::Problem;
use crate::store::StoreError;

/// What the store calls the articles' folder.
pub(super) const SOURCE: &str = "folder";

/// Under this name the store keeps how its entries were selected.
const SELECTIONS: &str = "selections";

/// Raised when parsing or rendering changes, so that every article is rendered anew.
const RENDERING: u32 = 1;

/// What a sync did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// Files found.
    pub found: usize,
    /// Articles that are new.
    pub new: usize,
    /// Articles that were edited.
    pub changed: usize,
    /// Articles whose file is gone.
    pub withdrawn: usize,
    /// Articles that became public.
    pub released: u64,
    /// Whether this was the first sync: what it released is archive.
    pub first: bool,
    /// Everything to complain about, old and new.
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

impl SyncReport {
    /// Whether anything is different from before.
    pub fn is_change(&self) -> bool {
        self.new + self.changed + self.withdrawn > 0 || self.released > 0
    }
}

/// How often a sync begins anew because a feed elsewhere brought an article that has a file's slug, just now.
const SLUG_TRIES: usize = 3;

/// Brings the store up to date with the articles' folder, and releases what is due.
///
/// # Errors
/// When the store fails. Faults in files are in the report.
pub async fn sync(publication: &Publication, progress: Progress<'_>) -> Result<SyncReport, TaskError> {
    sync_after(publication, None, progress).await
}

/// The same where it may be known which files were touched since the last sync, by their keys. Few others are looked at then,
/// and those that are complained about, unless it is not certain what the folder was like. What was touched and is not named
/// is found by the next look at everything.
///
/// # Errors
/// When the store fails. Faults in files are in the report.
pub async fn sync_after(
    publication: &Publication,
    touched: Option<&BTreeSet<String>>,
    progress: Progress<'_>,
) -> Result<SyncReport, TaskError> {
    for _ in 1..SLUG_TRIES {
        match sync_once(publication, touched, progress).await {
            Err(TaskError::Store(StoreError::SlugsTaken(_))) => {}
            done => return done,
        }
    }
    sync_once(publication, touched, progress).await
}

async fn sync_once(
    publication: &Publication,
    touched: Option<&BTreeSet<String>>,
    progress: Progress<'_>,
) -> Result<SyncReport, TaskError> {
    let store = &publication.store;
    let context = context_fingerprint(publication);
    let selections = selections_fingerprint(&publication.feeds, &publication.config.publication.language);
    let before = store.source_fingerprint(SOURCE).await?;
    let known = before.as_deref().and_then(Manifest::read);
    let rules = fingerprint([&context, &selections]);
    let mut look = Look::at(publication, touched, known.as_ref(), rules).await?;
    let found = std::mem::take(&mut look.finds.files);
    let mut problems = std::mem::take(&mut look.finds.problems);
    // A folder that cannot be read is not an empty one: what was in it stays, and the next sync looks again.
    let is_seen = look.finds.unseen.is_empty();
    let name = publication.config.name_of(&publication.config.articles);
    let fingerprint = look.manifest.text();
    let mut left = before.clone();
    let count = found.len() + look.finds.others;
    let mut report = SyncReport { found: count, first: before.is_none(), ..SyncReport::default() };

    if before.as_ref() != Some(&fingerprint) && !look.finds.may_hide("") {
        if report.first {
            // Until the release.
            store.drop_orderings().await?;
        }
        if store.is_without_articles().await? {
            // Whatever comes is written as it is selected and shelved now: nothing will have to be made anew.
            store.set_fact(SELECTIONS, &selections).await?;
            shelves::begin(publication).await?;
        }
        let mut pass = Pass::new(publication, (&name, &context), &look, (known, before.clone()), &mut report);
        if !pass.run(found, touched, progress).await? {
            return Box::pin(sync_once(publication, None, progress)).await;
        }
        left = pass.left;
        rebuild_entries(publication, &selections).await?;
    }
    let (released, faults) = release(publication, SOURCE, report.first, publication.clock.now()).await?;
    report.released = released;
    problems.extend(faults);
    if is_seen && before.as_ref() != Some(&fingerprint) {
        store.finish_sync(SOURCE, left.as_deref(), &fingerprint, publication.clock.now()).await?;
    }
    for complaint in store.complaints(SOURCE).await? {
        problems.extend(
            complaint
                .problems
                .into_iter()
                .map(|problem| Problem { file: format!("{name}/{}", problem.file), ..problem }),
        );
    }
    report.problems = problems;
    Ok(report)
}

/// Makes public every article of a source whose date has come, as archive or not, and brings volumes and shelves up to date.
/// Returns how many became public, and what to complain about.
///
/// # Errors
/// When the store fails.
pub(super) async fn release(
    publication: &Publication,
    source: &str,
    archive: bool,
    now: DateTime<Utc>,
) -> Result<(u64, Vec<Problem>), TaskError> {
    let prefix = entry_id_prefix(publication.config.host(), now);
    let released = publication.store.release_due(source, &prefix, archive, now).await?;
    for feed in publication.feeds.iter() {
        publication.store.bind(&feed.name, feed.limit).await?;
    }
    publication.store.make_orderings().await?;
    Ok((released, shelves::keep(publication).await?))
}

/// What every article's rendering depends on besides its own bytes.
fn context_fingerprint(publication: &Publication) -> String {
    let site = &publication.config.publication;
    fingerprint([site.url.as_str(), site.time_zone.name(), &RENDERING.to_string()])
}

fn selections_fingerprint(feeds: &[Feed], language: &str) -> String {
    let parts = feeds
        .iter()
        .flat_map(|feed| [feed.name.as_str().to_owned(), serde_json::to_string(&feed.select).unwrap_or_default()]);
    fingerprint(parts.chain([language.to_owned()]))
}

/// Which feeds take an article.
pub(super) fn feeds_of(feeds: &[Feed], language: &str, article: &Article) -> Vec<FeedName> {
    if article.draft {
        return vec![];
    }
    feeds.iter().filter(|feed| feed.select.takes(article, language)).map(|feed| feed.name.clone()).collect()
}

/// Makes every entry anew where a feed was added, removed or selects otherwise than before.
async fn rebuild_entries(publication: &Publication, selections: &str) -> Result<(), TaskError> {
    if publication.store.fact(SELECTIONS).await?.as_deref() == Some(selections) {
        return Ok(());
    }
    let language = &publication.config.publication.language;
    let feeds_of = |article: &Article| feeds_of(&publication.feeds, language, article);
    publication.store.rebuild_entries(&feeds_of, publication.clock.now()).await?;
    Ok(publication.store.set_fact(SELECTIONS, selections).await?)
}

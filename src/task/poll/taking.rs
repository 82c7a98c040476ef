//! A document's entries taken in: made into articles, written, and released where they are new.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rayon::prelude::*;
use tokio::task::JoinHandle;

use super::entries::{self, Job, Placed};
use super::pages::Texts;
use super::{PRIVATE, Poll, PollReport, key_of};
use crate::domain::article::{ArticleId, Slug};
use crate::fetch::Reach;
use crate::source::remote::{Remote, RemoteEntry};
use crate::store::{Complaint, FileRow, KnownFile, StoreError, SyncBatch};
use crate::task::{TaskError, sync};

/// Entries that are made into articles and written at a time.
const BATCH: usize = 512;
/// How often another slug is given where other machines give the same ones at the same time.
const SLUG_TRIES: u32 = 10;

/// What of a source a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All that there is just now.
    Whole,
    /// What is new since the last poll.
    New,
    /// What a hub brought, whenever that was made.
    Brought,
}

impl Poll<'_> {
    /// Takes the entries of a document in, and releases what is new.
    pub(super) async fn take(
        &self,
        mut remote: Remote,
        extent: Extent,
        settings: &str,
        report: &mut PollReport,
    ) -> Result<(), TaskError> {
        let (store, now, key) = (&self.publication.store, self.publication.clock.now(), key_of(&self.source.name));
        let before = store.source_fingerprint(&key).await?;
        report.first = before.is_none();
        report.found = remote.entries.len();
        let known = store.known_files(&key).await?;
        let gone: Vec<ArticleId> =
            remote.gone.iter().filter_map(|id| known.get(id)).filter(|one| !one.withdrawn).map(|one| one.id).collect();
        if extent == Extent::Brought {
            // It may be older than a withdrawal: that a withdrawn entry is there again is for a poll to say.
            remote.entries.retain(|entry| known.get(&entry.key).is_none_or(|before| !before.withdrawn));
        }
        let mut placed = entries::placed(remote.entries, &known, settings);
        let mut texts = self.texts(&placed, extent == Extent::Whole, &known).await?;
        (report.pages, report.pages_failed) = (texts.new.len(), texts.failed);
        placed.retain(|placed| placed.has_changed || texts.new.contains_key(&placed.entry.key));
        let mut given: Vec<&mut RemoteEntry> = placed.iter_mut().map(|placed| &mut *placed.entry).collect();
        texts.give(store, &mut given).await?;
        // What bears no date has that of this moment, and so is due at the release below.
        self.write(placed, &known, now, report).await?;
        texts.note(store, &key).await?;
        if !gone.is_empty() {
            report.withdrawn = gone.len();
            store.withdraw(&key, &gone, &[], now).await?;
        }
        let complaint = Complaint { key: String::new(), size: 0, modified_ns: 0, problems: remote.problems.clone() };
        store
            .write_sync(&key, &SyncBatch { complaints: vec![complaint], found_at: now, ..SyncBatch::default() })
            .await?;
        report.problems = remote.problems;
        let (released, faults) = sync::release(self.publication, &key, report.first, now).await?;
        report.released = released;
        report.problems.extend(faults);
        if report.first || report.is_change() {
            store.finish_sync(&key, before.as_deref(), settings, now).await?;
        }
        Ok(())
    }

    /// What the pages of entries say that are summaries, where they are asked.
    async fn texts(
        &self,
        placed: &[Placed],
        is_whole: bool,
        known: &HashMap<String, KnownFile>,
    ) -> Result<Texts, TaskError> {
        let (store, key) = (&self.publication.store, key_of(&self.source.name));
        if !self.source.full_text {
            // What is asked for one day is asked for anew.
            if placed.iter().any(|placed| placed.has_changed) {
                store.forget_full_texts(&key).await?;
            }
            return Ok(Texts::default());
        }
        let entries: Vec<_> = placed.iter().map(|placed| (&*placed.entry, placed.has_changed)).collect();
        let reach = Reach::of(self.source.may_be_private, PRIVATE);
        let mut texts = Texts::gather(self.sites, store, (&key, reach), &entries, known).await?;
        if is_whole {
            texts.forget_all_but(&entries);
        }
        Ok(texts)
    }

    /// Makes articles of entries and writes them: one batch is made while the one before is written.
    async fn write(
        &self,
        placed: Vec<Placed>,
        known: &HashMap<String, KnownFile>,
        now: DateTime<Utc>,
        report: &mut PollReport,
    ) -> Result<(), TaskError> {
        if placed.is_empty() {
            return Ok(());
        }
        let (store, key) = (&self.publication.store, key_of(&self.source.name));
        let (jobs, mut taken) = entries::jobs(placed, known, store.slugs_of_others(&key).await?, now);
        let mut jobs = jobs.into_iter();
        let mut making = self.make(&mut jobs);
        while let Some(made) = making {
            let (mut new, mut wanted, mut rows) = (0, vec![], vec![]);
            for (is_new, slug, row) in made.await? {
                new += usize::from(is_new);
                wanted.push(slug);
                rows.push(row);
            }
            making = self.make(&mut jobs);
            (report.new, report.changed) = (report.new + new, report.changed + rows.len() - new);
            let shelves = self.publication.config.feed_rules.by;
            let mut batch = SyncBatch { rows, shelves, found_at: now, ..SyncBatch::default() };
            // Of two machines that would give one slug at once the second gives another.
            let mut tries = 0;
            while let Err(error) = store.write_sync(&key, &batch).await {
                tries += 1;
                match error {
                    StoreError::SlugsTaken(disputed) if tries < SLUG_TRIES => {
                        taken.give_others(&disputed, &mut batch.rows, &wanted);
                    }
                    error => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Begins to make the next articles, on every core; none where all are made.
    fn make(&self, jobs: &mut impl Iterator<Item = Job>) -> Option<JoinHandle<Vec<(bool, Slug, FileRow)>>> {
        let batch: Vec<Job> = jobs.take(BATCH).collect();
        let (manner, feeds) = (self.manner(), self.publication.feeds.clone());
        let own = self.publication.config.publication.language.clone();
        (!batch.is_empty()).then(|| {
            tokio::task::spawn_blocking(move || {
                batch.into_par_iter().map(|job| job.row(&manner, &feeds, &own)).collect()
            })
        })
    }
}

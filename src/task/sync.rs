//! Articles into the store: only what changed is read, parsed on every core, and written in batches.
//!
//! One bad file never stops the others: it is complained about, and the complaint is kept, so that it is repeated while
//! nothing changes. An article that is public stays as it was while its file has a fault.

mod look;
mod manifest;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use rayon::prelude::*;
use serde::Serialize;

use self::look::Look;
use self::manifest::{Manifest, is_within};
use super::{Progress, Publication, TaskError, fingerprint, shelves};
use crate::domain::article::{Article, ArticleId, entry_id_prefix, uuid_at};
use crate::domain::feed::{Feed, FeedName};
use crate::problem::Problem;
use crate::source::{self, Context, Found, MAX_BYTES, Parsed};
use crate::store::{Complaint, FileRow, KnownFile, StoreError, SyncBatch};

/// What the store calls the articles' folder.
pub(super) const SOURCE: &str = "folder";

/// Under this name the store keeps how its entries were selected.
const SELECTIONS: &str = "selections";

/// Raised when parsing or rendering changes, so that every article is rendered anew.
const RENDERING: u32 = 1;

/// Files per batch: enough to keep every core busy, few enough that three batches in flight stay under 10 MB.
const BATCH: usize = 256;

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
        let mut pass = Pass {
            publication,
            name: &name,
            context: &context,
            look: &look,
            before: known,
            left: before.clone(),
            report: &mut report,
            lost: HashMap::new(),
            moved: HashSet::new(),
            elsewhere: HashMap::new(),
            knows_all: true,
        };
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

/// A file that has to be read.
struct Job {
    key: String,
    path: PathBuf,
    size: u64,
    modified_ns: i64,
    id: ArticleId,
    /// The hash that it had, where it is known.
    content_hash: Option<String>,
}

/// What reading it brought.
struct Done {
    job: Job,
    content_hash: String,
    /// `None` where the bytes are those that are known.
    parsed: Option<Parsed>,
}

struct Pass<'a> {
    publication: &'a Publication,
    name: &'a str,
    context: &'a str,
    /// What the folder looks like, and what it looked like the last time.
    look: &'a Look,
    before: Option<Manifest>,
    /// What the store has of it until the end: another sync at the same time leaves something else.
    left: Option<String>,
    report: &'a mut SyncReport,
    /// The articles whose file is not there, by the hash of its bytes.
    lost: HashMap<String, ArticleId>,
    /// Those of them whose bytes turned up in a file of another name: a rename is not a new article.
    moved: HashSet<ArticleId>,
    /// The slugs of articles that came from other sources, and from which.
    elsewhere: HashMap<String, String>,
    /// Whether all files of before were looked at, and not just those in whose part of the folder something changed.
    knows_all: bool,
}

impl Pass<'_> {
    /// Whether it was done, and not broken off before anything was written: a file that is new and that nobody named may be
    /// one that was renamed, and who it was is known to a look at everything alone.
    async fn run(
        &mut self,
        found: Vec<Found>,
        touched: Option<&BTreeSet<String>>,
        progress: Progress<'_>,
    ) -> Result<bool, TaskError> {
        let store = &self.publication.store;
        let complaints = store.complaints(SOURCE).await?;
        let same_context = store.fact("context").await?.as_deref() == Some(self.context);
        let before = self.before.as_ref().filter(|_| same_context);
        let complained = complaints.iter().map(|complaint| complaint.key.as_str());
        let stretches = match &self.look.stretches {
            None => self.look.manifest.changed(before, complained),
            looked_at => looked_at.clone(),
        };
        self.knows_all = stretches.is_none();
        let known = match &stretches {
            None => store.known_files(SOURCE).await?,
            Some(stretches) => store.known_files_within(SOURCE, stretches).await?,
        };
        let is_looked_at = |file: &&Found| stretches.as_ref().is_none_or(|stretches| is_within(stretches, &file.key));
        let keys: HashSet<&str> = found.iter().map(|file| file.key.as_str()).collect();

        let is_gone = |key: &str| !keys.contains(key) && self.look.would_show(key);
        let mut gone: Vec<ArticleId> =
            known.iter().filter(|(key, file)| !file.withdrawn && is_gone(key)).map(|(_, file)| file.id).collect();
        // A file that went missing just now comes before one that was missing already.
        for missed_now in [false, true] {
            // What is withdrawn and was not looked for is missing still: nobody touched it.
            let is_lost = |key: &str, withdrawn: bool| {
                is_gone(key) || withdrawn && !keys.contains(key) && !self.look.finds.may_hide(key)
            };
            let lost = known.iter().filter(|(key, file)| file.withdrawn != missed_now && is_lost(key, file.withdrawn));
            self.lost.extend(lost.map(|(_, file)| (file.content_hash.clone(), file.id)));
        }
        let mended: Vec<String> = complaints
            .iter()
            .filter(|complaint| is_gone(&complaint.key))
            .map(|complaint| complaint.key.clone())
            .collect();
        let owners: HashMap<String, String> = known
            .iter()
            .filter(|(key, file)| !file.withdrawn && keys.contains(key.as_str()))
            .map(|(key, file)| (file.slug.clone(), key.clone()))
            .collect();
        let now = self.publication.clock.now();
        // What was complained about is read again even if its bytes are those of the article: they may be so once more.
        let faulty: HashSet<&str> = complaints.iter().map(|complaint| complaint.key.as_str()).collect();
        let fresh = || found.iter().filter(is_looked_at).filter(|file| !known.contains_key(&file.key));
        if let Some(touched) = touched.filter(|_| self.look.stretches.is_some())
            && fresh().any(|file| !touched.contains(&file.key) && !faulty.contains(file.key.as_str()))
        {
            return Ok(false);
        }
        let fresh = fresh().count();
        let mut fresh = ArticleId::several(now, fresh).into_iter();
        let jobs: Vec<Job> = found
            .iter()
            .filter(is_looked_at)
            .filter_map(|file| {
                let before = known.get(&file.key);
                let unchanged = before.is_some_and(|before| {
                    same_context
                        && !before.withdrawn
                        && before.size == file.size
                        && before.modified_ns == file.modified_ns
                });
                (!unchanged).then(|| Job {
                    key: file.key.clone(),
                    path: file.path.clone(),
                    size: file.size,
                    modified_ns: file.modified_ns,
                    id: before.map_or_else(|| fresh.next().unwrap_or_else(|| ArticleId::new(now)), |before| before.id),
                    content_hash: before
                        .filter(|before| same_context && !before.withdrawn && !faulty.contains(file.key.as_str()))
                        .map(|before| before.content_hash.clone()),
                })
            })
            .collect();
        drop(found);
        if jobs.is_empty() && gone.is_empty() && mended.is_empty() {
            return Ok(true);
        }
        if let Some(before) = &self.before {
            let left = before.without_changes(&self.look.manifest, uuid_at(now)).text();
            store.begin_sync(SOURCE, &left).await?;
            self.left = Some(left);
        }
        self.elsewhere = store.slugs_of_others(SOURCE).await?.into_iter().collect();
        self.read(jobs, &known, owners, progress).await?;
        gone.retain(|id| !self.moved.contains(id));
        self.report.withdrawn = gone.len();
        if !(gone.is_empty() && mended.is_empty()) {
            store.withdraw(SOURCE, &gone, &mended, now).await?;
        }
        store.set_fact("context", self.context).await?;
        Ok(true)
    }

    /// Reads and parses the jobs on every core while earlier batches are written.
    async fn read(
        &mut self,
        jobs: Vec<Job>,
        known: &HashMap<String, KnownFile>,
        owners: HashMap<String, String>,
        progress: Progress<'_>,
    ) -> Result<(), TaskError> {
        let total = jobs.len() as u64;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<Done>>(1);
        let reader = self.reader();
        let producer = tokio::task::spawn_blocking(move || {
            let mut jobs = jobs.into_iter();
            loop {
                let batch: Vec<Job> = jobs.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                let done: Vec<Done> = batch.into_par_iter().map(|job| reader.read(job)).collect();
                if sender.blocking_send(done).is_err() {
                    break;
                }
            }
        });
        let mut slugs = Slugs { owners, disputed: vec![] };
        let mut count = 0;
        while let Some(done) = receiver.recv().await {
            count += done.len() as u64;
            self.look_up_owners(&done, known, &mut slugs).await?;
            let batch = self.batch(done, known, &mut slugs);
            self.publication.store.write_sync(SOURCE, &batch).await?;
            progress(count, total);
        }
        producer.await?;
        // A slug that was taken may be free now that its owner was read too.
        let disputed = std::mem::take(&mut slugs.disputed);
        if !disputed.is_empty() {
            let by = self.publication.config.feed_rules.by;
            let found_at = self.publication.clock.now();
            let mut batch = SyncBatch { shelves: by, found_at, ..SyncBatch::default() };
            for (row, problems) in disputed {
                self.claim(row, problems, known, &mut slugs.owners, &mut batch);
            }
            self.publication.store.write_sync(SOURCE, &batch).await?;
        }
        Ok(())
    }

    /// Who has the slugs of what was read, of those that were not looked at: these stay as they are.
    async fn look_up_owners(
        &self,
        done: &[Done],
        known: &HashMap<String, KnownFile>,
        slugs: &mut Slugs,
    ) -> Result<(), TaskError> {
        if self.knows_all {
            return Ok(());
        }
        let read = done.iter().filter_map(|done| done.parsed.as_ref()?.article.as_ref());
        let read: Vec<&str> = read.map(|article| article.slug.as_str()).collect();
        let owners = self.publication.store.owners_of_slugs(SOURCE, &read).await?;
        slugs.owners.extend(owners.into_iter().filter(|(_, key)| !known.contains_key(key)));
        Ok(())
    }

    fn reader(&self) -> FileReader {
        let publication = &self.publication.config.publication;
        FileReader {
            name: self.name.to_owned(),
            base: publication.url.clone(),
            time_zone: publication.time_zone,
            now: self.publication.clock.now(),
        }
    }

    fn batch(&mut self, done: Vec<Done>, known: &HashMap<String, KnownFile>, slugs: &mut Slugs) -> SyncBatch {
        let by = self.publication.config.feed_rules.by;
        let mut batch = SyncBatch { shelves: by, found_at: self.publication.clock.now(), ..SyncBatch::default() };
        let language = &self.publication.config.publication.language;
        for Done { job, content_hash, parsed } in done {
            let Some(mut parsed) = parsed else {
                batch.touched.push((job.id, job.size, job.modified_ns));
                continue;
            };
            let Some(mut article) = parsed.article else {
                batch.complaints.push(Complaint {
                    key: job.key,
                    size: job.size,
                    modified_ns: job.modified_ns,
                    problems: parsed.problems,
                });
                continue;
            };
            if !known.contains_key(&article.key)
                && let Some(id) = self.lost.remove(&content_hash)
            {
                article.id = id;
                self.moved.insert(id);
            }
            let feeds = feeds_of(&self.publication.feeds, language, &article);
            parsed.problems.extend(shelves::faults(&article, by, &format!("{}/{}", self.name, job.key)));
            let (size, modified_ns, archive) = (job.size, job.modified_ns, parsed.archive);
            let aliases = parsed.aliases;
            let row = FileRow { article, archive, aliases, size, modified_ns, content_hash, feeds };
            if slugs.owners.get(row.article.slug.as_str()).is_some_and(|owner| *owner != row.article.key) {
                slugs.disputed.push((row, parsed.problems));
            } else {
                self.claim(row, parsed.problems, known, &mut slugs.owners, &mut batch);
            }
        }
        batch
    }

    /// Takes an article in if its slug is free, or complains.
    fn claim(
        &mut self,
        row: FileRow,
        mut problems: Vec<Problem>,
        known: &HashMap<String, KnownFile>,
        owners: &mut HashMap<String, String>,
        batch: &mut SyncBatch,
    ) {
        let key = row.article.key.clone();
        let (size, modified_ns) = (row.size, row.modified_ns);
        let slug = row.article.slug.as_str();
        if let Some(owner) = owners.get(slug).filter(|owner| **owner != key) {
            let taken = format!("the slug {slug:?} is taken by {}/{owner}", self.name);
            let problem = Problem::new(format!("{}/{key}", self.name), taken);
            problems.push(problem.hint("write another slug = \"…\" in its front matter, or rename the file"));
        } else if let Some(source) =
            self.elsewhere.get(slug).filter(|_| known.get(&key).is_none_or(|own| own.withdrawn || own.slug != slug))
        {
            let source = source.trim_start_matches("feed:");
            let taken = format!("the slug {slug:?} is taken by an article from the source {source:?}");
            let problem = Problem::new(format!("{}/{key}", self.name), taken);
            problems.push(problem.hint("write another slug = \"…\" in its front matter, or rename the file"));
        } else {
            match known.get(&key) {
                Some(before) => {
                    if owners.get(&before.slug) == Some(&key) {
                        owners.remove(&before.slug);
                    }
                    self.report.changed += 1;
                }
                None if self.moved.contains(&row.article.id) => {
                    batch.moved.push((row.article.id, key.clone()));
                    self.report.changed += 1;
                }
                None => self.report.new += 1,
            }
            owners.insert(slug.to_owned(), key.clone());
            batch.rows.push(row);
        }
        if !problems.is_empty() {
            batch.complaints.push(Complaint { key, size, modified_ns, problems });
        }
    }
}

/// Which file has which slug, and the articles whose slug another file had when they were read.
struct Slugs {
    owners: HashMap<String, String>,
    disputed: Vec<(FileRow, Vec<Problem>)>,
}

/// Reads files on any thread.
struct FileReader {
    name: String,
    base: url::Url,
    time_zone: chrono_tz::Tz,
    now: chrono::DateTime<chrono::Utc>,
}

impl FileReader {
    fn read(&self, job: Job) -> Done {
        let name = format!("{}/{}", self.name, job.key);
        let fault = |problem| Parsed { article: None, archive: false, aliases: vec![], problems: vec![problem] };
        if job.size > MAX_BYTES {
            return Done { parsed: Some(fault(source::too_large(&name))), content_hash: String::new(), job };
        }
        let bytes = match std::fs::read(&job.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let problem = Problem::new(&name, format!("cannot be read: {error}"));
                return Done { parsed: Some(fault(problem)), content_hash: String::new(), job };
            }
        };
        let content_hash = fingerprint([&bytes]);
        if job.content_hash.as_ref() == Some(&content_hash) {
            return Done { parsed: None, content_hash, job };
        }
        let context = Context { base: &self.base, time_zone: self.time_zone, now: self.now };
        let parsed = source::parse(job.id, &name, &job.key, &bytes, &context);
        Done { parsed: Some(parsed), content_hash, job }
    }
}

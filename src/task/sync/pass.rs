//! What differs in the folder, into the store: read on every core, written in batches.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::look::Look;
use super::manifest::{Manifest, is_within};
use super::{SOURCE, SyncReport, feeds_of};
use crate::domain::article::{Article, ArticleId, uuid_at};
use crate::problem::Problem;
use crate::source::{self, Context, Found, MAX_BYTES, Parsed};
use crate::store::{Complaint, FileRow, KnownFile, SyncBatch, Titled};
use crate::task::{Progress, Publication, TaskError, fingerprint, shelves};

/// Files per batch: enough to keep every core busy, few enough that three batches in flight stay under 10 MB.
const BATCH: usize = 256;

/// Of more files that went missing at once nobody asks which others they became.
const MOST_MISSED: usize = 100;

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

/// One pass over the files that differ.
pub(super) struct Pass<'a> {
    publication: &'a Publication,
    name: &'a str,
    context: &'a str,
    /// What the folder looks like, and what it looked like the last time.
    look: &'a Look,
    before: Option<Manifest>,
    /// What the store has of it until the end: another sync at the same time leaves something else.
    pub(super) left: Option<String>,
    report: &'a mut SyncReport,
    /// The articles whose file is not there, by the hash of its bytes.
    lost: HashMap<String, ArticleId>,
    /// Those whose file went missing just now, if they are few: what has their slug, or their title and date, is the same
    /// article, renamed and edited at once.
    missed: Vec<Titled>,
    /// Those of them whose bytes turned up in a file of another name: a rename is not a new article.
    moved: HashSet<ArticleId>,
    /// The slugs of articles that came from other sources, and from which.
    elsewhere: HashMap<String, String>,
    /// Whether all files of before were looked at, and not just those in whose part of the folder something changed.
    knows_all: bool,
}

impl<'a> Pass<'a> {
    /// Under the folder's name and what its articles depend on; with what the folder was like and what the store has of that.
    pub(super) fn new(
        publication: &'a Publication,
        (name, context): (&'a str, &'a str),
        look: &'a Look,
        (before, left): (Option<Manifest>, Option<String>),
        report: &'a mut SyncReport,
    ) -> Self {
        Self {
            publication,
            name,
            context,
            look,
            before,
            left,
            report,
            lost: HashMap::new(),
            missed: vec![],
            moved: HashSet::new(),
            elsewhere: HashMap::new(),
            knows_all: true,
        }
    }

    /// Whether it was done, and not broken off before anything was written: a file that is new and that nobody named may be
    /// one that was renamed, and who it was is known to a look at everything alone.
    pub(super) async fn run(
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
        if (1..=MOST_MISSED).contains(&gone.len()) {
            self.missed = store.titled(&gone).await?;
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
        let mut slugs = Slugs { owners, disputed: vec![], alike: vec![] };
        let mut count = 0;
        while let Some(done) = receiver.recv().await {
            count += done.len() as u64;
            self.look_up_owners(&done, known, &mut slugs).await?;
            let batch = self.batch(done, known, &mut slugs);
            self.publication.store.write_sync(SOURCE, &batch).await?;
            progress(count, total);
        }
        producer.await?;
        let Slugs { mut owners, disputed, alike } = slugs;
        if !(disputed.is_empty() && alike.is_empty()) {
            let by = self.publication.config.feed_rules.by;
            let found_at = self.publication.clock.now();
            let mut batch = SyncBatch { shelves: by, found_at, ..SyncBatch::default() };
            // Whose bytes turned up elsewhere is known by now, and a slug that was taken may be free.
            for (mut row, problems) in alike {
                if let Some(id) = self.missed_like(&row.article) {
                    self.take_over(&mut row.article, id);
                }
                self.claim(row, problems, known, &mut owners, &mut batch);
            }
            for (row, problems) in disputed {
                self.claim(row, problems, known, &mut owners, &mut batch);
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
            let is_new = !known.contains_key(&article.key);
            let lost = if is_new { self.lost.get(&content_hash).copied() } else { None };
            if let Some(id) = lost {
                self.take_over(&mut article, id);
            }
            let is_alike = is_new && lost.is_none() && self.missed_like(&article).is_some();
            let feeds = feeds_of(&self.publication.feeds, language, &article);
            parsed.problems.extend(shelves::faults(&article, by, &format!("{}/{}", self.name, job.key)));
            let (size, modified_ns, archive) = (job.size, job.modified_ns, parsed.archive);
            let aliases = parsed.aliases;
            let row = FileRow { article, archive, aliases, size, modified_ns, content_hash, feeds };
            if is_alike {
                slugs.alike.push((row, parsed.problems));
            } else if slugs.owners.get(row.article.slug.as_str()).is_some_and(|owner| *owner != row.article.key) {
                slugs.disputed.push((row, parsed.problems));
            } else {
                self.claim(row, parsed.problems, known, &mut slugs.owners, &mut batch);
            }
        }
        batch
    }

    /// Takes an article of a new file for one whose file is not there.
    fn take_over(&mut self, article: &mut Article, id: ArticleId) {
        article.id = id;
        self.moved.insert(id);
        self.missed.retain(|missed| missed.id != id);
        self.lost.retain(|_, lost| *lost != id);
    }

    /// The article of the one file that went missing just now and had this slug, or this title and date.
    fn missed_like(&self, article: &Article) -> Option<ArticleId> {
        let mut like = self.missed.iter().filter(|missed| {
            missed.slug == article.slug.as_str() || (missed.title == article.title && missed.date == article.date)
        });
        let found = like.next()?;
        like.next().is_none().then_some(found.id)
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
        let is_moved = !known.contains_key(&key) && self.moved.contains(&row.article.id);
        if is_moved {
            // Whether its slug is free or not: else nobody would know any more whose file it was.
            batch.moved.push((row.article.id, key.clone()));
        }
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
                None if is_moved => self.report.changed += 1,
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
    /// The articles that may be those of files that went missing, unless the bytes of these turn up elsewhere.
    alike: Vec<(FileRow, Vec<Problem>)>,
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

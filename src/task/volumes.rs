//! What a feed is made of: the document that readers poll, and volumes of what is older (RFC 5005 §4).
//!
//! Which entries are in a volume never changes, so who walks back from the live document meets each entry once, whatever
//! is published or withdrawn meanwhile. What an entry says follows its article: an edit is seen in the volume as well, and
//! what was withdrawn leaves it, for somebody wants it gone.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use rayon::prelude::*;

use super::document::Document;
use super::present::Presenter;
use super::publish::{founded_by, remove, write_if_new};
use super::{Publication, TaskError};
use crate::config::Urls;
use crate::domain::article::Released;
use crate::domain::entry::{FeedDocument, History};
use crate::domain::feed::{Feed, FeedName};
use crate::store::{Store, StoreError, Volume};
use crate::syndication::Format;

/// What the documents of volumes may weigh that are kept for whoever asks next: a crawler asks for each but once.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Articles that are read at a time, and how many times so many at once: with those that are written they stay under 10 MB.
const BATCH: usize = 256;
const READS: usize = 2;

/// What articles name under "Also read", by slug.
type Related = HashMap<String, Released>;

/// The document of a feed that readers poll.
///
/// # Errors
/// When the store fails.
pub(super) async fn live(
    publication: &Publication,
    presenter: &Presenter<'_>,
    feed: &Feed,
    founded_by: &str,
) -> Result<FeedDocument, TaskError> {
    let live = publication.store.live(&feed.name, feed.limit).await?;
    let mut document = presenter.document(feed, &live.articles, founded_by).await?;
    let previous = live.before.map(|number| presenter.urls.volume(&feed.name, number));
    document.history = History { previous, deleted: live.deleted, ..History::default() };
    document.updated = document.history.updated(document.updated);
    Ok(document)
}

/// A feed, and what all of its volumes share.
struct OfFeed<'a> {
    presenter: &'a Presenter<'a>,
    feed: &'a Feed,
    founded_by: &'a str,
    /// The newest volume.
    last: i64,
}

impl OfFeed<'_> {
    fn document(&self, volume: Volume, related: &Related) -> FeedDocument {
        let (urls, name) = (&self.presenter.urls, &self.feed.name);
        let place = |number: i64| Some(urls.volume(name, number)).filter(|_| number > 0 && number <= self.last);
        let folder = urls.volume(name, volume.number);
        let file = |format: Format| format!("{folder}/{}", format.file_name());
        let document = self.presenter.document_with(self.feed, &volume.articles, related, self.founded_by);
        let history = History {
            current: Some(urls.feed_folder(name)),
            previous: place(volume.number - 1),
            next: place(volume.number + 1),
            deleted: volume.deleted,
        };
        let (rss_url, atom_url, json_url) = (file(Format::Rss), file(Format::Atom), file(Format::Json));
        // Nobody is told when it changes.
        let mut document = FeedDocument { rss_url, atom_url, json_url, hubs: vec![], history, ..document };
        document.updated = document.history.updated(document.updated);
        document
    }
}

/// Which document of a volume.
type Key = (FeedName, i64, Format);

/// Revision of the store and generation of files.
type Of = (i64, u64);

/// Documents that were made of one revision of the store and one generation of files.
#[derive(Debug, Default)]
struct Made {
    of: Of,
    documents: HashMap<Key, Arc<Document>>,
    /// The same in the order in which they were made.
    order: VecDeque<Key>,
    weight: usize,
}

impl Made {
    fn keep(&mut self, key: Key, document: &Arc<Document>) {
        if self.documents.insert(key.clone(), Arc::clone(document)).is_none() {
            self.weight += document.weight();
            self.order.push_back(key);
        }
        while self.weight > KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.weight -= self.documents.remove(&oldest).map_or(0, |document| document.weight());
        }
    }
}

/// The volumes of all feeds, made when they are asked for.
#[derive(Debug)]
pub struct Volumes {
    urls: Urls,
    made: Mutex<Made>,
}

impl Volumes {
    /// Those that are reached under the URLs given.
    pub fn new(urls: Urls) -> Self {
        Self { urls, made: Mutex::default() }
    }

    /// The document with this file name of a feed's volume, where there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(
        &self,
        publication: &Publication,
        feed: &str,
        number: &str,
        file: &str,
    ) -> Result<Option<Arc<Document>>, TaskError> {
        let format = Format::ALL.into_iter().find(|format| format.file_name() == file);
        let feed = FeedName::parse(feed).and_then(|name| publication.feed(&name));
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let number = number.parse().ok().filter(|_| is_plain);
        let (Some(format), Some(feed), Some(number)) = (format, feed, number) else { return Ok(None) };
        let files = publication.media.generation();
        let of = (publication.store.revision().await?, files);
        let key = (feed.name.clone(), number, format);
        if let Some(document) = self.kept(of, &key) {
            return Ok(Some(document));
        }
        let Some(document) = self.make(publication, feed, number).await? else { return Ok(None) };
        let made = move || Document::new(format.bytes(&document), format.content_type()).coded_quickly();
        let document = Arc::new(tokio::task::spawn_blocking(made).await?);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.of == of {
            made.keep(key, &document);
        }
        Ok(Some(document))
    }

    /// The document, if it was made of this; what was made of what was before is forgotten.
    fn kept(&self, of: Of, key: &Key) -> Option<Arc<Document>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.of < of {
            *made = Made { of, ..Made::default() };
        }
        made.documents.get(key).filter(|_| made.of == of).cloned()
    }

    async fn make(
        &self,
        publication: &Publication,
        feed: &Feed,
        number: i64,
    ) -> Result<Option<FeedDocument>, TaskError> {
        let presenter = Presenter::new(publication, self.urls.clone());
        let last = publication.store.last_volume(&feed.name).await?;
        let (mut volumes, related) = read(publication.store.clone(), feed.name.clone(), number, number).await?;
        let Some(volume) = volumes.pop() else { return Ok(None) };
        let founded_by = founded_by(publication).await?;
        let of_feed = OfFeed { presenter: &presenter, feed, founded_by: &founded_by, last };
        Ok(Some(of_feed.document(volume, &related)))
    }
}

/// What became of the volumes below a folder.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Volumes that were written, in every format.
    pub(super) volumes: usize,
    /// Files whose bytes were new.
    pub(super) new: usize,
    /// Files removed.
    pub(super) removed: usize,
}

/// Whether a path in `public/`, without its leading slash, may be that of a volume.
pub(super) fn is_of_volume(path: &str) -> bool {
    path.strip_prefix("feeds/").and_then(|path| path.split('/').nth(1)) == Some("archive")
}

/// Writes the volumes of every feed that have changed since a revision (0: all), or are not there. There is no coding beside
/// them: even a quick gzip adds four fifths to the instructions of a whole publish, and who wants everything comes once.
///
/// # Errors
/// When the store fails or a file cannot be written.
pub(super) async fn write(
    publication: &Publication,
    presenter: &Presenter<'_>,
    root: &Path,
    since: i64,
) -> Result<Written, TaskError> {
    let founded_by = founded_by(publication).await?;
    let mut done = Written::default();
    for feed in publication.feeds.iter() {
        let last = publication.store.last_volume(&feed.name).await?;
        let there = there(root, &feed.name);
        let of_feed = OfFeed { presenter, feed, founded_by: &founded_by, last };
        let numbers = stale(publication, &of_feed, &there, since).await?;
        let new = AtomicUsize::new(0);
        let write = |number, format: Format, bytes: Vec<u8>| {
            let path = format!("{}/{}", folder(&feed.name, number), format.file_name());
            new.fetch_add(usize::from(write_if_new(root, &path, &bytes)?), Ordering::Relaxed);
            Ok(())
        };
        done.volumes += make_each(publication, &of_feed, &numbers, &write).await?;
        done.new += new.into_inner();
        for number in there.range(last + 1..) {
            done.removed += remove_volume(root, &feed.name, *number)?;
        }
    }
    Ok(done)
}

/// Makes every document of every volume, as the URLs given bear them, and hands each to `with` on whichever core. Returns
/// how many volumes there are.
///
/// # Errors
/// When the store fails.
pub async fn every(
    publication: &Publication,
    urls: Urls,
    with: &(dyn Fn(Format, Vec<u8>) + Sync),
) -> Result<usize, TaskError> {
    let presenter = Presenter::new(publication, urls);
    let founded_by = founded_by(publication).await?;
    let mut count = 0;
    for feed in publication.feeds.iter() {
        let last = publication.store.last_volume(&feed.name).await?;
        let of_feed = OfFeed { presenter: &presenter, feed, founded_by: &founded_by, last };
        let numbers = (1..=last).collect();
        let hand_on = |_, format, bytes| {
            with(format, bytes);
            Ok(())
        };
        count += make_each(publication, &of_feed, &numbers, &hand_on).await?;
    }
    Ok(count)
}

/// Makes the documents of volumes of a feed, a few hundred articles at a time, and hands each to `with` on whichever core;
/// meanwhile the next are read. Returns how many volumes there were.
async fn make_each(
    publication: &Publication,
    of_feed: &OfFeed<'_>,
    numbers: &BTreeSet<i64>,
    with: &(dyn Fn(i64, Format, Vec<u8>) -> Result<(), TaskError> + Sync),
) -> Result<usize, TaskError> {
    let read = |(first, last)| tokio::spawn(read(publication.store.clone(), of_feed.feed.name.clone(), first, last));
    let mut reads = stream::iter(runs(numbers, of_feed.feed.limit)).map(read).buffered(READS);
    let mut count = 0;
    while let Some(read) = reads.next().await {
        let (volumes, related) = read??;
        count += volumes.len();
        volumes.into_par_iter().try_for_each(|volume| {
            let number = volume.number;
            let document = of_feed.document(volume, &related);
            Format::ALL.into_par_iter().try_for_each(|format| with(number, format, format.bytes(&document)))
        })?;
    }
    Ok(count)
}

/// Volumes of a feed, with what their articles name under "Also read".
async fn read(store: Store, feed: FeedName, first: i64, last: i64) -> Result<(Vec<Volume>, Related), StoreError> {
    let volumes = store.volumes(&feed, first, last).await?;
    let related = store.related(volumes.iter().flat_map(|volume| &volume.articles)).await?;
    Ok((volumes, related))
}

/// Removes the volumes of a feed that is not there any more. Returns how many files those were.
///
/// # Errors
/// When a file cannot be removed.
pub(super) fn remove_all(root: &Path, feed: &FeedName) -> Result<usize, TaskError> {
    let mut removed = 0;
    for number in there(root, feed) {
        removed += remove_volume(root, feed, number)?;
    }
    Ok(removed)
}

/// The volumes that have to be written.
async fn stale(
    publication: &Publication,
    of_feed: &OfFeed<'_>,
    there: &BTreeSet<i64>,
    since: i64,
) -> Result<BTreeSet<i64>, TaskError> {
    if since == 0 {
        return Ok((1..=of_feed.last).collect());
    }
    let changed = publication.store.volumes_changed_since(&of_feed.feed.name, since).await?;
    let mut stale: BTreeSet<i64> = changed.into_iter().collect();
    for missing in (1..=of_feed.last).filter(|number| !there.contains(number)) {
        // The one before did not lead to it yet.
        stale.extend([missing - 1, missing]);
    }
    stale.remove(&0);
    Ok(stale)
}

/// Numbers as first and last of those without a gap, of as many volumes as are read at a time.
fn runs(numbers: &BTreeSet<i64>, limit: usize) -> Vec<(i64, i64)> {
    let most = i64::try_from((BATCH / limit.max(1)).clamp(1, 64)).unwrap_or(1);
    let mut runs: Vec<(i64, i64)> = vec![];
    for number in numbers {
        match runs.last_mut() {
            Some((first, last)) if *last + 1 == *number && *number - *first < most => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    runs
}

fn folder(feed: &FeedName, number: i64) -> String {
    format!("/feeds/{feed}/archive/{number}")
}

/// The volumes that `root` has of a feed.
fn there(root: &Path, feed: &FeedName) -> BTreeSet<i64> {
    let Ok(listing) = std::fs::read_dir(root.join(format!("feeds/{feed}/archive"))) else { return BTreeSet::new() };
    listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn remove_volume(root: &Path, feed: &FeedName, number: i64) -> Result<usize, TaskError> {
    let mut removed = 0;
    for format in Format::ALL {
        let path = format!("{}/{}", folder(feed, number), format.file_name());
        removed += usize::from(remove(root, &path)?);
    }
    // With the folders of them all the one that they were in.
    let _ = std::fs::remove_dir(root.join(format!("feeds/{feed}/archive")));
    Ok(removed)
}

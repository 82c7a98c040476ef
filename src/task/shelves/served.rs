//! Documents of shelves, made when they are first asked for and kept within bounds: most of them are asked for by nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::Shown;
use crate::config::Urls;
use crate::domain::article::Slug;
use crate::domain::shelf::{Kind, Shelf};
use crate::syndication::Format;
use crate::task::document::{self, Document};
use crate::task::present::Presenter;
use crate::task::publish::founded_by;
use crate::task::{Publication, TaskError};

/// What is kept may weigh so many bytes: a hundred shelves of long articles in every format, or all of short ones.
const MOST_BYTES: usize = 32 << 20;

type Key = (Kind, String, Format);

/// A document, and what it is of.
#[derive(Debug)]
struct Kept {
    document: Arc<Document>,
    /// The publish that it was last known to be good in.
    good_in: i64,
    /// The revision of its shelf.
    revision: i64,
    /// The generation of files that it tells of.
    files: u64,
    used_at: u64,
}

#[derive(Debug, Default)]
struct Kepts {
    documents: HashMap<Key, Kept>,
    bytes: usize,
    uses: u64,
}

impl Kepts {
    fn good_in(&mut self, key: &Key, publish: i64, files: u64) -> Option<Arc<Document>> {
        self.uses += 1;
        let kept = self.documents.get_mut(key).filter(|kept| kept.good_in == publish && kept.files == files)?;
        kept.used_at = self.uses;
        Some(Arc::clone(&kept.document))
    }

    fn forget(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.documents.remove(key)?;
        self.bytes -= kept.document.weight();
        Some(kept)
    }

    /// Keeps a document, and as many of the others as there is room for: those that were asked for last.
    fn keep(&mut self, key: Key, kept: Kept, most_bytes: usize) {
        self.forget(&key);
        self.bytes += kept.document.weight();
        self.documents.insert(key, kept);
        while self.bytes > most_bytes && self.documents.len() > 1 {
            let oldest = self.documents.iter().min_by_key(|(_, kept)| kept.used_at).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.forget(&oldest);
        }
    }
}

/// The documents of all shelves.
#[derive(Debug)]
pub struct Served {
    urls: Urls,
    /// What was published before this process may have been published by other rules.
    began_at: DateTime<Utc>,
    kept: Mutex<Kepts>,
    /// One is made at a time: memory stays flat, whatever is asked for at once.
    making: tokio::sync::Mutex<()>,
}

impl Served {
    /// Those that are reached under the URLs given.
    pub fn new(urls: Urls, now: DateTime<Utc>) -> Self {
        Self { urls, began_at: now, kept: Mutex::default(), making: tokio::sync::Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kepts> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shelf at an address, if something public stands on it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shelf(&self, publication: &Publication, kind: Kind, slug: &str) -> Result<Option<Shelf>, TaskError> {
        let is_slug = Slug::from_text(slug).is_some_and(|known| known.as_str() == slug);
        if !is_slug || !publication.config.feed_rules.by.has(kind) {
            return Ok(None);
        }
        Ok(publication.store.shelf(kind, slug).await?)
    }

    /// The document of the shelf at an address; `publish` is the revision of what is served.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn document(
        &self,
        publication: &Publication,
        publish: i64,
        (kind, slug, file): (Kind, &str, &str),
    ) -> Result<Option<Arc<Document>>, TaskError> {
        let format = Format::ALL.into_iter().find(|format| format.file_name() == file);
        let Some(format) = format else { return Ok(None) };
        let key = (kind, slug.to_owned(), format);
        let files = publication.media.generation();
        let known = self.kept().good_in(&key, publish, files);
        if known.is_some() {
            return Ok(known);
        }
        let Some(shelf) = self.shelf(publication, kind, slug).await? else {
            self.kept().forget(&key);
            return Ok(None);
        };
        let _turn = self.making.lock().await;
        let before = {
            let mut kept = self.kept();
            if let Some(document) = kept.good_in(&key, publish, files) {
                return Ok(Some(document));
            }
            match kept.documents.get_mut(&key) {
                Some(known) if known.revision == shelf.revision && known.files == files => {
                    known.good_in = publish;
                    return Ok(Some(Arc::clone(&known.document)));
                }
                known => known.map(|known| (Arc::clone(&known.document), known.files)),
            }
        };
        let presenter = Presenter::new(publication, self.urls.clone());
        let founded_by = founded_by(publication).await?;
        let shown = Shown::new(publication, &presenter, &shelf);
        let shown = shown.document(&shown.articles().await?, &founded_by).await?;
        let Some(shown) = shown else { return Ok(None) };
        // No article changes with a file, and a document that does is of now.
        let are_others = before.as_ref().is_some_and(|(_, before)| *before != files);
        let changed_at = if are_others { publication.clock.now() } else { shelf.changed_at.max(self.began_at) };
        let before = before.map(|(before, _)| before);
        let made = tokio::task::spawn_blocking(move || {
            let mut document = Document::of_feed(&Arc::new(document::Shown::new(shown)), format);
            document.replace(before.as_deref(), changed_at);
            Arc::new(document)
        });
        let document = made.await?;
        let mut kept = self.kept();
        let used_at = kept.uses;
        let (revision, kept_as) = (shelf.revision, Arc::clone(&document));
        kept.keep(key, Kept { document: kept_as, good_in: publish, revision, files, used_at }, MOST_BYTES);
        Ok(Some(document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_its_bound_and_is_what_was_asked_for_last() {
        let mut kepts = Kepts::default();
        let key = |number: u32| (Kind::Tag, number.to_string(), Format::Atom);
        for number in 0..100 {
            let document = Arc::new(Document::new(vec![b'a'; 1000], "text/plain"));
            kepts.good_in(&key(0), 1, 0);
            let used_at = kepts.uses;
            kepts.keep(key(number), Kept { document, good_in: 1, revision: 1, files: 0, used_at }, 100_000);
            assert!(kepts.bytes <= 100_000, "{}", kepts.bytes);
        }
        assert!(kepts.good_in(&key(0), 1, 0).is_some() && kepts.good_in(&key(99), 1, 0).is_some());
        assert!(kepts.good_in(&key(50), 1, 0).is_none() && kepts.good_in(&key(99), 2, 0).is_none());
        assert!(kepts.good_in(&key(99), 1, 1).is_none());
        for number in 0..100 {
            kepts.forget(&key(number));
        }
        assert_eq!(kepts.bytes, 0);
    }
}

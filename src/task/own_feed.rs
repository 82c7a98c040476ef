//! A reader's own feed: what they chose, in one, under an address of their own that they can have changed.
//!
//! What it holds follows from the choices alone, so whoever chose the same shares one document, in which only the address
//! is each reader's own.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::document::Document;
use super::present::Presenter;
use super::publish::founded_by;
use super::{Publication, TaskError, fingerprint};
use crate::config::Urls;
use crate::domain::entry::{Entry, FeedDocument, History};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::link::OwnFeed;
use crate::domain::subscription::SubscriberId;
use crate::syndication::Format;
use crate::template::view::OwnFeedView;
use crate::template::words::Value;

/// Documents kept at most, of a few hundred kilobytes each: more choices than these are made anew.
const KEPT: usize = 48;

/// Where a reader's own feed is.
///
/// # Errors
/// When the store fails.
pub async fn place(publication: &Publication, urls: &Urls, who: SubscriberId) -> Result<OwnFeedView, TaskError> {
    let version = publication.store.feed_version(who).await?.unwrap_or(1);
    let token = publication.keyring.sign_own_feed(OwnFeed { subscriber: who, version });
    let file = |format: Format| urls.own_feed(&token, format.file_name());
    Ok(OwnFeedView {
        atom: file(Format::Atom),
        rss: file(Format::Rss),
        json: file(Format::Json),
        action: String::new(),
        version,
    })
}

/// Gives someone's own feed a new address, and ends that of `version`; a version of before changes nothing, so that
/// asking twice is asking once.
///
/// # Errors
/// When the store fails.
pub async fn renew(publication: &Publication, who: SubscriberId, version: u32) -> Result<(), TaskError> {
    Ok(publication.store.renew_feed(who, version).await?)
}

/// What an address of a reader's own feed leads to.
#[derive(Debug)]
pub enum Found {
    /// The feed.
    Document(Document),
    /// An address that held once.
    Gone,
    /// Nothing.
    Nothing,
}

/// What was made last, and of which revision of the store and generation of files.
#[derive(Debug)]
struct Made {
    of: (i64, u64),
    documents: HashMap<(Vec<FeedName>, Format), Arc<Pattern>>,
}

/// A document with places for a reader's token.
#[derive(Debug)]
struct Pattern {
    pieces: Vec<Vec<u8>>,
    /// A hash of all of them.
    fingerprint: String,
}

impl Pattern {
    fn new(bytes: &[u8], mark: &str) -> Self {
        let fingerprint = fingerprint([bytes.len().to_string().as_bytes(), bytes]);
        let mark = mark.as_bytes();
        let (mut pieces, mut from) = (vec![], 0);
        for at in memchr::memmem::find_iter(bytes, mark) {
            pieces.push(bytes[from..at].to_vec());
            from = at + mark.len();
        }
        pieces.push(bytes[from..].to_vec());
        Self { pieces, fingerprint }
    }

    fn document(&self, token: &str, format: Format) -> Document {
        let hash = fingerprint([self.fingerprint.as_str(), token]);
        Document::known_by(hash, self.pieces.join(token.as_bytes()), format.content_type())
    }
}

/// Every reader's own feed.
#[derive(Debug)]
pub struct OwnFeeds {
    urls: Urls,
    made: Mutex<Made>,
}

impl OwnFeeds {
    /// Stands for the token in what readers share: characters that every format writes as they are.
    const MARK: &str = "Zm9yLW9uZS1yZWFkZXItb2YtbWFueQ";

    /// Those that are reached under the URLs given.
    pub fn new(urls: Urls) -> Self {
        Self { urls, made: Mutex::new(Made { of: (-1, 0), documents: HashMap::new() }) }
    }

    /// What the address with this token and file name leads to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, publication: &Publication, token: &str, file: &str) -> Result<Found, TaskError> {
        let format = Format::ALL.into_iter().find(|format| format.file_name() == file);
        let own = publication.keyring.verify_own_feed(token);
        let (Some(format), Some(own)) = (format, own) else { return Ok(Found::Nothing) };
        let Some((version, chosen)) = publication.store.own_feed(own.subscriber).await? else {
            return Ok(Found::Gone);
        };
        if version != own.version {
            return Ok(Found::Gone);
        }
        let pattern = self.pattern(publication, chosen, format).await?;
        Ok(Found::Document(pattern.document(token, format)))
    }

    async fn pattern(
        &self,
        publication: &Publication,
        chosen: Vec<FeedName>,
        format: Format,
    ) -> Result<Arc<Pattern>, TaskError> {
        let mut made = self.made.lock().await;
        let files = publication.media.generation();
        let of = (publication.store.revision().await?, files);
        let key = (chosen, format);
        if made.of == of
            && let Some(pattern) = made.documents.get(&key)
        {
            return Ok(Arc::clone(pattern));
        }
        if made.of != of || made.documents.len() >= KEPT {
            *made = Made { of, documents: HashMap::new() };
        }
        let document = document(publication, &self.urls, &key.0, Self::MARK).await?;
        let pattern = Arc::new(Pattern::new(&format.bytes(&document), Self::MARK));
        made.documents.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// The feed of whoever chose these feeds, with `token` in its address.
async fn document(
    publication: &Publication,
    urls: &Urls,
    chosen: &[FeedName],
    token: &str,
) -> Result<FeedDocument, TaskError> {
    let presenter = Presenter::new(publication, urls.clone());
    let founded_by = founded_by(publication).await?;
    let site = &publication.config.publication;
    // What has no definition any more, or a faulty one, brings nothing.
    let feeds: Vec<&Feed> = chosen.iter().filter_map(|name| publication.feed(name)).collect();
    let (mut entries, mut updated): (HashMap<String, Entry>, _) = (HashMap::new(), None);
    for feed in &feeds {
        let articles = publication.store.newest_of(&feed.name, feed.limit).await?;
        let document = presenter.document(feed, &articles, &founded_by).await?;
        updated = updated.max(document.updated);
        for mut entry in document.entries {
            let language = entry.language.take().unwrap_or_else(|| feed.language.clone());
            entry.language = Some(language).filter(|language| *language != site.language);
            // In several of them it comes whole if it does in one.
            if entry.html.is_some() || !entries.contains_key(&entry.id) {
                entries.insert(entry.id.clone(), entry);
            }
        }
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by(|a, b| (b.published, &b.id).cmp(&(a.published, &a.id)));
    entries.truncate(feeds.iter().map(|feed| feed.limit).max().unwrap_or_default());
    let speech = presenter.speech();
    let titles = presenter.titles(&feeds);
    let description = match feeds.as_slice() {
        [] => speech.word("own_feed_empty", &[]),
        _ => speech.word("own_feed_of", &[("feeds", Value::Text(&titles))]),
    };
    let file = |format: Format| urls.own_feed(token, format.file_name());
    Ok(FeedDocument {
        id: format!("tag:{founded_by}:feeds/of/{token}"),
        title: speech.word("own_feed_title", &[("publication", Value::Text(&site.title))]),
        description,
        language: site.language.clone(),
        page_url: urls.home(),
        rss_url: file(Format::Rss),
        atom_url: file(Format::Atom),
        json_url: file(Format::Json),
        stylesheet_url: Some(urls.at("/feed.css")),
        publication: site.title.clone(),
        publication_url: urls.home(),
        image: None,
        podcast: None,
        hubs: vec![],
        updated,
        entries,
        history: History::default(),
    })
}

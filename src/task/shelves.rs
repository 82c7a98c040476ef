//! The feeds that come by themselves: of every section, tag and author that something public bears, as `feeds.by` says.

pub mod served;

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use rayon::prelude::*;

use super::present::{Presenter, Value};
use super::publish::founded_by;
use super::{Publication, TaskError};
use crate::config::Urls;
use crate::domain::article::{Article, Released};
use crate::domain::entry::{FeedDocument, History, OutlineFeed};
use crate::domain::feed::{Feed, FeedName, Select};
use crate::domain::shelf::{self, Kind, Kinds, MOST_SHELVES, Place, Shelf};
use crate::domain::text::escape_html;
use crate::problem::Problem;
use crate::syndication::Format;
use crate::syndication::opml::Group;
use crate::template::view::{
    Common, LinkView, Page, PageFeedView, PageView, ShelfLinks, ShelfListPage, ShelfPage, ShelfView,
};

/// Which kinds of shelves the store has.
const KINDS: &str = "shelves_by";

/// Says that articles come to stand on shelves as the configuration has it, where there is none yet.
///
/// # Errors
/// When the store fails.
pub(super) async fn begin(publication: &Publication) -> Result<(), TaskError> {
    let kinds = publication.config.feed_rules.by;
    if !kinds.is_empty() {
        publication.store.set_fact(KINDS, &kinds.to_string()).await?;
    }
    Ok(())
}

/// Brings the shelves up to date after articles changed, and says what has no feed for there being too many.
///
/// # Errors
/// When the store fails.
pub(super) async fn keep(publication: &Publication) -> Result<Vec<Problem>, TaskError> {
    let (store, kinds) = (&publication.store, publication.config.feed_rules.by);
    let before = store.fact(KINDS).await?;
    if before.is_none() && kinds.is_empty() {
        return Ok(vec![]);
    }
    if before.as_ref() != Some(&kinds.to_string()) {
        store.rebuild_shelves(kinds).await?;
        store.set_fact(KINDS, &kinds.to_string()).await?;
    }
    store.settle_shelves(MOST_SHELVES, publication.clock.now()).await?;
    let without = store.words_without_shelf().await?;
    if without == 0 {
        return Ok(vec![]);
    }
    let what = format!(
        "feeds.by: there are more than {MOST_SHELVES} sections, tags and authors, and {without} of them have no feed"
    );
    Ok(vec![Problem::new("config.toml", what).hint("use fewer tags, or leave \"tag\" out of feeds.by")])
}

/// What of an article is beyond the limits.
pub(super) fn faults(article: &Article, kinds: Kinds, file: &str) -> impl Iterator<Item = Problem> {
    shelf::faults(article, kinds).into_iter().map(move |(what, hint)| Problem::new(file, what).hint(hint))
}

/// What the definition of such a feed would be.
fn definition(publication: &Publication, shelf: &Shelf) -> Option<Feed> {
    Some(Feed {
        // Only to have one: what bears it is put in its place.
        name: FeedName::parse(&shelf.slug)?,
        title: shelf.word.clone(),
        description: String::new(),
        language: publication.config.publication.language.clone(),
        image: None,
        select: Select::default(),
        limit: Feed::LIMIT,
        podcast: None,
        full: true,
        newsletter: None,
    })
}

/// A shelf, shown under one base URL.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    publication: &'a Publication,
    presenter: &'a Presenter<'a>,
    shelf: &'a Shelf,
}

impl<'a> Shown<'a> {
    /// The shelf, as `presenter` shows it.
    pub fn new(publication: &'a Publication, presenter: &'a Presenter<'a>, shelf: &'a Shelf) -> Self {
        Self { publication, presenter, shelf }
    }

    fn url(&self, file: &str) -> String {
        self.presenter.urls.on_shelf(self.shelf.kind, &self.shelf.slug, file)
    }

    fn file(&self, format: Format) -> String {
        self.url(format.file_name())
    }

    /// What it holds, in words.
    fn text(&self) -> String {
        let key = match self.shelf.kind {
            Kind::Section => "shelf_section_text",
            Kind::Tag => "shelf_tag_text",
            Kind::Author => "shelf_author_text",
        };
        let publication = Value::Text(&self.publication.config.publication.title);
        self.presenter.speech().word(key, &[("word", Value::Text(&self.shelf.word)), ("publication", publication)])
    }

    /// What stands on it, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn articles(&self) -> Result<Vec<Released>, TaskError> {
        Ok(self.publication.store.newest_on(self.shelf, Feed::LIMIT).await?)
    }

    /// Its feed, of these articles.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn document(&self, articles: &[Released], founded_by: &str) -> Result<Option<FeedDocument>, TaskError> {
        let Some(feed) = definition(self.publication, self.shelf) else { return Ok(None) };
        let mut document = self.presenter.document(&feed, articles, founded_by).await?;
        let deleted = self.publication.store.left_shelf(self.shelf, Feed::LIMIT).await?;
        // What left between the two questions is gone.
        document.entries.retain(|entry| deleted.iter().all(|gone| gone.id != entry.id));
        let history = History { deleted, ..History::default() };
        Ok(Some(FeedDocument {
            updated: history.updated(document.updated),
            history,
            id: format!("tag:{founded_by}:{}/{}", self.shelf.kind.folder(), self.shelf.slug),
            description: self.text(),
            page_url: self.url(""),
            rss_url: self.file(Format::Rss),
            atom_url: self.file(Format::Atom),
            json_url: self.file(Format::Json),
            // They are made when somebody asks: nobody would be told.
            hubs: vec![],
            ..document
        }))
    }

    /// Its page: what it is, how to take it, what is on it.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn page(&self, articles: &[Released], common: &Common) -> Result<String, TaskError> {
        let (word, text) = (&self.shelf.word, self.text());
        let page = self.presenter.page("shelf", word, &text, self.url(""), None);
        let feed = PageFeedView {
            title: word.clone(),
            rss: self.file(Format::Rss),
            atom: self.file(Format::Atom),
            json: self.file(Format::Json),
        };
        let kind = self.presenter.speech().word(one_of(self.shelf.kind), &[]);
        let own = ShelfPage {
            shelf: ShelfView {
                kind,
                all_url: self.presenter.urls.shelf_list(self.shelf.kind),
                word: word.clone(),
                text,
            },
            entries: self.presenter.cards(articles),
            has_mail: self.publication.feeds.iter().any(|feed| feed.newsletter.is_some()),
        };
        let page = PageView { feed: Some(feed), ..page };
        Ok(self.publication.templates.page("shelf", &Page { common, page, form: None, own })?)
    }

    fn outline(&self) -> OutlineFeed {
        let shelf = self.shelf;
        OutlineFeed {
            title: shelf.word.clone(),
            description: self.text(),
            xml_url: self.file(Format::Atom),
            html_url: self.url(""),
            language: self.publication.config.publication.language.clone(),
            categories: if shelf.kind == Kind::Author { vec![] } else { vec![shelf.word.clone()] },
            created: Some(shelf.created_at),
        }
    }
}

fn one_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Section => "shelf_section",
        Kind::Tag => "shelf_tag",
        Kind::Author => "shelf_author",
    }
}

fn all_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Section => "shelf_sections",
        Kind::Tag => "shelf_tags",
        Kind::Author => "shelf_authors",
    }
}

/// Where all shelves of these kinds are listed.
pub(super) fn lists(presenter: &Presenter<'_>, kinds: Kinds) -> Vec<LinkView> {
    let list =
        |kind| LinkView { url: presenter.urls.shelf_list(kind), label: presenter.speech().word(all_of(kind), &[]) };
    Kind::ALL.into_iter().filter(|kind| kinds.has(*kind)).map(list).collect()
}

/// Whether the publication has a page of its own in the place of that list.
pub fn has_own_list(publication: &Publication, kind: Kind) -> bool {
    publication.config.static_files.join(kind.folder()).join("index.html").is_file()
}

/// The page that lists all shelves of a kind.
///
/// # Errors
/// When the template cannot be rendered.
pub fn list_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    kind: Kind,
    shelves: &[Shelf],
) -> Result<String, TaskError> {
    let link =
        |shelf: &Shelf| LinkView { url: presenter.urls.on_shelf(kind, &shelf.slug, ""), label: shelf.word.clone() };
    let own = ShelfListPage { shelves: shelves.iter().filter(|shelf| shelf.kind == kind).map(link).collect() };
    let speech = presenter.speech();
    let (title, text) = (speech.word(all_of(kind), &[]), speech.word("shelf_list_text", &[]));
    let page = presenter.page("shelves", &title, &text, presenter.urls.shelf_list(kind), None);
    Ok(publication.templates.page("shelves", &Page { common, page, form: None, own })?)
}

/// Every shelf there is, where there may be any.
///
/// # Errors
/// When the store fails.
pub async fn all(publication: &Publication) -> Result<Vec<Shelf>, TaskError> {
    if publication.config.feed_rules.by.is_empty() {
        return Ok(vec![]);
    }
    Ok(publication.store.shelves().await?)
}

/// Makes every document of every shelf, as the URLs given bear them, and hands each to `with` on whichever core. Returns how
/// many shelves there are.
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
    let shelves = all(publication).await?;
    let read = |shelf: Shelf| {
        let store = publication.store.clone();
        tokio::spawn(async move { store.newest_on(&shelf, Feed::LIMIT).await.map(|articles| (shelf, articles)) })
    };
    let count = shelves.len();
    // The next ones are read meanwhile.
    let mut reads = stream::iter(shelves).map(read).buffered(2);
    while let Some(read) = reads.next().await {
        let (shelf, articles) = read??;
        let shown = Shown::new(publication, &presenter, &shelf);
        if let Some(document) = shown.document(&articles, &founded_by).await? {
            Format::ALL.into_par_iter().for_each(|format| with(format, format.bytes(&document)));
        }
    }
    Ok(count)
}

/// Shelves for `feeds.opml`: a group of each kind.
pub(super) fn groups(publication: &Publication, presenter: &Presenter<'_>, shelves: &[Shelf]) -> Vec<Group> {
    let speech = presenter.speech();
    let group = |kind: Kind| {
        let of_kind = shelves.iter().filter(|shelf| shelf.kind == kind);
        let feeds: Vec<_> = of_kind.map(|shelf| Shown::new(publication, presenter, shelf).outline()).collect();
        (!feeds.is_empty()).then(|| Group { title: speech.word(all_of(kind), &[]), feeds })
    };
    Kind::ALL.into_iter().filter_map(group).collect()
}

/// Where an article's page links to, with the shelves under it by key.
pub(super) fn links(presenter: &Presenter<'_>, article: &Article, shelves: &HashMap<String, String>) -> ShelfLinks {
    let url = |kind, word: &str| {
        let slug = shelves.get(&Place { kind, word }.key())?;
        Some(presenter.urls.on_shelf(kind, slug, ""))
    };
    let tag = |tag: &String| LinkView { url: url(Kind::Tag, tag).unwrap_or_default(), label: tag.clone() };
    ShelfLinks {
        section_url: article.section.as_deref().and_then(|section| url(Kind::Section, section)),
        tags: article.tags.iter().map(tag).collect(),
        byline: byline(presenter, &article.authors, &|author| url(Kind::Author, author)),
    }
}

/// "By A and B" as HTML, each name a link where it has a page; none where none has.
fn byline(presenter: &Presenter<'_>, authors: &[String], url: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if authors.len() > shelf::MOST_WORDS || authors.iter().all(|author| url(author).is_none()) {
        return None;
    }
    // Characters for private use stand for the names until the sentence is made and escaped.
    let marks: Vec<char> = ('\u{E000}'..).take(authors.len()).collect();
    let speech = presenter.speech();
    let names = speech.names(&marks.iter().map(char::to_string).collect::<Vec<_>>())?;
    let mut html = escape_html(&speech.word("by", &[("authors", Value::Text(&names))]));
    for (mark, author) in marks.into_iter().zip(authors) {
        let name = escape_html(author);
        let link = match url(author) {
            Some(url) => format!("<a rel=\"author\" href=\"{}\"><bdi>{name}</bdi></a>", escape_html(&url)),
            None => format!("<bdi>{name}</bdi>"),
        };
        html = html.replace(mark, &link);
    }
    Some(html)
}

//! Feeds and pages out: as documents in memory for `serve`, and as files in `public/` for any web server.
//!
//! A file is written beside its place and renamed into it, and only when its bytes are new; so nobody ever reads
//! half a file, and what did not change keeps its time and its ETag.

mod files;
mod shelves;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rayon::prelude::*;
use serde::Serialize;

use self::files::{copy_if_new, list_files, write_coded};
pub(super) use self::files::{remove, write_if_new};
use super::archive::Archive;
use super::document::{Coding, Document, Shown};
use super::moved::Others;
use super::pages::{feed_page, home_page, render_article};
use super::present::Presenter;
use super::{Progress, Publication, TaskError, fingerprint, hub, moved, volumes};
use crate::config::{Hub, Urls};
use crate::domain::article::ArticleId;
use crate::domain::entry::FeedDocument;
use crate::domain::feed::FeedName;
use crate::syndication::{Format, opml};
use crate::template::view::{Card, Common};

/// Pages rendered at a time: they stay under 10 MB.
const BATCH: usize = 256;
/// Where `public/` keeps what it was made from.
const MARKER: &str = ".tidings";
/// Where `public/` keeps which article pages it has, and in which order.
const ORDER: &str = ".tidings-order";

/// Where `public/` keeps which files of the archives it has.
const DIGESTS: &str = ".tidings-digests";

/// Where `public/` keeps which files of `static/` it has.
const STATIC: &str = ".tidings-static";

/// Every document that is served from memory, by path.
#[derive(Debug, Default)]
pub struct Site {
    /// Path (with its leading slash) to document.
    pub documents: HashMap<String, Document>,
    /// The store's revision that it shows.
    pub revision: i64,
    /// The generation of files that it tells of: see [`Media::generation`].
    ///
    /// [`Media::generation`]: super::media::Media::generation
    pub files: u64,
}

impl Site {
    /// The feed's documents below `folder`, in every format.
    fn insert(&mut self, folder: &str, feed: FeedDocument) {
        let feed = Arc::new(Shown::new(feed));
        let built: Vec<_> =
            Format::ALL.into_par_iter().map(|format| (format, Document::of_feed(&feed, format))).collect();
        for (format, document) in built {
            self.documents.insert(format!("{folder}/{}", format.file_name()), document);
        }
    }

    /// Puts every document in the place of the one `before`: see [`Document::replace`].
    pub fn replace(&mut self, before: &Site, now: DateTime<Utc>) {
        self.documents.par_iter_mut().for_each(|(path, document)| document.replace(before.documents.get(path), now));
    }
}

/// What a publish wrote.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    /// Feed documents.
    pub feeds: usize,
    /// Entries in all of them.
    pub entries: usize,
    /// Volumes of feeds that were written anew.
    pub volumes: usize,
    /// Article pages rendered.
    pub pages: usize,
    /// Files whose bytes were new.
    pub written: usize,
    /// Files removed.
    pub removed: usize,
    /// Nothing had changed since the last time.
    pub unchanged: bool,
}

/// Builds every feed document and stylesheet, as the URLs given bear them.
///
/// # Errors
/// When the store fails.
pub async fn site(publication: &Publication, urls: Urls) -> Result<(Site, usize), TaskError> {
    let presenter = Presenter::new(publication, urls);
    let founded_by = founded_by(publication).await?;
    let files = publication.media.generation();
    let mut site = Site { revision: publication.store.revision().await?, files, ..Site::default() };
    let (mut entries, mut updated) = (0, None);
    for feed in publication.feeds.iter() {
        let document = volumes::live(publication, &presenter, feed, &founded_by).await?;
        entries += document.entries.len();
        updated = updated.max(document.updated);
        site.insert(&format!("/feeds/{}", feed.name), document);
        if let Some(archive) = Archive::of(publication, &presenter, feed)
            && let Some(document) = archive.document(&founded_by).await?
        {
            site.insert(&format!("/digests/{}", feed.name), document);
        }
    }
    let title = &publication.config.publication.title;
    let shelves = super::shelves::all(publication).await?;
    let updated = shelves.iter().map(|shelf| Some(shelf.changed_at)).fold(updated, Option::max);
    let groups = super::shelves::groups(publication, &presenter, &shelves);
    let opml = opml::grouped(title, updated, &presenter.outlines(), &groups);
    site.documents.insert("/feeds.opml".into(), Document::new(opml, "text/x-opml; charset=utf-8"));
    for (path, asset) in [("/style.css", "page/style.css"), ("/feed.css", "page/feed.css")] {
        let bytes = publication.templates.asset(asset).unwrap_or_default().into_owned();
        site.documents.insert(path.into(), Document::new(bytes, "text/css; charset=utf-8"));
    }
    let script = publication.templates.asset("page/form.js").unwrap_or_default().into_owned();
    site.documents.insert("/form.js".into(), Document::new(script, "text/javascript; charset=utf-8"));
    Ok((site, entries))
}

/// The authority of the feeds' `tag:` URIs (RFC 4151): host and date of the first publish, kept together, so that a
/// publication that moves keeps its feeds' ids.
pub(super) async fn founded_by(publication: &Publication) -> Result<String, TaskError> {
    let (store, host) = (&publication.store, publication.config.host());
    // Stores of before kept the date alone.
    let date = match store.fact("founded_on").await? {
        Some(date) => date,
        None => publication.clock.now().date_naive().to_string(),
    };
    Ok(store.fact_or("founded_by", &format!("{host},{date}")).await?)
}

/// Writes feeds, pages and static files into `public/`, with the publication's own URLs.
///
/// # Errors
/// When the store fails, a template cannot be rendered, or a file cannot be written.
pub async fn publish(publication: &Publication, all: bool, progress: Progress<'_>) -> Result<PublishReport, TaskError> {
    let config = &publication.config;
    let revision = publication.store.revision().await?;
    let rendering = rendering_fingerprint(publication);
    let before = Marker::read(&config.public).filter(|before| !all && before.rendering == rendering);
    // A store that was put back to what it was gives the same numbers to other changes.
    let before = before.filter(|before| before.revision <= revision);
    if before.as_ref().is_some_and(|before| before.revision == revision) {
        return Ok(PublishReport { unchanged: true, ..PublishReport::default() });
    }
    let since = before.map_or(0, |before| before.revision);
    // What became public elsewhere a moment ago has its shelves before its page links to them.
    super::shelves::keep(publication).await?;
    let mut files = Files { root: config.public.clone(), written: 0, removed: 0 };
    let mut report = PublishReport::default();
    let (site, entries) = site(publication, config.urls()).await?;
    report.feeds = site.documents.keys().filter(|path| path.starts_with("/feeds/")).count();
    report.entries = entries;
    let written: Result<Vec<_>, _> =
        site.documents.par_iter().map(|(path, document)| write_coded(&files.root, path, &document.bytes)).collect();
    files.written += written?.into_iter().sum::<usize>();
    let presenter = Presenter::new(publication, config.urls());
    let common = presenter.common()?;
    for (path, page) in listing_pages(publication, &presenter, &common).await? {
        files.write(&path, page.as_bytes())?;
    }
    let archives = files.write_archives(publication, &presenter, &common, since, &site).await?;
    let bound = volumes::write(publication, &presenter, &config.public, since).await?;
    report.volumes = bound.volumes;
    files.written += bound.new;
    files.removed += bound.removed;
    let shelves = files.write_shelves(publication, &presenter, &common, since).await?;
    files.remove_other_feeds(publication)?;
    let titles = publication.store.titles_by_date().await?;
    let order = Order::read(&config.public);
    let gone = order.as_ref().map(|order| order.gone(&titles)).unwrap_or_default();
    for slug in &gone {
        files.remove(&format!("/articles/{slug}/index.html"))?;
    }
    let taken: HashSet<&str> = titles.iter().map(|(_, slug, _)| slug.as_str()).collect();
    let mut own: HashSet<String> =
        site.documents.keys().flat_map(|path| with_codings(path.trim_start_matches('/'))).collect();
    own.extend(shelves);
    let others = Others { taken: &taken, files: &own, statics: &config.static_files };
    let moved = moved::write(publication, &presenter, &common, &others, since == 0).await?;
    files.written += moved.new;
    files.removed += moved.removed;
    let few = match &order {
        Some(order) if since > 0 => touched_pages(publication, since, order, &titles, &gone).await?,
        _ => None,
    };
    report.pages = article_pages(publication, &presenter, &common, &titles, few, &mut files, progress).await?;
    own.extend(titles.iter().map(|(_, slug, _)| format!("articles/{slug}/index.html")));
    own.extend(publication.feeds.iter().map(|feed| format!("feeds/{}/index.html", feed.name)));
    own.extend(archives.iter().chain(&moved.paths).map(|path| path.trim_start_matches('/').to_owned()));
    own.insert("index.html".to_owned());
    files.copy_tree(&config.static_files, &own)?;
    report.written = files.written;
    report.removed = files.removed;
    Order::write(&config.public, &titles)?;
    // Before it is noted that all is done.
    if matches!(config.hub, Some(Hub::Other(_))) {
        hub::announce(publication, &site, &config.urls()).await?;
    }
    Marker { revision, rendering }.write(&config.public)?;
    Ok(report)
}

/// Slug and title of an article, as its neighbours' pages link to it.
type Titled = (ArticleId, String, String);

/// The article pages that a few changes touch; `None` is all of them.
///
/// A title stands on the pages of its neighbours by date, and a whole card on the pages that name the article. So
/// beside what changed itself, those that have another neighbour than before are rendered, and those that name what
/// changed or went. Anything larger renders all pages, of which only new bytes reach the disk.
async fn touched_pages(
    publication: &Publication,
    since: i64,
    before: &Order,
    titles: &[Titled],
    gone: &[&str],
) -> Result<Option<Vec<String>>, TaskError> {
    const FEW: usize = 20;
    let changed = publication.store.changed_since(since, None, FEW + 1).await?;
    if changed.len() > FEW || gone.len() > FEW {
        return Ok(None);
    }
    let changed: Vec<&str> = changed.iter().map(|released| released.article.slug.as_str()).collect();
    let mut slugs = before.with_other_neighbours(titles);
    slugs.extend(changed.iter().map(|slug| (*slug).to_owned()));
    for slug in changed.iter().chain(gone) {
        slugs.extend(publication.store.slugs_that_name(slug).await?);
    }
    slugs.sort();
    slugs.dedup();
    Ok(Some(slugs))
}

/// The home page and each feed's page.
async fn listing_pages(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
) -> Result<Vec<(String, String)>, TaskError> {
    let mut pages = vec![("/index.html".to_owned(), home_page(publication, presenter, common).await?)];
    for feed in publication.feeds.iter() {
        let page = feed_page(publication, presenter, common, feed).await?;
        pages.push((format!("/feeds/{}/index.html", feed.name), page));
    }
    Ok(pages)
}

/// Renders article pages on every core, a batch at a time, and writes them.
async fn article_pages(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    titles: &[Titled],
    only: Option<Vec<String>>,
    files: &mut Files,
    progress: Progress<'_>,
) -> Result<usize, TaskError> {
    let places: HashMap<ArticleId, usize> = titles.iter().enumerate().map(|(place, (id, ..))| (*id, place)).collect();
    let neighbour = |place: Option<usize>| {
        let (_, slug, title) = titles.get(place?)?;
        Some(link_card(presenter.urls.article(slug), title))
    };
    let (mut after, mut count) = (None, 0);
    let total = only.as_ref().map_or(titles.len(), Vec::len);
    loop {
        let batch = match &only {
            None => publication.store.changed_since(-1, after, BATCH).await?,
            Some(slugs) => {
                let slugs: Vec<&str> = slugs.iter().skip(count).take(BATCH).map(String::as_str).collect();
                publication.store.by_slugs_whole(&slugs).await?
            }
        };
        let Some(last) = batch.last() else { break };
        after = Some(last.article.id);
        let linked = presenter.linked(&batch).await?;
        let written: Vec<Result<bool, TaskError>> = batch
            .par_iter()
            .map(|released| {
                let place = places.get(&released.article.id).copied();
                let before = neighbour(place.and_then(|place| place.checked_sub(1)));
                let after = neighbour(place.map(|place| place + 1));
                let page = render_article(publication, presenter, common, released, &linked, before, after)?;
                write_if_new(&files.root, &format!("/articles/{}/index.html", released.article.slug), page.as_bytes())
            })
            .collect();
        for is_new in written {
            files.written += usize::from(is_new?);
        }
        count += batch.len();
        progress(count as u64, total as u64);
    }
    Ok(count)
}

/// A card that is only linked to by its title.
fn link_card(url: String, title: &str) -> Card {
    Card {
        title: title.to_owned(),
        url,
        label: None,
        place: None,
        section: None,
        summary: String::new(),
        date: String::new(),
        date_iso: String::new(),
        authors: None,
        image: None,
        enclosure: None,
        minutes: 0,
        language: String::new(),
        dir: "ltr",
        faq: vec![],
        alerted: false,
    }
}

/// Everything but the articles that pages depend on.
fn rendering_fingerprint(publication: &Publication) -> String {
    let (site, form) = (&publication.config.publication, &publication.config.form);
    let mut parts: Vec<Vec<u8>> = vec![
        env!("CARGO_PKG_VERSION").into(),
        format!("{site:?} {:?} {:?} {:?}", publication.config.serve_url, form.consent, form.privacy).into(),
        publication.config.hubs(&publication.config.urls()).concat().into(),
        publication.config.feed_rules.by.to_string().into(),
        format!("{:?}", publication.feeds).into(),
        crate::template::built_in_fingerprint().into(),
    ];
    let mut own: Vec<(PathBuf, Option<(u64, std::time::SystemTime)>)> = vec![];
    let templates = &publication.config.templates;
    for folder in [templates.join("page"), templates.join("words"), publication.config.static_files.clone()] {
        list_files(&folder, &mut |path, metadata| {
            own.push((path.to_owned(), metadata.modified().ok().map(|modified| (metadata.len(), modified))));
        });
    }
    own.sort();
    parts.extend(own.iter().map(|file| format!("{file:?}").into_bytes()));
    fingerprint(parts)
}

/// What `public/` was made from.
struct Marker {
    revision: i64,
    rendering: String,
}

impl Marker {
    fn read(public: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(public.join(MARKER)).ok()?;
        let (revision, rendering) = text.trim_end().split_once(' ')?;
        Some(Self { revision: revision.parse().ok()?, rendering: rendering.to_owned() })
    }

    fn write(&self, public: &Path) -> Result<(), TaskError> {
        write_if_new(public, MARKER, format!("{} {}\n", self.revision, self.rendering).as_bytes()).map(drop)
    }
}

/// Which article pages `public/` has, in the order of dates: slug and title.
struct Order(Vec<(String, String)>);

impl Order {
    fn read(public: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(public.join(ORDER)).ok()?;
        Some(Self(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect()))
    }

    fn write(public: &Path, titles: &[Titled]) -> Result<(), TaskError> {
        let lines: String = titles.iter().flat_map(|(_, slug, title)| [slug, " ", title, "\n"]).collect();
        write_if_new(public, ORDER, lines.as_bytes()).map(drop)
    }

    /// The slugs that are not there any more.
    fn gone(&self, titles: &[Titled]) -> Vec<&str> {
        let there: HashSet<&str> = titles.iter().map(|(_, slug, _)| slug.as_str()).collect();
        self.0.iter().map(|(slug, _)| slug.as_str()).filter(|slug| !there.contains(slug)).collect()
    }

    /// The slugs whose page links to other neighbours than it did.
    fn with_other_neighbours(&self, titles: &[Titled]) -> Vec<String> {
        type Neighbour<'a> = Option<(&'a str, &'a str)>;
        fn each<'a>(all: &[(&'a str, &'a str)]) -> HashMap<&'a str, (Neighbour<'a>, Neighbour<'a>)> {
            let at = |place: Option<usize>| place.and_then(|place| all.get(place).copied());
            all.iter().enumerate().map(|(i, (slug, _))| (*slug, (at(i.checked_sub(1)), at(Some(i + 1))))).collect()
        }
        let before: Vec<_> = self.0.iter().map(|(slug, title)| (slug.as_str(), title.as_str())).collect();
        let now: Vec<_> = titles.iter().map(|(_, slug, title)| (slug.as_str(), title.as_str())).collect();
        if before == now {
            return vec![];
        }
        let before = each(&before);
        let moved = each(&now).into_iter().filter(|(slug, beside)| before.get(slug) != Some(beside));
        moved.map(|(slug, _)| slug.to_owned()).collect()
    }
}

/// A path, and those of the same in each coding: where a web server looks for them.
fn with_codings(path: &str) -> impl Iterator<Item = String> {
    let coded = Coding::ALL.map(|coding| format!("{path}.{}", coding.ending()));
    std::iter::once(path.to_owned()).chain(coded)
}

/// Files below one folder.
struct Files {
    root: PathBuf,
    written: usize,
    removed: usize,
}

impl Files {
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), TaskError> {
        self.written += usize::from(write_if_new(&self.root, path, bytes)?);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), TaskError> {
        self.removed += usize::from(remove(&self.root, path)?);
        Ok(())
    }

    /// Writes what changed of every newsletter's archive since a revision, and removes what is not in one any more.
    /// Returns the paths of all that there is.
    async fn write_archives(
        &mut self,
        publication: &Publication,
        presenter: &Presenter<'_>,
        common: &Common,
        since: i64,
        site: &Site,
    ) -> Result<BTreeSet<String>, TaskError> {
        let before = std::fs::read_to_string(self.root.join(DIGESTS)).unwrap_or_default();
        let before: BTreeSet<String> = before
            .lines()
            .filter(|path| path.starts_with("/digests/") && !path.contains("/."))
            .map(str::to_owned)
            .collect();
        let of_archives = site.documents.keys().filter(|path| path.starts_with("/digests/"));
        let mut paths: BTreeSet<String> = of_archives.flat_map(|path| with_codings(path)).collect();
        for feed in publication.feeds.iter() {
            let Some(archive) = Archive::of(publication, presenter, feed) else { continue };
            let mut write = |path: &str, bytes: &[u8]| self.write(path, bytes);
            paths.extend(archive.files(common, since, &before, &mut write).await?);
        }
        let is_faulty = |path: &str| {
            // A feed whose definition is there and has a fault keeps what it has.
            let name = path.split('/').nth(2).and_then(FeedName::parse);
            name.is_some_and(|name| {
                publication.feed(&name).is_none() && publication.config.feeds.join(format!("{name}.toml")).exists()
            })
        };
        let mut kept = paths.clone();
        for gone in before.difference(&paths) {
            if is_faulty(gone) {
                kept.insert(gone.clone());
            } else {
                self.remove(gone)?;
            }
        }
        let lines: String = kept.iter().flat_map(|path| [path.as_str(), "\n"]).collect();
        if !lines.is_empty() || !before.is_empty() {
            write_if_new(&self.root, DIGESTS, lines.as_bytes())?;
        }
        Ok(kept)
    }

    /// Removes the documents and pages of feeds that are not defined any more; what else stands there stays, and so
    /// does a feed whose definition is there and has a fault.
    fn remove_other_feeds(&mut self, publication: &Publication) -> Result<(), TaskError> {
        let Ok(listing) = std::fs::read_dir(self.root.join("feeds")) else { return Ok(()) };
        for entry in listing.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(FeedName::parse) else { continue };
            let definition = publication.config.feeds.join(format!("{name}.toml"));
            if publication.feed(&name).is_some() || definition.exists() {
                continue;
            }
            self.removed += volumes::remove_all(&self.root, &name)?;
            for file in Format::ALL.iter().map(|format| format.file_name()).chain(["index.html"]) {
                for path in with_codings(&format!("/feeds/{name}/{file}")) {
                    self.remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Copies every file below `folder`, with its path there, and removes what it copied before and is gone. What else
    /// was written just now, such as a page, is not removed.
    fn copy_tree(&mut self, folder: &Path, pages: &HashSet<String>) -> Result<(), TaskError> {
        let mut files = vec![];
        list_files(folder, &mut |path, metadata| files.push((path.to_owned(), metadata.clone())));
        let mut names = vec![];
        for (path, metadata) in files {
            let Ok(relative) = path.strip_prefix(folder) else { continue };
            let name = relative.to_string_lossy().into_owned();
            self.written += usize::from(copy_if_new(&self.root, &name, &path, &metadata)?);
            names.push(name);
        }
        names.sort();
        let before = std::fs::read_to_string(self.root.join(STATIC)).unwrap_or_default();
        let is_plain = |name: &str| name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
        let is_ours = |name: &str| pages.contains(name) || volumes::is_of_volume(name);
        for gone in before.lines().filter(|name| is_plain(name) && !is_ours(name)) {
            if names.binary_search_by(|name| name.as_str().cmp(gone)).is_err() {
                self.remove(gone)?;
            }
        }
        let lines: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        write_if_new(&self.root, STATIC, lines.as_bytes()).map(drop)
    }
}

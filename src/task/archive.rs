//! The archive: each digest that went out as a page without anyone's own links, their list, and that list as a feed.
//!
//! A page shows what is still public of its digest, whose subject is rendered anew: what was withdrawn is not named.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use super::present::{Presenter, Speech, Value};
use super::{Publication, TaskError};
use crate::domain::article::Released;
use crate::domain::digest::{Digest, DigestId};
use crate::domain::entry::{Entry, FeedDocument, History};
use crate::domain::feed::Feed;
use crate::domain::newsletter::Newsletter;
use crate::domain::text::{escape_html, shorten};
use crate::domain::trial::Trial;
use crate::store::StoreError;
use crate::syndication::Format;
use crate::template::view::{
    ArchivePage, Common, DigestPage, DigestView, MonthView, Page, PageFeedView, PageView, PastDigest, ReaderView,
    YearView,
};

/// Digests on the first page of an archive; a year has a page for all of its own.
const NEWEST: usize = 30;

/// The newsletter of a feed, if it keeps an archive.
pub fn kept(feed: &Feed) -> Option<&Newsletter> {
    feed.newsletter.as_ref().filter(|newsletter| newsletter.archive)
}

/// Takes a file by its path.
type Write<'a> = &'a mut (dyn FnMut(&str, &[u8]) -> Result<(), TaskError> + Send);

/// A newsletter's archive, shown under one base URL.
#[derive(Debug, Clone, Copy)]
pub struct Archive<'a> {
    publication: &'a Publication,
    presenter: &'a Presenter<'a>,
    feed: &'a Feed,
    newsletter: &'a Newsletter,
}

impl<'a> Archive<'a> {
    /// That of `feed`; `None` where it keeps none.
    pub fn of(publication: &'a Publication, presenter: &'a Presenter<'a>, feed: &'a Feed) -> Option<Self> {
        Some(Self { publication, presenter, feed, newsletter: kept(feed)? })
    }

    /// What the mail showed, without a reader.
    fn view(&self, digest: &Digest, articles: &[Released]) -> DigestView {
        let nobody = ReaderView::default();
        let mut view = self.presenter.digest(self.feed, Some(digest), articles, nobody, digest.key.slot);
        let file = format!("feeds/{}.toml", self.feed.name);
        // A subject that cannot be rendered is named by `check`; a page does not fail for it.
        let template = digest.trial.as_ref().map_or(self.newsletter.subject.as_str(), Trial::subject);
        let subject = self.publication.templates.subject(template, &file, &view);
        view.digest.subject = subject.unwrap_or_else(|_| self.feed.title.clone());
        view
    }

    fn past(&self, digest: &Digest, view: &DigestView) -> PastDigest {
        PastDigest {
            subject: view.digest.subject.clone(),
            url: self.presenter.urls.in_archive(&self.feed.name, &digest.page),
            date: self.presenter.date(digest.key.slot),
            date_iso: self.presenter.iso(digest.key.slot),
            count: view.digest.count,
            note: digest.note.clone(),
        }
    }

    /// Digests with what they show, in their order.
    async fn views(&self, digests: Vec<Digest>) -> Result<Vec<(Digest, DigestView)>, StoreError> {
        let ids: Vec<DigestId> = digests.iter().map(|digest| digest.id).collect();
        let mut articles: HashMap<_, _> = self.publication.store.articles_of_each(&ids).await?;
        let view = |digest: Digest| {
            let view = self.view(&digest, &articles.remove(&digest.id)?);
            Some((digest, view))
        };
        Ok(digests.into_iter().filter_map(view).collect())
    }

    fn said(&self, speech: &Speech<'_>, key: &str) -> String {
        speech.word(key, &[("newsletter", Value::Text(&self.feed.title))])
    }

    fn file(&self, format: Format) -> String {
        self.presenter.urls.in_archive(&self.feed.name, format.file_name())
    }

    fn page(&self, kind: &'static str, title: &str, description: &str, url: String) -> PageView {
        let feed = PageFeedView {
            title: self.said(&self.presenter.speech(), "archive_title"),
            rss: self.file(Format::Rss),
            atom: self.file(Format::Atom),
            json: self.file(Format::Json),
        };
        let page = self.presenter.page(kind, title, description, url, Some(&self.feed.language));
        PageView { feed: Some(feed), ..page }
    }

    /// A digest's page; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// When the store fails or the template cannot be rendered.
    pub async fn digest_page(&self, common: &Common, name: &str) -> Result<Option<String>, TaskError> {
        let store = &self.publication.store;
        let Some(digest) = store.digest_at(&self.feed.name, name).await? else { return Ok(None) };
        let (before, after) = store.archive_neighbours(&digest).await?;
        self.page_of(common, digest, before, after).await
    }

    /// The page of a digest that stands between these two.
    async fn page_of(
        &self,
        common: &Common,
        digest: Digest,
        before: Option<Digest>,
        after: Option<Digest>,
    ) -> Result<Option<String>, TaskError> {
        let beside = [before.as_ref().map(|digest| digest.id), after.as_ref().map(|digest| digest.id)];
        let all = before.into_iter().chain(after).chain([digest.clone()]).collect();
        let mut views: HashMap<DigestId, (Digest, DigestView)> =
            self.views(all).await?.into_iter().map(|(digest, view)| (digest.id, (digest, view))).collect();
        let Some((digest, view)) = views.remove(&digest.id) else { return Ok(None) };
        let [prev, next] = beside.map(|id| views.get(&id?).map(|(digest, view)| self.past(digest, view)));
        let past = self.past(&digest, &view);
        let description = digest.note.as_deref().unwrap_or(&view.digest.preheader);
        let page = self.page("digest", &past.subject, &shorten(description, 160), past.url.clone());
        let own = DigestPage {
            newsletter: view.newsletter,
            archive_url: self.presenter.urls.archive(&self.feed.name),
            digest: past,
            featured: view.featured,
            latest: view.latest,
            prev,
            next,
        };
        Ok(Some(self.publication.templates.page("digest", &Page { common, page, form: None, own })?))
    }

    /// The list of the newest digests, or of those of a year; `None` where there are none.
    ///
    /// # Errors
    /// When the store fails or the template cannot be rendered.
    pub async fn list_page(&self, common: &Common, year: Option<&str>) -> Result<Option<String>, TaskError> {
        let (store, urls, speech) = (&self.publication.store, &self.presenter.urls, self.presenter.speech());
        let limit = if year.is_some() { usize::MAX } else { NEWEST };
        let digests = store.archive(&self.feed.name, year, limit).await?;
        if digests.is_empty() {
            return Ok(None);
        }
        let mut months: Vec<MonthView> = vec![];
        for (digest, view) in self.views(digests).await? {
            let zone = self.publication.config.publication.time_zone;
            let name = speech.month(digest.key.slot.with_timezone(&zone).date_naive());
            let past = self.past(&digest, &view);
            match months.last_mut().filter(|month| month.name == name) {
                Some(month) => month.digests.push(past),
                None => months.push(MonthView { name, digests: vec![past] }),
            }
        }
        let years = store.archive_years(&self.feed.name).await?;
        let list = |name: &str| urls.in_archive(&self.feed.name, name);
        let in_words = |year: &str| {
            let day = year.parse().ok().and_then(|year| NaiveDate::from_yo_opt(year, 1));
            day.map_or_else(|| year.to_owned(), |day| speech.year(day))
        };
        let own = ArchivePage {
            newsletter: self.presenter.newsletter(self.feed),
            archive_url: urls.archive(&self.feed.name),
            year: year.map(&in_words),
            months,
            years: years
                .into_iter()
                .map(|known| YearView {
                    url: list(&known),
                    current: year == Some(known.as_str()),
                    year: in_words(&known),
                })
                .collect(),
        };
        let (title, url) = match year {
            Some(year) => (format!("{}: {}", self.feed.title, in_words(year)), list(year)),
            None => (self.said(&speech, "archive_title"), urls.archive(&self.feed.name)),
        };
        let description = self.said(&speech, "archive_text");
        let page = self.page("archive", &title, &description, url);
        Ok(Some(self.publication.templates.page("archive", &Page { common, page, form: None, own })?))
    }

    /// The newest digests as a feed, each with the list of its articles; `None` where there are none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn document(&self, founded_by: &str) -> Result<Option<FeedDocument>, TaskError> {
        let digests = self.publication.store.archive(&self.feed.name, None, self.feed.limit).await?;
        if digests.is_empty() {
            return Ok(None);
        }
        let (site, urls) = (&self.publication.config.publication, &self.presenter.urls);
        let entry = |(digest, view): (Digest, DigestView)| Entry {
            id: format!("tag:{founded_by}:digests/{}/{}", self.feed.name, digest.page),
            url: urls.in_archive(&self.feed.name, &digest.page),
            html: Some(html(&view)),
            summary: summary(&view),
            title: view.digest.subject,
            label: None,
            published: digest.key.slot,
            updated: digest.key.slot,
            authors: vec![],
            categories: vec![],
            image: None,
            enclosure: None,
            language: None,
        };
        let entries: Vec<Entry> = self.views(digests).await?.into_iter().map(entry).collect();
        // A document speaks the language that it says it has.
        let speech = self.publication.templates.speech(&self.feed.language);
        Ok(Some(FeedDocument {
            id: format!("tag:{founded_by}:digests/{}", self.feed.name),
            title: format!("{}: {}", site.title, self.said(&speech, "archive_title")),
            description: self.said(&speech, "archive_text"),
            language: self.feed.language.clone(),
            page_url: urls.archive(&self.feed.name),
            rss_url: self.file(Format::Rss),
            atom_url: self.file(Format::Atom),
            json_url: self.file(Format::Json),
            stylesheet_url: Some(urls.at("/feed.css")),
            publication: site.title.clone(),
            publication_url: urls.home(),
            image: None,
            podcast: None,
            hubs: self.publication.config.hubs(urls),
            updated: entries.iter().map(|entry| entry.updated).max(),
            entries,
            history: History::default(),
        }))
    }

    /// Gives `write` every file of the archive that changed since a revision (0: every file), by its path. Returns the
    /// paths of all pages that there are; `before` are those that there were.
    ///
    /// # Errors
    /// When the store fails, a template cannot be rendered, or `write` says so.
    pub(super) async fn files(
        &self,
        common: &Common,
        since: i64,
        before: &BTreeSet<String>,
        write: Write<'_>,
    ) -> Result<BTreeSet<String>, TaskError> {
        let folder = format!("/digests/{}/", self.feed.name);
        let digests = self.publication.store.archive(&self.feed.name, None, usize::MAX).await?;
        let path = |name: &str| format!("{folder}{name}/index.html");
        let mut paths: BTreeSet<String> = BTreeSet::new();
        for digest in &digests {
            paths.extend([path(&digest.page), path(&digest.page[..4.min(digest.page.len())])]);
        }
        let unlisted = self.publication.store.unlisted_pages(&self.feed.name).await?;
        paths.extend(unlisted.iter().map(|page| path(page)));
        let is_one_gone = before.iter().any(|gone| gone.starts_with(&folder) && !paths.contains(gone));
        let changed = if since == 0 || is_one_gone {
            None
        } else {
            let changed = self.publication.store.archive_changed_since(since).await?;
            Some(changed.into_iter().filter(|(name, _)| name == self.feed.name.as_str()).map(|(_, page)| page))
        };
        let changed: Option<BTreeSet<String>> = changed.map(Iterator::collect);
        let is_changed = |page: &String| changed.as_ref().is_none_or(|changed| changed.contains(page));
        for page in unlisted.iter().filter(|page| is_changed(page)) {
            if let Some(html) = self.digest_page(common, page).await? {
                write(&path(page), html.as_bytes())?;
            }
        }
        // Its neighbours bear its subject.
        let near = |at: usize| {
            digests[at.saturating_sub(1)..(at + 2).min(digests.len())].iter().any(|near| is_changed(&near.page))
        };
        let mut years = BTreeMap::new();
        for (at, digest) in digests.iter().enumerate() {
            if near(at) {
                *years.entry(&digest.page[..4.min(digest.page.len())]).or_insert(0) += 1;
                let after = at.checked_sub(1).and_then(|at| digests.get(at)).cloned();
                let before = digests.get(at + 1).cloned();
                if let Some(page) = self.page_of(common, digest.clone(), before, after).await? {
                    write(&path(&digest.page), page.as_bytes())?;
                }
            }
        }
        for year in years.into_keys() {
            if let Some(page) = self.list_page(common, Some(year)).await? {
                write(&path(year), page.as_bytes())?;
            }
        }
        if let Some(page) = self.list_page(common, None).await? {
            let path = format!("{folder}index.html");
            write(&path, page.as_bytes())?;
            paths.insert(path);
        }
        Ok(paths)
    }
}

/// The note and the list of articles, as HTML.
fn html(view: &DigestView) -> String {
    let mut html = String::new();
    for paragraph in view.digest.note.iter().flat_map(|note| note.split("\n\n")) {
        html.extend(["<p>", &escape_html(paragraph.trim()).replace('\n', "<br>\n"), "</p>\n"]);
    }
    html.push_str("<ul>\n");
    for card in &view.articles {
        let (url, title, summary) = (escape_html(&card.url), escape_html(&card.title), escape_html(&card.summary));
        html.extend(["<li><a href=\"", &url, "\"><strong>", &title, "</strong></a>"]);
        if !summary.is_empty() {
            html.extend(["<br>\n", &summary]);
        }
        html.push_str("</li>\n");
    }
    html.push_str("</ul>\n");
    html
}

/// The titles in a row.
fn summary(view: &DigestView) -> String {
    let titles: Vec<&str> = view.articles.iter().map(|card| card.title.as_str()).collect();
    shorten(&titles.join("; "), 300)
}

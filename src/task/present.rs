//! From articles and feeds to what templates and feed documents see.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Publication, cadences};
use crate::config::Urls;
use crate::domain::article::{Article, Image, Released};
use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, FeedDocument, Headings, History, Link, OutlineFeed, content_html};
use crate::domain::feed::{AnyOf, Feed};
use crate::domain::media::Enclosure;
use crate::domain::newsletter::Cadence;
use crate::domain::podcast::{Podcast, guid_of};
use crate::domain::text::shorten;
use crate::problem::Problem;
use crate::store::StoreError;
use crate::template::view::{
    ArticleView, CadenceView, Card, Common, DigestFacts, DigestView, FeedView, ImageView, LanguageView, LinkView,
    NewsletterView, Page, PageView, PublicationView, QuestionView, ReaderView, WelcomeView,
};
use crate::template::words::DateStyle;
pub use crate::template::words::{Speech, Value, direction};

/// What the pages of some articles link to.
#[derive(Debug, Default)]
pub struct Linked {
    /// The articles under "Also read", by slug.
    pub related: HashMap<String, Released>,
    /// The addresses of their sections, tags and authors, by key.
    pub shelves: HashMap<String, String>,
}

/// Shows a publication under one base URL.
#[derive(Debug, Clone)]
pub struct Presenter<'a> {
    publication: &'a Publication,
    /// The URLs that everything shown bears.
    pub urls: Urls,
    /// The language that it speaks.
    language: String,
}

impl<'a> Presenter<'a> {
    /// Everything under the URLs given, in the publication's language.
    pub fn new(publication: &'a Publication, urls: Urls) -> Self {
        Self { publication, urls, language: publication.config.publication.language.clone() }
    }

    /// The same in another language.
    #[must_use]
    pub fn speaking(self, language: &str) -> Self {
        Self { language: language.to_owned(), ..self }
    }

    /// The language that it speaks, and its direction.
    pub fn language(&self) -> (String, &'static str) {
        (self.language.clone(), direction(&self.language))
    }

    /// How that language speaks.
    pub fn speech(&self) -> Speech<'a> {
        self.publication.templates.speech(&self.language)
    }

    /// Text written for the publication's own URL, under the URLs shown.
    fn shown(&self, text: &str) -> String {
        self.urls.in_place_of(&self.publication.config.urls(), text).into_owned()
    }

    /// A date for people, in the publication's zone.
    pub fn date(&self, at: DateTime<Utc>) -> String {
        let at = at.with_timezone(&self.publication.config.publication.time_zone);
        // What CLDR says of English as well, a hundred times as fast: there are as many dates as pages.
        if self.language == "en" {
            return at.format("%-d %B %Y").to_string();
        }
        self.speech().date(at.fixed_offset(), DateStyle::Long)
    }

    /// A date for machines.
    pub fn iso(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.publication.config.publication.time_zone)
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// The publication.
    pub fn publication(&self) -> PublicationView {
        let publication = &self.publication.config.publication;
        PublicationView {
            title: publication.title.clone(),
            description: publication.description.clone(),
            url: self.urls.base().to_owned(),
            language: publication.language.clone(),
            address: publication.address.clone(),
        }
    }

    /// What every page sees.
    ///
    /// # Errors
    /// When the template `stay` cannot be rendered.
    pub fn common(&self) -> Result<Common, Problem> {
        let style = self.publication.templates.asset("page/style.css").unwrap_or_default();
        let script = self.publication.templates.asset("page/form.js").unwrap_or_default();
        let mut common = Common {
            publication: self.publication(),
            feeds: self.publication.feeds.iter().map(|feed| self.feed(feed)).collect(),
            style_url: self.urls.local(&format!("/style.css?v={}", &super::fingerprint([&style])[..8])),
            home_url: self.urls.local("/"),
            subscribe_url: self.subscribe_url(),
            form_script_url: self.urls.local(&format!("/form.js?v={}", &super::fingerprint([&script])[..8])),
            consent: super::consent::text(self.publication, &self.language),
            privacy_url: self.publication.config.form.privacy.as_ref().map(ToString::to_string),
            time_zone: self.publication.config.publication.time_zone.name(),
            stay: String::new(),
            shelf_lists: super::shelves::lists(self, self.publication.config.feed_rules.by),
            opml_url: self.urls.local("/feeds.opml"),
            icon_url: self.icon_url(),
        };
        let page = self.page("stay", "", "", String::new(), None);
        let stay = Page { common: &common, page, form: None, own: json!({ "own": "" }) };
        common.stay = self.publication.templates.page("stay", &stay)?;
        Ok(common)
    }

    /// The publication's own icon, or an empty one: without either, browsers ask for one that is not there.
    fn icon_url(&self) -> String {
        let own = ["favicon.svg", "favicon.ico", "favicon.png"];
        let own = own.into_iter().find(|name| self.publication.config.static_files.join(name).is_file());
        own.map_or_else(|| "data:,".to_owned(), |name| self.urls.local(&format!("/{name}")))
    }

    /// Where the form is, and where it posts to. Published files cannot take an answer: `serve` does, wherever it is.
    pub(super) fn subscribe_url(&self) -> String {
        let config = &self.publication.config;
        match &config.serve_url {
            Some(_) if self.urls != config.live_urls() => config.live_urls().at("/subscribe"),
            _ => self.urls.local("/subscribe"),
        }
    }

    /// A feed.
    pub fn feed(&self, feed: &Feed) -> FeedView {
        let file = |name| self.urls.feed_file(&feed.name, name);
        FeedView {
            name: feed.name.to_string(),
            title: feed.title.clone(),
            description: feed.description.clone(),
            url: self.urls.feed(&feed.name),
            rss: file("rss.xml"),
            atom: file("atom.xml"),
            json: file("feed.json"),
            newsletter: feed.newsletter.is_some(),
            cadences: self.cadences(feed, None),
            archive_url: None,
        }
    }

    /// The cadences of a feed, with the one that a reader has chosen.
    pub fn cadences(&self, feed: &Feed, chosen: Option<Cadence>) -> Vec<CadenceView> {
        cadences::cadences(&self.speech(), feed, chosen)
    }

    /// The languages that readers can choose from, each with where the page at `url` speaks it.
    pub fn languages(&self, url: &str) -> Vec<LanguageView> {
        let languages = self.publication.languages.iter();
        if languages.len() < 2 {
            return vec![];
        }
        let words = self.publication.templates.words();
        languages
            .map(|tag| LanguageView {
                name: words.name(tag),
                dir: direction(tag),
                url: format!("{url}?lang={tag}"),
                current: tag == self.language,
                tag: tag.to_owned(),
            })
            .collect()
    }

    /// A newsletter.
    pub fn newsletter(&self, feed: &Feed) -> NewsletterView {
        NewsletterView {
            name: feed.name.to_string(),
            title: feed.title.clone(),
            description: feed.description.clone(),
            feed_url: self.urls.feed(&feed.name),
        }
    }

    /// A page's head; `language` is that of what it shows, if it is not the publication's.
    pub fn page(
        &self,
        kind: &'static str,
        title: &str,
        description: &str,
        url: String,
        language: Option<&str>,
    ) -> PageView {
        let content_language = language.unwrap_or(&self.publication.config.publication.language).to_owned();
        let (language, dir) = self.language();
        PageView {
            title: title.to_owned(),
            description: description.to_owned(),
            url,
            kind,
            dir,
            language,
            content_language,
            feed: None,
        }
    }

    /// Where an article is read: its page here, or the original of what came from elsewhere.
    pub fn address(&self, article: &Article) -> String {
        match article.original.as_ref().filter(|original| original.is_linked) {
            Some(original) => original.url.clone(),
            None => self.urls.article(article.slug.as_str()),
        }
    }

    /// The address that search engines are to know an article by.
    pub fn canonical(&self, article: &Article) -> String {
        article
            .original
            .as_ref()
            .map_or_else(|| self.urls.article(article.slug.as_str()), |original| original.url.clone())
    }

    /// An article in a list of a page, without its questions: those stand on its own page and in mail.
    pub fn card(&self, article: &Article) -> Card {
        let language = article.language.as_ref().unwrap_or(&self.publication.config.publication.language);
        Card {
            title: article.title.clone(),
            url: self.address(article),
            label: article.label.clone(),
            place: article.place.clone(),
            section: article.section.clone(),
            summary: article.summary.clone(),
            date: self.date(article.date),
            date_iso: self.iso(article.date),
            authors: self.speech().names(&article.authors),
            image: article
                .image
                .as_ref()
                .map(|image| ImageView { url: self.shown(&image.url), alt: image.alt.clone() }),
            enclosure: super::media::view(self, article, language),
            minutes: article.minutes(),
            language: language.clone(),
            dir: direction(language),
            faq: vec![],
            alerted: false,
        }
    }

    /// The same with its questions.
    fn whole_card(&self, article: &Article) -> Card {
        Card { faq: self.questions(article), ..self.card(article) }
    }

    fn questions(&self, article: &Article) -> Vec<QuestionView> {
        let view = |asked: &crate::domain::article::Question| QuestionView {
            question: asked.question.clone(),
            answer: self.shown(&asked.answer_html),
            answer_text: crate::source::text_of(&self.shown(&asked.answer_html)),
        };
        article.faq.iter().map(view).collect()
    }

    /// Articles in a list.
    pub fn cards(&self, articles: &[Released]) -> Vec<Card> {
        articles.iter().map(|released| self.card(&released.article)).collect()
    }

    /// An article on its own page.
    pub fn article(
        &self,
        article: &Article,
        Linked { related, shelves }: &Linked,
        prev: Option<Card>,
        next: Option<Card>,
    ) -> ArticleView {
        let updated = article.updated.filter(|updated| *updated > article.date);
        ArticleView {
            card: self.whole_card(article),
            html: self.shown(&article.html),
            standfirst: article.summary_given.then(|| article.summary.clone()),
            tags: article.tags.clone(),
            shelves: super::shelves::links(self, article, shelves),
            updated: updated.map(|at| self.date(at)),
            updated_iso: updated.map(|at| self.iso(at)),
            related: article
                .related
                .iter()
                .filter_map(|slug| related.get(slug))
                .map(|released| self.card(&released.article))
                .collect(),
            prev,
            next,
            original: article.original.as_ref().map(|original| LinkView {
                label: host_of(&original.url).unwrap_or(&original.url).to_owned(),
                url: original.url.clone(),
            }),
            json_ld: self.json_ld(article),
        }
    }

    /// schema.org's `NewsArticle`, and `FAQPage` where there are questions.
    fn json_ld(&self, article: &Article) -> String {
        let site = &self.publication.config.publication;
        let url = self.canonical(article);
        let authors: Vec<_> = article.authors.iter().map(|name| json!({"@type": "Person", "name": name})).collect();
        let mut graph = vec![json!({
            "@type": "NewsArticle",
            "headline": article.title,
            "description": article.summary,
            "url": url,
            "mainEntityOfPage": url,
            "datePublished": self.iso(article.date),
            "dateModified": self.iso(article.changed_at()),
            "author": if authors.is_empty() { json!([{"@type": "Organization", "name": site.title}]) } else { json!(authors) },
            "publisher": {"@type": "Organization", "name": site.title},
            "inLanguage": article.language.as_ref().unwrap_or(&site.language),
            "image": article.image.iter().map(|image| self.shown(&image.url)).collect::<Vec<_>>(),
        })];
        if !article.faq.is_empty() {
            let questions = article.faq.iter().map(|question| {
                let answer = json!({"@type": "Answer", "text": self.shown(&question.answer_html)});
                json!({"@type": "Question", "name": question.question, "acceptedAnswer": answer})
            });
            graph.push(json!({"@type": "FAQPage", "mainEntity": questions.collect::<Vec<_>>()}));
        }
        let json = json!({"@context": "https://schema.org", "@graph": graph}).to_string();
        // Inside a script element only "</" and "<!--" could end it or confuse it: "<" is written as its escape.
        format!("<script type=\"application/ld+json\">{}</script>", json.replace('<', "\\u003c"))
    }

    /// A feed's document, of these articles.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn document(
        &self,
        feed: &Feed,
        articles: &[Released],
        founded_by: &str,
    ) -> Result<FeedDocument, StoreError> {
        let related = self.publication.store.related(articles).await?;
        Ok(self.document_with(feed, articles, &related, founded_by))
    }

    /// The same, with what the articles name under "Also read" at hand.
    pub(super) fn document_with(
        &self,
        feed: &Feed,
        articles: &[Released],
        related: &HashMap<String, Released>,
        founded_by: &str,
    ) -> FeedDocument {
        let site = &self.publication.config.publication;
        let entries: Vec<Entry> = articles.iter().map(|released| self.entry(feed, released, related)).collect();
        FeedDocument {
            id: format!("tag:{founded_by}:feeds/{}", feed.name),
            title: format!("{}: {}", site.title, feed.title),
            description: feed.description.clone(),
            language: feed.language.clone(),
            page_url: self.urls.feed(&feed.name),
            rss_url: self.urls.feed_file(&feed.name, "rss.xml"),
            atom_url: self.urls.feed_file(&feed.name, "atom.xml"),
            json_url: self.urls.feed_file(&feed.name, "feed.json"),
            stylesheet_url: Some(self.urls.at("/feed.css")),
            publication: site.title.clone(),
            publication_url: self.urls.home(),
            image: feed.image.as_ref().map(|url| Image { url: self.shown(url), alt: feed.title.clone(), size: None }),
            podcast: feed.podcast.as_ref().map(|podcast| self.podcast(feed, podcast)),
            hubs: self.publication.config.hubs(&self.urls),
            updated: entries.iter().map(|entry| entry.updated).chain(articles.iter().filter_map(came_late)).max(),
            entries,
            history: History::default(),
        }
    }

    /// What the pages of these articles link to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn linked(&self, articles: &[Released]) -> Result<Linked, StoreError> {
        let related = self.publication.store.related(articles).await?;
        let shelves = if self.publication.config.feed_rules.by.is_empty() {
            HashMap::new()
        } else {
            let ids: Vec<_> = articles.iter().map(|released| released.article.id).collect();
            self.publication.store.shelves_under(&ids).await?
        };
        Ok(Linked { related, shelves })
    }

    /// What stands above the parts of an article in feeds, in its own language where that has words.
    fn headings(&self, article: &Article, links: &[Link]) -> Headings {
        if article.faq.is_empty() && links.is_empty() {
            return Headings::default();
        }
        let templates = &self.publication.templates;
        let own = article.language.as_ref().filter(|language| templates.words().has(language));
        let speech = templates.speech(own.unwrap_or(&self.publication.config.publication.language));
        let also_read = speech.word("also_read", &[]);
        Headings {
            questions: speech.word("questions", &[]),
            also_read: speech.word("colon", &[("label", Value::Text(&also_read))]),
        }
    }

    fn entry(
        &self,
        feed: &Feed,
        Released { article, release }: &Released,
        related: &HashMap<String, Released>,
    ) -> Entry {
        let links: Vec<Link> = article
            .related
            .iter()
            .filter_map(|slug| related.get(slug))
            .map(|released| Link { url: self.address(&released.article), title: released.article.title.clone() })
            .collect();
        let html = feed.full.then(|| {
            let headings = self.headings(article, &links);
            self.shown(&content_html(article.place.as_deref(), &article.html, &article.faq, &links, &headings))
        });
        Entry {
            id: release.entry_id.clone(),
            url: self.address(article),
            title: article.title.clone(),
            label: article.label.clone(),
            summary: article.summary.clone(),
            html,
            published: article.date,
            updated: article.changed_at(),
            authors: article.authors.clone(),
            categories: article.section.iter().chain(&article.tags).cloned().collect(),
            image: article.image.as_ref().map(|image| {
                let image = self.publication.media.measured(image);
                Image { url: self.shown(&image.url), ..image }
            }),
            enclosure: self.enclosure(article),
            language: article.language.clone().filter(|language| *language != feed.language),
        }
    }

    /// What an article brings along, with what is known of the file, under the URLs shown.
    pub(super) fn enclosure(&self, article: &Article) -> Option<Enclosure> {
        let mut enclosure = self.publication.media.of(article.enclosure.as_ref()?)?;
        let episode = &mut enclosure.episode;
        let persons = episode.persons.iter_mut().flat_map(|person| [person.image.as_mut(), person.url.as_mut()]);
        let several = persons.chain([episode.image.as_mut(), episode.chapters.as_mut()]).flatten();
        let transcripts = episode.transcripts.iter_mut().map(|transcript| &mut transcript.url);
        for url in several.chain(transcripts).chain([&mut enclosure.url]) {
            *url = self.shown(url);
        }
        Some(enclosure)
    }

    /// What podcast apps are told of a feed. Its identity follows from its public address, wherever it is shown.
    fn podcast(&self, feed: &Feed, podcast: &Podcast) -> Podcast {
        let address = || self.publication.config.urls().feed_file(&feed.name, "rss.xml");
        let guid = podcast.guid.clone().unwrap_or_else(|| guid_of(&address()).to_string());
        let mut podcast = Podcast { guid: Some(guid), ..podcast.clone() };
        let persons = podcast.persons.iter_mut().flat_map(|person| [person.image.as_mut(), person.url.as_mut()]);
        for url in persons.flatten().chain(podcast.funding.iter_mut().map(|funding| &mut funding.url)) {
            *url = self.shown(url);
        }
        podcast
    }

    /// Every feed, for `feeds.opml`.
    pub fn outlines(&self) -> Vec<OutlineFeed> {
        let outline = |feed: &Feed| OutlineFeed {
            title: feed.title.clone(),
            description: feed.description.clone(),
            xml_url: self.urls.feed_file(&feed.name, "atom.xml"),
            html_url: self.urls.feed(&feed.name),
            language: feed.language.clone(),
            categories: feed.select.section.iter().chain(&feed.select.tag).flat_map(AnyOf::words).cloned().collect(),
            created: None,
        };
        self.publication.feeds.iter().map(outline).collect()
    }

    /// A digest of these articles, for `reader`.
    ///
    /// Featured articles stand under "Don't miss", the others under "Latest posts", both newest first.
    pub fn digest(
        &self,
        feed: &Feed,
        digest: Option<&Digest>,
        articles: &[Released],
        reader: ReaderView,
        now: DateTime<Utc>,
    ) -> DigestView {
        let mut sorted: Vec<&Released> = articles.iter().collect();
        sorted.sort_by_key(|released| {
            (std::cmp::Reverse(released.article.date), std::cmp::Reverse(released.release.number))
        });
        let card = |released: &&Released| self.whole_card(&released.article);
        let featured: Vec<Card> = sorted.iter().filter(|released| released.article.featured).map(card).collect();
        let latest: Vec<Card> = sorted.iter().filter(|released| !released.article.featured).map(card).collect();
        let articles: Vec<Card> = featured.iter().chain(&latest).cloned().collect();
        let preheader = articles.first().map(|card| shorten(&card.summary, 140)).unwrap_or_default();
        let (language, dir) = self.language();
        let slot = digest.map_or(now, |digest| digest.key.slot);
        DigestView {
            language,
            dir,
            publication: self.publication(),
            newsletter: self.newsletter(feed),
            digest: DigestFacts {
                subject: String::new(),
                date: self.date(slot),
                date_iso: self.iso(slot),
                cadence: digest.and_then(|digest| digest.key.cadence).map(Cadence::as_str),
                count: articles.len(),
                preheader,
                note: digest.and_then(|digest| digest.note.clone()),
                web_url: digest
                    .filter(|_| feed.newsletter.as_ref().is_some_and(|newsletter| newsletter.archive))
                    .map(|digest| self.urls.in_archive(&feed.name, &digest.page)),
                shortened: false,
                left_out: 0,
            },
            featured,
            latest,
            headlines: vec![],
            articles,
            reader,
        }
    }

    /// A welcome to newsletters with their latest articles, for `reader`.
    pub fn welcome(
        &self,
        feeds: &[&Feed],
        articles: &[Released],
        reader: ReaderView,
        own_feed_url: &str,
    ) -> WelcomeView {
        let (language, dir) = self.language();
        let newsletter = match feeds {
            [only] => self.newsletter(only),
            several => NewsletterView {
                name: several.first().map(|feed| feed.name.to_string()).unwrap_or_default(),
                title: self.titles(several),
                description: String::new(),
                feed_url: self.urls.home(),
            },
        };
        WelcomeView {
            language,
            dir,
            publication: self.publication(),
            newsletter,
            articles: articles.iter().map(|released| self.whole_card(&released.article)).collect(),
            own_feed_url: own_feed_url.to_owned(),
            reader,
        }
    }

    /// The titles of feeds in a row.
    pub fn titles(&self, feeds: &[&Feed]) -> String {
        let titles: Vec<String> = feeds.iter().map(|feed| feed.title.clone()).collect();
        self.speech().names(&titles).unwrap_or_default()
    }
}

/// When an article came that bears an older date: the feed changed then, whatever its date says. What came as archive was
/// there, as far as anybody knows; so a store that is made anew gives the same feeds.
fn came_late(Released { article, release }: &Released) -> Option<DateTime<Utc>> {
    let is_late = !release.archive && release.at - article.changed_at() > TimeDelta::minutes(1);
    is_late.then_some(release.at)
}

/// The host of an absolute URL, for people.
fn host_of(url: &str) -> Option<&str> {
    let (_, behind) = url.split_once("://")?;
    let host = behind.split(['/', '?', '#']).next()?;
    let host = host.rsplit('@').next()?;
    Some(host.strip_prefix("www.").unwrap_or(host))
}

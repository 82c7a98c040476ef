//! Pages: everything that readers see in a browser, as HTML.

use super::present::{Linked, Presenter, Speech, Value};
use super::{Publication, TaskError};
use crate::domain::address::AddressFault;
use crate::domain::article::Released;
use crate::domain::feed::{Feed, FeedName};
use crate::domain::newsletter::Cadence;
use crate::problem::{Problem, printable};
pub use crate::template::view::Common;
use crate::template::view::{
    ActionView, ArticlePage, Card, ConsentText, FeedPage, FormView, GonePage, HiddenView, Home, LinkView, Notice,
    NoticeView, Page, PressPage, SnippetView, SubscribePage,
};
use crate::template::words::direction;

/// Articles on the home page.
const ON_HOME_PAGE: usize = 20;
/// Articles under "Don't miss" on the home page.
const FEATURED: usize = 4;
/// Articles where one was that is withdrawn.
const WHERE_ONE_WAS: usize = 6;

/// The home page: latest posts, don't miss, stay in touch.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn home_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
) -> Result<String, TaskError> {
    let latest = presenter.cards(&publication.store.newest(false, ON_HOME_PAGE).await?);
    let featured = presenter.cards(&publication.store.newest(true, FEATURED).await?);
    let site = &publication.config.publication;
    let description = site.description.as_deref().unwrap_or_default();
    let page = presenter.page("home", &site.title, description, presenter.urls.home(), None);
    Ok(publication.templates.page("home", &Page { common, page, form: None, own: Home { latest, featured } })?)
}

/// A feed's page: what it is, how to take it, what is in it.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn feed_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    feed: &Feed,
) -> Result<String, TaskError> {
    let entries = presenter.cards(&publication.store.newest_of(&feed.name, feed.limit).await?);
    let page =
        presenter.page("feed", &feed.title, &feed.description, presenter.urls.feed(&feed.name), Some(&feed.language));
    let mut shown = presenter.feed(feed);
    let has_archive = feed.newsletter.as_ref().is_some_and(|newsletter| newsletter.archive)
        && !publication.store.archive(&feed.name, None, 1).await?.is_empty();
    shown.archive_url = has_archive.then(|| presenter.urls.archive(&feed.name));
    let own = FeedPage { feed: shown, entries };
    Ok(publication.templates.page("feed", &Page { common, page, form: None, own })?)
}

/// One article's page; `None` where there is no such public article.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn article_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    slug: &str,
) -> Result<Option<String>, TaskError> {
    let Some(released) = publication.store.by_slug(slug).await? else { return Ok(None) };
    let (before, after) = publication.store.neighbours(&released.article).await?;
    let card = |released: Option<Released>| released.map(|released| presenter.card(&released.article));
    let (before, after) = (card(before), card(after));
    let released = [released];
    let linked = presenter.linked(&released).await?;
    let [released] = &released;
    Ok(Some(render_article(publication, presenter, common, released, &linked, before, after)?))
}

/// An article's page, with what it links to at hand.
///
/// # Errors
/// When the template cannot be rendered.
pub(super) fn render_article(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    released: &Released,
    linked: &Linked,
    before: Option<Card>,
    after: Option<Card>,
) -> Result<String, TaskError> {
    let article = &released.article;
    let url = presenter.canonical(article);
    let page = presenter.page("article", &article.title, &article.summary, url, article.language.as_deref());
    let own = ArticlePage { article: presenter.article(article, linked, before, after) };
    Ok(publication.templates.page("article", &Page { common, page, form: None, own })?)
}

/// The page where an article was that is withdrawn: what there is instead.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn gone_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
) -> Result<String, TaskError> {
    let latest = presenter.cards(&publication.store.newest(false, WHERE_ONE_WAS).await?);
    let page = presenter.page("notice", &presenter.speech().word("gone", &[]), "", String::new(), None);
    Ok(publication.templates.page("gone", &Page { common, page, form: None, own: GonePage { latest } })?)
}

/// The page at an address that the article `slug` had before, for those who serve files: it leads to the article.
///
/// # Errors
/// When the template cannot be rendered.
pub(super) fn moved_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    slug: &str,
) -> Result<String, TaskError> {
    let (title, url) = (presenter.speech().word("moved", &[]), presenter.urls.article(slug));
    let page = presenter.page("notice", &title, "", url, None);
    Ok(publication.templates.page("moved", &Page { common, page, form: None, own: () })?)
}

/// A short hash of a page, to see whether it changed.
pub fn fingerprint(html: &str) -> String {
    super::fingerprint([html])
}

/// What the sign-up form holds when it is shown.
#[derive(Debug, Clone, Default)]
pub struct FilledForm {
    /// As typed.
    pub address: String,
    /// As typed.
    pub name: String,
    /// As typed.
    pub time_zone: String,
    /// The feeds ticked, and how often each.
    pub chosen: Vec<(FeedName, Cadence)>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// Why an address is not taken, and what to do about it.
pub fn fault_of_address(speech: &Speech<'_>, fault: &AddressFault) -> String {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';');
    let key = match fault {
        AddressFault::Empty => "address_empty",
        AddressFault::NoAt => "address_no_at",
        AddressFault::SeveralAts => "address_several_ats",
        AddressFault::NoLocalPart => "address_no_local_part",
        AddressFault::LocalPartTooLong | AddressFault::TooLong => "address_long",
        AddressFault::Quoted => "address_quoted",
        AddressFault::Dots => "address_dots",
        AddressFault::Brackets => "address_more",
        AddressFault::Character(c) if is_around(*c) => "address_more",
        AddressFault::Character(c) => {
            let shown = printable(&c.to_string());
            return speech.word("address_character", &[("character", Value::Text(&shown))]);
        }
        AddressFault::NoDomain => "address_no_domain",
        AddressFault::IpAddress => "address_ip",
        AddressFault::NoDot => "address_no_dot",
        AddressFault::Domain(domain) => {
            let shown = printable(domain);
            return speech.word("address_domain", &[("domain", Value::Text(&shown))]);
        }
    };
    speech.word(key, &[])
}

/// The sign-up form on a page of its own.
///
/// # Errors
/// When the template cannot be rendered.
pub fn form_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    filled: FilledForm,
) -> Result<String, TaskError> {
    let speech = presenter.speech();
    let (title, description) = (speech.word("stay_in_touch", &[]), speech.word("subscribe_about", &[]));
    let page = presenter.page("subscribe", &title, &description, presenter.urls.at("/subscribe"), None);
    let FilledForm { address, name, time_zone, chosen, error } = filled;
    // What was chosen stands where the usual choice does.
    let mut common = common.clone();
    for feed in &mut common.feeds {
        if let Some((_, own)) = chosen.iter().find(|(name, _)| name.as_str() == feed.name) {
            feed.cadences.iter_mut().for_each(|cadence| cadence.default = cadence.value == own.as_str());
        }
    }
    let chosen = chosen.iter().map(|(name, _)| name.to_string()).collect();
    let form = Some(FormView { address, name, time_zone, time_zones: time_zones(), chosen, error });
    let own = SubscribePage { languages: presenter.languages(&presenter.urls.local("/subscribe")) };
    Ok(publication.templates.page("subscribe", &Page { common: &common, page, form, own })?)
}

/// The zones that people live in, by name.
fn time_zones() -> Vec<&'static str> {
    let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    zones.filter(|name| name.contains('/') && !name.starts_with("Etc/")).collect()
}

/// What the page with one button more brings along.
#[derive(Debug, Clone)]
pub struct Press<'a> {
    /// Where the message is going to.
    pub address: &'a str,
    /// What is agreed to.
    pub consent: &'a ConsentText,
    /// What was typed, and the pass, by field.
    pub hidden: Vec<(String, String)>,
}

/// The page with one button more, for whoever comes without the form's script.
///
/// # Errors
/// When the template cannot be rendered.
pub fn press_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    press: Press<'_>,
) -> Result<String, TaskError> {
    let heading = presenter.speech().word("ask_press_heading", &[]);
    let page = presenter.page("notice", &heading, "", String::new(), None);
    let own = PressPage {
        address: press.address.to_owned(),
        press_consent: press.consent.clone(),
        hidden: press.hidden.into_iter().map(|(name, value)| HiddenView { name, value }).collect(),
    };
    Ok(publication.templates.page("press", &Page { common, page, form: None, own })?)
}

/// The form for any other site.
#[derive(Debug, Clone, Copy)]
pub struct Snippet<'a> {
    /// What it offers; everything that comes by mail where this is empty.
    pub feeds: &'a [FeedName],
    /// Language of its words, if not the publication's.
    pub language: Option<&'a str>,
    /// Whether it brings the script that makes it answer in its place.
    pub script: bool,
}

/// The form as HTML, to be put into any page.
///
/// # Errors
/// When the template cannot be rendered.
pub fn snippet(publication: &Publication, wanted: Snippet<'_>) -> Result<String, Problem> {
    let urls = publication.config.live_urls();
    let language = wanted.language.unwrap_or(&publication.config.publication.language);
    let presenter = Presenter::new(publication, urls.clone()).speaking(language);
    let is_wanted =
        |feed: &&Feed| feed.newsletter.is_some() && (wanted.feeds.is_empty() || wanted.feeds.contains(&feed.name));
    let view = SnippetView {
        language: language.to_owned(),
        dir: direction(language),
        subscribe_url: urls.at("/subscribe"),
        chosen: publication.feeds.iter().filter(is_wanted).map(|feed| presenter.feed(feed)).collect(),
        consent: super::consent::text(publication, language),
        privacy_url: publication.config.form.privacy.as_ref().map(ToString::to_string),
        script_url: wanted.script.then(|| urls.at("/form.js")),
    };
    publication.templates.page("snippet", &view)
}

/// One thing to say to a reader: with a button that posts to a URL, and a link, where there are such.
#[derive(Debug, Clone, Default)]
pub struct Say<'a> {
    /// Heading.
    pub heading: &'a str,
    /// Plain text.
    pub text: &'a str,
    /// Where the button posts to, and what it says.
    pub button: Option<(String, &'a str)>,
    /// Where the link leads, and what it says.
    pub link: Option<(String, &'a str)>,
}

/// A page that says one thing.
///
/// # Errors
/// When the template cannot be rendered.
pub fn notice_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    say: Say<'_>,
) -> Result<String, TaskError> {
    let notice = NoticeView {
        heading: say.heading.to_owned(),
        text: say.text.to_owned(),
        action: say.button.map(|(url, label)| ActionView { url, label: label.to_owned() }),
        secondary: say.link.map(|(url, label)| LinkView { url, label: label.to_owned() }),
    };
    let page = presenter.page("notice", say.heading, "", String::new(), None);
    Ok(publication.templates.page("notice", &Page { common, page, form: None, own: Notice { notice } })?)
}

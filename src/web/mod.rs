//! What readers see over HTTP: pages, feeds, the form, and the signed pages behind the links in mail.
//!
//! GET and HEAD never change anything: link scanners fetch every URL in every mail. Feeds and stylesheets come from
//! memory; pages are rendered when they are asked for.

mod cache;
mod form;
mod hub;
mod leaving;
mod media;
mod own;
mod poller;
mod preferences;
mod pushed;
mod reader;
mod reply;
mod reports;
mod server;
mod shelves;
mod speech;
mod visitor;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{map_response, map_response_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tokio::sync::{Notify, Semaphore};

use crate::config::Urls;
use crate::domain::article::{Slug, Whereabouts, alias};
use crate::domain::feed::FeedName;
use crate::domain::limits::Limits;
use crate::domain::media::is_plain_path;
use crate::task::archive::Archive;
use crate::task::consent::{self, ConsentText};
use crate::task::own_feed::OwnFeeds;
use crate::task::pages::{self, Common};
use crate::task::present::Presenter;
use crate::task::publish::Site;
use crate::task::readers::Readers;
use crate::task::run::Changes;
use crate::task::shelves::served::Served;
use crate::task::sign_up::SignUps;
use crate::task::volumes::Volumes;
use crate::task::{Publication, TaskError};

use poller::Pollers;
use reply::{Failed, Failure, page, private};
pub use server::serve;
use speech::Voice;

/// What hubs bring that is read at a time; each may be as large as a feed.
const PUSHES: usize = 4;

/// Largest body of a form, in bytes.
const MAX_FORM: usize = 64 * 1024;

/// What the pages allow a browser to do: show our own styles and anyone's pictures, and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' https: data:; media-src 'self' https:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer bears that says nothing else.
const POLICIES: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
];

/// What every handler works with.
#[derive(Debug)]
pub struct App {
    /// The publication.
    pub publication: Publication,
    /// Feeds and stylesheets, swapped whole by a publish.
    pub site: Arc<ArcSwap<Site>>,
    /// Calls the sender's attention to something new.
    pub poke: Notify,
    /// Calls for a sync.
    pub changes: Arc<Changes>,
    /// What may be agreed to with the form.
    pub consents: Vec<ConsentText>,
    sign_ups: SignUps,
    limits: Mutex<Limits>,
    has_warned: AtomicBool,
    urls: Urls,
    common: Common,
    own_feeds: OwnFeeds,
    volumes: Volumes,
    shelves: Served,
    pollers: Pollers,
    /// Turns of those who read what hubs bring.
    pushes: Arc<Semaphore>,
    /// Who reads the feeds.
    pub readers: Readers,
    /// The same in the other languages that readers can have.
    others: Vec<Common>,
}

impl App {
    /// An application with nothing published yet.
    ///
    /// # Errors
    /// When what every page shows cannot be rendered.
    pub fn new(publication: Publication) -> Result<Self, TaskError> {
        let urls = publication.config.live_urls();
        let common = |language: &str| Presenter::new(&publication, urls.clone()).speaking(language).common();
        let languages = &publication.languages;
        let others = languages.iter().skip(1).map(common).collect::<Result<_, _>>()?;
        let common = common(languages.own())?;
        let form = &publication.config.form;
        Ok(Self {
            consents: consent::texts(&publication),
            sign_ups: SignUps::new(publication.clone()),
            limits: Mutex::new(Limits::new(form.per_network, form.overall)),
            has_warned: AtomicBool::new(false),
            pollers: Pollers::new(publication.config.feed_rules.per_poller),
            readers: Readers::new(&publication),
            pushes: Arc::new(Semaphore::new(PUSHES)),
            own_feeds: OwnFeeds::new(urls.clone()),
            volumes: Volumes::new(urls.clone()),
            shelves: Served::new(urls.clone(), publication.clock.now()),
            publication,
            site: Arc::default(),
            poke: Notify::new(),
            changes: Arc::default(),
            urls,
            common,
            others,
        })
    }

    fn presenter(&self) -> Presenter<'_> {
        Presenter::new(&self.publication, self.urls.clone())
    }

    /// What every page shows in the language at this place.
    fn common_in(&self, place: usize) -> &Common {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.common)
    }
}

/// Every route. Documents that are in memory were answered with before.
fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/articles/{slug}/", get(article))
        .route("/articles/{slug}", get(with_slash))
        .route("/feeds/{name}/", get(feed))
        .route("/feeds/{name}", get(with_slash))
        .route("/feeds/{name}/{file}", get(document))
        .route("/feeds/of/{token}/{file}", get(own::feed))
        .route("/feeds/{name}/archive/{number}/{file}", get(volume))
        .route("/digests/{name}/", get(archive))
        .route("/digests/{name}", get(with_slash))
        .route("/digests/{name}/{page}/", get(past_digest))
        .route("/digests/{name}/{page}", get(document_or_page))
        .route(crate::config::HUB, post(hub::ask))
        .route("/feeds.opml", get(document))
        .route("/style.css", get(document))
        .route("/feed.css", get(document))
        .route("/form.js", get(document))
        .route("/subscribe", get(form::form).post(form::sign_up))
        .route("/confirm/{token}", get(reader::ask_confirm).post(reader::confirm))
        .route("/unsubscribe/{token}", get(leaving::ask).post(leaving::leave))
        .route("/unsubscribe/{token}/reason", post(leaving::reason))
        .route("/back/{token}", get(leaving::ask_back).post(leaving::back))
        .route("/preferences/{token}", get(preferences::preferences).post(preferences::save))
        .route("/preferences/{token}/resume", post(preferences::resume))
        .route("/preferences/{token}/address", post(preferences::ask_move))
        .route("/preferences/{token}/feed", post(preferences::take_feed))
        .route("/preferences/{token}/own-feed", post(own::renewed))
        .route("/preferences/{token}/data", get(preferences::data))
        .route("/preferences/{token}/erase", get(preferences::ask_erase))
        .route("/erase/{token}", post(preferences::erase))
        .route("/address/{token}", get(preferences::ask_address).post(preferences::take_address))
        .route(&format!("{}{{token}}", crate::task::push::CALLBACK), get(pushed::hear))
        .merge(shelves::routes(app.publication.config.feed_rules.by))
        .route("/{*path}", get(static_file))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .merge(reports::routes())
        // Its body has a bound of its own.
        .route(
            &format!("{}{{token}}", crate::task::push::CALLBACK),
            post(pushed::take).layer(DefaultBodyLimit::disable()),
        )
        .layer(map_response_with_state(Arc::clone(&app), with_apology))
        .layer(map_response(with_policies))
        .with_state(app)
}

async fn with_policies(mut response: Response) -> Response {
    cache::with_policies(response.headers_mut());
    response
}

/// A failure as a page; as a line of text where even that fails.
async fn with_apology(State(app): State<Arc<App>>, response: Response) -> Response {
    if response.extensions().get::<Failed>().is_none() {
        return response;
    }
    Voice::own(&app).sorry().unwrap_or(response)
}

async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let presenter = app.presenter();
    Ok(page(pages::home_page(&app.publication, &presenter, &app.common).await?, &headers))
}

async fn article(
    State(app): State<Arc<App>>,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if Slug::from_text(&slug).is_none_or(|known| known.as_str() != slug) {
        return at_alias(&app, &format!("articles/{slug}")).await;
    }
    let presenter = app.presenter();
    match pages::article_page(&app.publication, &presenter, &app.common, &slug).await? {
        Some(html) => Ok(page(html, &headers)),
        None => absent(&app, &slug).await,
    }
}

/// What is said at an article's address where no article is.
async fn absent(app: &App, slug: &str) -> Result<Response, Failure> {
    match app.publication.store.whereabouts(slug).await? {
        Whereabouts::Unknown => at_alias(app, &format!("articles/{slug}")).await,
        // Relative, for whoever stands before us may serve this below a path of its own.
        Whereabouts::Moved(now) => {
            Ok((StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, format!("../{now}/"))]).into_response())
        }
        Whereabouts::Gone => gone(app).await,
    }
}

async fn gone(app: &App) -> Result<Response, Failure> {
    let html = pages::gone_page(&app.publication, &app.presenter(), &app.common).await?;
    Ok((StatusCode::GONE, private(html)).into_response())
}

/// What is said at a path where nothing is, but an article may say that it stood there before.
async fn at_alias(app: &App, path: &str) -> Result<Response, Failure> {
    let Some(path) = alias(path) else { return missing(app) };
    match app.publication.store.whereabouts_of_alias(&path).await? {
        Whereabouts::Unknown => missing(app),
        Whereabouts::Moved(now) => {
            let location = app.urls.local(&format!("/articles/{now}/"));
            Ok((StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response())
        }
        Whereabouts::Gone => gone(app).await,
    }
}

async fn feed(State(app): State<Arc<App>>, Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(feed) = FeedName::parse(&name).and_then(|name| app.publication.feed(&name).cloned()) else {
        return missing(&app);
    };
    let presenter = app.presenter();
    Ok(page(pages::feed_page(&app.publication, &presenter, &app.common, &feed).await?, &headers))
}

/// The newest digests of a newsletter.
async fn archive(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    in_archive(&app, &name, None, &headers).await
}

/// A digest that is out, or all of a year.
async fn past_digest(
    State(app): State<Arc<App>>,
    Path((name, page)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    in_archive(&app, &name, Some(&page), &headers).await
}

async fn in_archive(app: &App, name: &str, page: Option<&str>, headers: &HeaderMap) -> Result<Response, Failure> {
    let presenter = app.presenter();
    let feed = FeedName::parse(name).and_then(|name| app.publication.feed(&name));
    let Some(archive) = feed.and_then(|feed| Archive::of(&app.publication, &presenter, feed)) else {
        return missing(app);
    };
    let html = match page {
        None => archive.list_page(&app.common, None).await?,
        Some(year) if year.len() == 4 => archive.list_page(&app.common, Some(year)).await?,
        Some(page) => archive.digest_page(&app.common, page).await?,
    };
    match html {
        Some(html) => Ok(self::page(html, headers)),
        None => missing(app),
    }
}

/// A document of an archive, or one of its pages without its slash.
async fn document_or_page(state: State<Arc<App>>, uri: OriginalUri) -> Result<Response, Failure> {
    if uri.path().contains('.') {
        return document(state).await;
    }
    Ok(with_slash(uri).await.into_response())
}

/// The same address with its slash: pages stand in folders, as in `public/`.
async fn with_slash(uri: OriginalUri) -> Redirect {
    // Relative, for whoever stands before us may serve this below a path of its own; "./", lest it look like a scheme.
    Redirect::permanent(&format!("./{}/", uri.path().rsplit('/').next().unwrap_or_default()))
}

/// Where documents are: one that is there was answered with before any route was looked for.
async fn document(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    missing(&app)
}

/// A document of a feed's volume.
async fn volume(
    State(app): State<Arc<App>>,
    Path((feed, number, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    match app.volumes.find(&app.publication, &feed, &number, &file).await? {
        Some(document) => Ok(cache::answer(&document, &headers, app.publication.clock.now()).map(Body::new)),
        None => missing(&app),
    }
}

/// A file below `static/`, by the rules of `publish`: nothing hidden, and nothing that a link leads to.
async fn static_file(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    if is_plain_path(&path)
        && let Ok(root) = tokio::fs::canonicalize(&app.publication.config.static_files).await
        && let Ok(file) = tokio::fs::canonicalize(root.join(&path)).await
        && file == root.join(&path)
        && tokio::fs::metadata(&file).await.is_ok_and(|metadata| metadata.is_file())
        && let Ok(response) = media::answer(file, request).await
    {
        return Ok(response);
    }
    at_alias(&app, &path).await
}

/// What is not there may be there in a moment: nobody keeps this answer.
fn missing(app: &App) -> Result<Response, Failure> {
    Voice::own(app).missing()
}

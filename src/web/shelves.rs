//! Sections, tags and authors: their pages, and their feeds.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::poller::Poll;
use super::reply::{Failure, page as as_page};
use super::visitor::peer;
use super::{App, missing, static_file, with_slash};
use crate::domain::shelf::{Kind, Kinds};
use crate::task::shelves::{Shown, all, has_own_list, list_page};

/// The routes of those that there are.
pub(super) fn routes(kinds: Kinds) -> Router<Arc<App>> {
    Kind::ALL.into_iter().filter(|kind| kinds.has(*kind)).fold(Router::new(), |router, kind| {
        let folder = kind.folder();
        router
            .route(
                &format!("/{folder}/"),
                get(move |state: State<Arc<App>>, request: Request| list(state, kind, request)),
            )
            .route(&format!("/{folder}"), get(with_slash))
            .route(
                &format!("/{folder}/{{slug}}/"),
                get(move |state: State<Arc<App>>, slug: Path<String>, headers: HeaderMap| {
                    page(state, kind, slug, headers)
                }),
            )
            .route(&format!("/{folder}/{{slug}}"), get(with_slash))
            .route(
                &format!("/{folder}/{{slug}}/{{file}}"),
                get(move |state: State<Arc<App>>, place: Path<(String, String)>, request: Request| {
                    document(state, kind, place, request)
                }),
            )
    })
}

async fn list(State(app): State<Arc<App>>, kind: Kind, request: Request) -> Result<Response, Failure> {
    if has_own_list(&app.publication, kind) {
        return static_file(State(app), Path(format!("{}/index.html", kind.folder())), request).await;
    }
    let shelves = all(&app.publication).await?;
    Ok(as_page(list_page(&app.publication, &app.presenter(), &app.common, kind, &shelves)?, request.headers()))
}

async fn page(
    State(app): State<Arc<App>>,
    kind: Kind,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(shelf) = app.shelves.shelf(&app.publication, kind, &slug).await? else { return missing(&app) };
    let presenter = app.presenter();
    let shown = Shown::new(&app.publication, &presenter, &shelf);
    Ok(as_page(shown.page(&shown.articles().await?, &app.common)?, &headers))
}

/// One of its documents; or a file that stands there in `static/`.
async fn document(
    State(app): State<Arc<App>>,
    kind: Kind,
    Path((slug, file)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let published = app.site.load().revision;
    // One address for one document: under others in escapes it would be counted anew each time.
    let path = request.uri().path();
    let is_plain = path == format!("/{}/{slug}/{file}", kind.folder());
    let place = if is_plain { (kind, slug.as_str(), file.as_str()) } else { (kind, "", "") };
    match app.shelves.document(&app.publication, published, place).await? {
        Some(document) => {
            Ok(Poll::new(&app, peer(request.extensions()), &request).answer(&app, &document).map(Body::new))
        }
        None => static_file(State(app), Path(path.trim_start_matches('/').to_owned()), request).await,
    }
}

//! How handlers answer: pages, notices, and failures that tell a reader nothing of the machine.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::App;
use crate::task::TaskError;
use crate::template::view::{ActionView, LinkView, Notice, NoticeView, Page};

/// A page that any cache may keep for a minute.
pub(super) fn page(html: String) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"))], Html(html)).into_response()
}

/// A page that is one reader's: no cache keeps it, its address is told to nobody.
pub(super) fn private(html: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, Html(html)).into_response()
}

/// One thing to say, maybe with a button and a link.
pub(super) fn notice(
    app: &App,
    heading: &str,
    text: &str,
    action: Option<ActionView>,
    secondary: Option<(String, String)>,
) -> Result<String, TaskError> {
    let presenter = app.presenter();
    let common = presenter.common();
    let own = Notice {
        notice: NoticeView {
            heading: heading.to_owned(),
            text: text.to_owned(),
            action,
            secondary: secondary.map(|(url, label)| LinkView { url, label }),
        },
    };
    let page = presenter.page("notice", heading, "", String::new(), None);
    Ok(app.publication.templates.page("notice", &Page { common: &common, page, form: None, own })?)
}

/// A request that failed for a reason of ours.
#[derive(Debug)]
pub(super) struct Failure(TaskError);

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Self(error)
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error: &dyn std::error::Error = &self.0;
        tracing::error!(error, "a request failed");
        let text = "Something went wrong on our side. Please try again in a while.";
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

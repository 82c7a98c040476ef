//! The language of a page that is for one reader: theirs, if they came by a signed link and have one; else the one that
//! is asked for by `?lang=`; else the one that the browser prefers (RFC 9110 §12.5.4); else the publication's.
//!
//! A handler takes an [`Asked`] and makes a [`Voice`] of it, which has the words and answers with its headers.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::reply::{Failure, private};
use crate::domain::feed::FeedName;
use crate::domain::subscription::Subscriber;
use crate::task::pages::{Common, Say};
use crate::task::present::{Presenter, Speech, Value};

/// What a request says of languages.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// `?lang=`, or a form's field of that name.
    wish: Option<String>,
    /// `Accept-Language`.
    accepted: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let wish = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
        let accepted = parts.headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
        Ok(Self {
            wish: wish.map(|(_, wish)| wish.into_owned()),
            accepted: (!accepted.is_empty()).then(|| accepted.join(",")),
        })
    }
}

impl Asked {
    /// The same with what a form says: it holds the language in which it was shown.
    pub(super) fn or_in_form(self, field: &str) -> Self {
        if field.is_empty() { self } else { Self { wish: Some(field.to_owned()), ..self } }
    }

    /// How to speak to whoever asks; `reader` is who they are, where a signed link says so.
    pub(super) fn voice<'a>(&self, app: &'a App, reader: Option<&Subscriber>) -> Voice<'a> {
        let languages = &app.publication.languages;
        let of_reader = reader.and_then(|reader| languages.find(reader.language.as_deref()?));
        let wished = || languages.find(self.wish.as_deref()?);
        let accepted = || languages.accepted(self.accepted.as_deref()?);
        match of_reader.or_else(wished) {
            Some(place) => Voice::new(app, place, false),
            None => Voice::new(app, accepted().unwrap_or(0), true),
        }
    }
}

/// The same with the header that says which language it is in.
pub(super) fn spoken(mut response: Response, language: &str) -> Response {
    if let Ok(language) = HeaderValue::from_str(language) {
        response.headers_mut().insert(header::CONTENT_LANGUAGE, language);
    }
    response
}

/// One language of a publication's pages: what they need to be rendered in it, and how an answer in it looks.
#[derive(Debug)]
pub(super) struct Voice<'a> {
    app: &'a App,
    /// For the pages of [`crate::task::pages`].
    pub(super) presenter: Presenter<'a>,
    /// The same.
    pub(super) common: &'a Common,
    speech: Speech<'a>,
    language: &'a str,
    /// Whether another browser would have got another language.
    varies: bool,
}

impl<'a> Voice<'a> {
    fn new(app: &'a App, place: usize, varies: bool) -> Self {
        let language = app.publication.languages.at(place);
        let presenter = app.presenter().speaking(language);
        Self { app, speech: presenter.speech(), presenter, common: app.common_in(place), language, varies }
    }

    /// The publication's, for whom nothing is known of.
    pub(super) fn own(app: &'a App) -> Self {
        Self::new(app, 0, false)
    }

    /// The words.
    pub(super) fn speech(&self) -> &Speech<'a> {
        &self.speech
    }

    /// A word that has no places.
    pub(super) fn word(&self, key: &str) -> String {
        self.speech.word(key, &[])
    }

    /// A word with its places filled.
    pub(super) fn fill<const N: usize>(&self, key: &str, texts: [(&str, &str); N]) -> String {
        self.speech.word(key, &texts.map(|(place, text)| (place, Value::Text(text))))
    }

    /// What a subscriber's language is who is spoken to so: none where it is the publication's.
    pub(super) fn to_keep(&self) -> Option<String> {
        (self.language != self.app.publication.languages.own()).then(|| self.language.to_owned())
    }

    /// The titles of feeds in a row.
    pub(super) fn titles(&self, names: impl IntoIterator<Item = FeedName>) -> String {
        let title = |name: FeedName| {
            self.app.publication.feed(&name).map_or_else(|| name.to_string(), |feed| feed.title.clone())
        };
        self.speech.names(&names.into_iter().map(title).collect::<Vec<_>>()).unwrap_or_default()
    }

    /// A page in this language with the headers that say so.
    pub(super) fn headed(&self, response: Response) -> Response {
        let mut response = spoken(response, self.language);
        if self.varies {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-language"));
        }
        response
    }

    /// A page that is one reader's.
    pub(super) fn private(&self, html: String) -> Response {
        self.headed(private(html))
    }

    /// One thing to say to one reader.
    pub(super) fn say(&self, say: Say<'_>) -> Result<Response, Failure> {
        let app = self.app;
        let html = crate::task::pages::notice_page(&app.publication, &self.presenter, self.common, say)?;
        Ok(self.private(html))
    }

    /// What a link that is not good any more leads to.
    pub(super) fn stale(&self) -> Result<Response, Failure> {
        let (heading, text, label) = (self.word("stale"), self.word("stale_text"), self.word("stay_in_touch"));
        let link = Some((self.app.urls.local("/subscribe"), label.as_str()));
        let page = self.say(Say { heading: &heading, text: &text, link, ..Say::default() })?;
        Ok((StatusCode::NOT_FOUND, page).into_response())
    }

    /// There is nothing at an address.
    pub(super) fn missing(&self) -> Result<Response, Failure> {
        let (heading, text, label) = (self.word("missing"), self.word("missing_text"), self.word("to_home"));
        let link = Some((self.app.urls.home(), label.as_str()));
        let page = self.say(Say { heading: &heading, text: &text, link, ..Say::default() })?;
        Ok((StatusCode::NOT_FOUND, page).into_response())
    }

    /// Something failed for a reason of ours.
    pub(super) fn sorry(&self) -> Result<Response, Failure> {
        let (heading, text, label) = (self.word("failed"), self.word("failed_text"), self.word("to_home"));
        let link = Some((self.app.urls.home(), label.as_str()));
        let page = self.say(Say { heading: &heading, text: &text, link, ..Say::default() })?;
        Ok((StatusCode::INTERNAL_SERVER_ERROR, page).into_response())
    }
}

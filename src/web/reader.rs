//! The form, and the link that confirms what was asked for with it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::App;
use super::reply::{Failure, page, private};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Source};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Cadence;
use crate::domain::provider;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::{one_line, shorten};
use crate::task::confirm;
use crate::task::pages::{FilledForm, Say, form_page};

/// Longest name, in characters.
const MAX_NAME: usize = 100;

/// A form's fields, in their order; a name may come several times.
pub(super) type Fields = Form<Vec<(String, String)>>;

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim()).unwrap_or_default()
}

/// The feeds ticked, each with the cadence chosen for it, or its default.
pub(super) fn chosen(app: &App, fields: &[(String, String)]) -> Vec<(FeedName, Cadence)> {
    let ticked = |name: &str| fields.iter().any(|(field, value)| field == "feed" && value == name);
    let offered = app.publication.feeds.iter().filter_map(|feed| Some((feed, feed.newsletter.as_ref()?)));
    offered
        .filter(|(feed, _)| ticked(feed.name.as_str()))
        .map(|(feed, newsletter)| {
            let cadence = Cadence::parse(field(fields, &format!("cadence.{}", feed.name)));
            let cadence = cadence.filter(|cadence| newsletter.cadences.contains_key(cadence));
            (feed.name.clone(), cadence.unwrap_or(newsletter.default))
        })
        .collect()
}

pub(super) async fn form(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let chosen =
        match app.publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).collect::<Vec<_>>().as_slice() {
            [only] => vec![only.name.to_string()],
            _ => vec![],
        };
    let form = FilledForm { chosen, ..FilledForm::default() };
    Ok(page(form_page(&app.publication, &app.presenter(), &app.common, form)?, &headers))
}

pub(super) async fn sign_up(State(app): State<Arc<App>>, Form(fields): Fields) -> Result<Response, Failure> {
    let typed = field(&fields, "address");
    let feeds = chosen(&app, &fields);
    let address = EmailAddress::parse(typed);
    let error = match &address {
        Err(fault) => Some(format!("{fault}: {}.", fault.hint())),
        Ok(_) if feeds.is_empty() => Some("Please choose at least one feed.".to_owned()),
        Ok(address) => refusal(&app, address).map(str::to_owned),
    };
    let (Ok(address), None) = (address, &error) else {
        let form = FilledForm {
            address: shorten(typed, 254),
            name: shorten(field(&fields, "name"), MAX_NAME),
            chosen: feeds.iter().map(|(name, _)| name.to_string()).collect(),
            error: error.as_deref().map(capitalised),
        };
        return Ok((
            StatusCode::UNPROCESSABLE_ENTITY,
            private(form_page(&app.publication, &app.presenter(), &app.common, form)?),
        )
            .into_response());
    };
    // A person does not see this field, a robot fills it in; it is told the same as everyone.
    if field(&fields, "website").is_empty() {
        let name = Some(shorten(&one_line(field(&fields, "name")), MAX_NAME)).filter(|name| !name.is_empty());
        let id = SubscriberId::new(app.publication.clock.now());
        let subscriber = Subscriber { id, address: address.clone(), name, language: None, time_zone: None };
        confirm::subscribe(&app.publication, &subscriber, &feeds, SubscriptionState::Pending).await?;
        app.poke.notify_one();
    }
    let mut text = format!(
        "If {address} is not on the list yet, a message is on its way there. Open it and press its button: \
         then you are subscribed. It can take a few minutes; do look among the unwanted mail too."
    );
    if let Some(meant) = provider::probably_meant(&address) {
        let _ = write!(text, " Did you mean {meant}? Then please subscribe once more, with that address.");
    }
    let link = Some((app.urls.home(), "To the home page"));
    say(&app, Say { heading: "Check your mail", text: &text, link, ..Say::default() })
}

/// Why the form does not take an address, by what `[form]` says.
fn refusal(app: &App, address: &EmailAddress) -> Option<&'static str> {
    let form = &app.publication.config.form;
    if form.refuses_roles && provider::is_role(address) {
        return Some("Please give an address of your own: this one belongs to a role, not to a person.");
    }
    if form.refuses_disposable && form.disposable.hold(address) {
        return Some("Please give an address that you keep: mail to this one is soon lost.");
    }
    None
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The holder of a link, if the link is good and its person still there.
pub(super) async fn holder(app: &App, purpose: Purpose, token: &str) -> Result<Option<(Link, Subscriber)>, Failure> {
    let Some(link) = app.publication.keyring.verify(purpose, token, app.publication.clock.now()) else {
        return Ok(None);
    };
    Ok(app.publication.store.subscriber(link.subscriber).await?.map(|subscriber| (link, subscriber)))
}

/// One thing to say to one reader.
pub(super) fn say(app: &App, say: Say<'_>) -> Result<Response, Failure> {
    Ok(private(app.notice(say)?))
}

/// What a link that is not good any more leads to.
pub(super) fn stale(app: &App) -> Result<Response, Failure> {
    let text = "This link is not valid any more. It may have been cut off on its way, or have been used up.";
    let link = Some((app.urls.local("/subscribe"), "Stay in touch"));
    let page = say(app, Say { heading: "This link has run out", text, link, ..Say::default() })?;
    Ok((StatusCode::NOT_FOUND, page).into_response())
}

fn titles(app: &App, names: impl IntoIterator<Item = FeedName>) -> String {
    let titles: Vec<String> = names
        .into_iter()
        .map(|name| app.publication.feed(&name).map_or_else(|| name.to_string(), |feed| feed.title.clone()))
        .collect();
    crate::domain::text::join_names(&titles).unwrap_or_default()
}

pub(super) async fn ask_confirm(State(app): State<Arc<App>>, Path(token): Path<String>) -> Result<Response, Failure> {
    let Some((link, subscriber)) = holder(&app, Purpose::Confirm, &token).await? else { return stale(&app) };
    let subscriptions = app.publication.store.subscriptions_of(link.subscriber).await?;
    let pending: Vec<_> =
        subscriptions.into_iter().filter(|one| one.state == SubscriptionState::Pending).map(|one| one.feed).collect();
    if pending.is_empty() {
        return stale(&app);
    }
    let text = format!("Press the button to get {} by mail at {}.", titles(&app, pending), subscriber.address);
    let button = Some((app.urls.local(&format!("/confirm/{token}")), "Yes, subscribe me"));
    say(&app, Say { heading: "One press, and you are in", text: &text, button, ..Say::default() })
}

pub(super) async fn confirm(State(app): State<Arc<App>>, Path(token): Path<String>) -> Result<Response, Failure> {
    let Some((link, _)) = holder(&app, Purpose::Confirm, &token).await? else { return stale(&app) };
    let consent = Consent::new(Source::Form, app.publication.clock.now());
    let feeds = confirm::confirm(&app.publication, link.subscriber, consent).await?;
    if feeds.is_empty() {
        return stale(&app);
    }
    app.poke.notify_one();
    let feeds = titles(&app, feeds);
    let text = format!("{feeds} will come to you by mail from now on. Every message has a link to change or end that.");
    let preferences = Link { purpose: Purpose::Preferences, subscriber: link.subscriber, feed: None, expires_at: None };
    let preferences = app.urls.local(&format!("/preferences/{}", app.publication.keyring.sign(&preferences)));
    let link = Some((preferences, "Choose what comes, and how often"));
    say(&app, Say { heading: "You are subscribed", text: &text, link, ..Say::default() })
}

//! The form "Stay in touch": what it takes, from whom and how often, and what it answers.
//!
//! An answer says nothing of who is on the list: whether an address is new, known, pending, suppressed or over its limit,
//! the same is done and the same is said.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::json as object;

use super::App;
use super::reader::{Fields, MAX_NAME, chosen, field};
use super::reply::{Failure, json, page, private};
use super::visitor::Visitor;
use crate::domain::address::EmailAddress;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::pass::{Asked, Verdict};
use crate::domain::provider;
use crate::domain::subscription::{Subscriber, SubscriberId};
use crate::domain::text::{one_line, shorten};
use crate::task::pages::{FilledForm, Press, Say, form_page, press_page};
use crate::task::present::Value;
use crate::task::sign_up::{Consent, SignUp};

/// Longest text that is shown again of what somebody typed.
const MAX_SHOWN: usize = 254;

/// What somebody typed, read.
struct Typed {
    address: EmailAddress,
    name: Option<String>,
    feeds: Vec<(FeedName, Cadence)>,
    zone: Zone,
}

/// A time zone as it was typed, or guessed by a script.
enum Zone {
    Known(Tz),
    None,
    Unknown(String),
}

impl Zone {
    fn read(typed: &str) -> Self {
        if typed.is_empty() {
            return Self::None;
        }
        let known = chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(typed));
        known.map_or_else(|| Self::Unknown(shorten(&one_line(typed), MAX_NAME)), Self::Known)
    }
}

/// The form, with the feeds ticked that the address names: `/subscribe?feed=news&cadence.news=weekly`.
pub(super) async fn form(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Result<Response, Failure> {
    let query = uri.query().unwrap_or_default();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut chosen = chosen(&app, &fields);
    if chosen.is_empty()
        && let [only] = app.publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).collect::<Vec<_>>()[..]
    {
        chosen = only.newsletter.iter().map(|newsletter| (only.name.clone(), newsletter.default)).collect();
    }
    let form = FilledForm { chosen, ..FilledForm::default() };
    Ok(page(form_page(&app.publication, &app.presenter(), &app.common, form)?, &headers))
}

/// Takes the form: as a page, or as JSON for a script, on whichever site the form stands.
pub(super) async fn sign_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let as_json = wants_json(&headers);
    let mut response = answer(&app, visitor, &fields, as_json).await?;
    if as_json {
        // Anyone may ask and read the answer: it depends on nothing that a browser knows of its user.
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.trim_start().starts_with("application/json")
}

async fn answer(app: &App, visitor: Visitor, fields: &[(String, String)], as_json: bool) -> Result<Response, Failure> {
    let typed = match read(app, fields) {
        Ok(typed) => typed,
        Err(fault) => return faulty(app, fields, &fault, as_json),
    };
    let now = app.publication.clock.now();
    let limits = || app.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = limits().wait(visitor.network, now);
    if let Some(wait) = wait {
        return too_many(app, wait, as_json);
    }
    let key = typed.address.key();
    let (shown, pass) = (field(fields, "consent"), field(fields, "pass"));
    let consent = app.consents.iter().find(|text| text.version == shown);
    let verdict = consent.map_or(Verdict::Bad, |consent| {
        let asked = Asked { address_key: &key, consent: &consent.version };
        app.publication.keyring.judge(pass, field(fields, "work"), app.publication.config.form.work, asked, now)
    });
    let (Some(consent), Verdict::Good) = (consent, verdict) else {
        // Who agreed to a text that is not shown any more, or to one that we do not know, is shown ours.
        let asked =
            Asked { address_key: &key, consent: consent.map_or(&app.common.consent.version, |text| &text.version) };
        let pass = if verdict == Verdict::Early { pass.to_owned() } else { app.publication.keyring.pass(asked, now) };
        return press(app, &typed, fields, &pass, consent.is_some(), as_json);
    };
    let wait = limits().take(visitor.network, now);
    if let Some(wait) = wait {
        return too_many(app, wait, as_json);
    }
    // A person does not see this field, a robot fills it in; it is told the same as everyone.
    if field(fields, "website").is_empty() {
        let usual = app.publication.config.publication.time_zone;
        let subscriber = Subscriber {
            id: SubscriberId::new(now),
            address: typed.address.clone(),
            name: typed.name.clone(),
            language: None,
            time_zone: if let Zone::Known(zone) = typed.zone { Some(zone).filter(|zone| *zone != usual) } else { None },
        };
        let ip = visitor.ip.filter(|_| app.publication.config.form.keeps_ip);
        let consent = Consent { text_version: consent.version.clone(), ip };
        app.sign_ups.take(SignUp { subscriber, feeds: typed.feeds.clone(), consent }).await?;
        app.poke.notify_one();
    }
    asked(app, &typed, as_json)
}

/// What was typed, or what is wrong with it.
fn read(app: &App, fields: &[(String, String)]) -> Result<Typed, String> {
    let address = EmailAddress::parse(field(fields, "address"))
        .map_err(|fault| capitalised(&format!("{fault}: {}.", fault.hint())))?;
    let feeds = chosen(app, fields);
    if feeds.is_empty() {
        return Err("Please choose at least one feed.".to_owned());
    }
    if let Some(refusal) = refusal(app, &address) {
        return Err(refusal.to_owned());
    }
    let name = Some(shorten(&one_line(field(fields, "name")), MAX_NAME)).filter(|name| !name.is_empty());
    Ok(Typed { address, name, feeds, zone: Zone::read(field(fields, "time_zone")) })
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

/// The form again, with what was typed and what is wrong with it.
fn faulty(app: &App, fields: &[(String, String)], fault: &str, as_json: bool) -> Result<Response, Failure> {
    const STATUS: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    if as_json {
        return Ok((STATUS, json(&object!({ "state": "faulty", "text": fault }))).into_response());
    }
    let form = FilledForm {
        address: shorten(&one_line(field(fields, "address")), MAX_SHOWN),
        name: shorten(&one_line(field(fields, "name")), MAX_NAME),
        time_zone: shorten(&one_line(field(fields, "time_zone")), MAX_NAME),
        chosen: chosen(app, fields),
        error: Some(fault.to_owned()),
    };
    let page = private(form_page(&app.publication, &app.presenter(), &app.common, form)?);
    Ok((STATUS, page).into_response())
}

/// One button more, which a script presses by itself after some work, where it knows the text that is agreed to.
fn press(
    app: &App,
    typed: &Typed,
    fields: &[(String, String)],
    pass: &str,
    knows_text: bool,
    as_json: bool,
) -> Result<Response, Failure> {
    if as_json {
        let work = knows_text.then_some(app.publication.config.form.work);
        return Ok(json(&object!({ "state": "press", "pass": pass, "work": work })));
    }
    let consent = if knows_text { field(fields, "consent") } else { &app.common.consent.version };
    let consent = app.consents.iter().find(|text| text.version == consent).unwrap_or(&app.common.consent);
    let presenter = app.presenter();
    let mut hidden = vec![("address".to_owned(), typed.address.to_string())];
    hidden.extend(typed.name.clone().map(|name| ("name".to_owned(), name)));
    for (feed, cadence) in &typed.feeds {
        hidden.push(("feed".to_owned(), feed.to_string()));
        hidden.push((format!("cadence.{feed}"), cadence.to_string()));
    }
    for name in ["time_zone", "website"] {
        let value = shorten(&one_line(field(fields, name)), MAX_NAME);
        hidden.extend(Some((name.to_owned(), value)).filter(|(_, value)| !value.is_empty()));
    }
    hidden.push(("consent".to_owned(), consent.version.clone()));
    hidden.push(("pass".to_owned(), pass.to_owned()));
    let address = typed.address.to_string();
    let press = Press { address: &address, consent, hidden };
    Ok(private(press_page(&app.publication, &presenter, &app.common, press)?))
}

/// Somebody, or everybody, asks too often.
fn too_many(app: &App, wait: TimeDelta, as_json: bool) -> Result<Response, Failure> {
    let seconds = (wait + TimeDelta::milliseconds(999)).num_seconds().max(1);
    let presenter = app.presenter();
    let speech = presenter.speech();
    let heading = speech.word("ask_wait_heading", &[]);
    let minutes = (seconds + 59) / 60;
    let text = speech.word("ask_wait_text", &[("count", Value::Number(minutes))]);
    let body = if as_json {
        json(&object!({ "state": "wait", "heading": heading, "text": text, "seconds": seconds }))
    } else {
        private(app.notice(Say { heading: &heading, text: &text, ..Say::default() })?)
    };
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, body).into_response())
}

/// What everyone is told who asked.
fn asked(app: &App, typed: &Typed, as_json: bool) -> Result<Response, Failure> {
    let heading = "Check your mail";
    let address = &typed.address;
    let mut text = format!(
        "If {address} is not on the list yet, a message is on its way there. Open it and press its button: \
         then you are subscribed. It can take a few minutes; do look among the unwanted mail too."
    );
    if let Some(meant) = provider::probably_meant(address) {
        let _ = write!(text, " Did you mean {meant}? Then please subscribe once more, with that address.");
    }
    if let Zone::Unknown(zone) = &typed.zone {
        let usual = app.publication.config.publication.time_zone.name();
        let values = [("zone", Value::Text(zone)), ("usual", Value::Text(usual))];
        let _ = write!(text, " {}", app.presenter().speech().word("ask_zone_unknown", &values));
    }
    if as_json {
        return Ok(json(&object!({ "state": "asked", "heading": heading, "text": text })));
    }
    let link = Some((app.urls.home(), "To the home page"));
    Ok(private(app.notice(Say { heading, text: &text, link, ..Say::default() })?))
}

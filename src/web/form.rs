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
use super::reader::{Fields, chosen, field};
use super::reply::{Failure, json, page};
use super::speech::{Asked, Voice};
use super::visitor::Visitor;
use crate::domain::address::EmailAddress;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::pass::{self, Verdict};
use crate::domain::provider;
use crate::domain::subscription::{MAX_NAME, Subscriber, SubscriberId};
use crate::domain::text::{one_line, shorten};
use crate::task::consent::ConsentText;
use crate::task::pages::{FilledForm, Press, Say, fault_of_address, form_page, press_page};
use crate::task::present::Value;
use crate::task::sign_up::{Agreed, SignUp};

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
pub(super) async fn form(
    State(app): State<Arc<App>>,
    asked: Asked,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let query = uri.query().unwrap_or_default();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut chosen = chosen(&app, &fields);
    if chosen.is_empty()
        && let [only] = app.publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).collect::<Vec<_>>()[..]
    {
        chosen = only.newsletter.iter().map(|newsletter| (only.name.clone(), newsletter.default)).collect();
    }
    let form = FilledForm { chosen, ..FilledForm::default() };
    let voice = asked.voice(&app, None);
    Ok(voice.headed(page(form_page(&app.publication, &voice.presenter, voice.common, form)?, &headers)))
}

/// Takes the form: as a page, or as JSON for a script, on whichever site the form stands.
pub(super) async fn sign_up(
    State(app): State<Arc<App>>,
    asked: Asked,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let as_json = wants_json(&headers);
    let voice = asked.or_in_form(field(&fields, "lang")).voice(&app, None);
    let mut response = voice.headed(answer(&app, &voice, visitor, &fields, as_json).await?);
    if as_json {
        // Anyone may ask and read the answer: it depends on nothing that a browser knows of its user.
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.trim_start().starts_with("application/json")
}

async fn answer(
    app: &App,
    voice: &Voice<'_>,
    visitor: Visitor,
    fields: &[(String, String)],
    as_json: bool,
) -> Result<Response, Failure> {
    let typed = match read(app, voice, fields) {
        Ok(typed) => typed,
        Err(fault) => return faulty(app, voice, fields, fault, as_json),
    };
    let now = app.publication.clock.now();
    let limits = || app.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = limits().wait(visitor.network.as_ref(), now);
    if let Some(wait) = wait {
        return too_many(voice, wait, as_json);
    }
    let key = typed.address.key();
    let (shown, pass) = (field(fields, "consent"), field(fields, "pass"));
    let consent = app.consents.iter().find(|text| text.version == shown);
    let verdict = consent.map_or(Verdict::Bad, |consent| {
        let asked = pass::Asked { address_key: &key, consent: &consent.version };
        app.publication.keyring.judge(pass, field(fields, "work"), app.publication.config.form.work, asked, now)
    });
    let (Some(consent), Verdict::Good) = (consent, verdict) else {
        // Who agreed to a text that is not shown any more, or to one that we do not know, is shown ours.
        let text = consent.unwrap_or(&voice.common.consent);
        let asked = pass::Asked { address_key: &key, consent: &text.version };
        let pass = if verdict == Verdict::Early { pass.to_owned() } else { app.publication.keyring.pass(asked, now) };
        if as_json {
            // A script does the work by itself only for a text that was shown.
            let work = consent.map(|_| app.publication.config.form.work);
            return Ok(json(&object!({ "state": "press", "pass": pass, "work": work })));
        }
        return press(app, voice, &typed, fields, &pass, text);
    };
    let wait = limits().take(visitor.network, now);
    if let Some(wait) = wait {
        return too_many(voice, wait, as_json);
    }
    // A person does not see this field, a robot fills it in; it is told the same as everyone.
    if field(fields, "website").is_empty() {
        let usual = app.publication.config.publication.time_zone;
        let subscriber = Subscriber {
            id: SubscriberId::new(now),
            address: typed.address.clone(),
            name: typed.name.clone(),
            language: voice.to_keep(),
            time_zone: if let Zone::Known(zone) = typed.zone { Some(zone).filter(|zone| *zone != usual) } else { None },
        };
        let ip = visitor.ip.filter(|_| app.publication.config.form.keeps_ip);
        let agreed = Agreed { text_version: consent.version.clone(), ip };
        app.sign_ups.take(SignUp { subscriber, feeds: typed.feeds.clone(), agreed }).await?;
        app.poke.notify_one();
    }
    will_write(app, voice, &typed, as_json)
}

/// What was typed, or what is wrong with it.
fn read(app: &App, voice: &Voice<'_>, fields: &[(String, String)]) -> Result<Typed, String> {
    let address =
        EmailAddress::parse(field(fields, "address")).map_err(|fault| fault_of_address(voice.speech(), &fault))?;
    let feeds = chosen(app, fields);
    if feeds.is_empty() {
        return Err(voice.word("choose_feed"));
    }
    if let Some(refusal) = refusal(app, &address) {
        return Err(voice.word(refusal));
    }
    let name = Some(shorten(&one_line(field(fields, "name")), MAX_NAME)).filter(|name| !name.is_empty());
    Ok(Typed { address, name, feeds, zone: Zone::read(field(fields, "time_zone")) })
}

/// The word that says why the form does not take an address, by what `[form]` says.
fn refusal(app: &App, address: &EmailAddress) -> Option<&'static str> {
    let form = &app.publication.config.form;
    if form.refuses_roles && provider::is_role(address) {
        return Some("refused_role");
    }
    if form.refuses_disposable && form.disposable.hold(address) {
        return Some("refused_disposable");
    }
    None
}

/// The form again, with what was typed and what is wrong with it.
fn faulty(
    app: &App,
    voice: &Voice<'_>,
    fields: &[(String, String)],
    fault: String,
    as_json: bool,
) -> Result<Response, Failure> {
    const STATUS: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    if as_json {
        return Ok((STATUS, json(&object!({ "state": "faulty", "text": fault }))).into_response());
    }
    let form = FilledForm {
        address: shorten(&one_line(field(fields, "address")), MAX_SHOWN),
        name: shorten(&one_line(field(fields, "name")), MAX_NAME),
        time_zone: shorten(&one_line(field(fields, "time_zone")), MAX_NAME),
        chosen: chosen(app, fields),
        error: Some(fault),
    };
    let page = voice.private(form_page(&app.publication, &voice.presenter, voice.common, form)?);
    Ok((STATUS, page).into_response())
}

/// One button more, under the text that is agreed to.
fn press(
    app: &App,
    voice: &Voice<'_>,
    typed: &Typed,
    fields: &[(String, String)],
    pass: &str,
    consent: &ConsentText,
) -> Result<Response, Failure> {
    let mut hidden = vec![("address".to_owned(), typed.address.to_string())];
    hidden.extend(typed.name.clone().map(|name| ("name".to_owned(), name)));
    for (feed, cadence) in &typed.feeds {
        hidden.push(("feed".to_owned(), feed.to_string()));
        hidden.push((format!("cadence.{feed}"), cadence.to_string()));
    }
    for name in ["time_zone", "website", "lang"] {
        let value = shorten(&one_line(field(fields, name)), MAX_NAME);
        hidden.extend(Some((name.to_owned(), value)).filter(|(_, value)| !value.is_empty()));
    }
    hidden.push(("consent".to_owned(), consent.version.clone()));
    hidden.push(("pass".to_owned(), pass.to_owned()));
    let address = typed.address.to_string();
    let press = Press { address: &address, consent, hidden };
    Ok(voice.private(press_page(&app.publication, &voice.presenter, voice.common, press)?))
}

/// Somebody, or everybody, asks too often.
fn too_many(voice: &Voice<'_>, wait: TimeDelta, as_json: bool) -> Result<Response, Failure> {
    let seconds = (wait + TimeDelta::milliseconds(999)).num_seconds().max(1);
    let heading = voice.word("ask_wait_heading");
    let minutes = (seconds + 59) / 60;
    let text = voice.speech().word("ask_wait_text", &[("count", Value::Number(minutes))]);
    let body = if as_json {
        json(&object!({ "state": "wait", "heading": heading, "text": text, "seconds": seconds }))
    } else {
        voice.say(Say { heading: &heading, text: &text, ..Say::default() })?
    };
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, body).into_response())
}

/// What everyone is told who asked.
fn will_write(app: &App, voice: &Voice<'_>, typed: &Typed, as_json: bool) -> Result<Response, Failure> {
    let heading = voice.word("check_mail");
    let address = &typed.address;
    let mut text = voice.fill("check_mail_text", [("address", address.as_str())]);
    if let Some(meant) = provider::probably_meant(address) {
        let _ = write!(text, " {}", voice.fill("mistyped", [("address", meant.as_str())]));
    }
    if let Zone::Unknown(zone) = &typed.zone {
        let usual = app.publication.config.publication.time_zone.name();
        let _ = write!(text, " {}", voice.fill("ask_zone_unknown", [("zone", zone), ("usual", usual)]));
    }
    if as_json {
        return Ok(json(&object!({ "state": "asked", "heading": heading, "text": text })));
    }
    let label = voice.word("to_home");
    let link = Some((app.urls.home(), label.as_str()));
    voice.say(Say { heading: &heading, text: &text, link, ..Say::default() })
}

//! What needs an editor, told by mail and by a webhook: each once, with its reason and the way on.
//!
//! It is noted in the store where it happens; whichever process looks first tells of it. What was not taken is tried
//! again with longer and longer waits, and not told at all once it is of no use any more.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::dispatch::{describe, mailers};
use super::present::Presenter;
use super::{Publication, TaskError, chain};
use crate::config::Webhook;
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::delivery::{Fault, Outcome, fault};
use crate::domain::digest::{Digest, DigestState, Tally};
use crate::domain::newsletter::Cadence;
use crate::domain::notice::{NoticeKind, wait_after};
use crate::fetch::{Limits, Reach, Request, signature};
use crate::mail::message::{self, Kind, Letter};
use crate::problem::printable;
use crate::store::{Noted, Telling};
use crate::template::view::{FactView, NoticeFacts, NoticeMail, StepView};

/// For how long a process has what it is about to tell: longer than a relay may take.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// Digests whose commands stand in one notice; there is a command for the list of all.
const NAMED: usize = 8;
const WEBHOOK: &str = "webhook";
/// How long a webhook may take: as long as the usual senders of webhooks wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// The header with the HMAC-SHA-256 (RFC 2104) of what is posted, as `sha256=` and hexadecimal digits.
const SIGNATURE: &str = "tidings-signature";

/// Tells of what happened since the last time, and again of what was not taken. Returns how many notices were taken.
///
/// # Errors
/// When the store fails. Whoever does not take a notice is logged and tried again later.
pub async fn tell(publication: &Publication) -> Result<u64, TaskError> {
    let (store, now) = (&publication.store, publication.clock.now());
    let editors = &publication.config.editors;
    store.note_absences(now - TimeDelta::from_std(editors.away_after).unwrap_or(TimeDelta::MAX)).await?;
    spread(publication, now).await?;
    let mut told = 0;
    for telling in store.claim_tellings(now + LEASE, now).await? {
        let Some(news) = News::gather(publication, telling.notice).await? else {
            // Somebody went on with it before anybody was told.
            store.drop_telling(&telling).await?;
            continue;
        };
        match reach(publication, &news, &telling).await? {
            Reached::Yes => {
                store.was_told(&telling, now).await?;
                told += 1;
            }
            Reached::Never(why) => {
                tracing::error!(notice = telling.notice, why = %printable(&why), "an editor cannot be told");
                store.drop_telling(&telling).await?;
            }
            Reached::NotNow(why) => {
                let wait = TimeDelta::from_std(wait_after(telling.attempts)).unwrap_or(LEASE);
                let life = TimeDelta::from_std(publication.config.mail.retry.life).unwrap_or(TimeDelta::MAX);
                let is_over = now - telling.first_at > life;
                tracing::warn!(notice = telling.notice, why = %printable(&why), is_over, "an editor was not told yet");
                if is_over {
                    store.drop_telling(&telling).await?;
                } else {
                    store.tell_later(&telling, now + wait).await?;
                }
            }
        }
    }
    Ok(told)
}

/// Sets off what nobody was told of: what happened to digests of one newsletter at once is one notice.
async fn spread(publication: &Publication, now: DateTime<Utc>) -> Result<(), TaskError> {
    let editors = &publication.config.editors;
    let mut channels: Vec<String> = editors.notify.iter().map(|address| format!("mail:{address}")).collect();
    channels.extend(editors.webhook.as_ref().map(|_| WEBHOOK.to_owned()));
    let mut groups: BTreeMap<(NoticeKind, String), Vec<i64>> = BTreeMap::new();
    for noted in publication.store.untold().await? {
        let digest = match noted.digest {
            Some(digest) => publication.store.digest(digest).await?,
            None => None,
        };
        let newsletter = digest.map(|digest| digest.key.newsletter.to_string()).unwrap_or_default();
        if noted.kind != NoticeKind::Ready {
            tracing::warn!(
                event = noted.kind.as_str(),
                digest = noted.digest.map(tracing::field::display),
                relay = noted.relay,
                why = %printable(&noted.why),
                "this needs an editor"
            );
        }
        groups.entry((noted.kind, newsletter)).or_default().push(noted.number);
    }
    for numbers in groups.into_values() {
        publication.store.spread(&numbers, &channels, now).await?;
    }
    Ok(())
}

/// How an attempt to tell ended.
enum Reached {
    Yes,
    NotNow(String),
    Never(String),
}

async fn reach(publication: &Publication, news: &News, telling: &Telling) -> Result<Reached, TaskError> {
    let editors = &publication.config.editors;
    if telling.channel == WEBHOOK {
        let Some(webhook) = &editors.webhook else { return Ok(Reached::Never("no webhook is configured".into())) };
        let reached = post(publication, webhook, news.json(publication, telling)).await;
        return Ok(reached.map_or_else(|why| Reached::NotNow(format!("the webhook: {why}")), |()| Reached::Yes));
    }
    let address = telling.channel.strip_prefix("mail:").and_then(|address| EmailAddress::parse(address).ok());
    match address.filter(|address| editors.notify.contains(address)) {
        Some(address) => mail(publication, news, telling, &address).await,
        None => Ok(Reached::Never("the address is not configured any more".into())),
    }
}

/// Posts JSON to a webhook, signed where it has a secret.
///
/// # Errors
/// Whatever is not an answer of 200 to 299 in time, in words.
pub async fn post(publication: &Publication, webhook: &Webhook, body: Vec<u8>) -> Result<(), String> {
    let mut request = Request::post(webhook.url.clone(), "application/json", body.clone())
        .within(Reach::of(webhook.may_be_private, "editors.webhook_private = true"))
        .trusting(webhook.authority.clone())
        .limited(Limits { whole: PATIENCE, ..Limits::default() })
        .without_body();
    if let Some(secret) = &webhook.secret {
        request = request.header(SIGNATURE, &signature(secret.reveal().as_bytes(), &body));
    }
    match publication.fetcher.fetch(request).await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.status)),
        Err(error) => Err(chain(&error)),
    }
}

/// By the first relay that takes it, or into the outbox.
async fn mail(
    publication: &Publication,
    news: &News,
    telling: &Telling,
    to: &EmailAddress,
) -> Result<Reached, TaskError> {
    let config = &publication.config;
    let presenter = Presenter::new(publication, config.live_urls());
    let view = NoticeMail { publication: presenter.publication(), notice: news.facts() };
    let bodies = publication.templates.mail("notice", &view)?;
    let whom = &super::fingerprint([to.as_str()])[..8];
    let file_stem = format!("notice-{}-{}-{whom}", telling.notice, telling.first_at.timestamp());
    let letter = Letter {
        from: &config.mail.from,
        reply_to: config.mail.reply_to.as_ref(),
        to: &Mailbox::new(None, to.clone()),
        subject: &view.notice.heading,
        text: &bodies.text,
        html: &bodies.html,
        // Whatever is tried again has the same.
        message_id: &format!("{file_stem}@{}", config.host()),
        date: publication.clock.now(),
        kind: Kind::Notice,
    };
    let from = &config.mail.from.address;
    let bytes = publication.sign(from, None, message::bytes(&letter)?)?;
    let mut why = "no relay is there".to_owned();
    for mut mailer in mailers(publication) {
        let outcome = match mailer.connect().await.map(drop) {
            Ok(()) => mailer.send(from.as_str(), to, &file_stem, &bytes).await,
            Err(outcome) => outcome,
        };
        mailer.close().await;
        match outcome {
            // Where no answer came after the message it is taken for sent: a notice too many helps nobody.
            Outcome::Accepted { .. } | Outcome::Unknown { .. } => return Ok(Reached::Yes),
            Outcome::Refused { .. } if fault(&outcome) == Some(Fault::Address) => {
                return Ok(Reached::Never(describe(&outcome)));
            }
            Outcome::Refused { .. } | Outcome::Deferred { .. } => why = describe(&outcome),
        }
    }
    Ok(Reached::NotNow(why))
}

/// What is told, as far as it still holds.
struct News {
    kind: NoticeKind,
    title: String,
    digests: Vec<(Noted, Digest, Tally)>,
    relays: Vec<(Noted, DateTime<Utc>)>,
    /// Feeds elsewhere that are there no more, since when.
    sources: Vec<(Noted, DateTime<Utc>)>,
    zone: chrono_tz::Tz,
}

impl News {
    /// What the notice tells; `None` where nothing of it holds any more.
    async fn gather(publication: &Publication, leader: i64) -> Result<Option<Self>, TaskError> {
        let store = &publication.store;
        let (mut digests, mut relays, mut title, mut kind) = (vec![], vec![], String::new(), None);
        let mut sources = vec![];
        let absences = store.absences().await?;
        for noted in store.told_by(leader).await? {
            kind = Some(noted.kind);
            if let Some(id) = noted.digest
                && let Some(digest) = store.digest(id).await?
            {
                let still = match &digest.state {
                    DigestState::Halted { .. } => noted.kind == NoticeKind::Halted,
                    DigestState::Held { until: None, .. } => noted.kind == NoticeKind::Held,
                    DigestState::Held { until: Some(_), .. } => noted.kind == NoticeKind::Ready,
                    _ => false,
                };
                if still {
                    let feed = publication.feed(&digest.key.newsletter);
                    title = feed.map_or_else(|| digest.key.newsletter.to_string(), |feed| feed.title.clone());
                    let tally = store.tally(id).await?;
                    digests.push((noted, digest, tally));
                }
            } else if let (NoticeKind::Source, Some(name)) = (noted.kind, &noted.relay) {
                let is_configured = publication.config.sources.iter().any(|source| source.name == *name);
                let gone = store.remotes().await?.into_iter().find(|remote| remote.name == *name);
                let gone = gone.and_then(|remote| remote.gone_at).filter(|_| is_configured);
                sources.extend(gone.map(|at| (noted, at)));
            } else if let Some(relay) = &noted.relay {
                let is_configured = publication.config.relays.iter().any(|known| known.host == *relay);
                let absence = absences.iter().find(|absence| absence.relay == *relay).filter(|_| is_configured);
                if let Some(absence) = absence {
                    relays.push((noted, absence.since));
                }
            }
        }
        let zone = publication.config.publication.time_zone;
        let news = kind.map(|kind| Self { kind, title, digests, relays, sources, zone });
        Ok(news.filter(|news| !(news.digests.is_empty() && news.relays.is_empty() && news.sources.is_empty())))
    }

    fn on(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.zone).format("%-d %B %Y %H:%M").to_string()
    }

    fn heading(&self) -> String {
        let word = match self.kind {
            NoticeKind::Halted => "Halted",
            NoticeKind::Held => "Held",
            NoticeKind::Ready => "About to go out",
            NoticeKind::Relay => {
                let relays: Vec<&str> = self.relays.iter().filter_map(|(noted, _)| noted.relay.as_deref()).collect();
                return format!("Away: {}", relays.join(", "));
            }
            NoticeKind::Source => {
                let sources: Vec<&str> = self.sources.iter().filter_map(|(noted, _)| noted.relay.as_deref()).collect();
                return format!("Gone: {}", sources.join(", "));
            }
        };
        match self.digests.as_slice() {
            [(_, digest, _)] => format!("{word}: {}, {}", self.title, self.on(digest.key.slot)),
            several => format!("{word}: {}, {} digests", self.title, several.len()),
        }
    }

    fn text(&self) -> String {
        let sum = |of: fn(&Tally) -> u64| self.digests.iter().map(|(_, _, tally)| of(tally)).sum::<u64>();
        let readers = |number: u64| if number == 1 { "one reader".to_owned() } else { format!("{number} readers") };
        match self.kind {
            NoticeKind::Halted => format!(
                "It stopped by itself when {} of {} had it. Nobody is lost: it goes on where it was once you say so.",
                sum(|tally| tally.sent),
                readers(sum(|tally| tally.total()))
            ),
            NoticeKind::Held => {
                format!(
                    "It is ready, and goes to {} once you say so. Until then nobody gets it.",
                    readers(sum(|tally| tally.total()))
                )
            }
            NoticeKind::Ready => {
                let readers = readers(sum(|tally| tally.total()));
                let mut times: Vec<_> =
                    self.digests.iter().filter_map(|(_, digest, _)| digest.state.held_until()).collect();
                times.sort_unstable();
                let when = match times.as_slice() {
                    [first, .., last] if first != last => format!("between {} and {}", self.on(*first), self.on(*last)),
                    _ => times.first().map(|at| format!("on {}", self.on(*at))).unwrap_or_default(),
                };
                format!("It is ready, and goes to {readers} by itself {when}, unless you cancel it before.")
            }
            NoticeKind::Relay => {
                "Nothing has gone out by it for long. Nobody is lost: what waits for it goes out when \
                                  it answers again, or by another relay."
                    .to_owned()
            }
            NoticeKind::Source => "This feed says that it is there no more, and is not asked again. What came from it \
                                   stays where it is."
                .to_owned(),
        }
    }

    /// Each reason once.
    fn why(&self) -> String {
        let noted = self.digests.iter().map(|(noted, ..)| noted).chain(self.relays.iter().map(|(noted, _)| noted));
        let noted = noted.chain(self.sources.iter().map(|(noted, _)| noted));
        let mut reasons: Vec<String> = vec![];
        for noted in noted {
            let why = printable(&noted.why);
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        reasons.join("\n")
    }

    fn facts(&self) -> NoticeFacts {
        let fact = |name: &str, value: String| FactView { name: name.to_owned(), value };
        let mut facts = vec![];
        for (_, digest, tally) in self.digests.iter().take(NAMED) {
            let cadence = digest.key.cadence.map_or("every cadence", Cadence::as_str);
            facts.push(fact("Digest", format!("{} ({cadence}), {}", self.on(digest.key.slot), digest.id)));
            match digest.state.held_until() {
                Some(at) => facts.push(fact("Goes out", format!("{}, to {}", self.on(at), tally.total()))),
                None => facts.push(fact("Sent", format!("{} of {}", tally.sent, tally.total()))),
            }
        }
        for (noted, since) in &self.relays {
            facts.push(fact("Relay", noted.relay.clone().unwrap_or_default()));
            facts.push(fact("Away since", self.on(*since)));
        }
        for (noted, since) in &self.sources {
            facts.push(fact("Source", noted.relay.clone().unwrap_or_default()));
            facts.push(fact("Gone since", self.on(*since)));
        }
        NoticeFacts { heading: self.heading(), text: self.text(), why: Some(self.why()), facts, steps: self.steps() }
    }

    /// The way on, the likeliest first.
    fn steps(&self) -> Vec<StepView> {
        let step = |what: &str, command: String| StepView { what: what.to_owned(), command: Some(command), url: None };
        let mut steps = vec![];
        for (_, digest, _) in self.digests.iter().take(NAMED) {
            let id = digest.id;
            if self.kind == NoticeKind::Halted {
                steps.push(step("Mend what is named above, then let it go on:", format!("tidings digest resume {id}")));
                steps.push(step("What was said of its mail:", format!("tidings digest show {id}")));
            } else if self.kind == NoticeKind::Ready {
                steps.push(step("Look at it:", format!("tidings digest show {id}")));
                steps.push(step(
                    "Cancel it; its articles come with the next one:",
                    format!("tidings digest cancel {id}"),
                ));
                steps.push(step("Let it go out now:", format!("tidings digest approve {id}")));
                steps.push(step("Or at another time:", format!("tidings digest reschedule {id} \"YYYY-MM-DD HH:MM\"")));
                continue;
            } else {
                steps.push(step("Look at it:", format!("tidings digest show {id}")));
                steps.push(step("Let it go out:", format!("tidings digest approve {id}")));
                steps.push(step(
                    "Let it go out by itself later:",
                    format!("tidings digest reschedule {id} \"YYYY-MM-DD HH:MM\""),
                ));
            }
            steps.push(step(
                "End it; whoever has not got it finds its articles in the next one:",
                format!("tidings digest cancel {id}"),
            ));
        }
        if self.digests.len() > NAMED {
            steps.push(step("And the others:", "tidings schedule".to_owned()));
        }
        for (noted, _) in &self.sources {
            let name = noted.relay.as_deref().unwrap_or_default();
            steps.push(step("If it is there after all, ask it again:", format!("tidings source poll {name:?}")));
            steps.push(step("Otherwise take it out:", format!("tidings source remove {name:?}")));
        }
        if !self.relays.is_empty() {
            steps.push(step("Where everything stands:", "tidings status".to_owned()));
        }
        steps
    }

    /// What the webhook gets. The same for each attempt, as long as nothing changed.
    fn json(&self, publication: &Publication, telling: &Telling) -> Vec<u8> {
        let facts = self.facts();
        let digests = self.digests.iter().map(|(noted, digest, tally)| {
            json!({
                "id": digest.id, "newsletter": digest.key.newsletter, "cadence": digest.key.cadence,
                "slot": digest.key.slot, "goes_out_at": digest.state.held_until(), "why": noted.why, "deliveries": tally,
            })
        });
        let relays = self
            .relays
            .iter()
            .map(|(noted, since)| json!({ "relay": noted.relay, "away_since": since, "why": noted.why }));
        let sources = self
            .sources
            .iter()
            .map(|(noted, since)| json!({ "source": noted.relay, "gone_since": since, "why": noted.why }));
        let steps = facts.steps.iter().map(|step| json!({ "what": step.what, "command": step.command }));
        json!({
            "event": self.kind,
            "notice": telling.notice,
            "at": telling.first_at,
            "publication": publication.config.publication.title,
            "heading": facts.heading,
            "text": facts.text,
            "why": facts.why,
            "digests": digests.collect::<Vec<_>>(),
            "relays": relays.collect::<Vec<_>>(),
            "sources": sources.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }
}

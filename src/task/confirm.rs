//! The form's answers: nobody is subscribed until the address itself has said yes.

use chrono::{DateTime, TimeDelta, Utc};

use super::dispatch::{Stop, describe, single_mailer};
use super::present::Presenter;
use super::{Publication, TaskError};
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::consent::{Consent, Source};
use crate::domain::delivery::{Fault, Outcome, fault};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use crate::mail::Mailer;
use crate::mail::message::{self, Kind, Letter};
use crate::store::{NewSubscription, PendingConfirmation};
use crate::template::view::{ConfirmFacts, ConfirmView};
use crate::template::words::Value;

/// How long a confirmation link holds.
pub const CONFIRM_WITHIN: TimeDelta = TimeDelta::days(7);
/// Confirmations sent in one go.
const BATCH: i64 = 100;
/// Confirmations that the relay may put off one after another before it is left alone.
const PUT_OFF: u32 = 3;

/// Subscribes someone to feeds, in the state given. What they chose before stays; what they ended is taken up again.
/// Returns how many people and how many subscriptions are new.
///
/// Whether the address is new, known or suppressed makes no difference that a visitor could see. What is pending was asked
/// for, what is active put in by an editor; the form, which knows what was agreed to, has [`super::sign_up`].
///
/// # Errors
/// When the store fails.
pub async fn subscribe(
    publication: &Publication,
    subscriber: &Subscriber,
    feeds: &[(FeedName, Cadence)],
    state: SubscriptionState,
) -> Result<(u64, u64), TaskError> {
    let source = if state == SubscriptionState::Pending { Source::Form } else { Source::Cli };
    let new = wanted(publication, subscriber, feeds, state);
    Ok(publication.store.subscribe(&new, true, Consent::new(source, publication.clock.now())).await?)
}

/// What someone wants, feed by feed.
pub(super) fn wanted(
    publication: &Publication,
    subscriber: &Subscriber,
    feeds: &[(FeedName, Cadence)],
    state: SubscriptionState,
) -> Vec<NewSubscription> {
    let address_hash = publication.keyring.address_hash(&subscriber.address.key());
    let new = |(feed, cadence): &(FeedName, Cadence)| NewSubscription {
        subscriber: subscriber.clone(),
        address_hash: address_hash.clone(),
        feed: feed.clone(),
        cadence: *cadence,
        state,
    };
    feeds.iter().map(new).collect()
}

/// Sends the confirmations that wait. Returns how many were handed over.
///
/// # Errors
/// When the store fails or a template cannot be rendered. A relay that is away, or refuses us for a fault of our own,
/// is logged and tried again later.
pub async fn send_confirmations(publication: &Publication) -> Result<u64, TaskError> {
    let (_word, stop) = Stop::new();
    send_confirmations_until(publication, &stop).await
}

/// As [`send_confirmations`], until the word to stop: the one that is under way is finished.
///
/// # Errors
/// As [`send_confirmations`].
pub async fn send_confirmations_until(publication: &Publication, stop: &Stop) -> Result<u64, TaskError> {
    let now = publication.clock.now();
    let pending = publication.store.pending_confirmations(now, BATCH).await?;
    if pending.is_empty() {
        return Ok(0);
    }
    let mut mailer = single_mailer(publication);
    let (mut sent, mut put_off) = (0, 0);
    for waiting in pending {
        let bytes = confirmation(publication, &waiting, now)?;
        let envelope = Envelope {
            from: &publication.config.mail.from.address,
            to: (waiting.subscriber.id, &waiting.subscriber.address),
            file_stem: &format!("confirm-{}", waiting.subscriber.id),
        };
        let alias_hash = publication.keyring.address_hash(&waiting.subscriber.address.alias_key());
        if !is_ready(&mut mailer, stop).await {
            break;
        }
        // Claimed before anything is sent, so that no two processes write to the same mailbox.
        if !publication.store.claim_confirmation(waiting.subscriber.id, &alias_hash, now).await? {
            continue;
        }
        match hand_over(publication, &mut mailer, stop, &envelope, &bytes).await {
            None => {
                publication.store.give_confirmation_back(&alias_hash, now).await?;
                break;
            }
            Some(outcome) if fault(&outcome) == Some(Fault::Sender) => {
                tracing::error!(outcome = describe(&outcome), "confirmations wait until this is mended");
                publication.store.give_confirmation_back(&alias_hash, now).await?;
                break;
            }
            // The refusal of an address is remembered as sent: trying again would not change it.
            Some(Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. }) => {
                publication.store.confirmation_sent(waiting.subscriber.id, now).await?;
                sent += 1;
                put_off = 0;
            }
            // It may be about this address alone: the others are tried.
            Some(outcome @ Outcome::Deferred { .. }) => {
                tracing::warn!(outcome = describe(&outcome), "a confirmation was put off");
                publication.store.give_confirmation_back(&alias_hash, now).await?;
                put_off += 1;
                if put_off == PUT_OFF {
                    break;
                }
            }
        }
    }
    mailer.close().await;
    Ok(sent)
}

/// Whom a message to one person is from and for.
pub(super) struct Envelope<'a> {
    /// Who sends it; the envelope sender where bounces have no address of their own.
    pub from: &'a EmailAddress,
    /// To whom, and where that is.
    pub to: (SubscriberId, &'a EmailAddress),
    /// Its name in an outbox.
    pub file_stem: &'a str,
}

/// Whether something can go out now: the relay is there, and the word to stop was not given.
async fn is_ready(mailer: &mut Mailer, stop: &Stop) -> bool {
    let mut word = stop.clone();
    let connected = tokio::select! {
        connected = mailer.connect() => connected.map(drop),
        () = word.given() => return false,
    };
    if let Err(outcome) = &connected {
        tracing::warn!(outcome = describe(outcome), "mail to single readers waits for the relay");
    }
    connected.is_ok() && !stop.is_given()
}

/// Hands one message over. `None` where nothing goes out for now: the relay is away, or the word to stop was given.
pub(super) async fn hand_over(
    publication: &Publication,
    mailer: &mut Mailer,
    stop: &Stop,
    envelope: &Envelope<'_>,
    bytes: &[u8],
) -> Option<Outcome> {
    if !is_ready(mailer, stop).await {
        return None;
    }
    let bounces = publication.bounces_to(envelope.to.0, None);
    let from = bounces.as_deref().unwrap_or(envelope.from.as_str());
    Some(mailer.send(from, envelope.to.1, envelope.file_stem, bytes).await)
}

/// Confirms what someone asked for, and queues the welcomes that its newsletters have. Returns the feeds; none when there
/// was nothing to confirm.
///
/// # Errors
/// When the store fails; then nothing is confirmed.
pub async fn confirm(
    publication: &Publication,
    who: SubscriberId,
    consent: impl Into<Consent>,
) -> Result<Vec<FeedName>, TaskError> {
    let welcoming: Vec<&str> = publication
        .feeds
        .iter()
        .filter(|feed| feed.newsletter.as_ref().is_some_and(|newsletter| newsletter.welcome))
        .map(|feed| feed.name.as_str())
        .collect();
    let confirmed = publication.store.confirm_and_welcome(who, &welcoming, consent.into()).await?;
    Ok(confirmed.iter().filter_map(|feed| FeedName::parse(feed)).collect())
}

fn confirmation(
    publication: &Publication,
    waiting: &PendingConfirmation,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, TaskError> {
    let languages = &publication.languages;
    let language = languages.at(languages.of_reader(waiting.subscriber.language.as_deref()));
    let presenter = Presenter::new(publication, publication.config.live_urls()).speaking(language);
    let config = &publication.config;
    let link = Link {
        purpose: Purpose::Confirm,
        subscriber: waiting.subscriber.id,
        feed: None,
        expires_at: Some(now + CONFIRM_WITHIN),
    };
    let token = publication.keyring.sign(&link);
    let titles = waiting.feeds.iter().filter_map(|name| publication.feed(name)).map(|feed| feed.title.clone());
    let facts = ConfirmFacts {
        url: presenter.urls.at(&format!("/confirm/{token}")),
        feeds: titles.collect(),
        days: CONFIRM_WITHIN.num_days(),
    };
    let (language, dir) = presenter.language();
    let view = ConfirmView { language, dir, publication: presenter.publication(), confirm: facts };
    let title = [("publication", Value::Text(&config.publication.title))];
    let bodies = publication.templates.mail("confirm", &view)?;
    // No text that the visitor typed, the name included: the mail may go to somebody else.
    let to = Mailbox::new(None, waiting.subscriber.address.clone());
    let letter = Letter {
        from: &config.mail.from,
        reply_to: config.mail.reply_to.as_ref(),
        to: &to,
        subject: &presenter.speech().word("confirm_subject", &title),
        text: &bodies.text,
        html: &bodies.html,
        // One a day at most: whatever is tried again has the same.
        message_id: &format!("confirm-{}-{}@{}", waiting.subscriber.id, now.format("%Y%m%d"), config.host()),
        date: now,
        kind: Kind::Notice,
    };
    publication.sign(&config.mail.from.address, Some((waiting.subscriber.id, None)), message::bytes(&letter)?)
}

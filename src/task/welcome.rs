//! The first mail after a confirmation: what to begin with. Queued with the confirmation itself, sent by the same way.
//!
//! Each reader is welcomed to a newsletter once, whether or not they leave and come back.

use chrono::{DateTime, TimeDelta, Utc};

use super::confirm::{Envelope, hand_over};
use super::dispatch::{Stop, describe, jitter, single_mailer};
use super::present::Presenter;
use super::render::Renderer;
use super::{Publication, TaskError, own_feed};
use crate::domain::address::Mailbox;
use crate::domain::article::Released;
use crate::domain::delivery::{Fault, Next, Outcome, fault};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Newsletter;
use crate::domain::subscription::{Subscriber, SubscriptionState};
use crate::mail::Mailer;
use crate::mail::message::{self, Kind, Letter, Links, List};
use crate::store::Welcome;
use crate::template::words::Value;

/// Articles to begin with, at most.
pub const ARTICLES: usize = 5;
/// The newest articles among which they are looked for: those that came since the confirmation are the next digest's.
const AMONG: usize = 50;
/// Readers at a time.
const BATCH: i64 = 50;
/// For how long a process has what it is about to send: longer than a relay may take.
const LEASE: TimeDelta = TimeDelta::minutes(20);
/// How long what waits for the relay, or for a template to be mended, is left alone.
const AWAY: TimeDelta = TimeDelta::minutes(1);

/// Sends the welcomes that are due, until the word to stop. Returns how many were handed over.
///
/// # Errors
/// When the store fails or a template cannot be rendered; what was not sent is tried again.
pub async fn send_welcomes(publication: &Publication, stop: &Stop) -> Result<u64, TaskError> {
    let (store, now) = (&publication.store, publication.clock.now());
    let mut letters = vec![];
    for welcome in store.claim_welcomes(now + LEASE, now, BATCH).await? {
        letters.extend(Addressed::of(publication, welcome, now).await?);
    }
    if letters.is_empty() {
        return Ok(0);
    }
    let mut mailer = single_mailer(publication);
    let (mut sent, mut is_away, mut failed) = (0, false, None);
    for letter in &letters {
        let (who, feeds) = (letter.welcome.subscriber, &letter.welcome.feeds);
        let sending =
            async { if is_away { Ok(Ended::Away) } else { letter.send(publication, &mut mailer, stop, now).await } };
        match sending.await {
            Ok(Ended::Settled { is_sent }) => {
                store.settle_welcome(who, feeds, now).await?;
                sent += u64::from(is_sent);
            }
            Ok(Ended::Later(at)) => store.welcome_later(who, feeds, at).await?,
            Ok(Ended::Away) => {
                is_away = true;
                store.welcome_later(who, feeds, if stop.is_given() { now } else { now + AWAY }).await?;
            }
            // What one reader's needs, all need.
            Err(error) => {
                is_away = true;
                failed = failed.or(Some(error));
                store.welcome_later(who, feeds, now + AWAY).await?;
            }
        }
    }
    mailer.close().await;
    failed.map_or(Ok(sent), Err)
}

/// What came of one.
enum Ended {
    /// It needs no more attempts.
    Settled {
        is_sent: bool,
    },
    Later(DateTime<Utc>),
    /// Nothing goes out for now.
    Away,
}

/// A welcome with all that it needs.
struct Addressed<'a> {
    welcome: Welcome,
    to: Subscriber,
    feeds: Vec<(&'a Feed, &'a Newsletter)>,
    /// Whether these are all that the reader has: whoever leaves by mail leaves everything.
    is_all: bool,
}

impl<'a> Addressed<'a> {
    /// The messages that a welcome becomes. One, where nothing but what was confirmed at once is this reader's: whoever
    /// leaves by its link leaves just that. Otherwise one for each newsletter.
    async fn of(publication: &'a Publication, welcome: Welcome, now: DateTime<Utc>) -> Result<Vec<Self>, TaskError> {
        let store = &publication.store;
        let (mut wanted, mut others) = (vec![], 0);
        let to = store.subscriber(welcome.subscriber).await?;
        let is_banned = match &to {
            Some(to) => store.ban(&publication.keyring.address_hash(&to.address.key())).await?.is_some(),
            None => true,
        };
        for subscription in store.subscriptions_of(welcome.subscriber).await? {
            let is_here = matches!(subscription.state, SubscriptionState::Active | SubscriptionState::Paused);
            if !welcome.feeds.contains(&subscription.feed) {
                others += usize::from(is_here);
            } else if let Some(feed) = publication.feed(&subscription.feed)
                && let Some(newsletter) = feed.newsletter.as_ref().filter(|newsletter| newsletter.welcome)
                && subscription.state == SubscriptionState::Active
                && !is_banned
            {
                wanted.push((feed, newsletter));
            }
        }
        let is_wanted = |name: &FeedName| wanted.iter().any(|(feed, _)| feed.name == *name);
        let unwanted: Vec<_> = welcome.feeds.iter().filter(|name| !is_wanted(name)).cloned().collect();
        if !unwanted.is_empty() {
            store.settle_welcome(welcome.subscriber, &unwanted, now).await?;
        }
        let Some(to) = to else { return Ok(vec![]) };
        let is_all = others + unwanted.len() == 0;
        let together = if is_all { wanted.len().max(1) } else { 1 };
        let addressed = |feeds: &[(&'a Feed, &'a Newsletter)]| Self {
            welcome: Welcome { feeds: feeds.iter().map(|(feed, _)| feed.name.clone()).collect(), ..welcome.clone() },
            to: to.clone(),
            feeds: feeds.to_vec(),
            is_all,
        };
        Ok(wanted.chunks(together).map(addressed).collect())
    }

    async fn send(
        &self,
        publication: &Publication,
        mailer: &mut Mailer,
        stop: &Stop,
        now: DateTime<Utc>,
    ) -> Result<Ended, TaskError> {
        let own = self.feeds.iter().map(|(_, newsletter)| newsletter.from.as_ref());
        let sender = own.reduce(|one, other| one.filter(|_| one == other)).flatten();
        let sender = sender.unwrap_or(&publication.config.mail.from);
        let stem = self.file_stem();
        let bytes = self.message(publication, sender, &stem, now).await?;
        let envelope = Envelope { from: &sender.address, to: (self.to.id, &self.to.address), file_stem: &stem };
        let Some(outcome) = hand_over(publication, mailer, stop, &envelope, &bytes).await else {
            return Ok(Ended::Away);
        };
        if fault(&outcome) == Some(Fault::Sender) {
            tracing::error!(outcome = describe(&outcome), "welcomes wait until this is mended");
            return Ok(Ended::Away);
        }
        let policy = publication.config.mail.retry;
        let next = policy.next(&outcome, self.welcome.attempts, self.welcome.confirmed_at, now, jitter());
        Ok(match next {
            Next::RetryAt(at) => Ended::Later(at),
            Next::HaltDigest => Ended::Away,
            Next::Sent | Next::Refused | Next::Failed => {
                Ended::Settled { is_sent: matches!(outcome, Outcome::Accepted { .. }) }
            }
        })
    }

    /// The same on each attempt.
    fn file_stem(&self) -> String {
        let Welcome { subscriber, confirmed_at, feeds, .. } = &self.welcome;
        let names = feeds.iter().map(|feed| feed.as_str().to_owned());
        let parts = [subscriber.to_string(), confirmed_at.timestamp_millis().to_string()].into_iter().chain(names);
        format!("welcome-{}", super::fingerprint(parts))
    }

    async fn message(
        &self,
        publication: &Publication,
        sender: &Mailbox,
        stem: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, TaskError> {
        let config = &publication.config;
        let languages = &publication.languages;
        let language = languages.at(languages.of_reader(self.to.language.as_deref()));
        let presenter = Presenter::new(publication, config.live_urls()).speaking(language);
        let renderer = Renderer::new(publication).speaking(self.to.language.as_deref());
        let feeds: Vec<&Feed> = self.feeds.iter().map(|(feed, _)| *feed).collect();
        let (name, feed) = (self.to.name.as_deref(), feeds[0]);
        let mut own = renderer.own(self.to.id, name, &feed.name);
        if publication.templates.names_attributes() {
            own.attributes =
                publication.store.attributes_of(&[self.to.id]).await?.remove(&self.to.id).unwrap_or_default();
        }
        let mut list = (feed.title.as_str(), format!("{}.{}", feed.name, config.host()));
        if feeds.len() > 1 {
            let leave = Link { purpose: Purpose::Leave, subscriber: self.to.id, feed: None, expires_at: None };
            own.unsubscribe_url = presenter.urls.at(&format!("/unsubscribe/{}", publication.keyring.sign(&leave)));
            list = (&config.publication.title, config.host().to_owned());
        }
        let own_feed = own_feed::place(publication, &presenter.urls, self.to.id).await?;
        let articles = self.articles(publication).await?;
        let bodies = renderer.welcome(&feeds, &articles, &own, &own_feed.atom)?;
        let bounces = publication.bounces_to(self.to.id, None);
        let leave = bounces.as_ref().map(|bounces| format!("mailto:{bounces}?subject=unsubscribe"));
        let titles = presenter.titles(&feeds);
        let letter = Letter {
            from: sender,
            reply_to: config.mail.reply_to.as_ref(),
            to: &Mailbox::new(name, self.to.address.clone()),
            subject: &presenter.speech().word("welcome_subject", &[("newsletter", Value::Text(&titles))]),
            text: &bodies.text,
            html: &bodies.html,
            message_id: &format!("{stem}@{}", config.host()),
            date: now,
            kind: Kind::Digest(
                List { id: (list.0, &list.1), archive_url: None, feedback_id: None },
                Links {
                    unsubscribe_url: &own.unsubscribe_url,
                    unsubscribe_mailto: leave.as_deref().filter(|_| self.is_all),
                    help_url: Some(&own.preferences_url),
                },
            ),
        };
        publication.sign(&sender.address, Some((self.to.id, None)), message::bytes(&letter)?)
    }

    /// The newest articles of these feeds that no digest will bring, the newest first.
    async fn articles(&self, publication: &Publication) -> Result<Vec<Released>, TaskError> {
        let mut articles: Vec<Released> = vec![];
        for (feed, _) in &self.feeds {
            for released in publication.store.newest_of(&feed.name, AMONG).await? {
                let is_known = articles.iter().any(|known| known.article.id == released.article.id);
                if !is_known && released.release.number <= self.welcome.cut_off {
                    articles.push(released);
                }
            }
        }
        articles.sort_by_key(|released| std::cmp::Reverse((released.article.date, released.article.id.0)));
        articles.truncate(ARTICLES);
        Ok(articles)
    }
}

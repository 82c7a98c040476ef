//! Subscribers, their subscriptions, and the addresses that must not be written to.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::consents::{Line, record};
use super::digests::UNDER_WAY;
use super::{Store, StoreError, begin, id, json, millis, on};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Step};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{ONE_CONFIRMATION_PER, Subscriber, SubscriberId, Subscription, SubscriptionState};

const ROWS_PER_STATEMENT: usize = 500;

/// A subscription to be added, with the person whom it is for.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// The person; the id is used only if the address is new.
    pub subscriber: Subscriber,
    /// Keyed hash of the address.
    pub address_hash: String,
    /// The feed.
    pub feed: FeedName,
    /// How often.
    pub cadence: Cadence,
    /// Pending until confirmed, or active where the consent was given elsewhere.
    pub state: SubscriptionState,
}

/// A subscriber with all subscriptions.
#[derive(Debug, Clone)]
pub struct ListedSubscriber {
    /// The person.
    pub subscriber: Subscriber,
    /// What they subscribed to, by feed.
    pub subscriptions: Vec<Subscription>,
    /// Why no mail goes there, if so.
    pub suppressed: Option<String>,
}

/// Where no ban stands against the address of the subscriber `s`.
pub(super) const UNSUPPRESSED: &str = "NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.address_hash = s.address_hash)";

/// The subscriber `s` whose address the suppression `p` bans, found by the index of the first digits of its hash.
pub(super) const WHOSE_BAN: &str =
    "substr(s.address_hash, 1, 8) = substr(p.address_hash, 1, 8) AND s.address_hash = p.address_hash";

type SubscriberColumns = (String, String, Option<String>, Option<String>, Option<String>);

/// The same, with one column more.
pub(super) type SubscriberWith<T> = (String, String, Option<String>, Option<String>, Option<String>, T);

pub(super) fn subscriber((key, address, name, language, zone): SubscriberColumns) -> Result<Subscriber, StoreError> {
    Ok(Subscriber {
        id: SubscriberId(id(&key)?),
        address: address_of(&address, &key)?,
        name,
        language,
        time_zone: zone.and_then(|zone| zone.parse().ok()),
    })
}

/// The address of the subscriber `who`.
pub(super) fn address_of(address: &str, who: &str) -> Result<EmailAddress, StoreError> {
    EmailAddress::parse(address).map_err(|_| StoreError::Corrupt(format!("the address of subscriber {who}")))
}

pub(super) fn subscription(feed: &str, cadence: &str, state: &str, cursor: i64) -> Result<Subscription, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("subscription {feed} {cadence} {state}"));
    Ok(Subscription {
        feed: FeedName::parse(feed).ok_or_else(corrupt)?,
        cadence: Cadence::parse(cadence).ok_or_else(corrupt)?,
        state: SubscriptionState::parse(state).ok_or_else(corrupt)?,
        cursor,
    })
}

/// The lines of the ledger for subscriptions that were asked for or put in. Who asks again within a day asks the same.
fn steps(kept: Vec<(String, String, String, String, i64)>, now: DateTime<Utc>) -> Vec<Line> {
    let line = |(subscriber, feed, cadence, state, created_at): (String, String, String, String, i64)| {
        let is_pending = state == SubscriptionState::Pending.as_str();
        let step = if is_pending { Step::Asked } else { Step::Added };
        (!is_pending || created_at == millis(now)).then(|| (subscriber, feed, step.as_str(), Some(cadence)))
    };
    kept.into_iter().filter_map(line).collect()
}

/// The same step of one person for several feeds, each with its cadence.
pub(super) fn lines(who: SubscriberId, step: Step, feeds: &[(String, String)]) -> Vec<Line> {
    let line =
        |(feed, cadence): &(String, String)| (who.to_string(), feed.clone(), step.as_str(), Some(cadence.clone()));
    feeds.iter().map(line).collect()
}

impl Store {
    /// Adds subscriptions, all or none: new people are created, what someone already chose stays as it is.
    /// Returns how many people and how many subscriptions are new. The cursors start at the newest release.
    ///
    /// Where `revive` is set, their readers ask for them: a subscription that had ended is taken up again, and one that
    /// is pending is asked for anew, so that a confirmation that was lost can be sent once more.
    ///
    /// # Errors
    /// When the database fails; then nothing is added.
    pub async fn subscribe(
        &self,
        new: &[NewSubscription],
        revive: bool,
        consent: impl Into<Consent>,
    ) -> Result<(u64, u64), StoreError> {
        let consent = consent.into();
        let now = consent.at;
        let (mut people, mut subscriptions) = (0, 0);
        // PostgreSQL does not let one statement touch a row twice: what is said twice counts once.
        let mut said = HashSet::new();
        let new: Vec<(String, &NewSubscription)> = new
            .iter()
            .map(|row| (row.subscriber.address.key(), row))
            .filter(|(key, row)| said.insert((key.clone(), &row.feed)))
            .collect();
        begin!(self.database, tx => {
            let cursor: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'release'").fetch_one(&mut *tx).await?;
            for rows in new.chunks(ROWS_PER_STATEMENT) {
                let full = rows.len() == ROWS_PER_STATEMENT;
                let mut insert = QueryBuilder::new(
                    "INSERT INTO subscribers (id, address, address_key, address_hash, name, language, time_zone, created_at) ",
                );
                insert.push_values(rows, |mut values, (key, row)| {
                    let person = &row.subscriber;
                    values
                        .push_bind(person.id.to_string())
                        .push_bind(person.address.as_str().to_owned())
                        .push_bind(key.clone())
                        .push_bind(row.address_hash.clone())
                        .push_bind(person.name.clone())
                        .push_bind(person.language.clone())
                        .push_bind(person.time_zone.map(|zone| zone.name().to_owned()))
                        .push_bind(millis(now));
                });
                insert.push(" ON CONFLICT (address_key) DO NOTHING");
                people += insert.build().persistent(full).execute(&mut *tx).await?.rows_affected();

                let mut insert = QueryBuilder::new("WITH new (address_key, feed, cadence, state, confirmed_at) AS (");
                insert.push_values(rows, |mut values, (key, row)| {
                    values
                        .push_bind(key.clone())
                        .push_bind(row.feed.as_str().to_owned())
                        .push_bind(row.cadence.as_str().to_owned())
                        .push_bind(row.state.as_str().to_owned())
                        .push_bind((row.state == SubscriptionState::Active).then(|| millis(now)));
                });
                insert
                    .push(") INSERT INTO subscriptions (subscriber, feed, cadence, state, time_zone, cursor, created_at, confirmed_at) \
                           SELECT s.id, new.feed, new.cadence, new.state, s.time_zone, CAST(")
                    .push_bind(cursor)
                    .push(" AS BIGINT), CAST(")
                    .push_bind(millis(now))
                    .push(" AS BIGINT), new.confirmed_at FROM new JOIN subscribers s ON s.address_key = new.address_key WHERE true");
                if revive {
                    // Asking again within a day is the same question: only after that is it a new one.
                    insert
                        .push(" ON CONFLICT (subscriber, feed) DO UPDATE SET cadence = excluded.cadence, state = excluded.state, \
                               cursor = excluded.cursor, confirmed_at = excluded.confirmed_at, \
                               ended_at = CASE WHEN excluded.state = 'pending' THEN subscriptions.ended_at END, paused_until = NULL, \
                               created_at = CASE WHEN subscriptions.state = 'ended' OR subscriptions.confirmation_sent_at IS NULL \
                               OR subscriptions.confirmation_sent_at <= ")
                        .push_bind(millis(now - ONE_CONFIRMATION_PER))
                        .push(" THEN excluded.created_at ELSE subscriptions.created_at END WHERE subscriptions.state IN ('ended', 'pending')");
                } else {
                    insert.push(" ON CONFLICT (subscriber, feed) DO NOTHING");
                }
                insert.push(" RETURNING subscriber, feed, cadence, state, created_at");
                let kept: Vec<(String, String, String, String, i64)> =
                    insert.build_query_as().persistent(full).fetch_all(&mut *tx).await?;
                subscriptions += kept.len() as u64;
                record!(self, tx, consent, steps(kept, now));
            }
            tx.commit().await?;
        });
        Ok((people, subscriptions))
    }

    /// The subscriber with this address key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriber_by_address(&self, address_key: &str) -> Result<Option<Subscriber>, StoreError> {
        let sql = "SELECT id, address, name, language, time_zone FROM subscribers WHERE address_key = $1";
        let row: Option<SubscriberColumns> =
            on!(self.database, pool => sqlx::query_as(sql).bind(address_key).fetch_optional(pool).await)?;
        row.map(subscriber).transpose()
    }

    /// The subscriber with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriber(&self, who: SubscriberId) -> Result<Option<Subscriber>, StoreError> {
        let sql = "SELECT id, address, name, language, time_zone FROM subscribers WHERE id = $1";
        let row: Option<SubscriberColumns> =
            on!(self.database, pool => sqlx::query_as(sql).bind(who.to_string()).fetch_optional(pool).await)?;
        row.map(subscriber).transpose()
    }

    /// What someone subscribed to, by feed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriptions_of(&self, who: SubscriberId) -> Result<Vec<Subscription>, StoreError> {
        let sql = "SELECT feed, cadence, state, cursor FROM subscriptions WHERE subscriber = $1 ORDER BY feed";
        let rows: Vec<(String, String, String, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(who.to_string()).fetch_all(pool).await)?;
        rows.iter().map(|(feed, cadence, state, cursor)| subscription(feed, cadence, state, *cursor)).collect()
    }

    /// A page of subscribers in the order of their ids, from `after` on; only those of `feed` where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscribers(
        &self,
        feed: Option<&FeedName>,
        after: Option<SubscriberId>,
        limit: usize,
    ) -> Result<Vec<ListedSubscriber>, StoreError> {
        let of_feed = if feed.is_some() {
            "AND EXISTS (SELECT 1 FROM subscriptions f WHERE f.subscriber = s.id AND f.feed = $3)"
        } else {
            "AND $3 = ''"
        };
        let sql = format!(
            "SELECT s.id, s.address, s.name, s.language, s.time_zone, p.cause FROM subscribers s \
             LEFT JOIN suppressions p ON p.address_hash = s.address_hash WHERE s.id > $1 {of_feed} ORDER BY s.id LIMIT $2"
        );
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let people: Vec<SubscriberWith<Option<String>>> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(after).bind(limit).bind(feed.map_or("", FeedName::as_str)).fetch_all(pool).await
        })?;
        let ids: Vec<&str> = people.iter().map(|person| person.0.as_str()).collect();
        let sql = format!(
            "SELECT subscriber, feed, cadence, state, cursor FROM subscriptions WHERE subscriber IN {} ORDER BY subscriber, feed",
            self.database.list(1)
        );
        let ids = json(&ids);
        let rows: Vec<(String, String, String, String, i64)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        let mut rows = rows.into_iter().peekable();
        let mut listed = vec![];
        for (key, address, name, language, zone, suppressed) in people {
            let mut subscriptions = vec![];
            while let Some((_, feed, cadence, state, cursor)) = rows.next_if(|row| row.0 == key) {
                subscriptions.push(subscription(&feed, &cadence, &state, cursor)?);
            }
            let subscriber = subscriber((key, address, name, language, zone))?;
            listed.push(ListedSubscriber { subscriber, subscriptions, suppressed });
        }
        Ok(listed)
    }

    /// How many subscriptions stand where: feed, cadence, state, count.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscription_counts(&self) -> Result<Vec<(String, String, String, i64)>, StoreError> {
        let sql = "SELECT feed, cadence, state, COUNT(*) FROM subscriptions GROUP BY feed, cadence, state ORDER BY feed, cadence, state";
        Ok(on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?)
    }

    /// Ends someone's subscription to `feed`, or all of them; deliveries not yet claimed are skipped.
    /// Returns how many ended; ending twice is no fault.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leave(
        &self,
        who: SubscriberId,
        feed: Option<&FeedName>,
        consent: impl Into<Consent>,
    ) -> Result<u64, StoreError> {
        let consent = consent.into();
        let now = consent.at;
        let feed = feed.map_or("", FeedName::as_str);
        let ended = begin!(self.database, tx => {
            let ended: Vec<(String, String)> = sqlx::query_as(
                "UPDATE subscriptions SET state = 'ended', ended_at = $3, ended_from = state \
                 WHERE subscriber = $1 AND ($2 = '' OR feed = $2) AND state <> 'ended' RETURNING feed, cadence",
            )
            .bind(who.to_string()).bind(feed).bind(millis(now)).fetch_all(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(format!(
                "UPDATE deliveries SET state = 'skipped', settled_at = $3, outcome = 'left' WHERE subscriber = $1 AND digest IN \
                 (SELECT id FROM digests WHERE state IN {UNDER_WAY} AND ($2 = '' OR newsletter = $2)) AND state IN ('queued', 'deferred')"
            )))
            .bind(who.to_string()).bind(feed).bind(millis(now)).execute(&mut *tx).await?;
            record!(self, tx, consent, lines(who, Step::Left, &ended));
            tx.commit().await?;
            ended.len() as u64
        });
        Ok(ended)
    }

    /// Sets how often someone gets a feed; begins the subscription where there was none or it had ended, and ends its pause.
    /// Nothing happens where there is no such person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choose(
        &self,
        who: SubscriberId,
        feed: &FeedName,
        cadence: Cadence,
        consent: impl Into<Consent>,
    ) -> Result<(), StoreError> {
        self.choose_until(who, feed, cadence, None, consent).await
    }

    /// The same, to begin or go on paused until then where that is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choose_until(
        &self,
        who: SubscriberId,
        feed: &FeedName,
        cadence: Cadence,
        paused_until: Option<DateTime<Utc>>,
        consent: impl Into<Consent>,
    ) -> Result<(), StoreError> {
        let consent = consent.into();
        // Taking up again starts at the newest release; changing the cadence keeps the cursor.
        let sql = "INSERT INTO subscriptions (subscriber, feed, cadence, state, time_zone, cursor, created_at, confirmed_at, paused_until) \
                   SELECT s.id, $2, $3, $5, s.time_zone, c.value, $4, $4, $6 FROM subscribers s CROSS JOIN counters c \
                   WHERE s.id = $1 AND c.name = 'release' \
                   ON CONFLICT (subscriber, feed) DO UPDATE SET cadence = excluded.cadence, ended_at = NULL, \
                   cursor = CASE WHEN subscriptions.state = 'ended' THEN excluded.cursor ELSE subscriptions.cursor END, \
                   confirmed_at = COALESCE(subscriptions.confirmed_at, excluded.confirmed_at), \
                   state = excluded.state, paused_until = excluded.paused_until";
        let state = if paused_until.is_some() { SubscriptionState::Paused } else { SubscriptionState::Active };
        let before = "SELECT cadence, state FROM subscriptions WHERE subscriber = $1 AND feed = $2";
        begin!(self.database, tx => {
            let before: Option<(String, String)> =
                sqlx::query_as(before).bind(who.to_string()).bind(feed.as_str()).fetch_optional(&mut *tx).await?;
            let done = sqlx::query(sql)
                .bind(who.to_string()).bind(feed.as_str()).bind(cadence.as_str()).bind(millis(consent.at))
                .bind(state.as_str()).bind(paused_until.map(millis))
                .execute(&mut *tx).await?.rows_affected();
            let step = match &before {
                Some((known, state)) if state == "active" || state == "paused" => {
                    (known != cadence.as_str()).then_some(Step::Changed)
                }
                _ => Some(Step::Confirmed),
            };
            if let Some(step) = step.filter(|_| done > 0) {
                record!(self, tx, consent, lines(who, step, &[(feed.to_string(), cadence.to_string())]));
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Sets the hour and day at which someone prefers a feed's digests; `None` is as the newsletter has them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prefer(&self, who: SubscriberId, feed: &FeedName, preferred: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE subscriptions SET preferred = $3 WHERE subscriber = $1 AND feed = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(who.to_string()).bind(feed.as_str()).bind(preferred).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// What someone prefers, feed by feed, where they prefer anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn preferences_of(&self, who: SubscriberId) -> Result<Vec<(FeedName, String)>, StoreError> {
        let sql = "SELECT feed, preferred FROM subscriptions WHERE subscriber = $1 AND preferred IS NOT NULL";
        let rows: Vec<(String, String)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(who.to_string()).fetch_all(pool).await)?;
        Ok(rows.into_iter().filter_map(|(feed, preferred)| Some((FeedName::parse(&feed)?, preferred))).collect())
    }

    /// Changes what someone is called and where their clock stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_profile(
        &self,
        who: SubscriberId,
        name: Option<&str>,
        time_zone: Option<chrono_tz::Tz>,
    ) -> Result<(), StoreError> {
        let time_zone = time_zone.map(chrono_tz::Tz::name);
        begin!(self.database, tx => {
            sqlx::query("UPDATE subscribers SET name = $2, time_zone = $3 WHERE id = $1")
                .bind(who.to_string()).bind(name).bind(time_zone).execute(&mut *tx).await?;
            sqlx::query("UPDATE subscriptions SET time_zone = $2 WHERE subscriber = $1")
                .bind(who.to_string()).bind(time_zone).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// Which address of someone's own feed holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_version(&self, who: SubscriberId) -> Result<Option<u32>, StoreError> {
        let sql = "SELECT feed_version FROM subscribers WHERE id = $1";
        let version: Option<i64> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).fetch_optional(pool).await)?;
        Ok(version.map(|version| u32::try_from(version).unwrap_or(u32::MAX)))
    }

    /// The same with the feeds that they chose, paused ones too, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn own_feed(&self, who: SubscriberId) -> Result<Option<(u32, Vec<FeedName>)>, StoreError> {
        let Some(version) = self.feed_version(who).await? else { return Ok(None) };
        let sql =
            "SELECT feed FROM subscriptions WHERE subscriber = $1 AND state IN ('active', 'paused') ORDER BY feed";
        let feeds: Vec<String> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).fetch_all(pool).await)?;
        Ok(Some((version, feeds.iter().filter_map(|feed| FeedName::parse(feed)).collect())))
    }

    /// Gives someone's own feed another address than that of `version`, where that is the one that holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_feed(&self, who: SubscriberId, version: u32) -> Result<(), StoreError> {
        let sql = "UPDATE subscribers SET feed_version = feed_version + 1 WHERE id = $1 AND feed_version = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(who.to_string()).bind(i64::from(version)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Sets the language that someone's mail and pages speak; none is the publication's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_language(&self, who: SubscriberId, language: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE subscribers SET language = $2 WHERE id = $1";
        on!(self.database, pool => sqlx::query(sql).bind(who.to_string()).bind(language).execute(pool).await.map(drop))?;
        Ok(())
    }
}

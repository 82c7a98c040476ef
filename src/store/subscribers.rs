//! Subscribers, their subscriptions, and the addresses that must not be written to.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::{Store, StoreError, begin, id, json, millis, on};
use crate::domain::address::EmailAddress;
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
        now: DateTime<Utc>,
    ) -> Result<(u64, u64), StoreError> {
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
                               cursor = excluded.cursor, confirmed_at = excluded.confirmed_at, ended_at = NULL, \
                               created_at = CASE WHEN subscriptions.state = 'ended' OR subscriptions.confirmation_sent_at IS NULL \
                               OR subscriptions.confirmation_sent_at <= ")
                        .push_bind(millis(now - ONE_CONFIRMATION_PER))
                        .push(" THEN excluded.created_at ELSE subscriptions.created_at END WHERE subscriptions.state IN ('ended', 'pending')");
                } else {
                    insert.push(" ON CONFLICT (subscriber, feed) DO NOTHING");
                }
                subscriptions += insert.build().persistent(full).execute(&mut *tx).await?.rows_affected();
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

    /// Confirms what someone asked for: what was pending becomes active, its cursor at the newest release.
    /// Returns the feeds; none when there was nothing to confirm.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm(&self, who: SubscriberId, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let sql = "UPDATE subscriptions SET state = 'active', confirmed_at = $2, \
                   cursor = (SELECT value FROM counters WHERE name = 'release') \
                   WHERE subscriber = $1 AND state = 'pending' RETURNING feed";
        Ok(
            on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).bind(millis(now)).fetch_all(pool).await)?,
        )
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
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let feed = feed.map_or("", FeedName::as_str);
        let ended = begin!(self.database, tx => {
            let ended = sqlx::query(
                "UPDATE subscriptions SET state = 'ended', ended_at = $3 \
                 WHERE subscriber = $1 AND ($2 = '' OR feed = $2) AND state <> 'ended'",
            )
            .bind(who.to_string()).bind(feed).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
            sqlx::query(
                "UPDATE deliveries SET state = 'skipped', settled_at = $3, outcome = 'left' WHERE subscriber = $1 \
                 AND state IN ('queued', 'deferred') AND digest IN (SELECT id FROM digests WHERE $2 = '' OR newsletter = $2)",
            )
            .bind(who.to_string()).bind(feed).bind(millis(now)).execute(&mut *tx).await?;
            tx.commit().await?;
            ended
        });
        Ok(ended)
    }

    /// Sets how often someone gets a feed; begins the subscription where there was none or it had ended. Nothing happens
    /// where there is no such person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choose(
        &self,
        who: SubscriberId,
        feed: &FeedName,
        cadence: Cadence,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Taking up again starts at the newest release; changing the cadence keeps the cursor.
        let sql = "INSERT INTO subscriptions (subscriber, feed, cadence, state, time_zone, cursor, created_at, confirmed_at) \
                   SELECT s.id, $2, $3, 'active', s.time_zone, c.value, $4, $4 FROM subscribers s CROSS JOIN counters c \
                   WHERE s.id = $1 AND c.name = 'release' \
                   ON CONFLICT (subscriber, feed) DO UPDATE SET cadence = excluded.cadence, ended_at = NULL, \
                   cursor = CASE WHEN subscriptions.state = 'ended' THEN excluded.cursor ELSE subscriptions.cursor END, \
                   confirmed_at = COALESCE(subscriptions.confirmed_at, excluded.confirmed_at), state = 'active'";
        on!(self.database, pool => {
            sqlx::query(sql)
                .bind(who.to_string()).bind(feed.as_str()).bind(cadence.as_str()).bind(millis(now))
                .execute(pool).await.map(drop)
        })?;
        Ok(())
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
}

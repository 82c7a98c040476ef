//! What readers do with what they have chosen: pause it, leave it and say why, take it back after a mistaken click.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::consents::{Line, record};
use super::digests::UNDER_WAY;
use super::subscribers::lines;
use super::trials::WAITS_FOR_PICK;
use super::{HOLD_RELEASES, Store, StoreError, begin, instant, millis, on};
use crate::domain::consent::{Consent, Source, Step};
use crate::domain::feed::FeedName;
use crate::domain::subscription::SubscriberId;

/// Why somebody left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which feed; `None` is everything.
    pub feed: Option<FeedName>,
    /// When.
    pub at: DateTime<Utc>,
    /// What they chose, in a word.
    pub reason: String,
    /// What they added.
    pub words: String,
}

impl Store {
    /// Pauses all that someone gets until then; what is on its way still comes. Returns how many subscriptions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pause(
        &self,
        who: SubscriberId,
        until: DateTime<Utc>,
        consent: impl Into<Consent>,
    ) -> Result<u64, StoreError> {
        let consent = consent.into();
        let sql = "UPDATE subscriptions SET state = 'paused', paused_until = $2 WHERE subscriber = $1 \
                   AND (state = 'active' OR (state = 'paused' AND COALESCE(paused_until, 0) <> $2))";
        begin!(self.database, tx => {
            let paused = sqlx::query(sql).bind(who.to_string()).bind(millis(until)).execute(&mut *tx).await?.rows_affected();
            if paused > 0 {
                record!(self, tx, consent, of_person(who, Step::Paused));
                tx.commit().await?;
            }
            Ok(paused)
        })
    }

    /// Takes up again all that someone has paused. Returns how many subscriptions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, who: SubscriberId, consent: impl Into<Consent>) -> Result<u64, StoreError> {
        let consent = consent.into();
        let sql =
            "UPDATE subscriptions SET state = 'active', paused_until = NULL WHERE subscriber = $1 AND state = 'paused'";
        begin!(self.database, tx => {
            let resumed = sqlx::query(sql).bind(who.to_string()).execute(&mut *tx).await?.rows_affected();
            if resumed > 0 {
                record!(self, tx, consent, of_person(who, Step::Resumed));
                tx.commit().await?;
            }
            Ok(resumed)
        })
    }

    /// Takes up again whatever was paused until `now` or before. Returns how many subscriptions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume_due(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        // This is asked at every tick: so it looks first.
        let look = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM subscriptions WHERE state = 'paused' AND paused_until <= $1 LIMIT 1) AS due";
        let due: i64 = on!(self.database, pool => sqlx::query_scalar(look).bind(millis(now)).fetch_one(pool).await)?;
        if due == 0 {
            return Ok(0);
        }
        let sql = "UPDATE subscriptions SET state = 'active', paused_until = NULL \
                   WHERE state = 'paused' AND paused_until <= $1 RETURNING subscriber";
        begin!(self.database, tx => {
            let resumed: Vec<String> = sqlx::query_scalar(sql).bind(millis(now)).fetch_all(&mut *tx).await?;
            let mut people = resumed.clone();
            people.sort_unstable();
            people.dedup();
            for people in people.chunks(1000) {
                let line = |who: &String| (who.clone(), String::new(), Step::Resumed.as_str(), None);
                record!(self, tx, Consent::new(Source::Clock, now), people.iter().map(line).collect::<Vec<Line>>());
            }
            tx.commit().await?;
            Ok(resumed.len() as u64)
        })
    }

    /// Until when someone has paused; the soonest end, or `None` where nothing is paused until a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn paused_until(&self, who: SubscriberId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = "SELECT MIN(paused_until) FROM subscriptions WHERE subscriber = $1 AND state = 'paused'";
        let until: Option<i64> =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).fetch_one(pool).await)?;
        until.map(instant).transpose()
    }

    /// How many subscriptions to a newsletter are paused, and when the first of them is taken up again by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn paused(&self, newsletter: &FeedName) -> Result<(u64, Option<DateTime<Utc>>), StoreError> {
        let sql = "SELECT COUNT(*), MIN(paused_until) FROM subscriptions WHERE feed = $1 AND state = 'paused'";
        let (paused, first): (i64, Option<i64>) =
            on!(self.database, pool => sqlx::query_as(sql).bind(newsletter.as_str()).fetch_one(pool).await)?;
        Ok((paused.unsigned_abs(), first.map(instant).transpose()?))
    }

    /// When someone left `feed`, or last left anything, if that can be taken back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left_at(
        &self,
        who: SubscriberId,
        feed: Option<&FeedName>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = "SELECT MAX(ended_at) FROM subscriptions WHERE subscriber = $1 AND ($2 = '' OR feed = $2) \
                   AND state = 'ended' AND ended_from IS NOT NULL";
        let at: Option<i64> = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(who.to_string()).bind(feed.map_or("", FeedName::as_str)).fetch_one(pool).await
        })?;
        at.map(instant).transpose()
    }

    /// Takes back that someone left `feed`, or everything, in the minute that begins at `minute`: each subscription is
    /// again what it was, its cursor included. Digests under way that were skipped for it come after all; what those
    /// brought that are past comes with the next one.
    ///
    /// # Errors
    /// When the database fails; then nothing is taken back.
    pub async fn take_back(
        &self,
        who: SubscriberId,
        feed: Option<&FeedName>,
        minute: DateTime<Utc>,
        consent: impl Into<Consent>,
    ) -> Result<Vec<FeedName>, StoreError> {
        let consent = consent.into();
        let (key, feed) = (who.to_string(), feed.map_or("", FeedName::as_str));
        let restore = "UPDATE subscriptions SET state = ended_from, ended_from = NULL, ended_at = NULL WHERE subscriber = $1 \
                       AND ($2 = '' OR feed = $2) AND state = 'ended' AND ended_from IS NOT NULL AND ended_at >= $3 AND ended_at < $4 \
                       RETURNING feed, cadence";
        let skipped = "SELECT d.digest, d.cursor_from FROM digests g CROSS JOIN deliveries d WHERE g.newsletter = $2 AND (g.finished_at IS NULL OR g.finished_at >= $3) \
                       AND d.digest = g.id AND d.subscriber = $1 AND d.state = 'skipped' AND d.outcome IN ('left', 'left or suppressed') AND d.settled_at >= $3";
        // A digest that is locked here is not marked as sent before this is done.
        let hold = format!("UPDATE digests SET revision = revision WHERE id = $1 AND state IN {UNDER_WAY}");
        let requeue = "UPDATE deliveries SET state = 'queued', settled_at = NULL, outcome = NULL, claim = NULL, lease_until = NULL, \
                       due_at = CASE WHEN due_at = $3 AND (SELECT g.picked FROM digests g WHERE g.id = $1) IS NOT NULL THEN $4 ELSE due_at END \
                       WHERE digest = $1 AND subscriber = $2 AND state = 'skipped'";
        let turn_back = "UPDATE subscriptions SET cursor = $3 WHERE subscriber = $1 AND feed = $2 AND cursor > $3";
        begin!(self.database, tx => {
            // No digest is composed meanwhile.
            sqlx::query(HOLD_RELEASES).execute(&mut *tx).await?;
            let restored: Vec<(String, String)> = sqlx::query_as(restore)
                .bind(&key).bind(feed).bind(millis(minute)).bind(millis(minute + TimeDelta::minutes(1)))
                .fetch_all(&mut *tx).await?;
            for (feed, _) in &restored {
                let skipped: Vec<(String, i64)> =
                    sqlx::query_as(skipped).bind(&key).bind(feed).bind(millis(minute)).fetch_all(&mut *tx).await?;
                let (mut under_way, mut past) = (vec![], vec![]);
                for (digest, cursor_from) in skipped {
                    let is_open = sqlx::query(AssertSqlSafe(hold.clone())).bind(&digest).execute(&mut *tx).await?.rows_affected() == 1;
                    if is_open { under_way.push((digest, cursor_from)) } else { past.push(cursor_from) }
                }
                // Below zero is one that brings the latest to everyone, whatever they had: it owes nothing.
                let owed_from = past.into_iter().filter(|from| *from >= 0).min();
                for (digest, from) in under_way {
                    // What the next digest brings anyhow does not come twice.
                    if from < 0 || owed_from.is_none_or(|owed| from < owed) {
                        sqlx::query(requeue).bind(digest).bind(&key).bind(WAITS_FOR_PICK).bind(millis(consent.at))
                            .execute(&mut *tx).await?;
                    }
                }
                if let Some(owed) = owed_from {
                    sqlx::query(turn_back).bind(&key).bind(feed).bind(owed).execute(&mut *tx).await?;
                }
            }
            if !restored.is_empty() {
                sqlx::query("DELETE FROM reasons WHERE subscriber = $1 AND ($2 = '' OR feed = $2)").bind(&key).bind(feed)
                    .execute(&mut *tx).await?;
                record!(self, tx, consent, lines(who, Step::Resumed, &restored));
                tx.commit().await?;
            }
            Ok(restored.iter().filter_map(|(feed, _)| FeedName::parse(feed)).collect())
        })
    }

    /// Remembers why someone left; said again, the later counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_reason(&self, who: SubscriberId, given: &Reason) -> Result<(), StoreError> {
        let sql = "INSERT INTO reasons (subscriber, feed, at, reason, words) SELECT id, $2, $3, $4, $5 FROM subscribers WHERE id = $1 \
                   ON CONFLICT (subscriber, feed) DO UPDATE SET at = excluded.at, reason = excluded.reason, words = excluded.words";
        on!(self.database, pool => {
            sqlx::query(sql).bind(who.to_string()).bind(given.feed.as_ref().map_or("", FeedName::as_str)).bind(millis(given.at))
                .bind(&given.reason).bind(&given.words).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Why people left, the newest first; only those of one person where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reasons(&self, who: Option<SubscriberId>, limit: i64) -> Result<Vec<Reason>, StoreError> {
        let whose = if who.is_some() { "subscriber = $1" } else { "$1 = ''" };
        let sql = format!("SELECT feed, at, reason, words FROM reasons WHERE {whose} ORDER BY at DESC, feed LIMIT $2");
        let who = who.map(|who| who.to_string()).unwrap_or_default();
        let rows: Vec<(String, i64, String, String)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(who).bind(limit).fetch_all(pool).await)?;
        let reason = |(feed, at, reason, words): (String, i64, String, String)| {
            Ok(Reason { feed: FeedName::parse(&feed), at: instant(at)?, reason, words })
        };
        rows.into_iter().map(reason).collect()
    }

    /// How often each reason was given: feed, reason, how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reason_counts(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT feed, reason, COUNT(*) AS n FROM reasons GROUP BY feed, reason ORDER BY feed, n DESC, reason";
        Ok(on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?)
    }
}

/// A step that is about the person.
pub(super) fn of_person(who: SubscriberId, step: Step) -> [Line; 1] {
    [(who.to_string(), String::new(), step.as_str(), None)]
}

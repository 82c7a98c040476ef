//! Welcomes: queued with the confirmation itself, so that nobody's is lost, and each once.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::consents::record;
use super::subscribers::lines;
use super::{Store, StoreError, begin, id, instant, json, millis, on};
use crate::domain::consent::{Consent, Step};
use crate::domain::feed::FeedName;
use crate::domain::subscription::SubscriberId;

/// A welcome that is due, to what was confirmed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// To whom.
    pub subscriber: SubscriberId,
    /// To which newsletters.
    pub feeds: Vec<FeedName>,
    /// Release number up to which it brings articles: what came after is the next digest's.
    pub cut_off: i64,
    /// When they confirmed.
    pub confirmed_at: DateTime<Utc>,
    /// Attempts, this one included.
    pub attempts: u32,
}

impl Store {
    /// Confirms what someone asked for, as [`Store::confirm`] does; in the same transaction a welcome is queued to each of
    /// the feeds `welcoming` that was confirmed, unless they were welcomed to it before.
    ///
    /// # Errors
    /// When the database fails; then nothing is confirmed.
    pub async fn confirm_and_welcome(
        &self,
        who: SubscriberId,
        welcoming: &[&str],
        consent: Consent,
    ) -> Result<Vec<String>, StoreError> {
        let now = consent.at;
        let confirm = "UPDATE subscriptions SET state = 'active', confirmed_at = $2, ended_at = NULL, \
                       cursor = (SELECT value FROM counters WHERE name = 'release') \
                       WHERE subscriber = $1 AND state = 'pending' RETURNING feed, cadence";
        let welcome = format!(
            "INSERT INTO welcomes (subscriber, feed, cut_off, confirmed_at, due_at, attempts) \
             SELECT n.subscriber, n.feed, n.cursor, CAST($2 AS BIGINT), CAST($2 AS BIGINT), 0 FROM subscriptions n \
             WHERE n.subscriber = $1 AND n.feed IN {} ON CONFLICT (subscriber, feed) DO NOTHING",
            self.database.list(3)
        );
        begin!(self.database, tx => {
            let confirmed: Vec<(String, String)> =
                sqlx::query_as(confirm).bind(who.to_string()).bind(millis(now)).fetch_all(&mut *tx).await?;
            record!(self, tx, consent, lines(who, Step::Confirmed, &confirmed));
            let feeds: Vec<String> = confirmed.into_iter().map(|(feed, _)| feed).collect();
            let welcoming: Vec<&String> = feeds.iter().filter(|feed| welcoming.contains(&feed.as_str())).collect();
            if !welcoming.is_empty() {
                sqlx::query(AssertSqlSafe(welcome))
                    .bind(who.to_string()).bind(millis(now)).bind(json(&welcoming)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(feeds)
        })
    }

    /// Takes up to `limit` welcomes that are due; another process gets them only after `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_welcomes(
        &self,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Welcome>, StoreError> {
        let look = "SELECT COUNT(*) FROM welcomes WHERE settled_at IS NULL AND due_at <= $1";
        let due: i64 = on!(self.database, pool => sqlx::query_scalar(look).bind(millis(now)).fetch_one(pool).await)?;
        if due == 0 {
            return Ok(vec![]);
        }
        // Whole readers, so that what they confirmed at once stays together.
        let sql = "UPDATE welcomes SET due_at = $1, attempts = attempts + 1 WHERE settled_at IS NULL AND due_at <= $2 \
                   AND subscriber IN (SELECT w.subscriber FROM welcomes w WHERE w.settled_at IS NULL AND w.due_at <= $2 \
                   GROUP BY w.subscriber ORDER BY MIN(w.due_at), w.subscriber LIMIT $3) \
                   RETURNING subscriber, confirmed_at, feed, cut_off, attempts";
        let mut rows: Vec<(String, i64, String, i64, i64)> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(millis(until)).bind(millis(now)).bind(limit).fetch_all(pool).await
        })?;
        rows.sort();
        let mut welcomes: Vec<Welcome> = vec![];
        for (who, confirmed_at, feed, cut_off, attempts) in rows {
            let feed = FeedName::parse(&feed).ok_or_else(|| StoreError::Corrupt(format!("feed {feed}")))?;
            let (subscriber, confirmed_at) = (SubscriberId(id(&who)?), instant(confirmed_at)?);
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            let is_same = |last: &&mut Welcome| (last.subscriber, last.confirmed_at) == (subscriber, confirmed_at);
            match welcomes.last_mut().filter(is_same) {
                Some(last) => last.feeds.push(feed),
                None => welcomes.push(Welcome { subscriber, feeds: vec![feed], cut_off, confirmed_at, attempts }),
            }
        }
        Ok(welcomes)
    }

    /// These need no more attempts: taken, refused for good, or of no use any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_welcome(
        &self,
        who: SubscriberId,
        feeds: &[FeedName],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE welcomes SET settled_at = $2 WHERE subscriber = $1 AND settled_at IS NULL AND feed IN {}",
            self.database.list(3)
        );
        self.set_welcome(sql, who, feeds, now).await
    }

    /// These are tried again at `at`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn welcome_later(
        &self,
        who: SubscriberId,
        feeds: &[FeedName],
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE welcomes SET due_at = $2 WHERE subscriber = $1 AND settled_at IS NULL AND feed IN {}",
            self.database.list(3)
        );
        self.set_welcome(sql, who, feeds, at).await
    }

    async fn set_welcome(
        &self,
        sql: String,
        who: SubscriberId,
        feeds: &[FeedName],
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let feeds = json(&feeds.iter().map(FeedName::as_str).collect::<Vec<_>>());
        on!(self.database, pool => {
            sqlx::query(AssertSqlSafe(sql)).bind(who.to_string()).bind(millis(at)).bind(feeds).execute(pool).await.map(drop)
        })?;
        Ok(())
    }
}

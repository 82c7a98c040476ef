//! Readers of a newsletter, counted by where they stand.

use sqlx::AssertSqlSafe;

use super::deliveries::OPEN;
use super::digests::STANDING;
use super::subscribers::{UNSUPPRESSED, WHOSE_BAN};
use super::{Store, StoreError, on};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;

pub(super) type GroupColumns = (String, Option<String>, Option<String>, i64, i64);

/// Readers who stand at the same cursor.
pub(super) fn group((cadence, time_zone, preferred, cursor, readers): GroupColumns) -> Result<ReaderGroup, StoreError> {
    let cadence = Cadence::parse(&cadence).ok_or_else(|| StoreError::Corrupt(format!("cadence {cadence}")))?;
    Ok(ReaderGroup { cadence, time_zone, preferred, cursor, readers: readers.cast_unsigned() })
}

/// Readers of a newsletter who stand alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderGroup {
    /// How often they want it.
    pub cadence: Cadence,
    /// Where their clocks stand; `None` is the publication's zone.
    pub time_zone: Option<String>,
    /// The hour and day that they prefer, if any.
    pub preferred: Option<String>,
    /// Up to which release they have been served.
    pub cursor: i64,
    /// How many they are.
    pub readers: u64,
}

/// Asked at every tick, and answered from an index alone.
const CLOCKS: &str =
    "SELECT DISTINCT time_zone, preferred FROM subscriptions WHERE feed = $1 AND state = 'active' AND cadence = $2";

/// What limits subscriptions `n` to a cadence.
fn at(cadence: Option<Cadence>) -> String {
    cadence.map_or_else(String::new, |cadence| format!(" AND n.cadence = '{}'", cadence.as_str()))
}

impl Store {
    /// How many active, unsuppressed readers of a newsletter stand at which cursor, by cadence, time zone and preference.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn readers(&self, newsletter: &FeedName) -> Result<Vec<ReaderGroup>, StoreError> {
        self.reader_groups(newsletter, None, "").await
    }

    /// The clocks that active readers of a newsletter go by at a cadence: their time zones, where they have one, and the hours
    /// and days that they prefer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clocks(
        &self,
        newsletter: &FeedName,
        cadence: Cadence,
    ) -> Result<Vec<(Option<String>, Option<String>)>, StoreError> {
        Ok(on!(self.database, pool => {
            sqlx::query_as(CLOCKS).bind(newsletter.as_str()).bind(cadence.as_str()).fetch_all(pool).await
        })?)
    }

    /// The same as [`Store::readers`], at one cadence where one is given, less those for whom a digest of the newsletter stands
    /// still: held, paused or halted. They get that one first, or its articles back when it is cancelled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn readers_who_wait_for_nothing(
        &self,
        newsletter: &FeedName,
        cadence: Option<Cadence>,
    ) -> Result<Vec<ReaderGroup>, StoreError> {
        let standing: i64 = on!(self.database, pool => {
            sqlx::query_scalar(STANDING).bind(newsletter.as_str()).bind("").fetch_one(pool).await
        })?;
        if standing == 0 {
            return self.reader_groups(newsletter, cadence, "").await;
        }
        let less = format!(
            " UNION ALL SELECT n.cadence, n.time_zone, n.preferred, n.cursor, CAST(-1 AS BIGINT) FROM \
             (SELECT DISTINCT d.subscriber FROM digests g CROSS JOIN deliveries d WHERE g.newsletter = $1 \
              AND g.state IN ('held', 'paused', 'halted') AND d.digest = g.id AND {OPEN}) AS w \
             CROSS JOIN subscriptions n CROSS JOIN subscribers s WHERE n.subscriber = w.subscriber AND n.feed = $1 \
             AND n.state = 'active'{} AND s.id = n.subscriber AND {UNSUPPRESSED}",
            at(cadence)
        );
        self.reader_groups(newsletter, cadence, &less).await
    }

    async fn reader_groups(
        &self,
        newsletter: &FeedName,
        cadence: Option<Cadence>,
        less: &str,
    ) -> Result<Vec<ReaderGroup>, StoreError> {
        // All of them, less the few whose address is suppressed: a look at each subscriber takes ten times as long.
        let at = at(cadence);
        let sql = format!(
            "SELECT cadence, time_zone, preferred, cursor, CAST(SUM(readers) AS BIGINT) FROM \
             (SELECT n.cadence, n.time_zone, n.preferred, n.cursor, CAST(COUNT(*) AS BIGINT) AS readers FROM subscriptions n \
              WHERE n.feed = $1 AND n.state = 'active'{at} GROUP BY n.cadence, n.time_zone, n.preferred, n.cursor \
              UNION ALL SELECT n.cadence, n.time_zone, n.preferred, n.cursor, CAST(-1 AS BIGINT) \
              FROM suppressions p CROSS JOIN subscribers s CROSS JOIN subscriptions n \
              WHERE {WHOSE_BAN} AND n.subscriber = s.id AND n.feed = $1 AND n.state = 'active'{at}{less}) AS g \
             GROUP BY cadence, time_zone, preferred, cursor HAVING SUM(readers) > 0 ORDER BY cadence, time_zone, preferred, cursor"
        );
        let rows: Vec<GroupColumns> = on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(newsletter.as_str()).fetch_all(pool).await)?;
        rows.into_iter().map(group).collect()
    }
}

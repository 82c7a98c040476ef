//! Who reads feeds, as sums of a day: no address, and nothing that stands for one.

use sqlx::QueryBuilder;

use super::sync::ROWS_PER_STATEMENT;
use super::{Store, StoreError, begin, on};
use crate::domain::readers::Row;

/// A sum of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// `2026-11-24`.
    pub day: String,
    /// The feed: `news`, `tags/harbour`.
    pub feed: String,
    /// `rss`, `atom` or `json`.
    pub format: String,
    /// `service`, `reader`, `browser` or `robot`.
    pub kind: String,
    /// The service.
    pub name: String,
    /// How many.
    pub number: i64,
}

impl Store {
    /// Notes sums of a day, those of services for all who count, the others for `place`. A smaller one than is there
    /// changes nothing: whoever began to count anew goes on below it.
    ///
    /// # Errors
    /// When the database fails; then nothing is noted.
    pub async fn add_reads(&self, day: &str, place: &str, sums: &[(Row, u64)]) -> Result<(), StoreError> {
        // In one order, so that two processes wait for one another and not each for the other.
        let mut sums: Vec<_> = sums.iter().collect();
        sums.sort();
        begin!(self.database, tx => {
            for sums in sums.chunks(ROWS_PER_STATEMENT) {
                let mut insert = QueryBuilder::new("INSERT INTO reads (day, feed, format, kind, name, number) ");
                insert.push_values(sums, |mut values, (row, number)| {
                    let name = if row.kind == "service" { row.name.as_str() } else { place };
                    values.push_bind(day.to_owned()).push_bind(row.feed.clone()).push_bind(row.format.clone());
                    values.push_bind(row.kind).push_bind(name.to_owned()).push_bind(number.cast_signed());
                });
                insert.push(
                    " ON CONFLICT (day, feed, format, kind, name) DO UPDATE SET number = excluded.number \
                     WHERE excluded.number > reads.number",
                );
                insert.build().persistent(false).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Forgets the sums of days before this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_reads(&self, before: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM reads WHERE day < $1";
        on!(self.database, pool => sqlx::query(sql).bind(before).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The sums from a day on, those of all places together, by day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reads_since(&self, day: &str) -> Result<Vec<Reads>, StoreError> {
        let sql = "SELECT day, feed, format, kind, CASE WHEN kind = 'service' THEN name ELSE '' END, \
                   CAST(SUM(number) AS BIGINT) FROM reads WHERE day >= $1 \
                   GROUP BY day, feed, format, kind, CASE WHEN kind = 'service' THEN name ELSE '' END \
                   ORDER BY day, feed, format, kind, 5";
        let rows: Vec<(String, String, String, String, String, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(day).fetch_all(pool).await)?;
        let read = |(day, feed, format, kind, name, number)| Reads { day, feed, format, kind, name, number };
        Ok(rows.into_iter().map(read).collect())
    }
}

//! The archive: the digests that went out, each with its page.

use std::collections::HashSet;

use chrono::TimeDelta;
use sqlx::AssertSqlSafe;

use super::articles::PUBLIC;
use super::digests::{COLUMNS, Columns, digest};
use super::{Store, StoreError, on};
use crate::domain::digest::Digest;
use crate::domain::feed::FeedName;

/// Readers of one slot live no more than 26 hours apart, from UTC-12 to UTC+14.
pub(super) const SAME_WITHIN: TimeDelta = TimeDelta::hours(26);

/// The page of a digest that brings what `$1` brings, at the same cadence, under the same note, to readers elsewhere of
/// the same segment `$7`, or of none.
pub(super) const SAME_PAGE: &str = "SELECT g.page FROM digests g WHERE g.newsletter = $2 AND g.cadence = $3 \
     AND COALESCE(g.note, '') = $4 AND g.segment = $7 AND g.slot BETWEEN $5 AND $6 AND g.id <> $1 AND g.state <> 'cancelled' \
     AND (SELECT COUNT(*) FROM digest_articles d WHERE d.digest = g.id) = (SELECT COUNT(*) FROM digest_articles d WHERE d.digest = $1) \
     AND NOT EXISTS (SELECT 1 FROM digest_articles d WHERE d.digest = g.id \
     AND d.article NOT IN (SELECT o.article FROM digest_articles o WHERE o.digest = $1)) ORDER BY g.id LIMIT 1";

/// The pages of the newsletter `$1` that are called after the day `$2`.
pub(super) const PAGES_OF_DAY: &str =
    "SELECT page FROM digests WHERE newsletter = $1 AND (page = $2 OR page LIKE CAST($2 AS TEXT) || '-%')";

/// The first page called after `day` that is not taken.
pub(super) fn free_page(day: &str, taken: &[String]) -> String {
    let taken: HashSet<&str> = taken.iter().map(String::as_str).collect();
    let mut names = std::iter::once(day.to_owned()).chain((2..).map(|number| format!("{day}-{number}")));
    // There are more names than pages.
    names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
}

/// Has begun to go out, and was not cancelled: its readers have the page's address in their mail. What was paused or
/// halted was being sent before.
const OUT: &str = "IN ('sending', 'sent', 'paused', 'halted')";

/// A digest `g` with a page: it is out, brings something that is still public, and is the first of those that share it.
fn shown() -> String {
    format!(
        "g.state {OUT} AND EXISTS (SELECT 1 FROM digest_articles d JOIN articles a ON a.id = d.article \
         WHERE d.digest = g.id AND {PUBLIC}) AND NOT EXISTS (SELECT 1 FROM digests e \
         WHERE e.newsletter = g.newsletter AND e.page = g.page AND e.id < g.id AND e.state {OUT})"
    )
}

/// The same, and it stands in the archive: what went to a segment was not for everyone, and only its readers know its page.
fn listed() -> String {
    format!("{} AND g.segment = ''", shown())
}

impl Store {
    /// The digests in a newsletter's archive, the last composed first; only those of a year where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn archive(
        &self,
        newsletter: &FeedName,
        year: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM digests g WHERE newsletter = $1 AND ($2 = '' OR SUBSTR(page, 1, 4) = $2) AND {} \
             ORDER BY id DESC LIMIT $3",
            listed()
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Columns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(newsletter.as_str()).bind(year.unwrap_or_default()).bind(limit)
                .fetch_all(pool).await
        })?;
        rows.into_iter().map(digest).collect()
    }

    /// The years of which a newsletter's archive has something, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn archive_years(&self, newsletter: &FeedName) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT SUBSTR(page, 1, 4) AS year FROM digests g WHERE newsletter = $1 AND {} ORDER BY year DESC",
            listed()
        );
        Ok(on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(newsletter.as_str()).fetch_all(pool).await
        })?)
    }

    /// The pages of digests that went to a segment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unlisted_pages(&self, newsletter: &FeedName) -> Result<Vec<String>, StoreError> {
        let sql =
            format!("SELECT page FROM digests g WHERE newsletter = $1 AND segment <> '' AND {} ORDER BY page", shown());
        Ok(on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(newsletter.as_str()).fetch_all(pool).await
        })?)
    }

    /// The digest that stands at a page of a newsletter's archive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest_at(&self, newsletter: &FeedName, page: &str) -> Result<Option<Digest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM digests g WHERE newsletter = $1 AND page = $2 AND {}", shown());
        let row: Option<Columns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(newsletter.as_str()).bind(page).fetch_optional(pool).await
        })?;
        row.map(digest).transpose()
    }

    /// The digests before and after one of the archive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn archive_neighbours(&self, of: &Digest) -> Result<(Option<Digest>, Option<Digest>), StoreError> {
        let sql = |compare: &str, order: &str| {
            format!(
                "SELECT {COLUMNS} FROM digests g WHERE newsletter = $1 AND id {compare} $2 AND {} ORDER BY id {order} LIMIT 1",
                listed()
            )
        };
        let mut found = [None, None];
        for (place, sql) in found.iter_mut().zip([sql("<", "DESC"), sql(">", "ASC")]) {
            let row: Option<Columns> = on!(self.database, pool => {
                sqlx::query_as(AssertSqlSafe(sql))
                    .bind(of.key.newsletter.as_str()).bind(of.id.to_string())
                    .fetch_optional(pool).await
            })?;
            *place = row.map(digest).transpose()?;
        }
        let [before, after] = found;
        Ok((before, after))
    }

    /// Newsletter and page of every digest that changed after `revision`, or of which an article did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn archive_changed_since(&self, revision: i64) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT newsletter, page FROM digests WHERE revision > $1 UNION SELECT g.newsletter, g.page FROM articles a \
                   CROSS JOIN digest_articles d CROSS JOIN digests g WHERE a.revision > $1 AND d.article = a.id AND g.id = d.digest";
        Ok(on!(self.database, pool => sqlx::query_as(sql).bind(revision).fetch_all(pool).await)?)
    }
}

#[cfg(test)]
mod tests {
    use super::free_page;

    #[test]
    fn a_page_is_called_after_its_day_and_numbered_where_that_is_taken() {
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(free_page("2026-11-20", &[]), "2026-11-20");
        assert_eq!(free_page("2026-11-20", &taken(&["2026-11-20"])), "2026-11-20-2");
        assert_eq!(free_page("2026-11-20", &taken(&["2026-11-20", "2026-11-20-2", "2026-11-20-4"])), "2026-11-20-3");
    }
}

//! Entries of feeds elsewhere whose text is that of their pages, or was to be.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::{Store, StoreError, begin, json, on};
use crate::domain::article::ArticleId;

/// What is known of an entry's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullText {
    /// The entry's key in its source.
    pub key: String,
    /// A hash of the entry as it was when its page was asked for.
    pub entry: String,
    /// Whether the article has the page's text.
    pub has_page: bool,
    /// Whether the page is asked for at the next poll.
    pub is_due: bool,
    /// How often it was.
    pub attempts: u32,
    /// Why it did not bring its text.
    pub why: Option<String>,
}

/// How it stands with a source's pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FullTexts {
    /// Articles that have the text of their pages.
    pub whole: u64,
    /// Pages that are asked for at the next poll.
    pub due: u64,
    /// Pages that were given up.
    pub given_up: u64,
    /// Why one of those that did not bring their text did not.
    pub why: Option<String>,
}

impl Store {
    /// What is known of the pages of a source's entries, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn full_texts(&self, source: &str) -> Result<HashMap<String, FullText>, StoreError> {
        let sql = "SELECT key, entry, has_page, is_due, attempts, why FROM full_texts WHERE source = $1";
        type Row = (String, String, bool, bool, i64, Option<String>);
        let rows: Vec<Row> = on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_all(pool).await)?;
        let known = |(key, entry, has_page, is_due, attempts, why): Row| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            (key.clone(), FullText { key, entry, has_page, is_due, attempts, why })
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// Whether pages of a source's entries are still to be asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_due_pages(&self, source: &str) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM full_texts WHERE source = $1 AND is_due";
        let due: i64 = on!(self.database, pool => sqlx::query_scalar(sql).bind(source).fetch_one(pool).await)?;
        Ok(due > 0)
    }

    /// How it stands with a source's pages.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn full_text_tally(&self, source: &str) -> Result<FullTexts, StoreError> {
        let sql = "SELECT COUNT(CASE WHEN has_page THEN 1 END), COUNT(CASE WHEN is_due THEN 1 END), \
                   COUNT(CASE WHEN why IS NOT NULL AND NOT is_due THEN 1 END), MAX(why) FROM full_texts WHERE source = $1";
        let (whole, due, given_up, why): (i64, i64, i64, Option<String>) =
            on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_one(pool).await)?;
        let number = |number: i64| number.unsigned_abs();
        Ok(FullTexts { whole: number(whole), due: number(due), given_up: number(given_up), why })
    }

    /// Notes what came of asking for pages.
    ///
    /// # Errors
    /// When the database fails; then nothing is noted.
    pub async fn note_full_texts(&self, source: &str, noted: &[FullText]) -> Result<(), StoreError> {
        let sql = "INSERT INTO full_texts (source, key, entry, has_page, is_due, attempts, why) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                   ON CONFLICT (source, key) DO UPDATE SET entry = excluded.entry, has_page = excluded.has_page, \
                   is_due = excluded.is_due, attempts = excluded.attempts, why = excluded.why";
        begin!(self.database, tx => {
            for one in noted {
                sqlx::query(sql)
                    .bind(source).bind(&one.key).bind(&one.entry).bind(one.has_page).bind(one.is_due)
                    .bind(i64::from(one.attempts)).bind(&one.why).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// Forgets all that is known of a source's pages.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_full_texts(&self, source: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM full_texts WHERE source = $1";
        on!(self.database, pool => sqlx::query(sql).bind(source).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The bodies of these articles.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bodies(&self, articles: &[ArticleId]) -> Result<HashMap<String, String>, StoreError> {
        let sql = format!("SELECT article, html FROM bodies WHERE article IN {}", self.database.list(1));
        let rows: Vec<(String, String)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(json(articles)).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().collect())
    }
}

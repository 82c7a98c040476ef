//! Indexes that a first sync goes without.
//!
//! Each article stands in these in an order of its own: by date, by shelf, by volume. What comes in no order touches nearly
//! every page of an index with every batch, so the more there is the dearer each article becomes. Made at the end, an index
//! is sorted once and written once.
//!
//! That they are missing is noted by the transaction that drops them: whoever was killed before the end leaves the note, and
//! the next sync, which goes on from there, makes them at its own.

use sqlx::AssertSqlSafe;

use super::dialect::{Database, SCHEMA};
use super::facts::SET_FACT;
use super::{Store, StoreError};

/// Under this name the store notes that they are missing.
const MISSING: &str = "orderings_missing";

/// Those that no statement of a first sync looks into.
const LATER: [&str; 7] = [
    "articles_release",
    "articles_revision",
    "articles_date",
    "articles_featured",
    "entries_date",
    "bindings_volume",
    "shelved_date",
];

/// How each is made, as the tables are.
fn definitions() -> impl Iterator<Item = &'static str> {
    let is_later = |rest: &str| LATER.iter().any(|name| rest.split(' ').next() == Some(name));
    SCHEMA.lines().filter_map(move |line| line.strip_prefix("CREATE INDEX ").filter(|rest| is_later(rest)))
}

impl Store {
    /// Begins the very first sync with SQLite: drops these indexes if there never was an article and no source was synced.
    /// Returns whether it did. PostgreSQL keeps them: others may be at work there, and such a step waits for all of them.
    ///
    /// # Errors
    /// When the database fails; then they are there.
    pub async fn drop_orderings(&self) -> Result<bool, StoreError> {
        let Database::Sqlite { bulk, .. } = &self.database else { return Ok(false) };
        let mut tx = bulk.begin_with("BEGIN IMMEDIATE").await?;
        let is_new = "SELECT NOT EXISTS (SELECT 1 FROM articles) AND NOT EXISTS (SELECT 1 FROM sources)";
        if !sqlx::query_scalar::<_, bool>(is_new).fetch_one(&mut *tx).await? {
            return Ok(false);
        }
        for name in LATER {
            sqlx::query(AssertSqlSafe(format!("DROP INDEX IF EXISTS {name}"))).execute(&mut *tx).await?;
        }
        sqlx::query(SET_FACT).bind(MISSING).bind("").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Makes them, where they are missing. Whoever asks where they are not is answered by one look.
    ///
    /// # Errors
    /// When the database fails; then they are as they were.
    pub async fn make_orderings(&self) -> Result<(), StoreError> {
        let Database::Sqlite { pool, .. } = &self.database else { return Ok(()) };
        if self.fact(MISSING).await?.is_none() {
            return Ok(());
        }
        // A table that is sorted goes through whatever memory there is, to the disk and back: little does as well.
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        for definition in definitions() {
            let make = format!("CREATE INDEX IF NOT EXISTS {definition}");
            sqlx::query(AssertSqlSafe(make)).execute(&mut *tx).await?;
        }
        sqlx::query("DELETE FROM facts WHERE name = $1").bind(MISSING).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_made_as_the_tables_are() {
        assert_eq!(definitions().count(), LATER.len());
        assert!(definitions().all(|definition| definition.ends_with(';')));
    }
}

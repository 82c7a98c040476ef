//! Single facts about the publication: keys that sign links, what was published last.

use super::{Store, StoreError, on};

/// Keeps a value under a name, in place of what was there.
pub(super) const SET_FACT: &str =
    "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

impl Store {
    /// The value kept under `name`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM facts WHERE name = $1";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).bind(name).fetch_optional(pool).await)?)
    }

    /// Keeps `value` under `name`, in place of what was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        on!(self.database, pool => sqlx::query(SET_FACT).bind(name).bind(value).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The value kept under `name`, or else `value`, kept from now on: two processes that ask at once get the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fact_or(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let sql = "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        on!(self.database, pool => sqlx::query(sql).bind(name).bind(value).execute(pool).await.map(drop))?;
        self.fact(name).await?.ok_or_else(|| StoreError::Corrupt(format!("fact {name} vanished")))
    }
}

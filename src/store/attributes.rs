//! What else is known of subscribers.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::{Store, StoreError, begin, id, json, on};
use crate::domain::attributes::{AttributeFault, Attributes};
use crate::domain::subscription::SubscriberId;

pub(super) fn attributes(kept: &str) -> Result<Attributes, StoreError> {
    Attributes::parse(kept).map_err(|fault| StoreError::Corrupt(fault.to_string()))
}

impl Store {
    /// The attributes of these people, of those who have any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attributes_of(&self, who: &[SubscriberId]) -> Result<HashMap<SubscriberId, Attributes>, StoreError> {
        let sql = format!(
            "SELECT id, attributes FROM subscribers WHERE id IN {} AND attributes IS NOT NULL",
            self.database.list(1)
        );
        let rows: Vec<(String, String)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(json(who)).fetch_all(pool).await)?;
        rows.iter().map(|(key, kept)| Ok((SubscriberId(id(key)?), attributes(kept)?))).collect()
    }

    /// Sets some attributes of someone and removes others. Returns what they are then; nothing happens where there is no such
    /// person, or where they would be too many.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub async fn change_attributes(
        &self,
        who: SubscriberId,
        set: &Attributes,
        unset: &[String],
    ) -> Result<Result<Attributes, AttributeFault>, StoreError> {
        // The row is locked: two who change different attributes both find theirs.
        let hold = "UPDATE subscribers SET attributes = attributes WHERE id = $1 RETURNING attributes";
        let write = "UPDATE subscribers SET attributes = $2 WHERE id = $1";
        let changed = begin!(self.database, tx => {
            let kept: Option<Option<String>> = sqlx::query_scalar(hold).bind(who.to_string()).fetch_optional(&mut *tx).await?;
            let known = kept.flatten().as_deref().map(attributes).transpose()?.unwrap_or_default();
            let changed = known.without(unset).with(set.clone());
            if let Ok(changed) = &changed {
                let kept = (!changed.is_empty()).then(|| changed.to_json());
                sqlx::query(write).bind(who.to_string()).bind(kept).execute(&mut *tx).await?;
                tx.commit().await?;
            }
            changed
        });
        Ok(changed)
    }
}

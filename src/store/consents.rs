//! The ledger of what readers agreed to and took back, written in the transaction in which it happens.
//!
//! Of an import it has no line: a million of them would take as long as the import itself. Their subscriptions say when
//! they came and when they were confirmed elsewhere, and the lines are made of that when they are read. Lines that an export
//! of ours brought stand here.

use std::collections::{HashMap, HashSet};

use sqlx::AssertSqlSafe;

use super::{Store, StoreError, instant, json, on};
use crate::domain::consent::{Entry, Source, Step};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::SubscriberId;

/// Subscriber, feed, step, cadence: a line to be written.
pub(super) type Line = (String, String, &'static str, Option<String>);

pub(super) const LINE: [(&str, &str); 4] =
    [("subscriber", "TEXT"), ("feed", "TEXT"), ("step", "TEXT"), ("cadence", "TEXT")];

/// Writes lines of one consent in the transaction `$tx`.
macro_rules! record {
    ($store:expr, $tx:ident, $consent:expr, $lines:expr) => {{
        let (lines, consent): (&[$crate::store::consents::Line], &$crate::domain::consent::Consent) = (&$lines, &$consent);
        if !lines.is_empty() {
            let sql = format!(
                "INSERT INTO consents (subscriber, at, feed, step, cadence, source, text_version, ip) \
                 SELECT subscriber, CAST($2 AS BIGINT), feed, step, cadence, CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT) \
                 FROM {} AS r WHERE true ON CONFLICT (subscriber, at, feed, step) DO NOTHING",
                $store.database.rows(1, &$crate::store::consents::LINE)
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind($crate::store::json(lines)).bind($crate::store::millis(consent.at)).bind(consent.source.as_str())
                .bind(consent.text_version.as_deref()).bind(consent.ip.map(|ip| ip.to_string()))
                .execute(&mut *$tx).await?;
        }
    }};
}
pub(super) use record;

type Columns = (String, i64, String, String, Option<String>, String, Option<String>, Option<String>, i64);

impl Store {
    /// What someone agreed to and took back, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consents_of(&self, who: SubscriberId) -> Result<Vec<Entry>, StoreError> {
        Ok(self.consents(&[who]).await?.remove(&who).unwrap_or_default())
    }

    /// The same for several people.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consents(&self, of: &[SubscriberId]) -> Result<HashMap<SubscriberId, Vec<Entry>>, StoreError> {
        // One person is found by the index whatever PostgreSQL believes of the length of a list.
        let (these, ids) = match of {
            [one] => ("= $1".to_owned(), one.to_string()),
            _ => (format!("IN {}", self.database.list(1)), json(of)),
        };
        let sql = format!(
            "SELECT subscriber, at, feed, step, cadence, source, text_version, ip, CAST(0 AS BIGINT) AS derived FROM consents \
             WHERE subscriber {these} \
             UNION ALL SELECT subscriber, imported_at, feed, 'imported', cadence, 'import', NULL, NULL, 1 FROM subscriptions \
             WHERE subscriber {these} AND imported_at IS NOT NULL \
             UNION ALL SELECT subscriber, confirmed_at, feed, 'confirmed', NULL, 'import', NULL, NULL, 1 FROM subscriptions \
             WHERE subscriber {these} AND confirmed_at < imported_at"
        );
        let mut rows: Vec<Columns> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        // What is derived knows only how often it comes now.
        let is_kept = |row: &Columns| row.8 == 0;
        let changed: HashSet<(String, String)> =
            rows.iter().filter(|row| is_kept(row)).map(|row| (row.0.clone(), row.2.clone())).collect();
        // Whose ledger came along needs no line that is made up for what is in it.
        let whose = |row: &Columns| (row.0.clone(), row.2.clone());
        let imported: HashMap<(String, String), i64> =
            rows.iter().filter(|row| !is_kept(row) && row.3 == "imported").map(|row| (whose(row), row.1)).collect();
        let brought: HashSet<(String, String)> = rows
            .iter()
            .filter(|row| is_kept(row) && imported.get(&whose(row)).is_some_and(|at| row.1 < *at))
            .map(whose)
            .collect();
        rows.retain(|row| is_kept(row) || row.3 == "imported" || !brought.contains(&whose(row)));
        for row in rows.iter_mut().filter(|row| !is_kept(row)) {
            if changed.contains(&(row.0.clone(), row.2.clone())) {
                row.4 = None;
            }
        }
        let mut entries: HashMap<SubscriberId, Vec<Entry>> = HashMap::new();
        for (who, at, feed, step, cadence, source, text_version, ip, _) in rows {
            let corrupt = || StoreError::Corrupt(format!("consent {feed} {step} {source}"));
            entries.entry(SubscriberId(super::id(&who)?)).or_default().push(Entry {
                at: instant(at)?,
                step: Step::parse(&step).ok_or_else(corrupt)?,
                feed: if feed.is_empty() { None } else { Some(FeedName::parse(&feed).ok_or_else(corrupt)?) },
                cadence: cadence.as_deref().and_then(Cadence::parse),
                source: Source::parse(&source).ok_or_else(corrupt)?,
                text_version,
                ip,
            });
        }
        for list in entries.values_mut() {
            list.sort_by(|a, b| (a.at, a.step, &a.feed).cmp(&(b.at, b.step, &b.feed)));
        }
        Ok(entries)
    }
}

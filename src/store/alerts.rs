//! What went out in instant digests: a reader who had an article as an alert is told so in the digest that follows.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::deliveries::Claimed;
use super::{Store, StoreError, id, json, on};
use crate::domain::article::ArticleId;
use crate::domain::digest::DigestId;

/// An article of a digest that an instant digest brings as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The article.
    pub article: ArticleId,
    /// Its release: who stood further on did not get it by that digest.
    pub number: i64,
    /// The instant digest, of whichever newsletter.
    pub by: DigestId,
}

impl Store {
    /// The articles of a digest that other digests, instant ones, bring as well.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alerts_in(&self, digest: DigestId) -> Result<Vec<Alert>, StoreError> {
        let sql = "SELECT o.article, o.release_number, g.id FROM digest_articles d JOIN digest_articles o ON o.article = d.article \
                   JOIN digests g ON g.id = o.digest WHERE d.digest = $1 AND g.id <> $1 AND g.cadence = 'instant' ORDER BY o.article";
        let rows: Vec<(String, i64, String)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(digest.to_string()).fetch_all(pool).await)?;
        let alert = |(article, number, by): (String, i64, String)| {
            Ok(Alert { article: ArticleId(id(&article)?), number, by: DigestId(id(&by)?) })
        };
        rows.into_iter().map(alert).collect()
    }

    /// Says for each of these deliveries which articles its reader was sent by an instant digest before; `alerts` are
    /// those of the digests that they are of. One statement, and none where there are no alerts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_alerted(
        &self,
        claimed: &mut [Claimed],
        alerts: &HashMap<DigestId, Vec<Alert>>,
    ) -> Result<(), StoreError> {
        let mut by: Vec<String> = alerts.values().flatten().map(|alert| alert.by.to_string()).collect();
        by.sort_unstable();
        by.dedup();
        if by.is_empty() {
            return Ok(());
        }
        let readers: Vec<String> = claimed
            .iter()
            .filter(|one| alerts.get(&one.digest).is_some_and(|alerts| !alerts.is_empty()))
            .map(|one| one.subscriber.to_string())
            .collect();
        let sql = format!(
            "SELECT digest, subscriber, cursor_from FROM deliveries WHERE digest IN {} AND subscriber IN {} AND state = 'sent'",
            self.database.list(1),
            self.database.list(2)
        );
        let rows: Vec<(String, String, i64)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(json(&by)).bind(json(&readers)).fetch_all(pool).await
        })?;
        let mut cursors = HashMap::new();
        for (digest, subscriber, cursor_from) in rows {
            cursors.insert((DigestId(id(&digest)?), id(&subscriber)?), cursor_from);
        }
        for one in claimed {
            let brought = |alert: &&Alert| {
                let had = cursors.get(&(alert.by, one.subscriber.0));
                alert.number > one.cursor_from && had.is_some_and(|cursor_from| alert.number > *cursor_from)
            };
            let of_digest = alerts.get(&one.digest).into_iter().flatten();
            one.alerted = of_digest.filter(brought).map(|alert| alert.article).collect();
            // Two instant digests may have brought the same; they stand in the order of articles.
            one.alerted.dedup();
        }
        Ok(())
    }
}

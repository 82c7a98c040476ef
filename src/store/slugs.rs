//! Where an article is that is not at an address any more.

use sqlx::AssertSqlSafe;

use super::articles::PUBLIC;
use super::{Store, StoreError, json, on};
use crate::domain::article::Whereabouts;

/// Says that what is known by a slug of before is `$2` from now on.
pub(super) const FORMER: &str = "INSERT INTO former_slugs (slug, article) VALUES ($1, $2) \
     ON CONFLICT (slug) DO UPDATE SET article = excluded.article";

/// Says that an article stood at a path before.
pub(super) const ALIAS: &str =
    "INSERT INTO aliases (path, article) VALUES ($1, $2) ON CONFLICT (path, article) DO NOTHING";

/// The articles that changed after the revision bound as parameter `number`, and those that name such by a slug that it has or had.
pub(super) fn changed_or_naming(number: usize) -> String {
    format!(
        "SELECT c.id FROM articles c WHERE c.revision > ${number} \
         UNION SELECT m.article FROM articles c JOIN mentions m ON m.slug = c.slug WHERE c.revision > ${number} \
         UNION SELECT m.article FROM articles c JOIN former_slugs f ON f.article = c.id \
         JOIN mentions m ON m.slug = f.slug WHERE c.revision > ${number}"
    )
}

impl Store {
    /// What became of the address with this slug, where no public article has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn whereabouts(&self, slug: &str) -> Result<Whereabouts, StoreError> {
        // Who had the slug last comes before who had it once.
        let own = "SELECT 1 FROM articles WHERE slug = $1 AND release_number IS NOT NULL LIMIT 1";
        let former = format!(
            "SELECT a.slug, CASE WHEN {PUBLIC} THEN 1 ELSE 0 END FROM former_slugs f JOIN articles a ON a.id = f.article \
             WHERE f.slug = $1"
        );
        let own: Option<i32> =
            on!(self.database, pool => sqlx::query_scalar(own).bind(slug).fetch_optional(pool).await)?;
        if own.is_some() {
            return Ok(Whereabouts::Gone);
        }
        let former: Option<(String, i32)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(former)).bind(slug).fetch_optional(pool).await
        })?;
        Ok(match former {
            Some((now, 1)) => Whereabouts::Moved(now),
            Some(_) => Whereabouts::Gone,
            None => Whereabouts::Unknown,
        })
    }

    /// Every address of before that leads to a public article, with the slug that this has now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moved(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = format!(
            "SELECT f.slug, a.slug FROM former_slugs f JOIN articles a ON a.id = f.article WHERE {PUBLIC} \
             AND NOT EXISTS (SELECT 1 FROM articles o WHERE o.slug = f.slug AND o.release_number IS NOT NULL) ORDER BY f.slug"
        );
        Ok(on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await)?)
    }

    /// What became of an article that says that it stood at this path before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn whereabouts_of_alias(&self, path: &str) -> Result<Whereabouts, StoreError> {
        // Of several who say so, the one that came out last.
        let sql = format!(
            "SELECT a.slug, CASE WHEN {PUBLIC} THEN 1 ELSE 0 END AS is_public FROM aliases l JOIN articles a ON a.id = l.article \
             WHERE l.path = $1 AND a.release_number IS NOT NULL ORDER BY is_public DESC, a.release_number DESC LIMIT 1"
        );
        let found: Option<(String, i32)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(path).fetch_optional(pool).await
        })?;
        Ok(match found {
            Some((now, 1)) => Whereabouts::Moved(now),
            Some(_) => Whereabouts::Gone,
            None => Whereabouts::Unknown,
        })
    }

    /// Every path at which a public article says that it stood before, with the slug that this has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn aliases(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = format!(
            "SELECT l.path, a.slug FROM aliases l JOIN articles a ON a.id = l.article WHERE {PUBLIC} ORDER BY l.path, a.release_number"
        );
        Ok(on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await)?)
    }

    /// The slugs that public articles have now which had these before, by the slug of before.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn moved_to(&self, slugs: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        let sql = format!(
            "SELECT f.slug, a.slug FROM former_slugs f JOIN articles a ON a.id = f.article WHERE {PUBLIC} AND f.slug IN {}",
            self.database.list(1)
        );
        Ok(on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(json(slugs)).fetch_all(pool).await)?)
    }
}

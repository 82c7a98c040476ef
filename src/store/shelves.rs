//! Shelves: which articles stand on which, and their addresses, which stay for as long as the store does.
//!
//! What leaves a shelf leaves a row that says so, and the next [`Store::settle_shelves`], which alone says what changed,
//! says since when: so a sync writes rows, and looks at no shelf.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::articles::PUBLIC;
use super::facts::SET_FACT;
use super::slugs::changed_or_naming;
use super::sync::ROWS_PER_STATEMENT;
use super::volumes::deleted;
use super::{NEXT_REVISION, Store, StoreError, begin, id, instant, json, millis, on};
use crate::domain::article::{ArticleId, Released};
use crate::domain::entry::Deleted;
use crate::domain::shelf::{self, Kind, Kinds, Shelf};

/// Under this name the store keeps up to which revision shelves are settled.
const SETTLED: &str = "shelves_settled";
/// And under this one how many words have none.
const REFUSED: &str = "shelves_refused";

/// The revision, locked until the commit.
const HOLD_REVISION: &str = "UPDATE counters SET value = value + 0 WHERE name = 'revision' RETURNING value";

/// An article on a shelf: the shelf's key, the article, its date, the word as it writes it.
pub(super) type Shelved = (String, ArticleId, DateTime<Utc>, String);

/// Takes the articles of the list `{list}` from their shelves.
pub(super) fn unshelve(list: &str) -> String {
    format!("UPDATE shelved SET gone = TRUE WHERE NOT gone AND article IN {list}")
}

/// Puts articles on shelves; `$shelved` is a list of [`Shelved`].
macro_rules! insert_shelved {
    ($tx:expr, $shelved:expr) => {
        for shelved in $shelved.chunks($crate::store::sync::ROWS_PER_STATEMENT) {
            let mut insert = sqlx::QueryBuilder::new("INSERT INTO shelved (shelf, article, date, word, gone) ");
            insert.push_values(shelved, |mut values, (shelf, article, date, word)| {
                values
                    .push_bind(shelf.clone())
                    .push_bind(article.to_string())
                    .push_bind($crate::store::millis(*date))
                    .push_bind(word.clone())
                    .push_bind(false);
            });
            insert.push(
                " ON CONFLICT (article, shelf) DO UPDATE SET date = excluded.date, word = excluded.word, gone = FALSE, left_at = NULL",
            );
            let is_full = shelved.len() == $crate::store::sync::ROWS_PER_STATEMENT;
            insert.build().persistent(is_full).execute(&mut *$tx).await?;
        }
    };
}
pub(super) use insert_shelved;

type ShelfColumns = (String, String, String, i64, i64, i64);

const COLUMNS: &str = "h.kind, h.word, h.slug, h.revision, h.created_at, h.changed_at";

fn read((kind, word, slug, revision, created_at, changed_at): ShelfColumns) -> Result<Shelf, StoreError> {
    Ok(Shelf {
        kind: Kind::named(&kind).ok_or_else(|| StoreError::Corrupt(format!("shelf of kind {kind}")))?,
        word,
        slug,
        revision,
        created_at: instant(created_at)?,
        changed_at: instant(changed_at)?,
    })
}

#[derive(Deserialize)]
struct Words {
    authors: Vec<String>,
    tags: Vec<String>,
}

impl Store {
    /// Puts every article on its shelves anew.
    ///
    /// # Errors
    /// When the database fails; then everything stands where it was.
    pub async fn rebuild_shelves(&self, kinds: Kinds) -> Result<(), StoreError> {
        const PAGE: &str = "SELECT id, section, details, date FROM articles \
             WHERE withdrawn_at IS NULL AND NOT draft AND id > $1 ORDER BY id LIMIT 1000";
        type Row = (String, Option<String>, String, i64);
        begin!(self.database, tx => {
            sqlx::query(NEXT_REVISION).execute(&mut *tx).await?;
            sqlx::query("UPDATE shelved SET gone = TRUE WHERE NOT gone").execute(&mut *tx).await?;
            let mut after = String::new();
            while !kinds.is_empty() {
                let rows: Vec<Row> = sqlx::query_as(PAGE).bind(&after).fetch_all(&mut *tx).await?;
                let Some(last) = rows.last() else { break };
                after.clone_from(&last.0);
                let mut shelved: Vec<Shelved> = vec![];
                for (article, section, details, date) in &rows {
                    let words: Words = serde_json::from_str(details)
                        .map_err(|error| StoreError::Corrupt(format!("details of {article}: {error}")))?;
                    let (article, date) = (ArticleId(id(article)?), instant(*date)?);
                    let places = shelf::places(section.as_deref(), &words.tags, &words.authors, kinds);
                    shelved.extend(places.iter().map(|place| (place.key(), article, date, place.word.to_owned())));
                }
                insert_shelved!(tx, shelved);
            }
            // Other kinds are shelves now: nothing has left any.
            sqlx::query("DELETE FROM shelved WHERE gone AND left_at IS NULL").execute(&mut *tx).await?;
            sqlx::query(SET_FACT).bind(SETTLED).bind("-1").execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// Gives shelves to the words of articles that changed since the last time, as long as fewer than `most` are in use,
    /// and marks those whose articles changed. Whoever has done so already costs one question.
    ///
    /// # Errors
    /// When the database fails; then nothing is settled.
    pub async fn settle_shelves(&self, most: usize, now: DateTime<Utc>) -> Result<(), StoreError> {
        let since =
            "SELECT c.value, f.value FROM counters c LEFT JOIN facts f ON f.name = $1 WHERE c.name = 'revision'";
        let (revision, settled): (i64, Option<String>) =
            on!(self.database, pool => sqlx::query_as(since).bind(SETTLED).fetch_one(pool).await)?;
        if settled.is_some_and(|settled| settled == revision.to_string()) {
            return Ok(());
        }
        // The entries of those who name what changed link to it by its title.
        let touch = format!(
            "UPDATE shelves SET revision = $2, changed_at = $3 WHERE $1 < 0 \
             OR shelf IN (SELECT s.shelf FROM shelved s WHERE s.left_at IS NULL AND s.article IN ({}))",
            changed_or_naming(1)
        );
        let standing = format!(
            "FROM shelved s JOIN articles a ON a.id = s.article WHERE s.shelf = shelves.shelf AND NOT s.gone AND {PUBLIC}"
        );
        let look = format!(
            "UPDATE shelves SET is_live = EXISTS (SELECT 1 {standing}), word = COALESCE((SELECT s.word {standing} \
             ORDER BY s.date DESC, s.article DESC LIMIT 1), word) WHERE revision = $1"
        );
        begin!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(HOLD_REVISION).fetch_one(&mut *tx).await?;
            let settled: Option<String> =
                sqlx::query_scalar("SELECT value FROM facts WHERE name = $1").bind(SETTLED).fetch_optional(&mut *tx).await?;
            let settled: i64 = settled.and_then(|settled| settled.parse().ok()).unwrap_or(-1);
            let live: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shelves WHERE is_live").fetch_one(&mut *tx).await?;
            let room = i64::try_from(most).unwrap_or(i64::MAX).saturating_sub(live).max(0);
            let fresh: Vec<(String, String, i64)> =
                sqlx::query_as(AssertSqlSafe(fresh())).bind(settled).bind(room).fetch_all(&mut *tx).await?;
            let is_full = fresh.len() == usize::try_from(room).unwrap_or(usize::MAX);
            let known: Vec<(String, String)> = match fresh.len() {
                0 => vec![],
                _ => sqlx::query_as("SELECT kind, slug FROM shelves").fetch_all(&mut *tx).await?,
            };
            for rows in addressed(fresh, known).chunks(ROWS_PER_STATEMENT) {
                let mut insert = QueryBuilder::new(
                    "INSERT INTO shelves (shelf, kind, slug, word, is_live, revision, created_at, changed_at) ",
                );
                insert.push_values(rows, |mut values, (key, kind, slug, word)| {
                    values.push_bind(key.clone()).push_bind(kind.as_str()).push_bind(slug.clone()).push_bind(word.clone());
                    values.push_bind(true).push_bind(-1_i64).push_bind(millis(now)).push_bind(millis(now));
                });
                insert.build().persistent(false).execute(&mut *tx).await?;
            }
            // A revision of its own: whoever published between the articles and this has to do so again.
            let touched = sqlx::query(AssertSqlSafe(touch))
                .bind(settled).bind(revision + 1).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
            let mut reached = revision;
            if touched > 0 {
                reached = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
                sqlx::query(AssertSqlSafe(look)).bind(reached).execute(&mut *tx).await?;
            }
            let refused: i64 = if is_full {
                sqlx::query_scalar(AssertSqlSafe(without())).fetch_one(&mut *tx).await?
            } else {
                0
            };
            // Whatever is gone went with an article that changed since. Nobody knows of what never was public.
            let unknown = "DELETE FROM shelved WHERE gone AND left_at IS NULL AND EXISTS \
                           (SELECT 1 FROM articles a WHERE a.id = shelved.article AND a.release_number IS NULL)";
            sqlx::query(unknown).execute(&mut *tx).await?;
            let left = "UPDATE shelved SET left_at = $1 WHERE gone AND left_at IS NULL";
            sqlx::query(left).bind(millis(now)).execute(&mut *tx).await?;
            for (name, value) in [(SETTLED, reached), (REFUSED, refused)] {
                sqlx::query(SET_FACT).bind(name).bind(value.to_string()).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// How many words had no shelf when they were settled last, because there were too many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn words_without_shelf(&self) -> Result<u64, StoreError> {
        Ok(self.fact(REFUSED).await?.and_then(|refused| refused.parse().ok()).unwrap_or(0))
    }

    /// Every shelf on which something public stands, by kind and address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shelves(&self) -> Result<Vec<Shelf>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM shelves h WHERE h.is_live");
        let rows: Vec<ShelfColumns> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await)?;
        let mut shelves = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // Not in SQL: engines sort texts differently.
        shelves.sort_by(|one, other| (one.kind, &one.slug).cmp(&(other.kind, &other.slug)));
        Ok(shelves)
    }

    /// The shelf at an address, if something public stands on it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shelf(&self, kind: Kind, slug: &str) -> Result<Option<Shelf>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM shelves h WHERE h.kind = $1 AND h.slug = $2 AND h.is_live");
        let row: Option<ShelfColumns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(kind.as_str()).bind(slug).fetch_optional(pool).await
        })?;
        row.map(read).transpose()
    }

    /// What left a shelf, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left_shelf(&self, shelf: &Shelf, limit: usize) -> Result<Vec<Deleted>, StoreError> {
        let sql = "SELECT a.entry_id, s.left_at FROM shelves h JOIN shelved s ON s.shelf = h.shelf \
                   JOIN articles a ON a.id = s.article WHERE h.kind = $1 AND h.slug = $2 AND s.left_at IS NOT NULL \
                   ORDER BY s.left_at DESC, s.article DESC LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(String, i64)> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(shelf.kind.as_str()).bind(&shelf.slug).bind(limit).fetch_all(pool).await
        })?;
        rows.into_iter().map(deleted).collect()
    }

    /// The newest articles on a shelf, by date.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_on(&self, shelf: &Shelf, limit: usize) -> Result<Vec<Released>, StoreError> {
        let from = "shelves h JOIN shelved s ON s.shelf = h.shelf JOIN articles a ON a.id = s.article";
        let which = "h.kind = $1 AND h.slug = $2 AND NOT s.gone";
        let texts = [shelf.kind.as_str(), &shelf.slug];
        self.newest_from(from, which, "s.date DESC, s.article DESC", &texts, limit).await
    }

    /// The addresses of the shelves that these articles stand on, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shelves_under(&self, articles: &[ArticleId]) -> Result<HashMap<String, String>, StoreError> {
        if articles.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT DISTINCT h.shelf, h.slug FROM shelved s JOIN shelves h ON h.shelf = s.shelf \
             WHERE NOT s.gone AND h.is_live AND s.article IN {}",
            self.database.list(1)
        );
        let articles = json(articles);
        let rows: Vec<(String, String)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(articles).fetch_all(pool).await)?;
        Ok(rows.into_iter().collect())
    }
}

/// The words without a shelf of what changed since `$1`, `$2` of them: first those that most articles bear.
/// SQLite takes the tables of a CROSS JOIN in their order: what changed first, not every shelf from end to end to have them
/// grouped.
fn fresh() -> String {
    format!(
        "SELECT f.shelf, f.word, f.articles FROM (\
             SELECT s.shelf, MIN(s.word) AS word, COUNT(*) AS articles FROM articles a CROSS JOIN shelved s \
             WHERE s.article = a.id AND a.revision > $1 AND NOT s.gone AND {PUBLIC} GROUP BY s.shelf\
         ) AS f WHERE NOT EXISTS (SELECT 1 FROM shelves h WHERE h.shelf = f.shelf) \
         ORDER BY f.articles DESC, f.shelf LIMIT $2"
    )
}

/// How many words have no shelf.
fn without() -> String {
    format!(
        "SELECT COUNT(DISTINCT s.shelf) FROM shelved s JOIN articles a ON a.id = s.article WHERE NOT s.gone AND {PUBLIC} \
         AND NOT EXISTS (SELECT 1 FROM shelves h WHERE h.shelf = s.shelf)"
    )
}

/// Each new shelf with its address. Where several words meet in one, the one that most articles bear has it, then the one
/// that it says as it is, then the first.
fn addressed(
    mut fresh: Vec<(String, String, i64)>,
    known: Vec<(String, String)>,
) -> Vec<(String, Kind, String, String)> {
    let mut taken: HashSet<(String, String)> = known.into_iter().collect();
    fresh.sort_by_cached_key(|(key, word, count)| (-count, !shelf::is_plain(word), key.clone()));
    let mut addressed = Vec::with_capacity(fresh.len());
    for (key, word, _) in fresh {
        let Some(kind) = key.split('/').next().and_then(Kind::named) else { continue };
        let slug = shelf::address(&word, |slug| taken.contains(&(kind.as_str().to_owned(), slug.to_owned())));
        taken.insert((kind.as_str().to_owned(), slug.clone()));
        addressed.push((key, kind, slug, word));
    }
    addressed
}

//! What a sync writes: articles with their entries, complaints about files, and how far each source has come.
//!
//! Whatever changes articles takes its revision within the transaction that changes them: who reads the revision
//! first and the articles after it sees everything up to that revision.

mod rows;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder};

pub(super) use self::rows::insert_entries;
use self::rows::{insert_complaints, insert_mentions, update_touched, upsert_articles, upsert_bodies};
use super::articles::details_json;
use super::shelves::{Shelved, insert_shelved, unshelve};
use super::slugs::{ALIAS, FORMER};
use super::volumes::settle;
use super::{NEXT_REVISION, Store, StoreError, begin_bulk, id, instant, json, millis, on};
use crate::domain::article::{Article, ArticleId};
use crate::domain::feed::FeedName;
use crate::domain::shelf::{Kinds, places_of};
use crate::problem::Problem;

/// Rows per statement: 21 columns stay well under SQLite's 32,766 parameters, and the ~40 µs that a statement
/// costs are spread over enough rows to vanish. A batch of a sync is a multiple: what is left over is read by the database
/// anew each time.
pub(super) const ROWS_PER_STATEMENT: usize = 256;

/// What the store remembers of a file, to see whether it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// The article that it became.
    pub id: ArticleId,
    /// The article's slug.
    pub slug: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// Hash of its bytes.
    pub content_hash: String,
    /// No longer in its source.
    pub withdrawn: bool,
}

/// What an article is called, and since when it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Titled {
    /// Which.
    pub id: ArticleId,
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Its date.
    pub date: DateTime<Utc>,
}

/// A file that became an article.
#[derive(Debug)]
pub struct FileRow {
    /// The article.
    pub article: Article,
    /// Its file says that it comes out without a mail.
    pub archive: bool,
    /// Paths at which it stood before.
    pub aliases: Vec<String>,
    /// See [`KnownFile`].
    pub size: u64,
    /// See [`KnownFile`].
    pub modified_ns: i64,
    /// See [`KnownFile`].
    pub content_hash: String,
    /// The feeds that take it.
    pub feeds: Vec<FeedName>,
}

/// Everything to complain about in one file, as it was when it had this size and time.
#[derive(Debug, Clone)]
pub struct Complaint {
    /// Path below the source.
    pub key: String,
    /// See [`KnownFile`].
    pub size: u64,
    /// See [`KnownFile`].
    pub modified_ns: i64,
    /// The complaints; their `file` is the key's name for people.
    pub problems: Vec<Problem>,
}

type KnownColumns = (String, String, String, i64, i64, String, bool);

const KNOWN: &str =
    "SELECT key, id, slug, size, modified_ns, content_hash, withdrawn_at IS NOT NULL FROM articles WHERE source = $1";

fn known_file(columns: KnownColumns) -> Result<(String, KnownFile), StoreError> {
    let (key, article, slug, size, modified_ns, content_hash, withdrawn) = columns;
    let id = ArticleId(id(&article)?);
    Ok((key, KnownFile { id, slug, size: size.cast_unsigned(), modified_ns, content_hash, withdrawn }))
}

type ComplaintColumns = (String, Option<i64>, String, Option<String>, i64, i64);

/// Gives the article `$1` the key `$2`, unless another sync was faster and the key is taken.
const MOVE: &str = "UPDATE articles SET key = $2 WHERE id = $1 AND NOT EXISTS \
     (SELECT 1 FROM articles o WHERE o.source = articles.source AND o.key = $2)";

/// What one batch of a sync writes.
#[derive(Debug, Default)]
pub struct SyncBatch {
    /// New and changed articles.
    pub rows: Vec<FileRow>,
    /// Articles whose file has another name now, with its new key; they are among the rows, or stay as they were.
    pub moved: Vec<(ArticleId, String)>,
    /// Files whose bytes changed without changing the article: their new size and time.
    pub touched: Vec<(ArticleId, u64, i64)>,
    /// Complaints that replace those of the same keys.
    pub complaints: Vec<Complaint>,
    /// When this was found: what is not in a feed any more has left it then.
    pub found_at: DateTime<Utc>,
    /// The shelves that articles are put on.
    pub shelves: Kinds,
}

impl Store {
    /// What is known of each file of a source, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_files(&self, source: &str) -> Result<HashMap<String, KnownFile>, StoreError> {
        let rows: Vec<KnownColumns> =
            on!(self.database, pool => sqlx::query_as(KNOWN).bind(source).fetch_all(pool).await)?;
        rows.into_iter().map(known_file).collect()
    }

    /// The same of the files in these stretches of keys alone (from the first on, before the second), and of what is withdrawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_files_within(
        &self,
        source: &str,
        stretches: &[(String, Option<String>)],
    ) -> Result<HashMap<String, KnownFile>, StoreError> {
        let key = self.database.bytewise("key");
        let within = format!("{KNOWN} AND {key} >= $2 AND {key} < $3");
        let withdrawn = format!("{KNOWN} AND withdrawn_at IS NOT NULL");
        let rows: Vec<KnownColumns> = on!(self.database, pool => {
            let mut rows: Vec<KnownColumns> =
                sqlx::query_as(AssertSqlSafe(withdrawn)).bind(source).fetch_all(pool).await?;
            for (start, end) in stretches {
                // No path begins with the last character of all, which stands for nothing.
                let end = end.as_deref().unwrap_or("\u{10FFFF}");
                let some = sqlx::query_as(AssertSqlSafe(within.clone())).bind(source).bind(start).bind(end);
                rows.extend(some.fetch_all(pool).await?);
            }
            rows
        });
        rows.into_iter().map(known_file).collect()
    }

    /// Which of these slugs articles of a source have that are not withdrawn, each with the article's key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn owners_of_slugs(&self, source: &str, slugs: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        let sql = format!(
            "SELECT slug, key FROM articles WHERE slug IN {} AND source = $2 AND withdrawn_at IS NULL",
            self.database.list(1)
        );
        Ok(on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(json(slugs)).bind(source).fetch_all(pool).await
        })?)
    }

    /// What these articles are called.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn titled(&self, articles: &[ArticleId]) -> Result<Vec<Titled>, StoreError> {
        let sql = format!("SELECT id, slug, title, date FROM articles WHERE id IN {}", self.database.list(1));
        let rows: Vec<(String, String, String, i64)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(json(articles)).fetch_all(pool).await)?;
        let titled = |(article, slug, title, date): (String, String, String, i64)| {
            Ok(Titled { id: ArticleId(id(&article)?), slug, title, date: instant(date)? })
        };
        rows.into_iter().map(titled).collect()
    }

    /// Whether there never was an article.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_without_articles(&self) -> Result<bool, StoreError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM articles)";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// The complaints about a source's files, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complaints(&self, source: &str) -> Result<Vec<Complaint>, StoreError> {
        let sql =
            "SELECT key, line, what, hint, size, modified_ns FROM complaints WHERE source = $1 ORDER BY key, position";
        let rows: Vec<ComplaintColumns> =
            on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_all(pool).await)?;
        let mut complaints: Vec<Complaint> = vec![];
        for (key, line, what, hint, size, modified_ns) in rows {
            let line = line.and_then(|line| usize::try_from(line).ok());
            let problem = Problem { file: key.clone(), line, what, hint };
            if let Some(last) = complaints.last_mut().filter(|last| last.key == key) {
                last.problems.push(problem);
            } else {
                complaints.push(Complaint { key, size: size.cast_unsigned(), modified_ns, problems: vec![problem] });
            }
        }
        Ok(complaints)
    }

    /// The fingerprint that a source had when it was last synced; `None` before its first sync.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source_fingerprint(&self, source: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT fingerprint FROM sources WHERE name = $1";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).bind(source).fetch_optional(pool).await)?)
    }

    /// The number of the newest change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = 'revision'";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// Writes one batch of a sync, whole or not at all; articles get a revision of their own. No power failure leaves half of
    /// it, yet one may take it away until the sync's end is noted: then the next sync finds the same once more.
    ///
    /// # Errors
    /// When the database fails, or an article of another source has one of the slugs; then nothing of the batch is written.
    pub async fn write_sync(&self, source: &str, batch: &SyncBatch) -> Result<(), StoreError> {
        let complained = batch.complaints.iter().map(|complaint| complaint.key.as_str());
        let keys: Vec<&str> = complained.chain(batch.rows.iter().map(|row| row.article.key.as_str())).collect();
        let keys = json(&keys);
        let complaints: Vec<(&Complaint, i64, &Problem)> = batch
            .complaints
            .iter()
            .flat_map(|complaint| {
                (0i64..).zip(&complaint.problems).map(move |(position, problem)| (complaint, position, problem))
            })
            .collect();
        let slugs: HashMap<&str, &str> =
            batch.rows.iter().map(|row| (row.article.key.as_str(), row.article.slug.as_str())).collect();
        let [forget_entries, forget_mentions, forget_complaints] = self.forgetting();
        let unshelve = unshelve(&self.database.list(1));
        let forget_aliases = format!("DELETE FROM aliases WHERE article IN {}", self.database.list(1));
        let known = format!(
            "SELECT key, id, slug, release_number IS NOT NULL FROM articles WHERE source = $2 AND key IN {}",
            self.database.list(1)
        );
        // Two machines may each read a source at a time: of what both would give, the second learns here that it is taken.
        let wanted = json(&slugs.values().collect::<Vec<_>>());
        let taken = format!(
            "SELECT slug FROM articles WHERE slug IN {} AND source <> $2 AND withdrawn_at IS NULL",
            self.database.list(1)
        );
        begin_bulk!(self.database, of many, tx => {
            // Complaints and times are on no page.
            let revision: i64 = match batch.rows.len() + batch.moved.len() {
                0 => 0,
                _ => sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?,
            };
            for (article, key) in &batch.moved {
                sqlx::query(MOVE).bind(article.to_string()).bind(key).execute(&mut *tx).await?;
            }
            // Whoever writes articles holds the revision from here on. A file has one identity: where another sync
            // was faster with a new file, its id stands.
            let known: Vec<(String, String, String, bool)> =
                sqlx::query_as(AssertSqlSafe(known)).bind(&keys).bind(source).fetch_all(&mut *tx).await?;
            if !batch.rows.is_empty() {
                let disputed: Vec<String> =
                    sqlx::query_scalar(AssertSqlSafe(taken)).bind(&wanted).bind(source).fetch_all(&mut *tx).await?;
                if !disputed.is_empty() {
                    return Err(StoreError::SlugsTaken(disputed));
                }
            }
            let moved = known.iter().filter(|(key, _, slug, was_public)| {
                *was_public && slugs.get(key.as_str()).is_some_and(|now| now != slug)
            });
            for (_, article, slug, _) in moved {
                sqlx::query(FORMER).bind(slug).bind(article).execute(&mut *tx).await?;
            }
            let ids: HashMap<String, ArticleId> = known
                .iter()
                .map(|(key, article, ..)| Ok((key.clone(), ArticleId(id(article)?))))
                .collect::<Result<_, StoreError>>()?;
            let id_of = |row: &FileRow| ids.get(&row.article.key).copied().unwrap_or(row.article.id);
            // Only what is written anew: a file with a fault leaves its article in the feeds as it was.
            let known: Vec<ArticleId> =
                batch.rows.iter().filter_map(|row| ids.get(&row.article.key).copied()).collect();
            if !known.is_empty() {
                let written = json(&known);
                sqlx::query(AssertSqlSafe(forget_entries)).bind(&written).execute(&mut *tx).await?;
                sqlx::query(AssertSqlSafe(forget_mentions)).bind(&written).execute(&mut *tx).await?;
                sqlx::query(AssertSqlSafe(forget_aliases)).bind(&written).execute(&mut *tx).await?;
                if !batch.shelves.is_empty() {
                    sqlx::query(AssertSqlSafe(unshelve)).bind(&written).execute(&mut *tx).await?;
                }
            }
            upsert_articles!(tx, source, revision, batch.rows);
            let bodies: Vec<_> = batch.rows.iter().map(|row| (id_of(row), row.article.html.as_str())).collect();
            upsert_bodies!(tx, bodies);
            sqlx::query(AssertSqlSafe(forget_complaints)).bind(&keys).bind(source).execute(&mut *tx).await?;
            let entries: Vec<_> =
                batch.rows.iter().flat_map(|row| row.feeds.iter().map(move |feed| (feed, id_of(row), row.article.date))).collect();
            insert_entries!(tx, entries);
            let on_shelves = |row: &FileRow| {
                // Where it stood before it became a draft again it stands no more.
                if row.article.draft {
                    return vec![];
                }
                let (article, date) = (id_of(row), row.article.date);
                let shelved = |place: &crate::domain::shelf::Place<'_>| (place.key(), article, date, place.word.to_owned());
                places_of(&row.article, batch.shelves).iter().map(shelved).collect::<Vec<Shelved>>()
            };
            let shelved: Vec<Shelved> = batch.rows.iter().flat_map(on_shelves).collect();
            insert_shelved!(tx, shelved);
            let mentions: Vec<_> =
                batch.rows.iter().flat_map(|row| row.article.related.iter().map(move |slug| (slug.as_str(), id_of(row)))).collect();
            insert_mentions!(tx, mentions);
            let aliases: Vec<_> =
                batch.rows.iter().flat_map(|row| row.aliases.iter().map(move |path| (path.as_str(), id_of(row)))).collect();
            for (path, article) in aliases {
                sqlx::query(ALIAS).bind(path).bind(article.to_string()).execute(&mut *tx).await?;
            }
            update_touched!(tx, batch.touched);
            insert_complaints!(tx, source, complaints);
            // What is new waits for its release, and is in no feed yet.
            if !known.is_empty() {
                settle!(tx, revision, revision, batch.found_at);
            }
            tx.commit().await?;
        });
        self.database.fold_aside();
        Ok(())
    }

    /// Takes articles whose file is gone out of every feed, and forgets the complaints about files that are gone.
    /// The rows stay: what comes back keeps its identity and is not released again.
    ///
    /// # Errors
    /// When the database fails; then nothing is withdrawn.
    pub async fn withdraw(
        &self,
        source: &str,
        articles: &[ArticleId],
        complaint_keys: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (ids, keys) = (json(articles), json(complaint_keys));
        let withdraw = format!(
            "UPDATE articles SET withdrawn_at = $2, revision = $3 WHERE withdrawn_at IS NULL AND id IN {}",
            self.database.list(1)
        );
        let [forget_entries, forget_mentions, forget_complaints] = self.forgetting();
        let unshelve = unshelve(&self.database.list(1));
        begin_bulk!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(withdraw)).bind(&ids).bind(millis(now)).bind(revision).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_entries)).bind(&ids).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_mentions)).bind(&ids).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(unshelve)).bind(&ids).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_complaints)).bind(&keys).bind(source).execute(&mut *tx).await?;
            settle!(tx, revision, revision, now);
            tx.commit().await?;
        });
        Ok(())
    }

    /// What forgets the entries and the mentions of the articles `$1`, and the complaints about the keys `$1` of source `$2`.
    fn forgetting(&self) -> [String; 3] {
        let list = self.database.list(1);
        [
            format!("DELETE FROM entries WHERE article IN {list}"),
            format!("DELETE FROM mentions WHERE article IN {list}"),
            format!("DELETE FROM complaints WHERE source = $2 AND key IN {list}"),
        ]
    }

    /// Begins a sync of a source that was synced before: whoever breaks it off leaves this fingerprint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_sync(&self, source: &str, fingerprint: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sources SET fingerprint = $2 WHERE name = $1";
        on!(self.database, pool => sqlx::query(sql).bind(source).bind(fingerprint).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Ends a sync: remembers the source's fingerprint, where the one that stands there is still what this sync `left`. Else
    /// another went on at the same time, nobody knows whose bytes are in the store, and the next one looks at everything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_sync(
        &self,
        source: &str,
        left: Option<&str>,
        fingerprint: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO sources (name, fingerprint, first_synced_at, synced_at) VALUES ($1, $2, $3, $3) \
                   ON CONFLICT (name) DO UPDATE SET synced_at = excluded.synced_at, \
                   fingerprint = CASE WHEN sources.fingerprint = CAST($4 AS TEXT) THEN excluded.fingerprint ELSE '' END";
        on!(self.database, pool => {
            sqlx::query(sql).bind(source).bind(fingerprint).bind(millis(now)).bind(left).execute(pool).await.map(drop)
        })?;
        Ok(())
    }
}

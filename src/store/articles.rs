//! Articles, their releases, and their places in feeds.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

use super::{Store, StoreError, begin, id, instant, millis, on};
use crate::domain::article::{Article, ArticleId, Image, Question, Release, Released, Slug};
use crate::domain::feed::FeedName;
use crate::problem::Problem;

/// Rows per statement: 25 columns stay well under SQLite's 32,766 parameters, and the ~40 µs that a statement
/// costs are spread over enough rows to vanish.
const ROWS_PER_STATEMENT: usize = 200;

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
    /// Hash of its bytes and of what else its rendering depends on.
    pub content_hash: String,
    /// No longer in its source.
    pub withdrawn: bool,
}

/// A file that became an article.
#[derive(Debug)]
pub struct FileRow {
    /// The article.
    pub article: Article,
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

/// What one batch of a sync writes.
#[derive(Debug, Default)]
pub struct SyncBatch {
    /// New and changed articles.
    pub rows: Vec<FileRow>,
    /// Files whose bytes changed without changing the article: their new size and time.
    pub touched: Vec<(ArticleId, u64, i64)>,
    /// Complaints that replace those of the same keys.
    pub complaints: Vec<Complaint>,
}

/// The columns that only ever travel together, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Details {
    authors: Vec<String>,
    tags: Vec<String>,
    image: Option<Image>,
    related: Vec<String>,
    faq: Vec<Question>,
    summary_given: bool,
}

const COLUMNS: &str = "a.id, a.key, a.slug, a.title, a.label, a.place, a.section, a.language, a.date, a.updated, \
     a.summary, a.html, a.featured, a.draft, a.words, a.details, a.release_number, a.released_at, a.archive, a.entry_id";

const COLUMNS_WITHOUT_HTML: &str = "a.id, a.key, a.slug, a.title, a.label, a.place, a.section, a.language, a.date, \
     a.updated, a.summary, '' AS html, a.featured, a.draft, a.words, a.details, a.release_number, a.released_at, \
     a.archive, a.entry_id";

/// Public: released, and neither withdrawn nor a draft again.
const PUBLIC: &str = "a.release_number IS NOT NULL AND a.withdrawn_at IS NULL AND NOT a.draft";

/// Reads an article from a row of [`COLUMNS`]; a macro because the two engines' row types share no usable trait.
macro_rules! article {
    ($row:expr) => {{
        let row = $row;
        let slug: String = row.try_get("slug")?;
        let details: String = row.try_get("details")?;
        let details: Details = serde_json::from_str(&details)
            .map_err(|error| StoreError::Corrupt(format!("details of {slug}: {error}")))?;
        Article {
            id: ArticleId(id(&row.try_get::<String, _>("id")?)?),
            key: row.try_get("key")?,
            slug: Slug::from_text(&slug).ok_or_else(|| StoreError::Corrupt(format!("slug {slug}")))?,
            title: row.try_get("title")?,
            label: row.try_get("label")?,
            place: row.try_get("place")?,
            section: row.try_get("section")?,
            language: row.try_get("language")?,
            date: instant(row.try_get("date")?)?,
            updated: row.try_get::<Option<i64>, _>("updated")?.map(instant).transpose()?,
            authors: details.authors,
            tags: details.tags,
            summary: row.try_get("summary")?,
            summary_given: details.summary_given,
            html: row.try_get("html")?,
            image: details.image,
            featured: row.try_get("featured")?,
            related: details.related,
            faq: details.faq,
            draft: row.try_get("draft")?,
            words: u32::try_from(row.try_get::<i64, _>("words")?).unwrap_or(u32::MAX),
        }
    }};
}

macro_rules! released {
    ($row:expr) => {{
        let row = $row;
        Ok::<_, StoreError>(Released {
            release: Release {
                number: row.try_get("release_number")?,
                at: instant(row.try_get("released_at")?)?,
                archive: row.try_get("archive")?,
                entry_id: row.try_get("entry_id")?,
            },
            article: article!(row),
        })
    }};
}

impl Store {
    /// What is known of each file of a source, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_files(&self, source: &str) -> Result<HashMap<String, KnownFile>, StoreError> {
        let sql = "SELECT key, id, slug, size, modified_ns, content_hash, withdrawn_at IS NOT NULL FROM articles WHERE source = $1";
        type Columns = (String, String, String, i64, i64, String, bool);
        let rows: Vec<Columns> = on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|(key, article, slug, size, modified_ns, content_hash, withdrawn)| {
                let id = ArticleId(id(&article)?);
                Ok((key, KnownFile { id, slug, size: size.cast_unsigned(), modified_ns, content_hash, withdrawn }))
            })
            .collect()
    }

    /// The complaints about a source's files, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complaints(&self, source: &str) -> Result<Vec<Complaint>, StoreError> {
        let sql =
            "SELECT key, line, what, hint, size, modified_ns FROM complaints WHERE source = $1 ORDER BY key, position";
        type Columns = (String, Option<i64>, String, Option<String>, i64, i64);
        let rows: Vec<Columns> = on!(self.database, pool => sqlx::query_as(sql).bind(source).fetch_all(pool).await)?;
        let mut complaints: Vec<Complaint> = vec![];
        for (key, line, what, hint, size, modified_ns) in rows {
            let line = line.and_then(|line| usize::try_from(line).ok());
            let problem = Problem { file: key.clone(), line, what, hint };
            match complaints.last_mut().filter(|last| last.key == key) {
                Some(last) => last.problems.push(problem),
                None => {
                    complaints.push(Complaint { key, size: size.cast_unsigned(), modified_ns, problems: vec![problem] })
                }
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

    /// A number for the changes about to be written, greater than all before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_revision(&self) -> Result<i64, StoreError> {
        let sql = "UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// The number of the newest change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = 'revision'";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// Writes one batch of a sync, whole or not at all.
    ///
    /// # Errors
    /// When the database fails; then nothing of the batch is written.
    pub async fn write_sync(&self, source: &str, revision: i64, batch: &SyncBatch) -> Result<(), StoreError> {
        let ids: Vec<String> = batch.rows.iter().map(|row| row.article.id.to_string()).collect();
        let ids_json = serde_json::to_string(&ids).unwrap_or_default();
        let keys: Vec<&str> = batch
            .complaints
            .iter()
            .map(|complaint| complaint.key.as_str())
            .chain(batch.rows.iter().map(|row| row.article.key.as_str()))
            .collect();
        let keys_json = serde_json::to_string(&keys).unwrap_or_default();
        let forget_entries = format!("DELETE FROM entries WHERE article IN {}", self.database.list(1));
        let forget_complaints =
            format!("DELETE FROM complaints WHERE source = $2 AND key IN {}", self.database.list(1));
        begin!(self.database, tx => {
            sqlx::query(AssertSqlSafe(forget_entries)).bind(&ids_json).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_complaints)).bind(&keys_json).bind(source).execute(&mut *tx).await?;
            for rows in batch.rows.chunks(ROWS_PER_STATEMENT) {
                let mut insert = QueryBuilder::new(
                    "INSERT INTO articles (id, source, key, slug, title, label, place, section, language, date, updated, \
                     summary, html, featured, draft, words, details, size, modified_ns, content_hash, revision, archive) ",
                );
                insert.push_values(rows, |mut values, row| {
                    let article = &row.article;
                    values
                        .push_bind(article.id.to_string())
                        .push_bind(source.to_owned())
                        .push_bind(article.key.clone())
                        .push_bind(article.slug.as_str().to_owned())
                        .push_bind(article.title.clone())
                        .push_bind(article.label.clone())
                        .push_bind(article.place.clone())
                        .push_bind(article.section.clone())
                        .push_bind(article.language.clone())
                        .push_bind(millis(article.date))
                        .push_bind(article.updated.map(millis))
                        .push_bind(article.summary.clone())
                        .push_bind(article.html.clone())
                        .push_bind(article.featured)
                        .push_bind(article.draft)
                        .push_bind(i64::from(article.words))
                        .push_bind(details_json(article))
                        .push_bind(row.size.cast_signed())
                        .push_bind(row.modified_ns)
                        .push_bind(row.content_hash.clone())
                        .push_bind(revision)
                        .push_bind(false);
                });
                insert.push(
                    " ON CONFLICT (id) DO UPDATE SET key = excluded.key, slug = excluded.slug, title = excluded.title, \
                     label = excluded.label, place = excluded.place, section = excluded.section, language = excluded.language, \
                     date = excluded.date, updated = excluded.updated, summary = excluded.summary, html = excluded.html, \
                     featured = excluded.featured, draft = excluded.draft, words = excluded.words, details = excluded.details, \
                     size = excluded.size, modified_ns = excluded.modified_ns, content_hash = excluded.content_hash, \
                     revision = excluded.revision, withdrawn_at = NULL",
                );
                insert.build().persistent(rows.len() == ROWS_PER_STATEMENT).execute(&mut *tx).await?;
            }
            let entries: Vec<(&FeedName, &Article)> =
                batch.rows.iter().flat_map(|row| row.feeds.iter().map(move |feed| (feed, &row.article))).collect();
            for entries in entries.chunks(ROWS_PER_STATEMENT) {
                let mut insert = QueryBuilder::new("INSERT INTO entries (feed, article, date) ");
                insert.push_values(entries, |mut values, (feed, article)| {
                    values.push_bind(feed.as_str().to_owned()).push_bind(article.id.to_string()).push_bind(millis(article.date));
                });
                insert.push(" ON CONFLICT (feed, article) DO UPDATE SET date = excluded.date");
                insert.build().persistent(entries.len() == ROWS_PER_STATEMENT).execute(&mut *tx).await?;
            }
            for (article, size, modified_ns) in &batch.touched {
                sqlx::query("UPDATE articles SET size = $1, modified_ns = $2 WHERE id = $3")
                    .bind(size.cast_signed()).bind(*modified_ns).bind(article.to_string())
                    .execute(&mut *tx).await?;
            }
            for complaint in &batch.complaints {
                for (position, problem) in (0i64..).zip(&complaint.problems) {
                    sqlx::query(
                        "INSERT INTO complaints (source, key, position, line, what, hint, size, modified_ns) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    )
                    .bind(source).bind(&complaint.key).bind(position)
                    .bind(problem.line.and_then(|line| i64::try_from(line).ok()))
                    .bind(&problem.what).bind(&problem.hint)
                    .bind(complaint.size.cast_signed()).bind(complaint.modified_ns)
                    .execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Takes articles whose file is gone out of every feed, and forgets the complaints about files that are gone.
    /// The rows stay: what comes back keeps its identity and is not released again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withdraw(
        &self,
        source: &str,
        revision: i64,
        articles: &[ArticleId],
        complaint_keys: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let ids = serde_json::to_string(articles).unwrap_or_default();
        let keys = serde_json::to_string(complaint_keys).unwrap_or_default();
        let withdraw = format!(
            "UPDATE articles SET withdrawn_at = $2, revision = $3 WHERE withdrawn_at IS NULL AND id IN {}",
            self.database.list(1)
        );
        let forget_entries = format!("DELETE FROM entries WHERE article IN {}", self.database.list(1));
        let forget_complaints =
            format!("DELETE FROM complaints WHERE source = $2 AND key IN {}", self.database.list(1));
        begin!(self.database, tx => {
            sqlx::query(AssertSqlSafe(withdraw)).bind(&ids).bind(millis(now)).bind(revision).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_entries)).bind(&ids).execute(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(forget_complaints)).bind(&keys).bind(source).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// Ends a sync: remembers the source's fingerprint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_sync(&self, source: &str, fingerprint: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO sources (name, fingerprint, first_synced_at, synced_at) VALUES ($1, $2, $3, $3) \
                   ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, synced_at = excluded.synced_at";
        on!(self.database, pool => {
            sqlx::query(sql).bind(source).bind(fingerprint).bind(millis(now)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Gives a release number to every article whose date has come, in the order of their dates.
    /// Returns how many there were. `revision` marks them as changed.
    ///
    /// # Errors
    /// When the database fails; then none is released.
    pub async fn release_due(
        &self,
        source: &str,
        entry_id_prefix: &str,
        archive: bool,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        const DUE: &str =
            "source = $1 AND release_number IS NULL AND withdrawn_at IS NULL AND NOT draft AND date <= $2";
        let count_due = format!("SELECT COUNT(*) FROM articles WHERE {DUE}");
        let release = format!(
            "UPDATE articles SET release_number = $3 + due.n, released_at = $2, archive = $4, entry_id = $5 || articles.id, \
             revision = $6 FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY date, id) AS n FROM articles WHERE {DUE}) AS due \
             WHERE articles.id = due.id"
        );
        let due: i64 = on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(count_due.clone())).bind(source).bind(millis(now)).fetch_one(pool).await
        })?;
        if due == 0 {
            return Ok(0);
        }
        let revision = self.next_revision().await?;
        let released = begin!(self.database, tx => {
            // The counter's row is locked until the commit: numbers become visible in their order.
            let base: i64 = sqlx::query_scalar("UPDATE counters SET value = value + 0 WHERE name = 'release' RETURNING value")
                .fetch_one(&mut *tx).await?;
            let done = sqlx::query(AssertSqlSafe(release))
                .bind(source).bind(millis(now)).bind(base).bind(archive).bind(entry_id_prefix).bind(revision)
                .execute(&mut *tx).await?.rows_affected();
            sqlx::query("UPDATE counters SET value = value + $1 WHERE name = 'release'")
                .bind(done.cast_signed()).execute(&mut *tx).await?;
            tx.commit().await?;
            done
        });
        Ok(released)
    }

    /// The newest release number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_release(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = 'release'";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// When the next article that waits for its date becomes public.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due_release(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = "SELECT MIN(date) FROM articles WHERE release_number IS NULL AND withdrawn_at IS NULL AND NOT draft";
        let next: Option<i64> = on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?;
        next.map(instant).transpose()
    }

    /// Makes anew the entries of all articles, with `feeds_of` to say which feeds take one.
    ///
    /// # Errors
    /// When the database fails; then the entries are as before.
    pub async fn rebuild_entries(
        &self,
        feeds_of: &(dyn Fn(&Article) -> Vec<FeedName> + Sync),
    ) -> Result<(), StoreError> {
        let page = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE a.withdrawn_at IS NULL AND a.id > $1 ORDER BY a.id LIMIT 1000"
        );
        begin!(self.database, tx => {
            sqlx::query("DELETE FROM entries").execute(&mut *tx).await?;
            let mut after = String::new();
            loop {
                let rows = sqlx::query(AssertSqlSafe(page.clone())).bind(&after).fetch_all(&mut *tx).await?;
                let Some(last) = rows.last() else { break };
                after = last.try_get("id")?;
                let mut entries = vec![];
                for row in &rows {
                    let article = article!(row);
                    entries.extend(feeds_of(&article).into_iter().map(|feed| (feed, article.id, article.date)));
                }
                for entries in entries.chunks(ROWS_PER_STATEMENT) {
                    let mut insert = QueryBuilder::new("INSERT INTO entries (feed, article, date) ");
                    insert.push_values(entries, |mut values, (feed, article, date)| {
                        values.push_bind(feed.as_str().to_owned()).push_bind(article.to_string()).push_bind(millis(*date));
                    });
                    insert.build().execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
        });
        Ok(())
    }

    async fn select(&self, sql: String, texts: &[&str], numbers: &[i64]) -> Result<Vec<Released>, StoreError> {
        on!(self.database, pool => {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for text in texts {
                query = query.bind((*text).to_owned());
            }
            for number in numbers {
                query = query.bind(*number);
            }
            query.fetch_all(pool).await?.iter().map(|row| released!(row)).collect()
        })
    }

    /// The newest articles of a feed, by date.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_of(&self, feed: &FeedName, limit: usize) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries e JOIN articles a ON a.id = e.article WHERE e.feed = $1 AND {PUBLIC} \
             ORDER BY e.date DESC, a.id DESC LIMIT $2"
        );
        self.select(sql, &[feed.as_str()], &[limit.try_into().unwrap_or(i64::MAX)]).await
    }

    /// The newest articles of the publication, by date, without their bodies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest(&self, featured_only: bool, limit: usize) -> Result<Vec<Released>, StoreError> {
        let featured = if featured_only { "AND a.featured" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE {PUBLIC} {featured} ORDER BY a.date DESC, a.id DESC LIMIT $1"
        );
        self.select(sql, &[], &[limit.try_into().unwrap_or(i64::MAX)]).await
    }

    /// The public article with this slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<Released>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM articles a WHERE a.slug = $1 AND {PUBLIC}");
        Ok(self.select(sql, &[slug], &[]).await?.into_iter().next())
    }

    /// The public articles with these slugs, without their bodies, by slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_slugs(&self, slugs: &[&str]) -> Result<HashMap<String, Released>, StoreError> {
        if slugs.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE a.slug IN {} AND {PUBLIC}",
            self.database.list(1)
        );
        let slugs = serde_json::to_string(slugs).unwrap_or_default();
        let found = self.select(sql, &[&slugs], &[]).await?;
        Ok(found.into_iter().map(|released| (released.article.slug.as_str().to_owned(), released)).collect())
    }

    /// The public articles with these slugs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_slugs_whole(&self, slugs: &[&str]) -> Result<Vec<Released>, StoreError> {
        if slugs.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!("SELECT {COLUMNS} FROM articles a WHERE a.slug IN {} AND {PUBLIC}", self.database.list(1));
        self.select(sql, &[&serde_json::to_string(slugs).unwrap_or_default()], &[]).await
    }

    /// The slugs of the articles that name `slug` under "Also read".
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slugs_that_name(&self, slug: &str) -> Result<Vec<String>, StoreError> {
        // A slug has no character that LIKE or JSON would read otherwise.
        let sql = format!("SELECT a.slug FROM articles a WHERE a.details LIKE $1 AND {PUBLIC}");
        let like = format!("%\"{slug}\"%");
        Ok(on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(sql)).bind(like).fetch_all(pool).await)?)
    }

    /// The public articles before and after this one, by date, without their bodies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn neighbours(&self, article: &Article) -> Result<(Option<Released>, Option<Released>), StoreError> {
        let sql = |compare: &str, order: &str| {
            format!(
                "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE {PUBLIC} AND (a.date {compare} $2 OR (a.date = $2 AND a.id {compare} $1)) \
                 ORDER BY a.date {order}, a.id {order} LIMIT 1"
            )
        };
        let (id, date) = (article.id.to_string(), millis(article.date));
        let before = self.select(sql("<", "DESC"), &[&id], &[date]).await?;
        let after = self.select(sql(">", "ASC"), &[&id], &[date]).await?;
        Ok((before.into_iter().next(), after.into_iter().next()))
    }

    /// A page of the public articles that changed after `revision`, in the order of their ids, from `after` on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changed_since(
        &self,
        revision: i64,
        after: Option<ArticleId>,
        limit: usize,
    ) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM articles a WHERE a.id > $1 AND {PUBLIC} AND a.revision > $2 ORDER BY a.id LIMIT $3"
        );
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        self.select(sql, &[&after], &[revision, limit.try_into().unwrap_or(i64::MAX)]).await
    }

    /// Slug, title and place in the order of dates of every public article: what its neighbours' pages link to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn titles_by_date(&self) -> Result<Vec<(ArticleId, String, String)>, StoreError> {
        let sql = format!("SELECT a.id, a.slug, a.title FROM articles a WHERE {PUBLIC} ORDER BY a.date, a.id");
        let rows: Vec<(String, String, String)> =
            on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await)?;
        rows.into_iter().map(|(key, slug, title)| Ok((ArticleId(id(&key)?), slug, title))).collect()
    }

    /// The slugs of the articles that were withdrawn or became drafts again after `revision`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hidden_since(&self, revision: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT slug FROM articles WHERE revision > $1 AND (withdrawn_at IS NOT NULL OR draft)";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).bind(revision).fetch_all(pool).await)?)
    }

    /// The articles of a feed released after `from` and up to `to`, without those of the archive, in the order of
    /// release and without their bodies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn released_between(&self, feed: &FeedName, from: i64, to: i64) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM entries e JOIN articles a ON a.id = e.article WHERE e.feed = $1 AND {PUBLIC} \
             AND NOT a.archive AND a.release_number > $2 AND a.release_number <= $3 ORDER BY a.release_number"
        );
        self.select(sql, &[feed.as_str()], &[from, to]).await
    }

    /// The articles frozen in a digest, without their bodies, in the order of release.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn articles_of(&self, digest: crate::domain::digest::DigestId) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM digest_articles d JOIN articles a ON a.id = d.article WHERE d.digest = $1 \
             AND {PUBLIC} ORDER BY a.release_number"
        );
        self.select(sql, &[&digest.to_string()], &[]).await
    }

    /// How many articles are public, are drafts, and wait for their date.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn article_counts(&self) -> Result<(i64, i64, i64), StoreError> {
        let sql = "SELECT COALESCE(SUM(CASE WHEN release_number IS NOT NULL AND NOT draft THEN 1 ELSE 0 END), 0), \
                   COALESCE(SUM(CASE WHEN draft THEN 1 ELSE 0 END), 0), \
                   COALESCE(SUM(CASE WHEN release_number IS NULL AND NOT draft THEN 1 ELSE 0 END), 0) \
                   FROM articles WHERE withdrawn_at IS NULL";
        Ok(on!(self.database, pool => sqlx::query_as(sql).fetch_one(pool).await)?)
    }
}

fn details_json(article: &Article) -> String {
    let details = Details {
        authors: article.authors.clone(),
        tags: article.tags.clone(),
        image: article.image.clone(),
        related: article.related.clone(),
        faq: article.faq.clone(),
        summary_given: article.summary_given,
    };
    serde_json::to_string(&details).unwrap_or_default()
}

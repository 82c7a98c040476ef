//! Articles as they are read: by feed, by date, by slug, by what changed. Only what is public is ever returned.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row};

use super::sync::insert_entries;
use super::volumes::settle;
use super::{NEXT_REVISION, Store, StoreError, begin_bulk, id, instant, json, millis, on};
use crate::domain::article::{Article, ArticleId, Image, Original, Question, Release, Released, Slug};
use crate::domain::digest::DigestId;
use crate::domain::feed::FeedName;
use crate::domain::media::Enclosure;

/// The columns that only ever travel together, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Details {
    authors: Vec<String>,
    tags: Vec<String>,
    image: Option<Image>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enclosure: Option<Enclosure>,
    related: Vec<String>,
    faq: Vec<Question>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<Original>,
    summary_given: bool,
}

pub(super) const COLUMNS: &str = "a.id, a.key, a.slug, a.title, a.label, a.place, a.section, a.language, a.date, a.updated, \
     a.summary, b.html, a.featured, a.draft, a.words, a.details, a.release_number, a.released_at, a.archive, a.entry_id";

const COLUMNS_WITHOUT_HTML: &str = "a.id, a.key, a.slug, a.title, a.label, a.place, a.section, a.language, a.date, \
     a.updated, a.summary, '' AS html, a.featured, a.draft, a.words, a.details, a.release_number, a.released_at, \
     a.archive, a.entry_id";

pub(super) const BODY: &str = "JOIN bodies b ON b.article = a.id";

/// Public: released, and neither withdrawn nor a draft again.
pub(super) const PUBLIC: &str = "a.release_number IS NOT NULL AND a.withdrawn_at IS NULL AND NOT a.draft";

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
            enclosure: details.enclosure,
            featured: row.try_get("featured")?,
            related: details.related,
            faq: details.faq,
            original: details.original,
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
    /// Makes anew the entries of all articles, with `feeds_of` to say which feeds take one, under a new revision. What a
    /// feed does not take any more has left it `now`.
    ///
    /// # Errors
    /// When the database fails; then the entries are as before.
    pub async fn rebuild_entries(
        &self,
        feeds_of: &(dyn Fn(&Article) -> Vec<FeedName> + Sync),
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let page = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE a.withdrawn_at IS NULL AND a.id > $1 ORDER BY a.id LIMIT 1000"
        );
        begin_bulk!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
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
                insert_entries!(tx, entries);
            }
            settle!(tx, revision, 0, now);
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
            let mut rows = query.fetch(pool);
            let mut found = vec![];
            while let Some(row) = rows.try_next().await? {
                found.push(released!(&row)?);
            }
            Ok(found)
        })
    }

    /// As [`Self::select`] for a feed, each with the number that its row has as `volume`.
    pub(super) async fn select_with_volume(
        &self,
        sql: String,
        feed: &FeedName,
        numbers: [i64; 2],
    ) -> Result<Vec<(i64, Released)>, StoreError> {
        on!(self.database, pool => {
            let query = sqlx::query(AssertSqlSafe(sql)).bind(feed.as_str()).bind(numbers[0]).bind(numbers[1]);
            let mut rows = query.fetch(pool);
            let mut found = vec![];
            while let Some(row) = rows.try_next().await? {
                found.push((row.try_get("volume")?, released!(&row)?));
            }
            Ok(found)
        })
    }

    /// The newest articles of a feed, by date.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_of(&self, feed: &FeedName, limit: usize) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries e JOIN articles a ON a.id = e.article {BODY} WHERE e.feed = $1 AND {PUBLIC} \
             ORDER BY e.date DESC, e.article DESC LIMIT $2"
        );
        self.select(sql, &[feed.as_str()], &[limit.try_into().unwrap_or(i64::MAX)]).await
    }

    /// The newest articles of what is joined as `a` in `from`, with their bodies; `texts` are bound from `$1` on.
    pub(super) async fn newest_from(
        &self,
        from: &str,
        which: &str,
        order: &str,
        texts: &[&str],
        limit: usize,
    ) -> Result<Vec<Released>, StoreError> {
        let last = texts.len() + 1;
        let sql =
            format!("SELECT {COLUMNS} FROM {from} {BODY} WHERE {which} AND {PUBLIC} ORDER BY {order} LIMIT ${last}");
        self.select(sql, texts, &[limit.try_into().unwrap_or(i64::MAX)]).await
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
        let sql = format!("SELECT {COLUMNS} FROM articles a {BODY} WHERE a.slug = $1 AND {PUBLIC}");
        Ok(self.select(sql, &[slug], &[]).await?.into_iter().next())
    }

    /// The public articles that have these slugs, or had them before, without their bodies, by the slug that was asked for.
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
        let found = self.select(sql.clone(), &[&json(slugs)], &[]).await?;
        let mut found: HashMap<String, Released> =
            found.into_iter().map(|released| (released.article.slug.as_str().to_owned(), released)).collect();
        let missing: Vec<&str> = slugs.iter().copied().filter(|slug| !found.contains_key(*slug)).collect();
        let moved = if missing.is_empty() { vec![] } else { self.moved_to(&missing).await? };
        if !moved.is_empty() {
            let now: Vec<&str> = moved.iter().map(|(_, now)| now.as_str()).collect();
            for released in self.select(sql, &[&json(&now)], &[]).await? {
                let slug = released.article.slug.as_str();
                let asked = moved.iter().filter(|(_, now)| now == slug);
                found.extend(asked.map(|(asked, _)| (asked.clone(), released.clone())));
            }
        }
        Ok(found)
    }

    /// The articles that these name under "Also read", by slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn related(
        &self,
        articles: impl IntoIterator<Item = &Released>,
    ) -> Result<HashMap<String, Released>, StoreError> {
        let mut slugs: Vec<&str> =
            articles.into_iter().flat_map(|released| released.article.related.iter().map(String::as_str)).collect();
        slugs.sort_unstable();
        slugs.dedup();
        self.by_slugs(&slugs).await
    }

    /// The public articles with these slugs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_slugs_whole(&self, slugs: &[&str]) -> Result<Vec<Released>, StoreError> {
        if slugs.is_empty() {
            return Ok(vec![]);
        }
        let sql =
            format!("SELECT {COLUMNS} FROM articles a {BODY} WHERE a.slug IN {} AND {PUBLIC}", self.database.list(1));
        self.select(sql, &[&json(slugs)], &[]).await
    }

    /// The slugs of the articles that name `slug` under "Also read", or one that its article had before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slugs_that_name(&self, slug: &str) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT a.slug FROM mentions m JOIN articles a ON a.id = m.article WHERE {PUBLIC} AND (m.slug = $1 OR m.slug \
             IN (SELECT f.slug FROM former_slugs f JOIN articles o ON o.id = f.article WHERE o.slug = $1)) ORDER BY a.slug"
        );
        Ok(on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(sql)).bind(slug).fetch_all(pool).await)?)
    }

    /// The public articles before and after this one, by date, without their bodies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn neighbours(&self, article: &Article) -> Result<(Option<Released>, Option<Released>), StoreError> {
        let sql = |compare: &str, order: &str| {
            format!(
                "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a WHERE {PUBLIC} AND (a.date, a.id) {compare} ($2, $1) \
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
        // Few changed since a revision that was reached, and all since the beginning: each has its own index.
        let changed = if revision > 0 {
            "a.id IN (SELECT c.id FROM articles c WHERE c.revision > $2 AND c.id > $1)"
        } else {
            "a.id > $1 AND a.revision > $2"
        };
        let sql =
            format!("SELECT {COLUMNS} FROM articles a {BODY} WHERE {changed} AND {PUBLIC} ORDER BY a.id LIMIT $3");
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

    /// The articles of a feed released after `from` and up to `to`, without those of the archive, in the order of
    /// release and without their bodies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn released_between(&self, feed: &FeedName, from: i64, to: i64) -> Result<Vec<Released>, StoreError> {
        // SQLite takes the tables of a CROSS JOIN in their order: the few numbers first, not the whole feed.
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM articles a CROSS JOIN entries e WHERE e.article = a.id AND e.feed = $1 AND {PUBLIC} \
             AND NOT a.archive AND a.release_number > $2 AND a.release_number <= $3 ORDER BY a.release_number"
        );
        self.select(sql, &[feed.as_str()], &[from, to]).await
    }

    /// The articles frozen in a digest, without their bodies, in the order of release.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn articles_of(&self, digest: DigestId) -> Result<Vec<Released>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_HTML} FROM digest_articles d JOIN articles a ON a.id = d.article WHERE d.digest = $1 \
             AND {PUBLIC} ORDER BY a.release_number"
        );
        self.select(sql, &[&digest.to_string()], &[]).await
    }

    /// The same for several digests at once; one of which nothing is public any more is missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn articles_of_each(&self, digests: &[DigestId]) -> Result<HashMap<DigestId, Vec<Released>>, StoreError> {
        let sql = format!(
            "SELECT d.digest, {COLUMNS_WITHOUT_HTML} FROM digest_articles d JOIN articles a ON a.id = d.article \
             WHERE d.digest IN {} AND {PUBLIC} ORDER BY a.release_number",
            self.database.list(1)
        );
        let ids = json(&digests.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut found: HashMap<DigestId, Vec<Released>> = HashMap::new();
        on!(self.database, pool => {
            for row in &sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await? {
                let digest = DigestId(id(&row.try_get::<String, _>("digest")?)?);
                found.entry(digest).or_default().push(released!(row)?);
            }
        });
        Ok(found)
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

pub(super) fn details_json(article: &Article) -> String {
    let details = Details {
        authors: article.authors.clone(),
        tags: article.tags.clone(),
        image: article.image.clone(),
        enclosure: article.enclosure.clone(),
        related: article.related.clone(),
        faq: article.faq.clone(),
        original: article.original.clone(),
        summary_given: article.summary_given,
    };
    serde_json::to_string(&details).unwrap_or_default()
}

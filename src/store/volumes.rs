//! Volumes: what is bound of a feed, and what is still loose (see [`crate::domain::volume`]).
//!
//! Whatever alters what is in a feed says so here within its own transaction ([`settle!`]): whoever reads the table sees
//! every public entry of a feed in it, once.

use std::collections::{BTreeMap, HashSet};

use sqlx::AssertSqlSafe;

use super::articles::{BODY, COLUMNS, PUBLIC};
use super::slugs::changed_or_naming;
use super::{NEXT_REVISION, Store, StoreError, begin_bulk, instant, on};
use crate::domain::article::Released;
use crate::domain::entry::Deleted;
use crate::domain::feed::{Feed, FeedName};
use crate::domain::volume::Binding;

/// What is public in a feed and was altered since revision `$2` is in it, from `$1` on if it never was.
pub(super) fn come_in() -> String {
    format!(
        "INSERT INTO bindings (feed, article, came) SELECT e.feed, e.article, $1 FROM articles a \
         JOIN entries e ON e.article = a.id WHERE a.revision >= $2 AND {PUBLIC} \
         ON CONFLICT (article, feed) DO UPDATE SET left_at = NULL WHERE bindings.left_at IS NOT NULL"
    )
}

/// What was altered since revision `$2` and is not public in a feed any more has left it at `$1`.
pub(super) fn go_out() -> String {
    format!(
        "UPDATE bindings SET left_at = $1 WHERE left_at IS NULL \
         AND article IN (SELECT c.id FROM articles c WHERE c.revision >= $2) \
         AND NOT EXISTS (SELECT 1 FROM entries e JOIN articles a ON a.id = e.article \
         WHERE e.feed = bindings.feed AND e.article = bindings.article AND {PUBLIC})"
    )
}

/// Notes who came into feeds and who left them with what the transaction `$tx` has written to articles from revision
/// `$from` on; its own revision is `$revision`.
macro_rules! settle {
    ($tx:expr, $revision:expr, $from:expr, $now:expr) => {
        let (revision, from): (i64, i64) = ($revision, $from);
        sqlx::query(sqlx::AssertSqlSafe($crate::store::volumes::come_in()))
            .bind(revision)
            .bind(from)
            .execute(&mut *$tx)
            .await?;
        sqlx::query(sqlx::AssertSqlSafe($crate::store::volumes::go_out()))
            .bind($crate::store::millis($now))
            .bind(from)
            .execute(&mut *$tx)
            .await?;
    };
}
pub(super) use settle;

/// What readers of a feed poll.
#[derive(Debug, Default)]
pub struct Live {
    /// Newest first.
    pub articles: Vec<Released>,
    /// What went out of the feed: all that is not in a volume before it, and what went last wherever it was, for nobody who
    /// polls looks into volumes again.
    pub deleted: Vec<Deleted>,
    /// The newest volume that is not in it.
    pub before: Option<i64>,
}

/// One volume.
#[derive(Debug)]
pub struct Volume {
    /// Which.
    pub number: i64,
    /// Newest first.
    pub articles: Vec<Released>,
    /// What went out of it.
    pub deleted: Vec<Deleted>,
}

/// How many of a feed are loose.
const LOOSE: &str = "SELECT COUNT(*) FROM bindings WHERE feed = $1 AND volume IS NULL AND left_at IS NULL";

/// The newest volume of a feed.
const LAST: &str = "SELECT COALESCE(MAX(volume), 0) FROM bindings WHERE feed = $1";

/// Binds `$4` loose articles of the feed `$1`, the oldest by date without the `$2` that came last, into volumes of `$3`
/// behind the volume `$5`.
const BIND: &str = "UPDATE bindings SET volume = due.volume FROM (\
     SELECT article, $5 + (ROW_NUMBER() OVER (ORDER BY date, article) - 1) / $3 + 1 AS volume FROM (\
         SELECT b.article, a.date, ROW_NUMBER() OVER (ORDER BY b.came DESC, a.date DESC, b.article DESC) AS latest \
         FROM bindings b JOIN articles a ON a.id = b.article \
         WHERE b.feed = $1 AND b.volume IS NULL AND b.left_at IS NULL\
     ) AS loose WHERE latest > $2 ORDER BY date, article LIMIT $4\
     ) AS due WHERE bindings.feed = $1 AND bindings.article = due.article";

/// Binds what left the feed `$1` and is no newer than what is bound into the volume `$2`.
const BIND_LEFT: &str = "UPDATE bindings SET volume = $2 WHERE feed = $1 AND volume IS NULL AND left_at IS NOT NULL \
     AND (SELECT a.date FROM articles a WHERE a.id = bindings.article) <= (SELECT MAX(a.date) FROM bindings b \
     JOIN articles a ON a.id = b.article WHERE b.feed = $1 AND b.volume = $2 AND b.left_at IS NULL)";

/// The id that an entry had, and when it went.
pub(super) fn deleted((id, at): (String, i64)) -> Result<Deleted, StoreError> {
    Ok(Deleted { id, at: instant(at)? })
}

impl Store {
    /// Binds what is too much for the live document of a feed that holds `limit` entries. Returns how many volumes that
    /// made.
    ///
    /// # Errors
    /// When the database fails; then nothing is bound.
    pub async fn bind(&self, feed: &FeedName, limit: usize) -> Result<usize, StoreError> {
        let due = |loose: i64| Binding::due(usize::try_from(loose).unwrap_or_default(), limit);
        let counted: i64 =
            on!(self.database, pool => sqlx::query_scalar(LOOSE).bind(feed.as_str()).fetch_one(pool).await)?;
        if due(counted).is_none() {
            return Ok(0);
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        begin_bulk!(self.database, tx => {
            // Whoever binds, or alters articles, holds the revision from here on.
            sqlx::query(NEXT_REVISION).execute(&mut *tx).await?;
            let counted: i64 = sqlx::query_scalar(LOOSE).bind(feed.as_str()).fetch_one(&mut *tx).await?;
            let Some(binding) = due(counted) else { return Ok(0) };
            let last: i64 = sqlx::query_scalar(LAST).bind(feed.as_str()).fetch_one(&mut *tx).await?;
            sqlx::query(BIND)
                .bind(feed.as_str()).bind(number(binding.spared)).bind(number(binding.size))
                .bind(number(binding.size * binding.volumes)).bind(last)
                .execute(&mut *tx).await?;
            sqlx::query(BIND_LEFT)
                .bind(feed.as_str()).bind(last + number(binding.volumes)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(binding.volumes)
        })
    }

    /// The number of the newest volume of a feed; 0 where it has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_volume(&self, feed: &FeedName) -> Result<i64, StoreError> {
        Ok(on!(self.database, pool => sqlx::query_scalar(LAST).bind(feed.as_str()).fetch_one(pool).await)?)
    }

    /// What readers of a feed poll: all that is loose, and as many of the newest volumes as are within `limit` entries.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live(&self, feed: &FeedName, limit: usize) -> Result<Live, StoreError> {
        let counted: i64 =
            on!(self.database, pool => sqlx::query_scalar(LOOSE).bind(feed.as_str()).fetch_one(pool).await)?;
        let mut room = i64::try_from(limit).unwrap_or(i64::MAX).saturating_sub(counted);
        // Each holds an entry at least, so there are no more of them than entries.
        let sizes = "SELECT volume, COUNT(*) FROM bindings WHERE feed = $1 AND volume IS NOT NULL AND left_at IS NULL \
                     GROUP BY volume ORDER BY volume DESC LIMIT $2";
        let sizes: Vec<(i64, i64)> = on!(self.database, pool => {
            sqlx::query_as(sizes).bind(feed.as_str()).bind(room.max(0) + 1).fetch_all(pool).await
        })?;
        let before = sizes.iter().find_map(|(volume, size)| {
            room -= size;
            (room < 0).then_some(*volume)
        });
        // What is bound meanwhile is behind that volume, so it stands here or in none that a reader comes by.
        let first = before.unwrap_or_default() + 1;
        let (articles, deleted) = self.of_volumes(feed, true, first, i64::MAX).await?;
        let articles: Vec<Released> = articles.into_iter().map(|(_, released)| released).collect();
        let mut deleted: Vec<Deleted> = deleted.into_iter().map(|(_, deleted)| deleted).collect();
        let last = "SELECT a.entry_id, v.left_at FROM bindings v JOIN articles a ON a.id = v.article \
                    WHERE v.feed = $1 AND v.left_at IS NOT NULL ORDER BY v.left_at DESC, v.article DESC LIMIT $2";
        let last: Vec<(String, i64)> = on!(self.database, pool => {
            let limit = i64::try_from(limit.min(Feed::LIMIT)).unwrap_or(i64::MAX);
            sqlx::query_as(last).bind(feed.as_str()).bind(limit).fetch_all(pool).await
        })?;
        for gone in last {
            let gone = self::deleted(gone)?;
            // What came back between the two questions is there.
            let is_there = articles.iter().any(|released| released.release.entry_id == gone.id);
            if !is_there && deleted.iter().all(|known| known.id != gone.id) {
                deleted.push(gone);
            }
        }
        deleted.sort_by_key(|gone| std::cmp::Reverse(gone.at));
        Ok(Live { articles, deleted, before })
    }

    /// The volumes `first` to `last` of a feed, as far as there are such.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn volumes(&self, feed: &FeedName, first: i64, last: i64) -> Result<Vec<Volume>, StoreError> {
        let first = first.max(1);
        let (articles, deleted) = self.of_volumes(feed, false, first, last).await?;
        let mut volumes = BTreeMap::new();
        let new = |number| Volume { number, articles: vec![], deleted: vec![] };
        for (number, released) in articles {
            volumes.entry(number).or_insert_with(|| new(number)).articles.push(released);
        }
        for (number, gone) in deleted {
            volumes.entry(number).or_insert_with(|| new(number)).deleted.push(gone);
        }
        Ok(volumes.into_values().collect())
    }

    /// The articles of volumes, and of what is loose where that is wanted, and what left; each with its volume, 0 where it
    /// is loose.
    async fn of_volumes(
        &self,
        feed: &FeedName,
        with_loose: bool,
        first: i64,
        last: i64,
    ) -> Result<(Vec<(i64, Released)>, Vec<(i64, Deleted)>), StoreError> {
        let chosen = |left| {
            let bound = format!(
                "SELECT article FROM bindings WHERE feed = $1 AND volume >= $2 AND volume <= $3 AND left_at IS {left}"
            );
            let loose = format!(
                " UNION ALL SELECT article FROM bindings WHERE feed = $1 AND volume IS NULL AND left_at IS {left}"
            );
            if with_loose { bound + &loose } else { bound }
        };
        let articles = format!(
            "SELECT COALESCE(v.volume, 0) AS volume, {COLUMNS} FROM articles a {BODY} \
             JOIN bindings v ON v.feed = $1 AND v.article = a.id \
             WHERE a.id IN ({}) AND {PUBLIC}",
            chosen("NULL")
        );
        let deleted = format!(
            "SELECT COALESCE(v.volume, 0), a.entry_id, v.left_at FROM articles a \
             JOIN bindings v ON v.feed = $1 AND v.article = a.id \
             WHERE a.id IN ({}) AND v.left_at IS NOT NULL ORDER BY v.left_at DESC, a.id DESC",
            chosen("NOT NULL")
        );
        let mut articles = self.select_with_volume(articles, feed, [first, last]).await?;
        let deleted: Vec<(i64, String, i64)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(deleted)).bind(feed.as_str()).bind(first).bind(last).fetch_all(pool).await
        })?;
        let deleted = deleted.into_iter().map(|(volume, id, at)| Ok((volume, self::deleted((id, at))?)));
        let deleted = deleted.collect::<Result<Vec<_>, StoreError>>()?;
        // What left between the two questions is gone.
        let gone: HashSet<&str> = deleted.iter().map(|(_, gone)| gone.id.as_str()).collect();
        articles.retain(|(_, released)| !gone.contains(released.release.entry_id.as_str()));
        // Here and not by the database, which would copy whole articles about.
        articles.sort_by_key(|(_, released)| std::cmp::Reverse((released.article.date, released.article.id)));
        Ok((articles, deleted))
    }

    /// The volumes of a feed that hold something that has changed since a revision, or that names such.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn volumes_changed_since(&self, feed: &FeedName, revision: i64) -> Result<Vec<i64>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT volume FROM bindings WHERE feed = $1 AND volume IS NOT NULL AND article IN ({}) ORDER BY volume",
            changed_or_naming(2)
        );
        Ok(on!(self.database, pool => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(feed.as_str()).bind(revision).fetch_all(pool).await
        })?)
    }
}

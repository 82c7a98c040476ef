//! What hubs elsewhere bring us (WebSub): one subscription for each feed elsewhere that names a hub.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, begin, instant, millis, on};

/// Times in a row that a hub did not bring what it should have, and from which on it is not relied on.
const MISSED: i64 = 2;

/// A subscription at a hub elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Push {
    /// The name of the feed elsewhere.
    pub remote: String,
    /// The hub's address.
    pub hub: String,
    /// The feed's address, as the hub knows it.
    pub topic: String,
    /// Where the last poll found the document, which is what anything relative in it is relative to.
    pub found_at: String,
    /// The end of the callback's address.
    pub token: String,
    /// What is brought there is signed with; nothing where the hub is not reached over TLS.
    pub secret: Option<String>,
    /// When the hub is asked next.
    pub ask_at: DateTime<Utc>,
    /// How often it was asked without an answer.
    pub attempts: u32,
    /// Until when it brings what is new.
    pub lease_until: Option<DateTime<Utc>>,
    /// When it brought something last.
    pub pushed_at: Option<DateTime<Utc>>,
    /// Times in a row that a poll found what it should have brought, or that it was not signed as agreed.
    pub missed: i64,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Token and secret are nobody else's.
        f.debug_struct("Push").field("remote", &self.remote).field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Push {
    /// Whether what is new comes by itself: the lease runs, and nothing was missed.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.lease_until.is_some_and(|until| until > now) && self.missed < MISSED
    }
}

const COLUMNS: &str =
    "remote, hub, topic, found_at, token, secret, ask_at, attempts, lease_until, pushed_at, missed, trouble";

type Row =
    (String, String, String, String, String, Option<String>, i64, i64, Option<i64>, Option<i64>, i64, Option<String>);

fn push(row: Row) -> Result<Push, StoreError> {
    let (remote, hub, topic, found_at, token, secret, ask_at, attempts, lease_until, pushed_at, missed, trouble) = row;
    Ok(Push {
        remote,
        hub,
        topic,
        found_at,
        token,
        secret,
        ask_at: instant(ask_at)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        lease_until: lease_until.map(instant).transpose()?,
        pushed_at: pushed_at.map(instant).transpose()?,
        missed,
        trouble,
    })
}

impl Store {
    /// All subscriptions at hubs elsewhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pushes(&self) -> Result<Vec<Push>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM pushes ORDER BY remote"));
        let rows: Vec<Row> = on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?;
        rows.into_iter().map(push).collect()
    }

    /// The subscription of a feed elsewhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn push_of(&self, remote: &str) -> Result<Option<Push>, StoreError> {
        self.one_push("remote", remote).await
    }

    /// The subscription whose callback ends so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn push_by_token(&self, token: &str) -> Result<Option<Push>, StoreError> {
        self.one_push("token", token).await
    }

    async fn one_push(&self, column: &'static str, value: &str) -> Result<Option<Push>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM pushes WHERE {column} = $1"));
        let row: Option<Row> = on!(self.database, pool => sqlx::query_as(sql).bind(value).fetch_optional(pool).await)?;
        row.map(push).transpose()
    }

    /// Wants to be told by a hub; another hub or topic than before is asked anew. Of what is wanted already it is noted where
    /// its document was found.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn want_push(&self, wanted: &Push) -> Result<(), StoreError> {
        let sql = "INSERT INTO pushes (remote, hub, topic, found_at, token, secret, ask_at, attempts, missed) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) ON CONFLICT (remote) DO UPDATE SET hub = excluded.hub, \
                   topic = excluded.topic, token = excluded.token, secret = excluded.secret, ask_at = excluded.ask_at, \
                   attempts = 0, lease_until = NULL, missed = 0, trouble = NULL \
                   WHERE pushes.hub <> excluded.hub OR pushes.topic <> excluded.topic";
        let found = "UPDATE pushes SET found_at = $2 WHERE remote = $1 AND found_at <> $2";
        begin!(self.database, tx => {
            sqlx::query(sql)
                .bind(&wanted.remote).bind(&wanted.hub).bind(&wanted.topic).bind(&wanted.found_at).bind(&wanted.token)
                .bind(&wanted.secret).bind(millis(wanted.ask_at)).execute(&mut *tx).await?;
            sqlx::query(found).bind(&wanted.remote).bind(&wanted.found_at).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(())
        })
    }

    /// Does not want to be told any more of a feed that names no hub.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_push(&self, remote: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM pushes WHERE remote = $1";
        on!(self.database, pool => sqlx::query(sql).bind(remote).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Takes the next question to a hub in hand, if it is due and nobody else has; the one after it is due at `next_at`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_push(
        &self,
        remote: &str,
        next_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<Push>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "UPDATE pushes SET ask_at = $2, attempts = attempts + 1 WHERE remote = $1 AND ask_at <= $3 RETURNING {COLUMNS}"
        ));
        let row: Option<Row> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(remote).bind(millis(next_at)).bind(millis(now)).fetch_optional(pool).await
        })?;
        row.map(push).transpose()
    }

    /// Notes what is wrong with a subscription; nothing where it is well.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_push_trouble(&self, token: &str, trouble: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE pushes SET trouble = $2 WHERE token = $1";
        on!(self.database, pool => sqlx::query(sql).bind(token).bind(trouble).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// A hub is going to bring what is new until then, and is asked again before that. A yes brings nothing: what it missed
    /// counts until it does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn grant_push(
        &self,
        token: &str,
        lease_until: DateTime<Utc>,
        ask_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE pushes SET lease_until = $2, ask_at = $3, attempts = 0, trouble = NULL WHERE token = $1";
        on!(self.database, pool => {
            sqlx::query(sql).bind(token).bind(millis(lease_until)).bind(millis(ask_at)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// A hub refuses to bring anything; it is asked again then, and its feed polled at once where it was relied on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_push(
        &self,
        push: &Push,
        trouble: &str,
        ask_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let end = "UPDATE pushes SET lease_until = NULL, ask_at = $2, trouble = $3 WHERE token = $1";
        let poll = "UPDATE remotes SET next_at = $2 WHERE name = $1 AND next_at > $2";
        begin!(self.database, tx => {
            sqlx::query(end).bind(&push.token).bind(millis(ask_at)).bind(trouble).execute(&mut *tx).await?;
            if push.lease_until.is_some() {
                sqlx::query(poll).bind(&push.remote).bind(millis(now)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// A hub let its lease run out, unless it said yes again meanwhile; its feed is polled at once.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn lapse_push(&self, push: &Push, trouble: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let end = "UPDATE pushes SET lease_until = NULL, trouble = $3 WHERE token = $1 AND lease_until <= $2";
        let poll = "UPDATE remotes SET next_at = $2 WHERE name = $1 AND next_at > $2";
        begin!(self.database, tx => {
            let ended = sqlx::query(end).bind(&push.token).bind(millis(now)).bind(trouble).execute(&mut *tx).await?;
            if ended.rows_affected() > 0 {
                sqlx::query(poll).bind(&push.remote).bind(millis(now)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// A hub brought something.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_pushed(&self, token: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE pushes SET pushed_at = $2, missed = 0, trouble = NULL WHERE token = $1";
        on!(self.database, pool => sqlx::query(sql).bind(token).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// A poll found what a hub should have brought, or it was not signed as agreed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_missed(&self, remote: &str, trouble: &str) -> Result<(), StoreError> {
        let sql = "UPDATE pushes SET missed = missed + 1, trouble = $2 WHERE remote = $1";
        on!(self.database, pool => sqlx::query(sql).bind(remote).bind(trouble).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Has a feed elsewhere polled at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn poll_soon(&self, remote: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE remotes SET next_at = $2 WHERE name = $1 AND next_at > $2";
        on!(self.database, pool => sqlx::query(sql).bind(remote).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }
}

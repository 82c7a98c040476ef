//! What hubs tell of, whom ours tells, and what has not arrived yet. A claim commits before the network is touched, and
//! ends by itself: whoever died leaves it to others.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::{Store, StoreError, begin, instant, json, millis, on};
use crate::domain::hub::{Mode, Wish};

/// A document that hubs tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its address.
    pub topic: String,
    /// Stands for its bytes.
    pub hash: String,
    /// How often it has changed.
    pub version: i64,
}

/// A request whose callback is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Stands for topic and callback.
    pub id: String,
    /// What was asked for.
    pub wish: Wish,
}

/// A listener that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Stands for topic and callback.
    pub id: String,
    /// Of what.
    pub topic: String,
    /// Where.
    pub callback: String,
    /// On which host.
    pub host: String,
    /// What it is told is signed with.
    pub secret: Option<String>,
    /// Attempts since it took the last one, this one included.
    pub attempts: u32,
    /// Since when it has taken nothing.
    pub failing_since: Option<DateTime<Utc>>,
}

/// What became of telling a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It took this version.
    Yes(i64),
    /// It did not; it is tried again then, or not with this version.
    Later(Option<DateTime<Utc>>, String),
    /// It wants no more.
    Gone,
}

/// A topic whose change another's hub is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Its address.
    pub topic: String,
    /// Its version.
    pub version: i64,
    /// Attempts, this one included.
    pub attempts: u32,
    /// Since when.
    pub first_at: DateTime<Utc>,
}

/// Who is told of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audience {
    /// The address of the document.
    pub topic: String,
    /// Listeners whose lease runs.
    pub listeners: u64,
    /// Those of them that have not got the last version yet.
    pub due: u64,
    /// Those that did not take what they were told last.
    pub failing: u64,
}

/// A listener that does not take what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Of which document.
    pub topic: String,
    /// Its host; the rest of a callback may be a secret.
    pub host: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Attempts since it took the last one.
    pub attempts: u64,
    /// What came of the last one.
    pub why: String,
    /// When it is tried again; not before the next change where none is given.
    pub due_at: Option<DateTime<Utc>>,
}

fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn attempts(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Store {
    /// What is known of these documents.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn topics(&self, topics: &[&str]) -> Result<Vec<Topic>, StoreError> {
        let sql = format!("SELECT topic, hash, version FROM hub_topics WHERE topic IN {}", self.database.list(1));
        let rows: Vec<(String, String, i64)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(json(topics)).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(|(topic, hash, version)| Topic { topic, hash, version }).collect())
    }

    /// Notes what documents (address, hash) are at a revision of the store, and that those which changed are to be told:
    /// to our listeners, or to another's hub. Who has an older revision changes nothing. Returns how many changed.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn announce(
        &self,
        documents: &[(&str, &str)],
        revision: i64,
        is_own: bool,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let known = self.topics(&documents.iter().map(|(topic, _)| *topic).collect::<Vec<_>>()).await?;
        let is_known = |topic: &str, hash: &str| known.iter().any(|known| known.topic == topic && known.hash == hash);
        let changed: Vec<_> = documents.iter().filter(|(topic, hash)| !is_known(topic, hash)).collect();
        if changed.is_empty() {
            return Ok(0);
        }
        let note = format!(
            "INSERT INTO hub_topics (topic, hash, revision, version) SELECT topic, hash, CAST($2 AS BIGINT), 1 FROM {} AS r WHERE TRUE \
             ON CONFLICT (topic) DO UPDATE SET hash = excluded.hash, revision = excluded.revision, version = hub_topics.version + 1 \
             WHERE hub_topics.hash <> excluded.hash AND hub_topics.revision <= excluded.revision RETURNING topic, version",
            self.database.rows(1, &[("topic", "TEXT"), ("hash", "TEXT")])
        );
        let rows = self.database.rows(1, &[("changed", "TEXT"), ("now_at", "BIGINT")]);
        // Who is being tried again has its time, and then gets the newest.
        let tell = if is_own {
            format!(
                "UPDATE hub_listeners SET owed = r.now_at, \
                 due_at = CASE WHEN attempts > 0 AND due_at IS NOT NULL THEN due_at ELSE $2 END \
                 FROM {rows} AS r WHERE topic = r.changed AND lease_until > $2"
            )
        } else {
            format!(
                "INSERT INTO hub_pings (topic, version, due_at, attempts, first_at) \
                 SELECT r.changed, r.now_at, CAST($2 AS BIGINT), 0, CAST($2 AS BIGINT) FROM {rows} AS r WHERE TRUE \
                 ON CONFLICT (topic) DO UPDATE SET version = excluded.version"
            )
        };
        begin!(self.database, tx => {
            let changed: Vec<(String, i64)> =
                sqlx::query_as(AssertSqlSafe(note)).bind(json(&changed)).bind(revision).fetch_all(&mut *tx).await?;
            sqlx::query(AssertSqlSafe(tell)).bind(json(&changed)).bind(millis(now)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(changed.len())
        })
    }

    /// Keeps a request until its callback was asked, in the place of an earlier one for the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_hub(&self, id: &str, wish: &Wish, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO hub_requests (id, topic, callback, host, mode, secret, lease_s, asked_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET mode = excluded.mode, \
                   secret = excluded.secret, lease_s = excluded.lease_s, asked_at = excluded.asked_at, claimed_until = NULL";
        on!(self.database, pool => {
            sqlx::query(sql)
                .bind(id).bind(&wish.topic).bind(wish.callback.as_str()).bind(wish.host()).bind(wish.mode.as_str())
                .bind(&wish.secret).bind(wish.lease.num_seconds()).bind(millis(now))
                .execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// How many requests wait that concern a host, and how many in all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hub_requests(&self, host: &str) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT COUNT(CASE WHEN host = $1 THEN 1 END), COUNT(*) FROM hub_requests";
        let (of_host, all): (i64, i64) =
            on!(self.database, pool => sqlx::query_as(sql).bind(host).fetch_one(pool).await)?;
        Ok((number(of_host), number(all)))
    }

    /// How many listeners there are, and whether one of them is this.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn listeners(&self, id: &str) -> Result<(u64, bool), StoreError> {
        let sql = "SELECT COUNT(*), COUNT(CASE WHEN id = $1 THEN 1 END) FROM hub_listeners";
        let (all, this): (i64, i64) = on!(self.database, pool => sqlx::query_as(sql).bind(id).fetch_one(pool).await)?;
        Ok((number(all), this > 0))
    }

    /// Takes up to `limit` requests, none that concerns one of the hosts `but`; another process gets them only after
    /// `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_requests(
        &self,
        but: &[&str],
        limit: i64,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Asked>, StoreError> {
        let sql = format!(
            "UPDATE hub_requests SET claimed_until = $2 WHERE id IN (SELECT d.id FROM hub_requests d \
             WHERE (d.claimed_until IS NULL OR d.claimed_until <= $1) AND d.host NOT IN {} ORDER BY d.asked_at LIMIT $3 {}) \
             RETURNING id, topic, callback, mode, secret, lease_s",
            self.database.list(4),
            self.database.skip_locked()
        );
        type Row = (String, String, String, String, Option<String>, i64);
        let rows: Vec<Row> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(millis(now)).bind(millis(until)).bind(limit).bind(json(but)).fetch_all(pool).await
        })?;
        let asked = |(id, topic, callback, mode, secret, seconds): Row| {
            let corrupt = || StoreError::Corrupt(format!("request to the hub {id}"));
            let wish = Wish {
                mode: Mode::parse(&mode).ok_or_else(corrupt)?,
                callback: callback.parse().map_err(|_| corrupt())?,
                lease: TimeDelta::try_seconds(seconds).ok_or_else(corrupt)?,
                topic,
                secret,
            };
            Ok(Asked { id, wish })
        };
        rows.into_iter().map(asked).collect()
    }

    /// A callback has shown that it wants what was asked for.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn grant(&self, asked: &Asked, now: DateTime<Utc>) -> Result<(), StoreError> {
        let (id, wish) = (&asked.id, &asked.wish);
        let listen = "INSERT INTO hub_listeners (id, topic, callback, host, secret, since, lease_until, owed, attempts) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, COALESCE((SELECT version FROM hub_topics WHERE topic = $2), 0), 0) \
                      ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, lease_until = excluded.lease_until";
        let until = millis(now + wish.lease);
        begin!(self.database, tx => {
            match wish.mode {
                Mode::Subscribe => {
                    sqlx::query(listen)
                        .bind(id).bind(&wish.topic).bind(wish.callback.as_str()).bind(wish.host()).bind(&wish.secret)
                        .bind(millis(now)).bind(until).execute(&mut *tx).await?;
                }
                Mode::Unsubscribe => {
                    sqlx::query("DELETE FROM hub_listeners WHERE id = $1").bind(id).execute(&mut *tx).await?;
                }
            }
            sqlx::query(DONE).bind(id).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(())
        })
    }

    /// A callback has not shown that it wants what was asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deny(&self, asked: &Asked) -> Result<(), StoreError> {
        on!(self.database, pool => sqlx::query(DONE).bind(&asked.id).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Whatever waits for a host is forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deny_host(&self, host: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM hub_requests WHERE host = $1";
        on!(self.database, pool => sqlx::query(sql).bind(host).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Takes up to `limit` listeners that are to be told, none on the hosts `but`, of documents whose last version is here;
    /// another process gets them only after `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_listeners(
        &self,
        here: &[(&str, i64)],
        but: &[&str],
        limit: usize,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Listener>, StoreError> {
        let sql = format!(
            "UPDATE hub_listeners SET claimed_until = $2, attempts = attempts + 1 WHERE id IN (SELECT d.id FROM hub_listeners d CROSS JOIN \
             {} AS r WHERE d.topic = r.topic AND d.owed <= r.version AND d.due_at <= $1 AND d.lease_until > $1 \
             AND (d.claimed_until IS NULL OR d.claimed_until <= $1) AND d.host NOT IN {} ORDER BY d.due_at LIMIT $3 {}) \
             RETURNING id, topic, callback, host, secret, attempts, failing_since",
            self.database.rows(4, &[("topic", "TEXT"), ("version", "BIGINT")]),
            self.database.list(5),
            self.database.skip_locked()
        );
        type Row = (String, String, String, String, Option<String>, i64, Option<i64>);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Row> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(millis(now)).bind(millis(until)).bind(limit).bind(json(here)).bind(json(but)).fetch_all(pool).await
        })?;
        let listener = |(id, topic, callback, host, secret, times, failing): Row| {
            let failing_since = failing.map(instant).transpose()?;
            Ok(Listener { id, topic, callback, host, secret, attempts: attempts(times), failing_since })
        };
        rows.into_iter().map(listener).collect()
    }

    /// Notes what became of telling listeners.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn settle_listeners(&self, told: &[(String, Told)], now: DateTime<Utc>) -> Result<(), StoreError> {
        type Row<'a> = (&'a str, Option<i64>, Option<i64>, Option<&'a str>);
        let (mut settled, mut gone): (Vec<Row<'_>>, Vec<&str>) = (vec![], vec![]);
        for (id, told) in told {
            match told {
                Told::Yes(version) => settled.push((id, Some(*version), None, None)),
                Told::Later(at, why) => settled.push((id, None, at.map(millis), Some(why))),
                Told::Gone => gone.push(id),
            }
        }
        let columns = [("settled", "TEXT"), ("told", "BIGINT"), ("next_at", "BIGINT"), ("fault", "TEXT")];
        let settle = format!(
            "UPDATE hub_listeners SET claimed_until = NULL, why = r.fault, \
             attempts = CASE WHEN r.told IS NULL THEN attempts ELSE 0 END, \
             failing_since = CASE WHEN r.told IS NULL THEN COALESCE(failing_since, $2) END, \
             told_at = CASE WHEN r.told IS NULL THEN told_at ELSE $2 END, \
             due_at = CASE WHEN r.told IS NULL THEN r.next_at WHEN owed > r.told THEN $2 END \
             FROM {} AS r WHERE id = r.settled",
            self.database.rows(1, &columns)
        );
        let remove = format!("DELETE FROM hub_listeners WHERE id IN {}", self.database.list(1));
        begin!(self.database, tx => {
            sqlx::query(AssertSqlSafe(settle)).bind(json(&settled)).bind(millis(now)).execute(&mut *tx).await?;
            if !gone.is_empty() {
                sqlx::query(AssertSqlSafe(remove)).bind(json(&gone)).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    /// Gives back listeners and requests that were claimed and not told or asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back(&self, listeners: &[String], requests: &[String]) -> Result<(), StoreError> {
        for (table, ids, more) in
            [("hub_listeners", listeners, ", attempts = attempts - 1"), ("hub_requests", requests, "")]
        {
            let list = self.database.list(1);
            let sql = format!(
                "UPDATE {table} SET claimed_until = NULL{more} WHERE claimed_until IS NOT NULL AND id IN {list}"
            );
            if !ids.is_empty() {
                on!(self.database, pool => sqlx::query(AssertSqlSafe(sql)).bind(json(ids)).execute(pool).await.map(drop))?;
            }
        }
        Ok(())
    }

    /// Forgets listeners whose lease has run out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_leases(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "DELETE FROM hub_listeners WHERE lease_until <= $1";
        let done = on!(self.database, pool => sqlx::query(sql).bind(millis(now)).execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(done)
    }

    /// Takes up to `limit` pings that are due; another process gets them only after `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_pings(
        &self,
        limit: i64,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Ping>, StoreError> {
        let sql = format!(
            "UPDATE hub_pings SET claimed_until = $2, attempts = attempts + 1 WHERE topic IN (SELECT d.topic FROM hub_pings d \
             WHERE d.due_at <= $1 AND (d.claimed_until IS NULL OR d.claimed_until <= $1) ORDER BY d.due_at, d.topic LIMIT $3 {}) \
             RETURNING topic, version, attempts, first_at",
            self.database.skip_locked()
        );
        let rows: Vec<(String, i64, i64, i64)> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(millis(now)).bind(millis(until)).bind(limit).fetch_all(pool).await
        })?;
        let ping = |(topic, version, times, first_at)| {
            Ok(Ping { topic, version, attempts: attempts(times), first_at: instant(first_at)? })
        };
        rows.into_iter().map(ping).collect()
    }

    /// A ping arrived, or is given up; where the topic has changed again meanwhile, that is due at once.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn end_ping(&self, ping: &Ping, now: DateTime<Utc>) -> Result<(), StoreError> {
        let again = "UPDATE hub_pings SET claimed_until = NULL, attempts = 0, due_at = $2, first_at = $2, why = NULL WHERE topic = $1";
        begin!(self.database, tx => {
            sqlx::query("DELETE FROM hub_pings WHERE topic = $1 AND version = $2")
                .bind(&ping.topic).bind(ping.version).execute(&mut *tx).await?;
            sqlx::query(again).bind(&ping.topic).bind(millis(now)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(())
        })
    }

    /// A ping is tried again at `at`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ping_later(&self, ping: &Ping, at: DateTime<Utc>, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE hub_pings SET claimed_until = NULL, due_at = $2, why = $3 WHERE topic = $1";
        on!(self.database, pool => {
            sqlx::query(sql).bind(&ping.topic).bind(millis(at)).bind(why).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// How many pings have not arrived, and why the last one that failed did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pings(&self) -> Result<(u64, Option<String>), StoreError> {
        let waiting: i64 = on!(self.database, pool => {
            sqlx::query_scalar("SELECT COUNT(*) FROM hub_pings").fetch_one(pool).await
        })?;
        let sql = "SELECT why FROM hub_pings WHERE why IS NOT NULL ORDER BY due_at DESC LIMIT 1";
        let why: Option<String> = on!(self.database, pool => sqlx::query_scalar(sql).fetch_optional(pool).await)?;
        Ok((number(waiting), why))
    }

    /// Who is told, topic by topic.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audiences(&self, now: DateTime<Utc>) -> Result<Vec<Audience>, StoreError> {
        let sql = "SELECT topic, COUNT(*), COUNT(due_at), COUNT(failing_since) FROM hub_listeners WHERE lease_until > $1 \
                   GROUP BY topic ORDER BY topic";
        let rows: Vec<(String, i64, i64, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(millis(now)).fetch_all(pool).await)?;
        let audience = |(topic, listeners, due, failing)| Audience {
            topic,
            listeners: number(listeners),
            due: number(due),
            failing: number(failing),
        };
        Ok(rows.into_iter().map(audience).collect())
    }

    /// Up to `limit` of those that do not take what they are told, for longest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failing_listeners(&self, limit: i64, now: DateTime<Utc>) -> Result<Vec<Failing>, StoreError> {
        let sql = "SELECT topic, host, failing_since, attempts, why, due_at FROM hub_listeners \
                   WHERE failing_since IS NOT NULL AND lease_until > $1 ORDER BY failing_since, id LIMIT $2";
        type Row = (String, String, i64, i64, Option<String>, Option<i64>);
        let rows: Vec<Row> =
            on!(self.database, pool => sqlx::query_as(sql).bind(millis(now)).bind(limit).fetch_all(pool).await)?;
        let failing = |(topic, host, since, times, why, due): Row| {
            let (since, due_at) = (instant(since)?, due.map(instant).transpose()?);
            Ok(Failing { topic, host, since, attempts: number(times), why: why.unwrap_or_default(), due_at })
        };
        rows.into_iter().map(failing).collect()
    }
}

/// A request that was answered is over, unless it was made anew meanwhile.
const DONE: &str = "DELETE FROM hub_requests WHERE id = $1 AND claimed_until IS NOT NULL";

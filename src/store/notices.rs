//! What an editor has to know of, and to whom it was told. Noted in the transaction in which it happens.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::{NEXT_REVISION, Store, StoreError, begin, id, instant, json, millis, on};
use crate::domain::digest::DigestId;
use crate::domain::notice::NoticeKind;

/// Notes that something happened: number, kind, digest, relay, why.
pub(super) const NOTE: &str = "INSERT INTO notices (number, kind, digest, relay, why) VALUES ($1, $2, $3, $4, $5)";

/// Something that an editor has to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// When it happened, as the store counts changes.
    pub number: i64,
    /// What happened.
    pub kind: NoticeKind,
    /// To which digest.
    pub digest: Option<DigestId>,
    /// To which relay.
    pub relay: Option<String>,
    /// Why.
    pub why: String,
}

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The first of the notices that it tells of.
    pub notice: i64,
    /// By which way.
    pub channel: String,
    /// Attempts, this one included.
    pub attempts: u32,
    /// When it was first to be told.
    pub first_at: DateTime<Utc>,
}

/// A relay that nothing goes out by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// Its name.
    pub relay: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

type Row = (i64, String, Option<String>, Option<String>, String);

fn noted((number, kind, digest, relay, why): Row) -> Result<Noted, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("notice of the kind {kind}"));
    Ok(Noted {
        number,
        kind: NoticeKind::parse(&kind).ok_or_else(corrupt)?,
        digest: digest.map(|digest| id(&digest).map(DigestId)).transpose()?,
        relay,
        why,
    })
}

impl Store {
    /// What nobody was told of yet, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn untold(&self) -> Result<Vec<Noted>, StoreError> {
        let sql =
            "SELECT number, kind, digest, relay, why FROM notices WHERE leader IS NULL ORDER BY number LIMIT 1000";
        let rows: Vec<Row> = on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?;
        rows.into_iter().map(noted).collect()
    }

    /// What is told by the notice `leader`, itself included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told_by(&self, leader: i64) -> Result<Vec<Noted>, StoreError> {
        let sql = "SELECT number, kind, digest, relay, why FROM notices WHERE leader = $1 ORDER BY number";
        let rows: Vec<Row> = on!(self.database, pool => sqlx::query_as(sql).bind(leader).fetch_all(pool).await)?;
        rows.into_iter().map(noted).collect()
    }

    /// Lets these notices go out together on each of `channels`. Returns whether that is so: another process may have
    /// taken one of them.
    ///
    /// # Errors
    /// When the database fails; then nothing changed.
    pub async fn spread(&self, notices: &[i64], channels: &[String], now: DateTime<Utc>) -> Result<bool, StoreError> {
        let Some(leader) = notices.first() else { return Ok(false) };
        let take = format!(
            "UPDATE notices SET leader = $1 WHERE leader IS NULL AND CAST(number AS TEXT) IN {}",
            self.database.list(2)
        );
        let numbers = json(&notices.iter().map(ToString::to_string).collect::<Vec<_>>());
        begin!(self.database, tx => {
            let taken = sqlx::query(AssertSqlSafe(take)).bind(*leader).bind(numbers).execute(&mut *tx).await?.rows_affected();
            let is_ours = taken == notices.len() as u64;
            if is_ours {
                for channel in channels {
                    sqlx::query(
                        "INSERT INTO tellings (notice, channel, attempts, due_at, first_at) VALUES ($1, $2, 0, $3, $3) \
                         ON CONFLICT (notice, channel) DO NOTHING",
                    )
                    .bind(*leader).bind(channel).bind(millis(now)).execute(&mut *tx).await?;
                }
                tx.commit().await?;
            }
            Ok(is_ours)
        })
    }

    /// Takes what is to be told now; another process gets it only after `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_tellings(&self, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<Vec<Telling>, StoreError> {
        let look = "SELECT COUNT(*) FROM tellings WHERE told_at IS NULL AND due_at <= $1";
        let due: i64 = on!(self.database, pool => sqlx::query_scalar(look).bind(millis(now)).fetch_one(pool).await)?;
        if due == 0 {
            return Ok(vec![]);
        }
        let sql = "UPDATE tellings SET due_at = $1, attempts = attempts + 1 WHERE told_at IS NULL AND due_at <= $2 \
                   RETURNING notice, channel, attempts, first_at";
        let rows: Vec<(i64, String, i64, i64)> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(millis(until)).bind(millis(now)).fetch_all(pool).await
        })?;
        let telling = |(notice, channel, attempts, first_at)| {
            Ok(Telling {
                notice,
                channel,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                first_at: instant(first_at)?,
            })
        };
        rows.into_iter().map(telling).collect()
    }

    /// It was told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_told(&self, telling: &Telling, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE tellings SET told_at = $3 WHERE notice = $1 AND channel = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(telling.notice).bind(&telling.channel).bind(millis(now)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// It is tried again at `at`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tell_later(&self, telling: &Telling, at: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE tellings SET due_at = $3 WHERE notice = $1 AND channel = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(telling.notice).bind(&telling.channel).bind(millis(at)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// It is told no more: given up, or of no use by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_telling(&self, telling: &Telling) -> Result<(), StoreError> {
        let sql = "DELETE FROM tellings WHERE notice = $1 AND channel = $2";
        on!(self.database, pool => {
            sqlx::query(sql).bind(telling.notice).bind(&telling.channel).execute(pool).await.map(drop)
        })?;
        Ok(())
    }

    /// Relays that nothing goes out by.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn absences(&self) -> Result<Vec<Absence>, StoreError> {
        let sql = "SELECT relay, since FROM absences ORDER BY relay";
        let rows: Vec<(String, i64)> = on!(self.database, pool => sqlx::query_as(sql).fetch_all(pool).await)?;
        rows.into_iter().map(|(relay, since)| Ok(Absence { relay, since: instant(since)? })).collect()
    }

    /// Nothing goes out by this relay; where that is known, since when stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn relay_is_away(&self, relay: &str, why: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO absences (relay, since, why, told) VALUES ($1, $2, $3, FALSE) \
                   ON CONFLICT (relay) DO UPDATE SET why = excluded.why";
        on!(self.database, pool => sqlx::query(sql).bind(relay).bind(millis(now)).bind(why).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// This relay takes mail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn relay_is_back(&self, relay: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM absences WHERE relay = $1";
        on!(self.database, pool => sqlx::query(sql).bind(relay).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Notes each relay that is away since `since` or longer, once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_absences(&self, since: DateTime<Utc>) -> Result<(), StoreError> {
        let look = "SELECT COUNT(*) FROM absences WHERE since <= $1 AND NOT told";
        let found: i64 =
            on!(self.database, pool => sqlx::query_scalar(look).bind(millis(since)).fetch_one(pool).await)?;
        if found == 0 {
            return Ok(());
        }
        let sql = "UPDATE absences SET told = TRUE WHERE since <= $1 AND NOT told RETURNING relay, why";
        begin!(self.database, tx => {
            let long: Vec<(String, String)> = sqlx::query_as(sql).bind(millis(since)).fetch_all(&mut *tx).await?;
            for (relay, why) in long {
                let number: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
                sqlx::query(NOTE).bind(number).bind("relay").bind(None::<&str>).bind(relay).bind(why)
                    .execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }
}

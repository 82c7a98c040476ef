//! Mail that moves to another address: the wish, the letters about it, the move itself.

use chrono::{DateTime, Utc};

use super::choices::of_person;
use super::consents::record;
use super::subscribers::address_of;
use super::{Store, StoreError, begin, id, instant, millis, on};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Step};
use crate::domain::subscription::{ONE_CONFIRMATION_PER, SubscriberId};

/// A letter about a change of address that waits to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Whose mail it is about.
    pub subscriber: SubscriberId,
    /// Where it goes.
    pub address: EmailAddress,
    /// Keyed hash of that.
    pub address_hash: String,
    /// Whether the mail has moved away from there; else it asks to be let in.
    pub is_old: bool,
    /// When the change was asked for, or made.
    pub asked_at: DateTime<Utc>,
    /// The language that the reader has chosen.
    pub language: Option<String>,
}

/// Addresses that one reader's wishes to move may have written to in a day.
const WISHES_A_DAY: i64 = 3;

type LetterColumns = (String, String, String, bool, i64, Option<String>);

impl Store {
    /// Notes that someone's mail shall move to another address, once that says yes. One wish a reader: an earlier one is
    /// dropped. Nothing happens where the address is banned, somebody's, or wished for by somebody else since `since`; and it
    /// is written to once a day at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_move(
        &self,
        who: SubscriberId,
        address: &EmailAddress,
        address_hash: &str,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let drop_others = "UPDATE moves SET address = NULL WHERE subscriber = $1 AND address_hash <> $2 AND NOT is_old";
        // Who asks again within a day asks the same. An address that was told of a move away may ask to have it back at once.
        let sql = "INSERT INTO moves (address_hash, subscriber, address, is_old, asked_at) \
             SELECT CAST($1 AS TEXT), s.id, CAST($3 AS TEXT), false, CAST($4 AS BIGINT) FROM subscribers s WHERE s.id = $2 \
             AND NOT EXISTS (SELECT 1 FROM subscribers o WHERE o.address_key = $5) \
             AND NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.address_hash = $1) \
             AND (SELECT COUNT(*) FROM moves m WHERE m.subscriber = $2 AND NOT m.is_old AND m.address_hash <> $1 AND m.asked_at > $7) < $8 \
             ON CONFLICT (address_hash) DO UPDATE SET subscriber = excluded.subscriber, address = excluded.address, is_old = false, \
             asked_at = CASE WHEN moves.sent_at > $7 AND NOT moves.is_old THEN moves.sent_at ELSE excluded.asked_at END, \
             sent_at = CASE WHEN moves.is_old THEN NULL ELSE moves.sent_at END \
             WHERE moves.address IS NULL OR moves.subscriber = excluded.subscriber OR moves.asked_at <= $6";
        begin!(self.database, tx => {
            sqlx::query(drop_others).bind(who.to_string()).bind(address_hash).execute(&mut *tx).await?;
            sqlx::query(sql).bind(address_hash).bind(who.to_string()).bind(address.as_str()).bind(millis(now))
                .bind(address.key()).bind(millis(since)).bind(millis(now - ONE_CONFIRMATION_PER)).bind(WISHES_A_DAY)
                .execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// The address that someone's mail shall move to, where it was wished for since `since`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wished_move(
        &self,
        who: SubscriberId,
        since: DateTime<Utc>,
    ) -> Result<Option<EmailAddress>, StoreError> {
        let sql =
            "SELECT address FROM moves WHERE subscriber = $1 AND NOT is_old AND address IS NOT NULL AND asked_at > $2";
        let address: Option<String> = on!(self.database, pool => {
            sqlx::query_scalar(sql).bind(who.to_string()).bind(millis(since)).fetch_optional(pool).await
        })?;
        address.map(|address| address_of(&address, &who.to_string())).transpose()
    }

    /// Letters about changes of address that wait, where none went to that address since `not_since`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letters(&self, not_since: DateTime<Utc>, limit: i64) -> Result<Vec<Letter>, StoreError> {
        let sql = "SELECT m.subscriber, m.address, m.address_hash, m.is_old, m.asked_at, s.language FROM moves m \
                   JOIN subscribers s ON s.id = m.subscriber WHERE m.address IS NOT NULL AND (m.sent_at IS NULL OR m.sent_at < m.asked_at) \
                   AND (m.sent_at IS NULL OR m.sent_at <= $1) AND NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.address_hash = m.address_hash) \
                   ORDER BY m.asked_at LIMIT $2";
        let rows: Vec<LetterColumns> = on!(self.database, pool => {
            sqlx::query_as(sql).bind(millis(not_since)).bind(limit).fetch_all(pool).await
        })?;
        let letter = |(who, address, address_hash, is_old, asked_at, language): LetterColumns| {
            Ok(Letter {
                subscriber: SubscriberId(id(&who)?),
                address: address_of(&address, &who)?,
                address_hash,
                is_old,
                asked_at: instant(asked_at)?,
                language,
            })
        };
        rows.into_iter().map(letter).collect()
    }

    /// Remembers that a letter was handed over. What has moved away is nobody's from then on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letter_sent(&self, letter: &Letter, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE moves SET sent_at = $2, address = CASE WHEN is_old THEN NULL ELSE address END WHERE address_hash = $1";
        on!(self.database, pool => sqlx::query(sql).bind(&letter.address_hash).bind(millis(now)).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Moves someone's mail to the address that was wished for since `since` and has said yes. Returns whether it was.
    ///
    /// # Errors
    /// When the database fails; then nothing is moved.
    pub async fn make_move(
        &self,
        who: SubscriberId,
        address_hash: &str,
        since: DateTime<Utc>,
        consent: impl Into<Consent>,
    ) -> Result<bool, StoreError> {
        let consent = consent.into();
        let key = who.to_string();
        let wished = "SELECT address FROM moves WHERE address_hash = $1 AND subscriber = $2 AND NOT is_old AND address IS NOT NULL AND asked_at > $3";
        let free = "UPDATE subscribers SET address = $2, address_key = $3, address_hash = $4 WHERE id = $1 \
                    AND NOT EXISTS (SELECT 1 FROM subscribers o WHERE o.address_key = $3) \
                    AND NOT EXISTS (SELECT 1 FROM suppressions p WHERE p.address_hash = $4)";
        let tell_old = "INSERT INTO moves (address_hash, subscriber, address, is_old, asked_at) VALUES ($1, $2, $3, true, $4) \
                        ON CONFLICT (address_hash) DO UPDATE SET subscriber = excluded.subscriber, address = excluded.address, \
                        is_old = true, asked_at = excluded.asked_at";
        let moved = begin!(self.database, tx => {
            let address: Option<String> = sqlx::query_scalar(wished).bind(address_hash).bind(&key).bind(millis(since))
                .fetch_optional(&mut *tx).await?;
            let old: Option<(String, String)> = sqlx::query_as("SELECT address, address_hash FROM subscribers WHERE id = $1")
                .bind(&key).fetch_optional(&mut *tx).await?;
            let (Some(address), Some((old, old_hash))) = (address, old) else { return Ok(false) };
            let address = address_of(&address, &key)?;
            let moved = sqlx::query(free).bind(&key).bind(address.as_str()).bind(address.key()).bind(address_hash)
                .execute(&mut *tx).await?.rows_affected() == 1;
            if moved {
                sqlx::query("UPDATE moves SET address = NULL WHERE address_hash = $1").bind(address_hash)
                    .execute(&mut *tx).await?;
                sqlx::query(tell_old).bind(&old_hash).bind(&key).bind(&old).bind(millis(consent.at)).execute(&mut *tx).await?;
                record!(self, tx, consent, of_person(who, Step::AddressChanged));
                tx.commit().await?;
            }
            moved
        });
        Ok(moved)
    }

    /// Forgets wishes to move, and when letters about them went out, from before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_moves(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "DELETE FROM moves WHERE asked_at < $1 AND (sent_at IS NULL OR sent_at < $1)";
        Ok(on!(self.database, pool => {
            sqlx::query(sql).bind(millis(before)).execute(pool).await.map(|done| done.rows_affected())
        })?)
    }
}

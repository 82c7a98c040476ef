//! Digests: composed once per newsletter, cadence and slot, whoever asks and however often.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::archive::{PAGES_OF_DAY, SAME_PAGE, SAME_WITHIN, free_page};
use super::deliveries::OPEN;
use super::notices::NOTE;
use super::segments::{Condition, bind_all};
use super::subscribers::UNSUPPRESSED;
use super::trials::{WAITS_FOR_PICK, begin_trial};
use super::{HOLD_RELEASES, NEXT_REVISION, Store, StoreError, begin, id, instant, json, millis, on};
use crate::domain::article::ArticleId;
use crate::domain::brakes::Share;
use crate::domain::digest::{Digest, DigestId, DigestKey, DigestState, Tally};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::notice::NoticeKind;
use crate::domain::segment::{SegmentName, Setting, Whom};
use crate::domain::subscription::SubscriberId;
use crate::domain::trial::{Part, Trial};

/// What stands in the cadence's place for a digest that goes to the readers of every cadence.
const EVERY: &str = "every";

/// A digest to be composed.
#[derive(Debug, Clone)]
pub struct NewDigest {
    /// Newsletter, cadence, slot, and the segment that it goes to.
    pub key: DigestKey,
    /// Who is in that segment, and what they are judged by.
    pub segment: Option<(Whom, Setting)>,
    /// Release number up to which it brings articles.
    pub cut_off: i64,
    /// Its articles with their release numbers.
    pub articles: Vec<(ArticleId, i64)>,
    /// Only readers whose cursor is at least this: for one who stands further back, an article would be missing.
    pub cursor_from: i64,
    /// Only readers whose cursor is below this have enough to read; `None` is everyone, who then get every article.
    pub cursor_below: Option<i64>,
    /// Only readers on these clocks.
    pub clocks: Clocks,
    /// The zone of those who named none.
    pub default_zone: String,
    /// How it starts: sending, or held for an editor.
    pub state: DigestState,
    /// An editor's words at the top.
    pub note: Option<String>,
    /// Subjects that are tried on a part of the readers.
    pub trial: Option<Trial>,
    /// The day that its page in the archive is called after, such as `2026-11-20`.
    pub day: String,
}

/// Whose clocks a slot is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clocks {
    /// Everyone's.
    All,
    /// Those in these zones.
    In(Vec<String>),
    /// Those of readers in a zone who prefer an hour or a day, or none: each as [`Clocks::name`] has it.
    Preferring(Vec<String>),
}

impl Clocks {
    /// A zone with what its readers prefer there.
    pub fn name(zone: &str, preferred: Option<&str>) -> String {
        format!("{zone} {}", preferred.unwrap_or_default())
    }

    /// What stands for a reader of the subscription `n` in the list, where one who named no zone is in `$6`.
    fn column(&self) -> &'static str {
        match self {
            Self::All | Self::In(_) => "COALESCE(n.time_zone, $6)",
            Self::Preferring(_) => "COALESCE(n.time_zone, $6) || ' ' || COALESCE(n.preferred, '')",
        }
    }

    fn list(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::In(names) | Self::Preferring(names) => Some(names),
        }
    }

    /// Whether readers in this zone, who prefer this, are among them.
    pub fn hold(&self, zone: &str, preferred: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::In(names) => names.iter().any(|name| name == zone),
            Self::Preferring(names) => names.contains(&Self::name(zone, preferred)),
        }
    }
}

/// Where no digest of the newsletter `$3` that stands still has a delivery open for the subscriber of `n`: were they to
/// get a later one meanwhile, a cancelled one could not give its articles back.
pub(super) const NOBODY_WAITS: &str = "NOT EXISTS (SELECT 1 FROM digests g CROSS JOIN deliveries d WHERE g.newsletter = $3 \
                            AND g.state IN ('held', 'paused', 'halted') AND d.digest = g.id AND d.subscriber = n.subscriber \
                            AND d.settled_at IS NULL)";

/// States of a digest that may have open deliveries.
pub(super) const UNDER_WAY: &str = "('sending', 'held', 'paused', 'halted')";

/// How many digests of the newsletter `$1`, besides `$2`, stand still.
pub(super) const STANDING: &str =
    "SELECT COUNT(*) FROM digests WHERE newsletter = $1 AND id <> $2 AND state IN ('held', 'paused', 'halted')";

/// How far ahead of the clock a look may have been: more, and the clock has been put back.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(1);

/// The columns of [`COLUMNS`].
pub(super) type Columns = (
    String,
    String,
    String,
    i64,
    i64,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    String,
    String,
    i64,
    Option<i64>,
);

pub(super) const COLUMNS: &str = "id, newsletter, cadence, slot, cut_off, state, why, held_until, note, trial, trial_until, \
     picked, segment, page, created_at, finished_at";

pub(super) fn digest(row: Columns) -> Result<Digest, StoreError> {
    let (
        key,
        newsletter,
        cadence,
        slot,
        cut_off,
        state,
        why,
        held_until,
        note,
        trial,
        until,
        picked,
        to,
        page,
        made,
        done,
    ) = row;
    let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of digest {key}"));
    let trial = trial.map(|json| {
        let kept: KeptTrial = serde_json::from_str(&json).map_err(|_| corrupt("trial"))?;
        Ok::<_, StoreError>(Trial {
            subjects: kept.subjects,
            share: Share::millionths(kept.millionths),
            length: TimeDelta::milliseconds(kept.milliseconds),
            until: until.map(instant).transpose()?,
            picked: picked.and_then(|place| usize::try_from(place).ok()),
        })
    });
    Ok(Digest {
        id: DigestId(id(&key)?),
        key: DigestKey {
            newsletter: FeedName::parse(&newsletter).ok_or_else(|| corrupt("newsletter"))?,
            cadence: Cadence::parse(&cadence),
            slot: instant(slot)?,
            segment: (!to.is_empty()).then(|| SegmentName::parse(&to).ok_or_else(|| corrupt("segment"))).transpose()?,
        },
        cut_off,
        state: DigestState::from_parts(&state, why)
            .ok_or_else(|| corrupt("state"))?
            .until(held_until.map(instant).transpose()?),
        note,
        trial: trial.transpose()?,
        page,
        created_at: instant(made)?,
        finished_at: done.map(instant).transpose()?,
    })
}

/// What of a trial is settled when its digest is composed.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct KeptTrial {
    subjects: Vec<String>,
    millionths: u32,
    milliseconds: i64,
}

fn kept(trial: &Trial) -> String {
    json(&KeptTrial {
        subjects: trial.subjects.clone(),
        millionths: trial.share.as_millionths(),
        milliseconds: trial.length.num_milliseconds(),
    })
}

impl Store {
    /// Composes a digest: the row, its articles, a delivery for each reader, and their cursors, whole or not at all.
    ///
    /// Returns the digest and whether this call made it: there is one for each newsletter, cadence, slot and segment.
    ///
    /// # Errors
    /// When the database fails; then there is no digest.
    pub async fn compose(&self, new: &NewDigest, now: DateTime<Utc>) -> Result<(Digest, bool), StoreError> {
        let made = DigestId::new(now);
        let cadence = new.key.cadence.map_or(EVERY, Cadence::as_str);
        let segment = new.key.segment.as_ref().map_or("", SegmentName::as_str);
        let (state, why) = new.state.parts();
        let cursor = if new.cursor_below.is_some() { "n.cursor" } else { "-1" };
        let enqueue = format!(
            "INSERT INTO deliveries (digest, subscriber, cursor_from, state, due_at, attempts) \
             SELECT CAST($1 AS TEXT), n.subscriber, {cursor}, 'queued', CAST($2 AS BIGINT), 0 \
             FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber \
             WHERE n.feed = $3 AND n.state = 'active' AND ($4 = 'every' OR n.cadence = $4) AND n.cursor < $5 \
             AND n.cursor >= $8 AND ($7 IS NULL OR {clock} IN {clocks}) AND {UNSUPPRESSED}",
            clock = new.clocks.column(),
            clocks = self.database.list(7)
        );
        let condition = new.segment.as_ref().map(|(whom, setting)| Condition::of(&self.database, whom, setting, 9));
        let enqueue = match &condition {
            Some(condition) => format!("{enqueue} AND {}", condition.sql),
            None => enqueue,
        };
        let held_until = new.state.held_until().map(millis);
        let due_at = millis(new.key.slot.min(now));
        begin!(self.database, tx => {
            let inserted = sqlx::query(
                "INSERT INTO digests (id, newsletter, cadence, slot, cut_off, state, why, held_until, note, created_at, page, revision, trial, segment) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', 0, $11, $12) ON CONFLICT (newsletter, cadence, slot, segment) DO NOTHING",
            )
            .bind(made.to_string()).bind(new.key.newsletter.as_str()).bind(cadence).bind(millis(new.key.slot))
            .bind(new.cut_off).bind(state).bind(why).bind(held_until).bind(&new.note).bind(millis(now))
            .bind(new.trial.as_ref().map(kept)).bind(segment)
            .execute(&mut *tx).await?.rows_affected();
            if inserted == 1 {
                for articles in new.articles.chunks(500) {
                    let mut insert = QueryBuilder::new("INSERT INTO digest_articles (digest, article, release_number) ");
                    insert.push_values(articles, |mut values, (article, number)| {
                        values.push_bind(made.to_string()).push_bind(article.to_string()).push_bind(*number);
                    });
                    insert.build().persistent(false).execute(&mut *tx).await?;
                }
                // No other digest enqueues the same readers before their cursors are moved.
                sqlx::query(HOLD_RELEASES).execute(&mut *tx).await?;
                let standing: i64 = sqlx::query_scalar(STANDING).bind(new.key.newsletter.as_str()).bind(made.to_string())
                    .fetch_one(&mut *tx).await?;
                let enqueue = if standing == 0 { enqueue } else { format!("{enqueue} AND {NOBODY_WAITS}") };
                let query = sqlx::query(AssertSqlSafe(enqueue)).persistent(condition.is_none())
                    .bind(made.to_string()).bind(if new.trial.is_some() { WAITS_FOR_PICK } else { due_at }).bind(new.key.newsletter.as_str()).bind(cadence)
                    .bind(new.cursor_below.unwrap_or(i64::MAX)).bind(&new.default_zone).bind(new.clocks.list().map(json)).bind(new.cursor_from);
                match &condition {
                    Some(condition) => bind_all!(query, condition).execute(&mut *tx).await?,
                    None => query.execute(&mut *tx).await?,
                };
                if let Some(trial) = &new.trial {
                    begin_trial!(self, tx, trial, made, due_at);
                }
                // Served from now on: a delivery that exists is never lost, so the next slot starts behind it.
                sqlx::query(
                    "UPDATE subscriptions SET cursor = $1 FROM deliveries d WHERE d.digest = $3 \
                     AND subscriptions.subscriber = d.subscriber AND subscriptions.feed = $2 AND subscriptions.cursor < $1",
                )
                .bind(new.cut_off).bind(new.key.newsletter.as_str()).bind(made.to_string())
                .execute(&mut *tx).await?;
                let same: Option<String> = sqlx::query_scalar(SAME_PAGE).bind(made.to_string()).bind(new.key.newsletter.as_str())
                    .bind(cadence).bind(new.note.as_deref().unwrap_or_default())
                    .bind(millis(new.key.slot - SAME_WITHIN)).bind(millis(new.key.slot + SAME_WITHIN)).bind(segment)
                    .fetch_optional(&mut *tx).await?;
                let page = if let Some(page) = same {
                    page
                } else {
                    let taken: Vec<String> = sqlx::query_scalar(PAGES_OF_DAY).bind(new.key.newsletter.as_str()).bind(&new.day)
                        .fetch_all(&mut *tx).await?;
                    free_page(&new.day, &taken)
                };
                let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
                sqlx::query("UPDATE digests SET page = $2, revision = $3 WHERE id = $1")
                    .bind(made.to_string()).bind(page).bind(revision).execute(&mut *tx).await?;
                if let DigestState::Held { why, until } = &new.state {
                    let kind = if until.is_some() { NoticeKind::Ready } else { NoticeKind::Held };
                    sqlx::query(NOTE).bind(revision).bind(kind.as_str()).bind(made.to_string()).bind(None::<&str>).bind(why)
                        .execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
        });
        let digest = self.digest_by_key(&new.key).await?;
        let digest = digest.ok_or_else(|| StoreError::Corrupt("a digest vanished as it was made".into()))?;
        let is_ours = digest.id == made;
        Ok((digest, is_ours))
    }

    /// The digest with this newsletter, cadence, slot and segment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest_by_key(&self, key: &DigestKey) -> Result<Option<Digest>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM digests WHERE newsletter = $1 AND cadence = $2 AND slot = $3 AND segment = $4"
        );
        let row: Option<Columns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(key.newsletter.as_str()).bind(key.cadence.map_or(EVERY, Cadence::as_str)).bind(millis(key.slot))
                .bind(key.segment.as_ref().map_or("", SegmentName::as_str)).fetch_optional(pool).await
        })?;
        row.map(digest).transpose()
    }

    /// The digest with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest(&self, which: DigestId) -> Result<Option<Digest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM digests WHERE id = $1");
        let row: Option<Columns> = on!(self.database, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(which.to_string()).fetch_optional(pool).await)?;
        row.map(digest).transpose()
    }

    /// The newest digests, newest first; only those of `newsletter` where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digests(&self, newsletter: Option<&FeedName>, limit: i64) -> Result<Vec<Digest>, StoreError> {
        // An id begins with the time of its making.
        let sql = format!("SELECT {COLUMNS} FROM digests WHERE $1 = '' OR newsletter = $1 ORDER BY id DESC LIMIT $2");
        let rows: Vec<Columns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(newsletter.map_or("", FeedName::as_str)).bind(limit).fetch_all(pool).await
        })?;
        rows.into_iter().map(digest).collect()
    }

    /// How many of a digest's deliveries stand where.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tally(&self, which: DigestId) -> Result<Tally, StoreError> {
        let sql = "SELECT state, COUNT(*) FROM deliveries WHERE digest = $1 GROUP BY state";
        let rows: Vec<(String, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(which.to_string()).fetch_all(pool).await)?;
        let mut tally = Tally::default();
        for (state, count) in rows {
            let count = count.cast_unsigned();
            match state.as_str() {
                "sent" => tally.sent += count,
                "deferred" => tally.deferred += count,
                "refused" => tally.refused += count,
                "failed" => tally.failed += count,
                "skipped" => tally.skipped += count,
                _ => tally.queued += count,
            }
        }
        Ok(tally)
    }

    /// Moves a digest from one state to another; returns whether it was in that state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_digest(&self, which: DigestId, from: &str, to: &DigestState) -> Result<bool, StoreError> {
        let (state, why) = to.parts();
        let until = to.held_until().map(millis);
        let sql =
            "UPDATE digests SET state = $3, why = $4, held_until = $5, revision = $6 WHERE id = $1 AND state = $2";
        let moved = begin!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
            let moved = sqlx::query(sql)
                .bind(which.to_string()).bind(from).bind(state).bind(why).bind(until).bind(revision)
                .execute(&mut *tx).await?.rows_affected();
            if moved == 1 {
                if let DigestState::Halted { why } = to {
                    sqlx::query(NOTE).bind(revision).bind("halted").bind(which.to_string()).bind(None::<&str>).bind(why)
                        .execute(&mut *tx).await?;
                }
                tx.commit().await?;
            }
            moved
        });
        Ok(moved == 1)
    }

    /// Lets go what was held until `now` or before. Returns how many digests.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_held(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        // This is asked at every tick: so it looks first.
        let look = "SELECT COUNT(*) FROM digests WHERE state = 'held' AND held_until <= $1";
        let due: i64 = on!(self.database, pool => sqlx::query_scalar(look).bind(millis(now)).fetch_one(pool).await)?;
        if due == 0 {
            return Ok(0);
        }
        let sql = "UPDATE digests SET state = 'sending', why = NULL, held_until = NULL, revision = $2 \
                   WHERE state = 'held' AND held_until <= $1";
        begin!(self.database, tx => {
            let revision: i64 = sqlx::query_scalar(NEXT_REVISION).fetch_one(&mut *tx).await?;
            let released = sqlx::query(sql).bind(millis(now)).bind(revision).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(released)
        })
    }

    /// The digests that stand still, oldest first; only those of `newsletter` where given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, newsletter: Option<&FeedName>) -> Result<Vec<Digest>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM digests WHERE state IN ('held', 'paused', 'halted') AND ($1 = '' OR newsletter = $1) ORDER BY id"
        );
        let rows: Vec<Columns> = on!(self.database, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).bind(newsletter.map_or("", FeedName::as_str)).fetch_all(pool).await
        })?;
        rows.into_iter().map(digest).collect()
    }

    /// How many readers of a digest that was cancelled do not find its articles in their next one, since they had been
    /// given a later one while it was being sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overtaken(&self, which: DigestId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM deliveries d JOIN digests g ON g.id = d.digest JOIN subscriptions n \
                   ON n.subscriber = d.subscriber AND n.feed = g.newsletter WHERE d.digest = $1 AND d.state = 'skipped' \
                   AND d.outcome = 'cancelled' AND d.cursor_from >= 0 AND n.cursor > d.cursor_from AND n.state <> 'ended'";
        let overtaken: i64 =
            on!(self.database, pool => sqlx::query_scalar(sql).bind(which.to_string()).fetch_one(pool).await)?;
        Ok(overtaken.cast_unsigned())
    }

    /// Marks as sent every digest whose deliveries all have their outcome. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_digests(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let done = format!(
            "state = 'sending' AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.digest = digests.id AND {OPEN})"
        );
        // This is asked again and again, and SQLite's one writer is needed elsewhere: so it looks first.
        let look = format!("SELECT COUNT(*) FROM digests WHERE {done}");
        let found: i64 = on!(self.database, pool => sqlx::query_scalar(AssertSqlSafe(look)).fetch_one(pool).await)?;
        if found == 0 {
            return Ok(0);
        }
        // Locked first, and asked again then: a delivery may be queued anew meanwhile, for a reader who came back.
        let lock = format!("UPDATE digests SET state = state WHERE {done}");
        let sql = format!("UPDATE digests SET state = 'sent', finished_at = $1 WHERE {done}");
        begin!(self.database, tx => {
            sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
            let finished = sqlx::query(AssertSqlSafe(sql)).bind(millis(now)).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(finished)
        })
    }

    /// Up to where the scheduler has looked for slots; begins at `now`, so that a new newsletter owes nothing.
    ///
    /// Where that is hours ahead, the clock has been put back, and looking begins at `now` again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn looked_until(
        &self,
        newsletter: &FeedName,
        cadence: Cadence,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let read = "SELECT looked_until FROM schedules WHERE newsletter = $1 AND cadence = $2";
        let begin = "INSERT INTO schedules (newsletter, cadence, looked_until) VALUES ($1, $2, $3) ON CONFLICT (newsletter, cadence) DO NOTHING";
        let (newsletter, cadence) = (newsletter.as_str(), cadence.as_str());
        let until: i64 = on!(self.database, pool => {
            let known = sqlx::query_scalar(read).bind(newsletter).bind(cadence).fetch_optional(pool).await?;
            if let Some(until) = known {
                until
            } else {
                sqlx::query(begin).bind(newsletter).bind(cadence).bind(millis(now)).execute(pool).await?;
                sqlx::query_scalar(read).bind(newsletter).bind(cadence).fetch_one(pool).await?
            }
        });
        let looked = instant(until)?;
        if looked - now <= AHEAD_MAX {
            return Ok(looked);
        }
        let put_back =
            "UPDATE schedules SET looked_until = $3 WHERE newsletter = $1 AND cadence = $2 AND looked_until = $4";
        // Nor do those wait for next year for whom the clock that was ahead made a digest.
        let due_now = "UPDATE deliveries SET due_at = $2 WHERE state = 'queued' AND due_at > $3 AND due_at < $4 \
                       AND digest IN (SELECT id FROM digests WHERE newsletter = $1)";
        on!(self.database, pool => {
            sqlx::query(put_back).bind(newsletter).bind(cadence).bind(millis(now)).bind(until).execute(pool).await?;
            sqlx::query(due_now).bind(newsletter).bind(millis(now)).bind(millis(now + AHEAD_MAX)).bind(WAITS_FOR_PICK).execute(pool).await.map(drop)
        })?;
        Ok(now)
    }

    /// Remembers that every slot up to `until` has been dealt with. It goes back only with the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_looked_until(
        &self,
        newsletter: &FeedName,
        cadence: Cadence,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE schedules SET looked_until = $3 WHERE newsletter = $1 AND cadence = $2 AND looked_until < $3";
        on!(self.database, pool => {
            sqlx::query(sql).bind(newsletter.as_str()).bind(cadence.as_str()).bind(millis(until)).execute(pool).await.map(drop)
        })?;
        Ok(())
    }
}

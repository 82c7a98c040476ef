//! What came back: each report once, and the ban that follows from it in the same transaction.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AssertSqlSafe;

use super::{Store, StoreError, begin, id, millis, on};
use crate::domain::digest::DigestId;
use crate::domain::report::{ReportCounts, ReportKind, SoftRule};
use crate::domain::subscription::SubscriberId;

/// Digests of one reader that a report is looked for among, the newest first.
const RECENT: i64 = 500;

/// A report that is known to be about one of ours.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// The same for the same report.
    pub id: String,
    /// Of which digest; a confirmation has none.
    pub digest: Option<DigestId>,
    /// About whom.
    pub subscriber: SubscriberId,
    /// Keyed hash of their address.
    pub address_hash: String,
    /// What it says.
    pub kind: ReportKind,
    /// The enhanced code, if any.
    pub code: Option<String>,
    /// What was said.
    pub text: String,
}

/// What a report led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether it was not known yet.
    pub is_new: bool,
    /// Whether the address is banned from now on, and was not before.
    pub suppressed: bool,
}

/// Where a soft bounce of the address `$1` counts: since the last success of the subscriber `$2`, and since `$3`. A
/// digest is a success when nothing was heard of it since it was sent before `$4`.
const COUNTING: &str = "r.address_hash = $1 AND r.kind = 'soft_bounce' AND r.created_at > $3 AND r.created_at > COALESCE(\
     (SELECT MAX(d.settled_at) FROM digests g CROSS JOIN deliveries d WHERE d.digest = g.id AND (g.finished_at IS NULL OR g.finished_at > $3) \
      AND d.subscriber = $2 AND d.state = 'sent' AND d.settled_at > $3 AND d.settled_at <= $4 \
      AND NOT EXISTS (SELECT 1 FROM reports b WHERE b.subscriber = d.subscriber AND b.digest = d.digest)), 0)";

impl Store {
    /// Records a report and what follows from it: a hard bounce and a complaint ban the address at once, soft bounces
    /// by `rule`. Known reports change nothing.
    ///
    /// # Errors
    /// When the database fails; then nothing is recorded.
    pub async fn record_report(
        &self,
        report: &NewReport,
        rule: SoftRule,
        now: DateTime<Utc>,
    ) -> Result<Recorded, StoreError> {
        let counted = format!(
            "SELECT COUNT(DISTINCT COALESCE(r.digest, r.id)), COALESCE(MAX(r.created_at) - MIN(r.created_at), 0) \
             FROM reports r WHERE {COUNTING}"
        );
        let (hash, subscriber) = (&report.address_hash, report.subscriber.to_string());
        let recorded = begin!(self.database, tx => {
            let is_new = sqlx::query(
                "INSERT INTO reports (id, digest, subscriber, address_hash, kind, code, text, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            )
            .bind(&report.id).bind(report.digest.map(|digest| digest.to_string())).bind(&subscriber).bind(hash)
            .bind(report.kind.as_str()).bind(&report.code).bind(&report.text).bind(millis(now))
            .execute(&mut *tx).await?.rows_affected() == 1;
            let cause = match report.kind {
                _ if !is_new => None,
                ReportKind::HardBounce => Some("bounced"),
                ReportKind::Complaint => Some("complained"),
                ReportKind::SoftBounce => {
                    let (events, apart): (i64, i64) = sqlx::query_as(AssertSqlSafe(counted))
                        .bind(hash).bind(&subscriber).bind(millis(now - SoftRule::FORGOTTEN_AFTER))
                        .bind(millis(now - SoftRule::SUCCESS_AFTER))
                        .fetch_one(&mut *tx).await?;
                    rule.is_met(events, TimeDelta::milliseconds(apart)).then_some("bounced")
                }
                ReportKind::ContentBounce | ReportKind::SenderBounce | ReportKind::Leave => None,
            };
            let mut suppressed = false;
            if let Some(cause) = cause {
                // A complaint outweighs whatever the address was banned for; otherwise the first cause stays.
                suppressed = sqlx::query(
                    "INSERT INTO suppressions (address_hash, cause, detail, created_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (address_hash) DO NOTHING",
                )
                .bind(hash).bind(cause).bind(&report.text).bind(millis(now)).execute(&mut *tx).await?.rows_affected() == 1;
                if !suppressed && report.kind == ReportKind::Complaint {
                    sqlx::query("UPDATE suppressions SET cause = $2, detail = $3 WHERE address_hash = $1")
                        .bind(hash).bind(cause).bind(&report.text).execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
            Recorded { is_new, suppressed }
        });
        Ok(recorded)
    }

    /// The digests that went to someone, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digests_to(&self, who: SubscriberId) -> Result<Vec<DigestId>, StoreError> {
        let sql = "SELECT d.digest FROM digests g CROSS JOIN deliveries d WHERE d.digest = g.id AND d.subscriber = $1 ORDER BY g.id DESC LIMIT $2";
        let found: Vec<String> = on!(self.database, pool => sqlx::query_scalar(sql).bind(who.to_string()).bind(RECENT).fetch_all(pool).await)?;
        found.iter().map(|digest| Ok(DigestId(id(digest)?))).collect()
    }

    /// What came back of a digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reports_of(&self, digest: DigestId) -> Result<ReportCounts, StoreError> {
        // A mailbox refused during SMTP is the delivery's outcome, and no report.
        let sql = "SELECT kind, COUNT(DISTINCT address_hash) FROM reports r WHERE digest = $1 AND NOT EXISTS \
                   (SELECT 1 FROM deliveries d WHERE d.digest = r.digest AND d.subscriber = r.subscriber AND d.state = 'refused') \
                   GROUP BY kind";
        let rows: Vec<(String, i64)> =
            on!(self.database, pool => sqlx::query_as(sql).bind(digest.to_string()).fetch_all(pool).await)?;
        let mut counts = ReportCounts::default();
        for (kind, number) in rows {
            let number = u64::try_from(number).unwrap_or_default();
            let place = match ReportKind::parse(&kind) {
                Some(ReportKind::HardBounce) => &mut counts.bounced_hard,
                Some(ReportKind::SoftBounce) => &mut counts.bounced_soft,
                Some(ReportKind::ContentBounce) => &mut counts.refused_content,
                Some(ReportKind::SenderBounce) => &mut counts.refused_sender,
                Some(ReportKind::Complaint) => &mut counts.complained,
                Some(ReportKind::Leave) => &mut counts.left,
                None => return Err(StoreError::Corrupt(format!("report {kind}"))),
            };
            *place = number;
        }
        Ok(counts)
    }

    /// Counts a report that is about nobody known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_unclaimed_report(&self) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = value + 1 WHERE name = 'reports_unclaimed'";
        on!(self.database, pool => sqlx::query(sql).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// How many reports were about nobody known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unclaimed_reports(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = 'reports_unclaimed'";
        Ok(on!(self.database, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// Uses a signature for `content`; what is older than `older` is forgotten. Returns whether it was used for nothing
    /// else: the same request may come again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_signature(
        &self,
        name: &str,
        content: &str,
        older: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let used_for: String = begin!(self.database, tx => {
            sqlx::query("DELETE FROM used_signatures WHERE created_at < $1").bind(millis(older)).execute(&mut *tx).await?;
            sqlx::query("INSERT INTO used_signatures (name, content, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
                .bind(name).bind(content).bind(millis(now)).execute(&mut *tx).await?;
            let used_for = sqlx::query_scalar("SELECT content FROM used_signatures WHERE name = $1")
                .bind(name).fetch_one(&mut *tx).await?;
            tx.commit().await?;
            used_for
        });
        Ok(used_for == content)
    }
}

//! What providers post about what we sent: each of them as configured, and nothing from one that is not.

use super::report::{ReportTally, take_report};
use super::{Publication, TaskError, fingerprint};
use crate::mail::report::Report;
use crate::mail::webhook::{FRESH_FOR, Refused, mailgun, postmark, sendgrid, ses};

pub use crate::mail::webhook::sendgrid::{SIGNATURE as SENDGRID_SIGNATURE, TIMESTAMP as SENDGRID_TIMESTAMP};

/// Where the address is kept that a topic of SNS waits for someone to open.
const SNS_QUESTION: &str = "sns_subscribe_url";

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Everything in it was taken, and is on the disk.
    Done(ReportTally),
    /// It is not what the provider documents.
    Malformed,
    /// It is not from the provider, or too old to be believed.
    Forbidden,
    /// No such provider is configured.
    Unknown,
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        tracing::warn!(?refused, "a webhook was refused");
        match refused {
            Refused::Malformed => Self::Malformed,
            Refused::Signature | Refused::Stale => Self::Forbidden,
        }
    }
}

async fn taken(publication: &Publication, reports: &[Report]) -> Result<Answer, TaskError> {
    let mut tally = ReportTally::default();
    for report in reports {
        tally += take_report(publication, report).await?;
    }
    Ok(Answer::Done(tally))
}

/// Takes what Amazon SNS posts. A topic that asks whether it may send is remembered: see [`sns_question`].
///
/// # Errors
/// When the store fails; then the request can come again.
pub async fn ses(publication: &Publication, body: &[u8]) -> Result<Answer, TaskError> {
    let Some(config) = &publication.config.reports.ses else { return Ok(Answer::Unknown) };
    match ses::read(body, &config.topic, &config.certificates) {
        Ok(ses::Sent::Report(report)) => taken(publication, &[*report]).await,
        Ok(ses::Sent::Question { url }) => {
            publication.store.set_fact(SNS_QUESTION, &url).await?;
            tracing::warn!("Amazon SNS waits to be told that it may send: tidings report --sns-question");
            Ok(Answer::Done(ReportTally::default()))
        }
        Ok(ses::Sent::Goodbye) => {
            tracing::warn!("Amazon SNS will send no more");
            Ok(Answer::Done(ReportTally::default()))
        }
        Err(refused) => Ok(refused.into()),
    }
}

/// The address that has to be opened once for SNS to send here, if it has asked.
///
/// # Errors
/// When the store fails.
pub async fn sns_question(publication: &Publication) -> Result<Option<String>, TaskError> {
    Ok(publication.store.fact(SNS_QUESTION).await?)
}

/// Takes what SendGrid posts, with the headers [`SENDGRID_SIGNATURE`] and [`SENDGRID_TIMESTAMP`].
///
/// # Errors
/// When the store fails; then the request can come again.
pub async fn sendgrid(
    publication: &Publication,
    body: &[u8],
    signature: &str,
    timestamp: &str,
) -> Result<Answer, TaskError> {
    let Some(config) = &publication.config.reports.sendgrid else { return Ok(Answer::Unknown) };
    match sendgrid::read(body, signature, timestamp, &config.public_key, publication.clock.now()) {
        Ok(reports) => taken(publication, &reports).await,
        Err(refused) => Ok(refused.into()),
    }
}

/// Takes what Mailgun posts. Its signature does not cover the event, so it is good for the first event that it came
/// with, and for no other.
///
/// # Errors
/// When the store fails; then the request can come again.
pub async fn mailgun(publication: &Publication, body: &[u8]) -> Result<Answer, TaskError> {
    let Some(config) = &publication.config.reports.mailgun else { return Ok(Answer::Unknown) };
    let now = publication.clock.now();
    let signed = match mailgun::read(body, &config.signing_key, now) {
        Ok(signed) => signed,
        Err(refused) => return Ok(refused.into()),
    };
    // Twice as long as it is believed.
    let older = now - FRESH_FOR - FRESH_FOR;
    if !publication.store.use_signature(&signed.signature, &fingerprint([body]), older, now).await? {
        return Ok(Refused::Signature.into());
    }
    taken(publication, &[signed.report]).await
}

/// Takes what Postmark posts, with the header `Authorization`.
///
/// # Errors
/// When the store fails; then the request can come again.
pub async fn postmark(publication: &Publication, body: &[u8], authorization: &str) -> Result<Answer, TaskError> {
    let Some(config) = &publication.config.reports.postmark else { return Ok(Answer::Unknown) };
    match postmark::read(body, authorization, &config.user, &config.password) {
        Ok(report) => taken(publication, &[report]).await,
        Err(refused) => Ok(refused.into()),
    }
}

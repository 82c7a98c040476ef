//! Reports in by HTTP: what providers post, believed when it is signed as each of them documents.
//!
//! | Provider | How it signs | What brings the token back |
//! |---|---|---|
//! | [`ses`] | SNS: RSA over named fields | `mail.source`, and the headers of the message |
//! | [`sendgrid`] | ECDSA P-256 over time and body | `unique_args` of the header `X-SMTPAPI` |
//! | [`mailgun`] | HMAC-SHA-256 over time and a token, not over the body | `X-Mailgun-Variables` |
//! | [`postmark`] | user and password in the URL | `X-PM-Metadata-tidings` |
//!
//! Pure: nothing is fetched, and whether a token is ours this room cannot know.

pub mod mailgun;
pub mod postmark;
pub mod sendgrid;
pub mod ses;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::report::{Finding, Report, Traces};
use crate::domain::delivery::{Enhanced, said};
use crate::domain::report::ReportKind;

/// How old a signed request may be: providers try for up to a day to hand an event over, some with its first signature.
pub const FRESH_FOR: TimeDelta = TimeDelta::hours(25);
/// How far a provider's clock may be ahead of ours.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// Why nothing of a request was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not what the provider documents.
    Malformed,
    /// It is signed by somebody else, or not at all.
    Signature,
    /// It was signed too long ago.
    Stale,
}

/// Unix seconds, if they are about now.
fn is_fresh(seconds: &str, now: DateTime<Utc>) -> bool {
    let at = seconds.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.is_some_and(|at| at <= now + AHEAD && now <= at + FRESH_FOR)
}

/// The text at a path of keys; empty where there is none.
fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_str).unwrap_or_default()
}

/// A report about what `traces` names.
fn report(finding: Finding, code: Option<Enhanced>, words: &str, id: String, traces: Traces) -> Report {
    Report { finding, code, text: said(words), traces, id: Some(id) }
}

/// Traces in whole JSON values, in their order.
fn traces(values: &[&Value]) -> Traces {
    let mut traces = Traces::default();
    for value in values {
        traces.look_in(value.to_string().as_bytes());
    }
    traces
}

/// A bounce that its provider does not call lasting is no hard one.
fn no_harder_than_soft((kind, code): (ReportKind, Option<Enhanced>)) -> (ReportKind, Option<Enhanced>) {
    (if kind == ReportKind::HardBounce { ReportKind::SoftBounce } else { kind }, code)
}

/// A bounce that its provider calls lasting, and whose own words say nothing, is a hard one.
fn hard_without_code((kind, code): (ReportKind, Option<Enhanced>)) -> (ReportKind, Option<Enhanced>) {
    (if code.is_none_or(|code| (code.1, code.2) == (0, 0)) { ReportKind::HardBounce } else { kind }, code)
}

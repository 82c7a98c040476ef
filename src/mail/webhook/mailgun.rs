//! Mailgun's webhooks: one event, with an HMAC-SHA-256 over a timestamp and a token beside it.
//!
//! The signature does not cover the event. So each signature is good for one event only: [`Signed::signature`] has to be
//! remembered for as long as it would be believed.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Refused, hard_without_code, is_fresh, report, text, traces};
use crate::domain::relay::Secret;
use crate::domain::report::ReportKind;
use crate::domain::text::unhex;
use crate::mail::report::{Finding, Report, bounce};

/// An event with what names its signature.
#[derive(Debug)]
pub struct Signed {
    /// The signature's token.
    pub signature: String,
    /// What is reported.
    pub report: Report,
}

/// The report in a request; `signing_key` is the HTTP webhook signing key.
///
/// # Errors
/// Why nothing of it is believed.
pub fn read(body: &[u8], signing_key: &Secret, now: DateTime<Utc>) -> Result<Signed, Refused> {
    let request: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    let (timestamp, token) = (text(&request, &["signature", "timestamp"]), text(&request, &["signature", "token"]));
    let signature = unhex(text(&request, &["signature", "signature"])).ok_or(Refused::Signature)?;
    if token.is_empty() || token.len() > 100 {
        return Err(Refused::Signature);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, signing_key.reveal().as_bytes());
    hmac::verify(&key, format!("{timestamp}{token}").as_bytes(), &signature).map_err(|_| Refused::Signature)?;
    if !is_fresh(timestamp, now) {
        return Err(Refused::Stale);
    }
    let event = request.get("event-data").ok_or(Refused::Malformed)?;
    // Both, since where the one ends and the other begins is not signed.
    Ok(Signed { signature: format!("mailgun {timestamp}{token}"), report: read_event(event) })
}

fn read_event(event: &Value) -> Report {
    let status = |key| text(event, &["delivery-status", key]);
    let words = match status("message") {
        "" => status("description"),
        message => message,
    };
    let (finding, code) = match (text(event, &["event"]), text(event, &["severity"])) {
        ("failed", "permanent") => match text(event, &["reason"]) {
            "suppress-bounce" => (Finding::Of(ReportKind::HardBounce), None),
            "suppress-complaint" => (Finding::Of(ReportKind::Complaint), None),
            "suppress-unsubscribe" => (Finding::Of(ReportKind::Leave), None),
            _ => {
                let found = bounce(status("enhanced-code"), words);
                let is_hard = status("bounce-type") == "hard";
                let (kind, code) = if is_hard { hard_without_code(found) } else { found };
                (Finding::Of(kind), code)
            }
        },
        ("failed", _) => (Finding::Delayed, None),
        ("complained", _) => (Finding::Of(ReportKind::Complaint), None),
        ("unsubscribed", _) => (Finding::Of(ReportKind::Leave), None),
        ("delivered", _) => (Finding::Delivered, None),
        _ => (Finding::NoReport, None),
    };
    let variables = event.get("user-variables").unwrap_or(&Value::Null);
    report(finding, code, words, text(event, &["id"]).to_owned(), traces(&[variables, event]))
}

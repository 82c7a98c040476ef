//! Twilio SendGrid's Signed Event Webhook: an array of events, ECDSA P-256 with SHA-256 over timestamp and body.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Refused, hard_without_code, is_fresh, no_harder_than_soft, report, text, traces};
use crate::domain::report::ReportKind;
use crate::mail::report::{Finding, Report, bounce};

/// The header with the signature, in base64.
pub const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
/// The header with the time, in Unix seconds.
pub const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// Bytes of an uncompressed point of P-256, which ends the DER form of a public key (RFC 5480 §2.2).
const POINT_BYTES: usize = 65;

/// The reports in a request; `public_key` is the verification key in base64.
///
/// # Errors
/// Why nothing of it is believed.
pub fn read(
    body: &[u8],
    signature: &str,
    timestamp: &str,
    public_key: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Report>, Refused> {
    let key = STANDARD.decode(public_key.trim()).map_err(|_| Refused::Signature)?;
    let point = key.get(key.len().saturating_sub(POINT_BYTES)..).unwrap_or_default();
    let signature = STANDARD.decode(signature.trim()).map_err(|_| Refused::Signature)?;
    let signed = [timestamp.as_bytes(), body].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(&signed, &signature).map_err(|_| Refused::Signature)?;
    if !is_fresh(timestamp, now) {
        return Err(Refused::Stale);
    }
    let events: Vec<Value> = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    Ok(events.iter().map(event).collect())
}

fn event(event: &Value) -> Report {
    let reason = text(event, &["reason"]);
    let (finding, code) = match text(event, &["event"]) {
        "bounce" => {
            let found = bounce(text(event, &["status"]), reason);
            let is_lasting = text(event, &["type"]) != "blocked";
            let is_nobody = text(event, &["bounce_classification"]) == "Invalid Address";
            let (kind, code) = match (is_lasting, is_nobody) {
                (true, true) => hard_without_code(found),
                (true, false) => found,
                (false, _) => no_harder_than_soft(found),
            };
            (Finding::Of(kind), code)
        }
        // Not even tried, for what SendGrid remembers of the address.
        "dropped" => match reason {
            "Bounced Address" | "Invalid" => (Finding::Of(ReportKind::HardBounce), None),
            "Spam Reporting Address" => (Finding::Of(ReportKind::Complaint), None),
            "Unsubscribed Address" => (Finding::Of(ReportKind::Leave), None),
            _ => (Finding::NoReport, None),
        },
        "spamreport" => (Finding::Of(ReportKind::Complaint), None),
        "unsubscribe" | "group_unsubscribe" => (Finding::Of(ReportKind::Leave), None),
        "deferred" => (Finding::Delayed, None),
        "delivered" => (Finding::Delivered, None),
        _ => (Finding::NoReport, None),
    };
    report(finding, code, reason, text(event, &["sg_event_id"]).to_owned(), traces(&[event]))
}

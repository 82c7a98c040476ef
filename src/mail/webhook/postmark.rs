//! Postmark's webhooks: one event each, with the user and password that the webhook's URL has (RFC 7617).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Refused, hard_without_code, no_harder_than_soft, report, text, traces};
use crate::domain::relay::Secret;
use crate::domain::report::ReportKind;
use crate::mail::report::{Finding, Report, bounce};

/// The report in a request with this `Authorization`.
///
/// # Errors
/// Why nothing of it is believed.
pub fn read(body: &[u8], authorization: &str, user: &str, password: &Secret) -> Result<Report, Refused> {
    let given = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let given = given.and_then(|(_, given)| STANDARD.decode(given.trim()).ok()).ok_or(Refused::Signature)?;
    let expected = format!("{user}:{}", password.reveal());
    // Hashes, so that not even the length can be measured.
    let (given, expected) = (digest(&SHA256, &given), digest(&SHA256, expected.as_bytes()));
    verify_slices_are_equal(given.as_ref(), expected.as_ref()).map_err(|_| Refused::Signature)?;
    let event: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    if !event.is_object() {
        return Err(Refused::Malformed);
    }
    Ok(read_event(&event))
}

fn read_event(event: &Value) -> Report {
    let details = text(event, &["Details"]);
    let (finding, code) = match (text(event, &["RecordType"]), text(event, &["Type"])) {
        ("SpamComplaint", _) | ("Bounce", "SpamComplaint") => (Finding::Of(ReportKind::Complaint), None),
        ("Bounce", "HardBounce" | "BadEmailAddress") => {
            let (kind, code) = hard_without_code(bounce("", details));
            (Finding::Of(kind), code)
        }
        ("Bounce", "SoftBounce" | "DnsError" | "Unknown") => {
            let (kind, code) = no_harder_than_soft(bounce("", details));
            (Finding::Of(kind), code)
        }
        ("Bounce", "Blocked" | "SpamNotification" | "DMARCPolicy") => (Finding::Of(ReportKind::SenderBounce), None),
        ("Bounce", "Unsubscribe") => (Finding::Of(ReportKind::Leave), None),
        ("Bounce", "AutoResponder" | "ChallengeVerification") => (Finding::AutoReply, None),
        ("Bounce", "Transient") => (Finding::Delayed, None),
        ("SubscriptionChange", _)
            if event.get("SuppressSending") == Some(&Value::Bool(true)) && text(event, &["Origin"]) == "Recipient" =>
        {
            (Finding::Of(ReportKind::Leave), None)
        }
        ("Delivery", _) => (Finding::Delivered, None),
        _ => (Finding::NoReport, None),
    };
    let id = match event.get("ID") {
        Some(id) => id.to_string(),
        None => format!("{} {}", text(event, &["MessageID"]), text(event, &["ChangedAt"])),
    };
    let metadata = event.get("Metadata").unwrap_or(&Value::Null);
    report(finding, code, details, id, traces(&[metadata, event]))
}

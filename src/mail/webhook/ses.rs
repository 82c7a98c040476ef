//! Amazon SES by way of SNS: a notification of a topic, signed with RSA over its fields in a fixed order.
//!
//! `SigningCertURL` is never fetched: the certificate is named in the configuration, and believed for what it is.

use std::fmt::Write as _;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use webpki::EndEntityCert;

use super::{Refused, hard_without_code, no_harder_than_soft, report, text, traces};
use crate::domain::report::ReportKind;
use crate::mail::report::{Finding, Report, bounce};

/// What a topic sent.
#[derive(Debug)]
pub enum Sent {
    /// A bounce, a complaint, or something else that happened to a message.
    Report(Box<Report>),
    /// The topic asks whether it may send here. Whoever opens this address says yes.
    Question {
        /// `SubscribeURL`.
        url: String,
    },
    /// It will send no more.
    Goodbye,
}

/// What a request of `topic` says; `certificates` are PEM.
///
/// # Errors
/// Why nothing of it is believed.
pub fn read(body: &[u8], topic: &str, certificates: &str) -> Result<Sent, Refused> {
    let request: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    if text(&request, &["TopicArn"]) != topic || !is_genuine(&request, certificates) {
        return Err(Refused::Signature);
    }
    match text(&request, &["Type"]) {
        "Notification" => {
            let message = text(&request, &["Message"]);
            // SES greets a new topic in plain words.
            let message = serde_json::from_str(message).unwrap_or(Value::Null);
            Ok(Sent::Report(Box::new(event(&message))))
        }
        "SubscriptionConfirmation" => {
            let url = text(&request, &["SubscribeURL"]);
            if is_of_sns(url) { Ok(Sent::Question { url: url.to_owned() }) } else { Err(Refused::Malformed) }
        }
        "UnsubscribeConfirmation" => Ok(Sent::Goodbye),
        _ => Err(Refused::Malformed),
    }
}

/// `https://sns.REGION.amazonaws.com/…`, in China with `.cn`.
fn is_of_sns(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let region = host
        .strip_prefix("sns.")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn")));
    url.scheme() == "https"
        && region.is_some_and(|region| {
            !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// The string that SNS signs: each field that is there, its name and its value, each with a line end.
fn signed(request: &Value) -> String {
    let names: &[&str] = match text(request, &["Type"]) {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let mut signed = String::new();
    for name in names {
        if let Some(value) = request.get(*name).and_then(Value::as_str) {
            // Writing to a String cannot fail.
            let _ = write!(signed, "{name}\n{value}\n");
        }
    }
    signed
}

fn is_genuine(request: &Value, certificates: &str) -> bool {
    let algorithm = match text(request, &["SignatureVersion"]) {
        "1" => &RSA_SHA1,
        "2" => &RSA_SHA256,
        _ => return false,
    };
    let Ok(signature) = STANDARD.decode(text(request, &["Signature"])) else { return false };
    let signed = signed(request);
    CertificateDer::pem_slice_iter(certificates.as_bytes()).flatten().any(|certificate| {
        EndEntityCert::try_from(&certificate)
            .is_ok_and(|certificate| certificate.verify_signature(algorithm, signed.as_bytes(), &signature).is_ok())
    })
}

/// RSA with PKCS#1 padding: version 1 of SNS signatures is over SHA-1, version 2 over SHA-256.
#[derive(Debug)]
struct Rsa {
    parameters: &'static RsaParameters,
    id: AlgorithmIdentifier,
}

static RSA_SHA1: Rsa = Rsa {
    parameters: &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    // sha1WithRSAEncryption, 1.2.840.113549.1.1.5 (RFC 3279 §2.2.1), in DER without its outer tag.
    id: AlgorithmIdentifier::from_slice(&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0]),
};
static RSA_SHA256: Rsa = Rsa { parameters: &RSA_PKCS1_2048_8192_SHA256, id: alg_id::RSA_PKCS1_SHA256 };

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.parameters, public_key).verify(message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.id
    }
}

/// A notification of SES, or an event that it publishes.
fn event(message: &Value) -> Report {
    let kind = match text(message, &["notificationType"]) {
        "" => text(message, &["eventType"]),
        kind => kind,
    };
    let mail = message.get("mail").unwrap_or(&Value::Null);
    let source = mail.get("source").unwrap_or(&Value::Null);
    let traces = traces(&[source, mail]);
    match kind {
        "Bounce" => {
            let recipient = message.pointer("/bounce/bouncedRecipients/0").unwrap_or(&Value::Null);
            let words = text(recipient, &["diagnosticCode"]);
            let words = words.split_once(';').map_or(words, |(_, words)| words.trim());
            let found = bounce(text(recipient, &["status"]), words);
            let (kind, code) =
                match (text(message, &["bounce", "bounceType"]), text(message, &["bounce", "bounceSubType"])) {
                    ("Permanent", _) => hard_without_code(found),
                    (_, "MailboxFull") => (ReportKind::SoftBounce, found.1),
                    (_, "MessageTooLarge" | "ContentRejected" | "AttachmentRejected") => {
                        (ReportKind::ContentBounce, found.1)
                    }
                    _ => no_harder_than_soft(found),
                };
            let id = text(message, &["bounce", "feedbackId"]).to_owned();
            report(Finding::Of(kind), code, words, id, traces)
        }
        "Complaint" => {
            let kind = text(message, &["complaint", "complaintFeedbackType"]);
            // Most providers name no type: what they report is the button.
            let finding = match kind {
                "" | "abuse" | "fraud" | "other" => Finding::Of(ReportKind::Complaint),
                _ => Finding::NoReport,
            };
            report(finding, None, kind, text(message, &["complaint", "feedbackId"]).to_owned(), traces)
        }
        "Delivery" => report(Finding::Delivered, None, "", String::new(), traces),
        "DeliveryDelay" => report(Finding::Delayed, None, "", String::new(), traces),
        _ => report(Finding::NoReport, None, "", String::new(), traces),
    }
}

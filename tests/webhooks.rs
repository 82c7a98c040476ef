//! Providers' webhooks: what is signed as they document it acts, anything else does not.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::http::{Answer, ask};
use support::place::{CONFIG, Place, clock_at};
use support::site::Site;
use tidings::domain::subscription::SubscriberId;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:bounces";
const NOW: &str = "2026-11-24T12:00:00Z";

/// A publication with every provider configured, two readers, and the keys that the providers would hold.
struct Configured {
    site: Site,
    sns: RsaKeyPair,
    sendgrid: EcdsaKeyPair,
}

/// The start of the DER form of a P-256 public key (RFC 5480).
const P256: [u8; 26] =
    [48, 89, 48, 19, 6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7, 3, 66, 0];

impl Configured {
    async fn new() -> Self {
        let place = Place::new();
        let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["sns.amazonaws.example".into()]).unwrap();
        place.write("sns.pem", certificate.self_signed(&key).unwrap().pem());
        let sns = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let sendgrid = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        let public_key = STANDARD.encode([P256.as_slice(), sendgrid.public_key().as_ref()].concat());
        place.write(
            "config.toml",
            format!(
                "{CONFIG}[mail]\nbounces = \"b@bounces.test.example\"\n\
                 [reports.ses]\ntopic = \"{TOPIC}\"\ncertificate_file = \"sns.pem\"\n\
                 [reports.sendgrid]\npublic_key = \"{public_key}\"\n\
                 [reports.mailgun]\nsigning_key = \"mailgun-key\"\n\
                 [reports.postmark]\nuser = \"postmark\"\npassword = \"pass:word\"\n"
            ),
        );
        for name in ["ann", "ben", "cid"] {
            place.run(&["subscribers", "add", &format!("{name}@reader.example"), "--feed", "news"]).ended(0);
        }
        Self { site: Site::serve(place, clock_at(NOW)).await, sns, sendgrid }
    }

    async fn who(&self, name: &str) -> SubscriberId {
        let store = &self.site.app.publication.store;
        store.subscriber_by_address(&format!("{name}@reader.example")).await.unwrap().unwrap().id
    }

    async fn token(&self, name: &str) -> String {
        self.site.app.publication.keyring.bounce_token(self.who(name).await, None)
    }

    async fn post(&self, provider: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.site.at, "POST", &format!("/reports/{provider}"), headers, body).await
    }

    /// Causes of bans, in the order of their words.
    async fn bans(&self) -> Vec<String> {
        let url = format!("sqlite://{}/tidings.db", self.site.place.path().display());
        let rows = support::publication::rows(&url, "SELECT cause FROM suppressions ORDER BY cause").await;
        rows.into_iter().map(|row| row[0].clone()).collect()
    }

    async fn reports(&self) -> usize {
        let url = format!("sqlite://{}/tidings.db", self.site.place.path().display());
        support::publication::rows(&url, "SELECT id FROM reports").await.len()
    }

    /// A message of the topic, signed.
    fn of_sns(&self, kind: &str, topic: &str, message: &str) -> Value {
        let mut request = json!({
            "Type": kind, "MessageId": "m-1", "TopicArn": topic, "Message": message,
            "Timestamp": "2026-11-24T11:59:59.000Z", "SignatureVersion": "2",
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        });
        let mut signed = format!("Message\n{message}\nMessageId\nm-1\n");
        if kind == "Notification" {
            request["Subject"] = "Amazon SES".into();
            signed.push_str("Subject\nAmazon SES\n");
        } else {
            request["Token"] = "t".into();
            request["SubscribeURL"] = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t".into();
            signed.push_str("SubscribeURL\nhttps://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t\n");
        }
        signed.push_str("Timestamp\n2026-11-24T11:59:59.000Z\n");
        if kind != "Notification" {
            signed.push_str("Token\nt\n");
        }
        let _ = write!(signed, "TopicArn\n{topic}\nType\n{kind}\n");
        let mut signature = vec![0; self.sns.public_modulus_len()];
        self.sns.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        request["Signature"] = STANDARD.encode(signature).into();
        request
    }

    async fn ses(&self, request: &Value) -> u16 {
        self.post("ses", &[("Content-Type", "text/plain; charset=UTF-8")], request.to_string().as_bytes()).await.status
    }

    fn sendgrid_signature(&self, timestamp: &str, body: &[u8]) -> String {
        let signed = [timestamp.as_bytes(), body].concat();
        STANDARD.encode(self.sendgrid.sign(&SystemRandom::new(), &signed).unwrap())
    }

    async fn sendgrid(&self, timestamp: &str, signature: &str, body: &[u8]) -> u16 {
        let headers = [
            ("X-Twilio-Email-Event-Webhook-Signature", signature),
            ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp),
        ];
        self.post("sendgrid", &headers, body).await.status
    }

    async fn mailgun(&self, request: &Value) -> u16 {
        self.post("mailgun", &[("Content-Type", "application/json")], request.to_string().as_bytes()).await.status
    }

    async fn postmark(&self, credentials: &str, event: &Value) -> u16 {
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        self.post("postmark", &[("Authorization", &authorization)], event.to_string().as_bytes()).await.status
    }
}

fn seconds(minutes: i64) -> String {
    let now: chrono::DateTime<chrono::Utc> = NOW.parse().unwrap();
    (now.timestamp() + minutes * 60).to_string()
}

fn ses_event(token: &str, kind: &str, id: &str, details: &Value) -> String {
    let mut event = json!({
        "notificationType": kind,
        "mail": {
            "source": format!("b+{token}@bounces.test.example"), "messageId": "0102-ses", "destination": ["ann@reader.example"],
            "headersTruncated": false, "headers": [{"name": "From", "value": "news@test.example"}],
        },
    });
    let mut details = details.clone();
    details["feedbackId"] = id.into();
    event[kind.to_lowercase()] = details;
    event.to_string()
}

fn ses_bounce(kind: &str, subtype: &str, status: &str, diagnostic: &str) -> Value {
    json!({
        "bounceType": kind, "bounceSubType": subtype,
        "bouncedRecipients": [{"emailAddress": "ann@reader.example", "action": "failed", "status": status, "diagnosticCode": diagnostic}],
    })
}

#[tokio::test]
async fn ses_is_believed_when_its_topic_signed() {
    let configured = Configured::new().await;
    let token = configured.token("ann").await;
    let message = ses_event(
        &token,
        "Bounce",
        "f-1",
        &ses_bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
    );
    let genuine = configured.of_sns("Notification", TOPIC, &message);
    for (field, value) in [
        ("Message", Value::from(message.replace("f-1", "f-2"))),
        ("Message", Value::Null),
        ("MessageId", "m-2".into()),
        ("Subject", Value::Null),
        ("Timestamp", "2026-11-24T11:59:58.000Z".into()),
        ("TopicArn", "arn:aws:sns:eu-west-1:999999999999:bounces".into()),
        ("Type", "SubscriptionConfirmation".into()),
        ("Signature", "AAAA".into()),
        ("Signature", Value::Null),
        ("SignatureVersion", "1".into()),
        ("SignatureVersion", "3".into()),
    ] {
        let mut forged = genuine.clone();
        forged[field] = value;
        assert_eq!(configured.ses(&forged).await, 403, "{field}");
    }
    // Signed, but of a topic that is not ours; or with another key.
    let other = configured.of_sns("Notification", "arn:aws:sns:eu-west-1:123456789012:other", &message);
    assert_eq!(configured.ses(&other).await, 403);
    let strange = Configured { sns: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(), ..Configured::new().await };
    assert_eq!(configured.ses(&strange.of_sns("Notification", TOPIC, &message)).await, 403);
    assert_eq!(configured.post("ses", &[], b"{").await.status, 400);
    assert_eq!((configured.bans().await.len(), configured.reports().await), (0, 0));

    assert_eq!(configured.ses(&genuine).await, 200);
    assert_eq!(configured.bans().await, ["bounced"]);
    assert_eq!(configured.ses(&genuine).await, 200, "again");
    assert_eq!(configured.reports().await, 1);
}

#[tokio::test]
async fn what_ses_says_is_understood() {
    let configured = Configured::new().await;
    let token = configured.token("ann").await;
    for (number, (details, kind)) in [
        (ses_bounce("Transient", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"), "soft_bounce"),
        (ses_bounce("Transient", "MailboxFull", "5.2.2", ""), "soft_bounce"),
        (ses_bounce("Transient", "ContentRejected", "", ""), "content_bounce"),
        (ses_bounce("Permanent", "General", "5.7.1", "smtp; 550 5.7.1 blocked"), "sender_bounce"),
        (ses_bounce("Undetermined", "Undetermined", "", ""), "soft_bounce"),
        (ses_bounce("Permanent", "OnAccountSuppressionList", "", ""), "hard_bounce"),
    ]
    .into_iter()
    .enumerate()
    {
        let message = ses_event(&token, "Bounce", &format!("f-{number}"), &details);
        assert_eq!(configured.ses(&configured.of_sns("Notification", TOPIC, &message)).await, 200);
        let url = format!("sqlite://{}/tidings.db", configured.site.place.path().display());
        let rows = support::publication::rows(&url, "SELECT kind FROM reports ORDER BY rowid DESC LIMIT 1").await;
        assert_eq!(rows[0][0], kind, "{details}");
        assert_eq!(configured.bans().await.len(), usize::from(kind == "hard_bounce"));
    }
    let before = configured.reports().await;
    for (kind, details) in
        [("Complaint", json!({"complaintFeedbackType": "not-spam"})), ("Delivery", json!({})), ("Send", json!({}))]
    {
        let message = ses_event(&token, kind, "c-0", &details);
        assert_eq!(configured.ses(&configured.of_sns("Notification", TOPIC, &message)).await, 200);
    }
    assert_eq!(
        configured.ses(&configured.of_sns("Notification", TOPIC, "Successfully validated SNS topic")).await,
        200
    );
    assert_eq!(configured.reports().await, before);
    // The envelope sender was written anew: the link to leave by is among the headers.
    let ben = tidings::domain::link::Link {
        purpose: tidings::domain::link::Purpose::Leave,
        subscriber: configured.who("ben").await,
        feed: None,
        expires_at: None,
    };
    let link = configured.site.app.publication.keyring.sign(&ben);
    let message = json!({
        "eventType": "Complaint", "complaint": {"feedbackId": "c-1"},
        "mail": {"source": "news@test.example", "headers": [
            {"name": "List-Unsubscribe", "value": format!("<https://test.example/unsubscribe/{link}>")}]},
    });
    assert_eq!(configured.ses(&configured.of_sns("Notification", TOPIC, &message.to_string())).await, 200);
    assert_eq!(configured.bans().await, ["bounced", "complained"]);
}

#[tokio::test]
async fn a_topic_that_asks_is_shown_to_the_editor_and_answered_by_nobody_else() {
    let configured = Configured::new().await;
    let question = configured.of_sns("SubscriptionConfirmation", TOPIC, "You have chosen to subscribe");
    let mut forged = question.clone();
    forged["SubscribeURL"] = "https://evil.example/".into();
    assert_eq!(configured.ses(&forged).await, 403);
    configured.site.place.run(&["report", "--sns-question"]).ended(1);
    assert_eq!(configured.ses(&question).await, 200);
    let ran = configured.site.place.run(&["report", "--sns-question"]).ended(0);
    assert_eq!(ran.out, "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t\n");
    assert_eq!(configured.ses(&configured.of_sns("UnsubscribeConfirmation", TOPIC, "bye")).await, 200);
}

#[tokio::test]
async fn sendgrid_is_believed_when_time_and_body_are_signed() {
    let configured = Configured::new().await;
    let event = |token: &str, kind: &str, id: &str, more: Value| {
        let mut event = json!({"email": "x@reader.example", "event": kind, "sg_event_id": id, "tidings": token,
            "smtp-id": "<0123456789abcdef0123456789abcdef@test.example>"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let (ann, ben, cid) = (configured.token("ann").await, configured.token("ben").await, configured.token("cid").await);
    let batch = json!([
        event(&ann, "bounce", "e1", json!({"type": "blocked", "status": "5.1.1", "reason": "550 5.1.1 no such user"})),
        event(&ann, "bounce", "e2", json!({"type": "bounce", "status": "5.7.1", "reason": "550 5.7.1 spam"})),
        event(
            &ann,
            "bounce",
            "e3",
            json!({"type": "bounce", "status": "", "reason": "550 no", "bounce_classification": "Mailbox Unavailable"})
        ),
        event(&ann, "deferred", "e4", json!({"response": "450 later"})),
        event(&ann, "delivered", "e5", json!({})),
        event(&ben, "spamreport", "e6", json!({})),
        event("forged", "spamreport", "e7", json!({})),
        event(&cid, "unsubscribe", "e8", json!({})),
        json!("no event"),
    ]);
    let body = batch.to_string().into_bytes();
    let time = seconds(-1);
    let signature = configured.sendgrid_signature(&time, &body);
    let mut torn = body.clone();
    torn[20] ^= 1;
    assert_eq!(configured.sendgrid(&time, &signature, &torn).await, 403);
    assert_eq!(configured.sendgrid(&seconds(0), &signature, &body).await, 403, "another time");
    for wrong in ["", "AAAA", "not base64!"] {
        assert_eq!(configured.sendgrid(&time, wrong, &body).await, 403);
    }
    for old in [seconds(-60 * 26), seconds(60), "x".into(), String::new(), i64::MAX.to_string()] {
        let signature = configured.sendgrid_signature(&old, &body);
        assert_eq!(configured.sendgrid(&old, &signature, &body).await, 403, "{old}");
    }
    let nonsense = configured.sendgrid_signature(&time, b"{}");
    assert_eq!(configured.sendgrid(&time, &nonsense, b"{}").await, 400);
    assert_eq!(configured.reports().await, 0);

    assert_eq!(configured.sendgrid(&time, &signature, &body).await, 200);
    assert_eq!(configured.bans().await, ["complained"]);
    assert_eq!(configured.reports().await, 5);
    assert_eq!(configured.sendgrid(&time, &signature, &body).await, 200, "a replay changes nothing");
    assert_eq!(configured.reports().await, 5);
    let store = &configured.site.app.publication.store;
    let left = store.subscriptions_of(configured.who("cid").await).await.unwrap();
    assert_eq!(left[0].state, tidings::domain::subscription::SubscriptionState::Ended);
    for (number, (reason, bans)) in
        [("Bounced Address", 2), ("Recipient List over Package Quota", 2)].into_iter().enumerate()
    {
        let body = json!([event(&ann, "dropped", &format!("d{number}"), json!({"reason": reason}))]).to_string();
        let signature = configured.sendgrid_signature(&time, body.as_bytes());
        assert_eq!(configured.sendgrid(&time, &signature, body.as_bytes()).await, 200);
        assert_eq!(configured.bans().await.len(), bans);
    }
}

fn mailgun(timestamp: &str, token: &str, event: &Value) -> Value {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"mailgun-key");
    let mac = hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
    let hex = mac.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    json!({"signature": {"timestamp": timestamp, "token": token, "signature": hex}, "event-data": event})
}

#[tokio::test]
async fn mailgun_is_believed_once_for_each_signature() {
    let configured = Configured::new().await;
    let (ann, ben) = (configured.token("ann").await, configured.token("ben").await);
    let bounce = json!({
        "event": "failed", "severity": "permanent", "reason": "bounce", "id": "g-1", "recipient": "ann@reader.example",
        "delivery-status": {"code": 550, "message": "5.1.1 no such user", "description": "", "bounce-type": "hard"},
        "user-variables": {"tidings": ann}, "message": {"headers": {"message-id": "0123456789abcdef0123456789abcdef@test.example"}},
    });
    let complaint = json!({"event": "complained", "id": "g-2", "user-variables": {"tidings": ben}});
    for (part, value) in [
        ("timestamp", seconds(-2)),
        ("token", "other".into()),
        ("signature", "00".into()),
        ("signature", "xyz".into()),
        ("token", String::new()),
    ] {
        let mut forged = mailgun(&seconds(-1), "t1", &bounce);
        forged["signature"][part] = value.into();
        assert_eq!(configured.mailgun(&forged).await, 403, "{part}");
    }
    for old in [seconds(-60 * 26), seconds(60)] {
        assert_eq!(configured.mailgun(&mailgun(&old, "t1", &bounce)).await, 403, "{old}");
    }
    assert_eq!(configured.post("mailgun", &[], b"not json").await.status, 400);
    assert_eq!(configured.mailgun(&json!({})).await, 403);
    assert_eq!(configured.reports().await, 0);

    let genuine = mailgun(&seconds(-1), "t1", &bounce);
    assert_eq!(configured.mailgun(&genuine).await, 200);
    assert_eq!(configured.bans().await, ["bounced"]);
    // The same again is the same; the signature on another event is a forgery.
    assert_eq!(configured.mailgun(&genuine).await, 200);
    assert_eq!(configured.mailgun(&mailgun(&seconds(-1), "t1", &complaint)).await, 403);
    assert_eq!((configured.bans().await.len(), configured.reports().await), (1, 1));
    let moved = {
        // Where the timestamp ends and the token begins is not signed either.
        let mut moved = mailgun(&seconds(-1), "1t", &complaint);
        let timestamp = moved["signature"]["timestamp"].as_str().unwrap().to_owned();
        assert_eq!(configured.mailgun(&moved).await, 200);
        moved["signature"]["timestamp"] = timestamp[..timestamp.len() - 1].into();
        moved["signature"]["token"] = format!("{}1t", &timestamp[timestamp.len() - 1..]).into();
        moved
    };
    assert_eq!(configured.mailgun(&moved).await, 403);
    assert_eq!(configured.bans().await, ["bounced", "complained"]);
    for (number, event) in [
        json!({"event": "failed", "severity": "temporary", "id": "g-3", "user-variables": {"tidings": ann}}),
        json!({"event": "delivered", "id": "g-4", "user-variables": {"tidings": ann}}),
        json!({"event": "opened"}),
        json!([]),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(configured.mailgun(&mailgun(&seconds(-1), &format!("u{number}"), event)).await, 200);
    }
    assert_eq!(configured.reports().await, 2);
}

#[tokio::test]
async fn postmark_is_believed_by_its_password() {
    let configured = Configured::new().await;
    let (ann, ben) = (configured.token("ann").await, configured.token("ben").await);
    let event = |token: &str, record: &str, kind: &str, id: i64, details: &str| {
        json!({"RecordType": record, "Type": kind, "ID": id, "Details": details, "Metadata": {"tidings": token},
            "Email": "ann@reader.example", "MessageID": "00000000-0000-0000-0000-000000000000"})
    };
    let hard = event(&ann, "Bounce", "HardBounce", 1, "smtp;550 5.1.1 The email account does not exist.");
    for wrong in ["postmark:password", "postmark:", ":", "", "postmark", "other:pass:word", "postmark:pass:word "] {
        assert_eq!(configured.postmark(wrong, &hard).await, 401, "{wrong}");
    }
    for header in ["Basic", "Basic !!!", "Bearer cG9zdG1hcms6cGFzczp3b3Jk", ""] {
        let answer = configured.post("postmark", &[("Authorization", header)], hard.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.header("www-authenticate").is_some()), (401, true));
    }
    const RIGHT: &str = "postmark:pass:word";
    assert_eq!(configured.postmark(RIGHT, &json!([])).await, 400);
    assert_eq!(configured.reports().await, 0);
    let blocked = event(&ann, "Bounce", "HardBounce", 2, "550 5.7.1 blocked by policy");
    for (quiet, reports) in [
        (blocked, 1),
        (event(&ann, "Bounce", "SoftBounce", 3, "550 5.1.1 user unknown"), 2),
        (event(&ann, "Bounce", "Transient", 4, "later"), 2),
        (event(&ann, "Bounce", "AutoResponder", 5, "away"), 2),
        (event(&ann, "Open", "", 6, ""), 2),
        (event("forged", "SpamComplaint", "SpamComplaint", 7, ""), 2),
    ] {
        assert_eq!(configured.postmark(RIGHT, &quiet).await, 200);
        assert_eq!((configured.bans().await.len(), configured.reports().await), (0, reports), "{quiet}");
    }
    assert_eq!(configured.postmark(RIGHT, &hard).await, 200);
    assert_eq!(configured.postmark(RIGHT, &hard).await, 200);
    assert_eq!(configured.postmark(RIGHT, &event(&ben, "SpamComplaint", "SpamComplaint", 8, "")).await, 200);
    assert_eq!(configured.bans().await, ["bounced", "complained"]);
    assert_eq!(configured.reports().await, 4);
    let cid = configured.token("cid").await;
    let left = json!({"RecordType": "SubscriptionChange", "SuppressSending": true, "Origin": "Recipient",
        "ChangedAt": "2026-11-24T11:00:00Z", "Metadata": {"tidings": cid}});
    assert_eq!(configured.postmark(RIGHT, &left).await, 200);
    let store = &configured.site.app.publication.store;
    let subscriptions = store.subscriptions_of(configured.who("cid").await).await.unwrap();
    assert_eq!(subscriptions[0].state, tidings::domain::subscription::SubscriptionState::Ended);
}

#[tokio::test]
async fn who_is_not_configured_is_not_there_and_bodies_have_an_end() {
    let place = Place::new();
    let site = Site::serve(place, clock_at(NOW)).await;
    for provider in ["ses", "sendgrid", "mailgun", "postmark", "other"] {
        let answer = ask(site.at, "POST", &format!("/reports/{provider}"), &[], b"{}").await;
        assert!(matches!(answer.status, 404 | 405), "{provider}: {}", answer.status);
    }
    let configured = Configured::new().await;
    for provider in ["ses", "sendgrid", "mailgun", "postmark"] {
        let answer = configured.post(provider, &[], &vec![b' '; 1024 * 1024 + 1]).await;
        assert_eq!(answer.status, 413, "{provider}");
        assert_eq!(ask(configured.site.at, "GET", &format!("/reports/{provider}"), &[], b"").await.status, 405);
    }
}

#[tokio::test]
async fn providers_that_write_an_envelope_sender_of_their_own_get_the_token_in_a_header() {
    let configured = Configured::new().await;
    let ann = configured.who("ann").await;
    let publication = Arc::clone(&configured.site.app).publication.clone();
    let token = publication.keyring.bounce_token(ann, None);
    let headers = publication.report_headers(ann, None);
    assert_eq!(
        headers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["X-SMTPAPI", "X-Mailgun-Variables", "X-PM-Metadata-tidings"]
    );
    assert!(headers.iter().all(|(name, value)| value.contains(&token) && name.len() + 2 + value.len() <= 998));
    for (_, value) in &headers[..2] {
        assert!(serde_json::from_str::<Value>(value).is_ok(), "{value}");
    }
}

/// Signed by OpenSSL, over SHA-1 and over SHA-256, with a key that is no more.
#[test]
fn both_versions_of_sns_signatures_are_checked_against_another_implementation() {
    use tidings::mail::report::Finding;
    use tidings::mail::webhook::{Refused, ses};
    let certificates = include_str!("fixtures/reports/sns.pem");
    for (version, other, request) in [
        ("1", "2", include_str!("fixtures/reports/sns-version-1.json")),
        ("2", "1", include_str!("fixtures/reports/sns-version-2.json")),
    ] {
        let Ok(ses::Sent::Report(report)) = ses::read(request.as_bytes(), TOPIC, certificates) else {
            panic!("version {version} is not believed")
        };
        assert_eq!(report.finding, Finding::Of(tidings::domain::report::ReportKind::Complaint));
        assert_eq!((report.id.as_deref(), report.traces.tokens.len()), (Some("c-1"), 1));
        let (was, is) = (format!("\"SignatureVersion\": \"{version}\""), format!("\"SignatureVersion\": \"{other}\""));
        for forged in [request.replace(&was, &is), request.replace("abuse", "fraud"), request.replace("m-1", "m-2")] {
            assert_ne!(forged, request);
            assert_eq!(ses::read(forged.as_bytes(), TOPIC, certificates).unwrap_err(), Refused::Signature);
        }
        assert_eq!(ses::read(request.as_bytes(), TOPIC, "").unwrap_err(), Refused::Signature);
        assert_eq!(ses::read(request.as_bytes(), "other", certificates).unwrap_err(), Refused::Signature);
    }
}

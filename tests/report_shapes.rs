//! What several hundred reports say, in the shapes that mail servers and providers give them; and that no message,
//! however hostile, stops their reader.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use support::reports::{CODINGS, Coded, Made, PLACES, Place, SHAPES, recipient};
use tidings::domain::report::ReportKind::{Complaint, ContentBounce, HardBounce, Leave, SenderBounce, SoftBounce};
use tidings::mail::report::{Finding, MAX_BYTES, read};

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";

fn made(place: Place, coded: Coded) -> Made<'static> {
    Made { token: TOKEN, place, coded, id: "report-1" }
}

/// Action, status, diagnostic, and what follows.
const STATUSES: [(&str, &str, &str, Finding); 34] = [
    (
        "failed",
        "5.1.1",
        "smtp; 550 5.1.1 <ann@reader.example>: Recipient address rejected: User unknown",
        Finding::Of(HardBounce),
    ),
    (
        "failed",
        "5.1.1",
        "smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try\n 550-5.1.1 double-checking the recipient's email address for typos or\n 550 5.1.1 unnecessary spaces. a1-20020a - gsmtp",
        Finding::Of(HardBounce),
    ),
    (
        "failed",
        "5.1.10",
        "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        Finding::Of(HardBounce),
    ),
    ("failed", "5.1.2", "", Finding::Of(HardBounce)),
    ("failed", "5.1.6", "smtp; 551 5.1.6 moved", Finding::Of(HardBounce)),
    ("Failed (no such user)", "5.1.1 (bad destination mailbox address)", "", Finding::Of(HardBounce)),
    ("failed", "5.0.0", "smtp; 550 5.1.1 no such user here", Finding::Of(HardBounce)),
    ("failed", "5.0.0", "smtp; 550 No such user here", Finding::Of(HardBounce)),
    (
        "failed",
        "5.0.0",
        "smtp; 554 delivery error: dd This user doesn't have a yahoo.com account (ann@reader.example) [0] - mta1",
        Finding::Of(HardBounce),
    ),
    ("failed", "", "smtp; 550 5.1.1 unknown", Finding::Of(HardBounce)),
    (
        "failed",
        "5.1.1",
        "smtp; 550 5.1.1 Recipient address rejected:\nthe user is unknown here, broken line",
        Finding::Of(HardBounce),
    ),
    (
        "failed",
        "5.2.2",
        "smtp; 552 5.2.2 The email account that you tried to reach is over quota.",
        Finding::Of(SoftBounce),
    ),
    ("failed", "4.2.2", "smtp; 452 4.2.2 mailbox full", Finding::Of(SoftBounce)),
    (
        "failed",
        "5.2.1",
        "smtp; 550 5.2.1 The email account that you tried to reach is disabled.",
        Finding::Of(SoftBounce),
    ),
    ("failed", "4.4.7", "smtp; 421 4.4.7 Message expired", Finding::Of(SoftBounce)),
    (
        "failed",
        "4.4.1",
        "X-Postfix; connect to mx.reader.example[192.0.2.7]:25: Connection timed out",
        Finding::Of(SoftBounce),
    ),
    (
        "failed",
        "5.4.4",
        "X-Postfix; Host or domain name not found. Name service error for name=reader.example",
        Finding::Of(SoftBounce),
    ),
    ("failed", "5.0.0", "smtp; 550 Mailbox unavailable", Finding::Of(SoftBounce)),
    ("failed", "5.0.0", "", Finding::Of(SoftBounce)),
    ("failed", "4.1.1", "smtp; 450 4.1.1 unverified address", Finding::Of(SoftBounce)),
    ("failed", "5.3.4", "smtp; 552 5.3.4 Message too big for system", Finding::Of(ContentBounce)),
    ("failed", "5.6.0", "smtp; 554 5.6.0 message content is not accepted", Finding::Of(ContentBounce)),
    ("failed", "5.7.1", "smtp; 550 5.7.1 Service unavailable; client [192.0.2.1] is listed", Finding::Of(SenderBounce)),
    ("failed", "5.7.1", "smtp;550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", Finding::Of(SenderBounce)),
    (
        "failed",
        "5.7.26",
        "smtp; 550-5.7.26 This mail is unauthenticated, which poses a security risk",
        Finding::Of(SenderBounce),
    ),
    (
        "failed",
        "5.7.515",
        "smtp;550 5.7.515 Access denied, sending domain does not meet the required level",
        Finding::Of(SenderBounce),
    ),
    // The address is condemned, but the words blame us: nobody is suppressed.
    ("failed", "5.1.1", "smtp; 550 5.7.1 rejected because of our policy", Finding::Of(SenderBounce)),
    ("failed", "5.1.1", "smtp; 550 5.1.1 blocked using a blocklist", Finding::Of(SenderBounce)),
    ("failed", "5.0.0", "smtp; 554 Message rejected as spam by Content Filtering", Finding::Of(SenderBounce)),
    ("delayed", "4.4.1", "smtp; 451 4.4.1 try again", Finding::Delayed),
    ("delayed", "5.1.1", "", Finding::Delayed),
    ("delivered", "2.0.0", "smtp; 250 2.0.0 Ok", Finding::Delivered),
    ("relayed", "2.0.0", "", Finding::Delivered),
    ("expanded", "2.1.5", "", Finding::Delivered),
];

#[test]
fn a_delivery_status_is_understood_in_every_shape() {
    let mut count = 0;
    for (at, (action, status, diagnostic, expected)) in STATUSES.iter().enumerate() {
        for (number, shape) in SHAPES.iter().enumerate() {
            // Every shape has every status; places and codings take turns, each with each.
            let (place, coded) = (PLACES[(at + number) % PLACES.len()], CODINGS[(at * 2 + number) % CODINGS.len()]);
            let bytes = made(place, coded).status(shape, &recipient(action, status, diagnostic));
            let report = read(&bytes, None);
            let name = format!("{} {action} {status} {diagnostic} {place:?} {coded:?}", shape.name);
            // Gmail's own words stand in for a diagnosis that says nothing.
            assert_eq!(report.finding, *expected, "{name}\n{}", String::from_utf8_lossy(&bytes));
            assert_eq!(
                report.traces.tokens.first().map(|token| token.to_lowercase()).as_deref(),
                Some(TOKEN),
                "{name}"
            );
            assert_eq!(report.traces.message_ids, ["0123456789abcdef0123456789abcdef"], "{name}");
            assert_eq!(report.id.as_deref(), Some("report-1@mx.reader.example"));
            assert!(report.text.chars().count() <= 400 && !report.text.contains(['\r', '\n']));
            count += 1;
        }
    }
    assert!(count >= 200, "{count}");
}

#[test]
fn a_token_is_found_in_every_place_and_coding() {
    for shape in &SHAPES {
        for place in PLACES {
            for coded in CODINGS {
                let bytes = made(place, coded).status(shape, &recipient("failed", "5.1.1", "smtp; 550 5.1.1 unknown"));
                let report = read(&bytes, None);
                assert_eq!(report.finding, Finding::Of(HardBounce));
                let found = report.traces.tokens.first().map(|token| token.to_lowercase());
                assert_eq!(found.as_deref(), Some(TOKEN), "{} {place:?} {coded:?}", shape.name);
            }
        }
    }
}

#[test]
fn of_several_recipients_the_mildest_counts_and_one_that_got_it_is_enough() {
    let of = |groups: &[(&str, &str)]| {
        let fields: Vec<String> = groups.iter().map(|(action, status)| recipient(action, status, "")).collect();
        read(&made(Place::To, Coded::Plain).status(&SHAPES[0], &fields.join("\n")), None).finding
    };
    assert_eq!(of(&[("failed", "5.1.1"), ("failed", "5.1.1")]), Finding::Of(HardBounce));
    assert_eq!(of(&[("failed", "5.1.1"), ("failed", "5.2.2")]), Finding::Of(SoftBounce));
    assert_eq!(of(&[("failed", "5.2.2"), ("failed", "5.1.1")]), Finding::Of(SoftBounce));
    assert_eq!(of(&[("failed", "5.1.1"), ("delivered", "2.0.0")]), Finding::Delivered);
    assert_eq!(of(&[("delayed", "4.0.0"), ("failed", "5.1.1")]), Finding::Of(HardBounce));
    // Blank lines between all fields.
    let torn = recipient("failed", "5.1.1", "").replace('\n', "\n\n");
    assert_eq!(read(&made(Place::To, Coded::Plain).status(&SHAPES[0], &torn), None).finding, Finding::Of(HardBounce));
}

const DAEMON: &str = "Mail Delivery System <MAILER-DAEMON@mx.reader.example>";
const QMAIL: &str = "Hi. This is the qmail-send program at mx.reader.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<ann@reader.example>:\n";
const EXIM: &str = "This message was created automatically by mail delivery software (Exim 4.94.2).\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ann@reader.example\n    ";
const QMAIL_MARK: &str = "--- Below this line is a copy of the message.";
const EXIM_MARK: &str = "------ This is a copy of the message, including all the headers. ------";
const EXCHANGE: &str = "Your message did not reach some or all of the intended recipients.\n\n      Subject:\tNews: lamp\n\nThe following recipient(s) could not be reached:\n\n      ann@reader.example on 24/11/2026 12:00\n            ";

/// From, subject, more headers, words, what follows.
fn in_words() -> Vec<(&'static str, &'static str, &'static str, String, &'static str, Finding)> {
    let failed = "X-Failed-Recipients: ann@reader.example\nAuto-Submitted: auto-replied\n";
    let failure = "failure notice";
    vec![
        (DAEMON, failure, "", format!("{QMAIL}Sorry, no mailbox here by that name. (#5.1.1)\n"), QMAIL_MARK, Finding::Of(HardBounce)),
        (DAEMON, failure, "", format!("{QMAIL}192.0.2.7 does not like recipient.\nRemote host said: 550 5.1.1 <ann@reader.example> User unknown\nGiving up on 192.0.2.7.\n"), QMAIL_MARK, Finding::Of(HardBounce)),
        (DAEMON, failure, "", format!("{QMAIL}Sorry, I couldn't find any host named reader.example. (#5.1.2)\n"), QMAIL_MARK, Finding::Of(HardBounce)),
        (DAEMON, failure, "", format!("{QMAIL}192.0.2.7 failed after I sent the message.\nRemote host said: 554 5.7.1 Message rejected\n"), QMAIL_MARK, Finding::Of(SenderBounce)),
        (DAEMON, failure, "", format!("{QMAIL}The users mailfolder is over the allowed quota (size). (#5.2.2)\n"), QMAIL_MARK, Finding::Of(SoftBounce)),
        (DAEMON, failure, "", format!("{QMAIL}I'm not going to try again; this message has been in the queue too long. (#4.4.1)\n"), QMAIL_MARK, Finding::Of(SoftBounce)),
        ("anyone@mx.reader.example", "hello", "", format!("{QMAIL}Sorry, no mailbox here by that name. (#5.1.1)\n"), QMAIL_MARK, Finding::Of(HardBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}host mx.reader.example [192.0.2.7]\n    SMTP error from remote mail server after RCPT TO:<ann@reader.example>:\n    550 5.1.1 User unknown\n"), EXIM_MARK, Finding::Of(HardBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}SMTP error from remote mail server after RCPT TO:<ann@reader.example>:\n    550 No such user here\n"), EXIM_MARK, Finding::Of(HardBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}SMTP error from remote mail server after end of data:\n    550 Administrative prohibition\n"), EXIM_MARK, Finding::Of(ContentBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}mailbox is full:\n    retry timeout exceeded\n"), EXIM_MARK, Finding::Of(SoftBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}Unrouteable address\n"), EXIM_MARK, Finding::Of(SoftBounce)),
        (DAEMON, "Mail delivery failed: returning message to sender", failed, format!("{EXIM}Unrouteable mail domain \"reader.example\"\n"), EXIM_MARK, Finding::Of(HardBounce)),
        (DAEMON, "Warning: message 1abCDe-0001 delayed 24 hours", "Auto-Submitted: auto-replied\n", format!("{EXIM}No action is required on your part.\n"), EXIM_MARK, Finding::Delayed),
        ("Mail Delivery Subsystem <mailer-daemon@googlemail.example>", "Delivery Status Notification (Failure)", failed, "Delivery to the following recipient failed permanently:\n\n     ann@reader.example\n\nTechnical details of permanent failure: \nThe error that the other server returned was:\n550-5.1.1 The email account that you tried to reach does not exist.\n550 5.1.1 double-check the address.\n".into(), "----- Original message -----", Finding::Of(HardBounce)),
        ("Mail Delivery Subsystem <mailer-daemon@googlemail.example>", "Delivery Status Notification (Delay)", "", "THIS IS A WARNING MESSAGE ONLY.\n\nDelivery to the following recipient has been delayed:\n\n     ann@reader.example\n\nMessage will be retried for 2 more day(s)\n".into(), "----- Original message -----", Finding::Delayed),
        ("System Administrator <postmaster@reader.example>", "Undeliverable: News: lamp", "", format!("{EXCHANGE}The e-mail account does not exist at the organization this message was sent to.\n            <mx.reader.example #5.1.1>\n"), "-----Original Message-----", Finding::Of(HardBounce)),
        ("MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@reader.example", "Undeliverable: News: lamp", "", "Diagnostic information for administrators:\n\nann@reader.example\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n".into(), "Original message headers:", Finding::Of(HardBounce)),
        ("postmaster@reader.example", "Undeliverable: News: lamp", "", "ann@reader.example\nRemote Server returned '550 5.2.2 mailbox full'\n".into(), "Original message headers:", Finding::Of(SoftBounce)),
        ("postmaster@reader.example", "Undeliverable: News: lamp", "", "Your message to ann@reader.example couldn't be delivered.\nann wasn't found at reader.example.\n".into(), "Original message headers:", Finding::Of(HardBounce)),
        ("postmaster@reader.example", "Undeliverable: News: lamp", "", "ann@reader.example\nRemote Server returned '550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy'\n".into(), "Original message headers:", Finding::Of(SenderBounce)),
        ("MAILER-DAEMON@yahoo.example", "Failure Notice", "", "Sorry, we were unable to deliver your message to the following address.\n\n<ann@reader.example>:\n554: delivery error: dd This user doesn't have a yahoo.com account (ann@reader.example) [0] - mta1\n".into(), "--- Below this line is a copy of the message.", Finding::Of(HardBounce)),
        ("MAILER-DAEMON@yahoo.example", "Failure Notice", "", "<ann@reader.example>:\nRemote host said: 552 1 Requested mail action aborted, mailbox not found\n [RCPT_TO]\n".into(), "--- Below this line is a copy of the message.", Finding::Of(HardBounce)),
        (DAEMON, "Unzustellbar: News: lamp", "", "ann@reader.example\n550 5.1.1 unbekannt\n".into(), "-----Original Message-----", Finding::Of(HardBounce)),
        (DAEMON, "Undeliverable", "", "The message could not be delivered. Version 5.1.1 of our gateway, at 192.5.1.1.\n".into(), "-----Original Message-----", Finding::Of(SoftBounce)),
    ]
}

#[test]
fn a_servers_own_words_are_understood() {
    for (from, subject, more, words, mark, expected) in in_words() {
        for (number, coded) in CODINGS.into_iter().enumerate() {
            let place = PLACES[number];
            let bytes = made(place, coded).words(from, subject, more, &words, mark);
            let report = read(&bytes, None);
            assert_eq!(report.finding, expected, "{coded:?}\n{}", String::from_utf8_lossy(&bytes));
            let found = report.traces.tokens.first().map(|token| token.to_lowercase());
            assert_eq!(found.as_deref(), Some(TOKEN), "{place:?} {coded:?} {words}");
        }
    }
}

/// Who reports, with which fields, and what follows.
const FEEDBACK: [(&str, &str, Finding); 12] = [
    (
        "feedback@arf.mail.yahoo.example",
        "Feedback-Type: abuse\nUser-Agent: Yahoo!-Mail-Feedback/2.0\nVersion: 0.1\nOriginal-Mail-From: <x@y.example>\n",
        Finding::Of(Complaint),
    ),
    (
        "scomp@aol.example",
        "Feedback-Type: abuse\nUser-Agent: AOL SComp\nVersion: 0.1\nRedacted-Address: redacted\n",
        Finding::Of(Complaint),
    ),
    (
        "staff@hotmail.example",
        "Feedback-Type: abuse\nUser-Agent: Microsoft-JMRP/1.0\nVersion: 1\nSource-IP: 192.0.2.1\n",
        Finding::Of(Complaint),
    ),
    (
        "feedback@comcast.example",
        "Version: 1\nUser-Agent: Comcast Feedback Loop\nFeedback-Type: Abuse\n",
        Finding::Of(Complaint),
    ),
    ("fbl@provider.example", "Feedback-Type: fraud\nVersion: 1\n", Finding::Of(Complaint)),
    ("fbl@provider.example", "Feedback-Type: abuse (spam button)\n", Finding::Of(Complaint)),
    ("fbl@provider.example", "Feedback-Type: opt-out\nRemoval-Recipient: ann@reader.example\n", Finding::Of(Leave)),
    ("fbl@provider.example", "Feedback-Type: not-spam\n", Finding::NoReport),
    ("fbl@provider.example", "Feedback-Type: virus\n", Finding::NoReport),
    ("fbl@provider.example", "Feedback-Type: auth-failure\nAuth-Failure: dkim\n", Finding::NoReport),
    ("fbl@provider.example", "Feedback-Type: other\n", Finding::NoReport),
    ("fbl@provider.example", "Version: 1\n", Finding::NoReport),
];

#[test]
fn a_feedback_report_is_understood_and_found_by_token_or_by_link() {
    let link = "b".repeat(60);
    for (from, fields, expected) in FEEDBACK {
        for (number, coded) in CODINGS.into_iter().enumerate() {
            let bytes = made(PLACES[number], coded).feedback(from, fields, Some(&link));
            let report = read(&bytes, None);
            assert_eq!(report.finding, expected, "{fields} {coded:?}");
            assert_eq!(report.traces.tokens.len(), 1, "{coded:?}");
            assert_eq!(report.traces.links, [link.as_str()], "{coded:?}");
        }
    }
    // The oldest form of Microsoft's programme: the message in full below a subject, and no report part.
    let old = format!(
        "From: staff@hotmail.example\r\nTo: abuse@lantern.example\r\nSubject: complaint about message from 192.0.2.1\r\n\
         X-HmXmrOriginalRecipient: ann@reader.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <bounces+{TOKEN}@bounces.lantern.example>\r\nSubject: News\r\n\r\nlamp\r\n--b--\r\n"
    );
    let report = read(old.as_bytes(), None);
    assert_eq!((report.finding, report.traces.tokens.len()), (Finding::Of(Complaint), 1));
}

#[test]
fn an_automatic_reply_or_a_letter_is_never_a_bounce() {
    let away = "I am away. If it is urgent: 550 5.1.1 user unknown, as they say.\n";
    for (from, subject, more, expected) in [
        ("Ann <ann@reader.example>", "Out of office: News: lamp", "", Finding::AutoReply),
        ("Ann <ann@reader.example>", "Re: News", "Auto-Submitted: auto-replied\n", Finding::AutoReply),
        ("Ann <ann@reader.example>", "Re: News", "X-Autoreply: yes\n", Finding::AutoReply),
        ("Ann <ann@reader.example>", "Re: News", "Precedence: bulk\n", Finding::AutoReply),
        (
            "Ann <ann@reader.example>",
            "Automatic reply: undeliverable mail",
            "Auto-Submitted: auto-replied (vacation)\n",
            Finding::AutoReply,
        ),
        ("Ann <ann@reader.example>", "Undeliverable love", "", Finding::NoReport),
        ("Ann <ann@reader.example>", "Re: News: lamp", "Auto-Submitted: no\n", Finding::NoReport),
        ("Ann <ann@reader.example>", "unsubscribe", "", Finding::Of(Leave)),
        ("Ann <ann@reader.example>", "Unsubscribe me, please", "", Finding::Of(Leave)),
        ("Ann <ann@reader.example>", "unsubscribe", "Auto-Submitted: auto-replied\n", Finding::AutoReply),
        ("postmaster@reader.example", "Your mailbox will be moved", "", Finding::AutoReply),
    ] {
        for coded in CODINGS {
            let bytes = made(Place::To, coded).letter(from, subject, more, away);
            assert_eq!(read(&bytes, None).finding, expected, "{subject} {coded:?}");
        }
    }
    let read_receipt = "From: ann@reader.example\r\nSubject: Read: News\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b\r\n\r\nread\r\n\
        --b\r\nContent-Type: message/disposition-notification\r\n\r\nDisposition: manual-action; displayed\r\n--b--\r\n";
    assert_eq!(read(read_receipt.as_bytes(), None).finding, Finding::AutoReply);
}

#[test]
fn the_recipient_that_a_mail_server_names_counts_first() {
    let other = TOKEN.replace('a', "b");
    let bytes = made(Place::To, Coded::Plain).status(&SHAPES[0], &recipient("failed", "5.1.1", ""));
    let report = read(&bytes, Some(&format!("bounces+{other}@bounces.lantern.example")));
    assert_eq!(report.traces.tokens, [other.as_str(), TOKEN]);
}

/// Reads within reason, on a stack no larger than a thread's of ours.
fn survives(name: &str, bytes: Vec<u8>) {
    let name = name.to_owned();
    let start = Instant::now();
    let reading =
        std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || read(&bytes, None)).expect("a thread");
    let report = reading.join().unwrap_or_else(|_| panic!("{name}: it panicked"));
    assert!(report.traces.tokens.len() <= 16 && report.text.chars().count() <= 400, "{name}");
    assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
}

#[test]
fn a_report_cut_off_anywhere_is_survived() {
    let bytes = made(Place::ReturnPath, Coded::QuotedPrintable)
        .status(&SHAPES[0], &recipient("failed", "5.1.1", "smtp; 550 5.1.1 no"));
    for cut in 0..bytes.len() {
        let _ = read(&bytes[..cut], None);
    }
    let bytes = made(Place::ReturnPath, Coded::Base64).feedback("fbl@provider.example", "Feedback-Type: abuse\n", None);
    for cut in 0..bytes.len() {
        let _ = read(&bytes[..cut], None);
        let mut torn = bytes.clone();
        torn[cut] ^= 0xFF;
        let _ = read(&torn, None);
    }
}

#[test]
fn hostile_messages_are_survived() {
    let nested = |depth: usize, kind: &str| {
        let mut text = String::new();
        for level in 0..depth {
            let _ = write!(text, "Content-Type: {kind}; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        text.push_str("Subject: deep\r\n\r\nbody\r\n");
        text.into_bytes()
    };
    for depth in [2, 50, 100, 1_000, 30_000] {
        survives("messages in messages", "Content-Type: message/rfc822\r\n\r\n".repeat(depth).into_bytes());
        survives("messages in messages, plain lines", "content-type: MESSAGE/global\n\n".repeat(depth).into_bytes());
        survives("parts in parts", nested(depth, "multipart/mixed"));
        survives("digests in digests", nested(depth, "multipart/digest"));
        survives("reports in reports", nested(depth, "multipart/report; report-type=delivery-status"));
    }
    let big = |start: &str, unit: &str| {
        let mut text = start.to_owned();
        while text.len() < 10 * MAX_BYTES {
            text.push_str(unit);
        }
        text.into_bytes()
    };
    let report = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n";
    survives("ten megabytes of nothing", vec![0; 10 * MAX_BYTES]);
    survives("ten megabytes of lines", big("Subject: x\r\n\r\n", "line\r\n"));
    survives("one long line", big("Subject: ", "x"));
    survives("one long folded header", big("Subject: x", "\r\n x"));
    survives("headers without end", big("", "X-A: b\r\n"));
    survives("a boundary again and again", big(report, "--b\r\n"));
    survives("parts without end", big(report, "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"));
    survives(
        "statuses without end",
        big(
            &format!("{report}--b\r\nContent-Type: message/delivery-status\r\n\r\n"),
            "Action: failed\r\nStatus: 5.1.1\r\n\r\n",
        ),
    );
    survives(
        "one field without end",
        big(&format!("{report}--b\r\nContent-Type: message/delivery-status\r\n\r\nAction:"), " failed\r\n"),
    );
    survives(
        "codes without end",
        big("From: mailer-daemon@x.example\r\nReturn-Path: <>\r\nSubject: failure notice\r\n\r\n", "5.5.5 550 #"),
    );
    survives("encoded words without end", big("Subject: ", "=?utf-8?B?YQ==?= "));
    survives("addresses without end", big("To: ", "a@b.example, "));
    survives("groups within groups", big("To: ", "g: a@b.example, ("));
    survives("brackets without end", big("To: ", "<"));
    survives("tokens without end", big("To: ", &format!("{TOKEN}@b.example, ")));
    survives("attributes without end", big("Content-Type: multipart/mixed", "; boundary*0=b"));
    survives("no boundary", format!("{}\r\nx", report.replace("; boundary=b", "")).into_bytes());
    survives("an empty boundary", format!("{}--\r\n\r\nx\r\n----\r\n", report.replace("=b", "=\"\"")).into_bytes());
    survives("a boundary of dashes", format!("{}------\r\n\r\nx\r\n", report.replace("=b", "=--")).into_bytes());
    survives("base64 that is none", format!("{report}--b\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--b--\r\n").into_bytes());
    survives("not UTF-8", [b"Subject: \xff\xfe\r\nFrom: mailer-daemon\xff\r\n\r\n".as_slice(), &[0xC3; 4096]].concat());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_to_a_report_stops_its_reader(
        which in 0..SHAPES.len(),
        changes in proptest::collection::vec((0_usize..2000, 0_u8..=255), 0..20),
        cut in 0_usize..2500,
    ) {
        let mut bytes = made(PLACES[which % 5], CODINGS[which % 5])
            .status(&SHAPES[which], &recipient("failed", "5.1.1", "smtp; 550 5.1.1 no such user"));
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        bytes.truncate(cut.max(1));
        let report = read(&bytes, None);
        proptest::prop_assert!(report.text.chars().count() <= 400);
    }
}

//! The SMTP dialogue against a real server that misbehaves at every stage.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use support::smtp_sink::{Answer, Certificate, Moment, Options, Sink, Step, say};
use tidings::domain::address::EmailAddress;
use tidings::domain::delivery::{Fault, Outcome, Stage, fault};
use tidings::mail::Mailer;
use tidings::mail::outbox::Outbox;
use tidings::mail::smtp::{Connection, Credentials, Limits, RelaySettings, Secret, Tls};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.one\r\n..two\r\n.\r\nthree\r\n";

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

fn relay(sink: &Sink, tls: Tls) -> RelaySettings {
    let mut settings = RelaySettings::new("localhost", sink.port(), tls);
    if tls == Tls::None {
        "127.0.0.1".clone_into(&mut settings.host);
    } else {
        settings.root_certificates = Some(sink.certificate().to_owned());
    }
    settings.hello = Some("client.example".to_owned());
    settings
}

fn password(text: &str) -> Credentials {
    Credentials::Password { user: "lantern".to_owned(), password: Secret::new(text) }
}

/// One message over a new connection; the connection where it was opened.
async fn attempt(settings: &RelaySettings) -> (Outcome, Option<Connection>) {
    match Connection::open(settings).await {
        Ok(mut connection) => {
            let outcome = connection.send("b@client.example", &address("reader@example.org"), MESSAGE).await;
            (outcome, Some(connection))
        }
        Err(outcome) => (outcome, None),
    }
}

/// What matters of an outcome: kind, stage, code.
fn short(outcome: &Outcome) -> (&'static str, Option<Stage>, Option<u16>) {
    match outcome {
        Outcome::Accepted { .. } => ("accepted", None, None),
        Outcome::Refused { stage, code, .. } => ("refused", Some(*stage), Some(*code)),
        Outcome::Deferred { stage, code, .. } => ("deferred", Some(*stage), *code),
        Outcome::Unknown { .. } => ("unknown", None, None),
    }
}

const STEPS: [(Step, Stage); 6] = [
    (Step::Greeting, Stage::Connect),
    (Step::Hello, Stage::Hello),
    (Step::Mail, Stage::Mail),
    (Step::Rcpt, Stage::Rcpt),
    (Step::Data, Stage::Data),
    (Step::Dot, Stage::Body),
];

/// The answer in the first transaction of a connection only.
fn once(step: Step, answer: Answer, pipelining: bool) -> Options {
    let script = move |moment: &Moment<'_>| {
        if moment.step == step && moment.transaction <= 1 { answer.clone() } else { Answer::Usual }
    };
    Options { pipelining, ..Options::script(script) }
}

#[tokio::test]
async fn every_fault_at_every_stage_has_its_outcome() {
    let lasting = "550-5.1.1 no such user\r\n550 5.1.1 really";
    for pipelining in [true, false] {
        for (step, stage) in STEPS {
            let broken = if step == Step::Dot { ("unknown", None, None) } else { ("deferred", Some(stage), None) };
            for (answer, expected, survives) in [
                (say("451 4.3.0 later"), ("deferred", Some(stage), Some(451)), true),
                (say(lasting), ("refused", Some(stage), Some(550)), true),
                (Answer::SayAndDrop("421 4.3.2 closing".to_owned()), ("deferred", Some(stage), Some(421)), false),
                (Answer::Drop, broken, false),
                (Answer::Raw(b"\xff\xfe\0 what?\r\n".to_vec()), broken, false),
                (Answer::Raw(b"299".repeat(30_000)), broken, false),
                (Answer::Raw(b"250-and so on\r\n".repeat(5_000)), broken, false),
                (say("199 odd"), broken, false),
            ] {
                let what = format!("{step:?} {answer:?} pipelining {pipelining}");
                let what = &what[..what.len().min(120)];
                let sink = Sink::start(once(step, answer, pipelining)).await;
                let (outcome, connection) = attempt(&relay(&sink, Tls::None)).await;
                assert_eq!(short(&outcome), expected, "{what}: {outcome:?}");
                assert_eq!(sink.count(), 0, "{what}");
                if let Some(mut connection) = connection {
                    assert_eq!(connection.is_usable(), survives, "{what}");
                    if survives {
                        let next = connection.send("", &address("next@example.org"), MESSAGE).await;
                        assert_eq!(short(&next).0, "accepted", "{what}: {next:?}");
                        assert_eq!(sink.connections(), 1, "{what}");
                    }
                }
                assert_eq!(sink.violations(), [""; 0], "{what}");
            }
        }
    }
}

#[tokio::test]
async fn silence_at_any_stage_ends_at_its_limit() {
    let mut rows = tokio::task::JoinSet::new();
    for pipelining in [true, false] {
        for (step, stage) in STEPS {
            rows.spawn(async move {
                let sink = Sink::start(once(step, Answer::Silence, pipelining)).await;
                let mut settings = relay(&sink, Tls::None);
                let short_limit = Duration::from_millis(400);
                match stage {
                    Stage::Body => settings.limits.dot = short_limit,
                    Stage::Data => settings.limits.data = short_limit,
                    _ => settings.limits.command = short_limit,
                }
                let (outcome, connection) = attempt(&settings).await;
                let expected =
                    if step == Step::Dot { ("unknown", None, None) } else { ("deferred", Some(stage), None) };
                assert_eq!(short(&outcome), expected, "{step:?} {pipelining}: {outcome:?}");
                assert!(connection.is_none_or(|mut connection| !connection.is_usable()));
            });
        }
    }
    while let Some(row) = rows.join_next().await {
        row.unwrap();
    }
}

#[test]
fn the_usual_limits_are_those_of_the_rfc() {
    let limits = Limits::default();
    let minutes = [limits.command, limits.data, limits.block, limits.dot].map(|limit| limit.as_secs() / 60);
    assert_eq!(minutes, [5, 2, 3, 10]);
}

#[tokio::test]
async fn the_connection_survives_refused_recipients() {
    for pipelining in [true, false] {
        let script = |moment: &Moment<'_>| {
            let refuse = moment.step == Step::Rcpt && moment.line.contains("<no");
            if refuse { say("550 5.1.1 no such user") } else { Answer::Usual }
        };
        let sink = Sink::start(Options { pipelining, ..Options::script(script) }).await;
        let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
        let mut outcomes = Vec::new();
        for to in ["no1@example.org", "yes1@example.org", "no2@example.org", "no3@example.org", "yes2@example.org"] {
            outcomes.push(short(&connection.send("b@client.example", &address(to), MESSAGE).await).0);
        }
        assert_eq!(outcomes, ["refused", "accepted", "refused", "refused", "accepted"]);
        assert_eq!(connection.accepted(), 2);
        connection.quit().await;
        assert_eq!(sink.connections(), 1);
        let resets = sink.lines().iter().filter(|(_, line)| line == "RSET").count();
        assert_eq!(resets, 3, "{:?}", sink.lines());
        assert_eq!(sink.lines().last().unwrap().1, "QUIT");
        assert_eq!(sink.violations(), [""; 0]);
    }
}

#[tokio::test]
async fn pipelined_and_lock_step_bring_the_same() {
    let mut brought = Vec::new();
    for pipelining in [true, false] {
        let sink = Sink::start(Options { pipelining, ..Options::default() }).await;
        let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
        for to in ["a@example.org", "b@example.org"] {
            let outcome = connection.send("b@client.example", &address(to), MESSAGE).await;
            assert_eq!(outcome, Outcome::Accepted { reply: "2.0.0 taken".to_owned() });
        }
        brought.push(sink.messages());
    }
    assert_eq!(brought[0], brought[1]);
    assert_eq!(brought[0][1].to, ["b@example.org"]);
    assert_eq!(brought[0][1].bytes, MESSAGE);
    assert_eq!(brought[0][1].parameters, [format!("SIZE={}", MESSAGE.len())]);
}

#[tokio::test]
async fn a_relay_that_wants_data_for_a_refused_recipient_gets_a_lone_dot() {
    let script = |moment: &Moment<'_>| match (moment.step, moment.transaction) {
        (Step::Rcpt, 1) => say("550 5.1.1 no such user"),
        (Step::Data, 1) => say("354 go ahead all the same"),
        _ => Answer::Usual,
    };
    let sink = Sink::start(Options::script(script)).await;
    let (outcome, connection) = attempt(&relay(&sink, Tls::None)).await;
    assert_eq!(short(&outcome), ("refused", Some(Stage::Rcpt), Some(550)));
    let next = connection.unwrap().send("", &address("next@example.org"), MESSAGE).await;
    assert_eq!(short(&next).0, "accepted", "{next:?}");
    assert_eq!(sink.count(), 1);
}

#[tokio::test]
async fn a_message_taken_without_an_answer_is_unknown() {
    let sink = Sink::start(Options::at(Step::Dot, Answer::TakeAndDrop)).await;
    let (outcome, _) = attempt(&relay(&sink, Tls::None)).await;
    assert_eq!(short(&outcome).0, "unknown");
    assert_eq!(fault(&outcome), Some(Fault::Relay));
    assert_eq!(sink.count(), 1);
}

#[tokio::test]
async fn a_connection_lost_within_the_message_defers_it_and_an_early_answer_is_heard() {
    let large = b"0123456789 0123456789 0123456789 0123456789\r\n".repeat(500_000);
    for (answer, expected) in [
        (Answer::Drop, ("deferred", Some(Stage::Body), None)),
        (Answer::SayAndDrop("552 5.3.4 too big".to_owned()), ("refused", Some(Stage::Body), Some(552))),
    ] {
        let sink = Sink::start(Options::at(Step::Content, answer)).await;
        let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
        let outcome = connection.send("", &address("reader@example.org"), &large).await;
        assert_eq!(short(&outcome), expected, "{outcome:?}");
        assert!(!connection.is_usable());
    }
}

#[tokio::test]
async fn a_relay_that_said_goodbye_meanwhile_is_not_used_again() {
    let sink = Sink::start(Options::at(Step::Dot, say("250 2.0.0 taken\r\n421 4.4.2 idle too long"))).await;
    let (outcome, connection) = attempt(&relay(&sink, Tls::None)).await;
    let mut connection = connection.unwrap();
    assert_eq!(short(&outcome).0, "accepted");
    assert!(!connection.is_usable());
    let next = connection.send("", &address("next@example.org"), MESSAGE).await;
    assert_eq!(short(&next), ("deferred", Some(Stage::Mail), None));
}

#[tokio::test]
async fn a_cancelled_message_leaves_the_connection_unusable() {
    let sink = Sink::start(Options::at(Step::Data, Answer::Silence)).await;
    let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
    let to = address("reader@example.org");
    let sending = connection.send("", &to, MESSAGE);
    assert!(tokio::time::timeout(Duration::from_millis(50), sending).await.is_err());
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_message_above_the_relays_size_is_refused_without_asking() {
    let sink = Sink::start(Options { size: Some(20), ..Options::default() }).await;
    let (outcome, connection) = attempt(&relay(&sink, Tls::None)).await;
    assert_eq!(short(&outcome), ("refused", Some(Stage::Mail), Some(552)));
    assert_eq!(fault(&outcome), Some(Fault::Content));
    let next = connection.unwrap().send("", &address("a@example.org"), b"Subject: x\r\n\r\n").await;
    assert_eq!(short(&next).0, "accepted");
    assert_eq!(sink.lines().iter().filter(|(_, line)| line.starts_with("MAIL")).count(), 1);
}

#[tokio::test]
async fn smtputf8_is_asked_for_only_by_those_who_need_it() {
    let sink = Sink::start(Options::default()).await;
    let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
    assert_eq!(short(&connection.send("", &address("用户@example.org"), MESSAGE).await).0, "accepted");
    assert_eq!(short(&connection.send("", &address("a@bücher.example"), MESSAGE).await).0, "accepted");
    let parameters: Vec<_> = sink.messages().into_iter().map(|message| message.parameters[1..].to_vec()).collect();
    assert_eq!(parameters, [vec!["BODY=8BITMIME", "SMTPUTF8"], vec![]]);

    let sink = Sink::start(Options { smtputf8: false, ..Options::default() }).await;
    let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
    let outcome = connection.send("", &address("用户@example.org"), MESSAGE).await;
    assert_eq!(short(&outcome), ("refused", Some(Stage::Rcpt), Some(553)));
    assert_eq!(fault(&outcome), Some(Fault::Content));
    assert_eq!(short(&connection.send("", &address("a@example.org"), MESSAGE).await).0, "accepted");
}

#[tokio::test]
async fn eight_bits_go_only_to_a_relay_that_takes_them() {
    let message = "Subject: é\r\n\r\n".as_bytes();
    for (eight_bit, expected) in [(true, "accepted"), (false, "refused")] {
        let sink = Sink::start(Options { eight_bit, ..Options::default() }).await;
        let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
        assert_eq!(short(&connection.send("", &address("a@example.org"), message).await).0, expected);
        assert_eq!(sink.violations(), [""; 0]);
    }
}

#[tokio::test]
async fn an_envelope_sender_cannot_smuggle_a_command() {
    let sink = Sink::start(Options::default()).await;
    let mut connection = Connection::open(&relay(&sink, Tls::None)).await.unwrap();
    for from in ["a@b.example>\r\nRCPT TO:<c@d.example", "a b", "<", "a\0"] {
        let outcome = connection.send(from, &address("a@example.org"), MESSAGE).await;
        assert_eq!(fault(&outcome), Some(Fault::Sender), "{outcome:?}");
    }
    assert!(connection.is_usable());
    assert_eq!(sink.lines().len(), 1);
}

#[tokio::test]
async fn what_a_relay_says_is_kept_printable_and_short() {
    let mut reply = b"550 5.1.1 \x1b[31m\xff ".to_vec();
    reply.extend(b"x".repeat(2000));
    reply.extend(b"\r\n");
    let sink = Sink::start(Options::at(Step::Rcpt, Answer::Raw(reply))).await;
    let (outcome, _) = attempt(&relay(&sink, Tls::None)).await;
    let Outcome::Refused { text, enhanced, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(enhanced, Some((5, 1, 1)));
    assert!(text.starts_with("5.1.1 \\u{1b}[31m\u{fffd} xxx"), "{text}");
    assert_eq!(text.chars().count(), 400);
}

#[tokio::test]
async fn a_relay_from_before_ehlo_is_greeted_with_helo() {
    let sink = Sink::start(Options { ehlo: false, ..Options::default() }).await;
    let (outcome, _) = attempt(&relay(&sink, Tls::None)).await;
    assert_eq!(short(&outcome).0, "accepted");
    assert_eq!(sink.messages()[0].parameters, [""; 0]);
    assert_eq!(sink.violations(), [""; 0]);
}

#[tokio::test]
async fn a_relay_that_is_away_defers() {
    let sink = Sink::start(Options::default()).await;
    let settings = relay(&sink, Tls::None);
    drop(sink);
    tokio::task::yield_now().await;
    let outcome = Connection::open(&settings).await.err().unwrap();
    assert!(matches!(outcome, Outcome::Deferred { code: None, .. }), "{outcome:?}");
}

#[tokio::test]
async fn credentials_go_over_tls_only() {
    let auth = Some(("PLAIN LOGIN", "lantern", "s3cret"));
    let sink = Sink::start(Options { auth, ..Options::default() }).await;
    for tls in [Tls::None, Tls::Opportunistic] {
        let mut settings = relay(&sink, Tls::None);
        settings.tls = tls;
        settings.credentials = Some(password("s3cret"));
        let (outcome, _) = attempt(&settings).await;
        assert_eq!(short(&outcome), ("refused", Some(Stage::Auth), Some(538)));
        assert_eq!(fault(&outcome), Some(Fault::Sender));
    }
    assert!(sink.lines().iter().all(|(_, line)| line.starts_with("EHLO")), "{:?}", sink.lines());
}

#[tokio::test]
async fn a_relay_is_secured_and_told_who_we_are() {
    for (mechanisms, tls) in [("PLAIN LOGIN", Tls::Required), ("LOGIN", Tls::Opportunistic), ("PLAIN", Tls::Implicit)] {
        let auth = Some((mechanisms, "lantern", "s3crét"));
        let starttls = tls != Tls::Implicit;
        let sink = Sink::start(Options { auth, starttls, implicit_tls: !starttls, ..Options::default() }).await;
        let mut settings = relay(&sink, tls);
        settings.credentials = Some(password("s3crét"));
        let (outcome, connection) = attempt(&settings).await;
        assert_eq!(short(&outcome).0, "accepted", "{outcome:?}");
        connection.unwrap().quit().await;
        let message = &sink.messages()[0];
        assert!(message.secured);
        assert_eq!(message.user.as_deref(), Some("lantern"));
        assert_eq!(sink.violations(), [""; 0]);

        settings.credentials = Some(password("wrong"));
        let (outcome, _) = attempt(&settings).await;
        assert_eq!(short(&outcome), ("refused", Some(Stage::Auth), Some(535)));
        assert_eq!(fault(&outcome), Some(Fault::Sender));
    }
}

#[tokio::test]
async fn an_access_token_is_read_anew_for_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for (mechanisms, tls) in [("PLAIN XOAUTH2", Tls::Required), ("OAUTHBEARER", Tls::Implicit)] {
        let auth = Some((mechanisms, "lantern@example.org", "ya29.T0ken"));
        let starttls = tls != Tls::Implicit;
        let sink = Sink::start(Options { auth, starttls, implicit_tls: !starttls, ..Options::default() }).await;
        let mut settings = relay(&sink, tls);
        let user = "lantern@example.org".to_owned();
        settings.credentials = Some(Credentials::Token { user, file: file.clone() });

        std::fs::write(&file, "ya29.old\n").unwrap();
        let (outcome, _) = attempt(&settings).await;
        assert_eq!(short(&outcome), ("refused", Some(Stage::Auth), Some(535)));
        assert_eq!(fault(&outcome), Some(Fault::Sender));
        let Outcome::Refused { text, enhanced, .. } = outcome else { panic!("{outcome:?}") };
        assert!(text.contains("expired") && text.contains("status 401, scope https://mail.example/"), "{text}");
        assert!(text.contains("5.7.8 wrong user or password") && enhanced == Some((5, 7, 8)), "{text}");

        std::fs::write(&file, "ya29.T0ken\n").unwrap();
        let (outcome, connection) = attempt(&settings).await;
        assert_eq!(short(&outcome).0, "accepted", "{outcome:?}");
        connection.unwrap().quit().await;
        assert_eq!(sink.messages()[0].user.as_deref(), Some("lantern@example.org"));
        assert_eq!(sink.violations(), [""; 0]);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_used_is_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let auth = Some(("XOAUTH2", "lantern", "canary"));
    let sink = Sink::start(Options { auth, starttls: true, ..Options::default() }).await;
    let clear = Sink::start(Options { auth, ..Options::default() }).await;
    let token = Some(Credentials::Token { user: "lantern".to_owned(), file: file.clone() });
    let mut secured = relay(&sink, Tls::Required);
    secured.credentials.clone_from(&token);
    for content in ["", "  \n", "canary\nEHLO x", "can\u{e9}ary"] {
        std::fs::write(&file, content).unwrap();
        let (outcome, _) = attempt(&secured).await;
        assert_eq!(short(&outcome), ("refused", Some(Stage::Auth), Some(535)), "{content:?}");
        assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(short(&attempt(&secured).await.0), ("refused", Some(Stage::Auth), Some(535)));

    std::fs::write(&file, "canary").unwrap();
    let mut plain = relay(&clear, Tls::None);
    plain.credentials = token;
    assert_eq!(short(&attempt(&plain).await.0), ("refused", Some(Stage::Auth), Some(538)));
    secured.credentials = Some(password("canary"));
    let (outcome, _) = attempt(&secured).await;
    let Outcome::Refused { text, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(text.contains("set token_file"), "{text}");
    for sink in [sink, clear] {
        assert!(sink.lines().iter().all(|(_, line)| !line.starts_with("AUTH")), "{:?}", sink.lines());
    }
}

#[tokio::test]
async fn a_relay_that_cannot_be_verified_gets_no_mail() {
    let sink = Sink::start(Options { starttls: true, ..Options::default() }).await;
    let mut untrusted = relay(&sink, Tls::Required);
    untrusted.root_certificates = None;
    let mut other_name = relay(&sink, Tls::Required);
    other_name.host = "127.0.0.1".to_owned();
    for settings in [untrusted, other_name] {
        let (outcome, _) = attempt(&settings).await;
        assert_eq!(short(&outcome).1, Some(Stage::StartTls), "{outcome:?}");
        assert_eq!(fault(&outcome), Some(Fault::Sender), "{outcome:?}");
    }

    let plain = Sink::start(Options::default()).await;
    let mut settings = relay(&plain, Tls::None);
    settings.tls = Tls::Required;
    let (outcome, _) = attempt(&settings).await;
    assert_eq!(short(&outcome), ("refused", Some(Stage::StartTls), Some(530)));
    assert_eq!(sink.count() + plain.count(), 0);
}

#[tokio::test]
async fn a_certificate_that_does_not_do_is_described_with_its_remedy() {
    for (certificate, is_trusted, parts) in [
        (Certificate::Expired, true, ["the relay's certificate expired ", "days ago: renew it"]),
        (Certificate::Future, true, ["not valid yet", "clock"]),
        (Certificate::OtherHost, true, ["is for mail.example.net, smtp.example.net, not for localhost", "set host"]),
        (Certificate::Good, false, ["no authority that this machine trusts", "set authority_file"]),
        (Certificate::Authority, true, ["CA:TRUE", "make it one with CA:FALSE"]),
    ] {
        for tls in [Tls::Required, Tls::Implicit, Tls::Opportunistic] {
            let starttls = tls != Tls::Implicit;
            let options = Options { certificate, starttls, implicit_tls: !starttls, ..Options::default() };
            let sink = Sink::start(options).await;
            let mut settings = relay(&sink, tls);
            if !is_trusted {
                settings.root_certificates = None;
            }
            let (outcome, _) = attempt(&settings).await;
            assert_eq!(fault(&outcome), Some(Fault::Sender), "{outcome:?}");
            let Outcome::Refused { text, .. } = outcome else { panic!("{outcome:?}") };
            assert!(parts.iter().all(|part| text.contains(part)), "{certificate:?}: {text}");
            assert_eq!(sink.count(), 0);
        }
    }
}

#[tokio::test]
async fn a_port_without_tls_and_a_file_without_certificates_are_described() {
    let sink = Sink::start(Options::default()).await;
    let mut settings = relay(&sink, Tls::None);
    settings.tls = Tls::Implicit;
    let (outcome, _) = attempt(&settings).await;
    let Outcome::Refused { text, .. } = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("does not answer in TLS on this port") && text.contains("required"), "{text}");

    let file = tempfile::NamedTempFile::new().unwrap();
    settings.root_certificates = Some(file.path().to_owned());
    let (outcome, _) = attempt(&settings).await;
    let Outcome::Refused { text, .. } = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("holds no certificate in PEM"), "{text}");
}

#[tokio::test]
async fn faults_at_starttls_and_auth_have_their_outcome() {
    for (step, stage) in [(Step::StartTls, Stage::StartTls), (Step::Auth, Stage::Auth)] {
        for (answer, expected) in [
            (say("454 4.7.0 later"), ("deferred", Some(stage), Some(454))),
            (say("554 5.7.1 never"), ("refused", Some(stage), Some(554))),
            (Answer::Drop, ("deferred", Some(stage), None)),
            (Answer::Raw(b"hm\r\n".to_vec()), ("deferred", Some(stage), None)),
            // Bytes in clear after the go-ahead could come from anybody: never taken for part of the secured talk.
            (Answer::Raw(b"220 go ahead\r\n250 injected\r\n".to_vec()), ("deferred", Some(stage), None)),
        ] {
            if step == Step::Auth && matches!(&answer, Answer::Raw(bytes) if bytes.starts_with(b"220")) {
                continue;
            }
            let mut options = Options::at(step, answer);
            options.starttls = true;
            options.auth = Some(("PLAIN", "lantern", "s3cret"));
            let sink = Sink::start(options).await;
            let mut settings = relay(&sink, Tls::Required);
            settings.credentials = Some(password("s3cret"));
            let (outcome, _) = attempt(&settings).await;
            assert_eq!(short(&outcome), expected, "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_mailer_keeps_its_connection_and_opens_another_when_it_is_lost() {
    let script = |moment: &Moment<'_>| match (moment.step, moment.connection, moment.transaction) {
        (Step::Dot, 1, 2) => Answer::Drop,
        _ => Answer::Usual,
    };
    let sink = Sink::start(Options::script(script)).await;
    let mut mailer = Mailer::relay(relay(&sink, Tls::None));
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(short(&mailer.send("", &address("a@example.org"), "id", MESSAGE).await).0);
    }
    mailer.close().await;
    assert_eq!(outcomes, ["accepted", "unknown", "accepted", "accepted"]);
    assert_eq!(sink.connections(), 2);
    assert_eq!(sink.wait_for(3).await.len(), 3);
}

#[tokio::test]
async fn a_mailer_into_a_folder_writes_files_and_halts_where_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let mut mailer = Mailer::outbox(Outbox::new(folder.path().join("outbox")));
    for _ in 0..2 {
        let outcome = mailer.send("", &address("a@example.org"), "delivery-1", MESSAGE).await;
        assert_eq!(short(&outcome).0, "accepted");
    }
    assert_eq!(std::fs::read(folder.path().join("outbox/delivery-1.eml")).unwrap(), MESSAGE);

    let blocked = folder.path().join("file");
    std::fs::write(&blocked, b"").unwrap();
    let outcome = Mailer::outbox(Outbox::new(blocked)).send("", &address("a@example.org"), "x", MESSAGE).await;
    assert_eq!(fault(&outcome), Some(Fault::Sender), "{outcome:?}");
}

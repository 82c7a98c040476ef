//! What comes back acts by a genuine token and not otherwise; once; and on the address that it is about alone.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, Setup};
use support::reports::{Coded, Made, Place, SHAPES, recipient};
use support::smtp_sink::{Options, Sink};
use tidings::domain::address::EmailAddress;
use tidings::domain::delivery::{Outcome, Stage};
use tidings::domain::digest::DigestId;
use tidings::domain::newsletter::Cadence;
use tidings::domain::report::{ReportCounts, ReportKind};
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::mail::report::Finding;
use tidings::task::confirm::{send_confirmations, subscribe};
use tidings::task::dispatch::Stop;
use tidings::task::report::{Reported, mailbox_refused, take, take_maildir};
use tidings::task::run::{Changes, Event, keep_sending};
use tokio::sync::Notify;

support::engines::for_each_engine! {
    every_message_has_an_envelope_sender_of_its_own_that_a_bounce_is_known_by,
    a_hard_bounce_bans_the_address_at_once_and_counts_once,
    a_complaint_bans_the_address_at_once_and_everywhere,
    a_forged_report_changes_nothing,
    soft_bounces_ban_an_address_after_enough_of_them_over_enough_time,
    a_success_in_between_makes_soft_bounces_begin_anew,
    a_mailbox_refused_during_smtp_counts_like_a_soft_bounce,
    what_is_our_own_fault_bans_nobody_and_is_counted,
    whoever_writes_to_leave_leaves_the_newsletter,
    what_a_report_says_of_someone_goes_with_them,
    a_maildir_is_read_and_what_was_read_is_seen,
    who_sends_also_looks_for_reports_until_the_word_to_stop,
    a_report_brought_by_two_at_once_counts_once,
}

const BOUNCES: &str = "[mail]\nbounces = \"bounces@bounces.lantern.example\"\n";

/// A publication with two daily readers.
async fn lantern(url: &str, relays: Vec<u16>) -> Lantern {
    let lantern = Lantern::open(url, Setup { relays, more: BOUNCES, ..Setup::default() }).await;
    for address in ["ann@reader.example", "ben@reader.example"] {
        lantern.reader(address, Cadence::Daily, None).await;
    }
    lantern
}

/// Sends a digest to everyone. Returns its id.
async fn send(lantern: &Lantern, slug: &str) -> DigestId {
    lantern.release(&[slug]).await;
    let (digest, _) = lantern.compose().await.expect("something to send");
    assert!(lantern.dispatch().await.sent > 0);
    digest.id
}

async fn token(lantern: &Lantern, address: &str, digest: DigestId) -> String {
    lantern.publication.keyring.bounce_token(lantern.who(address).await, Some(digest))
}

fn made<'a>(token: &'a str, id: &'a str) -> Made<'a> {
    Made { token, place: Place::To, coded: Coded::Plain, id }
}

fn bounce(token: &str, id: &str, status: &str) -> Vec<u8> {
    made(token, id).status(&SHAPES[0], &recipient("failed", status, ""))
}

async fn brought(lantern: &Lantern, bytes: &[u8]) -> Reported {
    take(&lantern.publication, bytes, None).await.unwrap()
}

async fn bans(lantern: &Lantern) -> Vec<Vec<String>> {
    lantern.rows("SELECT cause FROM suppressions ORDER BY cause").await
}

async fn counts(lantern: &Lantern, digest: DigestId) -> ReportCounts {
    lantern.publication.store.reports_of(digest).await.unwrap()
}

fn taken(kind: ReportKind, suppressed: bool) -> Reported {
    Reported::Taken { kind, suppressed }
}

async fn every_message_has_an_envelope_sender_of_its_own_that_a_bounce_is_known_by(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, vec![sink.port()]).await;
    let digest = send(&lantern, "lamp").await;
    let cid = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse("cid@reader.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    let feeds = [(support::publication::news(), Cadence::Daily)];
    subscribe(&lantern.publication, &cid, &feeds, SubscriptionState::Pending).await.unwrap();
    assert_eq!(send_confirmations(&lantern.publication).await.unwrap(), 1);
    let messages = sink.messages();
    assert_eq!(messages.len(), 3);
    for message in messages {
        let sender = message.from.trim_matches(['<', '>']);
        let token = sender.strip_prefix("bounces+").unwrap().strip_suffix("@bounces.lantern.example").unwrap();
        assert!(sender.split('@').next().unwrap().len() <= 64);
        let read = lantern.publication.keyring.read_bounce_token(token).expect("a genuine token");
        let letter = Letter::read(&message.bytes);
        assert_eq!(read.subscriber, lantern.who(&letter.to).await);
        assert_eq!(read.is_of(digest), letter.to != "cid@reader.example");
        assert_eq!(brought(&lantern, &bounce(token, "r", "5.1.1")).await, taken(ReportKind::HardBounce, true));
    }
    assert_eq!(bans(&lantern).await.len(), 3);
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn a_hard_bounce_bans_the_address_at_once_and_counts_once(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    assert_eq!(brought(&lantern, &bounce(&token, "r1", "5.1.1")).await, taken(ReportKind::HardBounce, true));
    assert_eq!(bans(&lantern).await, [["bounced"]]);
    assert_eq!(brought(&lantern, &bounce(&token, "r1", "5.1.1")).await, Reported::Known);
    // Another report on the same delivery: the reader counts once.
    assert_eq!(
        brought(&lantern, &bounce(&token.to_uppercase(), "r2", "5.1.1")).await,
        taken(ReportKind::HardBounce, false)
    );
    assert_eq!(counts(&lantern, digest).await, ReportCounts { bounced_hard: 1, ..ReportCounts::default() });
    // The other reader still gets what follows.
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["boat"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1);
    // A ban that an editor lifted is not put back by an old report that comes again.
    lantern.rows("DELETE FROM suppressions").await;
    assert_eq!(brought(&lantern, &bounce(&token, "r1", "5.1.1")).await, Reported::Known);
    assert!(bans(&lantern).await.is_empty());
}

async fn a_complaint_bans_the_address_at_once_and_everywhere(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let ann = lantern.who("ann@reader.example").await;
    // The provider took out every address: what is left is the link to leave by, and the Message-ID.
    let stem = lantern.publication.keyring.message_id(digest, ann);
    let message = std::fs::read_dir(lantern.folder.path().join("outbox")).unwrap().flatten().find_map(|entry| {
        let bytes = std::fs::read(entry.path()).unwrap();
        (Letter::read(&bytes).message_id.starts_with(&stem)).then(|| Letter::read(&bytes))
    });
    let link = message.expect("the message in the outbox").unsubscribe.unwrap();
    let report = made("nobody", "c1").feedback("staff@hotmail.example", "Feedback-Type: abuse\n", Some(&link));
    let text = String::from_utf8(report).unwrap().replace("0123456789abcdef0123456789abcdef", &stem);
    lantern.publication.store.suppress("earlier", "refused", "", lantern.now()).await.unwrap();
    assert_eq!(brought(&lantern, text.as_bytes()).await, taken(ReportKind::Complaint, true));
    assert_eq!(brought(&lantern, text.as_bytes()).await, Reported::Known);
    assert_eq!(bans(&lantern).await, [["complained"], ["refused"]]);
    assert_eq!(counts(&lantern, digest).await, ReportCounts { complained: 1, ..ReportCounts::default() });
    // Whoever bounced before is known as who complained from now on.
    let token = token(&lantern, "ben@reader.example", digest).await;
    brought(&lantern, &bounce(&token, "r1", "5.1.1")).await;
    let report = made(&token, "c2").feedback("fbl@provider.example", "Feedback-Type: abuse\n", None);
    assert_eq!(brought(&lantern, &report).await, taken(ReportKind::Complaint, false));
    assert_eq!(bans(&lantern).await, [["complained"], ["complained"], ["refused"]]);
}

async fn a_forged_report_changes_nothing(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let genuine = token(&lantern, "ann@reader.example", digest).await;
    let (ann, keyring) = (lantern.who("ann@reader.example").await, &lantern.publication.keyring);
    let other = keyring.bounce_token(ann, None);
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut forged: Vec<String> = vec![
        String::new(),
        "nobody".into(),
        genuine[1..].to_owned(),
        // The end of one token on the beginning of another.
        format!("{}{}", &other[..32], &genuine[32..]),
        format!("{}{}", &genuine[..31], &other[31..]),
        tidings::domain::link::Keyring::new(&[[7; 32]]).unwrap().bounce_token(ann, Some(digest)),
    ];
    // Every bit: five to a character, and of the last one the one bit that it holds (the others are never accepted).
    for at in 0..genuine.len() {
        for bit in 0..5 {
            let mut bytes = genuine.clone().into_bytes();
            let value = alphabet.iter().position(|known| *known == bytes[at]).unwrap() ^ (1 << bit);
            bytes[at] = alphabet[value];
            forged.push(String::from_utf8(bytes).unwrap());
        }
    }
    for token in &forged {
        assert_eq!(brought(&lantern, &bounce(token, "r", "5.1.1")).await, Reported::Unclaimed, "{token}");
    }
    // The addresses of a report are never believed, and someone who was never here is nobody.
    let stranger = keyring.bounce_token(SubscriberId::new(lantern.now()), Some(digest));
    assert_eq!(brought(&lantern, &bounce(&stranger, "r", "5.1.1")).await, Reported::Unclaimed);
    assert!(bans(&lantern).await.is_empty());
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reports").await, 0);
    assert_eq!(counts(&lantern, digest).await, ReportCounts::default());
    let unclaimed = lantern.publication.store.unclaimed_reports().await.unwrap();
    assert_eq!(unclaimed, i64::try_from(forged.len()).unwrap() + 1);
    // The genuine one beside forged ones acts.
    let mixed = bounce(&genuine, "r", "5.1.1");
    let recipient = format!("bounces+{}@bounces.lantern.example", forged[6]);
    let reported = take(&lantern.publication, &mixed, Some(&recipient)).await.unwrap();
    assert_eq!(reported, taken(ReportKind::HardBounce, true));
}

async fn soft_bounces_ban_an_address_after_enough_of_them_over_enough_time(url: String) {
    let lantern = lantern(&url, vec![]).await;
    // Three days with two reports each: three events over two days.
    for day in 0..3 {
        let digest = send(&lantern, &format!("day{day}")).await;
        let token = token(&lantern, "ann@reader.example", digest).await;
        for report in ["a", "b"] {
            assert_eq!(brought(&lantern, &bounce(&token, report, "5.2.2")).await, taken(ReportKind::SoftBounce, false));
        }
        assert_eq!(counts(&lantern, digest).await, ReportCounts { bounced_soft: 1, ..ReportCounts::default() });
        lantern.pass(TimeDelta::days(1));
    }
    // The fourth comes on the fourth day: enough, but not for long enough.
    let digest = send(&lantern, "day3").await;
    let fourth = token(&lantern, "ann@reader.example", digest).await;
    assert_eq!(brought(&lantern, &bounce(&fourth, "a", "5.2.2")).await, taken(ReportKind::SoftBounce, false));
    lantern.pass(TimeDelta::days(4));
    let digest = send(&lantern, "day7").await;
    let fifth = token(&lantern, "ann@reader.example", digest).await;
    assert_eq!(brought(&lantern, &bounce(&fifth, "a", "5.2.2")).await, taken(ReportKind::SoftBounce, true));
    assert_eq!(bans(&lantern).await, [["bounced"]]);
}

async fn a_success_in_between_makes_soft_bounces_begin_anew(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let mut last = Reported::Unclaimed;
    for week in 0..12 {
        let digest = send(&lantern, &format!("week{week}")).await;
        // The fourth week's digest is not heard of again: it arrived.
        if week != 3 {
            let token = token(&lantern, "ann@reader.example", digest).await;
            last = brought(&lantern, &bounce(&token, "a", "4.2.2")).await;
            // Three before it do not count with those after it; the fourth after it is too much.
            let expected = week == 7;
            assert_eq!(last, taken(ReportKind::SoftBounce, expected), "{week}");
            if expected {
                break;
            }
        }
        lantern.pass(TimeDelta::days(8));
    }
    assert_eq!(last, taken(ReportKind::SoftBounce, true));
}

async fn a_mailbox_refused_during_smtp_counts_like_a_soft_bounce(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let ann = lantern.who("ann@reader.example").await;
    let address = EmailAddress::parse("ann@reader.example").unwrap();
    let refused = |code, enhanced| Outcome::Refused { stage: Stage::Rcpt, code, enhanced, text: "full".into() };
    for (day, expected) in [(0, false), (3, false), (3, false), (3, true)] {
        lantern.pass(TimeDelta::days(day));
        let digest = DigestId::new(lantern.now());
        let full = refused(552, Some((5, 2, 2)));
        // Whatever else an outcome says is somebody else's to judge.
        for other in
            [refused(550, Some((5, 1, 1))), refused(550, Some((5, 7, 1))), Outcome::Accepted { reply: String::new() }]
        {
            assert!(!mailbox_refused(&lantern.publication, digest, ann, &address, &other).await.unwrap());
        }
        let banned = mailbox_refused(&lantern.publication, digest, ann, &address, &full).await.unwrap();
        assert_eq!(banned, expected);
        assert!(!mailbox_refused(&lantern.publication, digest, ann, &address, &full).await.unwrap(), "once");
    }
    assert_eq!(bans(&lantern).await, [["bounced"]]);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reports").await, 4);
}

async fn what_is_our_own_fault_bans_nobody_and_is_counted(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    for (number, address) in ["ann@reader.example", "ben@reader.example"].into_iter().enumerate() {
        let token = token(&lantern, address, digest).await;
        for (code, kind) in [("5.7.1", ReportKind::SenderBounce), ("5.6.0", ReportKind::ContentBounce)] {
            let id = format!("{number}{code}");
            assert_eq!(brought(&lantern, &bounce(&token, &id, code)).await, taken(kind, false));
        }
        let delayed = made(&token, "d").status(&SHAPES[0], &recipient("delayed", "4.4.1", ""));
        assert_eq!(brought(&lantern, &delayed).await, Reported::Nothing(Finding::Delayed));
        let away = made(&token, "o").letter("ann@reader.example", "Out of office", "", "5.1.1 I am away");
        assert_eq!(brought(&lantern, &away).await, Reported::Nothing(Finding::AutoReply));
    }
    assert!(bans(&lantern).await.is_empty());
    let expected = ReportCounts { refused_content: 2, refused_sender: 2, ..ReportCounts::default() };
    assert_eq!(counts(&lantern, digest).await, expected);
}

async fn whoever_writes_to_leave_leaves_the_newsletter(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    let letter = made(&token, "l").letter("Ann <ann@reader.example>", "Unsubscribe", "", "Please.");
    assert_eq!(brought(&lantern, &letter).await, taken(ReportKind::Leave, false));
    let ann = lantern.who("ann@reader.example").await;
    let subscriptions = lantern.publication.store.subscriptions_of(ann).await.unwrap();
    assert_eq!(subscriptions[0].state, SubscriptionState::Ended);
    assert!(bans(&lantern).await.is_empty());
    assert_eq!(counts(&lantern, digest).await.left, 1);
}

async fn what_a_report_says_of_someone_goes_with_them(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    let report =
        made(&token, "r").status(&SHAPES[0], &recipient("failed", "5.1.1", "smtp; 550 5.1.1 no ann@reader.example"));
    brought(&lantern, &report).await;
    let ann = lantern.who("ann@reader.example").await;
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reports WHERE text LIKE '%ann@%'").await, 1);
    lantern.publication.store.remove_subscriber(ann).await.unwrap();
    assert_eq!(
        lantern.count("SELECT COUNT(*) FROM reports WHERE text LIKE '%ann@%' OR subscriber IS NOT NULL").await,
        0
    );
    assert_eq!(counts(&lantern, digest).await.bounced_hard, 1, "the digest's figures stay");
    assert_eq!(brought(&lantern, &bounce(&token, "r2", "5.1.1")).await, Reported::Unclaimed);
    assert_eq!(bans(&lantern).await, [["bounced"]]);
}

async fn a_maildir_is_read_and_what_was_read_is_seen(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    let maildir = lantern.folder.path().join("bounces");
    assert!(take_maildir(&lantern.publication, &maildir).await.is_err(), "there is none");
    for folder in ["new", "cur", "tmp", "new/folder"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(maildir.join(name), bytes).unwrap();
    write("new/1.a.example", &bounce(&token, "r1", "5.1.1"));
    write("new/2.a.example", &bounce(&token, "r1", "5.1.1"));
    write("new/3.a.example", &bounce("nobody", "r3", "5.1.1"));
    write("new/4.a.example", b"");
    write("new/.hidden", &bounce(&token, "r4", "5.1.1"));
    write("tmp/5.a.example", &bounce(&token, "r5", "5.1.1"));
    write("cur/6.a.example:2,", &bounce(&token, "r6", "5.1.1"));
    let tally = take_maildir(&lantern.publication, &maildir).await.unwrap();
    assert_eq!((tally.hard_bounces, tally.suppressed, tally.known, tally.unclaimed, tally.nothing), (1, 1, 1, 1, 1));
    let mut seen: Vec<_> = std::fs::read_dir(maildir.join("cur"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    seen.sort();
    assert_eq!(seen, ["1.a.example:2,S", "2.a.example:2,S", "3.a.example:2,S", "4.a.example:2,S", "6.a.example:2,"]);
    assert_eq!(take_maildir(&lantern.publication, &maildir).await.unwrap().total(), 0);
}

async fn who_sends_also_looks_for_reports_until_the_word_to_stop(url: String) {
    let config = "[mail]\nbounces = \"*@bounces.lantern.example\"\n[reports]\nmaildir = \"bounces\"\n";
    let lantern = Lantern::open(&url, Setup { more: config, ..Setup::default() }).await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    let maildir = lantern.folder.path().join("bounces");
    for folder in ["new", "cur"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    std::fs::write(maildir.join("new/1"), bounce(&token, "r1", "5.1.1")).unwrap();
    let (word, stop) = Stop::new();
    let (poke, changes) = (Notify::new(), Changes::default());
    let told = |event: Event| match event {
        Event::Reported(tally) => {
            assert_eq!((tally.hard_bounces, tally.total()), (1, 1));
            word.send(true).unwrap();
        }
        Event::Failed(error) => panic!("{error}"),
        _ => {}
    };
    Box::pin(keep_sending(&lantern.publication, &poke, &changes, stop, &told)).await;
    assert_eq!(bans(&lantern).await, [["bounced"]]);
}

async fn a_report_brought_by_two_at_once_counts_once(url: String) {
    let lantern = lantern(&url, vec![]).await;
    let digest = send(&lantern, "lamp").await;
    let token = token(&lantern, "ann@reader.example", digest).await;
    let bytes = bounce(&token, "r1", "5.2.2");
    let mut bringing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (publication, bytes) = (lantern.publication.clone(), bytes.clone());
        bringing.spawn(async move { take(&publication, &bytes, None).await.unwrap() });
    }
    let brought = bringing.join_all().await;
    assert_eq!(brought.iter().filter(|reported| **reported == Reported::Known).count(), 7);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reports").await, 1);
}

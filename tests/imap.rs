//! Reports from a mailbox, over IMAP, from a small server in this process.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::{Arc, Mutex};

use support::place::{CONFIG, Place, clock_at};
use support::reports::{Coded, Made, Place as Where, SHAPES, recipient};
use tidings::domain::subscription::SubscriberId;
use tidings::task::TaskError;
use tidings::task::report::take_mailbox;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// One mailbox.
#[derive(Debug, Default)]
struct Inbox {
    messages: Vec<(u32, Vec<u8>, bool)>,
    /// What was asked, passwords and all.
    asked: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secured {
    Not,
    Implicit,
    StartTls,
}

struct Server {
    port: u16,
    mailbox: Arc<Mutex<Inbox>>,
    authority: String,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Server {
    async fn start(secured: Secured, messages: Vec<Vec<u8>>) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = messages.into_iter().zip(10..).map(|(bytes, uid)| (uid, bytes, false)).collect();
        let mailbox = Arc::new(Mutex::new(Inbox { messages, asked: vec![] }));
        let served = Arc::clone(&mailbox);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, mailbox) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move { converse(Box::new(stream), secured, &acceptor, &mailbox).await });
            }
        });
        Self { port, mailbox, authority: certificate.pem() }
    }

    fn unseen(&self) -> usize {
        self.mailbox.lock().unwrap().messages.iter().filter(|(.., seen)| !seen).count()
    }

    fn asked(&self) -> Vec<String> {
        self.mailbox.lock().unwrap().asked.clone()
    }
}

async fn converse(
    mut stream: Box<dyn Wire>,
    secured: Secured,
    acceptor: &TlsAcceptor,
    mailbox: &Mutex<Inbox>,
) -> Option<()> {
    if secured == Secured::Implicit {
        stream = Box::new(acceptor.accept(stream).await.ok()?);
    }
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* OK ready\r\n").await.ok()?;
    let mut is_clear = secured == Secured::StartTls;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let (tag, command) = line.trim_end().split_once(' ')?;
        mailbox.lock().unwrap().asked.push(command.to_owned());
        let words: Vec<&str> = command.split(' ').collect();
        let mut said = vec![];
        let verdict = match words[0].to_uppercase().as_str() {
            "STARTTLS" => {
                stream.write_all(format!("{tag} OK go on\r\n").as_bytes()).await.ok()?;
                stream = BufReader::new(Box::new(acceptor.accept(stream.into_inner()).await.ok()?));
                is_clear = false;
                continue;
            }
            _ if is_clear => "NO not in clear",
            "LOGIN" if command.contains("\"pass\\\"word\"") => "OK welcome",
            "LOGIN" => "NO who are you?",
            "SELECT" => {
                said.extend_from_slice(b"* 3 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 1] x\r\n");
                "OK [READ-WRITE] open"
            }
            "UID" => uid(&words[1..], &mut mailbox.lock().unwrap(), &mut said),
            "LOGOUT" => {
                stream.write_all(format!("* BYE\r\n{tag} OK bye\r\n").as_bytes()).await.ok()?;
                return Some(());
            }
            _ => "BAD what?",
        };
        said.extend_from_slice(format!("{tag} {verdict}\r\n").as_bytes());
        stream.write_all(&said).await.ok()?;
        stream.flush().await.ok()?;
    }
}

fn uid(words: &[&str], mailbox: &mut Inbox, said: &mut Vec<u8>) -> &'static str {
    match words {
        ["SEARCH", "UNSEEN"] => {
            // In an order of its own.
            let mut found: Vec<String> =
                mailbox.messages.iter().filter(|(.., seen)| !seen).map(|(uid, ..)| uid.to_string()).collect();
            found.reverse();
            said.extend_from_slice(format!("* SEARCH {}\r\n", found.join(" ")).as_bytes());
        }
        ["FETCH", wanted, "(UID", "BODY.PEEK[]<0.1048576>)"] => {
            for (number, (uid, bytes, _)) in (1..).zip(&mailbox.messages) {
                if uid.to_string() == *wanted {
                    let bytes = &bytes[..bytes.len().min(1_048_576)];
                    let start = format!("* {number} FETCH (UID {uid} BODY[]<0> {{{}}}\r\n", bytes.len());
                    said.extend_from_slice(start.as_bytes());
                    said.extend_from_slice(bytes);
                    said.extend_from_slice(b")\r\n");
                }
            }
        }
        ["STORE", wanted, "+FLAGS", "(\\Seen)"] => {
            for (number, (uid, _, seen)) in (1..).zip(&mut mailbox.messages) {
                if uid.to_string() == *wanted {
                    *seen = true;
                    said.extend_from_slice(format!("* {number} FETCH (UID {uid} FLAGS (\\Seen))\r\n").as_bytes());
                }
            }
        }
        _ => return "BAD what?",
    }
    "OK done"
}

fn config(server: &Server, tls: &str, password: &str) -> String {
    format!(
        "{CONFIG}[reports.imap]\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nuser = \"bounces\"\n\
         password = '{password}'\nfolder = \"Bounces\"\nauthority_file = \"ca.pem\"\n",
        server.port
    )
}

async fn place() -> (Place, SubscriberId, String) {
    let place = Place::new();
    place.run(&["subscribers", "add", "ann@reader.example", "--feed", "news"]).ended(0);
    let publication = place.open(clock_at("2026-11-24T12:00:00Z")).await;
    let ann = publication.store.subscriber_by_address("ann@reader.example").await.unwrap().unwrap().id;
    let token = publication.keyring.bounce_token(ann, None);
    publication.store.close().await;
    (place, ann, token)
}

fn bounce(token: &str, id: &str) -> Vec<u8> {
    let made = Made { token, place: Where::To, coded: Coded::Plain, id };
    made.status(&SHAPES[0], &recipient("failed", "5.1.1", ""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unseen_is_taken_and_marked_and_nothing_else_happens() {
    for (secured, tls) in [(Secured::Not, "none"), (Secured::Implicit, "implicit"), (Secured::StartTls, "required")] {
        let (place, _, token) = place().await;
        let mut huge = bounce("nobody", "r3");
        huge.resize(3 << 20, b'x');
        let messages =
            vec![bounce(&token, "r1"), bounce(&token, "r1"), huge, b"Subject: hello\r\n\r\nhello\r\n".to_vec()];
        let server = Server::start(secured, messages).await;
        place.write("ca.pem", &server.authority);
        place.write("config.toml", config(&server, tls, "pass\"word"));
        let publication = place.open(clock_at("2026-11-24T12:00:00Z")).await;
        let imap = publication.config.reports.imap.clone().unwrap();
        let tally = take_mailbox(&publication, &imap).await.unwrap();
        assert_eq!((tally.hard_bounces, tally.known, tally.unclaimed, tally.nothing), (1, 1, 1, 1), "{tls}");
        assert_eq!(server.unseen(), 0);
        assert_eq!(take_mailbox(&publication, &imap).await.unwrap().total(), 0);
        let asked = server.asked();
        assert!(asked.iter().any(|line| line == "SELECT \"Bounces\""), "{asked:?}");
        assert!(!asked.iter().any(|line| line.contains("EXPUNGE") || line.contains("Deleted")), "{asked:?}");
        assert_eq!(place.run(&["report", "--imap"]).ended(0).out, "no reports\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_the_one_meant_gets_no_password() {
    let (place, ..) = place().await;
    let server = Server::start(Secured::StartTls, vec![bounce("nobody", "r")]).await;
    place.write("config.toml", config(&server, "required", "pass\"word").replace("authority_file = \"ca.pem\"\n", ""));
    let publication = place.open(clock_at("2026-11-24T12:00:00Z")).await;
    let imap = publication.config.reports.imap.clone().unwrap();
    assert!(matches!(take_mailbox(&publication, &imap).await, Err(TaskError::Mailbox(_))));
    assert!(!server.asked().iter().any(|line| line.contains("LOGIN")), "{:?}", server.asked());
    assert_eq!(server.unseen(), 1);
    assert_eq!(place.run(&["report", "--imap"]).code, 75);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_cannot_be_opened_is_said_and_left_as_it_is() {
    let (place, ..) = place().await;
    let server = Server::start(Secured::Not, vec![bounce("nobody", "r")]).await;
    place.write("ca.pem", &server.authority);
    place.write("config.toml", config(&server, "none", "wrong"));
    let ran = place.run(&["report", "--imap"]);
    assert_eq!(ran.code, 75);
    assert!(ran.err.contains("who are you") && !ran.err.contains("wrong"), "{ran:?}");
    assert_eq!(server.unseen(), 1);
    place.write("config.toml", CONFIG);
    place.run(&["report", "--imap"]).ended(2);
}

//! A small real SMTP server on 127.0.0.1 that keeps account of what it is sent and misbehaves on request.
//!
//! It is strict: what a client must not do (speak out of turn, use what was not offered, send bare line ends or
//! over-long lines) is noted under [`Sink::violations`]. It stops when it is dropped and never sleeps.

#![allow(dead_code, reason = "each test file uses its own part of it; `expect` would fail in the others")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Where a dialogue stands when the script is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Greeting,
    Hello,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// 354 was said, nothing of the message read yet.
    Content,
    /// The final dot was read.
    Dot,
    Reset,
    Quit,
}

/// What the script is asked about.
#[derive(Debug)]
pub struct Moment<'a> {
    pub step: Step,
    /// From 1, in the order of arrival.
    pub connection: usize,
    /// MAIL commands on this connection so far, this one included.
    pub transaction: usize,
    /// The client's line, without its end.
    pub line: &'a str,
}

/// What the sink does.
#[derive(Debug, Clone)]
pub enum Answer {
    /// What a good server says.
    Usual,
    /// This reply instead, one or more lines.
    Say(String),
    /// This reply, then the connection is closed.
    SayAndDrop(String),
    /// This reply instead, with a code and whatever bytes.
    SayBytes(Vec<u8>),
    /// These bytes and nothing else.
    Raw(Vec<u8>),
    /// The connection is closed without a word.
    Drop,
    /// At the dot: the message is taken, and the connection closed without a word.
    TakeAndDrop,
    /// Nothing more is said or read; the connection stays open.
    Silence,
}

/// A reply as an answer.
pub fn say(reply: &str) -> Answer {
    Answer::Say(reply.to_owned())
}

/// The certificate that the sink shows; it signed itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// For `localhost`.
    Good,
    /// For `localhost`, until the end of 2020.
    Expired,
    /// For `localhost`, from 2090 on.
    Future,
    /// For `mail.example.net` and `smtp.example.net`.
    OtherHost,
    /// An authority's, for `localhost`.
    Authority,
}

type Script = dyn Fn(&Moment<'_>) -> Answer + Send + Sync;

/// What the sink offers and how it behaves.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is one thing a server may or may not offer")]
pub struct Options {
    pub ehlo: bool,
    pub pipelining: bool,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub size: Option<u64>,
    pub chunking: bool,
    /// Offered mechanisms, such as "PLAIN LOGIN", with user and password.
    pub auth: Option<(&'static str, &'static str, &'static str)>,
    pub starttls: bool,
    pub implicit_tls: bool,
    pub certificate: Certificate,
    pub script: Arc<Script>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ehlo: true,
            pipelining: true,
            eight_bit: true,
            smtputf8: true,
            size: Some(32 * 1024 * 1024),
            chunking: false,
            auth: None,
            starttls: false,
            implicit_tls: false,
            certificate: Certificate::Good,
            script: Arc::new(|_| Answer::Usual),
        }
    }
}

impl Options {
    /// The usual options with a script.
    pub fn script(script: impl Fn(&Moment<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), ..Self::default() }
    }

    /// The usual options with one answer at one step.
    pub fn at(step: Step, answer: Answer) -> Self {
        Self::script(move |moment| if moment.step == step { answer.clone() } else { Answer::Usual })
    }
}

/// A message that the sink has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub connection: usize,
    /// Envelope sender, without brackets.
    pub from: String,
    /// Parameters of MAIL.
    pub parameters: Vec<String>,
    /// Envelope recipients, without brackets.
    pub to: Vec<String>,
    /// The message, dots un-stuffed.
    pub bytes: Vec<u8>,
    pub secured: bool,
    pub user: Option<String>,
}

impl Received {
    /// The message as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[derive(Default)]
struct Account {
    messages: Vec<Received>,
    lines: Vec<(usize, String)>,
    violations: Vec<String>,
    connections: usize,
    rides: usize,
}

struct Shared {
    options: Options,
    port: u16,
    acceptor: Option<TlsAcceptor>,
    account: Mutex<Account>,
    changed: Notify,
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The running server.
pub struct Sink {
    address: SocketAddr,
    certificate: Option<tempfile::NamedTempFile>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        // The connections belong to the task and end with it.
        self.task.abort();
    }
}

impl Sink {
    /// Starts on a free port.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (acceptor, certificate) = if options.starttls || options.implicit_tls {
            let (acceptor, file) = self_made_certificate(options.certificate);
            (Some(acceptor), Some(file))
        } else {
            (None, None)
        };
        let shared = Arc::new(Shared {
            options,
            port: address.port(),
            acceptor,
            account: Mutex::default(),
            changed: Notify::new(),
        });
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let number = {
                    let mut account = for_task.account();
                    account.connections += 1;
                    account.connections
                };
                for_task.changed.notify_waiters();
                let shared = Arc::clone(&for_task);
                connections.spawn(async move {
                    // Nagle would hold back the second of two small replies.
                    let _ = stream.set_nodelay(true);
                    // A client that breaks off is nothing to report.
                    let _ = Session::new(shared, number, Box::new(stream)).run().await;
                });
            }
        });
        Self { address, certificate, shared, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The PEM file with the certificate that the sink shows.
    pub fn certificate(&self) -> &Path {
        self.certificate.as_ref().expect("a sink with TLS").path()
    }

    /// All messages taken so far.
    pub fn messages(&self) -> Vec<Received> {
        self.shared.account().messages.clone()
    }

    /// Messages taken so far.
    pub fn count(&self) -> usize {
        self.shared.account().messages.len()
    }

    /// Waits until at least `count` messages were taken.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let messages = self.messages();
            if messages.len() >= count {
                return messages;
            }
            changed.await;
        }
    }

    /// Messages so far whose dot came together with what follows.
    pub fn rides(&self) -> usize {
        self.shared.account().rides
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.account().connections
    }

    /// All commands so far, with the number of their connection.
    pub fn lines(&self) -> Vec<(usize, String)> {
        self.shared.account().lines.clone()
    }

    /// What clients did that they must not.
    pub fn violations(&self) -> Vec<String> {
        self.shared.account().violations.clone()
    }
}

/// A certificate, and the file that a client can trust it by.
pub fn self_made_certificate(kind: Certificate) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let names: &[&str] =
        if kind == Certificate::OtherHost { &["mail.example.net", "smtp.example.net"] } else { &["localhost"] };
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).expect("names");
    match kind {
        Certificate::Good | Certificate::OtherHost => {}
        Certificate::Expired => parameters.not_after = rcgen::date_time_ymd(2020, 12, 31),
        Certificate::Future => parameters.not_before = rcgen::date_time_ymd(2090, 1, 1),
        Certificate::Authority => parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = parameters.self_signed(&key).expect("a certificate");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), made.pem()).expect("a written certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], private)
        .expect("a usable certificate");
    (TlsAcceptor::from(Arc::new(config)), file)
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why a session ends.
type End = io::Error;

fn end() -> End {
    io::ErrorKind::ConnectionAborted.into()
}

struct Session {
    shared: Arc<Shared>,
    connection: usize,
    stream: BufReader<Box<dyn Io>>,
    secured: bool,
    user: Option<String>,
    transaction: usize,
    envelope: Option<Received>,
    /// What came in chunks.
    chunks: Vec<u8>,
}

impl Session {
    fn new(shared: Arc<Shared>, connection: usize, stream: Box<dyn Io>) -> Self {
        let stream = BufReader::new(stream);
        Self { shared, connection, stream, secured: false, user: None, transaction: 0, envelope: None, chunks: vec![] }
    }

    async fn run(mut self) -> Result<(), End> {
        if self.shared.options.implicit_tls {
            self = self.secure().await?;
        }
        self.answer(Step::Greeting, "", "220 sink.example ESMTP").await?;
        loop {
            let line = self.line().await?;
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match word.as_str() {
                "EHLO" if self.shared.options.ehlo => {
                    let offers = self.offers();
                    self.answer(Step::Hello, &line, &offers).await?;
                }
                "EHLO" => drop(self.answer(Step::Hello, &line, "502 5.5.1 unknown").await?),
                "HELO" => drop(self.answer(Step::Hello, &line, "250 sink.example").await?),
                "STARTTLS" => {
                    if self.answer(Step::StartTls, &line, "220 2.0.0 go ahead").await? == Some(220) {
                        self = self.secure().await?;
                    }
                }
                "AUTH" => self.auth(&line).await?,
                "MAIL" => self.mail(&line).await?,
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data(&line).await?,
                "BDAT" => self.chunk(&line).await?,
                "RSET" => {
                    self.envelope = None;
                    self.chunks.clear();
                    self.answer(Step::Reset, &line, "250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.write(b"250 2.0.0 ok\r\n").await?,
                "QUIT" => {
                    self.answer(Step::Quit, &line, "221 2.0.0 bye").await?;
                    return self.close().await;
                }
                _ => {
                    self.violation(format!("unknown command {line:?}"));
                    self.write(b"500 5.5.2 unknown\r\n").await?;
                }
            }
        }
    }

    fn offers(&self) -> String {
        let options = &self.shared.options;
        let mut lines = vec!["sink.example".to_owned(), "ENHANCEDSTATUSCODES".to_owned()];
        let mut offer = |offered: bool, word: &str| {
            if offered {
                lines.push(word.to_owned());
            }
        };
        offer(options.pipelining, "PIPELINING");
        offer(options.eight_bit, "8BITMIME");
        offer(options.smtputf8, "SMTPUTF8");
        offer(options.chunking, "CHUNKING");
        offer(options.starttls && !self.secured, "STARTTLS");
        if let Some(size) = options.size {
            offer(true, &format!("SIZE {size}"));
        }
        if let Some((mechanisms, _, _)) = options.auth {
            offer(true, &format!("AUTH {mechanisms}"));
        }
        let last = lines.len() - 1;
        let lines: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }))
            .collect();
        lines.join("\r\n")
    }

    async fn secure(mut self) -> Result<Self, End> {
        if !self.stream.buffer().is_empty() {
            self.violation("spoke before TLS was on".to_owned());
        }
        let acceptor = self.shared.acceptor.clone().ok_or_else(end)?;
        let stream = acceptor.accept(self.stream.into_inner()).await?;
        self.stream = BufReader::new(Box::new(stream));
        self.secured = true;
        Ok(self)
    }

    async fn auth(&mut self, line: &str) -> Result<(), End> {
        let Some((_, user, password)) = self.shared.options.auth else {
            return self.write(b"502 5.5.1 not offered\r\n").await;
        };
        if !self.secured {
            self.violation("credentials in clear".to_owned());
        }
        let decode = |text: &str| String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned();
        let given = match line.split(' ').collect::<Vec<_>>()[..] {
            [_, "PLAIN", token] => decode(token),
            [_, mechanism @ ("XOAUTH2" | "OAUTHBEARER"), token] => {
                let (begin, end) = match mechanism {
                    "XOAUTH2" => (format!("user={user}\x01auth="), ""),
                    _ => (format!("n,a={user},\x01host=localhost\x01port={}\x01auth=", self.shared.port), "AQ=="),
                };
                if decode(token) != format!("{begin}Bearer {password}\x01\x01") {
                    // Why not, in JSON; then the client has its word, then it is refused.
                    let why = r#"{"status":"401","schemes":"bearer","scope":"https://mail.example/"}"#;
                    self.write(format!("334 {}\r\n", STANDARD.encode(why)).as_bytes()).await?;
                    let answer = self.line().await?;
                    if answer != end {
                        self.violation(format!("answered {answer:?} to the challenge of {mechanism}"));
                    }
                }
                decode(token).replacen(&begin, "", 1).replace("Bearer ", &format!("\0{user}\0")).replace('\x01', "")
            }
            [_, "LOGIN"] => {
                self.write(b"334 VXNlcm5hbWU6\r\n").await?;
                let user = decode(&self.line().await?);
                self.write(b"334 UGFzc3dvcmQ6\r\n").await?;
                format!("\0{user}\0{}", decode(&self.line().await?))
            }
            _ => return self.write(b"504 5.5.4 unknown mechanism\r\n").await,
        };
        let good = given == format!("\0{user}\0{password}");
        let usual = if good { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user or password" };
        if self.answer(Step::Auth, line, usual).await? == Some(235) {
            self.user = Some(user.to_owned());
        }
        Ok(())
    }

    async fn mail(&mut self, line: &str) -> Result<(), End> {
        self.transaction += 1;
        if self.envelope.is_some() {
            return self.write(b"503 5.5.1 one at a time\r\n").await;
        }
        let (from, parameters) = path(line);
        let options = &self.shared.options;
        let known = |parameter: &String| match parameter.split('=').next() {
            Some("SIZE") => options.size.is_some(),
            Some("BODY") => options.eight_bit,
            Some("SMTPUTF8") => options.smtputf8,
            _ => false,
        };
        let unknown: Vec<_> = parameters.iter().filter(|parameter| !known(parameter)).cloned().collect();
        for parameter in unknown {
            self.violation(format!("parameter {parameter} was not offered"));
        }
        if self.taken(Step::Mail, line, "250 2.1.0 ok").await? {
            self.envelope = Some(Received {
                connection: self.connection,
                from,
                parameters,
                to: Vec::new(),
                bytes: Vec::new(),
                secured: self.secured,
                user: self.user.clone(),
            });
        }
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> Result<(), End> {
        if self.envelope.is_none() {
            return self.write(b"503 5.5.1 MAIL first\r\n").await;
        }
        if self.taken(Step::Rcpt, line, "250 2.1.5 ok").await?
            && let Some(envelope) = &mut self.envelope
        {
            envelope.to.push(path(line).0);
        }
        Ok(())
    }

    async fn data(&mut self, line: &str) -> Result<(), End> {
        let ready = self.envelope.as_ref().is_some_and(|envelope| !envelope.to.is_empty());
        let usual = if ready { "354 go ahead" } else { "554 5.5.1 no valid recipients" };
        if self.answer(Step::Data, line, usual).await? != Some(354) {
            return Ok(());
        }
        let no_message = self.ask(Step::Content, line);
        self.perform(no_message, "").await?;
        let bytes = self.content().await?;
        if !self.stream.buffer().is_empty() {
            self.shared.account().rides += 1;
        }
        self.verdict(line, bytes, ready).await
    }

    /// A chunk (RFC 3030 §2): the script is asked before it is read, and at the last one as at a final dot.
    async fn chunk(&mut self, line: &str) -> Result<(), End> {
        if !self.shared.options.chunking {
            self.violation("BDAT was not offered".to_owned());
        }
        let ready = self.envelope.as_ref().is_some_and(|envelope| !envelope.to.is_empty());
        let mut words = line.split(' ').skip(1);
        let size: usize = words.next().and_then(|size| size.parse().ok()).ok_or_else(end)?;
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let no_message = self.ask(Step::Content, line);
        self.perform(no_message, "").await?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).await?;
        self.chunks.append(&mut chunk);
        if is_last {
            let bytes = std::mem::take(&mut self.chunks);
            return self.verdict(line, bytes, ready).await;
        }
        let usual = if ready { "250 2.0.0 go on" } else { "554 5.5.1 no valid recipients" };
        self.answer(Step::Data, line, usual).await.map(drop)
    }

    /// The whole message is here.
    async fn verdict(&mut self, line: &str, bytes: Vec<u8>, ready: bool) -> Result<(), End> {
        let envelope = self.envelope.take();
        let answer = self.ask(Step::Dot, line);
        let take = matches!(answer, Answer::TakeAndDrop);
        let usual = if ready { "250 2.0.0 taken" } else { "554 5.5.1 no valid recipients" };
        // The account is kept before the answer goes out: whoever has the answer finds the message.
        let says_yes = match &answer {
            Answer::Usual => ready,
            Answer::Say(reply) | Answer::SayAndDrop(reply) => {
                reply.lines().next_back().is_some_and(|last| last.starts_with('2'))
            }
            Answer::SayBytes(reply) => reply.starts_with(b"2"),
            _ => take,
        };
        if says_yes && let Some(mut envelope) = envelope {
            envelope.bytes = bytes;
            self.check(&envelope);
            self.shared.account().messages.push(envelope);
            self.shared.changed.notify_waiters();
        }
        self.perform(answer, usual).await.map(drop)
    }

    /// Reads a message up to its final dot, dots un-stuffed.
    async fn content(&mut self) -> Result<Vec<u8>, End> {
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            if self.stream.read_until(b'\n', &mut bytes).await? == 0 {
                return Err(end());
            }
            if bytes[start..] == *b".\r\n" {
                bytes.truncate(start);
                return Ok(bytes);
            }
            if bytes[start] == b'.' {
                bytes.remove(start);
            }
        }
    }

    /// RFC 5321 §2.3.8 and §4.5.3.1.6: line ends and lengths; RFC 6152: eight bits only when declared.
    fn check(&self, message: &Received) {
        let mut rest = &message.bytes[..];
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            let line = &rest[..at];
            if line.last() != Some(&b'\r') || line[..at - 1].contains(&b'\r') {
                self.violation(format!("bare line end in {:?}", String::from_utf8_lossy(line)));
            }
            if at > 999 {
                self.violation(format!("a line of {} bytes", at - 1));
            }
            rest = &rest[at + 1..];
        }
        let declared = message.parameters.iter().any(|parameter| parameter == "BODY=8BITMIME");
        if !declared && !message.bytes.is_ascii() {
            self.violation("eight bits without BODY=8BITMIME".to_owned());
        }
    }

    async fn line(&mut self) -> Result<String, End> {
        let mut bytes = Vec::new();
        if self.stream.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(end());
        }
        if !bytes.ends_with(b"\r\n") {
            self.violation("a command without CRLF".to_owned());
        }
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let is_last = self.stream.buffer().is_empty();
        if !self.shared.options.pipelining && !is_last {
            self.violation(format!("spoke on after {line:?} without PIPELINING"));
        }
        self.shared.account().lines.push((self.connection, line.clone()));
        Ok(line)
    }

    fn ask(&self, step: Step, line: &str) -> Answer {
        let moment = Moment { step, connection: self.connection, transaction: self.transaction, line };
        (self.shared.options.script)(&moment)
    }

    /// Asks the script and does as it says; the code that was said, if any.
    async fn answer(&mut self, step: Step, line: &str, usual: &str) -> Result<Option<u16>, End> {
        let answer = self.ask(step, line);
        self.perform(answer, usual).await
    }

    async fn taken(&mut self, step: Step, line: &str, usual: &str) -> Result<bool, End> {
        Ok(self.answer(step, line, usual).await?.is_some_and(|code| code / 100 == 2))
    }

    async fn perform(&mut self, answer: Answer, usual: &str) -> Result<Option<u16>, End> {
        let code = |reply: &str| reply.get(..3).and_then(|code| code.parse().ok());
        match answer {
            Answer::Usual if usual.is_empty() => Ok(None),
            Answer::Usual => {
                self.write(format!("{usual}\r\n").as_bytes()).await?;
                Ok(code(usual))
            }
            Answer::Say(reply) => {
                self.write(format!("{}\r\n", reply.trim_end()).as_bytes()).await?;
                Ok(code(reply.lines().next_back().unwrap_or_default()))
            }
            Answer::SayAndDrop(reply) => {
                self.write(format!("{}\r\n", reply.trim_end()).as_bytes()).await?;
                self.close().await?;
                Err(end())
            }
            Answer::SayBytes(bytes) => {
                self.write(&[&bytes[..], b"\r\n"].concat()).await?;
                Ok(code(&String::from_utf8_lossy(&bytes)))
            }
            Answer::Raw(bytes) => {
                self.write(&bytes).await?;
                Ok(None)
            }
            Answer::Drop | Answer::TakeAndDrop => Err(end()),
            Answer::Silence => std::future::pending().await,
        }
    }

    /// Closes so that the client still reads what was said: no reset while it is speaking.
    async fn close(&mut self) -> Result<(), End> {
        self.stream.shutdown().await?;
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    fn violation(&self, what: String) {
        self.shared.account().violations.push(what);
    }
}

/// The address in `<…>` and the parameters after it.
fn path(line: &str) -> (String, Vec<String>) {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    let (address, parameters) = rest.split_once('>').unwrap_or((rest, ""));
    (address.to_owned(), parameters.split_whitespace().map(str::to_owned).collect())
}

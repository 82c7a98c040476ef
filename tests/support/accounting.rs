//! An SMTP server on 127.0.0.1 that keeps account of what it takes, fast enough not to be what is measured.
//!
//! It runs on threads of its own, so its account outlives whatever happens to the program that sends. It takes
//! everything: scripts and strictness are the business of `smtp_sink`. A message is in the account before its answer
//! goes out, as a relay has it on its disk before.

#![allow(dead_code, reason = "each user has its own part of it; `expect` would fail in the others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What the server offers.
#[derive(Clone)]
pub struct Options {
    pub pipelining: bool,
    pub chunking: bool,
    /// TLS from the first byte.
    pub tls: Option<TlsAcceptor>,
    /// Whether each message is recorded; counted are all.
    pub records: bool,
    /// Threads that serve.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { pipelining: true, chunking: false, tls: None, records: true, threads: 2 }
    }
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// From 1, in the order of arrival.
    pub connection: usize,
    pub recipient: Box<str>,
    /// Without brackets.
    pub message_id: Box<str>,
    /// How the server called it in its answer.
    pub queue_id: Box<str>,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Messages taken.
    pub accepted: usize,
    /// Connections that stand.
    pub open: usize,
    /// Of these, how many wait for the answer to a message that was taken.
    pub held: usize,
    /// Connections so far.
    pub connections: usize,
}

struct Shared {
    options: Options,
    records: Mutex<Vec<Record>>,
    /// Messages taken; the state repeats it for those who wait, only when somebody may care.
    accepted: AtomicUsize,
    /// Bodies begun and not answered.
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    state: watch::Sender<State>,
    holding: watch::Sender<bool>,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The running server. It stops when it is dropped.
pub struct Accounting {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Accounting {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Accounting {
    /// Starts on a free port.
    pub fn start(options: Options) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            records: Mutex::default(),
            accepted: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            state: watch::Sender::default(),
            holding: watch::Sender::new(false),
            options,
        });
        let (stop, stopped) = watch::channel(false);
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(for_thread.options.threads)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, for_thread, stopped));
            runtime.shutdown_background();
        });
        Self { address, shared, stop, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All messages taken so far, in their order.
    pub fn records(&self) -> Vec<Record> {
        self.shared.records().clone()
    }

    /// How things stand.
    pub fn state(&self) -> State {
        State { accepted: self.shared.accepted.load(Ordering::SeqCst), ..*self.shared.state.borrow() }
    }

    /// The most bodies that were under way at once.
    pub fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(Ordering::SeqCst)
    }

    /// From now on messages are taken and not answered; or they are again, those that wait included.
    pub fn hold(&self, holding: bool) {
        self.shared.holding.send_replace(holding);
    }

    /// Waits until things stand as wanted.
    pub async fn until(&self, wanted: impl Fn(&State) -> bool) -> State {
        *self.shared.state.subscribe().wait_for(|state| wanted(state)).await.expect("the server lives")
    }

    /// Waits until so many messages were taken.
    pub async fn taken(&self, count: usize) -> State {
        self.until(|state| state.accepted >= count).await
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Ok((stream, _)) = stream else { continue };
        let mut connection = 0;
        shared.state.send_modify(|state| {
            state.connections += 1;
            state.open += 1;
            connection = state.connections;
        });
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that breaks off is nothing to report.
            let _ = serve(stream, &shared, connection).await;
            shared.state.send_modify(|state| state.open -= 1);
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared, connection: usize) -> io::Result<()> {
    // Nagle would hold back the second of two small replies.
    stream.set_nodelay(true)?;
    match shared.options.tls.clone() {
        Some(acceptor) => Session::new(acceptor.accept(stream).await?, shared, connection).run().await,
        None => Session::new(stream, shared, connection).run().await,
    }
}

/// What comes next from the client.
#[derive(Clone, Copy)]
enum Next {
    Command,
    /// The message up to its final dot; so many bytes of what is unread were searched for that.
    Data {
        searched: usize,
    },
    /// So many bytes of a chunk (RFC 3030 §2).
    Chunk {
        left: usize,
        last: bool,
    },
}

struct Session<'a, S> {
    stream: S,
    shared: &'a Shared,
    connection: usize,
    unread: Vec<u8>,
    answers: Vec<u8>,
    next: Next,
    has_sender: bool,
    recipients: Vec<Box<str>>,
    /// What came in chunks.
    chunks: Vec<u8>,
    in_flight: bool,
    is_over: bool,
}

impl<S> Drop for Session<'_, S> {
    fn drop(&mut self) {
        self.landed();
    }
}

impl<S> Session<'_, S> {
    fn took_off(&mut self) {
        if !self.in_flight {
            self.in_flight = true;
            let now = self.shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.shared.most_in_flight.fetch_max(now, Ordering::SeqCst);
        }
    }

    fn landed(&mut self) {
        if std::mem::take(&mut self.in_flight) {
            self.shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(stream: S, shared: &'a Shared, connection: usize) -> Self {
        Self {
            stream,
            shared,
            connection,
            unread: Vec::with_capacity(128 * 1024),
            answers: b"220 accounting.example ESMTP\r\n".to_vec(),
            next: Next::Command,
            has_sender: false,
            recipients: vec![],
            chunks: vec![],
            in_flight: false,
            is_over: false,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            let mut used = 0;
            while !self.is_over
                && let Some(end) = self.step(used).await?
            {
                used = end;
            }
            self.unread.drain(..used);
            if let Next::Data { searched } = &mut self.next {
                *searched = searched.saturating_sub(used);
            }
            self.answer().await?;
            if self.is_over {
                return self.stream.shutdown().await;
            }
            self.unread.reserve(64 * 1024);
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self) -> io::Result<()> {
        if !self.answers.is_empty() {
            self.stream.write_all(&self.answers).await?;
            self.stream.flush().await?;
            self.answers.clear();
        }
        Ok(())
    }

    fn say(&mut self, answer: &str) {
        self.answers.extend_from_slice(answer.as_bytes());
        self.answers.extend_from_slice(b"\r\n");
    }

    /// Takes in one command, message or chunk that begins at `start`. Where it ends, if all of it is there.
    async fn step(&mut self, start: usize) -> io::Result<Option<usize>> {
        match self.next {
            Next::Command => {
                let Some(end) = memchr::memmem::find(&self.unread[start..], b"\r\n").map(|at| start + at) else {
                    return Ok(None);
                };
                let line = String::from_utf8_lossy(&self.unread[start..end]).into_owned();
                self.command(&line);
                // The line's own CRLF may be the first half of an empty message's final dot.
                Ok(Some(if let Next::Data { searched } = &mut self.next {
                    *searched = end;
                    end
                } else {
                    end + 2
                }))
            }
            Next::Data { searched } => {
                let from = searched.max(start);
                let Some(at) = memchr::memmem::find(&self.unread[from..], b"\r\n.\r\n").map(|at| from + at) else {
                    self.next = Next::Data { searched: self.unread.len().saturating_sub(4).max(start) };
                    return Ok(None);
                };
                self.next = Next::Command;
                let message_id = message_id(&self.unread[start..at]);
                self.take(message_id).await?;
                Ok(Some(at + 5))
            }
            Next::Chunk { left, last } => {
                let here = left.min(self.unread.len() - start);
                self.chunks.extend_from_slice(&self.unread[start..start + here]);
                if here < left {
                    self.next = Next::Chunk { left: left - here, last };
                    return Ok((here > 0).then_some(start + here));
                }
                self.next = Next::Command;
                if last {
                    let chunks = std::mem::take(&mut self.chunks);
                    self.take(message_id(&chunks)).await?;
                } else {
                    self.say("250 2.0.0 go on");
                }
                Ok(Some(start + here))
            }
        }
    }

    fn command(&mut self, line: &str) {
        let word = line.split([' ', ':']).next().unwrap_or_default();
        match word.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let options = &self.shared.options;
                let pipelining = if options.pipelining { "250-PIPELINING\r\n" } else { "" };
                let chunking = if options.chunking { "250-CHUNKING\r\n" } else { "" };
                let answer = format!(
                    "250-accounting.example\r\n{pipelining}{chunking}250-8BITMIME\r\n250-SMTPUTF8\r\n\
                     250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600"
                );
                self.say(&answer);
            }
            "HELO" => self.say("250 accounting.example"),
            "MAIL" if self.has_sender => self.say("503 5.5.1 one at a time"),
            "MAIL" => {
                self.has_sender = true;
                self.say("250 2.1.0 ok");
            }
            "RCPT" if !self.has_sender => self.say("503 5.5.1 MAIL first"),
            "RCPT" => {
                self.recipients.push(between(line, '<', '>').into());
                self.say("250 2.1.5 ok");
            }
            "DATA" if self.recipients.is_empty() => self.say("554 5.5.1 no valid recipients"),
            "DATA" => {
                self.next = Next::Data { searched: 0 };
                self.took_off();
                self.say("354 go ahead");
            }
            "BDAT" => {
                let mut words = line.split(' ').skip(1);
                let left = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
                let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
                self.next = Next::Chunk { left, last };
                self.took_off();
            }
            "RSET" => {
                self.forget();
                self.say("250 2.0.0 forgotten");
            }
            "NOOP" => self.say("250 2.0.0 ok"),
            "QUIT" => {
                self.say("221 2.0.0 bye");
                self.is_over = true;
            }
            _ => self.say("500 5.5.2 unknown"),
        }
    }

    fn forget(&mut self) {
        self.has_sender = false;
        self.recipients.clear();
        self.chunks.clear();
    }

    /// The message is ours now: into the account, then the answer, unless answers are held back.
    async fn take(&mut self, message_id: String) -> io::Result<()> {
        if self.recipients.is_empty() {
            self.forget();
            self.landed();
            self.say("554 5.5.1 no valid recipients");
            return Ok(());
        }
        let number = self.shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let queue_id = format!("{}-{number}", self.connection);
        if self.shared.options.records {
            let message_id: Box<str> = message_id.into();
            let mut records = self.shared.records();
            records.extend(self.recipients.drain(..).map(|recipient| Record {
                connection: self.connection,
                recipient,
                message_id: message_id.clone(),
                queue_id: queue_id.as_str().into(),
            }));
        }
        self.forget();
        let holding = *self.shared.holding.borrow();
        self.shared.state.send_if_modified(|state| {
            state.accepted = state.accepted.max(number);
            state.held += usize::from(holding);
            true
        });
        if holding {
            self.answer().await?;
            let mut holding = self.shared.holding.subscribe();
            let _ = holding.wait_for(|holding| !holding).await;
            self.shared.state.send_modify(|state| state.held -= 1);
        }
        self.landed();
        self.say(&format!("250 2.0.0 Ok: queued as {queue_id}"));
        Ok(())
    }
}

/// The id in the head of a message; nothing where it has none.
fn message_id(message: &[u8]) -> String {
    const NAME: &[u8] = b"\r\nMessage-ID:";
    let head = memchr::memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end]);
    let Some(at) = memchr::memmem::find(head, NAME) else { return String::new() };
    let rest = &head[at + NAME.len()..];
    between(&String::from_utf8_lossy(&rest[..rest.len().min(200)]), '<', '>').to_owned()
}

/// What stands between the first of `open` and the next of `close`.
fn between(text: &str, open: char, close: char) -> &str {
    text.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(inner, _)| inner)
}

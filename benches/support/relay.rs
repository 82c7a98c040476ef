//! What stands on the other side while sending is measured: each a process of its own, so that its cost is its own.
//!
//! | | |
//! |---|---|
//! | `smtp-sink`, `smtp-source` | Postfix's load tools, from Debian's package `postfix`; its daemon is not run |
//! | our own sink | `tests/support/accounting.rs`; takes TLS |
//! | our own delay | a proxy that hands bytes on after half a round trip each way |

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::accounting::{Accounting, Options};

/// A process that ends when it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Postfix's sink; `None` where it is not installed.
    pub fn smtp_sink() -> Option<Self> {
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("smtp-sink");
        // It does not want to be root.
        if std::fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0) {
            command.args(["-u", "nobody"]);
        }
        command.args(["-m", "1000", &format!("127.0.0.1:{port}"), "1000"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "smtp-sink does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { child, port })
    }

    /// This program again, as a server: see [`serve`].
    fn own(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().expect("a port"), child }
    }

    /// Our own sink; with TLS its certificate is written to that file.
    pub fn sink(certificate: Option<&Path>) -> Self {
        match certificate {
            Some(path) => Self::own(&["serve", "sink", path.to_str().unwrap()]),
            None => Self::own(&["serve", "sink"]),
        }
    }

    /// A proxy to that port, with this round trip.
    pub fn delay(to: u16, round_trip: Duration) -> Self {
        Self::own(&["serve", "delay", &to.to_string(), &round_trip.as_micros().to_string()])
    }
}

/// Serves until the standard input ends, which it does with the process that started us.
pub fn serve(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _sink = match arguments[..] {
        ["sink", ref certificate @ ..] => {
            let tls = certificate.first().map(|path| acceptor(Path::new(path)));
            let sink = Accounting::start(Options { records: false, tls, ..Options::default() });
            say(sink.port());
            Some(sink)
        }
        ["delay", to, micros] => {
            let (to, half) = (to.parse().unwrap(), Duration::from_micros(micros.parse().unwrap()) / 2);
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            say(listener.local_addr().unwrap().port());
            runtime.spawn(delay(listener, to, half));
            None
        }
        _ => panic!("no such server: {arguments:?}"),
    };
    let _ = std::io::stdin().read_to_end(&mut vec![]);
    runtime.shutdown_background();
}

fn say(port: u16) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}").unwrap();
    out.flush().unwrap();
}

/// TLS as `localhost`, with a certificate that is written to that file.
fn acceptor(path: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn delay(listener: TcpListener, to: u16, half: Duration) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let far = TcpStream::connect(("127.0.0.1", to)).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(later(near_in, far_out, half), later(far_in, near_out, half));
            Ok::<(), std::io::Error>(())
        });
    }
}

/// Hands on what comes in, each piece so much later; the pieces do not wait for one another.
async fn later(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    half: Duration,
) {
    let (pieces, mut under_way) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async move {
        loop {
            let mut piece = Vec::with_capacity(64 * 1024);
            match from.read_buf(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(_) => drop(pieces.send((tokio::time::Instant::now() + half, piece))),
            }
        }
    };
    let write = async move {
        while let Some((at, piece)) = under_way.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Messages per second of Postfix's own source, each connection kept, and its CPU per message in microseconds.
pub fn smtp_source(port: u16, connections: usize, bytes: usize, messages: usize) -> (f64, f64) {
    let (cpu, begun) = (children_cpu_seconds(), Instant::now());
    let status = Command::new("smtp-source")
        .args(["-d", "-s", &connections.to_string(), "-l", &bytes.to_string(), "-m", &messages.to_string()])
        .args(["-f", "news@lantern.example", "-t", "reader@reader.example", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::null())
        .status()
        .expect("smtp-source runs");
    assert!(status.success());
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let messages = messages as f64;
    (messages / begun.elapsed().as_secs_f64(), (children_cpu_seconds() - cpu) * 1e6 / messages)
}

/// CPU time of the children that have ended.
fn children_cpu_seconds() -> f64 {
    super::ticks(13)
}

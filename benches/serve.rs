//! What an answer costs from memory, beside nginx with the same files: requests a second, and CPU time for each.
//!
//! What `serve` answers with runs in a process of its own, nginx (`gzip_static`, `sendfile`, one worker) in another, both on
//! loopback; `wrk` asks each in turn, three times, for one feed document of 50 articles: with the ETag that it has (304),
//! and whole, coded with gzip (200). The median counts; CPU is that of the server's process, user and system, which is what
//! stays the same however busy the machine is. Debian's packages are `nginx` and `wrk`.
//!
//! Arguments, as in `cargo bench --bench serve -- seconds=10 connections=64`:
//!
//! | | |
//! |---|---|
//! | `seconds=N` | each time (3) |
//! | `connections=N` | open at once (32) |

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to report")]
#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

#[path = "support/corpus.rs"]
mod corpus;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings::config::Config;
use tidings::task::dispatch::Stop;
use tidings::task::{Clock, Publication, run};
use tidings::web::{self, App};

const PATH: &str = "/feeds/all/atom.xml";
const ARTICLES: usize = 200;
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, folder] = arguments.as_slice()
        && word == "serve"
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(serve(Path::new(folder)));
    }
    let given = |name: &str, usual: u64| {
        let text = arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        text.map_or(usual, |text| text.parse().unwrap())
    };
    let (seconds, connections) = (given("seconds", 3), given("connections", 32));
    for (program, flag) in [("nginx", "-v"), ("wrk", "-v")] {
        let found = Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(found.is_ok(), "{program} is not installed: on Debian, apt-get install {program}");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("feeds")).unwrap();
    let config = "[publication]\ntitle = \"Bench\"\nurl = \"https://bench.example\"\n";
    std::fs::write(root.join("config.toml"), config).unwrap();
    std::fs::write(root.join("feeds/all.toml"), "title = \"Everything\"\nlimit = 50\n").unwrap();
    let _ = corpus::write_articles(&root.join("articles"), ARTICLES, 1, 0);
    let ours = Server::ours(root);
    let nginx = Server::nginx(root);
    println!("{:<10} {:>12} {:>12} {:>12} {:>8} {:>7}", "answer", "ours/s", "nginx/s", "ours, µs", "its, µs", "ratio");
    for (name, status) in [("304", 304), ("200, gzip", 200)] {
        let mut rounds: Vec<(Load, Load)> = (0..ROUNDS)
            .map(|_| (ours.asked(status, seconds, connections), nginx.asked(status, seconds, connections)))
            .collect();
        rounds.sort_by(|one, other| (one.0.cpu / one.1.cpu).total_cmp(&(other.0.cpu / other.1.cpu)));
        let (one, other) = &rounds[ROUNDS / 2];
        println!(
            "{name:<10} {:>12.0} {:>12.0} {:>12.2} {:>8.2} {:>7.2}",
            one.rate,
            other.rate,
            one.cpu,
            other.cpu,
            one.cpu / other.cpu
        );
    }
}

/// The server in this process: what `tidings serve` answers with.
async fn serve(folder: &Path) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let publication = Publication::open(Config::load(folder, []).unwrap(), Clock::system()).await.unwrap();
    let app = Arc::new(App::new(publication).unwrap());
    run::sync_and_publish(&app.publication, &app.site).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (_word, stop) = Stop::new();
    web::serve(listener, app, stop).await;
}

/// A server in another process, ended with this.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers on SIGTERM and not on SIGKILL.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// What a server did with as many requests as came.
struct Load {
    rate: f64,
    /// Microseconds for each.
    cpu: f64,
}

impl Server {
    fn ours(root: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .arg(root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap() }
    }

    fn nginx(root: &Path) -> Self {
        // Whoever is given a port gives it back before nginx takes it: on loopback nobody else wants it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let root = root.display();
        let config = format!(
            "worker_processes 1;\ndaemon off;\npid {root}/nginx.pid;\nerror_log {root}/nginx.log;\nevents {{ worker_connections 1024; }}\n\
             http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n  gzip_static on;\n  \
             types {{ application/atom+xml xml; }}\n  client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n  \
             fastcgi_temp_path {root}/fastcgi;\n  uwsgi_temp_path {root}/uwsgi;\n  scgi_temp_path {root}/scgi;\n  \
             open_file_cache max=100;\n  server {{\n    listen {address};\n    root {root}/public;\n    \
             expires 300s;\n    add_header Cache-Control public;\n    add_header Access-Control-Allow-Origin \"*\";\n    \
             add_header Access-Control-Expose-Headers \"etag, im, delta-base, link\";\n    \
             add_header Content-Security-Policy \"default-src 'none'\";\n    add_header X-Content-Type-Options nosniff;\n    \
             add_header Referrer-Policy strict-origin-when-cross-origin;\n    add_header Vary \"accept, accept-encoding\";\n  }}\n}}\n"
        );
        let file = format!("{root}/nginx.conf");
        std::fs::write(&file, config).unwrap();
        // Its worker is another user where this is root's, and has to come to the files.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(root.to_string(), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let process = Command::new("nginx").args(["-c", &file]).spawn().unwrap();
        let waited = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(waited.elapsed() < Duration::from_secs(10), "nginx does not answer; see {root}/nginx.log");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, address }
    }

    /// Asks as often as it can for some seconds.
    fn asked(&self, status: u16, seconds: u64, connections: u64) -> Load {
        let etag = self.etag(status);
        let mut headers = vec!["Accept-Encoding: gzip".to_owned(), "User-Agent: NetNewsWire/6.1".to_owned()];
        if status == 304 {
            headers.push(format!("If-None-Match: {etag}"));
        }
        let before = self.cpu_seconds();
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "1", "-c", &connections.to_string(), "-d", &format!("{seconds}s")]);
        for header in &headers {
            wrk.args(["-H", header]);
        }
        let output = wrk.arg(format!("http://{}{PATH}", self.address)).output().unwrap();
        let cpu = self.cpu_seconds() - before;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
        let line = text.lines().find(|line| line.contains(" requests in ")).unwrap();
        let count: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
        Load { rate: count / seconds as f64, cpu: cpu * 1e6 / count }
    }

    /// The document's ETag; that the server answers so is seen to at once.
    fn etag(&self, status: u16) -> String {
        let whole = self.head(None);
        let etag = whole.lines().find_map(|line| line.strip_prefix("ETag: ").or_else(|| line.strip_prefix("etag: ")));
        let etag = etag.unwrap_or_else(|| panic!("no ETag: {whole}")).to_owned();
        assert!(whole.to_ascii_lowercase().contains("content-encoding: gzip"), "{whole}");
        if status == 304 {
            let again = self.head(Some(&etag));
            assert!(again.starts_with("HTTP/1.1 304"), "{again}");
        }
        etag
    }

    /// The head of an answer.
    fn head(&self, known: Option<&str>) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let known = known.map_or_else(String::new, |etag| format!("If-None-Match: {etag}\r\n"));
        let host = self.address;
        write!(
            stream,
            "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept-Encoding: gzip\r\n{known}\r\n"
        )
        .unwrap();
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// The CPU time of its process and of those that it began, as Linux counts it.
    fn cpu_seconds(&self) -> f64 {
        let own = self.process.id().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .filter_map(|stat| {
                let id = stat.split(' ').next()?.to_owned();
                let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
                let is_its = id == own || fields.get(1).is_some_and(|parent| **parent == own);
                let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
                is_its.then_some(ticks / 100.0)
            })
            .sum()
    }
}

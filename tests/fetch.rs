//! The fetcher against real servers on loopback: what it takes, and every way of leading it astray.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

#[path = "support/bomb.rs"]
mod bomb;

use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use tidings::fetch::{Answer, FetchError, Fetcher, Limits, Manners, REDIRECTS, Reach, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A web server: what it is asked for, and an answer by hand. Gone when it is dropped.
struct Server {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers by `answer`, which gets the request and the connection.
    async fn start<F>(address: &str, answer: impl Fn(String, TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(vec![])));
        let kept = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![];
                while !is_whole(&bytes) && stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
                let request = String::from_utf8(bytes).unwrap();
                kept.lock().unwrap().push(request.clone());
                tokio::spawn(answer(request, stream));
            }
        });
        Self { at, asked, task }
    }

    /// Answers whatever is asked with what `answer` says to its path.
    async fn saying(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start("127.0.0.1", move |request, mut stream| {
            let bytes = answer(request.split(' ').nth(1).unwrap_or_default());
            async move {
                // Whoever has seen enough is gone by now.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.at).parse().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn manners() -> Manners {
    Manners::new("Tidings/0 (+https://lantern.example)".to_owned(), tidings::mail::trust)
}

/// Names as this resolver has them; 127.0.0.1 stands for the internet, and the rest of 127/8 for what is inside.
fn outside(resolve: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Fetcher {
    Fetcher::new(Manners {
        also_public: |address| address == IpAddr::V4(Ipv4Addr::LOCALHOST),
        resolve: Arc::new(move |host, port| {
            let addresses = resolve(&host).into_iter().map(|address| (address, port).into()).collect();
            Box::pin(async move { Ok(addresses) })
        }),
        ..manners()
    })
}

async fn fetched(request: Request) -> Result<Answer, FetchError> {
    Fetcher::new(manners()).fetch(request.within(Reach::Anywhere)).await
}

#[tokio::test]
async fn a_get_says_who_asks_and_what_it_knows_and_gets_all_that_was_answered() {
    let server = Server::saying(|_| answer(226, "ETag: \"b\"\r\nIM: feed\r\nX-Name: a\r\n", b"new")).await;
    let request = Request::get(server.url("/feed?a=b&c#d"))
        .unless_known(Some("\"a\""), Some("Fri, 27 Nov 2026 08:00:00 GMT"))
        .header("a-im", "feed")
        .header("accept", "line\r\nbreak");
    let answer = fetched(request).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_slice(), answer.moved_for_good),
        (226, b"new".as_slice(), false)
    );
    assert_eq!((answer.header("etag"), answer.header("im")), (Some("\"b\""), Some("feed")));
    assert_eq!(answer.url, server.url("/feed?a=b&c"));
    let asked = server.asked()[0].to_lowercase();
    assert!(asked.starts_with("get /feed?a=b&c http/1.1\r\n"), "{asked}");
    for line in [
        &format!("host: {}", server.at),
        "user-agent: tidings/0 (+https://lantern.example)",
        "if-none-match: \"a\"",
        "if-modified-since: fri, 27 nov 2026 08:00:00 gmt",
        "a-im: feed",
        "accept-encoding: gzip, br, zstd, deflate",
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line}: {asked}");
    }
    assert!(!asked.contains("break"), "{asked}");
}

#[tokio::test]
async fn a_post_brings_its_body_and_is_not_redirected() {
    let server = Server::saying(|_| answer(307, "Location: /other\r\n", b"")).await;
    let request = Request::post(server.url("/hook"), "text/plain", "body").header("x-hub-signature", "sha256=0");
    assert_eq!(fetched(request).await.unwrap().status.as_u16(), 307);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /hook HTTP/1.1\r\n") && asked[0].ends_with("\r\n\r\nbody"), "{}", asked[0]);
    let head = asked[0].to_lowercase();
    assert!(head.contains("\r\ncontent-type: text/plain\r\n") && head.contains("\r\nx-hub-signature: sha256=0\r\n"));
}

#[tokio::test]
async fn a_body_comes_decoded_whatever_its_coding() {
    let text = "After nine dark winters the lamp burns again. ".repeat(100);
    let mut gzip = flate2::write::GzEncoder::new(vec![], Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let server = Server::saying(move |path| match path {
        "/gzip" => answer(200, "Content-Encoding: gzip\r\n", &gzip),
        "/zstd" => answer(200, "Content-Encoding: zstd\r\n", &zstd),
        "/none" => answer(304, "Content-Encoding: gzip\r\n", b""),
        _ => answer(200, "Content-Encoding: gzip, gzip\r\n", &gzip),
    })
    .await;
    for path in ["/gzip", "/zstd"] {
        assert_eq!(fetched(Request::get(server.url(path))).await.unwrap().body, text.as_bytes(), "{path}");
    }
    assert!(fetched(Request::get(server.url("/none"))).await.unwrap().body.is_empty());
    let twice = fetched(Request::get(server.url("/twice"))).await.unwrap_err();
    assert_eq!(
        twice.to_string(),
        format!("http://{} answers in a coding that was not asked for: gzip, gzip", server.at)
    );
}

#[tokio::test]
async fn what_is_inside_is_not_connected_to_whatever_its_spelling() {
    let server = Server::saying(|_| answer(200, "", b"secret")).await;
    let port = server.at.port();
    let fetcher = Fetcher::new(manners());
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "①27.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fc00::7]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::]",
        "0",
        "0.0.0.0",
        "10.1",
        "100.64.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "192.168.0.1",
        "172.31.255.255",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let url: Url = format!("http://{host}:{port}/").parse().unwrap();
        let request = Request::get(url).within(Reach::of(false, "hub_private = true"));
        let refused = fetcher.fetch(request).await.unwrap_err();
        assert!(matches!(refused, FetchError::Private { .. }) && refused.is_lasting(), "{host}: {refused}");
        assert!(refused.to_string().ends_with("is not a public one; hub_private = true allows it"), "{refused}");
    }
    for url in ["file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "data:text/plain,a"] {
        let refused = fetcher.fetch(Request::get(url.parse().unwrap()).within(Reach::Anywhere)).await.unwrap_err();
        assert!(matches!(refused, FetchError::Scheme(_)), "{url}: {refused}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_name_with_one_address_inside_is_not_connected_to_at_all() {
    let server = Server::saying(|_| answer(200, "", b"")).await;
    let fetcher = outside(|_| vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()]);
    let url = format!("http://both.test:{}/", server.at.port()).parse().unwrap();
    let refused = fetcher.fetch(Request::get(url)).await.unwrap_err();
    assert!(matches!(refused, FetchError::Private { .. }), "{refused}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_is_asked_once() {
    let out = Server::saying(|_| answer(200, "", b"outside")).await;
    let port = out.at.port();
    let inside = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let fetcher = outside(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec![Ipv4Addr::LOCALHOST.into()],
        _ => vec![Ipv4Addr::new(127, 0, 0, 2).into()],
    });
    let url: Url = format!("http://flips.test:{port}/").parse().unwrap();
    assert_eq!(fetcher.fetch(Request::get(url.clone())).await.unwrap().body, b"outside");
    assert_eq!(times.load(Ordering::SeqCst), 1);
    assert!(matches!(fetcher.fetch(Request::get(url)).await.unwrap_err(), FetchError::Private { .. }));
    assert!(tokio::time::timeout(Duration::from_millis(20), inside.accept()).await.is_err(), "nobody came");
}

#[tokio::test]
async fn a_redirect_does_not_lead_inside() {
    let inside = Server::start("127.0.0.2", |_, _| async {}).await;
    let to = inside.at;
    let out = Server::saying(move |path| {
        let location = match path {
            "/address" => format!("http://{to}/"),
            "/name" => format!("http://inside.test:{}/", to.port()),
            "/slashes" => format!("//{to}/"),
            "/number" => format!("http://2130706434:{}/", to.port()),
            "/file" => "file:///etc/passwd".to_owned(),
            _ => "/address".to_owned(),
        };
        answer(302, &format!("Location: {location}\r\n"), b"")
    })
    .await;
    let fetcher = outside(|_| vec![Ipv4Addr::new(127, 0, 0, 2).into()]);
    for path in ["/address", "/name", "/slashes", "/number", "/chain"] {
        let refused = fetcher.fetch(Request::get(out.url(path))).await.unwrap_err();
        assert!(matches!(refused, FetchError::Private { .. }), "{path}: {refused}");
    }
    let refused = fetcher.fetch(Request::get(out.url("/file"))).await.unwrap_err();
    assert!(matches!(refused, FetchError::Scheme(_)), "{refused}");
    assert!(inside.asked().is_empty());
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_circle_is_seen() {
    let server = Server::saying(|path| {
        let number = |text: &str| text.parse::<usize>().unwrap();
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "left", "0"] => answer(200, "", b"here"),
            ["", "left", left] => answer(301, &format!("Location: ../left/{}\r\n", number(left) - 1), b""),
            ["", "once"] => answer(302, "Location: /left/1\r\n", b""),
            ["", "round", at] => answer(301, &format!("Location: {}\r\n", 3 - number(at)), b""),
            ["", "self"] => answer(308, "Location: /self#again\r\n", b""),
            _ => answer(301, "", b""),
        }
    })
    .await;
    let get = |path: &str| fetched(Request::get(server.url(path)));
    let five = get(&format!("/left/{REDIRECTS}")).await.unwrap();
    assert_eq!(
        (five.body.as_slice(), five.url, five.moved_for_good),
        (b"here".as_slice(), server.url("/left/0"), true)
    );
    assert!(!get("/once").await.unwrap().moved_for_good, "one of them was for now");
    assert!(matches!(get(&format!("/left/{}", REDIRECTS + 1)).await, Err(FetchError::Redirects(_))));
    for path in ["/round/1", "/self"] {
        let before = server.asked().len();
        assert!(matches!(get(path).await, Err(FetchError::Circle(_))), "{path}");
        assert!(server.asked().len() <= before + 2, "{path}");
    }
    assert!(matches!(get("/nowhere").await, Err(FetchError::Astray(_))));
    let seen = fetched(Request::get(server.url("/once")).without_redirects()).await.unwrap();
    assert_eq!(seen.status.as_u16(), 302);
}

/// The most memory that this process has had, in bytes; Linux says so.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok()).unwrap_or(0) * 1024
}

#[tokio::test]
async fn ten_megabytes_that_become_ten_gigabytes_are_not_unpacked() {
    let bytes = bomb::bomb(0, 640);
    assert!((8 << 20..16 << 20).contains(&bytes.len()), "{}", bytes.len());
    let server = Server::saying(move |_| answer(200, "Content-Encoding: gzip\r\n", &bytes)).await;
    let before = peak();
    let ratio = fetched(Request::get(server.url("/"))).await.unwrap_err();
    assert!(matches!(ratio, FetchError::Ratio(..)), "{ratio}");
    let generous = Limits { ratio: u64::MAX, ..Limits::default() };
    let large = fetched(Request::get(server.url("/")).limited(generous)).await.unwrap_err();
    assert!(matches!(large, FetchError::Large(..)), "{large}");
    let grown = peak() - before;
    eprintln!("memory grew by {} KiB", grown >> 10);
    assert!(grown < 100 << 20, "{grown}");
}

#[tokio::test]
async fn a_body_without_end_is_read_as_far_as_the_limit() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start("127.0.0.1", move |_, mut stream| {
        let count = Arc::clone(&count);
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while let Ok(()) = stream.write_all(&[b'a'; 4096]).await {
                count.fetch_add(4096, Ordering::SeqCst);
            }
        }
    })
    .await;
    let limits = Limits { body: 1 << 20, ..Limits::default() };
    let large = fetched(Request::get(server.url("/")).limited(limits)).await.unwrap_err();
    assert!(large.to_string().contains("is larger than 1048576 bytes"), "{large}");
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
    let unread = fetched(Request::get(server.url("/")).limited(limits).without_body()).await.unwrap();
    assert!(unread.body.is_empty());
    let announced = Server::saying(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec()).await;
    assert!(matches!(fetched(Request::get(announced.url("/"))).await, Err(FetchError::Large(..))));
}

#[tokio::test]
async fn who_answers_drop_by_drop_or_never_or_not_in_http_is_left_in_time() {
    async fn drip(mut stream: TcpStream, begin: &'static [u8]) {
        let _ = stream.write_all(begin).await;
        while stream.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let server = Server::start("127.0.0.1", |request, mut stream| async move {
        match request.split(' ').nth(1).unwrap() {
            "/head" => drip(stream, b"HTTP/1.1 200 OK\r\nX: ").await,
            "/body" => drip(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await,
            "/heads" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
                while stream.write_all(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
            }
            "/smtp" => drop(stream.write_all(b"220 relay.example ESMTP\r\n\r\n").await),
            "/cut" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await),
            // Until the other side gives up.
            _ => drop(stream.read(&mut [0]).await),
        }
    })
    .await;
    let limits = Limits { whole: Duration::from_millis(300), ..Limits::default() };
    for path in ["/head", "/body", "/silence"] {
        let began = Instant::now();
        let slow = fetched(Request::get(server.url(path)).limited(limits)).await.unwrap_err();
        assert!(matches!(slow, FetchError::Slow(..)), "{path}: {slow}");
        assert!(began.elapsed() < Duration::from_secs(5), "{path}");
    }
    for path in ["/heads", "/smtp", "/cut"] {
        let broken = fetched(Request::get(server.url(path))).await.unwrap_err();
        assert!(matches!(broken, FetchError::Http(..)), "{path}: {broken}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = fetched(Request::get(format!("http://{closed}/").parse().unwrap())).await.unwrap_err();
    assert!(matches!(away, FetchError::Connect(..)) && !away.is_lasting(), "{away}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_has_so_many_requests_at_a_time_and_does_not_hold_up_others() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (waiting, let_go) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (in_flight, peak, came, gate) = (now, Arc::clone(&most), Arc::clone(&waiting), Arc::clone(&let_go));
    let slow = Server::start("127.0.0.1", move |_, mut stream| {
        let (in_flight, peak, came, gate) =
            (Arc::clone(&in_flight), Arc::clone(&peak), Arc::clone(&came), Arc::clone(&gate));
        async move {
            peak.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            came.add_permits(1);
            gate.acquire().await.unwrap().forget();
            in_flight.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.write_all(&answer(200, "", b"")).await;
        }
    })
    .await;
    let quick = Server::start("127.0.0.2", |_, mut stream| async move {
        let _ = stream.write_all(&answer(200, "", b"")).await;
    })
    .await;
    let fetcher = Fetcher::new(Manners { per_host: 3, at_once: 4, ..manners() });
    let get = |url: Url| {
        let fetcher = fetcher.clone();
        async move { fetcher.fetch(Request::get(url).within(Reach::Anywhere)).await.unwrap() }
    };
    let all: Vec<_> = (0..20).map(|_| tokio::spawn(get(slow.url("/")))).collect();
    waiting.acquire_many(3).await.unwrap().forget();
    get(quick.url("/")).await;
    let_go.add_permits(20);
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

//! A site elsewhere: a web server on loopback that answers by hand, and the feeds that it has.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request: its path, and its headers in small letters.
pub type Asked = (String, String);
pub type Answer = dyn FnMut(&str, &str) -> Vec<u8> + Send;

/// A web server on a thread of its own: what it is asked for, and an answer by hand. Gone when it is dropped.
pub struct Server {
    pub at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Box<Answer>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.answer.lock().unwrap() = Box::new(|_, _| vec![]);
        self.asked.lock().unwrap().push(("over".to_owned(), String::new()));
        let _ = TcpStream::connect(self.at);
    }
}

impl Server {
    pub fn saying(answer: impl FnMut(&str, &str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = Arc::new(Mutex::new(vec![]));
        let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(answer)));
        let server =
            Self { at: listener.local_addr().unwrap(), asked: Arc::clone(&asked), answer: Arc::clone(&answer) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if asked.lock().unwrap().last().is_some_and(|(path, _)| path == "over") {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let mut head = vec![];
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let bytes = answer.lock().unwrap()(&path, &head);
                asked.lock().unwrap().push((path, head));
                let _ = stream.write_all(&bytes);
            }
        });
        server
    }

    pub fn says(&self, answer: impl FnMut(&str, &str) -> Vec<u8> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn times(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

pub fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

pub fn ok(body: &str) -> Vec<u8> {
    reply("200 OK", "Content-Type: application/atom+xml\r\n", body)
}

/// An entry of Atom: its id, title, link and date, where it has them.
pub fn entry(id: &str, title: &str, link: &str, date: &str) -> String {
    let mut entry = String::from("<entry>");
    for (name, value) in [("id", id), ("title", title), ("published", date)] {
        if !value.is_empty() {
            let _ = write!(entry, "<{name}>{value}</{name}>");
        }
    }
    if !link.is_empty() {
        let _ = write!(entry, "<link href=\"{link}\"/>");
    }
    format!("{entry}<content type=\"html\">&lt;p&gt;About {title}.&lt;/p&gt;</content></entry>")
}

pub fn feed(entries: &str) -> String {
    format!(
        "<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:at=\"http://purl.org/atompub/tombstones/1.0\"><title>The blog</title><id>urn:blog</id>{entries}</feed>"
    )
}

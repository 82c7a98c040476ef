//! Bytes to and from a relay: writes and replies, each within a time and a size (RFC 5321 §4.2, §4.5.3).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::domain::delivery::{Enhanced, enhanced, said};

/// Longest reply in bytes, all its lines together. RFC 5321 §4.5.3.1.5 allows 512 a line; a long EHLO takes 1 to 2 KB.
const REPLY_MAX_BYTES: usize = 16 * 1024;

/// Bytes written under one time limit: a "data block" of RFC 5321 §4.5.3.2.5.
const BLOCK_BYTES: usize = 64 * 1024;

/// What a connection runs over: TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// How the talk with a relay broke down.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireFault {
    #[error("the relay closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(io::Error),
    #[error("the relay did not answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the relay answered something that is not SMTP: {0}")]
    Garbage(String),
    #[error("the relay's answer is longer than {REPLY_MAX_BYTES} bytes")]
    TooLong,
}

impl From<io::Error> for WireFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// One complete reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Text of each line, without code.
    pub lines: Vec<String>,
}

impl Reply {
    /// The enhanced status code, if it has one.
    pub fn enhanced(&self) -> Option<Enhanced> {
        enhanced(self.code, self.lines.first()?)
    }

    /// Its text, fit to keep.
    pub fn text(&self) -> String {
        said(&self.lines.join("\n"))
    }

    /// Whether the relay is about to close (RFC 5321 §3.8).
    pub fn is_closing(&self) -> bool {
        self.code == 421
    }
}

/// A stream with what was read from it and not yet used.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    /// Bytes of the last write that went out.
    written: usize,
}

impl Wire {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new(), written: 0 }
    }

    /// The stream, to put TLS over it. What arrived in clear and unasked is a fault, not part of the secured talk.
    pub fn into_stream(self) -> Result<Box<dyn Stream>, WireFault> {
        if self.unread.is_empty() { Ok(self.stream) } else { Err(garbage(&self.unread)) }
    }

    /// Writes all of `bytes`, each block within `limit`.
    pub async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), WireFault> {
        self.write_both(bytes, &[], limit).await
    }

    /// Writes all of `first` and what follows it as if they were one, without copying them together.
    pub async fn write_both(&mut self, first: &[u8], then: &[u8], limit: Duration) -> Result<(), WireFault> {
        self.written = 0;
        let all = first.len() + then.len();
        while self.written < all {
            let end = all.min(self.written + BLOCK_BYTES);
            let write = async {
                while self.written < end {
                    let rest = &first[self.written.min(first.len())..end.min(first.len())];
                    let from = self.written.saturating_sub(first.len());
                    let then = &then[from..end.saturating_sub(first.len())];
                    match self.stream.write_vectored(&[IoSlice::new(rest), IoSlice::new(then)]).await? {
                        0 => return Err(WireFault::Closed),
                        count => self.written += count,
                    }
                }
                Ok(self.stream.flush().await?)
            };
            timeout(limit, write).await.map_err(|_| WireFault::Silent(limit))??;
        }
        Ok(())
    }

    /// How many bytes of the last write went out, as far as can be known.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Reads one reply, the whole of it within `limit`.
    pub async fn reply(&mut self, limit: Duration) -> Result<Reply, WireFault> {
        timeout(limit, self.next_reply()).await.map_err(|_| WireFault::Silent(limit))?
    }

    async fn next_reply(&mut self) -> Result<Reply, WireFault> {
        let mut lines = Vec::new();
        let mut first = None;
        // Where the next line starts in `unread`, and how far it was searched.
        let (mut start, mut searched) = (0, 0);
        loop {
            while let Some(end) = self.unread[searched..].iter().position(|b| *b == b'\n').map(|at| searched + at) {
                let (code, last, text) = line(&self.unread[start..end])?;
                // One reply has one code (RFC 5321 §4.2.1): what begins another has swallowed the end of this one.
                if *first.get_or_insert(code) != code {
                    return Err(garbage(&self.unread[start..end]));
                }
                if end > REPLY_MAX_BYTES {
                    return Err(WireFault::TooLong);
                }
                lines.push(text);
                (start, searched) = (end + 1, end + 1);
                if last {
                    self.unread.drain(..start);
                    return Ok(Reply { code, lines });
                }
            }
            searched = self.unread.len();
            if searched > REPLY_MAX_BYTES {
                return Err(WireFault::TooLong);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(WireFault::Closed);
            }
        }
    }

    /// The first byte of what has arrived and nobody has asked for, as far as is known without looking again.
    pub fn surplus(&self) -> Option<u8> {
        self.unread.first().copied()
    }

    /// Whether nothing has arrived since the last reply: an idle relay speaks only to say goodbye, or closes.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        self.unread.is_empty()
            && match Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
                Poll::Pending => true,
                Poll::Ready(_) => {
                    self.unread.extend_from_slice(buffer.filled());
                    false
                }
            }
    }

    /// Closes the stream, politely where TLS is.
    pub async fn close(mut self, limit: Duration) {
        // The talk is over; how the closing goes changes nothing.
        let _ = timeout(limit, self.stream.shutdown()).await;
    }
}

/// One line of a reply: code, whether it is the last, text. A missing text or CR is forgiven (RFC 5321 §4.2.1).
fn line(bytes: &[u8]) -> Result<(u16, bool, String), WireFault> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = bytes else {
        return Err(garbage(bytes));
    };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(garbage(bytes)),
    };
    Ok((code, last, String::from_utf8_lossy(text).into_owned()))
}

fn garbage(bytes: &[u8]) -> WireFault {
    WireFault::Garbage(said(&String::from_utf8_lossy(&bytes[..bytes.len().min(80)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_lines_are_read_with_and_without_text() {
        let read = |bytes: &[u8]| line(bytes).ok();
        assert_eq!(read(b"250 2.0.0 queued\r"), Some((250, true, "2.0.0 queued".to_owned())));
        assert_eq!(read(b"250-SIZE 100\r"), Some((250, false, "SIZE 100".to_owned())));
        assert_eq!(read(b"354"), Some((354, true, String::new())));
        for bytes in [&b"hello"[..], b"", b"99 x", b"650 x", b"2500 x", b"\xff\xfe\xfd"] {
            assert_eq!(read(bytes), None);
        }
    }
}

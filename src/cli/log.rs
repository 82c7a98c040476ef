//! What the program says of its work on standard error, by `TIDINGS_LOG`.
//!
//! Fields may hold what others wrote: an answer of a relay, an address, a header. Controls and what turns a line around are
//! written as `\u{…}`, so that nobody writes a line of their own.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format;

use crate::problem::printable;

/// Begins the log.
pub(super) fn begin() {
    let filter = EnvFilter::try_from_env("TIDINGS_LOG").unwrap_or_else(|_| "warn".into());
    // A log that has begun already is a test's.
    let _ = tracing::subscriber::set_global_default(log(filter, std::io::stderr().is_terminal(), std::io::stderr));
}

fn log<W>(filter: EnvFilter, colours: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let fields = format::debug_fn(|out, field, value| {
        let value = printable(&format!("{value:?}"));
        if field.name() == "message" { out.write_str(&value) } else { write!(out, "{field}={value}") }
    });
    let fields = fields.delimited(" ");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).fmt_fields(fields).with_writer(writer).finish()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_writes_a_line_of_their_own_into_the_log() {
        let paper = Paper::default();
        let kept = paper.clone();
        let hostile = "250 ok\r\nERROR forged: all is lost\u{1b}[31m\u{202e}\0\u{2028}x";
        let error = io::Error::other(hostile);
        tracing::subscriber::with_default(log(EnvFilter::new("info"), false, move || paper.clone()), || {
            tracing::info!(reply = hostile, "as a text");
            tracing::info!(reply = %hostile, "as it is shown");
            tracing::info!(reply = ?hostile, "as it is debugged");
            tracing::info!(error = &error as &dyn std::error::Error, "an error");
            tracing::info!("in the message: {hostile}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(!text.replace('\n', "").contains(crate::problem::is_deceptive), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR")), "{text}");
        assert_eq!(text.matches("forged").count(), 5, "{text}");
        assert!(text.contains("as a text") && text.contains("reply=") && text.contains("error="), "{text}");
    }
}

//! How far the work has come: a bar on a terminal, now and then a plain line in a pipe.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// How often a pipe gets a line.
const EVERY: Duration = Duration::from_secs(10);
/// Work that is over sooner shows nothing.
const AT_FIRST: Duration = Duration::from_millis(400);

/// Shows the progress of one piece of work.
pub(super) struct Shown {
    what: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    last: Mutex<Instant>,
}

impl Shown {
    /// Of work on `what` (such as "articles").
    pub(super) fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::hidden();
            let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            bar
        });
        let now = Instant::now();
        Self { what, bar, started: now, last: Mutex::new(now) }
    }

    /// This much of all is done; a total of 0 is not known.
    pub(super) fn set(&self, done: u64, total: u64) {
        if self.started.elapsed() < AT_FIRST {
            return;
        }
        if let Some(bar) = &self.bar {
            if bar.is_hidden() {
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            }
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(done);
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= EVERY {
            *last = Instant::now();
            let of = if total > 0 { format!(" of {}", output::grouped(total)) } else { String::new() };
            output::complain(&format!("{}: {}{of}", self.what, output::grouped(done)));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! How far the work has come: a bar on a terminal, now and then a plain line in a pipe.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output::{self, grouped};
use crate::task::progress::{EVERY, Progress};

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
            let template = "{msg} {wide_bar} {human_pos} of {human_len}, {rate}/s{prefix}, {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
                let _ = to.write_str(&rate(state.per_sec()));
            }));
            bar.set_message(what);
            bar
        });
        let now = Instant::now();
        Self { what, bar, started: now, last: Mutex::new(now) }
    }

    /// This much of all is done; a total of 0 is not known.
    pub(super) fn set(&self, done: u64, total: u64) {
        if self.started.elapsed() < AT_FIRST || self.draw(done, total) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= EVERY {
            *last = Instant::now();
            output::complain(&how_many(self.what, done, total));
        }
    }

    /// Where sending stands now. Once after each look into the store, `is_fresh`, a pipe gets its line.
    pub(super) fn sending(&self, progress: &Progress, is_fresh: bool) {
        if self.started.elapsed() < AT_FIRST {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_prefix(trouble(progress));
        }
        if !self.draw(progress.done, progress.total) && is_fresh {
            output::complain(&sending(progress));
        }
    }

    /// Whether there is a bar to draw it on.
    fn draw(&self, done: u64, total: u64) -> bool {
        let Some(bar) = &self.bar else { return false };
        if total > 0 {
            bar.set_length(total);
        }
        if bar.is_hidden() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_position(done);
            // What was done before we came says nothing about how fast it goes.
            bar.reset_eta();
        }
        bar.set_position(done);
        true
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn how_many(what: &str, done: u64, total: u64) -> String {
    let of = if total > 0 { format!(" of {}", grouped(total)) } else { String::new() };
    format!("{what}: {}{of}", grouped(done))
}

/// What did not go well, if anything.
fn trouble(progress: &Progress) -> String {
    let part = |number, what| if number > 0 { format!(", {} {what}", grouped(number)) } else { String::new() };
    part(progress.deferred, "put off") + &part(progress.refused, "refused")
}

/// So many a second, as exactly as anyone wants to know it.
fn rate(per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is neither huge nor negative")]
    match per_second {
        slow if slow > 0.0 && slow < 10.0 => format!("{slow:.1}"),
        fast => grouped(fast.round() as u64),
    }
}

/// Where sending stands, in a line.
pub(super) fn sending(progress: &Progress) -> String {
    let Progress { done, total, per_second, left, .. } = *progress;
    let rate = rate(per_second);
    let left = left.map(|left| format!(", {} left", in_words(left))).unwrap_or_default();
    format!("{}, {rate}/s{}{left}", how_many("messages", done, total), trouble(progress))
}

/// A length of time, as exactly as anyone wants to know it.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", grouped(seconds.div_ceil(3600))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_what_went_wrong_and_how_long_yet() {
        let left = Some(Duration::from_secs(38));
        let (total, done, sent) = (100_000, 12_300, 12_296);
        let progress = Progress { total, done, sent, deferred: 3, refused: 1, per_second: 2310.4, left };
        assert_eq!(sending(&progress), "messages: 12,300 of 100,000, 2,310/s, 3 put off, 1 refused, 38 s left");
        let slow =
            Progress { deferred: 0, refused: 0, per_second: 1.54, left: Some(Duration::from_mins(950)), ..progress };
        assert_eq!(sending(&slow), "messages: 12,300 of 100,000, 1.5/s, 16 h left");
        let stuck = Progress { total: 20, done: 0, per_second: 0.0, left: None, ..slow };
        assert_eq!(sending(&stuck), "messages: 0 of 20, 0/s");
        assert_eq!(in_words(Duration::from_secs(1300)), "22 min");
    }
}

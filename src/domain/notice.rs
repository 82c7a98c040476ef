//! What an editor has to know of, whoever's fault it is. Pure: it knows neither mail nor webhooks.

use std::time::Duration;

use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// A digest stopped by itself.
    Halted,
    /// A digest goes out only with an editor's yes: it is late, or its newsletter asks for one.
    Held,
    /// A digest is shown for a while, and then goes out by itself.
    Ready,
    /// Nothing has gone out by a relay for long.
    Relay,
    /// A feed elsewhere is there no more.
    Source,
}

impl NoticeKind {
    const ALL: [Self; 5] = [Self::Halted, Self::Held, Self::Ready, Self::Relay, Self::Source];

    /// The word for it in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::Held => "held",
            Self::Ready => "ready",
            Self::Relay => "relay",
            Self::Source => "source",
        }
    }

    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How long to wait after so many attempts to tell: half a minute, twice as long each time, an hour at most.
pub fn wait_after(attempts: u32) -> Duration {
    Duration::from_secs(30 << attempts.saturating_sub(1).min(7)).min(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_up_to_an_hour() {
        let waits: Vec<u64> = [0, 1, 2, 3, 7, 8, 9, u32::MAX].map(|attempts| wait_after(attempts).as_secs()).into();
        assert_eq!(waits, [30, 30, 60, 120, 1920, 3600, 3600, 3600]);
    }
}

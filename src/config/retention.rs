//! `[retention]`: how long people are kept who get no mail any more. Without it they are kept.

use chrono::TimeDelta;
use serde::Deserialize;

use super::span::{SPAN_HINT, Span};
use super::written::{Reader, Text};

/// How long people are kept who get no mail any more; `None` is for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Who left everything, after they left the last of it.
    pub ended: Option<TimeDelta>,
    /// Whose address was given up, after that.
    pub bounced: Option<TimeDelta>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenRetention {
    ended: Text,
    bounced: Text,
}

impl Reader<'_> {
    pub(super) fn retention(&mut self, written: WrittenRetention) -> Retention {
        let mut span = |text, key| self.parsed::<Span>(text, key, SPAN_HINT).map(Span::delta);
        Retention { ended: span(written.ended, "retention.ended"), bounced: span(written.bounced, "retention.bounced") }
    }
}

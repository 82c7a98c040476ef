//! The fields of a delivery status (RFC 3464 §2) or a feedback report (RFC 5965 §3), and what a delivery status says.

use super::words::{self, Said};
use super::{Finding, Judged};
use crate::domain::delivery::Enhanced;
use crate::domain::report::ReportKind;

/// Groups of fields, and fields of a group, that are looked at: our messages have one recipient.
const MAX: usize = 100;
/// Longest value kept, in bytes.
const MAX_VALUE: usize = 8 * 1024;

/// One block of fields: names in lower case, values unfolded.
#[derive(Debug, Default)]
pub(super) struct Group(Vec<(String, String)>);

impl Group {
    /// The first field of that name which is not empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn word(&self, name: &str) -> Option<String> {
        let word = self.field(name)?.split([' ', '\t', ';', '(']).find(|word| !word.is_empty())?;
        Some(word.to_ascii_lowercase())
    }
}

/// The groups of fields, blank lines between them. A line without a name belongs to the one before: some servers break
/// lines without indenting them.
pub(super) fn fields(bytes: &[u8]) -> Vec<Group> {
    let text = String::from_utf8_lossy(bytes);
    let mut groups = vec![Group::default()];
    for line in text.lines() {
        let Some(group) = groups.last_mut() else { break };
        if line.trim().is_empty() {
            if !group.0.is_empty() && groups.len() < MAX {
                groups.push(Group::default());
            }
            continue;
        }
        let named = line.split_once(':').filter(|(name, _)| {
            !name.is_empty() && name.trim_end().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        let has_room = group.0.len() < MAX;
        match (named, group.0.last_mut()) {
            (Some((name, value)), _) if has_room => {
                let value = value[..value.floor_char_boundary(MAX_VALUE)].trim();
                group.0.push((name.trim_end().to_ascii_lowercase(), value.to_owned()));
            }
            (None, Some((_, value))) if value.len() < MAX_VALUE => {
                value.push(' ');
                value.push_str(line[..line.floor_char_boundary(MAX_VALUE)].trim());
            }
            _ => {}
        }
    }
    groups.retain(|group| !group.0.is_empty());
    groups
}

/// What a delivery status says: `human` is the text that came with it, for servers whose codes say nothing.
///
/// Where an alias was expanded there may be several recipients. If one of them got the message the reader did; of
/// several bounces the mildest counts.
pub(super) fn judge(bytes: &[u8], human: &str) -> Judged {
    let mut groups = fields(bytes);
    // Some servers write a blank line between all fields.
    if !groups.iter().any(|group| group.field("action").is_some() && group.field("status").is_some()) {
        groups = vec![Group(groups.into_iter().flat_map(|group| group.0).collect())];
    }
    let (mut bounce, mut delayed): (Option<Said>, bool) = (None, false);
    for group in groups.iter().filter(|group| group.field("action").is_some() || group.field("status").is_some()) {
        let status = group.word("status").as_deref().and_then(words::code);
        let class = status.map(|status| status.0);
        match (group.word("action").as_deref(), class) {
            (Some("delivered" | "relayed" | "expanded"), _) | (None, Some(2)) => return Finding::Delivered.into(),
            (Some("delayed"), _) | (None, Some(4)) => delayed = true,
            (Some("failed"), _) | (None, Some(5)) => {
                let failed = failed(group, status, human);
                if bounce.as_ref().is_none_or(|known| known.kind() == ReportKind::HardBounce) {
                    bounce = Some(failed);
                }
            }
            _ => {}
        }
    }
    match bounce {
        Some(bounce) => bounce.into(),
        None if delayed => Finding::Delayed.into(),
        None => Finding::NoReport.into(),
    }
}

/// A recipient's bounce.
fn failed(group: &Group, status: Option<Enhanced>, human: &str) -> Said {
    let diagnostic = group.field("diagnostic-code").map(without_type).unwrap_or_default();
    heard(status, if diagnostic.is_empty() { words::of_text(human) } else { words::of_diagnostic(diagnostic) })
}

/// A status and the words with it. The status decides, unless it says nothing (`5.0.0`), or condemns the address where
/// the receiving server's own words blame something else.
pub(super) fn heard(status: Option<Enhanced>, heard: Said) -> Said {
    let status = status.filter(|status| matches!(status.0, 4 | 5));
    let Some(specific) = status.filter(|status| (status.1, status.2) != (0, 0)) else {
        return Said { code: heard.code.or(status), ..heard };
    };
    let by_status = Said { code: Some(specific), ..heard.clone() };
    let blames_other = heard.code.is_some() && heard.kind() != ReportKind::HardBounce;
    if by_status.kind() == ReportKind::HardBounce && blames_other { heard } else { by_status }
}

/// `smtp; 550 …` without its type.
fn without_type(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if kind.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => rest.trim(),
        _ => value,
    }
}

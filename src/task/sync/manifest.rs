//! What a folder looked like when it was synced last, in parts: so that a few changes in a folder of very many files are
//! found without reading everything that is known of the others.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::source::Found;
use crate::task::fingerprint;

/// Files in a part, on average.
const PART: u64 = 128;

/// More stretches than this cost as much as reading everything.
const MOST_STRETCHES: usize = 16;

/// The files of a folder, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// What articles depend on besides their files.
    rules: String,
    /// Where each part begins, and the fingerprint of its files.
    parts: Vec<(String, String)>,
    /// Which sync left it so, for as long as that one has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<Uuid>,
}

/// Keys from the first on, and before the second; behind the last part there is no end.
pub(super) type Stretch = (String, Option<String>);

impl Manifest {
    /// Of files in the order of their keys.
    pub(super) fn new(found: &[Found], rules: String) -> Self {
        // The first part begins before all keys, whatever comes to be the first.
        Self { rules, parts: parts(String::new(), found), pass: None }
    }

    /// The same with these files in whole stretches of it, and no others there. None where a file that began one is gone:
    /// what is left belongs to the part before.
    pub(super) fn with(&self, stretches: &[Stretch], found: &[Found]) -> Option<Self> {
        let mut all: Vec<_> = self.parts.iter().filter(|(start, _)| !is_within(stretches, start)).cloned().collect();
        for (start, end) in stretches {
            let from = found.partition_point(|file| file.key < *start);
            let to = end.as_ref().map_or(found.len(), |end| found.partition_point(|file| file.key < *end));
            let found = found.get(from..to)?;
            let begins = found.first().is_some_and(|file| file.key == *start);
            if !start.is_empty() && !begins {
                return None;
            }
            all.extend(parts(start.clone(), found));
        }
        all.sort_unstable();
        Some(Self { rules: self.rules.clone(), parts: all, pass: None })
    }

    /// Whether it is what a sync left that came to its end, under these rules.
    pub(super) fn is_settled(&self, rules: &str) -> bool {
        self.pass.is_none() && self.rules == rules
    }

    /// The stretches of the parts that these keys are in; none where that is too much.
    pub(super) fn around<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Option<Vec<Stretch>> {
        self.changed(Some(self), keys)
    }

    /// As it was written down; none where something else was.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// To be written down.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The stretches of keys in which something is different from `before`, or of which one of `others` is part; none where
    /// that is everything, or too much.
    pub(super) fn changed<'a>(
        &self,
        before: Option<&Self>,
        others: impl Iterator<Item = &'a str>,
    ) -> Option<Vec<Stretch>> {
        let before = before.filter(|before| before.rules == self.rules)?;
        let (was, is): (HashSet<_>, HashSet<_>) = (before.parts.iter().collect(), self.parts.iter().collect());
        let mut stretches: Vec<Stretch> = before.stretches(|part| !is.contains(part)).collect();
        stretches.extend(self.stretches(|part| !was.contains(part)));
        for key in others {
            let at = self.parts.partition_point(|(start, _)| start.as_str() <= key).saturating_sub(1);
            stretches.extend(self.stretch(at));
        }
        stretches.sort();
        let mut joined: Vec<Stretch> = vec![];
        for (start, end) in stretches {
            match joined.last_mut() {
                Some((_, last)) if last.as_ref().is_none_or(|last| start <= *last) => {
                    if end.is_none() || last.is_some() && end > *last {
                        *last = end;
                    }
                }
                _ => joined.push((start, end)),
            }
        }
        (joined.len() <= MOST_STRETCHES).then_some(joined)
    }

    /// Without the parts that are different in `now`: what is to be looked at again if nobody comes to the end of it.
    pub(super) fn without_changes(&self, now: &Self, pass: Uuid) -> Self {
        let still: HashSet<_> = now.parts.iter().collect();
        let unknown =
            |part: &(String, String)| if still.contains(part) { part.clone() } else { (part.0.clone(), String::new()) };
        Self { rules: self.rules.clone(), parts: self.parts.iter().map(unknown).collect(), pass: Some(pass) }
    }

    fn stretches(&self, is_wanted: impl Fn(&(String, String)) -> bool) -> impl Iterator<Item = Stretch> {
        let wanted = self.parts.iter().enumerate().filter(move |(_, part)| is_wanted(part));
        wanted.filter_map(|(at, _)| self.stretch(at))
    }

    fn stretch(&self, at: usize) -> Option<Stretch> {
        let (start, _) = self.parts.get(at)?;
        Some((start.clone(), self.parts.get(at + 1).map(|(next, _)| next.clone())))
    }
}

/// The parts of files that stand one after another, the first of which begins at `start`.
fn parts(mut start: String, found: &[Found]) -> Vec<(String, String)> {
    let mut parts = vec![];
    let mut files: Vec<String> = vec![];
    for file in found {
        if begins_part(&file.key) && !files.is_empty() {
            parts.push((std::mem::replace(&mut start, file.key.clone()), fingerprint(files.drain(..))));
        }
        files.push(format!("{}\0{}\0{}", file.key, file.size, file.modified_ns));
    }
    parts.push((start, fingerprint(files)));
    parts
}

/// Whether a key is in one of these.
pub(super) fn is_within(stretches: &[Stretch], key: &str) -> bool {
    let at = stretches.partition_point(|(start, _)| start.as_str() <= key);
    at.checked_sub(1)
        .and_then(|at| stretches.get(at))
        .is_some_and(|(_, end)| end.as_deref().is_none_or(|end| key < end))
}

/// Whether a part begins with this key: by the key alone (FNV-1a), so that a file that comes or goes leaves the other parts
/// as they are.
fn begins_part(key: &str) -> bool {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The high bits depend on every byte.
    (hash >> 32).is_multiple_of(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: usize, size: u64) -> Found {
        Found { key: format!("article-{number:05}.md"), path: "x".into(), size, modified_ns: 1 }
    }

    fn manifest(files: &[Found]) -> Manifest {
        Manifest::new(files, "rules".into())
    }

    #[test]
    fn every_change_is_in_a_stretch_and_few_others_are() {
        let all: Vec<Found> = (0..5000).map(|number| found(number, 1)).collect();
        let before = manifest(&all);
        assert!(before.parts.len() > 10, "{}", before.parts.len());
        assert_eq!(Manifest::read(&before.text()), Some(before.clone()));
        assert_eq!(before.changed(Some(&before), std::iter::empty()), Some(vec![]));
        assert_eq!(before.changed(None, std::iter::empty()), None);
        let boundary = all.iter().position(|file| begins_part(&file.key)).unwrap();
        for at in [0, 1, 77, boundary - 1, boundary, boundary + 1, 4998, 4999] {
            let mut edited = all.clone();
            edited[at].size = 2;
            let mut removed = all.clone();
            let gone = removed.remove(at);
            let seen = |stretches: Vec<Stretch>| {
                assert!(is_within(&stretches, &gone.key), "{at}: {stretches:?}");
                let within = all.iter().filter(|file| is_within(&stretches, &file.key)).count();
                assert!(within < 2000, "{at}: {within}");
            };
            seen(manifest(&edited).changed(Some(&before), std::iter::empty()).unwrap());
            seen(manifest(&removed).changed(Some(&before), std::iter::empty()).unwrap());
            seen(before.changed(Some(&manifest(&removed)), std::iter::empty()).unwrap());
            seen(before.changed(Some(&before), std::iter::once(gone.key.as_str())).unwrap());
            // Who does not come to the end finds the change again, even if it was taken back.
            let broken_off = before.without_changes(&manifest(&edited), Uuid::nil());
            seen(before.changed(Some(&broken_off), std::iter::empty()).unwrap());
        }
    }

    #[test]
    fn a_look_at_some_parts_says_what_a_look_at_everything_says() {
        let all: Vec<Found> = (0..5000).map(|number| found(number, 1)).collect();
        let before = manifest(&all);
        let boundary = all.iter().position(|file| begins_part(&file.key)).unwrap();
        let looked = |now: &[Found], key: &str| {
            let stretches = before.around(std::iter::once(key)).unwrap();
            let within: Vec<Found> = now.iter().filter(|file| is_within(&stretches, &file.key)).cloned().collect();
            assert!(within.len() < 2000, "{key}: {}", within.len());
            before.with(&stretches, &within)
        };
        for at in [0, 1, 77, boundary - 1, boundary, boundary + 1, 4998, 4999] {
            let key = &all[at].key;
            let mut edited = all.clone();
            edited[at].size = 2;
            assert_eq!(looked(&edited, key), Some(manifest(&edited)), "{at}");
            let mut removed = all.clone();
            removed.remove(at);
            let now = looked(&removed, key);
            assert_eq!(now, Some(manifest(&removed)).filter(|_| at != boundary), "{at}");
        }
        // What is new may begin a part of its own.
        for name in (0..1000).map(|number| format!("article-0{number:03}-b.md")) {
            let mut more = all.clone();
            more.push(Found { key: name.clone(), ..found(0, 1) });
            more.sort_by(|one, other| one.key.cmp(&other.key));
            assert_eq!(looked(&more, &name), Some(manifest(&more)), "{name}");
        }
        let nothing = before.around(std::iter::empty()).unwrap();
        assert_eq!(before.with(&nothing, &[]), Some(before.clone()));
        assert!(before.is_settled("rules") && !before.is_settled("others"));
    }

    #[test]
    fn other_rules_and_many_changes_are_everything() {
        let all: Vec<Found> = (0..5000).map(|number| found(number, 1)).collect();
        let before = manifest(&all);
        let others = Manifest::new(&all, "others".into());
        assert_eq!(others.changed(Some(&before), std::iter::empty()), None);
        let edited: Vec<Found> = (0..5000).map(|number| found(number, 2)).collect();
        let everything = vec![(String::new(), None)];
        assert_eq!(manifest(&edited).changed(Some(&before), std::iter::empty()), Some(everything));
        let many = |edited: usize| -> Vec<Found> {
            (0..50_000).map(|number| found(number, 1 + u64::from(number % 2000 < edited))).collect()
        };
        assert_eq!(manifest(&many(1)).changed(Some(&manifest(&many(0))), std::iter::empty()), None);
        assert!(manifest(&[]).changed(Some(&manifest(&[])), std::iter::empty()).unwrap().is_empty());
    }
}

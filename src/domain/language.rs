//! Which language a reader is spoken to in: what they have or ask for, measured by what is on offer (RFC 4647 §3.4,
//! RFC 9110 §12.5.4). Knows tags, and no words.

/// Most ranges of an `Accept-Language` that are looked at: browsers send fewer than ten.
const MOST_RANGES: usize = 32;

/// Whether this has the shape of a language tag (RFC 5646 §2.1), registered or not.
pub fn is_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    parts.next().is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic()))
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The languages on offer, the publication's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Languages(Vec<String>);

impl Languages {
    /// The publication's language, and `others` without what says the same.
    pub fn new(own: &str, others: impl IntoIterator<Item = String>) -> Self {
        let mut all = vec![own.to_owned()];
        for other in others {
            // "en" beside "en-US" is the same words twice.
            let is_known = all.iter().any(|known| known.eq_ignore_ascii_case(&other)) || is_shorter(&other, own);
            if !is_known {
                all.push(other);
            }
        }
        Self(all)
    }

    /// The publication's.
    pub fn own(&self) -> &str {
        self.at(0)
    }

    /// That at a place; the publication's where there is no such place.
    pub fn at(&self, place: usize) -> &str {
        self.0.get(place).or(self.0.first()).map_or("", String::as_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The place of the language that is meant by a tag: itself, the nearest shorter one (`de` for `de-AT`), or another
    /// kind of the same (`pt-BR` for `pt`).
    pub fn find(&self, tag: &str) -> Option<usize> {
        let exact = |wanted: &str| self.0.iter().position(|known| known.eq_ignore_ascii_case(wanted));
        let mut wanted = tag;
        loop {
            if let Some(place) = exact(wanted) {
                return Some(place);
            }
            // A single letter only introduces what follows it.
            match shorter(wanted) {
                Some(rest) => wanted = shorter(rest).filter(|_| last(rest).len() == 1).unwrap_or(rest),
                None => return self.0.iter().position(|known| is_shorter(wanted, known)),
            }
        }
    }

    /// The place of a reader's language: the publication's for whom none is known, or one that is not on offer.
    pub fn of_reader(&self, tag: Option<&str>) -> usize {
        tag.and_then(|tag| self.find(tag)).unwrap_or(0)
    }

    /// The place of the language that an `Accept-Language` prefers.
    pub fn accepted(&self, header: &str) -> Option<usize> {
        let mut ranges: Vec<(&str, u16)> = header.split(',').take(MOST_RANGES).filter_map(range).collect();
        // Of those that weigh the same the first counts.
        ranges.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let is_refused = |place: &usize| {
            ranges.iter().any(|(range, weight)| *weight == 0 && range.eq_ignore_ascii_case(self.at(*place)))
        };
        ranges.iter().filter(|(_, weight)| *weight > 0).find_map(|(range, _)| match *range {
            "*" => (0..self.0.len()).find(|place| !is_refused(place)),
            range => self.find(range).filter(|place| !is_refused(place)),
        })
    }
}

/// The tag without its last part.
fn shorter(tag: &str) -> Option<&str> {
    tag.rsplit_once('-').map(|(rest, _)| rest)
}

fn last(tag: &str) -> &str {
    tag.rsplit('-').next().unwrap_or(tag)
}

/// Whether `tag` is the beginning of `long`, up to one of its hyphens.
fn is_shorter(tag: &str, long: &str) -> bool {
    long.len() > tag.len()
        && long.as_bytes()[tag.len()] == b'-'
        && long.as_bytes()[..tag.len()].eq_ignore_ascii_case(tag.as_bytes())
}

/// A range and its weight in thousandths; `None` for what is none.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| {
        !range.is_empty() && range.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*'))
    })?;
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
    });
    Some((range, weight.unwrap_or(1000)))
}

/// `0.8` is 800. What is no weight says nothing of its language, and nothing against it: it comes last.
fn thousandths(text: &str) -> u16 {
    let weight = text.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.001);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let weight = (weight * 1000.0).round() as u16;
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(own: &str, others: &[&str]) -> Languages {
        Languages::new(own, others.iter().map(|tag| (*tag).to_owned()))
    }

    fn offered() -> Languages {
        languages("en", &["ar", "de", "de-AT", "fr", "pt-BR", "zh-Hant"])
    }

    #[test]
    fn the_own_language_stands_first_and_nothing_twice() {
        let all = |own, others: &[&str]| languages(own, others).iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all("de", &["ar", "de", "en"]), ["de", "ar", "en"]);
        assert_eq!(all("en-US", &["ar", "en", "EN-us", "en-GB"]), ["en-US", "ar", "en-GB"]);
        assert_eq!(all("pt", &[]), ["pt"]);
    }

    #[test]
    fn a_tag_means_itself_a_shorter_one_or_another_kind_of_the_same() {
        let offered = offered();
        let found = |tag: &str| offered.find(tag).map(|place| offered.at(place));
        for (tag, language) in [
            ("de", Some("de")),
            ("DE-at", Some("de-AT")),
            ("de-CH", Some("de")),
            ("de-Latn-DE-1996", Some("de")),
            ("fr-x-quay", Some("fr")),
            ("pt", Some("pt-BR")),
            ("pt-PT", Some("pt-BR")),
            ("zh-Hant-TW", Some("zh-Hant")),
            ("den", None),
            ("d", None),
            ("", None),
            ("-", None),
            ("nl", None),
        ] {
            assert_eq!(found(tag), language, "{tag:?}");
        }
        assert_eq!(offered.of_reader(None), 0);
        assert_eq!(offered.of_reader(Some("nl")), 0);
        assert_eq!(offered.at(offered.of_reader(Some("fr-CA"))), "fr");
    }

    #[test]
    fn what_a_browser_prefers_is_weighed() {
        let offered = offered();
        let accepted = |header: &str| offered.accepted(header).map(|place| offered.at(place));
        for (header, language) in [
            ("de-CH,de;q=0.9,en;q=0.8", Some("de")),
            ("nl,en;q=0.5,fr;q=0.7", Some("fr")),
            ("fr, de", Some("fr")),
            ("fr;q=0, de;q=0.1", Some("de")),
            ("FR ; Q = 0.2 , ar", Some("ar")),
            ("nl, *;q=0.1", Some("en")),
            ("en;q=0, *", Some("ar")),
            ("de;q=0, de-CH", None),
            ("nl", None),
            ("", None),
            (",;q=1,=,\u{1f984}", None),
            ("fr;q=nonsense, de;q=0.5", Some("de")),
            ("fr;q=7", Some("fr")),
            ("de;level=1;q=0.3, fr;q=0.4", Some("fr")),
            ("fr;q=0.0004", None),
        ] {
            assert_eq!(accepted(header), language, "{header:?}");
        }
        assert_eq!(accepted(&"nl,".repeat(10_000)), None);
    }
}

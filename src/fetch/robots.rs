//! What a site asks of programs that fetch its pages: `robots.txt` (RFC 9309). Pure.

use std::time::Duration;

use url::{Position, Url};

/// The name that a group of rules has to bear to be for us (§2.2.1): the first word of our `User-Agent`.
const NAME: &str = "tidings";

/// Rules of a file that are looked at, and bytes of each: a file may be of half a megabyte (§2.5).
const MAX_RULES: usize = 1000;
const MAX_RULE: usize = 500;

/// Bytes of an address that rules are compared with; a longer one is no page's, and left alone where there are rules.
const MAX_PATH: usize = 2000;

/// What a site allows us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Robots {
    rules: Vec<Rule>,
    /// How long it wants to be left alone after each request (`Crawl-delay`, which is not in the RFC).
    pub pause: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allows: bool,
    pattern: String,
}

impl Robots {
    /// Where a site has its rules.
    pub fn address(page: &Url) -> Url {
        let mut url = page.clone();
        url.set_path("/robots.txt");
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    /// Reads a file: the groups that name us, or else those for everybody.
    pub fn parse(text: &str) -> Self {
        let (mut ours, mut everybodys) = (None, Self::default());
        // Whom the group is for that is read just now, and whether its names are over.
        let (mut is_ours, mut is_everybodys, mut has_rules) = (false, false, true);
        for line in text.trim_start_matches('\u{FEFF}').split(['\n', '\r']) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                if std::mem::take(&mut has_rules) {
                    (is_ours, is_everybodys) = (false, false);
                }
                // Some name a version too.
                let name = value.split(['/', ' ']).next().unwrap_or_default();
                is_ours |= name.eq_ignore_ascii_case(NAME);
                is_everybodys |= name == "*";
                if is_ours {
                    ours.get_or_insert_with(Self::default);
                }
                continue;
            }
            let is_rule = matches!(key.as_str(), "allow" | "disallow" | "crawl-delay");
            has_rules |= is_rule;
            let groups = ours.as_mut().filter(|_| is_ours).into_iter().chain(is_everybodys.then_some(&mut everybodys));
            for group in groups.filter(|_| is_rule) {
                group.take(&key, value);
            }
        }
        ours.unwrap_or(everybodys)
    }

    fn take(&mut self, key: &str, value: &str) {
        match key {
            "crawl-delay" => {
                let seconds = value.parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
                self.pause = seconds.map(Duration::from_secs_f64).max(self.pause);
            }
            // An empty rule forbids nothing.
            _ if value.is_empty() || value.len() > MAX_RULE || self.rules.len() >= MAX_RULES => {}
            _ => self.rules.push(Rule { allows: key == "allow", pattern: value.to_owned() }),
        }
    }

    /// Whether a page may be fetched: the longest rule that fits decides, and of two that are as long the one that allows.
    pub fn allows(&self, page: &Url) -> bool {
        let path = page[Position::BeforePath..Position::AfterQuery].as_bytes();
        if path.len() > MAX_PATH {
            return self.rules.is_empty();
        }
        let fitting = self.rules.iter().filter(|rule| fits(&rule.pattern, path));
        fitting.max_by_key(|rule| (rule.pattern.len(), rule.allows)).is_none_or(|rule| rule.allows)
    }
}

/// Whether a path begins as a pattern says, in which `*` is anything, and `$` at its end the end.
fn fits(pattern: &str, path: &[u8]) -> bool {
    let (pattern, is_whole) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*').map(str::as_bytes);
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return !is_whole || rest.is_empty() };
    for part in parts {
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = &rest[at + part.len()..];
    }
    if is_whole { rest.ends_with(last) } else { memchr::memmem::find(rest, last).is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(robots: &str, path: &str) -> bool {
        Robots::parse(robots).allows(&format!("https://a.example{path}").parse().unwrap())
    }

    #[test]
    fn the_longest_rule_of_the_group_for_us_decides() {
        let robots = "User-agent: *\nDisallow: /\n\nUser-Agent: other\nUser-Agent: Tidings/1.0\nDisallow: /private # not this\n\
                      Allow: /private/open\nAllow: /same\nDisallow: /same\nCrawl-delay: 2.5\nSitemap: x\nDisallow: /*.pdf$\n";
        for (path, allowed) in [
            ("/", true),
            ("/private", false),
            ("/private/x", false),
            ("/private/open/x", true),
            ("/same", true),
            ("/a/b.pdf", false),
            ("/a.pdf/b.pdf", false),
            ("/a/b.pdf?x", true),
            ("/a.pdf.pdf", false),
            ("/private?x=1", false),
        ] {
            assert_eq!(allows(robots, path), allowed, "{path}");
        }
        assert_eq!(Robots::parse(robots).pause, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn without_a_group_for_us_that_for_everybody_counts() {
        assert!(!allows("\u{FEFF}USER-AGENT: *\r\nDISALLOW: /a*b\r\n", "/axxb/c"));
        assert!(allows("User-agent: *\nDisallow:\n", "/a"));
        assert!(allows("User-agent: other\nDisallow: /\n", "/a"));
        assert!(allows("<html>no such page: here</html>", "/a"));
        assert!(!allows("User-agent: a\nUser-agent: *\nDisallow: /\n", "/a"));
        // Two groups for us are one.
        assert!(!allows("User-agent: tidings\nDisallow: /a\nUser-agent: tidings\nDisallow: /b", "/a"));
        assert!(allows("User-agent: *\nDisallow: /\nUser-agent: tidings\nAllow: /", "/a"));
    }

    #[test]
    fn a_file_made_to_keep_us_busy_does_not() {
        let stars = format!("User-agent: *\n{}", format!("Disallow: /{}$\n", "*a".repeat(240)).repeat(2000));
        assert!(allows(&stars, &format!("/{}b", "a".repeat(1900))));
        assert!(!allows(&stars, &format!("/{}b", "a".repeat(10_000))));
        let url = Robots::address(&"https://mara@a.example:8443/b/c?d#e".parse().unwrap());
        assert_eq!(url.as_str(), "https://mara@a.example:8443/robots.txt");
    }
}

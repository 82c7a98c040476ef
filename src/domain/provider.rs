//! What a domain or a local part tells of an address: a typing error in a frequent domain, a role, a mailbox that is
//! thrown away. Nothing here changes an address; each is for a person to judge.

use std::collections::HashSet;
use std::sync::Arc;

use super::address::EmailAddress;

/// Domains that most readers have their mailbox at; what looks like one of them and is none is probably mistyped.
const FREQUENT: [&str; 36] = [
    "aol.com",
    "bluewin.ch",
    "comcast.net",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.es",
    "hotmail.fr",
    "hotmail.it",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "posteo.de",
    "proton.me",
    "protonmail.com",
    "t-online.de",
    "web.de",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
];

/// Real domains that are one or two letters from a frequent one, and no typing error.
const NEIGHBOURS: [&str; 18] = [
    "ail.com",
    "email.com",
    "fmail.com",
    "gmx.fr",
    "gmx.es",
    "gmx.us",
    "gmx.co.uk",
    "gmx.info",
    "hmail.com",
    "live.de",
    "live.fr",
    "me.com",
    "ymail.com",
    "yahoo.ca",
    "yahoo.es",
    "yahoo.it",
    "hotmail.ca",
    "zmail.com",
];

/// Top-level domains that are typed in the place of `.com`, `.net` and `.org`.
const MISTYPED_ENDS: [(&str, &str); 9] = [
    (".con", ".com"),
    (".cmo", ".com"),
    (".ocm", ".com"),
    (".vom", ".com"),
    (".xom", ".com"),
    (".comm", ".com"),
    (".nte", ".net"),
    (".ent", ".net"),
    (".ogr", ".org"),
];

/// Who is behind a role address is not one person (RFC 2142), or nobody at all.
const ROLES: [&str; 26] = [
    "abuse",
    "admin",
    "administrator",
    "billing",
    "devnull",
    "ftp",
    "hostmaster",
    "listserv",
    "mailer-daemon",
    "majordomo",
    "marketing",
    "no-reply",
    "noc",
    "noreply",
    "nobody",
    "do-not-reply",
    "donotreply",
    "postmaster",
    "root",
    "sales",
    "security",
    "spam",
    "support",
    "usenet",
    "uucp",
    "webmaster",
];

/// The address that was probably meant, where the domain looks like a frequent one mistyped.
pub fn probably_meant(address: &EmailAddress) -> Option<EmailAddress> {
    let domain = address.domain();
    if FREQUENT.contains(&domain) || NEIGHBOURS.contains(&domain) {
        return None;
    }
    let ended = MISTYPED_ENDS.iter().find_map(|(typed, meant)| Some(format!("{}{meant}", domain.strip_suffix(typed)?)));
    let meant = match &ended {
        Some(ended) if FREQUENT.contains(&ended.as_str()) => Some(ended.clone()),
        _ => near(domain).map(str::to_owned).or(ended),
    };
    EmailAddress::parse(&format!("{}@{}", address.local_part(), meant?)).ok()
}

/// The frequent domain that is one slip from this one, or two where the name is long.
fn near(domain: &str) -> Option<&'static str> {
    // Lists have a million domains to look at: what differs by more letters is not measured.
    let alike = FREQUENT.into_iter().filter(|known| known.len().abs_diff(domain.len()) <= 2);
    let measured = alike.map(|known| (strsim::damerau_levenshtein(domain, known), known));
    let (distance, meant) = measured.min_by_key(|(distance, _)| *distance)?;
    // From "web.de" or "live.com" many a domain of somebody else is one letter away.
    let name = meant.split('.').next().unwrap_or_default().len();
    (name >= 5 && (distance == 1 || (distance == 2 && name >= 7))).then_some(meant)
}

/// Whether the address is a role's and no person's.
pub fn is_role(address: &EmailAddress) -> bool {
    let local = address.local_part().to_lowercase();
    let name = local.split('+').next().unwrap_or_default();
    ROLES.contains(&name)
}

/// A set of domains, each with those below it.
#[derive(Debug, Clone, Default)]
pub struct Domains(Arc<HashSet<String>>);

impl Domains {
    /// The best known domains of mailboxes that are thrown away.
    pub fn disposable() -> Self {
        Self::read(include_str!("disposable.txt"))
    }

    /// A domain on each line; what begins with `#` is a comment.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_lowercase());
        Self(Arc::new(lines.filter(|line| !line.is_empty()).collect()))
    }

    /// Whether an address is at one of them, or below it.
    pub fn hold(&self, address: &EmailAddress) -> bool {
        let mut domain = address.domain();
        loop {
            if self.0.contains(domain) {
                return true;
            }
            let Some((_, above)) = domain.split_once('.') else { return false };
            domain = above;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn a_slip_in_a_frequent_domain_is_seen() {
        for (typed, meant) in [
            ("gmial.com", "gmail.com"),
            ("gmai.com", "gmail.com"),
            ("gmail.con", "gmail.com"),
            ("gamil.com", "gmail.com"),
            ("gmail.co", "gmail.com"),
            ("gmaill.com", "gmail.com"),
            ("hotmial.com", "hotmail.com"),
            ("hotnail.con", "hotmail.com"),
            ("outlok.com", "outlook.com"),
            ("yaho.com", "yahoo.com"),
            ("yahooo.fr", "yahoo.fr"),
            ("iclod.com", "icloud.com"),
            ("protonmial.com", "protonmail.com"),
            ("harbour.con", "harbour.com"),
        ] {
            let found = probably_meant(&address(&format!("Ann.Q@{typed}")));
            assert_eq!(found.map(|found| found.to_string()), Some(format!("Ann.Q@{meant}")), "{typed}");
        }
    }

    #[test]
    fn other_domains_are_left_alone() {
        for domain in FREQUENT.into_iter().chain(NEIGHBOURS).chain([
            "example.org",
            "wob.de",
            "gmx.li",
            "lantern.example",
            "mail.example.com",
            "hot.com",
            "yahoo.example",
            "proton.ch",
            "life.com",
            "mailbox.org",
        ]) {
            assert_eq!(probably_meant(&address(&format!("ann@{domain}"))), None, "{domain}");
        }
    }

    #[test]
    fn roles_and_disposable_domains_are_known() {
        for text in ["postmaster@example.org", "No-Reply@example.org", "abuse+x@example.org"] {
            assert!(is_role(&address(text)), "{text}");
        }
        assert!(!is_role(&address("ann.abuse@example.org")) && !is_role(&address("+x@example.org")));
        let disposable = Domains::disposable();
        assert!(disposable.hold(&address("a@mailinator.com")) && disposable.hold(&address("a@b.yopmail.com")));
        assert!(!disposable.hold(&address("a@notmailinator.com")) && !disposable.hold(&address("a@gmail.com")));
        let own = Domains::read("# ours\nexample.net # all of it\n\n");
        assert!(own.hold(&address("a@x.example.net")) && !own.hold(&address("a@mailinator.com")));
    }
}

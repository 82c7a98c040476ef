//! `config.toml` as it is written, and its way to [`Config`].

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use toml::{Spanned, Table, Value};
use url::Url;

use super::reports::{WrittenReports, WrittenSuppression};
use super::sending;
use super::{Config, Credentials, Mail, Publication, Relay, Secret, Tls};
use crate::domain::address::Mailbox;
use crate::domain::delivery::Brakes;
use crate::domain::forwarded::Range;
use crate::domain::language::is_tag;
use crate::problem::{Problem, did_you_mean};

const FILE: &str = "config.toml";

/// Connections per relay where the file names no number: what most relays allow a new sender without asking.
const CONNECTIONS: usize = 10;

pub(super) type Text = Option<Spanned<String>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    publication: WrittenPublication,
    articles: WrittenFolder,
    source: Vec<super::sources::WrittenSource>,
    publish: WrittenFolder,
    mail: WrittenMail,
    relay: Vec<WrittenRelay>,
    pace: Vec<sending::WrittenPace>,
    brakes: WrittenBrakes,
    editors: super::editors::WrittenEditors,
    dkim: Vec<super::dkim::WrittenDkim>,
    database: WrittenDatabase,
    serve: WrittenServe,
    reports: WrittenReports,
    suppression: WrittenSuppression,
    form: super::form::WrittenForm,
    retention: super::retention::WrittenRetention,
    feeds: super::shelves::WrittenFeeds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenPublication {
    title: Text,
    description: Text,
    url: Text,
    language: Text,
    time_zone: Text,
    address: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenFolder {
    folder: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenMail {
    from: Text,
    reply_to: Text,
    bounces: Text,
    outbox: Option<PathBuf>,
    retry_first: Text,
    retry_cap: Text,
    life: Text,
    take_over_after: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRelay {
    host: Text,
    port: Option<Number<u16>>,
    tls: Text,
    user: Text,
    password: Text,
    password_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    connections: Option<Number<usize>>,
    messages_per_connection: Option<Number<u32>>,
    depth: Option<Number<usize>>,
    weight: Option<Number<u32>>,
    rate: Text,
    warm_up: Option<sending::WrittenWarmUp>,
    hello: Text,
    authority_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenBrakes {
    refusals: Text,
    complaints: Text,
    at_least: Option<Number<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenDatabase {
    url: Text,
    url_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenServe {
    listen: Text,
    url: Text,
    trusted_proxies: Vec<Spanned<String>>,
}

/// A number, or a text that is one: the environment knows only texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<T>(pub(super) T);

impl<'de, T: FromStr + Deserialize<'de>> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Number(T),
            Text(String),
        }
        match Either::<T>::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => {
                text.parse().map(Self).map_err(|_| serde::de::Error::custom(format!("not a number in range: {text:?}")))
            }
        }
    }
}

pub(super) fn load(
    root: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Vec<Problem>> {
    let path = root.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        vec![Problem::new(FILE, format!("cannot be read: {error}")).hint(format!(
            "run tidings in the folder of a publication, or make one: tidings init {}",
            if root == Path::new(".") { "DIR".to_owned() } else { root.display().to_string() }
        ))]
    })?;
    let mut overrides: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with("TIDINGS_") && name.contains("__")).collect();
    overrides.sort();
    let written: Written = toml::from_str(&text).map_err(|error| vec![toml_problem(FILE, &text, &error)])?;
    let written = if overrides.is_empty() { written } else { overridden(&text, &overrides)? };
    // Lines are those of the file; what the environment said has none.
    let text = if overrides.is_empty() { text.as_str() } else { "" };
    Reader { root, text, problems: vec![] }.config(written)
}

/// The file's keys with the environment's over them.
fn overridden(text: &str, overrides: &[(String, String)]) -> Result<Written, Vec<Problem>> {
    let mut table: Table = toml::from_str(text).map_err(|error| vec![toml_problem(FILE, text, &error)])?;
    for (name, value) in overrides {
        let keys: Vec<String> = name["TIDINGS_".len()..].to_lowercase().split("__").map(str::to_owned).collect();
        if !set(&mut table, &keys, value) {
            return Err(vec![
                Problem::new(name.clone(), "names a key below one that is not a section")
                    .hint("write TIDINGS_SECTION__KEY, such as TIDINGS_PUBLICATION__TITLE or TIDINGS_RELAY__0__HOST"),
            ]);
        }
    }
    // Back through text: the reader of a file is the only reader.
    let merged = toml::to_string(&table).unwrap_or_default();
    toml::from_str(&merged).map_err(|error| {
        let names: Vec<&str> = overrides.iter().map(|(name, _)| name.as_str()).collect();
        vec![toml_problem(&names.join(", "), "", &error)]
    })
}

/// Sets a key by its path; a number in the path is a place in a list. Returns whether the path leads somewhere.
fn set(table: &mut Table, keys: &[String], value: &str) -> bool {
    match keys {
        [] => false,
        [key] => {
            table.insert(key.clone(), Value::String(value.to_owned()));
            true
        }
        [key, index, rest @ ..] if index.parse::<usize>().is_ok() && !rest.is_empty() => {
            let list = table.entry(key.clone()).or_insert_with(|| Value::Array(vec![]));
            let (Value::Array(list), Ok(index)) = (list, index.parse::<usize>()) else { return false };
            if index > list.len() {
                return false;
            }
            if index == list.len() {
                list.push(Value::Table(Table::new()));
            }
            list[index].as_table_mut().is_some_and(|table| set(table, rest, value))
        }
        [key, rest @ ..] => {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| set(inner, rest, value))
        }
    }
}

/// A fault that the TOML reader found, with its line and, for an unknown key, the one that was probably meant.
pub(super) fn toml_problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let line = error.span().filter(|_| !text.is_empty()).map(|span| line_at(text, span.start));
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let mut problem = match (message.starts_with("unknown field"), quoted.as_slice()) {
        (true, [written, known @ ..]) => {
            let problem = Problem::new(file, format!("unknown key `{written}`"));
            match did_you_mean(written, known.iter().copied()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem.hint(format!("known here: {}", known.join(", "))),
            }
        }
        _ => Problem::new(file, message.replace('\n', " ")),
    };
    problem.line = line;
    problem
}

/// The line (from 1) of the byte at `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text[..text.floor_char_boundary(offset)].matches('\n').count() + 1
}

/// The time zone of this name, or a hint at what was meant.
pub(super) fn zone_named(name: &str) -> Result<chrono_tz::Tz, String> {
    name.parse().map_err(|_| {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        did_you_mean(name, known.filter(|known| known.to_lowercase() != *known))
            .map_or_else(|| "write a name such as Europe/Lisbon".to_owned(), |near| format!("did you mean {near}?"))
    })
}

pub(super) struct Reader<'a> {
    pub(super) root: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn config(mut self, written: Written) -> Result<Config, Vec<Problem>> {
        let publication = self.publication(written.publication);
        let host =
            publication.as_ref().and_then(|publication| publication.url.host_str()).unwrap_or("localhost").to_owned();
        let title = publication.as_ref().map(|publication| publication.title.clone());
        let mail = self.mail(written.mail, title, &host);
        let paces = written.pace.into_iter().filter_map(|pace| self.pace(pace)).collect();
        let brakes = self.brakes(written.brakes);
        let editors = self.editors(written.editors);
        let relays: Vec<_> = written.relay.into_iter().filter_map(|relay| self.relay(relay)).collect();
        let from = mail.as_ref().map(|mail| &mail.from);
        let dkim = super::dkim::read(written.dkim, self.root, from, self.text, &mut self.problems);
        let database_url = self.database(&written.database);
        let listen = self
            .parsed(written.serve.listen, "serve.listen", "write an address and port, such as 127.0.0.1:8080")
            .unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], 8080)));
        let serve_url = self.url(written.serve.url, "serve.url");
        let trusted_proxies = self.trusted_proxies(&written.serve.trusted_proxies);
        let reports = self.reports(written.reports);
        let soft_bounces = self.suppression(written.suppression);
        let form = self.form(written.form);
        let retention = self.retention(written.retention);
        let (hub, hub_private) = self.hub(written.feeds.hub, written.feeds.hub_private);
        let feed_rules = self.feed_rules(written.feeds.by, written.feeds.per_poller);
        let folder =
            |written: Option<PathBuf>, default: &str| self.root.join(written.unwrap_or_else(|| default.into()));
        let articles = folder(written.articles.folder, "articles");
        let sources = self.sources(written.source);
        let public = folder(written.publish.folder, "public");
        match (publication, mail, self.problems.is_empty()) {
            (Some(publication), Some(mail), true) => Ok(Config {
                root: self.root.to_owned(),
                publication,
                articles,
                sources,
                static_files: self.root.join("static"),
                feeds: self.root.join("feeds"),
                feed_rules,
                segments: self.root.join("segments"),
                templates: self.root.join("templates"),
                public,
                mail,
                relays,
                paces,
                brakes,
                editors,
                dkim,
                database_url,
                listen,
                serve_url,
                trusted_proxies,
                reports,
                form,
                hub,
                hub_private,
                retention,
                soft_bounces,
            }),
            _ => Err(self.problems),
        }
    }

    pub(super) fn complain(&mut self, at: Option<&Spanned<String>>, what: String, hint: &str) {
        let mut problem = Problem::new(FILE, what).hint(hint);
        problem.line = at.filter(|_| !self.text.is_empty()).map(|at| line_at(self.text, at.span().start));
        self.problems.push(problem);
    }

    pub(super) fn parsed<T: FromStr>(&mut self, text: Text, key: &str, hint: &str) -> Option<T> {
        let text = text?;
        let parsed = text.get_ref().parse().ok();
        if parsed.is_none() {
            self.complain(Some(&text), format!("{key} is not understood: {:?}", text.get_ref()), hint);
        }
        parsed
    }

    fn url(&mut self, text: Text, key: &str) -> Option<Url> {
        const HINT: &str = "write it whole, such as https://news.example.org";
        let span = text.clone();
        let url: Url = self.parsed(text, key, HINT)?;
        if !matches!(url.scheme(), "http" | "https")
            || url.host_str().is_none()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            self.complain(span.as_ref(), format!("{key} is not the address of a site: {url}"), HINT);
            return None;
        }
        Some(url)
    }

    fn trusted_proxies(&mut self, written: &[Spanned<String>]) -> Vec<Range> {
        let mut ranges = vec![];
        for text in written {
            if let Ok(range) = text.get_ref().parse() {
                ranges.push(range);
                continue;
            }
            let what = format!("serve.trusted_proxies holds what is no range of addresses: {:?}", text.get_ref());
            self.complain(Some(text), what, "write trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]");
        }
        ranges
    }

    fn publication(&mut self, written: WrittenPublication) -> Option<Publication> {
        if written.title.is_none() {
            self.complain(None, "publication.title is missing".into(), "write title = \"…\" below [publication]");
        }
        if written.url.is_none() {
            self.complain(
                None,
                "publication.url is missing".into(),
                "write url = \"https://…\" below [publication]: where readers find it",
            );
        }
        let time_zone = written.time_zone.clone();
        let zone = match &time_zone {
            None => Some(chrono_tz::UTC),
            Some(name) => {
                let zone = zone_named(name.get_ref());
                if let Err(hint) = &zone {
                    self.complain(time_zone.as_ref(), format!("unknown time zone {:?}", name.get_ref()), hint);
                }
                zone.ok()
            }
        };
        let url = self.url(written.url, "publication.url");
        if let Some(language) = written.language.as_ref().filter(|language| !is_tag(language.get_ref().trim())) {
            let what = format!("publication.language is not a language: {:?}", language.get_ref());
            self.complain(Some(language), what, "write en or pt-BR");
        }
        let line =
            |text: Text| text.map(|text| crate::domain::text::one_line(text.get_ref())).filter(|text| !text.is_empty());
        Some(Publication {
            title: line(written.title)?,
            description: line(written.description),
            url: url?,
            language: line(written.language).unwrap_or_else(|| "en".into()),
            time_zone: zone?,
            address: line(written.address),
        })
    }

    fn mailbox(&mut self, text: Text, key: &str) -> Option<Mailbox> {
        let text = text?;
        match Mailbox::parse(text.get_ref()) {
            Ok(mailbox) => Some(mailbox),
            Err(fault) => {
                self.complain(
                    Some(&text),
                    format!("{key} is not an address: {fault}"),
                    "write \"Name <name@example.org>\"",
                );
                None
            }
        }
    }

    fn mail(&mut self, written: WrittenMail, title: Option<String>, host: &str) -> Option<Mail> {
        let from = if written.from.is_none() {
            let address = crate::domain::address::EmailAddress::parse(&format!("news@{host}"));
            if address.is_err() {
                self.complain(
                    None,
                    "mail.from is missing".into(),
                    "write from = \"Name <name@example.org>\" below [mail]",
                );
            }
            address.ok().map(|address| Mailbox { name: title, address })
        } else {
            self.mailbox(written.from, "mail.from")
        };
        let reply_to = self.mailbox(written.reply_to, "mail.reply_to");
        let bounces = self.bounces(written.bounces);
        let outbox = self.root.join(written.outbox.unwrap_or_else(|| "outbox".into()));
        let retry = self.retry(written.retry_first, written.retry_cap, written.life);
        let take_over_after =
            self.span(written.take_over_after, "mail.take_over_after").unwrap_or(sending::TAKE_OVER_AFTER);
        Some(Mail { from: from?, reply_to, bounces, outbox, retry, take_over_after })
    }

    pub(super) fn secret(&mut self, inline: Text, file: Option<&Path>, key: &str) -> Option<Secret> {
        let Some(file) = file else { return inline.map(|text| Secret::new(text.into_inner())) };
        match std::fs::read_to_string(self.root.join(file)) {
            Ok(secret) => Some(Secret::new(secret.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                self.complain(
                    None,
                    format!("{key}: {} cannot be read: {error}", file.display()),
                    "the file holds the secret and nothing else",
                );
                None
            }
        }
    }

    fn relay(&mut self, written: WrittenRelay) -> Option<Relay> {
        let tls = match written.tls.as_ref().map(|tls| tls.get_ref().as_str()) {
            None | Some("required") => Tls::Required,
            Some("implicit") => Tls::Implicit,
            Some("opportunistic") => Tls::Opportunistic,
            Some("none") => Tls::None,
            Some(other) => {
                let other = format!("relay.tls is not understood: {other:?}");
                self.complain(written.tls.as_ref(), other, "write required, implicit, opportunistic or none");
                return None;
            }
        };
        let Some(host) = written.host else {
            self.complain(None, "relay.host is missing".into(), "write host = \"smtp.example.org\" below [[relay]]");
            return None;
        };
        let password = self.secret(written.password, written.password_file.as_deref(), "relay.password_file");
        let token = written.token_file.map(|file| self.root.join(file));
        let credentials = match (written.user, password, token) {
            (Some(user), Some(password), None) => Some(Credentials::Password { user: user.into_inner(), password }),
            (Some(user), None, Some(file)) => Some(Credentials::Token { user: user.into_inner(), file }),
            (None, None, None) => None,
            (user, Some(_), Some(_)) => {
                let what = "relay has a password and a token_file".to_owned();
                self.complain(user.as_ref(), what, "write one of the two");
                None
            }
            (user, _, _) => {
                self.complain(
                    user.as_ref(),
                    "relay.user and its password or token belong together".into(),
                    "write user and password_file, user and token_file, or none of them",
                );
                None
            }
        };
        if credentials.is_some() && tls == Tls::None {
            self.complain(
                written.tls.as_ref(),
                "credentials would go over the wire in clear".into(),
                "set relay.tls to required or implicit",
            );
            return None;
        }
        let rate = self.rate(written.rate, "relay.rate");
        let warm_up = written.warm_up.as_ref().and_then(|warm_up| self.warm_up(warm_up));
        Some(Relay {
            weight: written.weight.map_or(1, |weight| weight.0),
            rate,
            warm_up,
            messages_per_connection: written
                .messages_per_connection
                .map_or(sending::MESSAGES_PER_CONNECTION, |number| number.0.max(1)),
            depth: written.depth.map_or(1, |depth| depth.0.clamp(1, sending::DEPTH_MAX)),
            host: host.into_inner(),
            // RFC 6409 §3.1 and RFC 8314 §3.3: submission with STARTTLS and with TLS from the first byte.
            port: written.port.map_or(if tls == Tls::Implicit { 465 } else { 587 }, |port| port.0),
            tls,
            credentials,
            connections: written.connections.map_or(CONNECTIONS, |number| number.0.max(1)),
            hello: written.hello.map(Spanned::into_inner),
            authority: written.authority_file.map(|file| self.root.join(file)),
        })
    }

    fn brakes(&mut self, written: WrittenBrakes) -> Brakes {
        const HINT: &str = "write a share such as 5% or 0.1%; 100% never stops";
        let usual = Brakes::default();
        Brakes {
            refusals: self.parsed(written.refusals, "brakes.refusals", HINT).unwrap_or(usual.refusals),
            complaints: self.parsed(written.complaints, "brakes.complaints", HINT).unwrap_or(usual.complaints),
            at_least: written.at_least.map_or(usual.at_least, |number| number.0),
        }
    }

    fn database(&mut self, written: &WrittenDatabase) -> Secret {
        let url = self.secret(written.url.clone(), written.url_file.as_deref(), "database.url_file");
        let url = url.map_or_else(|| "sqlite://tidings.db".to_owned(), |secret| secret.reveal().to_owned());
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return Secret::new(url);
        }
        let Some(path) = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path)) else {
            // Only the scheme is shown: what follows, and a text that has none, may hold a password.
            let scheme = url.split_once("://").map(|(scheme, _)| format!(": {scheme}")).unwrap_or_default();
            self.complain(
                written.url.as_ref(),
                format!("database.url is of no known kind{scheme}"),
                "write sqlite://tidings.db or postgres://user@host/name",
            );
            return Secret::new(url);
        };
        Secret::new(format!("sqlite://{}", self.root.join(path).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(dir.path(), environment).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    const LEAST: &str = "[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n";

    #[test]
    fn two_keys_are_enough() {
        let config = config(LEAST, &[]).unwrap();
        assert_eq!(config.mail.from.address.as_str(), "news@a.example");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.database_url.reveal().ends_with("/tidings.db"));
        assert_eq!(config.live_urls().base(), "http://127.0.0.1:8080");
        assert_eq!(config.urls().base(), "https://a.example");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
        let faults = config(&format!("{LEAST}time_zome = \"Europe/Lisbon\"\n"), &[]).unwrap_err();
        assert_eq!(faults, ["config.toml:4: unknown key `time_zome`\n  hint: did you mean `time_zone`?"]);
    }

    #[test]
    fn every_fault_of_the_file_is_named_at_once() {
        let faults = config("[publication]\nurl = \"ftp://x\"\ntime_zone = \"Europe/Lisbn\"\n[mail]\nfrom = \"nobody\"\n[[relay]]\ntls = \"maybe\"", &[]).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert!(
            faults.iter().any(|fault| fault.contains("config.toml:3: unknown time zone")
                && fault.contains("did you mean Europe/Lisbon?")),
            "{faults:#?}"
        );
    }

    #[test]
    fn the_environment_overrides_every_key() {
        let config = config(
            LEAST,
            &[
                ("TIDINGS_PUBLICATION__TITLE", "B"),
                ("TIDINGS_RELAY__0__HOST", "smtp.test"),
                ("TIDINGS_RELAY__0__PORT", "25"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.publication.title, "B");
        assert_eq!((config.relays[0].host.as_str(), config.relays[0].port), ("smtp.test", 25));
    }

    #[test]
    fn an_override_that_names_no_key_is_a_fault() {
        let faults = config(LEAST, &[("TIDINGS_PUBLICATION__TITEL", "B")]).unwrap_err();
        assert!(
            faults[0].contains("TIDINGS_PUBLICATION__TITEL") && faults[0].contains("did you mean `title`?"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_secret_is_shown_nowhere() {
        let config =
            config(&format!("{LEAST}[[relay]]\nhost = \"h\"\nuser = \"u\"\npassword = \"canary\"\n"), &[]).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        let expected = Credentials::Password { user: "u".into(), password: Secret::new("canary") };
        assert_eq!(config.relays[0].credentials, Some(expected));
    }

    #[test]
    fn brakes_are_shares_and_a_number() {
        let usual = config(LEAST, &[]).unwrap().brakes;
        assert_eq!(usual, Brakes::default());
        let brakes = config(&format!("{LEAST}[brakes]\nrefusals = \"2.5%\"\nat_least = 20\n"), &[]).unwrap().brakes;
        assert_eq!((brakes.refusals.to_string().as_str(), brakes.at_least), ("2.5 %", 20));
        assert_eq!(brakes.complaints, usual.complaints);
        let faults = config(&format!("{LEAST}[brakes]\ncomplaints = \"few\"\n"), &[]).unwrap_err();
        assert!(faults[0].starts_with("config.toml:5: brakes.complaints is not understood"), "{faults:?}");
    }

    #[test]
    fn a_user_has_a_password_or_a_token() {
        let relay = |keys: &str| config(&format!("{LEAST}[[relay]]\nhost = \"h\"\n{keys}"), &[]);
        let with_token = relay("user = \"u\"\ntoken_file = \"t\"\n").unwrap();
        let Some(Credentials::Token { user, file }) = &with_token.relays[0].credentials else { panic!("no token") };
        assert!(user == "u" && file.ends_with("t"));
        for keys in [
            "user = \"u\"\n",
            "token_file = \"t\"\n",
            "password = \"p\"\n",
            "user = \"u\"\npassword = \"p\"\ntoken_file = \"t\"\n",
            "user = \"u\"\ntoken_file = \"t\"\ntls = \"none\"\n",
        ] {
            assert!(relay(keys).is_err(), "{keys}");
        }
    }
}

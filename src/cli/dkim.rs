//! `tidings dkim`: keys that sign mail, and the DNS records of their public halves.

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::output::{self, count};
use super::{Ended, Usage, called_as};
use crate::config::{Config, is_selector};
use crate::domain::address::EmailAddress;
use crate::task::sign::{self, Record, Strength};
use crate::task::{Clock, TaskError};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a key in secrets/, and say what to publish and to configure
    Keygen {
        /// Where its public half will stand: NAME._domainkey.DOMAIN [default: tidings and the month]
        #[arg(long, value_name = "NAME")]
        selector: Option<String>,
        /// The domain that signs [default: that of mail.from]
        #[arg(long)]
        domain: Option<String>,
        /// Size of the RSA key: 2048, 3072 or 4096
        #[arg(long, default_value_t = 2048, conflicts_with = "ed25519")]
        bits: usize,
        /// An Ed25519 key, as a second signature beside an RSA one
        #[arg(long)]
        ed25519: bool,
    },
    /// Print the DNS records of the configured keys
    Record,
}

pub(super) async fn run(config: Config, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::Keygen { selector, domain, bits, ed25519 } => {
            let strength = if ed25519 { Strength::Ed25519 } else { Strength::Rsa(bits) };
            let selector = selector.unwrap_or_else(|| sign::new_selector(strength, Clock::system().now()));
            if !is_selector(&selector) {
                return Err(Usage(format!("not a selector: {selector:?}; write letters, digits and hyphens")).into());
            }
            let own = config.mail.from.address.domain();
            let domain = match domain {
                None => own.to_owned(),
                Some(domain) => EmailAddress::parse(&format!("x@{domain}"))
                    .map_err(|_| Usage(format!("not a domain: {domain:?}")))?
                    .domain()
                    .to_owned(),
            };
            let section_domain = (domain != own).then(|| domain.clone());
            let (config, made) = {
                let selector = selector.clone();
                let making = move || {
                    let made = sign::make_key(&config, &domain, &selector, strength);
                    (config, made)
                };
                tokio::task::spawn_blocking(making).await.context("the key was not made")?
            };
            let made = made?;
            let file = config.name_of(&made.file);
            let section = section(&selector, &file, section_domain.as_deref());
            if json {
                output::json(&json!({
                    "file": file, "selector": selector, "record": shown(&made.record), "config": section,
                }))?;
            } else {
                tell(&file, &made.record, &section);
            }
            Ok(Ended::Well)
        }
        Verb::Record => {
            let records = sign::records(&config).map_err(TaskError::Problems)?;
            if json {
                output::json(&records.iter().map(shown).collect::<Vec<_>>())?;
                return Ok(Ended::Well);
            }
            for (place, record) in records.iter().enumerate() {
                if place > 0 {
                    output::say("");
                }
                tell_record(record);
            }
            let keys = count(records.len(), "key", "keys");
            output::complain(&if records.is_empty() {
                format!("no mail is signed: {} dkim keygen makes a key", called_as())
            } else {
                format!("{keys} configured")
            });
            Ok(Ended::Well)
        }
    }
}

/// The lines for config.toml.
fn section(selector: &str, file: &str, domain: Option<&str>) -> String {
    let domain = domain.map(|domain| format!("domain = \"{domain}\"\n")).unwrap_or_default();
    format!("[[dkim]]\nselector = \"{selector}\"\nkey_file = \"{file}\"\n{domain}")
}

fn shown(record: &Record) -> serde_json::Value {
    json!({ "name": record.name, "text": record.text, "zone": record.zone() })
}

fn tell(file: &str, record: &Record, section: &str) {
    output::say(&format!("The key stands in {file}. Whoever has it can send in your name: keep it to yourself.\n"));
    output::say("1. Publish its public half as a TXT record:\n");
    tell_record(record);
    output::say("\n2. When it is published, add to config.toml:\n");
    output::say(section.trim_end());
}

fn tell_record(record: &Record) {
    output::say(&format!("Name:  {}", record.name));
    output::say(&format!("Text:  {}", record.text));
    output::say(&format!("Zone file:  {}", record.zone()));
}

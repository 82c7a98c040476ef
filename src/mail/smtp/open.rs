//! From a host name to a session that mail can be sent over: TCP, greeting, EHLO, STARTTLS, AUTH.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::extension::ClientId;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::tls::{TlsFault, secure};
use super::wire::{Reply, Stream, Wire};
use super::{Connection, Credentials, Limits, Offers, RelaySettings, Tls, Verdict, deferred, lost, refused, sorted};
use crate::domain::delivery::{Outcome, Stage};

/// See [`Connection::open`].
pub(super) async fn open(settings: &RelaySettings) -> Result<Connection, Outcome> {
    let limits = settings.limits;
    let tcp = connect(&settings.host, settings.port, limits.connect).await?;
    let hello = our_name(settings, tcp.local_addr().ok())?;
    let mut is_secured = settings.tls == Tls::Implicit;
    let stream: Box<dyn Stream> = Box::new(tcp);
    let stream = if is_secured { handshake(stream, settings, Stage::Connect).await? } else { stream };
    let mut opening = Opening { wire: Wire::new(stream), limits };

    opening.expect(Stage::Connect, 2).await?;
    let mut offers = opening.hello(&hello).await?;
    let wants_starttls = match settings.tls {
        Tls::Implicit | Tls::None => false,
        Tls::Opportunistic => offers.starttls,
        Tls::Required if offers.starttls => true,
        Tls::Required => {
            return Err(refused(Stage::StartTls, 530, (5, 7, 10), "the relay does not offer STARTTLS"));
        }
    };
    if wants_starttls {
        opening.command(Stage::StartTls, "STARTTLS", 2).await?;
        let stream = opening.wire.into_stream().map_err(|fault| lost(Stage::StartTls, &fault))?;
        let stream = handshake(stream, settings, Stage::StartTls).await?;
        opening = Opening { wire: Wire::new(stream), limits };
        is_secured = true;
        // What was said in clear may have been put there by somebody else (RFC 3207 §4.2).
        offers = opening.hello(&hello).await?;
    }
    if let Some(credentials) = &settings.credentials {
        if !is_secured {
            let text = "credentials are never sent in clear: set TLS for this relay";
            return Err(refused(Stage::Auth, 538, (5, 7, 11), text));
        }
        opening.authenticate(&offers, credentials, settings).await?;
    }
    Ok(Connection {
        wire: opening.wire,
        limits,
        offers,
        is_secured,
        broken: false,
        needs_reset: false,
        accepted: 0,
        most: settings.messages_per_connection,
        is_lost: false,
        under_way: VecDeque::new(),
        in_turns: None,
        buffer: Vec::new(),
        chunk: Vec::new(),
    })
}

/// A TCP connection to the first address of `host` that answers, without Nagle's delay.
async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, Outcome> {
    let failed = |what: &str| deferred(Stage::Connect, &format!("cannot connect to {host}:{port}: {what}"));
    let addresses = match timeout(limit, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(failed(&error.to_string())),
        Err(_) => return Err(failed("its name was not resolved in time")),
    };
    let mut why = "its name has no address".to_owned();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            // Nagle's algorithm holds the final dot back until the relay's delayed acknowledgement: 40 ms a message.
            Ok(Ok(tcp)) => match tcp.set_nodelay(true) {
                Ok(()) => return Ok(tcp),
                Err(error) => why = error.to_string(),
            },
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => "no answer in time".clone_into(&mut why),
        }
    }
    Err(failed(&why))
}

/// TLS over `stream`. A failed verification is ours to mend; a broken connection passes.
async fn handshake(
    stream: Box<dyn Stream>,
    settings: &RelaySettings,
    stage: Stage,
) -> Result<Box<dyn Stream>, Outcome> {
    let limit = settings.limits.connect;
    match timeout(limit, secure(stream, &settings.host, settings.root_certificates.as_deref())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(fault @ TlsFault::Network(_))) => Err(deferred(stage, &fault.to_string())),
        Ok(Err(fault)) => Err(refused(stage, 530, (5, 7, 5), &fault.to_string())),
        Err(_) => Err(deferred(stage, "the relay did not complete the TLS handshake in time")),
    }
}

/// Our name for EHLO (RFC 5321 §4.1.4): as set, this machine's full name, or its address in brackets.
fn our_name(settings: &RelaySettings, local: Option<SocketAddr>) -> Result<String, Outcome> {
    if let Some(name) = &settings.hello {
        if name.is_empty()
            || name.len() > 255
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        {
            return Err(refused(Stage::Hello, 501, (5, 7, 0), "our own name for EHLO is not a host name"));
        }
        return Ok(name.clone());
    }
    let id = match (ClientId::default(), local) {
        // Many relays refuse a name without a dot.
        (ClientId::Domain(name), _)
            if name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) =>
        {
            ClientId::Domain(name)
        }
        (_, Some(SocketAddr::V4(address))) => ClientId::Ipv4(*address.ip()),
        (_, Some(SocketAddr::V6(address))) => ClientId::Ipv6(*address.ip()),
        (other, None) => other,
    };
    Ok(id.to_string())
}

/// A connection on its way.
struct Opening {
    wire: Wire,
    limits: Limits,
}

impl Opening {
    /// Reads a reply whose first digit must be `yes`.
    async fn expect(&mut self, stage: Stage, yes: u16) -> Result<Reply, Outcome> {
        let reply = self.wire.reply(self.limits.command).await.map_err(|fault| lost(stage, &fault))?;
        match sorted(stage, yes, &reply) {
            Verdict::Yes => Ok(reply),
            Verdict::No(outcome) | Verdict::Nonsense(outcome) => Err(outcome),
        }
    }

    /// Sends one command and reads its reply.
    async fn command(&mut self, stage: Stage, command: &str, yes: u16) -> Result<Reply, Outcome> {
        let line = format!("{command}\r\n");
        self.wire.write(line.as_bytes(), self.limits.command).await.map_err(|fault| lost(stage, &fault))?;
        self.expect(stage, yes).await
    }

    /// EHLO, or HELO where that is unknown (RFC 5321 §3.2).
    async fn hello(&mut self, name: &str) -> Result<Offers, Outcome> {
        match self.command(Stage::Hello, &format!("EHLO {name}"), 2).await {
            Ok(reply) => Ok(Offers::read(&reply.lines)),
            Err(Outcome::Refused { code: 500 | 502 | 504, .. }) => {
                self.command(Stage::Hello, &format!("HELO {name}"), 2).await?;
                Ok(Offers::default())
            }
            Err(outcome) => Err(outcome),
        }
    }

    /// AUTH with the first mechanism in common.
    async fn authenticate(
        &mut self,
        offers: &Offers,
        credentials: &Credentials,
        settings: &RelaySettings,
    ) -> Result<(), Outcome> {
        match credentials {
            Credentials::Password { user, password } => self.password(offers, user, password.reveal()).await,
            Credentials::Token { user, file } => {
                let token = access_token(file).await?;
                self.token(offers, user, &token, settings).await
            }
        }
    }

    /// PLAIN (RFC 4616) before LOGIN.
    async fn password(&mut self, offers: &Offers, user: &str, password: &str) -> Result<(), Outcome> {
        if offers.auth_plain {
            let token = STANDARD.encode(format!("\0{user}\0{password}"));
            self.command(Stage::Auth, &format!("AUTH PLAIN {token}"), 2).await?;
        } else if offers.auth_login {
            self.command(Stage::Auth, "AUTH LOGIN", 3).await?;
            self.command(Stage::Auth, &STANDARD.encode(user), 3).await?;
            self.command(Stage::Auth, &STANDARD.encode(password), 2).await?;
        } else {
            let text = if offers.auth_xoauth2 || offers.auth_oauthbearer {
                "the relay takes no password, only access tokens: set token_file"
            } else {
                "the relay offers neither AUTH PLAIN nor AUTH LOGIN"
            };
            return Err(refused(Stage::Auth, 504, (5, 7, 4), text));
        }
        Ok(())
    }

    /// XOAUTH2, as Google and Microsoft have it, before OAUTHBEARER (RFC 7628).
    async fn token(
        &mut self,
        offers: &Offers,
        user: &str,
        token: &str,
        settings: &RelaySettings,
    ) -> Result<(), Outcome> {
        // `end` is what a client answers to the challenge that says why not.
        let (mechanism, first, end) = if offers.auth_xoauth2 {
            ("XOAUTH2", format!("user={user}\x01auth=Bearer {token}\x01\x01"), "")
        } else if offers.auth_oauthbearer {
            let user = user.replace('=', "=3D").replace(',', "=2C");
            let (host, port) = (&settings.host, settings.port);
            let first = format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01");
            ("OAUTHBEARER", first, "AQ==")
        } else {
            let text = "the relay offers neither AUTH XOAUTH2 nor OAUTHBEARER: it takes no access token";
            return Err(refused(Stage::Auth, 504, (5, 7, 4), text));
        };
        let line = format!("AUTH {mechanism} {}\r\n", STANDARD.encode(first));
        let limit = self.limits.command;
        self.wire.write(line.as_bytes(), limit).await.map_err(|fault| lost(Stage::Auth, &fault))?;
        let reply = self.wire.reply(limit).await.map_err(|fault| lost(Stage::Auth, &fault))?;
        if reply.code != 334 {
            return match sorted(Stage::Auth, 2, &reply) {
                Verdict::Yes => Ok(()),
                Verdict::No(outcome) | Verdict::Nonsense(outcome) => Err(outcome),
            };
        }
        let why = token_fault(&reply.lines.concat());
        match self.command(Stage::Auth, end, 2).await {
            Err(Outcome::Refused { code, enhanced, text, .. }) => {
                let text = crate::domain::delivery::said(&format!("{why}; the relay says: {text}"));
                Err(Outcome::Refused { stage: Stage::Auth, code, enhanced, text })
            }
            ended => ended.map(drop),
        }
    }
}

/// The token in a file, which another program may be writing just now: whoever does it well renames a whole one.
async fn access_token(file: &Path) -> Result<String, Outcome> {
    /// Google's have 2 KB at most, Microsoft's rarely more than 4.
    const MAX_BYTES: usize = 16 * 1024;
    let unusable = |why: &str| {
        let text = format!("the access token in {} {why}", file.display());
        refused(Stage::Auth, 535, (5, 7, 8), &text)
    };
    let text = tokio::fs::read_to_string(file).await.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let token = text.trim();
    // RFC 6750 §2.1: visible ASCII without blanks.
    if token.is_empty() || token.len() > MAX_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable("is no token: the file holds the token and nothing else"));
    }
    Ok(token.to_owned())
}

/// What a relay's challenge says of a token that it does not take: JSON in base64 (RFC 7628 §3.2.2).
fn token_fault(challenge: &str) -> String {
    let json = STANDARD.decode(challenge.trim()).ok();
    let json: Option<serde_json::Value> = json.and_then(|json| serde_json::from_slice(&json).ok());
    let said = |key: &str| {
        let value = json.as_ref()?.get(key)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let status = said("status").unwrap_or_default();
    let meaning = match status.as_str() {
        "400" | "401" | "invalid_token" => {
            "the access token has expired, was withdrawn or is another user's: see that its file is kept fresh"
        }
        "403" | "insufficient_scope" => {
            "the access token does not allow to send mail: ask for one with the scope for SMTP"
        }
        _ => "the relay does not take the access token",
    };
    let scope = said("scope").map(|scope| format!(", scope {scope}")).unwrap_or_default();
    if status.is_empty() { meaning.to_owned() } else { format!("{meaning} (status {status}{scope})") }
}

impl Offers {
    /// The extensions in the lines of an EHLO reply, after the first (RFC 5321 §4.1.1.1).
    fn read(lines: &[String]) -> Self {
        let mut offers = Self::default();
        for line in lines.iter().skip(1) {
            // "AUTH=PLAIN" is what old Outlook servers say.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty()).map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("8BITMIME") => offers.eight_bit = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("SIZE") => offers.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                Some("AUTH") => {
                    for mechanism in words {
                        offers.auth_plain |= mechanism == "PLAIN";
                        offers.auth_login |= mechanism == "LOGIN";
                        offers.auth_xoauth2 |= mechanism == "XOAUTH2";
                        offers.auth_oauthbearer |= mechanism == "OAUTHBEARER";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_from_ehlo() {
        let lines = ["relay.example", "PIPELINING", "size 1000", "AUTH LOGIN", "AUTH=PLAIN XOAUTH2", "X-Y"];
        let offers = Offers::read(&lines.map(str::to_owned));
        let expected = Offers {
            pipelining: true,
            size: Some(1000),
            auth_plain: true,
            auth_login: true,
            auth_xoauth2: true,
            ..Offers::default()
        };
        assert_eq!(offers, expected);
    }

    #[test]
    fn the_first_line_of_ehlo_is_a_name_and_no_offer() {
        assert_eq!(Offers::read(&["STARTTLS".to_owned()]), Offers::default());
    }
}

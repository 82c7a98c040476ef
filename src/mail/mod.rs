//! Messages out: a letter to bytes, bytes to a relay or to a folder. Reports in: bytes to what they tell.
//!
//! | Module | What it does |
//! |---|---|
//! | [`message`] | a [`message::Letter`] to the bytes of a message |
//! | [`compiled`] | the same for many readers: encoded once, patched for each |
//! | [`dkim`] | those bytes to the signatures in front of them |
//! | [`smtp`] | a message to a relay |
//! | [`outbox`] | a message to an `.eml` file |
//! | [`report`] | a bounce or a complaint to what it says |
//! | [`imap`] | reports from a mailbox |
//! | [`webhook`] | the same from a provider's webhook, its signature checked |
//!
//! This room knows no readers, digests or stores; policy over what a relay answers is [`crate::domain::delivery`].

mod body;
pub mod compiled;
pub mod dkim;
mod header;
pub mod imap;
pub mod message;
pub mod outbox;
pub mod report;
pub mod smtp;
pub mod webhook;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::domain::address::EmailAddress;
use crate::domain::delivery::{Outcome, Stage, said};

use self::outbox::Outbox;
use self::smtp::{Connection, RelaySettings};

/// The settings of TLS: the machine's authorities are trusted, and those of a PEM file where one is named.
///
/// # Errors
/// When there is no authority at all, or the file holds none.
pub fn trust(authority: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    smtp::tls::config(authority).map_err(|fault| fault.to_string())
}

/// One way out for messages; a worker has one of its own.
#[derive(Debug)]
pub enum Mailer {
    /// Over SMTP, on one connection that is opened when needed and kept.
    Relay {
        /// Where.
        settings: Box<RelaySettings>,
        /// The open connection, if any.
        connection: Option<Box<Connection>>,
    },
    /// Into a folder.
    Outbox(Outbox),
}

impl Mailer {
    /// Mail goes to a relay.
    pub fn relay(settings: RelaySettings) -> Self {
        Self::Relay { settings: Box::new(settings), connection: None }
    }

    /// Mail goes to a folder.
    pub fn outbox(outbox: Outbox) -> Self {
        Self::Outbox(outbox)
    }

    /// Opens the connection, unless a good one stands: tells a relay that is away from a message that it did not take.
    /// A folder has none and is always there.
    ///
    /// # Errors
    /// Why not, as [`Connection::open`] says it.
    pub async fn connect(&mut self) -> Result<Option<&mut Connection>, Outcome> {
        match self {
            Self::Relay { settings, connection } => ready(settings, connection).await.map(Some),
            Self::Outbox(_) => Ok(None),
        }
    }

    /// The connection that stands, whatever its state.
    pub fn kept(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Relay { connection, .. } => connection.as_deref_mut(),
            Self::Outbox(_) => None,
        }
    }

    /// Drops the connection without a word: a message that was announced over it must not be sent.
    pub fn abandon(&mut self) {
        if let Self::Relay { connection, .. } = self {
            *connection = None;
        }
    }

    /// Sends one message to one recipient. `file_stem` names the file in an outbox: the delivery's id.
    ///
    /// A folder that cannot be written to is our own fault: [`Outcome::Refused`] at [`Stage::Connect`], which halts.
    pub async fn send(&mut self, from: &str, to: &EmailAddress, file_stem: &str, message: &[u8]) -> Outcome {
        match self {
            Self::Relay { settings, connection } => match ready(settings, connection).await {
                Ok(connection) => connection.send(from, to, message).await,
                Err(outcome) => outcome,
            },
            Self::Outbox(outbox) => into_folder(outbox, file_stem, message).await,
        }
    }

    /// Says goodbye to the relay, if one is connected.
    pub async fn close(self) {
        if let Self::Relay { connection: Some(connection), .. } = self {
            connection.quit().await;
        }
    }
}

/// Written on a thread that may wait for the disk.
async fn into_folder(outbox: &Outbox, file_stem: &str, message: &[u8]) -> Outcome {
    let (to, stem, message) = (outbox.clone(), file_stem.to_owned(), message.to_vec());
    let written = tokio::task::spawn_blocking(move || to.write(&stem, &message)).await;
    match written.map_err(std::io::Error::other).flatten() {
        Ok(path) => Outcome::Accepted { reply: said(&path.display().to_string()) },
        Err(error) => Outcome::Refused {
            stage: Stage::Connect,
            code: 554,
            enhanced: None,
            text: said(&format!("cannot write to {}: {error}", outbox.folder().display())),
        },
    }
}

/// The kept connection where it is still good, else a new one.
async fn ready<'a>(
    settings: &RelaySettings,
    kept: &'a mut Option<Box<Connection>>,
) -> Result<&'a mut Connection, Outcome> {
    let connection = match kept.take() {
        Some(mut old) => {
            if old.is_usable() && old.room() > 0 {
                old
            } else {
                old.quit().await;
                Box::new(Connection::open(settings).await?)
            }
        }
        None => Box::new(Connection::open(settings).await?),
    };
    Ok(kept.insert(connection))
}

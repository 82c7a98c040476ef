//! A mailbox that reports come to, over IMAP (RFC 3501, RFC 9051): what is unseen, and a mark on what was taken.
//!
//! Nothing is deleted, and reading alone marks nothing (`BODY.PEEK`).

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_imap::{Client, Session};
use futures_util::TryStreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::report::MAX_BYTES;
use crate::domain::relay::{Secret, Tls};

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is needed to open a mailbox.
#[derive(Debug, Clone)]
pub struct MailboxSettings {
    /// Host name, which the certificate has to be for.
    pub host: String,
    /// Port.
    pub port: u16,
    /// From the first byte, by STARTTLS, or not at all; [`Tls::Opportunistic`] is taken for [`Tls::Required`].
    pub tls: Tls,
    /// Who reads it.
    pub user: String,
    /// Their password.
    pub password: Secret,
    /// Folder.
    pub folder: String,
    /// PEM file of an authority to trust besides the machine's own.
    pub authority: Option<PathBuf>,
}

/// Why a mailbox cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// The server cannot be reached.
    #[error("cannot reach the mailbox's server")]
    Connect(#[source] std::io::Error),
    /// Its certificate cannot be checked.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// It closed the connection or does not speak IMAP.
    #[error("the mailbox's server said goodbye")]
    Closed,
    /// It took too long.
    #[error("the mailbox's server does not answer")]
    Slow,
    /// It said no, or something that is not IMAP.
    #[error("the mailbox's server refused")]
    Refused(#[source] Box<async_imap::error::Error>),
}

impl From<async_imap::error::Error> for ImapError {
    fn from(error: async_imap::error::Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// A connection, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Wire for T {}

/// An open mailbox.
#[derive(Debug)]
pub struct Mailbox(Session<Box<dyn Wire>>);

async fn within<T, E: Into<ImapError>>(answer: impl Future<Output = Result<T, E>>) -> Result<T, ImapError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| ImapError::Slow)?.map_err(Into::into)
}

impl Mailbox {
    /// Opens it.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(settings: &MailboxSettings) -> Result<Self, ImapError> {
        let connecting = async {
            let stream =
                TcpStream::connect((settings.host.as_str(), settings.port)).await.map_err(ImapError::Connect)?;
            let stream: Box<dyn Wire> = Box::new(stream);
            match settings.tls {
                Tls::Implicit => greeted(secure(stream, settings).await?).await,
                Tls::None => greeted(stream).await,
                Tls::Required | Tls::Opportunistic => {
                    let mut client = greeted(stream).await?;
                    client.run_command_and_check_ok("STARTTLS", None).await?;
                    // What was sent in clear after the answer is dropped with the client (RFC 3501 §11.1).
                    Ok(Client::new(secure(client.into_inner(), settings).await?))
                }
            }
        };
        let client = within(connecting).await?;
        let login = async {
            client.login(&settings.user, settings.password.reveal()).await.map_err(|(error, _)| ImapError::from(error))
        };
        let mut session = within(login).await?;
        within(session.select(&settings.folder)).await?;
        Ok(Self(session))
    }

    /// What nobody has seen, the oldest first.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn unseen(&mut self) -> Result<Vec<u32>, ImapError> {
        let mut found: Vec<u32> = within(self.0.uid_search("UNSEEN")).await?.into_iter().collect();
        found.sort_unstable();
        Ok(found)
    }

    /// As much of a message as is read of a report; `None` when it is gone.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn fetch(&mut self, uid: u32) -> Result<Option<Vec<u8>>, ImapError> {
        let fetching = async {
            let query = format!("(UID BODY.PEEK[]<0.{MAX_BYTES}>)");
            let found: Vec<_> = self.0.uid_fetch(uid.to_string(), query).await?.try_collect().await?;
            async_imap::error::Result::Ok(found)
        };
        let found = within(fetching).await?;
        let message = found.iter().find(|message| message.uid == Some(uid));
        Ok(message.and_then(|message| message.body()).map(<[u8]>::to_vec))
    }

    /// Marks a message as seen.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn mark_seen(&mut self, uid: u32) -> Result<(), ImapError> {
        let marking = async {
            let _: Vec<_> = self.0.uid_store(uid.to_string(), "+FLAGS (\\Seen)").await?.try_collect().await?;
            async_imap::error::Result::Ok(())
        };
        within(marking).await
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Everything is done already.
        let _ = within(self.0.logout()).await;
    }
}

async fn greeted(stream: Box<dyn Wire>) -> Result<Client<Box<dyn Wire>>, ImapError> {
    let mut client = Client::new(stream);
    match client.read_response().await.map_err(ImapError::Connect)? {
        Some(_) => Ok(client),
        None => Err(ImapError::Closed),
    }
}

async fn secure(stream: Box<dyn Wire>, settings: &MailboxSettings) -> Result<Box<dyn Wire>, ImapError> {
    let fault = |error: &dyn std::fmt::Display| ImapError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.authority {
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))? {
            roots.add(certificate.map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(settings.host.clone()).map_err(|error| fault(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| fault(&error))?;
    Ok(Box::new(stream))
}

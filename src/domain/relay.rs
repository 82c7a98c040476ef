//! What is said of a relay wherever one is named: how its connection is secured, who we are
//! to it, and what stays secret.

use std::fmt;
use std::path::PathBuf;

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from logs.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for those who must use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How we say who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// AUTH PLAIN or LOGIN.
    Password {
        /// User.
        user: String,
        /// Password.
        password: Secret,
    },
    /// AUTH XOAUTH2 or OAUTHBEARER, with an access token that another program keeps fresh.
    Token {
        /// User: usually an address.
        user: String,
        /// The file that holds the token, read anew for each connection.
        file: PathBuf,
    },
}

/// How a connection is secured. Wherever TLS is used, the relay's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte, usually on port 465 (RFC 8314 §3.3).
    Implicit,
    /// STARTTLS (RFC 3207), or no mail.
    Required,
    /// STARTTLS where it is offered; in clear where it is not.
    Opportunistic,
    /// In clear.
    None,
}

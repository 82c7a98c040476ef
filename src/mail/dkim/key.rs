//! Keys that sign: from PEM, to PEM, and the DNS record of their public half.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Kind and size of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// RSA with so many bits: every receiver knows it (RFC 8301).
    Rsa(usize),
    /// Ed25519 (RFC 8463): only as a second signature, many receivers do not know it yet.
    Ed25519,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// No private key in PEM.
    #[error("it holds no private key in PEM")]
    Pem,
    /// RFC 8301 §3.2 wants 2048 bits; verifiers take no more than 4096 for granted.
    #[error("its key is neither RSA of 2048 to 8192 bits nor Ed25519 ({0})")]
    Kind(String),
    /// A size that nobody asks for.
    #[error("an RSA key has 2048, 3072 or 4096 bits, not {0}")]
    Bits(usize),
    /// The machine made none.
    #[error("this machine could not make a key")]
    Machine,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A private key with its public half.
pub struct Key {
    pair: Pair,
    record: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.strength())
    }
}

impl Key {
    /// With the text of its DNS record (RFC 6376 §3.6.1, RFC 8463 §4).
    fn new(pair: Pair) -> Result<Self, KeyFault> {
        let record = match &pair {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyFault::Machine)?;
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(der.as_ref()))
            }
            Pair::Ed25519(pair) => format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(pair.public_key())),
        };
        Ok(Self { pair, record })
    }

    /// Reads a key in PEM: RSA as PKCS#8 or PKCS#1, Ed25519 as PKCS#8.
    ///
    /// # Errors
    /// A text without a key, or a key of another kind or of less than 2048 bits.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyFault> {
        let kind = |error: &dyn fmt::Display| KeyFault::Kind(error.to_string());
        let rsa = |pair: RsaKeyPair| Self::new(Pair::Rsa(Box::new(pair)));
        match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyFault::Pem)? {
            PrivateKeyDer::Pkcs1(der) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|error| kind(&error)).and_then(rsa)
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
                    return Self::new(Pair::Ed25519(Box::new(pair)));
                }
                RsaKeyPair::from_pkcs8(der).map_err(|error| kind(&error)).and_then(rsa)
            }
            _ => Err(KeyFault::Kind("another kind".to_owned())),
        }
    }

    /// Makes a new key. RSA takes up to a second.
    ///
    /// # Errors
    /// A number of bits that is not 2048, 3072 or 4096; a machine that gives no randomness.
    pub fn generate(strength: Strength) -> Result<Self, KeyFault> {
        let pair = match strength {
            Strength::Ed25519 => Pair::Ed25519(Box::new(Ed25519KeyPair::generate().map_err(|_| KeyFault::Machine)?)),
            Strength::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    other => return Err(KeyFault::Bits(other)),
                };
                Pair::Rsa(Box::new(RsaKeyPair::generate(size).map_err(|_| KeyFault::Machine)?))
            }
        };
        Self::new(pair)
    }

    /// Kind and size.
    pub fn strength(&self) -> Strength {
        match &self.pair {
            Pair::Rsa(pair) => Strength::Rsa(pair.public_modulus_len() * 8),
            Pair::Ed25519(_) => Strength::Ed25519,
        }
    }

    /// The key in PEM, as PKCS#8: a secret.
    ///
    /// # Errors
    /// A machine without memory for it.
    pub fn to_pem(&self) -> Result<String, KeyFault> {
        let encoded = match &self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyFault::Machine)?;
                STANDARD.encode(der.as_ref())
            }
            Pair::Ed25519(pair) => STANDARD.encode(pair.to_pkcs8v1().map_err(|_| KeyFault::Machine)?),
        };
        // RFC 7468 §3: lines of 64 characters.
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        for (place, letter) in encoded.char_indices() {
            if place > 0 && place % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// The text of its DNS record.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// The name of its algorithm in `a=`.
    pub(super) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// Signs a SHA-256 hash (RFC 8017 §8.2; RFC 8463 §3 signs the hash itself).
    pub(super) fn sign(&self, hash: &Digest) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, hash, &mut signature).ok()?;
                Some(signature)
            }
            Pair::Ed25519(pair) => Some(pair.try_sign(hash.as_ref()).ok()?.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_pem() {
        for strength in [Strength::Rsa(2048), Strength::Ed25519] {
            let key = Key::generate(strength).unwrap();
            let again = Key::from_pem(key.to_pem().unwrap().as_bytes()).unwrap();
            assert_eq!(again.strength(), strength);
            assert_eq!(again.record(), key.record());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let fault = |pem: &[u8]| Key::from_pem(pem).unwrap_err().to_string();
        assert_eq!(fault(b"hello"), "it holds no private key in PEM");
        assert_eq!(fault(b""), "it holds no private key in PEM");
        let nonsense = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(fault(nonsense).starts_with("its key is neither RSA of 2048 to 8192 bits nor Ed25519"));
        assert!(matches!(Key::generate(Strength::Rsa(1024)), Err(KeyFault::Bits(1024))));
    }

    #[test]
    fn rsa_is_read_as_pkcs1_too() {
        let key = Key::generate(Strength::Rsa(2048)).unwrap();
        let encoded: String = key.to_pem().unwrap().lines().filter(|line| !line.starts_with('-')).collect();
        // What PKCS#8 puts in front of 2048 bits of PKCS#1 takes 26 bytes.
        let pkcs1 = STANDARD.encode(&STANDARD.decode(encoded).unwrap()[26..]);
        let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
        assert_eq!(Key::from_pem(pem.as_bytes()).unwrap().record(), key.record());
    }

    #[test]
    fn a_key_of_1024_bits_is_refused() {
        const DER: &str = "\
            MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAKHxWZcsBiX89UC+\
            Ycaz+YDMK0GN6nEHZ0cEB74J5xQkJAkKUIQABr4y/bI2gxc7fy/tHlhcrd0dzquP\
            bxqFLRDDRqM9wfk8pLPXBdWuorlkquYXnf1By0WFCxy22R9PKuekB2hOFASJQ5Qr\
            u+z2dt73gdhETAYPkNwrl5Ni688XAgMBAAECgYA3aFNl5LspzjW/dCQSD0vjpHd8\
            U2kOSSEt7BQWEl9MxdzKdwv7TeMAuoOQsRQDI+ktZazHQNZ/3A31Jvs1kLFNCpqK\
            H6gJpC9M+m3KhVjyT8kMxBIZTArKu6hvMye3fikml3HgMB6iW7VMGzbTZ7gPCFcz\
            PsELmlY5W+XaaC3kKQJBAM68CSzD84F+KzTCCLR6Sx9E0KYzvS/x2sd7TKNGieox\
            mxrUIwz7PJJo6VeKok+xnlsXOXflvKDLMZpUaygaXS0CQQDIiMROdXBxGfwYdGcd\
            ThlMbWsi8tZWMITG9LduomN1YkebxSjCBJRJpzDbWggBTQNSH9g8tCsjsmjW2HmB\
            hO/TAkEAzUyaZ+QoG35p9biC4IdZtrGl6ocS51vsgZEGaFaSewnMF/Z24FtWqaaZ\
            ox+/VBj1Q0xq+5AfpCZlGfefenHD+QJAFGyxqdgWSr69yXPZqMdyljEyz01yfTbV\
            3zm/kRojDSqkZn4vR4uV2uaXeE/0LsW8R9oMeSpUln8uZGuJ/KIglwJAL5m8i6CN\
            8SZTk8KJ76olyVPYjpnZjYrI/6BwncpIuj+zghcRIVDhBEL64uExOy+GFnFHRFmb\
            efAomxUEQLBxpA==\
            ";
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{DER}\n-----END PRIVATE KEY-----\n");
        assert_eq!(
            Key::from_pem(pem.as_bytes()).unwrap_err().to_string(),
            "its key is neither RSA of 2048 to 8192 bits nor Ed25519 (TooSmall)"
        );
    }
}

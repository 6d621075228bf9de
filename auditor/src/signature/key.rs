// SPDX-License-Identifier: Apache-2.0

//! The key that signs reports.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use mhealth_api::{Key, SignatureBytes};
use rand::{rngs::OsRng, TryRngCore};
use zeroize::Zeroizing;

/// What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7).
const PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// An auditor's own key, Ed25519. It signs reports and opens nothing. `Debug` shows the public half.
///
/// Its file is PEM, as OpenSSL writes it, and not the 64 digits of a study's auditor key: neither program nor person takes the one
/// for the other.
pub struct ReportKey(SigningKey);

/// A text that is no report key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no report key: expected an Ed25519 private key in PEM, as `mhealth-auditor key new` and `openssl genpkey -algorithm \
     ed25519` make it. The study's auditor key is another one, and signs nothing"
)]
pub struct NotAReportKey;

impl std::fmt::Debug for ReportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReportKey({}, redacted)", self.public())
    }
}

impl ReportKey {
    /// Makes a key from the system's randomness.
    pub fn generate() -> std::io::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        let filled = OsRng.try_fill_bytes(&mut *seed);
        filled.map_err(std::io::Error::other)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads a key in PEM.
    pub fn from_pem(text: &str) -> Result<Self, NotAReportKey> {
        let digits = text.trim().strip_prefix(BEGIN).ok_or(NotAReportKey)?;
        let digits = digits.strip_suffix(END).ok_or(NotAReportKey)?;
        let digits: Zeroizing<String> = Zeroizing::new(digits.split_whitespace().collect());
        let bytes = STANDARD.decode(digits.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| NotAReportKey)?);
        let seed = bytes.strip_prefix(&PREFIX).ok_or(NotAReportKey)?;
        let seed = seed.try_into().map_err(|_| NotAReportKey)?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// The key in PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(PREFIX.to_vec());
        // Room for all of it at once: a vector that grows leaves a copy behind.
        bytes.reserve_exact(32);
        bytes.extend_from_slice(&*Zeroizing::new(self.0.to_bytes()));
        let digits = Zeroizing::new(STANDARD.encode(&*bytes));
        Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", &*digits))
    }

    /// The public half: what readers of reports need, from the auditor and not from the report.
    pub fn public(&self) -> Key {
        Key(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes(self.0.sign(message).to_bytes())
    }
}

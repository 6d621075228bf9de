// SPDX-License-Identifier: Apache-2.0

//! Sealing to somebody: envelopes to the participant's key pair, escrows to the study's auditor.
//!
//! RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. `info` keeps payloads
//! and escrows apart; the associated data binds an envelope to its device and position and an escrow to its
//! device, so none can be moved to another place.
//!
//! Base mode says nothing about the sender: that an envelope comes from the device is what the chain says.

use alloc::vec::Vec;
use core::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::CryptoRng;
use hpke::{
    single_shot_open, single_shot_seal, Deserializable, Kem, OpModeR, OpModeS, Serializable,
};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::envelope::{Content, Envelope, EnvelopeError, SEALED};
use crate::link::secret_commitment;
use crate::native::Native;
use crate::ratchet::Secret;

/// `info` of envelopes.
const PAYLOAD_INFO: &[u8] = b"mhealth-hashchain/1 payload";
/// `info` of escrows.
const ESCROW_INFO: &[u8] = b"mhealth-hashchain/1 escrow";

/// Bytes of an escrow: form, encapsulated key, sealed secret, authentication tag.
pub const ESCROW_LENGTH: usize = 1 + 32 + 32 + 16;

/// Public half of an X25519 key pair: what one seals to. Of a participant, or of a study's auditor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealingKey(pub [u8; 32]);

/// Private half of an X25519 key pair. Erased from memory when dropped; never printed. Destroying a
/// participant's erases what that person ever sent, everywhere, and leaves digests and tags checkable.
#[derive(ZeroizeOnDrop)]
pub struct OpeningKey([u8; 32]);

impl OpeningKey {
    /// Takes 32 bytes from a cryptographic random number generator, or from a key store.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The bytes, for a key store. Never send them, never log them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn sealing_key(&self) -> SealingKey {
        let private = StaticSecret::from(self.0);
        SealingKey(PublicKey::from(&private).to_bytes())
    }

    fn private_key(&self) -> <X25519HkdfSha256 as Kem>::PrivateKey {
        Deserializable::from_bytes(&self.0).expect("any 32 bytes are an X25519 private key; qed")
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(redacted)")
    }
}

/// Seals `content` to a participant, as the envelope of entry `sequence` of the device.
pub fn seal_envelope<R: CryptoRng>(
    participant: &SealingKey,
    device_key: &[u8; 32],
    sequence: u64,
    content: &Content<'_>,
    rng: &mut R,
) -> Result<Vec<u8>, SealError> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(content.written_length()));
    content.write(&mut plaintext);
    seal(
        participant,
        PAYLOAD_INFO,
        &entry_aad(device_key, sequence),
        &plaintext,
        rng,
    )
}

/// Opens the envelope of entry `sequence` of the device. Takes the sealed form only.
pub fn open_envelope(
    participant: &OpeningKey,
    device_key: &[u8; 32],
    sequence: u64,
    envelope: &[u8],
) -> Result<OpenedContent, OpenError> {
    let aad = entry_aad(device_key, sequence);
    let plaintext = open(participant, PAYLOAD_INFO, &aad, envelope)?;
    Content::parse(&plaintext).map_err(OpenError::Content)?;
    Ok(OpenedContent(plaintext))
}

/// Seals the secret of the device to the study's auditor.
pub fn seal_escrow<R: CryptoRng>(
    auditor: &SealingKey,
    device_key: &[u8; 32],
    secret: &Secret,
    rng: &mut R,
) -> Result<Vec<u8>, SealError> {
    seal(auditor, ESCROW_INFO, device_key, secret.expose(), rng)
}

/// Opens the escrow of a device and makes sure that what is in it is the secret that the device committed to.
pub fn open_escrow(
    auditor: &OpeningKey,
    device_key: &[u8; 32],
    commitment: &[u8; 32],
    escrow: &[u8],
) -> Result<Secret, OpenError> {
    let plaintext = open(auditor, ESCROW_INFO, device_key, escrow)?;
    let bytes = plaintext
        .as_slice()
        .try_into()
        .map_err(|_| OpenError::NotTheSecret)?;
    let secret = Secret::from_bytes(bytes);
    if secret_commitment::<Native>(&secret)
        .ct_eq(commitment)
        .into()
    {
        Ok(secret)
    } else {
        Err(OpenError::NotTheSecret)
    }
}

fn seal<R: CryptoRng>(
    to: &SealingKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, SealError> {
    let to = Deserializable::from_bytes(&to.0).map_err(|_| SealError::UnusableKey)?;
    let (encapsulated, ciphertext) = single_shot_seal::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
        _,
    >(&OpModeS::Base, &to, info, plaintext, aad, rng)
    .map_err(|_| SealError::UnusableKey)?;
    Ok([&[SEALED], encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

fn open(
    key: &OpeningKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Envelope::Sealed {
        encapsulated,
        ciphertext,
    } = Envelope::parse(sealed).map_err(OpenError::Form)?
    else {
        return Err(OpenError::NotSealed);
    };
    let encapsulated =
        Deserializable::from_bytes(encapsulated).map_err(|_| OpenError::Undecipherable)?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.private_key(),
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| OpenError::Undecipherable)
}

/// Associated data of an envelope: device key ‖ u64 sequence.
fn entry_aad(device_key: &[u8; 32], sequence: u64) -> [u8; 40] {
    let mut aad = [0; 40];
    aad[..32].copy_from_slice(device_key);
    aad[32..].copy_from_slice(&sequence.to_be_bytes());
    aad
}

/// What was in a sealed envelope. Erased from memory when dropped; printing it shows the length only.
pub struct OpenedContent(Zeroizing<Vec<u8>>);

impl OpenedContent {
    /// Media type and payload.
    pub fn content(&self) -> Content<'_> {
        Content::parse(&self.0).expect("was parsed when it was opened; qed")
    }
}

impl fmt::Debug for OpenedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content().fmt(f)
    }
}

/// Nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The public key is one for which sealing hides nothing (all zero or of small order).
    UnusableKey,
}

impl SealError {
    /// The error as one lower-case name. Stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::UnusableKey => "unusable-key",
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusableKey => f.write_str("the public key to seal to is not usable"),
        }
    }
}

impl core::error::Error for SealError {}

/// Nothing was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The bytes are no envelope.
    Form(EnvelopeError),
    /// The envelope is of the plain form: it needs no key, and an escrow must not have it.
    NotSealed,
    /// Altered, sealed to another key, for another device, position or purpose. Which of these cannot be told.
    Undecipherable,
    /// It opened, but what is inside is no content.
    Content(EnvelopeError),
    /// It opened, but what is inside is not the secret that the device committed to at enrolment.
    NotTheSecret,
}

impl OpenError {
    /// The error as one lower-case name. Stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Form(error) => error.as_str(),
            Self::NotSealed => "not-sealed",
            Self::Undecipherable => "undecipherable",
            Self::Content(_) => "bad-content",
            Self::NotTheSecret => "not-the-secret",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(error) => error.fmt(f),
            Self::NotSealed => f.write_str("the envelope is not sealed"),
            Self::Undecipherable => {
                f.write_str("altered, or sealed to another key, device, position or purpose")
            }
            Self::Content(error) => write!(f, "the opened envelope has no valid content: {error}"),
            Self::NotTheSecret => {
                f.write_str("the escrow does not hold the secret that the device committed to")
            }
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Form(error) | Self::Content(error) => Some(error),
            Self::NotSealed | Self::Undecipherable | Self::NotTheSecret => None,
        }
    }
}

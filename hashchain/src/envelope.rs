// SPDX-License-Identifier: Apache-2.0

//! What is inside an envelope: how its forms are told apart, and the plain one.
//!
//! ```text
//! plain form     0x00 ‖ 32 random bytes ‖ lp(media type) ‖ payload
//! sealed form    0x01 ‖ HPKE encapsulated key (32 bytes) ‖ ciphertext of (lp(media type) ‖ payload)
//! ```
//!
//! The chain and the relay treat an envelope as bytes; its digest covers all of them, whatever they are.
//! The random bytes of the plain form keep a digest from being guessed from a likely payload. The sealed
//! form is made and opened by `seal_envelope` and `open_envelope` (feature `hpke`).

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::length_prefix;

/// First byte of the plain form.
pub(crate) const PLAIN: u8 = 0;
/// First byte of the sealed form.
pub(crate) const SEALED: u8 = 1;

/// Most bytes of a media type.
pub const MAX_MEDIA_TYPE_LENGTH: usize = 255;

/// A media type and the payload that it describes. Printing it shows the payload's length only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    media_type: &'a str,
    payload: &'a [u8],
}

impl<'a> Content<'a> {
    /// Takes a media type (RFC 6838: 1 to 255 printable ASCII characters) and a payload of any length.
    pub fn new(media_type: &'a str, payload: &'a [u8]) -> Result<Self, EnvelopeError> {
        let printable = media_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if media_type.is_empty() || media_type.len() > MAX_MEDIA_TYPE_LENGTH || !printable {
            return Err(EnvelopeError::BadMediaType);
        }
        Ok(Self {
            media_type,
            payload,
        })
    }

    /// Reads `lp(media type) ‖ payload`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (length, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or(EnvelopeError::TooShort)?;
        let length = usize::try_from(u32::from_be_bytes(*length))
            .map_err(|_| EnvelopeError::BadMediaType)?;
        let (media_type, payload) = rest
            .split_at_checked(length)
            .ok_or(EnvelopeError::TooShort)?;
        let media_type =
            core::str::from_utf8(media_type).map_err(|_| EnvelopeError::BadMediaType)?;
        Self::new(media_type, payload)
    }

    /// The media type.
    pub fn media_type(&self) -> &'a str {
        self.media_type
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Appends `lp(media type) ‖ payload`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&length_prefix(self.media_type.as_bytes()));
        out.extend_from_slice(self.media_type.as_bytes());
        out.extend_from_slice(self.payload);
    }

    /// Bytes that [`Content::write`] appends.
    pub(crate) fn written_length(&self) -> usize {
        4 + self.media_type.len() + self.payload.len()
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Content({}, {} bytes)",
            self.media_type,
            self.payload.len()
        )
    }
}

/// An envelope, taken apart as far as that goes without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Anybody can read it.
    Plain {
        /// 32 random bytes.
        random: &'a [u8; 32],
        /// Media type and payload.
        content: Content<'a>,
    },
    /// Only the holder of the participant's private key can read it.
    Sealed {
        /// HPKE encapsulated key.
        encapsulated: &'a [u8; 32],
        /// Ciphertext of `lp(media type) ‖ payload`, with its 16-byte authentication tag at the end.
        ciphertext: &'a [u8],
    },
}

impl<'a> Envelope<'a> {
    /// Tells the forms apart and takes the bytes to pieces. Does not copy, does not decrypt.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (&form, rest) = bytes.split_first().ok_or(EnvelopeError::TooShort)?;
        if form != PLAIN && form != SEALED {
            return Err(EnvelopeError::UnknownForm(form));
        }
        let (first, rest) = rest
            .split_first_chunk::<32>()
            .ok_or(EnvelopeError::TooShort)?;
        if form == PLAIN {
            return Ok(Self::Plain {
                random: first,
                content: Content::parse(rest)?,
            });
        }
        if rest.len() < 16 {
            return Err(EnvelopeError::TooShort);
        }
        Ok(Self::Sealed {
            encapsulated: first,
            ciphertext: rest,
        })
    }
}

/// The plain form of an envelope, for studies that want no encryption. The random bytes must be fresh ones
/// from a cryptographic random number generator.
pub fn plain_envelope(random: &[u8; 32], content: &Content<'_>) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(33 + content.written_length());
    envelope.push(PLAIN);
    envelope.extend_from_slice(random);
    content.write(&mut envelope);
    envelope
}

/// The bytes are no envelope, or their content is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The bytes end before the form says they should.
    TooShort,
    /// The first byte names a form that this version does not know.
    UnknownForm(u8),
    /// The media type is empty, longer than 255 bytes, or not printable ASCII.
    BadMediaType,
}

impl EnvelopeError {
    /// The error as one lower-case name. Stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::UnknownForm(_) => "unknown-form",
            Self::BadMediaType => "bad-media-type",
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("the envelope ends too early"),
            Self::UnknownForm(form) => write!(f, "envelopes of form {form} are not known"),
            Self::BadMediaType => {
                f.write_str("the media type is not 1 to 255 printable ASCII characters")
            }
        }
    }
}

impl core::error::Error for EnvelopeError {}

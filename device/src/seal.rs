// SPDX-License-Identifier: Apache-2.0

//! From a payload to an envelope, and from a secret to its escrow.

use hashchain::parts::Split;
use hashchain::{
    plain_envelope, seal_envelope, seal_escrow, split, Content, Native, SealingKey, Secret,
    MAX_RECORD_LENGTH,
};
use mhealth_api::MAX_ENVELOPE_LENGTH;
use rand::{CryptoRng, RngCore};

use crate::{error::Error, key::PublicKey};

/// Something to seal.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The caller's name for it, unique for the device, such as the day of the night: the same source is never
    /// sealed twice, whatever happens in between.
    pub source: &'a str,
    /// Says how to read the payload; see [`MEDIA_TYPE`](crate::payload::MEDIA_TYPE).
    pub media_type: &'a str,
    /// The bytes.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Longest payload of one entry, in bytes. A night takes about one and a half thousand. What is longer would have an
    /// envelope that some relay may refuse, and every later entry would wait behind it for ever: it is sealed in
    /// [parts](hashchain::parts). The envelope itself is compared with [`MAX_ENVELOPE_LENGTH`], too.
    pub const MAX_PAYLOAD_LENGTH: usize = MAX_ENVELOPE_LENGTH - 512;

    /// Longest payload that is sealed at all, in bytes. What is longer is refused before anything is sealed.
    pub const MAX_LENGTH: usize = MAX_RECORD_LENGTH - 512;

    /// What tells it from another record of the same source: all of it.
    pub fn content(&self) -> Vec<u8> {
        [self.media_type.as_bytes(), b"\0", self.payload].concat()
    }
}

/// Who shall be able to read an envelope.
#[derive(Clone, Copy, Debug)]
pub enum Recipient<'a> {
    /// Whoever gets hold of it: the plain form, for studies that want no encryption.
    Anybody,
    /// The holder of the participant's private key: HPKE to this public key. When the private key is destroyed, what
    /// was sealed to it is erased everywhere, and its digests and tags stay checkable.
    Participant(&'a SealingKey),
}

/// The parts of a record that is longer than an entry may be; none of one that fits.
pub(crate) fn in_parts(record: &Record<'_>) -> Result<Option<Split>, Error> {
    if record.payload.len() <= Record::MAX_PAYLOAD_LENGTH {
        return Ok(None);
    }
    let content = Content::new(record.media_type, record.payload)
        .map_err(|error| Error::Unsealable(error.to_string()))?;
    let most = Record::MAX_LENGTH;
    if record.payload.len() > most {
        return Err(Error::TooLarge { most });
    }
    split::<Native>(&content, Record::MAX_PAYLOAD_LENGTH)
        .map(Some)
        .map_err(|_| Error::TooLarge { most })
}

/// The envelope of a device's entry `sequence`.
pub(crate) fn envelope<R: CryptoRng + RngCore>(
    record: &Record<'_>,
    recipient: Recipient<'_>,
    device: &PublicKey,
    sequence: u64,
    rng: &mut R,
) -> Result<Vec<u8>, Error> {
    let most = Record::MAX_PAYLOAD_LENGTH;
    if record.payload.len() > most {
        return Err(Error::TooLarge { most });
    }
    let content = Content::new(record.media_type, record.payload)
        .map_err(|error| Error::Unsealable(error.to_string()))?;
    let envelope = match recipient {
        Recipient::Anybody => {
            let mut random = [0; 32];
            rng.fill_bytes(&mut random);
            plain_envelope(&random, &content)
        }
        Recipient::Participant(key) => seal_envelope(key, &device.0, sequence, &content, rng)
            .map_err(|error| Error::Unsealable(error.to_string()))?,
    };
    match envelope.len() <= MAX_ENVELOPE_LENGTH {
        true => Ok(envelope),
        false => Err(Error::TooLarge { most }),
    }
}

/// The device's secret, sealed to the study's auditor. It is on chain, so a lost or hacked server cannot take it
/// away.
pub(crate) fn escrow<R: CryptoRng + RngCore>(
    secret: &Secret,
    auditor_key: &[u8; 32],
    device: &PublicKey,
    rng: &mut R,
) -> Result<Vec<u8>, Error> {
    seal_escrow(&SealingKey(*auditor_key), &device.0, secret, rng)
        .map_err(|error| Error::Unsealable(error.to_string()))
}

// SPDX-License-Identifier: Apache-2.0

//! From a payload to an envelope, and from a secret to its escrow.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use hashchain::{
    parts::Split, plain_envelope, seal_envelope, seal_escrow, split, Content, Entry, Native,
    SealingKey, Secret, MAX_RECORD_LENGTH, PART_MEDIA_TYPE,
};
use mhealth_api::MAX_ENVELOPE_LENGTH;
use rand::{CryptoRng, RngCore};

use crate::{
    book::{short_digest, Book, DeviceRecord, LocalId, SealedEntry},
    error::Error,
    key::PublicKey,
};

/// Name of the parameter of a media type that names the entry which this one corrects.
const CORRECTS: &str = ";corrects=";

/// The media type of a record that takes the place of the device's entry `sequence`.
pub fn correcting(media_type: &str, sequence: u64) -> String {
    format!("{media_type}{CORRECTS}{sequence}")
}

/// A media type without what [`correcting`] added to it, and the entry that it names.
pub fn corrected(media_type: &str) -> (&str, Option<u64>) {
    let named = media_type
        .rsplit_once(CORRECTS)
        .and_then(|(plain, digits)| Some((plain, digits, digits.parse::<u64>().ok()?)));
    match named {
        Some((plain, digits, sequence)) if digits == sequence.to_string() && sequence > 0 => {
            (plain, Some(sequence))
        }
        _ => (media_type, None),
    }
}

/// Something to seal.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The caller's name for it, unique for the device, such as the day of the night: the same source is never
    /// sealed twice, whatever happens in between.
    pub source: &'a str,
    /// Says how to read the payload, such as `application/vnd.mhealth-chain.night+json`.
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

/// What sealing a record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A new entry; of a record in parts, the last of them.
    New(Entry),
    /// Its source was sealed before with the same content, as the entry of this sequence (of a record in parts, the last
    /// of them); nothing was written.
    Before(u64),
    /// Its source was sealed before with other content, as the entry of this sequence; nothing was written.
    Differs(u64),
}

/// What is done with a record whose source was sealed before with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not sealed: [`Sealed::Differs`].
    Refuse,
    /// It is sealed as a new entry, whose media type names the entry that it
    /// [corrects](correcting).
    Correct,
}

/// Seals a record as the device's next entry; one that is longer than an entry may be, as several, which are its
/// [parts](hashchain::parts). Its source said `content`: two payloads that were made of it may differ in identifiers and times, and
/// say the same. The same source is sealed once.
pub fn seal<B: Book, R: CryptoRng + RngCore>(
    book: &B,
    id: LocalId,
    record: &Record<'_>,
    content: &[u8],
    change: Change,
    recipient: Recipient<'_>,
    rng: &mut R,
) -> Result<Sealed, Error> {
    let media_type = match sealed_before(book, id, record.source, content)? {
        Some(Sealed::Differs(before)) if change == Change::Correct => {
            Some(correcting(record.media_type, before))
        }
        Some(sealed) => return Ok(sealed),
        None => None,
    };
    let device = book.device(id)?;
    if let Some(reason) = device.frozen {
        return Err(Error::Frozen {
            key: device.key,
            reason,
        });
    }
    let named = match recipient {
        Recipient::Anybody => None,
        Recipient::Participant(key) => Some(key.0),
    };
    match (device.recipient, named) {
        (known, named) if known == named => {}
        // Named with the first entry, of a device that is not enrolled yet.
        (None, Some(_)) => book.set_recipient(id, named)?,
        _ => return Err(Error::AnotherParticipantKey),
    }
    let record = Record {
        media_type: media_type.as_deref().unwrap_or(record.media_type),
        ..*record
    };
    let Some(split) = in_parts(&record)? else {
        let entry = append(book, &device, &record, content, recipient, rng)?;
        return Ok(Sealed::New(entry));
    };
    let mut last = None;
    for part in split.parts() {
        let record = Record {
            source: record.source,
            media_type: PART_MEDIA_TYPE,
            payload: &part.payload(),
        };
        last = Some(append(book, &device, &record, content, recipient, rng)?);
    }
    Ok(Sealed::New(
        last.expect("a record is cut into two parts at least; qed"),
    ))
}

/// The next entry of the device.
fn append<B: Book, R: CryptoRng + RngCore>(
    book: &B,
    device: &DeviceRecord,
    record: &Record<'_>,
    content: &[u8],
    recipient: Recipient<'_>,
    rng: &mut R,
) -> Result<Entry, Error> {
    let sealer = book.sealer(device.id)?;
    let sequence = sealer.sequence() + 1;
    let envelope = envelope(record, recipient, &device.key, sequence, rng)?;
    let (entry, after) = sealer.draft(&hashchain::data_digest::<Native>(&envelope));
    let sealed = SealedEntry {
        source: record.source,
        content: content_digest(book, device.id, record.source, content),
        entry: &entry,
        envelope: &envelope,
    };
    book.write_entry(device.id, &sealed, &after)?;
    Ok(entry)
}

/// Whether a source was sealed before, and with this content; `None` if it never was. Of several entries of a source the last one
/// counts.
pub fn sealed_before<B: Book>(
    book: &B,
    id: LocalId,
    source: &str,
    content: &[u8],
) -> Result<Option<Sealed>, Error> {
    let Some((sequence, digest)) = book.last_of_source(id, source)? else {
        return Ok(None);
    };
    let same = digest == content_digest(book, id, source, content);
    Ok(Some(match same {
        true => Sealed::Before(sequence),
        false => Sealed::Differs(sequence),
    }))
}

/// Tells whether two contents of a source are the same, and nothing to whoever does not have the book.
fn content_digest<B: Book>(book: &B, id: LocalId, source: &str, content: &[u8]) -> [u8; 16] {
    let (device, length) = (id.0.to_be_bytes(), (source.len() as u64).to_be_bytes());
    short_digest(&[
        b"mhealth-device/content",
        &book.salt(),
        &device,
        &length,
        source.as_bytes(),
        content,
    ])
}

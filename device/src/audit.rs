// SPDX-License-Identifier: Apache-2.0

//! Whether a book is whole: checked each time it is opened, before anything is sealed with it.

use alloc::string::ToString;

use hashchain::Verifier;

use crate::{
    book::{genesis, Book, DeviceRecord},
    error::Error,
};

/// Checks each device: its key, its enrolment, every link and envelope, its position.
pub fn audit<B: Book>(book: &B) -> Result<(), Error> {
    book.devices()?
        .iter()
        .try_for_each(|device| audit_device(book, device))
}

fn audit_device<B: Book>(book: &B, device: &DeviceRecord) -> Result<(), Error> {
    if book.device_key(device.id)?.public() != device.key {
        return Err(book.corrupt("a device's private key is not that of its public key".into()));
    }
    let begin = genesis(
        book.terms(),
        &device.key,
        device.predecessor.as_ref(),
        &device.secret_commitment,
        &device.escrow,
    );
    if begin != device.genesis {
        return Err(book.corrupt("a device's chain does not start from its enrolment".into()));
    }
    let verifier = follow_entries(book, device)?;
    if verifier.sequence() != device.length || verifier.head() != device.head {
        return Err(book.corrupt("a device's entries do not end in its head".into()));
    }
    book.sealer(device.id).map(drop)
}

fn follow_entries<B: Book>(book: &B, device: &DeviceRecord) -> Result<Verifier, Error> {
    let mut verifier = Verifier::without_secret(device.genesis);
    let mut refusal = None;
    book.each_entry(device.id, &mut |entry, envelope| {
        refusal = verifier.check(entry, Some(envelope)).err();
        refusal.is_none()
    })?;
    match refusal {
        None => Ok(verifier),
        Some(refusal) => Err(book.corrupt(refusal.to_string())),
    }
}

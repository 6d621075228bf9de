// SPDX-License-Identifier: Apache-2.0

//! Getting devices enrolled.

use alloc::vec::Vec;
use hashchain::DeviceId;
use mhealth_api::Code;

use crate::{
    book::{Book, DeviceRecord, LocalId},
    chain::{Chain, ChainFault, ChainRefusal, Enrolment},
    error::Error,
    sync::{sync, SyncError},
    upload::Refused,
};

/// Makes sure that the chain knows every device of the file. A device that it knows already is found by its key and
/// must be enrolled under the terms of this file; otherwise it is stopped. `enrolled` is told of how many devices the
/// chain has decided. An enrolment that cannot be proved yet is proved when the device is compared with the chain next.
pub async fn enrol_all<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    enrol(book, chain, book.devices()?, enrolled).await
}

/// [`enrol_all`] for some devices of a file.
pub async fn enrol<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    mut strangers: Vec<DeviceRecord>,
    enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    strangers.retain(|device| device.number.is_none() && device.frozen.is_none());
    let (refused, unproved) = redeem(book, chain, strangers, enrolled).await?;
    for fault in unproved {
        tracing::warn!(%fault, "an enrolment is not proved yet");
    }
    Ok(refused)
}

/// Enrols devices whose enrolment is not proved, also those of which a server named the number before: it may have lied. Gives who
/// was refused, and why others are not proved yet.
pub(crate) async fn redeem<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    strangers: Vec<DeviceRecord>,
    mut enrolled: impl FnMut(usize),
) -> Result<(Vec<Refused>, Vec<ChainFault>), SyncError> {
    book.expect_chain(&chain.genesis())?;
    let (mut refused, mut unproved) = (Vec::new(), Vec::new());
    for devices in strangers.chunks(chain.policy().enrolments_at_a_time.max(1)) {
        let enrolments = devices
            .iter()
            .map(|device| enrolment(book, device))
            .collect::<Result<Vec<_>, _>>()?;
        let decisions = chain.enrol(book.terms().study, enrolments).await?;
        let mut said = Vec::new();
        book.together(|| {
            for (device, decision) in devices.iter().zip(decisions) {
                match decision {
                    Ok(found) => {
                        book.set_said(device.id, Some(found.number))?;
                        said.push((device.id, found.number));
                    }
                    Err(refusal) => refused.push(Refused {
                        device: device.key,
                        sequence: 0,
                        refusal,
                    }),
                }
            }
            Ok::<(), SyncError>(())
        })?;
        unproved.extend(prove_enrolments(book, chain, &said).await?);
        enrolled(devices.len());
    }
    Ok((refused, unproved))
}

/// Has the chain's record of devices proved under the numbers that were said. Stops those that it has under other terms than
/// this file. Gives why some are not proved yet.
async fn prove_enrolments<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    said: &[(LocalId, DeviceId)],
) -> Result<Vec<ChainFault>, SyncError> {
    let Some((first, number)) = said.first() else {
        return Ok(Vec::new());
    };
    let fault = match chain.introduce(*number, &book.device_key(*first)?).await {
        Ok(Ok(())) => None,
        Ok(Err(refusal)) => {
            forget_word(book, *first, &refusal)?;
            Some(ChainFault {
                code: refusal.code,
                message: refusal.message,
                passing: true,
            })
        }
        Err(fault) => Some(fault),
    };
    // That a device is retired is a server's word. Relays that are remembered prove it, and ask for no token.
    let is_the_end = |fault: &ChainFault| fault.code != Code::DeviceRetired.as_str();
    if fault.as_ref().is_some_and(is_the_end) {
        return Ok(fault.into_iter().collect()); // Nobody is known who could be asked.
    }
    let ids: Vec<LocalId> = said.iter().map(|(id, _)| *id).collect();
    let compared = sync(book, chain, &ids).await?;
    let unproved: Vec<ChainFault> = compared.into_iter().filter_map(Result::err).collect();
    Ok(match unproved.is_empty() {
        true => unproved,
        false => fault.into_iter().chain(unproved).collect(),
    })
}

/// Forgets the number that a server said a device has, when it knows no such device now. The device redeems its code once more.
pub(crate) fn forget_word<B: Book>(
    book: &B,
    id: LocalId,
    refusal: &ChainRefusal,
) -> Result<(), Error> {
    match refusal.code == Code::UnknownDevice.as_str() && !book.device(id)?.proved {
        true => book.set_said(id, None),
        false => Ok(()),
    }
}

fn enrolment<B: Book>(book: &B, device: &DeviceRecord) -> Result<Enrolment, SyncError> {
    Ok(Enrolment {
        device: device.clone(),
        key: book.device_key(device.id)?,
        code: book.code(device.id)?,
    })
}

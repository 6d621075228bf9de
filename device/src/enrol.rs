// SPDX-License-Identifier: Apache-2.0

//! Getting devices enrolled.

use alloc::vec::Vec;
use hashchain::DeviceId;

use crate::{
    book::{Book, DeviceRecord, LocalId},
    chain::{Chain, Enrolment},
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
    mut enrolled: impl FnMut(usize),
) -> Result<Vec<Refused>, SyncError> {
    book.expect_chain(&chain.genesis())?;
    strangers.retain(|device| device.number.is_none() && device.frozen.is_none());
    let mut refused = Vec::new();
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
        prove_enrolments(book, chain, &said).await?;
        enrolled(devices.len());
    }
    Ok(refused)
}

/// Has the chain's record of devices proved under the numbers that were said. Stops those that it has under other terms than
/// this file.
async fn prove_enrolments<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    said: &[(LocalId, DeviceId)],
) -> Result<(), SyncError> {
    let Some((first, number)) = said.first() else {
        return Ok(());
    };
    let introduced = chain.introduce(*number, &book.device_key(*first)?).await;
    if !matches!(introduced, Ok(Ok(()))) {
        return Ok(()); // Nobody is known who could be asked.
    }
    let ids: Vec<LocalId> = said.iter().map(|(id, _)| *id).collect();
    for compared in sync(book, chain, &ids).await? {
        if let Err(fault) = compared {
            tracing::warn!(%fault, "an enrolment is not proved yet");
        }
    }
    Ok(())
}

fn enrolment<B: Book>(book: &B, device: &DeviceRecord) -> Result<Enrolment, SyncError> {
    Ok(Enrolment {
        device: device.clone(),
        key: book.device_key(device.id)?,
        code: book.code(device.id)?,
    })
}

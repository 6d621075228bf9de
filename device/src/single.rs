// SPDX-License-Identifier: Apache-2.0

//! One device's way to the chain.

use hashchain::DeviceId;
use mhealth_api::Code;

use crate::{
    book::{Book, EnrolmentCode, LocalId},
    chain::{before, Chain, ChainFault, ChainRefusal},
    enrol,
    error::Error,
    sync::{self, Standing, SyncError},
    upload,
};

/// Most entries of a run that [`upload_one`] forms.
const RUN_LENGTH: u32 = 16;

/// Enrols a device with a code that the study's staff handed out, and gives its number on the chain, as it is proved. The code is kept
/// until then: after a failure the same call goes on where it was, with the same bytes. A device that is enrolled already redeems
/// nothing. `keep` stores the code.
pub async fn enrol_one<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
    code: &EnrolmentCode,
    keep: impl FnOnce(&EnrolmentCode) -> Result<(), Error>,
) -> Result<DeviceId, SyncError> {
    let before = book.device(id)?;
    let mut fault = None;
    if !before.proved && before.frozen.is_none() {
        keep(code)?;
        let (refused, unproved) = enrol::redeem(book, chain, vec![before], |_| ()).await?;
        if let Some(refused) = refused.into_iter().next() {
            return Err(refused.refusal.into());
        }
        fault = unproved.into_iter().next();
    }
    let device = book.device(id)?;
    if let Some(reason) = device.frozen {
        let key = device.key;
        return Err(Error::Frozen { key, reason }.into());
    }
    let proved = device.number.filter(|_| device.proved);
    proved.ok_or_else(|| SyncError::Chain(not_proved(fault)))
}

/// A server says that a device is enrolled, and nobody has proved it.
fn not_proved(why: Option<ChainFault>) -> ChainFault {
    match why {
        Some(fault) => ChainFault {
            message: format!("Nobody proves yet that the device is enrolled. {fault}"),
            passing: true,
            ..fault
        },
        None => ChainFault {
            code: "not_enrolled".into(),
            message: "The device is not enrolled yet.".into(),
            passing: true,
        },
    }
}

/// Compares a device with the chain, sends what the chain lacks, and waits until that is finalised. Whatever goes wrong, what was
/// not finalised stays queued, and the next call sends the same bytes.
pub async fn upload_one<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
) -> Result<Standing, SyncError> {
    if let Some(stopped) = introduce(book, chain, id).await? {
        return Ok(stopped);
    }
    let refused = upload::upload(book, chain, &[id], RUN_LENGTH, |_| ()).await?;
    match (refused.into_iter().next(), book.device(id)?) {
        (None, device) => Ok(Standing::from(&device)),
        (Some(refused), device) if device.frozen.is_none() => Err(not_stopped(refused.refusal)),
        (Some(refused), _) => Err(refused.refusal.into()),
    }
}

/// Compares a device with the finalised head that the chain has of it, and marks what is finalised. A head that is not the
/// device's own stops it: it seals and sends nothing more.
pub async fn sync_one<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
) -> Result<Standing, SyncError> {
    book.expect_chain(&chain.genesis())?;
    if let Some(stopped) = introduce(book, chain, id).await? {
        return Ok(stopped);
    }
    let standings = sync::sync(book, chain, &[id]).await?;
    match standings.into_iter().next() {
        Some(compared) => Ok(compared?),
        None => Ok(Standing::Unenrolled),
    }
}

/// The number of a device with which something was sealed, if relays prove that the chain has it, whatever a server says of its code.
pub(crate) async fn prove_one<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
) -> Result<Option<DeviceId>, SyncError> {
    if book.device(id)?.length == 0 {
        return Ok(None);
    }
    loop {
        let had_number = book.device(id)?.number.is_some();
        let ids = [id];
        let proving = sync::sync(book, chain, &ids);
        before(chain.half_time(), proving).await.transpose()?;
        let device = book.device(id)?;
        // The number that a server named was not its own. Relays find it by its key.
        if had_number && device.number.is_none() && device.frozen.is_none() {
            continue;
        }
        let is_enrolled = device.proved && device.frozen.is_none();
        return Ok(device.number.filter(|_| is_enrolled));
    }
}

/// Makes the way to the chain known to a device. `Some`: the device was refused, because it was stopped for good.
async fn introduce<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
) -> Result<Option<Standing>, SyncError> {
    let Some(number) = book.device(id)?.number else {
        return Ok(None);
    };
    let key = book.device_key(id)?;
    let Err(refusal) = chain.introduce(number, &key).await? else {
        return Ok(None);
    };
    // That is a server's word. Relays prove it, and ask for no token. If they do not, there has to be time to say so.
    if refusal.code == Code::DeviceRetired.as_str() {
        let ids = [id];
        let proving = sync::sync(book, chain, &ids);
        before(chain.half_time(), proving).await.transpose()?;
    }
    enrol::forget_word(book, id, &refusal)?;
    match book.device(id)?.frozen {
        Some(reason) => Ok(Some(Standing::Frozen(reason))),
        None => Err(not_stopped(refusal)),
    }
}

/// What a refusal is to a device that was not stopped: that it is retired is no more than somebody's word.
fn not_stopped(refusal: ChainRefusal) -> SyncError {
    if refusal.code != Code::DeviceRetired.as_str() {
        return refusal.into();
    }
    SyncError::Chain(ChainFault {
        code: "retirement_not_proved".into(),
        message: "A server says that the study has retired the device, and nobody proves it yet. Nothing was stopped, and nothing \
                  is lost."
            .into(),
        passing: true,
    })
}

// SPDX-License-Identifier: Apache-2.0

//! The receipt of an erasure on the chain: what there is to do for an order, and whether it may be done at all.
//!
//! A device of which a receipt is written never writes again, and audits call its entries erased: nothing undoes it. So everything is
//! checked before anything is called, of all devices. Relays check orders by the same rules: [`check`], [`check_device`].

use hashchain::{DeviceId, StudyId};
use mhealth_api::{DeviceStatus, ErasureOrder};
use subxt::utils::{AccountId32, H256};

use crate::call::Call;
use crate::calls;
use crate::client::ChainClient;
use crate::error::Error;
use crate::types::{ErasureReceipt, SuspensionReason};
use crate::view::ChainView;

/// Why nothing is written to the chain for an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErasureFault {
    /// It names the first block of another chain than the node has.
    #[error("The order is of another chain.")]
    OtherChain,
    /// It names no devices, too many, one twice, or not in the order of their numbers.
    #[error("An order names 1 to 64 devices, each once and in the order of their numbers.")]
    NotInOrder,
    /// It is not as a holder of participants' keys signed it.
    #[error("The order is not as its holder signed it.")]
    NotSigned,
    /// The account that was to write is not the sponsor of the order's study.
    #[error(
        "The account is not the sponsor of study {0}, who alone writes that data were erased."
    )]
    NotTheSponsor(StudyId),
    /// The chain has no such device.
    #[error("There is no device {0} on this chain.")]
    UnknownDevice(DeviceId),
    /// A device belongs to another study.
    #[error("Device {0} is not of the order's study.")]
    OtherStudy(DeviceId),
    /// A device belongs to another participant.
    #[error("Device {0} seals its data to another participant's key than the order's.")]
    OtherParticipant(DeviceId),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] Error),
}

impl ErasureFault {
    /// A stable name, which does not change when the wording does.
    pub fn code(&self) -> &'static str {
        match self {
            ErasureFault::OtherChain => "wrong_chain",
            ErasureFault::NotInOrder => "invalid_order",
            ErasureFault::NotSigned => "bad_order_signature",
            ErasureFault::NotTheSponsor(_) => "only_the_sponsor",
            ErasureFault::UnknownDevice(_) => "unknown_device",
            ErasureFault::OtherStudy(_) => "wrong_study",
            ErasureFault::OtherParticipant(_) => "other_participant",
            ErasureFault::Chain(error) => error.code(),
        }
    }
}

/// How it stands about the receipt of one device.
#[derive(Clone, Debug)]
pub struct ErasureStep {
    /// The device.
    pub device: DeviceId,
    /// The receipt that the chain has of it, of this order or another.
    pub written: Option<ErasureReceipt>,
    /// What the sponsor has to call, one after the other. Nothing when there is a receipt.
    pub calls: Vec<Call>,
}

impl ChainClient {
    /// What there is to do for the receipt of an order, device by device, as the chain stands in this view. With the account that
    /// would do it, which has to be the sponsor of the study.
    pub async fn erasure_steps(
        &self,
        view: &ChainView,
        order: &ErasureOrder,
        account: Option<&AccountId32>,
    ) -> Result<Vec<ErasureStep>, ErasureFault> {
        check(order, self.genesis_hash())?;
        if let Some(account) = account {
            let study = view.study(order.study).await?;
            if study.is_none_or(|study| study.sponsor != *account) {
                return Err(ErasureFault::NotTheSponsor(order.study));
            }
        }
        let mut steps = Vec::new();
        for &device in &order.devices {
            let found = view.device(device).await?;
            let found = found.ok_or(ErasureFault::UnknownDevice(device))?;
            check_device(order, device, found.study, found.participant)?;
            let written = view.erasure(device).await?;
            steps.push(ErasureStep {
                device,
                calls: match written {
                    Some(_) => Vec::new(),
                    None => calls_for(device, found.status, order.receipt().0),
                },
                written,
            });
        }
        Ok(steps)
    }
}

/// What is seen from the order alone: that it is of the chain with this genesis block, names its devices as it should, and is as its
/// holder signed it. Whether that holder may order anything, whoever asks has to know. Errors, in this order:
/// [`ErasureFault::OtherChain`], [`ErasureFault::NotInOrder`], [`ErasureFault::NotSigned`].
pub fn check(order: &ErasureOrder, genesis: H256) -> Result<(), ErasureFault> {
    if order.chain.0 != genesis.0 {
        return Err(ErasureFault::OtherChain);
    }
    if !order.is_in_order() {
        return Err(ErasureFault::NotInOrder);
    }
    if !order.is_signed() {
        return Err(ErasureFault::NotSigned);
    }
    Ok(())
}

/// Whether a device, which the chain has in this study and with the hash of this participant's key, is one of the study and
/// participant that the order is about. Errors, in this order: [`ErasureFault::OtherStudy`], [`ErasureFault::OtherParticipant`].
pub fn check_device(
    order: &ErasureOrder,
    device: DeviceId,
    study: StudyId,
    participant: H256,
) -> Result<(), ErasureFault> {
    if study != order.study {
        return Err(ErasureFault::OtherStudy(device));
    }
    if participant.0 != order.participant.0 {
        return Err(ErasureFault::OtherParticipant(device));
    }
    Ok(())
}

/// A device that may still write is suspended before, as its participant has withdrawn.
fn calls_for(device: DeviceId, status: DeviceStatus, receipt: [u8; 32]) -> Vec<Call> {
    let suspend = calls::suspend(device, SuspensionReason::Withdrawn);
    let suspend = (status == DeviceStatus::Active).then_some(suspend);
    let erase = calls::erase(device, receipt);
    suspend.into_iter().chain([erase]).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use mhealth_api::{Hash, Key, SignatureBytes};

    use super::*;

    const GENESIS: H256 = H256([1; 32]);
    const PARTICIPANT: H256 = H256([3; 32]);

    fn signed(change: impl FnOnce(&mut ErasureOrder)) -> ErasureOrder {
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut order = ErasureOrder {
            chain: Hash(GENESIS.0),
            study: StudyId(2),
            participant: Hash(PARTICIPANT.0),
            devices: vec![DeviceId(13), DeviceId(14)],
            erased_at: 6,
            record: ErasureOrder::record_of("request 7"),
            holder: Key(key.verifying_key().to_bytes()),
            signature: SignatureBytes([0; 64]),
        };
        change(&mut order);
        order.signature = SignatureBytes(key.sign(&order.statement()).to_bytes());
        order
    }

    #[test]
    fn an_order_counts_on_its_own_chain_and_as_it_was_signed() {
        let order = signed(|_| ());
        assert_eq!(check(&order, GENESIS), Ok(()));
        let elsewhere = check(&order, H256([9; 32]));
        assert_eq!(elsewhere, Err(ErasureFault::OtherChain));
        let twice = signed(|order| order.devices = vec![DeviceId(13), DeviceId(13)]);
        assert_eq!(check(&twice, GENESIS), Err(ErasureFault::NotInOrder));
        // One wrong digit.
        let mut another = order;
        another.devices = vec![DeviceId(13), DeviceId(31)];
        assert_eq!(check(&another, GENESIS), Err(ErasureFault::NotSigned));
    }

    #[test]
    fn only_the_participants_own_devices_are_erased() {
        let order = signed(|_| ());
        let device = DeviceId(13);
        let of = |study, participant| check_device(&order, device, study, participant);
        assert_eq!(of(StudyId(2), PARTICIPANT), Ok(()));
        let other_study = of(StudyId(3), PARTICIPANT);
        assert_eq!(other_study, Err(ErasureFault::OtherStudy(device)));
        let other_person = of(StudyId(2), H256([4; 32]));
        assert_eq!(other_person, Err(ErasureFault::OtherParticipant(device)));
    }

    #[test]
    fn a_device_that_may_still_write_is_suspended_first() {
        let names = |status| -> Vec<String> {
            let calls = calls_for(DeviceId(13), status, [5; 32]);
            calls.iter().map(Call::name).collect()
        };
        let erase = calls::erase(DeviceId(13), [5; 32]).name();
        assert_eq!(names(DeviceStatus::Active).len(), 2);
        assert_eq!(names(DeviceStatus::Active)[1], erase);
        assert_eq!(names(DeviceStatus::Suspended), [erase]);
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The order by which the holder of the participants' keys has a participant's data erased.

use alloc::vec::Vec;
use hashchain::{encoding, is_strictly_signed, DeviceId, Native, StudyId};
use serde::{Deserialize, Serialize};

use crate::{Hash, Key, SignatureBytes};

/// Most devices of an order. A participant had fewer.
pub const MAX_ERASED_DEVICES: usize = 64;

/// `POST /v1/admin/erasures`: everything that was kept of these devices is to go.
///
/// It is made once, given to every relay of the study, and kept: its digest ([`ErasureOrder::receipt`]) stands on the chain. It
/// may come again, which changes nothing, so nobody gains anything by sending a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErasureOrder {
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// The study.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// `H("participant", key)` of the participant's key, as it stands on the chain in the record of each device.
    pub participant: Hash,
    /// The participant's devices, each once and in the order of their numbers; 1 to 64.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<u32>))]
    pub devices: Vec<DeviceId>,
    /// When the participant's key was destroyed, in seconds since 1970, as the holder wrote it down.
    pub erased_at: u64,
    /// `H("erasure record", text)` of who asked for it and how, which the holder keeps on file.
    pub record: Hash,
    /// The holder's Ed25519 key.
    pub holder: Key,
    /// The holder's signature over [`ErasureOrder::statement`].
    pub signature: SignatureBytes,
}

impl ErasureOrder {
    /// What is signed: `H("erasure", chain, u32 study, participant, u32 of each device in one part, u64 erased at, record)`.
    pub fn statement(&self) -> [u8; 32] {
        let devices: Vec<u8> = self
            .devices
            .iter()
            .flat_map(|device| device.0.to_be_bytes())
            .collect();
        encoding::hash::<Native>(
            "erasure",
            &[
                &self.chain.0,
                &self.study.0.to_be_bytes(),
                &self.participant.0,
                &devices,
                &self.erased_at.to_be_bytes(),
                &self.record.0,
            ],
        )
    }

    /// What stands on the chain for it: `H("erasure receipt", statement, holder, signature)`.
    pub fn receipt(&self) -> Hash {
        let statement = self.statement();
        let parts: [&[u8]; 3] = [&statement, &self.holder.0, &self.signature.0];
        Hash(encoding::hash::<Native>("erasure receipt", &parts))
    }

    /// What stands in an order for the text that says who asked for it and how.
    pub fn record_of(text: &str) -> Hash {
        Hash(encoding::hash::<Native>(
            "erasure record",
            &[text.as_bytes()],
        ))
    }

    /// Whether its holder signed it.
    pub fn is_signed(&self) -> bool {
        is_strictly_signed(&self.holder.0, &self.statement(), &self.signature.0)
    }

    /// Whether it names devices, not too many, each once and in order.
    pub fn is_in_order(&self) -> bool {
        let devices = &self.devices;
        (1..=MAX_ERASED_DEVICES).contains(&devices.len())
            && devices.is_sorted_by(|one, next| one < next)
    }
}

/// What a relay has done about an order: the answer to `POST /v1/admin/erasures`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErasureOutcome {
    /// What stands on the chain for the order, once the study's sponsor has written it there.
    pub receipt: Hash,
    /// Envelopes that were erased by this request. 0 when the order came again.
    pub erased: u64,
    /// Envelopes of these devices that the relay still keeps.
    pub kept: u64,
    /// Runs of these devices that are on their way to the chain, which they reach without their data.
    pub on_their_way: u64,
    /// Whether the bytes have left the files of the database, too. If not, the relay goes on with that by itself; come again.
    pub scrubbed: bool,
}

impl ErasureOutcome {
    /// Whether nothing is left to be done here.
    pub fn is_complete(&self) -> bool {
        self.kept == 0 && self.scrubbed
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn order() -> ErasureOrder {
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut order = ErasureOrder {
            chain: Hash([1; 32]),
            study: StudyId(2),
            participant: Hash([3; 32]),
            devices: vec![DeviceId(4), DeviceId(5)],
            erased_at: 6,
            record: ErasureOrder::record_of("request 7"),
            holder: Key(key.verifying_key().to_bytes()),
            signature: SignatureBytes([0; 64]),
        };
        order.signature = SignatureBytes(key.sign(&order.statement()).to_bytes());
        order
    }

    #[test]
    fn no_member_can_be_changed_under_the_signature_and_the_receipt_binds_them_all() {
        let good = order();
        assert!(good.is_signed() && good.is_in_order());
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<ErasureOrder>(&text).unwrap(), good);
        let changes: [fn(&mut ErasureOrder); 8] = [
            |order| order.chain.0[0] ^= 1,
            |order| order.study.0 ^= 1,
            |order| order.participant.0[0] ^= 1,
            |order| order.devices.truncate(1),
            |order| order.erased_at ^= 1,
            |order| order.record.0[0] ^= 1,
            |order| order.holder.0[0] ^= 1,
            |order| order.signature.0[0] ^= 1,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(!changed.is_signed(), "{number}");
            assert_ne!(changed.receipt(), good.receipt(), "{number}");
        }
    }

    #[test]
    fn devices_are_named_once_and_in_order() {
        let mut order = order();
        for devices in [vec![], vec![5, 4], vec![4, 4], (0..65).collect()] {
            order.devices = devices.into_iter().map(DeviceId).collect();
            assert!(!order.is_in_order(), "{:?}", order.devices);
        }
    }
}

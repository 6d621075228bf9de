// SPDX-License-Identifier: Apache-2.0

//! Whose devices are, as the chain has it.

use hashchain::{participant_digest, DeviceId, Native, StudyId};
use mhealth_api::Key;
use mhealth_auditor::chain::all_devices;
use mhealth_chain_client::{ChainClient, DeviceView, H256};

use super::chain::unreadable;
use crate::error::DataError;
use crate::keys::Whose;

/// The devices of a chain, and whose they are.
#[derive(Clone, Debug)]
pub struct Devices {
    study: StudyId,
    all: Vec<DeviceView>,
}

impl Devices {
    /// Asks a node for all of them.
    pub async fn read(node: &str, whose: Whose) -> Result<Self, DataError> {
        let client = ChainClient::connect_expecting(node, H256(whose.chain.0));
        let client = client.await.map_err(unreadable)?;
        let (_, view) = client.at_finalised().await.map_err(unreadable)?;
        let all = all_devices(&view, &mut |_| ()).await;
        Ok(Self {
            study: whose.study,
            all: all.map_err(unreadable)?,
        })
    }

    /// Those of the study that seal to the participant with this key.
    pub fn of(&self, key: &Key) -> Vec<DeviceId> {
        let participant = participant_digest::<Native>(Some(&key.0));
        let all = self.all.iter().filter(|found| found.study == self.study);
        let own = all.filter(|found| found.participant.0 == participant);
        own.map(|found| found.device).collect()
    }

    /// Fails unless a device is of the study, and seals to the participant with this key, or to nobody where there is none: any other is
    /// in nobody's power to erase.
    pub fn check(&self, device: DeviceId, key: Option<&Key>) -> Result<(), DataError> {
        let mut all = self.all.iter();
        let found = all
            .find(|found| found.device == device)
            .ok_or_else(|| DataError::Place {
                code: "unknown_device",
                why: format!("there is no device {device} on the chain"),
            })?;
        if found.study != self.study {
            return Err(DataError::Place {
                code: "wrong_study",
                why: format!("device {device} is not of study {}", self.study),
            });
        }
        match found.participant.0 == participant_digest::<Native>(key.map(|key| &key.0)) {
            true => Ok(()),
            false => Err(DataError::DeviceOfAnother(device)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hashchain::LinkHash;
    use mhealth_api::DeviceStatus;

    use super::*;

    fn device(number: u32, study: u32, seals_to: Option<&Key>) -> DeviceView {
        let participant = participant_digest::<Native>(seals_to.map(|key| &key.0));
        DeviceView {
            device: DeviceId(number),
            study: StudyId(study),
            key: [1; 32],
            secret_commitment: H256([2; 32]),
            escrow: Vec::new(),
            auditor_epoch: 0,
            participant: H256(participant),
            genesis: LinkHash([3; 32]),
            status: DeviceStatus::Active,
            length: 0,
            head: LinkHash([3; 32]),
            predecessor: None,
            successor: None,
            trusted_length: None,
            enrolled_at: 1,
            retires_at: None,
        }
    }

    #[test]
    fn the_devices_of_the_study_that_seal_to_the_key_are_the_participants_and_no_others() {
        let (own, other) = (Key([5; 32]), Key([6; 32]));
        let devices = Devices {
            study: StudyId(2),
            all: vec![
                device(0, 2, Some(&own)),
                device(1, 2, Some(&other)),
                device(2, 2, None),
                device(3, 4, Some(&own)),
                device(5, 2, Some(&own)),
            ],
        };
        devices.check(DeviceId(0), Some(&own)).unwrap();
        assert_eq!(devices.of(&own), [DeviceId(0), DeviceId(5)]);
        for (number, code) in [
            (1, "device_of_another"),
            (2, "device_of_another"),
            (3, "wrong_study"),
            (4, "unknown_device"),
        ] {
            let refused = devices.check(DeviceId(number), Some(&own)).unwrap_err();
            assert_eq!(refused.code(), code, "{number}");
        }
        // What seals to nobody.
        devices.check(DeviceId(2), None).unwrap();
        for number in [0, 1, 5] {
            let refused = devices.check(DeviceId(number), None).unwrap_err();
            assert_eq!(refused.code(), "device_of_another", "{number}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Who has which office, and what studies have used.

use hashchain::{DeviceId, StudyId};
use subxt::utils::AccountId32;

use crate::error::Error;
use crate::runtime::api;
use crate::types::Allowance;
use crate::view::ChainView;
use crate::wire::Read;

/// The servers of a study.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The accounts that may enrol devices.
    pub authentication_servers: Vec<AccountId32>,
    /// The accounts that may submit runs.
    pub relays: Vec<AccountId32>,
}

/// What a study may use, and what it has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What the consortium granted.
    pub allowance: Allowance,
    /// Devices enrolled so far.
    pub devices: u32,
    /// Entries registered so far.
    pub entries: u64,
    /// Bytes of the runs that were registered so far.
    pub bytes: u64,
    /// Accounts that got their first role on the chain as a server of the study.
    pub admissions: u32,
}

impl ChainView {
    /// How many studies there are; they are numbered from 0.
    pub async fn studies(&self) -> Result<u32, Error> {
        let next = api::storage().studies().next_study_id();
        Ok(self.value(next, ()).await?.unwrap_or_default())
    }

    /// How many devices were ever enrolled on this chain; they are numbered from 0.
    pub async fn devices(&self) -> Result<u32, Error> {
        let next = api::storage().client_hashchain().next_device_id();
        Ok(self.value(next, ()).await?.unwrap_or_default())
    }

    /// The devices of a study. Asks for every device of the chain in turn.
    pub async fn devices_of(&self, study: StudyId) -> Result<Vec<DeviceId>, Error> {
        let mut devices = Vec::new();
        for number in 0..self.devices().await? {
            let device = self.device(DeviceId(number)).await?;
            devices.extend(
                device
                    .filter(|device| device.study == study)
                    .map(|device| device.device),
            );
        }
        Ok(devices)
    }

    /// The servers of a study.
    pub async fn roster(&self, study: StudyId) -> Result<Roster, Error> {
        let servers = api::storage().studies().authentication_servers();
        let relays = api::storage().studies().relays();
        Ok(Roster {
            authentication_servers: accounts(self.keys(&servers, (study.0,)).await?)?,
            relays: accounts(self.keys(&relays, (study.0,)).await?)?,
        })
    }

    /// What a study may use, and what it has used.
    pub async fn quota(&self, study: StudyId) -> Result<Quota, Error> {
        let quota = api::storage().studies().quotas();
        let Some(quota) = self.value(quota, (study.0,)).await? else {
            let default = api::constants().studies().default_allowance();
            return Ok(Quota {
                allowance: self.runtime().constant(default)?.read(),
                devices: 0,
                entries: 0,
                bytes: 0,
                admissions: 0,
            });
        };
        Ok(Quota {
            allowance: quota.allowance.read(),
            devices: quota.used.devices,
            entries: quota.used.entries,
            bytes: quota.used.bytes,
            admissions: quota.used.admissions,
        })
    }

    /// The validators that make blocks in the present session.
    pub async fn validators(&self) -> Result<Vec<AccountId32>, Error> {
        let validators = api::storage().session().validators();
        Ok(self.value(validators, ()).await?.unwrap_or_default())
    }

    /// The validators that the consortium wants, who make blocks from the session after next on.
    pub async fn appointed_validators(&self) -> Result<Vec<AccountId32>, Error> {
        let validators = api::storage().consortium().validators();
        let validators = self.value(validators, ()).await?;
        Ok(validators
            .map(|validators| validators.0)
            .unwrap_or_default())
    }
}

/// The accounts that keys of a map end with: its hasher leaves them as they are.
fn accounts(keys: Vec<Vec<u8>>) -> Result<Vec<AccountId32>, Error> {
    let account = |key: Vec<u8>| key.last_chunk().copied().map(AccountId32);
    let accounts: Option<Vec<AccountId32>> = keys.into_iter().map(account).collect();
    accounts.ok_or_else(|| Error::protocol("state_getKeysPaged", "a key is too short"))
}

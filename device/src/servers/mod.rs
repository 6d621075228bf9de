// SPDX-License-Identifier: Apache-2.0

//! The paper's Figures 1b and 1c: the device goes through an authentication server and relays.
//!
//! An [`AuthenticationServer`] enrols a device with a code that staff handed out, and gives it short-lived tokens.
//! Relays take its runs with their data, keep them, and bring them to the chain. `docs/protocol/device-api.md` is the text of the
//! protocol.
//!
//! The device trusts none of them further than it must. What it sends was chained before, so a relay can withhold it and
//! do nothing else; what a relay says is compared with the device's own hashchain, and with what other relays say when a
//! run goes to several. Whatever happens on the way, the queue in the device's file is kept until the chain has
//! finalised it, and an attempt that is repeated sends identical bytes.

mod address;
mod authentication;
#[cfg(feature = "bare-records")]
mod bare;
mod carrier;
mod delivery;
mod expectation;
mod http;
mod inner;
mod observer;
mod patience;
mod possession;
mod prepared;
mod relay;
mod settings;
mod tokens;
mod views;
mod witness;

use std::{future::Future, sync::Arc};

use futures::{stream, StreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{DeviceHeads, DeviceOnChain, Head, RegisteredEntry};
use tokio::task::JoinSet;

pub use address::{Address, AddressError};
pub use authentication::AuthenticationServer;
pub use http::Certificates;
pub use observer::Observer;
pub use patience::Patience;
pub use settings::Settings;

use crate::{
    chain::{
        Chain, ChainDevice, ChainFault, Decision, Enrolment, Receipt, StudyTerms, Upload,
        UploadPolicy,
    },
    key::{DeviceKey, PublicKey},
};
use inner::Inner;

/// Questions about the chain that are under way at a time.
const AT_A_TIME: usize = 32;

/// Enrolments that are under way at a time. Each waits for finality, on a connection of its own.
const ENROLMENTS_AT_A_TIME: usize = 512;

/// Devices whose runs are under way at a time. They wait for finality most of it.
const UPLOADS_AT_A_TIME: usize = 64;

/// An authentication server and relays.
#[derive(Clone)]
pub struct Servers(Arc<Inner>);

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers")
            .field("authentication", &self.0.settings.authentication)
            .field("relays", &self.0.settings.relays)
            .finish_non_exhaustive()
    }
}

impl Servers {
    /// Goes through these servers. Nothing is asked before something is wanted.
    pub fn new(settings: Settings) -> Result<Self, ChainFault> {
        Ok(Self(Arc::new(Inner::new(settings)?)))
    }

    /// The authentication server.
    pub fn authentication(&self) -> &AuthenticationServer {
        &self.0.authentication
    }

    /// The relays, as configured or as the authentication server has named them.
    pub fn relays(&self) -> Vec<Address> {
        let relays = self.0.known_relays();
        relays.iter().map(|relay| relay.address.clone()).collect()
    }

    /// Does something for each upload, all at the same time, independently of whoever waits for it.
    async fn for_each<F>(
        &self,
        uploads: Vec<Upload>,
        deliver: impl Fn(Arc<Inner>, Upload) -> F,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault>
    where
        F: Future<Output = Result<Vec<Decision<Receipt>>, ChainFault>> + Send + 'static,
    {
        let mut decisions = vec![Vec::new(); uploads.len()];
        // Tasks of their own, so that they go on while the caller writes to its file. Dropped, they end.
        let mut tasks = JoinSet::new();
        for (place, upload) in uploads.into_iter().enumerate() {
            let delivery = deliver(self.0.clone(), upload);
            tasks.spawn(async move { (place, delivery.await) });
        }
        while let Some(done) = tasks.join_next().await {
            let (place, answer) = done.map_err(|error| ChainFault {
                code: "internal".into(),
                message: format!("An upload ended early: {error}."),
                passing: true,
            })?;
            decisions[place] = answer?;
        }
        Ok(decisions)
    }
}

impl Chain for Servers {
    fn genesis(&self) -> [u8; 32] {
        self.0.settings.terms.chain
    }

    fn policy(&self) -> UploadPolicy {
        UploadPolicy {
            carries_data: true,
            keeps_hashchain: !self.0.bare_records(),
            copies: self.0.settings.copies.max(1),
            enrolments_at_a_time: ENROLMENTS_AT_A_TIME,
            devices_at_a_time: 1,
            uploads_at_a_time: UPLOADS_AT_A_TIME,
            ..UploadPolicy::default()
        }
    }

    /// Gets a device's first token, with which the authentication server names the relays, unless some are known.
    async fn introduce(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<()>, ChainFault> {
        match self.0.known_relays().is_empty() {
            true => Ok(self.0.token(device, key).await?.map(drop)),
            false => Ok(Ok(())),
        }
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        let terms = self.0.authentication.study(study).await?;
        Ok(terms.map(|terms| StudyTerms {
            auditor_key: terms.auditor_key.0,
            open: terms.open,
        }))
    }

    async fn devices(&self, keys: &[PublicKey]) -> Result<Vec<Option<ChainDevice>>, ChainFault> {
        let ask = |key: PublicKey| async move {
            let path = format!("/v1/keys/{key}");
            // The order in which relays are asked differs from device to device, here by its key.
            let first = u32::from_be_bytes([key.0[0], key.0[1], key.0[2], key.0[3]]);
            let told: Option<DeviceOnChain> = self.0.ask(first, &path).await?;
            match told {
                Some(told) if told.key.0 != key.0 => Err(other_device(&path)),
                told => Ok(told.map(|told| views::device(&told))),
            }
        };
        let found: Vec<_> = stream::iter(keys.to_vec())
            .map(ask)
            .buffered(AT_A_TIME)
            .collect()
            .await;
        found.into_iter().collect()
    }

    async fn heads(&self, devices: &[DeviceId]) -> Result<Vec<Option<Head>>, ChainFault> {
        let ask = |device: DeviceId| async move {
            let path = format!("/v1/devices/{device}/head");
            let told: Option<DeviceHeads> = self.0.ask(device.0, &path).await?;
            match told {
                Some(told) if told.device != device => Err(other_device(&path)),
                told => Ok(told.map(|told| told.chain.head)),
            }
        };
        let heads: Vec<_> = stream::iter(devices.to_vec())
            .map(ask)
            .buffered(AT_A_TIME)
            .collect()
            .await;
        heads.into_iter().collect()
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
    ) -> Result<Vec<RegisteredEntry>, ChainFault> {
        let path = format!("/v1/devices/{device}/entries?from={from}&count={count}");
        let mut fault = None;
        for relay in relay::preference(&self.0.relays()?, device.0) {
            let request = self.0.http.get(relay.address.at(&path));
            match self.0.http.send(request).await {
                Ok(entries) => return Ok(entries),
                Err(failure) => fault = Some(failure.at(&relay.address)),
            }
        }
        Err(fault.unwrap_or_else(|| other_device(&path)))
    }

    async fn enrol(
        &self,
        _study: StudyId,
        enrolments: Vec<Enrolment>,
    ) -> Result<Vec<Decision<ChainDevice>>, ChainFault> {
        let terms = &self.0.settings.terms;
        let enrol = |enrolment: Enrolment| async move {
            self.0.authentication.enrol(terms, &enrolment).await
        };
        let decisions: Vec<_> = stream::iter(enrolments)
            .map(enrol)
            .buffered(ENROLMENTS_AT_A_TIME)
            .collect()
            .await;
        decisions.into_iter().collect()
    }

    async fn upload(
        &self,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        #[cfg(feature = "bare-records")]
        if self.0.bare_records() {
            return self.for_each(uploads, bare::deliver_bare).await;
        }
        self.for_each(uploads, delivery::deliver).await
    }
}

fn other_device(path: &str) -> ChainFault {
    ChainFault {
        code: "nonsense_answer".into(),
        message: format!("A relay answered {path} with something that was not asked for."),
        passing: false,
    }
}

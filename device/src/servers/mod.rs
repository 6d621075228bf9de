// SPDX-License-Identifier: Apache-2.0

//! The paper's Figures 1b and 1c: the device goes through an authentication server and relays.
//!
//! An [`AuthenticationServer`] enrols a device with a code that staff handed out, and gives it short-lived tokens.
//! Relays take its runs with their data, keep them, and bring them to the chain. `docs/protocol/device-api.md` is the text of the
//! protocol.
//!
//! The device trusts none of them. What it sends was chained before, so a relay can withhold it and do nothing else; what a
//! relay says only changes where the device sends next, and what it shows counts when it is proved. Whatever happens on the
//! way, the queue in the device's file is kept until it is proved that the chain has finalised it, and an attempt that is
//! repeated sends identical bytes.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
mod address;
mod authentication;
#[cfg(feature = "bare-records")]
mod bare;
mod carrier;
mod delivery;
mod expectation;
mod haste;
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
mod waiting;

use alloc::{collections::BTreeMap, sync::Arc};

use futures_util::{future, stream, StreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_api::RegisteredEntry;

pub use address::{Address, AddressError};
pub(crate) use authentication::compare;
pub use authentication::AuthenticationServer;
pub use observer::Observer;
pub use patience::Patience;
pub use settings::Settings;

use crate::{
    chain::{
        before, Chain, ChainDevice, ChainFault, Decision, Enrolment, FinalHead, HeadChecker,
        Question, Receipt, StudyTerms, Upload, UploadPolicy,
    },
    host::Transport,
    key::{DeviceKey, PublicKey},
    senses::{Moment, Senses},
};
use inner::Inner;

/// Questions about the chain that are under way at a time.
const AT_A_TIME: usize = 32;

/// Enrolments that are under way at a time. Each waits for finality, on a connection of its own.
const ENROLMENTS_AT_A_TIME: usize = 512;

/// Devices whose runs are under way at a time. They wait for finality most of it.
const UPLOADS_AT_A_TIME: usize = 64;

/// An authentication server and relays.
pub struct Servers<T>(Arc<Inner<T>>);

impl<T> Clone for Servers<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> core::fmt::Debug for Servers<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Servers")
            .field("authentication", &self.0.settings.authentication)
            .field("relays", &self.0.settings.relays)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Servers<T> {
    /// Goes through these servers. Nothing is asked before something is wanted.
    pub fn new(settings: Settings, transport: T, senses: Senses) -> Self {
        Self(Arc::new(Inner::new(settings, transport, senses)))
    }

    /// The authentication server.
    pub fn authentication(&self) -> &AuthenticationServer<T> {
        &self.0.authentication
    }

    /// The relays, as configured or as the authentication server has named them.
    pub fn relays(&self) -> Vec<Address> {
        let relays = self.0.known_relays();
        relays.iter().map(|relay| relay.address.clone()).collect()
    }

    /// The relays that did not do what they said, by their base addresses, and until when others are turned to first, in
    /// seconds since 1970. Whoever stores them hands them back with the [`Settings`] next time.
    pub fn doubts(&self) -> BTreeMap<String, i64> {
        let now = self.0.http.senses.now();
        let relays = self.0.known_relays();
        let ends = relays
            .iter()
            .map(|relay| (relay.address.to_string(), relay.doubts_end()));
        ends.filter(|(_, until)| *until > now).collect()
    }

    /// Whether its authentication server has this address.
    pub(crate) fn is_at(&self, authentication: &Address) -> bool {
        self.0.settings.authentication == *authentication
    }

    /// When the call that is under way ends: one relay gets a share of the time until then, and others the rest.
    pub(crate) fn ends(&self, at: Moment) {
        self.0.haste.ends(at);
    }

    /// Brings one device's runs to the relays and waits until they are proved to be final; see [`Chain::upload`].
    pub async fn deliver(
        &self,
        checker: HeadChecker,
        upload: Upload,
    ) -> Result<Vec<Decision<Receipt>>, ChainFault> {
        #[cfg(feature = "bare-records")]
        if self.0.bare_records() {
            return bare::deliver_bare(self.0.clone(), checker, upload).await;
        }
        delivery::deliver(self.0.clone(), checker, upload).await
    }
}

impl<T: Transport> Chain for Servers<T> {
    fn genesis(&self) -> [u8; 32] {
        self.0.settings.terms.chain
    }

    fn policy(&self) -> UploadPolicy {
        UploadPolicy {
            carries_data: true,
            keeps_hashchain: !self.0.bare_records(),
            trusts_words: self.0.settings.trust_relays,
            copies: self.0.settings.copies.max(1),
            enrolments_at_a_time: ENROLMENTS_AT_A_TIME,
            devices_at_a_time: 1,
            uploads_at_a_time: UPLOADS_AT_A_TIME,
            ..UploadPolicy::default()
        }
    }

    /// Gets a token of a device, with which the authentication server names the relays, unless it or somebody else did. When none that
    /// it named is of use any more, it is asked where others are, once until one of them was tried again. If it does not say, the device
    /// goes on with those that it knows.
    async fn introduce(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<()>, ChainFault> {
        if !self.0.relays_are_named() {
            return Ok(self.0.token(device, key).await?.map(drop));
        }
        if !self.0.seeks_relays() {
            return Ok(Ok(()));
        }
        let asking = self.0.new_token(device, key);
        Ok(match before(self.0.half_time(), asking).await {
            Some(Ok(answer)) => answer.map(drop),
            Some(Err(_)) | None => Ok(()),
        })
    }

    async fn half_time(&self) {
        self.0.half_time().await;
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        let terms = self.0.authentication.study(study).await?;
        Ok(terms.map(|terms| StudyTerms {
            auditor_key: terms.auditor_key.0,
            auditor_epoch: terms.auditor_epoch,
            open: terms.open,
        }))
    }

    async fn find(
        &self,
        checker: &HeadChecker,
        keys: &[PublicKey],
    ) -> Result<Vec<Option<DeviceId>>, ChainFault> {
        let found: Vec<_> = stream::iter(keys.to_vec())
            .map(|key| async move { self.0.number(checker, &key).await })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        found.into_iter().collect()
    }

    async fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> Vec<Result<FinalHead, ChainFault>> {
        stream::iter(questions.to_vec())
            .map(|question| async move { self.0.head(checker, &question).await })
            .buffered(AT_A_TIME)
            .collect()
            .await
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> Result<Option<Vec<RegisteredEntry>>, ChainFault> {
        let relays = self.0.relays()?;
        let relays = relay::preference(&relays, device.0, 0);
        let Some(relay) = relays.get(source) else {
            return Ok(None);
        };
        let path = format!("/v1/devices/{device}/entries?from={from}&count={count}");
        let request = self.0.ask(relay, &path);
        let entries = self.0.http.send(request).await;
        entries
            .map(Some)
            .map_err(|failure| failure.at(&relay.address))
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
        checker: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        let deliveries = uploads
            .into_iter()
            .map(|upload| self.deliver(checker.clone(), upload));
        future::try_join_all(deliveries).await
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The way through servers, with this machine's HTTPS client: [`mhealth_device::servers`] for many devices at a time.

use std::{ops::Deref, sync::Arc};

use hashchain::{DeviceId, StudyId};
use mhealth_api::RegisteredEntry;
use mhealth_device::{
    chain::{
        Chain, ChainDevice, ChainFault, Decision, DeviceKey, Enrolment, FinalHead, HeadChecker,
        Question, Receipt, StudyTerms, Upload, UploadPolicy,
    },
    host::Clock,
    servers as rules, PublicKey, Senses, Terms,
};
use tokio::task::JoinSet;

pub use crate::transport::Certificates;
pub use mhealth_device::servers::{Address, AddressError, Observer, Patience};

use crate::{clock::SystemEntropy, transport::HttpTransport};

/// What a device must know to go through servers, and how this machine gets to them.
#[derive(Clone)]
pub struct Settings {
    /// What a device must know on any machine.
    pub device: rules::Settings,
    /// Certificates to trust besides those of the system.
    pub certificates: Certificates,
    /// Connections at a time, kept alive between requests.
    pub connections: usize,
    /// Tells the time of proofs of possession.
    pub clock: Arc<dyn Clock>,
}

impl Settings {
    /// One relay holds each run, and the usual patience.
    pub fn new(terms: Terms, authentication: Address, clock: Arc<dyn Clock>) -> Self {
        Self {
            device: rules::Settings::new(terms, authentication),
            certificates: Certificates::default(),
            connections: 64,
            clock,
        }
    }
}

fn senses(clock: Arc<dyn Clock>) -> Senses {
    Senses {
        clock,
        entropy: Arc::new(SystemEntropy),
    }
}

/// A study's authentication server.
pub type AuthenticationServer = rules::AuthenticationServer<HttpTransport>;

/// An authentication server by its base address.
pub fn authentication_server(
    address: Address,
    patience: Patience,
    certificates: &Certificates,
    clock: Arc<dyn Clock>,
) -> Result<AuthenticationServer, ChainFault> {
    let transport = HttpTransport::new(patience.connect, certificates, 64)?;
    Ok(AuthenticationServer::at(
        address,
        patience,
        transport,
        senses(clock),
    ))
}

/// An authentication server and relays.
#[derive(Clone, Debug)]
pub struct Servers(rules::Servers<HttpTransport>);

impl Servers {
    /// Goes through these servers. Nothing is asked before something is wanted.
    pub fn new(settings: Settings) -> Result<Self, ChainFault> {
        let connect = settings.device.patience.connect;
        let transport = HttpTransport::new(connect, &settings.certificates, settings.connections)?;
        let senses = senses(settings.clock);
        Ok(Self(rules::Servers::new(
            settings.device,
            transport,
            senses,
        )))
    }
}

impl Deref for Servers {
    type Target = rules::Servers<HttpTransport>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Chain for Servers {
    fn genesis(&self) -> [u8; 32] {
        self.0.genesis()
    }

    fn policy(&self) -> UploadPolicy {
        self.0.policy()
    }

    async fn introduce(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<()>, ChainFault> {
        self.0.introduce(device, key).await
    }

    async fn half_time(&self) {
        self.0.half_time().await;
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        self.0.study(study).await
    }

    async fn find(
        &self,
        checker: &HeadChecker,
        keys: &[PublicKey],
    ) -> Result<Vec<Option<DeviceId>>, ChainFault> {
        self.0.find(checker, keys).await
    }

    async fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> Vec<Result<FinalHead, ChainFault>> {
        self.0.heads(checker, questions).await
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> Result<Option<Vec<RegisteredEntry>>, ChainFault> {
        self.0.entries(device, from, count, source).await
    }

    async fn enrol(
        &self,
        study: StudyId,
        enrolments: Vec<Enrolment>,
    ) -> Result<Vec<Decision<ChainDevice>>, ChainFault> {
        self.0.enrol(study, enrolments).await
    }

    async fn upload(
        &self,
        checker: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        let mut decisions = vec![Vec::new(); uploads.len()];
        // Tasks of their own, so that they go on while the caller writes to its file. Dropped, they end.
        let mut tasks = JoinSet::new();
        for (place, upload) in uploads.into_iter().enumerate() {
            let (servers, checker) = (self.0.clone(), checker.clone());
            tasks.spawn(async move { (place, servers.deliver(checker, upload).await) });
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

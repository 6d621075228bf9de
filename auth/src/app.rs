// SPDX-License-Identifier: Apache-2.0

//! What all parts of the server share.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{BlockRef, Code, Hash, Key};
use mhealth_chain_client::{ChainClient, ChainView, DeviceView, StudyView, H256};
use mhealth_server::dpop::Proofs;
use mhealth_server::{ApiError, BaseAddress, CancellationToken, Failures, SharedClock};

use crate::approvals::Act;
use crate::connection::Connection;
use crate::keys::KeyRing;
use crate::login::{Grant, Login};
use crate::metrics::Metrics;
use crate::order_book::OrderBook;
use crate::server::AuthOptions;
use crate::store::Store;

/// What is the same for as long as the server runs.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Base address of this server, as devices and relays know it, without a slash at the end.
    pub issuer: String,
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// This server's account on the chain.
    pub server: Key,
    /// The study that this server is for.
    pub study: StudyId,
    /// How long a token is good, in seconds.
    pub token_lifetime: u64,
    /// How far a device's clock may be off, in seconds.
    pub clock_skew: u64,
    /// How long a request waits for the chain.
    pub patience: Duration,
}

/// What may be said otherwise while the server runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base addresses of the study's relays, at which its tokens are good.
    pub relays: Vec<BaseAddress>,
    /// What needs two people.
    pub second_approval: BTreeSet<Act>,
    /// What people may do who log in.
    pub grants: Vec<Grant>,
}

impl Settings {
    pub(crate) fn of(options: &AuthOptions) -> anyhow::Result<Self> {
        if options.relays.is_empty() {
            tracing::warn!("no relay is named, so tokens are good nowhere: give --relay");
        }
        Ok(Self {
            relays: options.relays.clone(),
            second_approval: options.second_approval.iter().copied().collect(),
            grants: options.login.grants()?,
        })
    }
}

/// The server's state. Handlers share one.
pub struct App {
    /// What stays the same.
    pub terms: Terms,
    /// What does not.
    pub settings: RwLock<Arc<Settings>>,
    /// Where everything is kept.
    pub store: Store,
    /// The chain, to read.
    pub chain: Connection,
    /// News of what is to be done on the chain.
    pub orders: OrderBook,
    /// Checks proofs of possession.
    pub proofs: Proofs,
    /// What signs tokens.
    pub keys: KeyRing,
    /// The provider by which staff log in, if there is one.
    pub login: Option<Login>,
    /// Slows down whoever guesses credentials.
    pub failures: Failures,
    /// Slows down whoever comes back from the provider with what it does not take.
    pub failed_logins: Failures,
    /// Metrics for Prometheus.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: SharedClock,
    /// Set when the server stops.
    pub stop: CancellationToken,
}

/// The chain at one finalised block.
pub struct Finalised {
    /// To ask.
    pub view: ChainView,
    /// The block.
    pub block: BlockRef,
}

impl App {
    /// What the options say that were read last.
    pub fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.read();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what these options say otherwise, as far as that can change while the server runs: all of it, or nothing of options that
    /// no server is started with.
    pub(crate) fn take_up(&self, options: &AuthOptions) {
        let settings = match Settings::of(options) {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(%error, "the options are not taken up; those before stay");
                return;
            }
        };
        tracing::info!(
            relays = settings.relays.len(),
            grants = settings.grants.len(),
            "the options were read anew"
        );
        let old = self.settings.write();
        *old.unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The chain at the latest finalised block.
    pub async fn finalised(&self) -> Result<Finalised, ApiError> {
        Ok(finalised(self.chain.client()?).await?)
    }

    /// A study; `unknown_study` when there is none.
    pub async fn study(&self, study: StudyId) -> Result<StudyView, ApiError> {
        let found = self.chain.client()?.study(study).await?;
        found.ok_or_else(|| Code::UnknownStudy.into())
    }

    /// A device of this server's study; `unknown_device` or `wrong_study`.
    pub async fn device(&self, device: DeviceId) -> Result<DeviceView, ApiError> {
        let found = self.chain.client()?.device(device).await?;
        let found = found.ok_or(Code::UnknownDevice)?;
        match found.study == self.terms.study {
            true => Ok(found),
            false => Err(Code::WrongStudy.into()),
        }
    }
}

pub(crate) async fn finalised(
    chain: &ChainClient,
) -> Result<Finalised, mhealth_chain_client::Error> {
    let (block, view) = chain.at_finalised().await?;
    let block = BlockRef {
        number: block.number,
        hash: hash(block.hash),
    };
    Ok(Finalised { view, block })
}

pub(crate) fn hash(hash: H256) -> Hash {
    Hash(hash.0)
}

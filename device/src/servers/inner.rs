// SPDX-License-Identifier: Apache-2.0

//! What all requests of a program share.

use alloc::sync::Arc;
use alloc::{string::String, vec::Vec};
use core::{future::pending, time::Duration};

use hashchain::DeviceId;

use super::{
    address::Address,
    authentication::AuthenticationServer,
    expectation::Expectation,
    haste::Haste,
    http::{refusal, Http},
    observer::Observer,
    relay::Relay,
    settings::Settings,
    tokens::{Token, Tokens},
};
use crate::{
    chain::{ChainFault, Decision},
    host::Transport,
    key::DeviceKey,
    lock::Mutex,
    senses::Senses,
};

/// Most relays that are taken over from a token's answer.
const MOST_NAMED: usize = 64;

/// Servers, and what is known of them.
pub(super) struct Inner<T> {
    pub(super) settings: Settings,
    pub(super) http: Arc<Http<T>>,
    pub(super) authentication: AuthenticationServer<T>,
    relays: Mutex<Relays>,
    pub(super) tokens: Tokens,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) expectation: Expectation,
    pub(super) haste: Haste,
}

/// The relays that are known, and from where.
struct Relays {
    known: Vec<Arc<Relay>>,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Whoever runs the program named them.
    Configured,
    /// The authentication server named them, in an earlier run of the program.
    Remembered,
    /// The authentication server named them.
    Named,
}

impl<T: Transport> Inner<T> {
    pub(super) fn new(settings: Settings, transport: T, senses: Senses) -> Self {
        let http = Http::new(transport, senses.clone(), &settings.patience);
        let http = Arc::new(http);
        let authentication = AuthenticationServer::with(
            settings.authentication.clone(),
            http.clone(),
            settings.patience,
        );
        let (addresses, origin) = match settings.relays.is_empty() {
            true => (&settings.remembered, Origin::Remembered),
            false => (&settings.relays, Origin::Configured),
        };
        let known = addresses.iter().cloned();
        let known = known.map(|address| relay(address, &settings, &senses));
        let known = known.collect();
        Self {
            relays: Mutex::new(Relays { known, origin }),
            http,
            authentication,
            tokens: Tokens::new(senses),
            observer: settings.observer.clone(),
            expectation: Expectation::of(settings.patience.usual_finality),
            haste: Haste::default(),
            settings,
        }
    }

    pub(super) fn known_relays(&self) -> Vec<Arc<Relay>> {
        self.relays.lock().known.clone()
    }

    /// Whether somebody has named the relays since the program was started.
    pub(super) fn relays_are_named(&self) -> bool {
        self.relays.lock().origin != Origin::Remembered
    }

    #[cfg(feature = "bare-records")]
    pub(super) fn bare_records(&self) -> bool {
        self.settings.bare_records
    }

    #[cfg(not(feature = "bare-records"))]
    pub(super) fn bare_records(&self) -> bool {
        false
    }

    /// The relays, if there are as many as are to hold each run.
    pub(super) fn relays(&self) -> Result<Vec<Arc<Relay>>, ChainFault> {
        let relays = self.known_relays();
        let wanted = self.settings.copies.max(1) as usize;
        if relays.len() >= wanted {
            return Ok(relays);
        }
        Err(ChainFault {
            code: "too_few_relays".into(),
            message: format!(
                "Each run must be held by {wanted} relays, and only {} are known.",
                relays.len()
            ),
            passing: false,
        })
    }

    /// Whether to ask the authentication server where others are: none of the relays that it has named was of use when it was asked last.
    /// Once, until one of them was tried again: its answer is of no use before that.
    pub(super) fn seeks_relays(&self) -> bool {
        let relays = self.relays.lock();
        if relays.origin != Origin::Named || !relays.known.iter().all(|relay| relay.has_failed()) {
            return false;
        }
        let sought = relays.known.iter().map(|relay| relay.seek_others());
        // All of them note it.
        sought.fold(false, |any, one| any | one)
    }

    /// Waits until half of what is left of the call is over; for ever if it has no deadline.
    pub(super) async fn half_time(&self) {
        match self.haste.half() {
            Some(half) => self.http.transport.sleep(half).await,
            None => pending().await,
        }
    }

    /// A device's token, from the cache or from the authentication server.
    pub(super) async fn token(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<Token>, ChainFault> {
        match self.tokens.of(device) {
            Some(token) => Ok(Ok(token)),
            None => self.new_token(device, key).await,
        }
    }

    /// A device's token from the authentication server, which names the relays, also to a retired device that gets none.
    pub(super) async fn new_token(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<Token>, ChainFault> {
        let answer = match self.authentication.token(device, key).await? {
            Ok(answer) => answer,
            Err(problem) => {
                self.learn(problem.relays.as_deref().unwrap_or_default(), false);
                return Ok(Err(refusal(&problem)));
            }
        };
        self.learn(&answer.relays, true);
        let token = Token::new(answer.token);
        self.tokens
            .keep(device, &token, Duration::from_secs(answer.expires_in));
        Ok(Ok(token))
    }

    /// Takes over the relays that the authentication server names, unless some were configured: relays come and go while a program
    /// runs. What is known of one that is named again stays known. Bare records stay with the relay that chained the first. Until it
    /// names some with a token, it is asked for one again.
    fn learn(&self, named: &[String], with_token: bool) {
        let mut relays = self.relays.lock();
        let bound = self.bare_records() && !relays.known.is_empty();
        if relays.origin == Origin::Configured || bound {
            return;
        }
        let mut found: Vec<Arc<Relay>> = Vec::new();
        for name in named.iter().take(MOST_NAMED) {
            match name.parse::<Address>() {
                Ok(address) if found.iter().any(|relay| relay.address == address) => {}
                Ok(address) => {
                    let mut known = relays.known.iter();
                    let known = known.find(|relay| relay.address == address).cloned();
                    let new = || relay(address, &self.settings, &self.http.senses);
                    found.push(known.unwrap_or_else(new));
                }
                Err(error) => tracing::warn!(%error, "a relay's address cannot be used"),
            }
        }
        // A server that names none for once takes none away.
        if !found.is_empty() {
            relays.known = found;
            if with_token {
                relays.origin = Origin::Named;
            }
        }
    }
}

fn relay(address: Address, settings: &Settings, senses: &Senses) -> Arc<Relay> {
    let doubted = settings.doubts.get(address.as_str()).copied();
    Arc::new(Relay::doubted_until(
        address,
        doubted.unwrap_or(0),
        senses.clone(),
    ))
}

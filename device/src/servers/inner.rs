// SPDX-License-Identifier: Apache-2.0

//! What all requests of a program share.

use alloc::sync::Arc;
use alloc::{string::String, vec::Vec};
use core::time::Duration;

use hashchain::DeviceId;

use super::{
    authentication::AuthenticationServer,
    expectation::Expectation,
    http::Http,
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

/// Servers, and what is known of them.
pub(super) struct Inner<T> {
    pub(super) settings: Settings,
    pub(super) http: Arc<Http<T>>,
    pub(super) authentication: AuthenticationServer<T>,
    relays: Mutex<Vec<Arc<Relay>>>,
    pub(super) tokens: Tokens,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) expectation: Expectation,
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
        let relays = settings.relays.iter().map(|relay| {
            let doubted = settings.doubts.get(relay.as_str()).copied();
            let doubted = doubted.unwrap_or(0);
            Arc::new(Relay::doubted_until(relay.clone(), doubted, senses.clone()))
        });
        Self {
            relays: Mutex::new(relays.collect()),
            http,
            authentication,
            tokens: Tokens::new(senses),
            observer: settings.observer.clone(),
            expectation: Expectation::new(),
            settings,
        }
    }

    pub(super) fn known_relays(&self) -> Vec<Arc<Relay>> {
        self.relays.lock().clone()
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

    /// A device's token, from the cache or from the authentication server.
    pub(super) async fn token(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<Token>, ChainFault> {
        if let Some(token) = self.tokens.of(device) {
            return Ok(Ok(token));
        }
        let answer = self.authentication.token(device, key).await?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.learn(&answer.relays);
        let token = Token::new(answer.token);
        self.tokens
            .keep(device, &token, Duration::from_secs(answer.expires_in));
        Ok(Ok(token))
    }

    /// Takes over the relays that the authentication server names, unless some were configured.
    fn learn(&self, named: &[String]) {
        let mut relays = self.relays.lock();
        if !relays.is_empty() {
            return;
        }
        for name in named {
            match name.parse() {
                Ok(address) => {
                    let address: super::Address = address;
                    let doubted = self.settings.doubts.get(address.as_str()).copied();
                    relays.push(Arc::new(Relay::doubted_until(
                        address,
                        doubted.unwrap_or(0),
                        self.http.senses.clone(),
                    )));
                }
                Err(error) => tracing::warn!(%error, "a relay's address cannot be used"),
            }
        }
    }
}

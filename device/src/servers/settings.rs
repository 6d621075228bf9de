// SPDX-License-Identifier: Apache-2.0

//! How a device goes through servers.

use alloc::{collections::BTreeMap, sync::Arc};
use alloc::{string::String, vec::Vec};

use super::{address::Address, observer::Observer, patience::Patience};
use crate::book::Terms;

/// What a device must know to go through servers.
#[derive(Clone)]
pub struct Settings {
    /// What the device was made for.
    pub terms: Terms,
    /// The authentication server.
    pub authentication: Address,
    /// The relays. When there are none, those that the authentication server names with each token.
    pub relays: Vec<Address>,
    /// When there are none: those that it named before, as [`Servers::relays`](super::Servers::relays) said. They are asked until it
    /// names some, so that a device which gets no token any more hears what the chain has against it.
    pub remembered: Vec<Address>,
    /// Relays, by their base addresses, to which others are preferred, and until when, in seconds since 1970: what
    /// [`Servers::doubts`](super::Servers::doubts) said before.
    pub doubts: BTreeMap<String, i64>,
    /// Whether relays' words are taken for proofs. Only for chains that have no proofs: whoever is asked can then make runs
    /// vanish and stop the device.
    pub trust_relays: bool,
    /// How many of them are to hold each run: 1 in Figure 1b, more in Figure 1c.
    pub copies: u32,
    /// The topologies of Figures 2a and 2b, which exist to be measured against: data go as bare records and a relay
    /// chains them. Nothing protects them on their way.
    #[cfg(feature = "bare-records")]
    pub bare_records: bool,
    /// How long to wait for what.
    pub patience: Patience,
    /// Watches uploads, for programs that measure. `()` for nobody.
    pub observer: Arc<dyn Observer>,
}

impl Settings {
    /// One relay holds each run, and the usual patience.
    pub fn new(terms: Terms, authentication: Address) -> Self {
        Self {
            terms,
            authentication,
            relays: Vec::new(),
            remembered: Vec::new(),
            doubts: BTreeMap::new(),
            trust_relays: false,
            copies: 1,
            #[cfg(feature = "bare-records")]
            bare_records: false,
            patience: Patience::default(),
            observer: Arc::new(()),
        }
    }
}

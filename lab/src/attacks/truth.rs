// SPDX-License-Identifier: Apache-2.0

//! What the laboratory knows and the auditor has to find out.

use std::time::Instant;

use hashchain::{DeviceId, LinkHash};
use mhealth_api::Key;
use mhealth_testing::audit::Party;

use crate::attack::Attack;

/// One attempt that was made.
#[derive(Clone, Debug)]
pub(crate) struct Planted {
    pub(crate) attack: Attack,
    pub(crate) device: DeviceId,
    pub(crate) effect: Effect,
    /// Who did it. An audit that names one of these, alone or among others, is right.
    pub(crate) culprits: Vec<Culprit>,
    /// The device's entries up to here are honest, and nothing may be found wrong with them.
    pub(crate) honest_to: u64,
    /// The block in which it took effect, and when.
    pub(crate) block: u64,
    pub(crate) at: Instant,
}

/// What the attacker wants.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// These entries are not the device's, or not in their place, and are to stand on the chain.
    Illegal(Vec<(u64, LinkHash)>),
    /// These entries are the device's own and stand on the chain; how they are signed is to be held against others.
    SignedOddly(Vec<(u64, LinkHash)>),
    /// This relay no longer keeps what stands registered at these places.
    Kept(Vec<u64>),
    /// What stands registered at these places is not shown to the auditor, by a relay that is not asked or does not answer.
    NotShown(Vec<u64>),
    /// These entries of the device's are to stay off the chain.
    Missing(Vec<(u64, LinkHash)>),
    /// Bare data of the device's are to stay off the chain, so there is nothing to look for.
    Vanished,
    /// A run was to be registered before the one that it follows; whether it was.
    OutOfOrder(bool),
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    Relay(Key),
    /// Whoever made this export, for which no account answers.
    Export(String),
    AuthenticationKeyHolder,
    SigningKeyHolder,
    SecretHolder,
    Device,
    /// An authentication server of another study. What it does there is no matter of this study's audit.
    ForeignServer,
}

impl Culprit {
    /// Whether an audit means this one.
    pub(crate) fn is(&self, party: &Party) -> bool {
        match self {
            Culprit::Relay(account) => party.party == "relay" && party.account == Some(*account),
            Culprit::Export(name) => {
                party.party == "relay_store" && party.name.as_ref() == Some(name)
            }
            Culprit::AuthenticationKeyHolder => party.party == "authentication_key_holder",
            Culprit::SigningKeyHolder => party.party == "signing_key_holder",
            Culprit::SecretHolder => party.party == "secret_holder",
            Culprit::Device => party.party == "device",
            Culprit::ForeignServer => false,
        }
    }
}

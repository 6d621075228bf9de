// SPDX-License-Identifier: Apache-2.0

//! Ready-made beginnings of a chain.
//!
//! Both presets give every role to a key whose secret everybody knows, so that a researcher can play any part at once. They
//! are for development and tests; `docs/operating/running-a-node.md` says how to make a beginning with keys of one's own.
//!
//! There are two studies with the same people: study 0 demands the device's signature over every run (`DeviceSigned`),
//! study 1 is as in the paper (`HashchainOnly`), so that the two can be compared.
//!
//! | key | development | local |
//! |---|---|---|
//! | `//Alice` | validator, only member of the consortium | validator, member |
//! | `//Bob` | sponsor of the studies | validator, member, sponsor of the studies |
//! | `//Charlie` | authentication server of the studies | validator, member, authentication server of the studies |
//! | `//Dave` | relay of the studies | validator, member, relay of the studies |
//! | `//Eve` | relay of the studies | relay of the studies |
//! | `//Ferdie` | none | none |

#![warn(missing_docs)]

use alloc::{string::ToString, vec, vec::Vec};
use frame_support::build_struct_json_patch;
use pallet_studies::{GenesisStudy, StudyPolicy};
use serde_json::Value;
use sp_core::H256;
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_keyring::{
    Ed25519Keyring as Voter,
    Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Eve},
};

use crate::{
    limits::MINUTES, AccountId, BlockNumber, ClientHashchainConfig, MembersConfig,
    RuntimeGenesisConfig, SessionConfig, SessionKeys, StudiesConfig,
};

/// The auditor's X25519 public key in the studies of the presets.
///
/// Its private key is the SHA-256 of the 33 ASCII bytes `mHealth Chain development auditor`, so it protects nothing.
pub const DEVELOPMENT_AUDITOR_KEY: [u8; 32] = [
    0x3b, 0x78, 0xcd, 0x07, 0x44, 0x75, 0x9f, 0x34, 0x6d, 0x3d, 0x0f, 0xbd, 0x72, 0xcb, 0xaf, 0xf8,
    0x65, 0x10, 0x9c, 0x1a, 0xa5, 0xe7, 0xf4, 0x3e, 0x51, 0x4c, 0x47, 0x56, 0x3f, 0xab, 0xb2, 0x3e,
];

/// Blocks until a retirement holds in the presets that an authentication server asked for: two minutes, so that a trial can
/// wait for it. Without a word in the genesis it is a day.
pub const RETIREMENT_DELAY: BlockNumber = 2 * MINUTES;

/// Under which storage key a genesis says how many blocks that are.
pub fn retirement_delay_key() -> [u8; 32] {
    pallet_client_hashchain::RetirementDelay::<crate::Runtime>::hashed_key()
}

/// Under which storage key a genesis says how many blocks finality must have stalled for.
pub fn least_lag_key() -> [u8; 32] {
    pallet_finality::LeastLag::<crate::Runtime>::hashed_key()
}

/// The preset of this name, as a JSON patch of the default genesis.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
    let patch = match id.as_ref() {
        DEV_RUNTIME_PRESET => genesis(&[(Alice, Voter::Alice)]),
        LOCAL_TESTNET_RUNTIME_PRESET => genesis(&[
            (Alice, Voter::Alice),
            (Bob, Voter::Bob),
            (Charlie, Voter::Charlie),
            (Dave, Voter::Dave),
        ]),
        _ => return None,
    };
    Some(serde_json::to_vec(&patch).expect("a JSON value can be written as JSON; qed"))
}

/// The names of the presets.
pub fn preset_names() -> Vec<PresetId> {
    vec![
        DEV_RUNTIME_PRESET.into(),
        LOCAL_TESTNET_RUNTIME_PRESET.into(),
    ]
}

/// A chain whose `organisations`, each an account and a GRANDPA key, are validators and members of the consortium, with
/// two studies that are ready to use.
fn genesis(organisations: &[(Sr25519Keyring, Voter)]) -> Value {
    let members: Vec<AccountId> = organisations
        .iter()
        .map(|(organisation, _)| organisation.to_account_id())
        .collect();
    build_struct_json_patch!(RuntimeGenesisConfig {
        session: SessionConfig {
            keys: organisations.iter().map(validator).collect(),
        },
        client_hashchain: ClientHashchainConfig {
            retirement_delay: RETIREMENT_DELAY,
        },
        members: MembersConfig {
            members: members
                .try_into()
                .expect("a preset has fewer members than there may be; qed"),
        },
        studies: StudiesConfig {
            studies: vec![
                study(
                    "Sleep in insomnia: a study for development",
                    StudyPolicy::DeviceSigned
                ),
                study(
                    "Sleep in insomnia, without device signatures",
                    StudyPolicy::HashchainOnly
                ),
            ],
        },
    })
}

/// A validator, as the session pallet wants it: its account twice, and its session keys.
fn validator(
    (organisation, voter): &(Sr25519Keyring, Voter),
) -> (AccountId, AccountId, SessionKeys) {
    let account = organisation.to_account_id();
    let keys = SessionKeys {
        aura: organisation.public().into(),
        grandpa: voter.public().into(),
    };
    (account.clone(), account, keys)
}

/// A study whose sponsor, authentication server and relays are known by name.
fn study(title: &str, policy: StudyPolicy) -> GenesisStudy<AccountId> {
    GenesisStudy {
        title: title.to_string(),
        sponsor: Bob.to_account_id(),
        policy,
        auditor_key: H256(DEVELOPMENT_AUDITOR_KEY),
        authentication_servers: vec![Charlie.to_account_id()],
        relays: vec![Dave.to_account_id(), Eve.to_account_id()],
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Keeps keys that everybody knows out of chains that matter.
//!
//! The development presets give every role to keys such as `//Alice`, whose secrets are in every Substrate manual. A
//! production specification usually starts as a copy of such a preset, and one forgotten key would be enough for a
//! stranger to write in a study's name. So a node does not start on a live chain with such a key in its genesis.

use sp_core::storage::{well_known_keys::CODE, Storage};
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

/// Refuses a specification whose genesis contains a well-known key anywhere: as an account, as a session key, in a
/// list, or as part of a storage key.
pub(crate) fn refuse(chain: &str, genesis: &Storage) -> Result<(), String> {
    let found = find(genesis);
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the specification of the live chain \"{chain}\" contains well-known development keys: {}. Anybody could act in their \
         name. Replace them by keys of your own, or give the chain another chainType.",
        found.join(", "),
    ))
}

/// The names of the well-known keys in a genesis, in a fixed order.
fn find(genesis: &Storage) -> Vec<String> {
    well_known()
        .filter(|(_, key)| contains(genesis, key))
        .map(|(name, _)| name)
        .collect()
}

/// Every key whose secret is public, with a name for people.
fn well_known() -> impl Iterator<Item = (String, [u8; 32])> {
    let accounts = Sr25519Keyring::iter().map(|key| {
        let name: &str = key.into();
        (format!("//{name} (sr25519)"), key.to_raw_public())
    });
    let voters = Ed25519Keyring::iter().map(|key| {
        let name: &str = key.into();
        (format!("//{name} (Ed25519)"), key.to_raw_public())
    });
    let auditor = (
        "the auditor of the development presets (X25519)".into(),
        mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY,
    );
    accounts.chain(voters).chain([auditor])
}

fn contains(genesis: &Storage, key: &[u8; 32]) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(key.len()).any(|window| window == key);
    genesis
        .top
        .iter()
        // The runtime's code carries the presets, whether or not they are used.
        .filter(|(name, _)| name.as_slice() != CODE)
        .any(|(name, value)| holds(name) || holds(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A genesis with these values, and the code that every genesis has.
    fn genesis(values: &[(&[u8], &[u8])]) -> Storage {
        let mut storage = Storage::default();
        let code = Sr25519Keyring::iter().flat_map(Sr25519Keyring::to_raw_public);
        storage.top.insert(CODE.to_vec(), code.collect());
        for (key, value) in values {
            storage.top.insert(key.to_vec(), value.to_vec());
        }
        storage
    }

    fn alice() -> [u8; 32] {
        Sr25519Keyring::Alice.to_raw_public()
    }

    #[test]
    fn a_genesis_with_keys_of_ones_own_passes() {
        assert!(find(&genesis(&[(b"members", &[7; 96])])).is_empty());
    }

    #[test]
    fn a_well_known_key_is_found_inside_a_list() {
        let members = [[7; 32], alice(), [8; 32]].concat();
        let found = find(&genesis(&[(b"members", &members)]));
        assert_eq!(found, ["//Alice (sr25519)"]);
    }

    #[test]
    fn a_well_known_key_is_found_inside_a_storage_key() {
        let account = [b"account ".as_slice(), &alice()].concat();
        let found = find(&genesis(&[(&account, b"1")]));
        assert_eq!(found, ["//Alice (sr25519)"]);
    }

    #[test]
    fn the_key_of_a_voter_and_of_the_auditor_are_found() {
        let voter = Ed25519Keyring::Dave.to_raw_public();
        let auditor = mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY;
        let found = find(&genesis(&[(b"voters", &voter), (b"study", &auditor)]));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], "//Dave (Ed25519)");
    }

    #[test]
    fn every_well_known_key_counts_once() {
        let keys: std::collections::BTreeSet<_> = well_known().map(|(_, key)| key).collect();
        assert_eq!(keys.len(), well_known().count());
    }
}

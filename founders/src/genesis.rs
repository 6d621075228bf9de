// SPDX-License-Identifier: Apache-2.0

//! The first block of a raw chain specification: what is in it, and its hash, by which the chain is known.

use std::collections::BTreeMap;

use serde_json::Value;
use sp_core::Blake2Hasher;
use sp_crypto_hashing::{blake2_256, twox_128};
use sp_trie::{LayoutV0, TrieConfiguration};

use crate::failure::Failure;

/// The storage key of the runtime's code.
const CODE: &[u8] = b":code";

/// The pallets whose beginnings a specification sets, by the names that their storage keys begin with.
const PALLETS: [&str; 13] = [
    "System",
    "Timestamp",
    "Aura",
    "Grandpa",
    "Session",
    "Council",
    "Members",
    "Consortium",
    "Finality",
    "Studies",
    "ClientHashchain",
    "Accountability",
    "Admission",
];

/// The state of the first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Genesis(BTreeMap<Vec<u8>, Vec<u8>>);

impl Genesis {
    /// Reads it from a raw specification.
    pub(crate) fn of(specification: &Value) -> Result<Self, Failure> {
        let unusable = |what: &str| {
            let message = format!("This is no raw specification of a chain: {what}.");
            Failure::input("not_a_raw_specification", message)
        };
        let raw = &specification["genesis"]["raw"];
        let top = raw["top"]
            .as_object()
            .ok_or_else(|| unusable("it has no genesis.raw.top"))?;
        let children = raw["childrenDefault"].as_object();
        if children.is_none_or(|children| !children.is_empty()) {
            return Err(unusable("its genesis has child tries, or does not say so"));
        }
        let pair =
            |(key, value): (&String, &Value)| Some((bytes(key)?, value.as_str().and_then(bytes)?));
        let values: Option<BTreeMap<_, _>> = top.iter().map(pair).collect();
        let values = values.ok_or_else(|| unusable("a key or value is not hexadecimal"))?;
        // Two ways to write one key would be two keys here and one to the node.
        if values.len() != top.len() {
            return Err(unusable("a key is there twice"));
        }
        Ok(Genesis(values))
    }

    /// Hash of the first block: of the header with number 0, no parent, no extrinsics, no digest, and this state.
    pub(crate) fn hash(&self) -> [u8; 32] {
        // The runtime's `system_version` is 0, and with it the layout of the state's trie.
        let state = LayoutV0::<Blake2Hasher>::trie_root(&self.0);
        let no_extrinsics = LayoutV0::<Blake2Hasher>::trie_root::<_, Vec<u8>, Vec<u8>>([]);
        let header = [
            &[0; 32][..],
            &[0], // the number, compact
            state.as_bytes(),
            no_extrinsics.as_bytes(),
            &[0], // how many items the digest has, compact
        ];
        blake2_256(&header.concat())
    }

    /// Hash of the runtime's code, as the specification has it.
    pub(crate) fn code_hash(&self) -> Option<[u8; 32]> {
        self.0.get(CODE).map(|code| blake2_256(code))
    }

    /// Where this state and another differ: the code, or pallets by name.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(other.0.keys());
        let mut areas: Vec<String> = keys
            .filter(|key| self.0.get(*key) != other.0.get(*key))
            .map(|key| area(key))
            .collect();
        areas.sort();
        areas.dedup();
        areas
    }
}

/// What a storage key belongs to.
fn area(key: &[u8]) -> String {
    if key == CODE {
        return "the runtime's code".to_owned();
    }
    let pallet = PALLETS
        .into_iter()
        .find(|pallet| key.starts_with(&twox_128(pallet.as_bytes())));
    match pallet {
        Some(pallet) => format!("the pallet {pallet}"),
        None => format!("the key 0x{}", hex::encode(key)),
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    hex::decode(digits.strip_prefix("0x")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn specification(top: Value) -> Value {
        json!({ "genesis": { "raw": { "top": top, "childrenDefault": {} } } })
    }

    #[test]
    fn an_empty_state_has_the_well_known_root_in_its_header() {
        let empty = Genesis::of(&specification(json!({}))).expect("it is raw");
        // The root of an empty trie under BLAKE2b-256.
        let root = hex::decode("03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314");
        let root = root.expect("digits");
        let header = [&[0; 33][..], &root, &root, &[0]].concat();
        assert_eq!(empty.hash(), blake2_256(&header));
    }

    #[test]
    fn every_bit_of_the_state_is_in_the_hash() {
        let of = |top| Genesis::of(&specification(top)).expect("it is raw").hash();
        let hashes = [
            of(json!({ "0x01": "0x02" })),
            of(json!({ "0x01": "0x03" })),
            of(json!({ "0x02": "0x02" })),
            of(json!({ "0x01": "0x02", "0x03": "0x" })),
        ];
        let mut distinct = hashes.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn differences_have_names() {
        let members = format!("0x{}", hex::encode(twox_128(b"Members")));
        let one = specification(json!({ "0x3a636f6465": "0x01", &members: "0x02", "0x07": "0x" }));
        let other = specification(json!({ "0x3a636f6465": "0x02", &members: "0x03" }));
        let [one, other] = [one, other].map(|spec| Genesis::of(&spec).expect("it is raw"));
        let expected = ["the key 0x07", "the pallet Members", "the runtime's code"];
        assert_eq!(one.differences(&other), expected);
        assert_eq!(other.differences(&one), expected);
        assert!(one.differences(&one).is_empty());
    }

    #[test]
    fn what_is_not_raw_is_refused() {
        for wrong in [
            json!({}),
            json!({ "genesis": { "runtimeGenesis": {} } }),
            json!({ "genesis": { "raw": { "top": {} } } }),
            json!({ "genesis": { "raw": { "top": {}, "childrenDefault": { "0x01": {} } } } }),
            specification(json!({ "01": "0x02" })),
            specification(json!({ "0x01": 2 })),
            specification(json!({ "0xab": "0x01", "0xAB": "0x02" })),
        ] {
            let refused = Genesis::of(&wrong).expect_err("it is not raw");
            assert_eq!(refused.code(), "not_a_raw_specification", "{wrong}");
        }
    }
}

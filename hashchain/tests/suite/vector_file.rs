// SPDX-License-Identifier: Apache-2.0

//! The file of test vectors: the one named by `HASHCHAIN_VECTORS`, or the copy that the project ships.

use std::path::PathBuf;

use hashchain::{DataDigest, LinkHash, Secret, Tag};
use serde::{de::Error, Deserialize, Deserializer};

/// Bytes in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        self.0
            .as_slice()
            .try_into()
            .expect("the vector has another length")
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        hex::decode(digits).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expected {
    Valid,
    Invalid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VectorFile {
    pub(crate) schema: String,
    pub(crate) number_of_tests: usize,
    pub(crate) test_groups: Vec<Group>,
}

impl VectorFile {
    /// The file that the user names, or the shipped one.
    pub(crate) fn open() -> Self {
        std::env::var_os("HASHCHAIN_VECTORS")
            .map_or_else(Self::shipped, |path| Self::read(path.into()))
    }

    /// The copy that the project ships.
    pub(crate) fn shipped() -> Self {
        Self::read("tests/vectors/hashchain-v1.json".into())
    }

    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let file: Self = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("cannot understand {}: {error}", path.display()));
        assert_eq!(file.schema, "hashchain-v1");
        file
    }

    /// Every group that holds chains, with the device that they belong to.
    pub(crate) fn chains(&self) -> impl Iterator<Item = (&ChainGroup, &ChainTest)> {
        self.test_groups
            .iter()
            .filter_map(|group| match group {
                Group::Encoding { .. } => None,
                Group::Chain(group) | Group::Forgery(group) => Some(group),
            })
            .flat_map(|group| group.tests.iter().map(move |test| (group, test)))
    }

    pub(crate) fn encodings(&self) -> impl Iterator<Item = &EncodingTest> {
        self.test_groups
            .iter()
            .filter_map(|group| match group {
                Group::Encoding { tests } => Some(tests),
                Group::Chain(_) | Group::Forgery(_) => None,
            })
            .flatten()
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Group {
    Encoding { tests: Vec<EncodingTest> },
    Chain(ChainGroup),
    Forgery(ChainGroup),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EncodingTest {
    pub(crate) tc_id: u32,
    pub(crate) comment: String,
    pub(crate) result: Expected,
    pub(crate) label: String,
    pub(crate) parts: Vec<Bytes>,
    pub(crate) encoding: Bytes,
    pub(crate) hash: Bytes,
}

#[derive(Deserialize)]
pub(crate) struct ChainGroup {
    pub(crate) device: Device,
    pub(crate) secret: Bytes,
    pub(crate) tests: Vec<ChainTest>,
}

impl ChainGroup {
    pub(crate) fn secret(&self) -> Secret {
        Secret::from_bytes(&self.secret.array())
    }

    pub(crate) fn genesis(&self) -> LinkHash {
        LinkHash(self.device.genesis.array())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Device {
    pub(crate) chain: Bytes,
    pub(crate) study: u32,
    pub(crate) device_key: Bytes,
    pub(crate) predecessor: Bytes,
    pub(crate) escrow: Bytes,
    pub(crate) secret_commitment: Bytes,
    pub(crate) genesis: Bytes,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChainTest {
    pub(crate) tc_id: u32,
    pub(crate) comment: String,
    pub(crate) result: Expected,
    pub(crate) entries: Vec<Entry>,
    pub(crate) head: Bytes,
    pub(crate) signature: Bytes,
    pub(crate) caught_by: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) previous: Bytes,
    pub(crate) envelope: Bytes,
    pub(crate) digest: Bytes,
    pub(crate) tag: Bytes,
    pub(crate) hash: Bytes,
}

impl Entry {
    pub(crate) fn entry(&self) -> hashchain::Entry {
        hashchain::Entry {
            sequence: self.sequence,
            previous: LinkHash(self.previous.array()),
            digest: DataDigest(self.digest.array()),
            tag: Tag(self.tag.array()),
            hash: LinkHash(self.hash.array()),
        }
    }
}

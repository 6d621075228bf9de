// SPDX-License-Identifier: Apache-2.0

//! The chain's runtime as this program knows it: by its metadata, and typed by the file that is checked in.

use std::sync::{Arc, OnceLock};

use subxt::config::substrate::{SpecVersionForRange, SubstrateConfig};
use subxt::error::DispatchError;
use subxt::ext::codec::{Decode, Encode};
use subxt::ext::frame_decode::runtime_apis::decode_runtime_api_response;
use subxt::ext::frame_decode::storage::decode_storage_value;
use subxt::ext::scale_decode::IntoVisitor;
use subxt::runtime_apis::Payload;
use subxt::storage::{Address, PrefixOf};
use subxt::utils::H256;
use subxt::{Metadata, OfflineClient, OfflineClientAtBlock};

use crate::error::{unknown_word, without_full_stop, DispatchRefusal, Error};
use crate::rpc::{Config, Rpc, Version};

/// Types of the runtime, generated from `metadata/mhealth.scale`. A test of the workspace keeps the file equal to the
/// runtime.
#[subxt::subxt(runtime_metadata_path = "metadata/mhealth.scale")]
pub(crate) mod api {}

/// Metadata versions that this program reads, best first.
pub const METADATA_VERSIONS: [u32; 2] = [16, 15];

/// The function of a runtime that gives its metadata in one of these versions.
pub const METADATA_FUNCTION: &str = "Metadata_metadata_at_version";

/// The most types that metadata may have. Some of what reads it takes stack for each type within a type. The known one has fewer than 300.
pub const METADATA_TYPES: usize = 2_048;

/// One version of the runtime: its metadata, and what is encoded and decoded by it.
#[derive(Clone)]
pub(crate) struct Runtime {
    at: OfflineClientAtBlock<Config>,
    spec_version: u32,
    reads_natively: bool,
}

/// The metadata that this program was built with.
const KNOWN: &[u8] = include_bytes!("../metadata/mhealth.scale");

impl Runtime {
    /// A runtime whose metadata is this.
    fn new(bytes: &[u8], version: Option<Version>, genesis: H256) -> Result<Self, Error> {
        // Not by `Metadata::decode_from`, which calls itself for ever on some bytes that are no metadata.
        let metadata = Metadata::decode(&mut &*bytes)
            .map_err(|error| Error::protocol(METADATA_FUNCTION, error))?;
        if metadata.types().types.len() > METADATA_TYPES {
            return Err(Error::protocol(METADATA_FUNCTION, "it has too many types"));
        }
        let version = version.or_else(|| version_in(&metadata));
        let version =
            version.ok_or_else(|| Error::protocol(METADATA_FUNCTION, "it names no version"))?;
        let reads_natively = bytes == KNOWN || shapes(&metadata) == known_shapes();
        let config = SubstrateConfig::builder()
            .set_genesis_hash(genesis)
            .set_metadata_for_spec_versions([(version.spec, Arc::new(metadata))])
            .set_spec_version_for_block_ranges([SpecVersionForRange {
                block_range: 0..u64::MAX,
                spec_version: version.spec,
                transaction_version: version.transaction,
            }])
            .build();
        let at = OfflineClient::new_with_config(config)
            .at_block(0u64)
            .map_err(|error| Error::protocol("metadata", error))?;
        Ok(Runtime {
            at,
            spec_version: version.spec,
            reads_natively,
        })
    }

    /// A runtime of which nothing is known but its metadata.
    pub(crate) fn by_metadata(bytes: &[u8], genesis: H256) -> Result<Self, Error> {
        Self::new(bytes, None, genesis)
    }

    /// The version of its rules.
    pub(crate) fn spec_version(&self) -> u32 {
        self.spec_version
    }

    /// Whether runs and entries are encoded as [`crate::native`] reads them: as in the metadata that this program was built
    /// with, whatever else has changed since.
    pub(crate) fn reads_natively(&self) -> bool {
        self.reads_natively
    }

    /// Whether an item of the state has the form that it has in the metadata that this program was built with.
    pub(crate) fn stores_as_known(&self, pallet: &str, item: &str) -> bool {
        let form = |metadata: &Metadata| metadata.pallet_by_name(pallet)?.storage_hash(item);
        let known = known().and_then(form);
        known.is_some() && form(self.at.metadata_ref()) == known
    }

    /// The same runtime, all of which is read by its types.
    #[cfg(test)]
    pub(crate) fn by_its_types(&self) -> Self {
        Runtime {
            reads_natively: false,
            ..self.clone()
        }
    }

    /// Asks the node for the metadata of the runtime that is in force at a block.
    pub(crate) async fn fetch(
        rpc: &Rpc,
        at: H256,
        version: Version,
        genesis: H256,
    ) -> Result<Self, Error> {
        for metadata_version in METADATA_VERSIONS {
            let answer = rpc
                .call(METADATA_FUNCTION, &metadata_version.encode(), at)
                .await?;
            let bytes = Option::<Vec<u8>>::decode(&mut &answer[..])
                .map_err(|error| Error::protocol(METADATA_FUNCTION, error))?;
            if let Some(bytes) = bytes {
                return Runtime::new(&bytes, Some(version), genesis);
            }
        }
        Err(Error::IncompatibleRuntime {
            what: "it offers metadata in no version from 15 to 16".to_string(),
        })
    }

    /// For building transactions and reading events.
    pub(crate) fn at(&self) -> &OfflineClientAtBlock<Config> {
        &self.at
    }

    /// The function's name and encoded arguments for `state_call`, once the chain's function is seen to be the one that
    /// this program was built for.
    pub(crate) fn encode_call<P: Payload>(&self, payload: &P) -> Result<(String, Vec<u8>), Error> {
        let client = self.at.runtime_apis();
        let name = client.encode_name(payload);
        let arguments = client
            .validate(payload)
            .and_then(|()| client.encode_args(payload))
            .map_err(|error| Error::IncompatibleRuntime {
                what: without_full_stop(format!("{name}: {error}")),
            })?;
        Ok((name, arguments))
    }

    pub(crate) fn decode_answer<P: Payload>(
        &self,
        payload: &P,
        answer: &[u8],
    ) -> Result<P::ReturnType, Error> {
        let metadata = self.at.metadata_ref();
        decode_runtime_api_response(
            payload.trait_name(),
            payload.method_name(),
            &mut &answer[..],
            metadata,
            metadata.types(),
            P::ReturnType::into_visitor(),
        )
        .map_err(|error| Error::protocol(payload.method_name(), error))
    }

    /// The key of a value of the chain's state, once the value is seen to be of the type that this program was built for.
    pub(crate) fn storage_key<A: Address>(
        &self,
        address: &A,
        parts: A::KeyParts,
    ) -> Result<Vec<u8>, Error> {
        let entry = self.at.storage().entry(address);
        entry
            .and_then(|entry| entry.fetch_key(parts))
            .map_err(|error| unfit(address, error))
    }

    /// What the keys of all values of a map begin with, or of those under the first parts of its keys.
    pub(crate) fn storage_prefix<A: Address, P: PrefixOf<A::KeyParts>>(
        &self,
        address: &A,
        parts: P,
    ) -> Result<Vec<u8>, Error> {
        let entry = self.at.storage().entry(address);
        entry
            .and_then(|entry| entry.iter_key(parts))
            .map_err(|error| unfit(address, error))
    }

    /// Reads a value of the chain's state.
    pub(crate) fn decode_value<A: Address>(
        &self,
        address: &A,
        value: &[u8],
    ) -> Result<A::Value, Error> {
        let metadata = self.at.metadata_ref();
        decode_storage_value(
            address.pallet_name(),
            address.entry_name(),
            &mut &value[..],
            metadata,
            metadata.types(),
            A::Value::into_visitor(),
        )
        .map_err(|error| Error::protocol(name(address), error))
    }

    /// A constant of the runtime.
    pub(crate) fn constant<A: subxt::constants::Address>(
        &self,
        address: A,
    ) -> Result<A::Target, Error> {
        let name = format!("{}.{}", address.pallet_name(), address.constant_name());
        let constant = self.at.constants().entry(address);
        constant.map_err(|error| Error::IncompatibleRuntime {
            what: without_full_stop(format!("{name}: {error}")),
        })
    }

    /// Names a dispatch error and gives it the chain's own documentation.
    pub(crate) fn refusal(&self, dispatch_error: &[u8]) -> DispatchRefusal {
        match DispatchError::decode_from(dispatch_error, self.at.metadata()) {
            Ok(DispatchError::Module(error)) => {
                let (name, doc) = match error.details() {
                    Ok(details) => (
                        format!("{}.{}", details.pallet.name(), details.variant.name),
                        sentence(&details.variant.docs),
                    ),
                    Err(_) => (error.details_string(), String::new()),
                };
                let word = match error.as_root_error::<api::Error>() {
                    Ok(api::Error::ClientHashchain(reason)) => reason.into(),
                    _ => unknown_word(&name),
                };
                DispatchRefusal::new(name, word, doc)
            }
            Ok(error) => {
                let name = name_of(&error);
                DispatchRefusal::new(name, unknown_word(name), error.to_string())
            }
            Err(_) => {
                let name = format!("0x{}", hex::encode(dispatch_error));
                DispatchRefusal::new(&name, unknown_word(&name), "")
            }
        }
    }
}

/// The version that metadata names.
fn version_in(metadata: &Metadata) -> Option<Version> {
    /// Names of the rules and of who wrote them; versions of the interface for authors, of the rules and of the program; the
    /// runtime's functions, and the version of transactions.
    type Named = (String, String, u32, u32, u32, Vec<([u8; 8], u32)>, u32);
    let system = metadata.pallet_by_name("System")?;
    let version = system.constant_by_name("Version")?.value();
    let (_, _, _, spec, _, _, transaction) = Named::decode(&mut &version[..]).ok()?;
    Some(Version { spec, transaction })
}

/// Hashes of the types of what is read natively: of the calls that bring runs, and of the answer with entries. None where one of
/// them is missing.
fn shapes(metadata: &Metadata) -> Option<[[u8; 32]; 3]> {
    let calls = metadata.pallet_by_name("ClientHashchain")?;
    let entries = metadata.runtime_api_trait_by_name("HashchainApi")?;
    let entries = entries.method_by_name("entries")?.hash();
    Some([
        calls.call_hash("submit")?,
        calls.call_hash("submit_batch")?,
        entries,
    ])
}

/// The same of the metadata that this program was built with, which has them all.
fn known_shapes() -> Option<[[u8; 32]; 3]> {
    shapes(known()?)
}

/// The metadata that this program was built with, decoded once.
fn known() -> Option<&'static Metadata> {
    static DECODED: OnceLock<Option<Metadata>> = OnceLock::new();
    let decoded = DECODED.get_or_init(|| Metadata::decode_from(KNOWN).ok());
    decoded.as_ref()
}

fn name(address: &impl Address) -> String {
    format!("{}.{}", address.pallet_name(), address.entry_name())
}

fn unfit(address: &impl Address, error: impl std::fmt::Display) -> Error {
    Error::IncompatibleRuntime {
        what: without_full_stop(format!("{}: {error}", name(address))),
    }
}

/// The name of an error that belongs to no pallet, as the metadata has it.
fn name_of(error: &DispatchError) -> &'static str {
    match error {
        DispatchError::CannotLookup => "CannotLookup",
        DispatchError::BadOrigin => "BadOrigin",
        DispatchError::Module(_) => "Module",
        DispatchError::ConsumerRemaining => "ConsumerRemaining",
        DispatchError::NoProviders => "NoProviders",
        DispatchError::TooManyConsumers => "TooManyConsumers",
        DispatchError::Token(_) => "Token",
        DispatchError::Arithmetic(_) => "Arithmetic",
        DispatchError::Transactional(_) => "Transactional",
        DispatchError::Exhausted => "Exhausted",
        DispatchError::Corruption => "Corruption",
        DispatchError::Unavailable => "Unavailable",
        DispatchError::RootNotAllowed => "RootNotAllowed",
        _ => "Other",
    }
}

/// Documentation comes in lines; a message is one line.
fn sentence(docs: &[String]) -> String {
    let lines = docs.iter().map(|line| line.trim());
    lines.collect::<Vec<_>>().join(" ").trim().to_string()
}

// SPDX-License-Identifier: Apache-2.0

//! Which runs a finalised block brought, and by whom: what relays are held to.
//!
//! Events say what became of a run and not what it was, and a node that prunes drops them. The extrinsics themselves stay
//! as long as the block does.

use hashchain::Run;
use mhealth_evidence::{decode_exactly, Header};
use subxt::ext::frame_decode::extrinsics::ExtrinsicTypeInfo;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::utils::{strip_compact_prefix, AccountId32, H256};
use subxt::Metadata;

use crate::connection::Connection;
use crate::error::Error;
use crate::native;
use crate::rpc::RawBlock;
use crate::runtime::api::runtime_types::mhealth_runtime::RuntimeCall;
use crate::runtime::api::runtime_types::pallet_client_hashchain::pallet::Call as HashchainCall;
use crate::runtime::Runtime;
use crate::wire::Read;
use crate::within::{after, each_call, NotFound};

/// A run in an extrinsic of a block, whatever the chain made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtRun {
    /// The account that signed the extrinsic.
    pub submitter: AccountId32,
    /// Place of the extrinsic in the block, from 0.
    pub extrinsic_index: u32,
    /// Place of the run among all runs of the extrinsic, from 0. Where the extrinsic's own call is a batch, this is its place in
    /// the batch.
    pub position: u32,
    /// Whether the run came in a call within the extrinsic's own. The chain refuses those, but a decision of the consortium or
    /// a runtime of another version may let them in; whether the inner call was ever made, the extrinsic does not say.
    pub wrapped: bool,
    /// The run.
    pub run: Run,
}

/// The runs that signed extrinsics of this block brought, in order, also those in calls within calls.
///
/// Extrinsics stay longer than states, and which runtime read them nobody says any more; most often it is the present one. What that
/// reads is taken if it accounts for all entries that the block registered, by what headers say of the journal. Otherwise it may not
/// be all: [`Error::StatePruned`].
pub(crate) async fn runs_brought(
    connection: &Connection,
    block: H256,
) -> Result<Vec<BroughtRun>, Error> {
    let raw = connection.rpc().block(block).await?;
    if raw.number == 0 {
        return Ok(Vec::new());
    }
    match connection.runtime(raw.parent_hash).await {
        Err(Error::StatePruned { .. }) => read_by_present(connection, &raw).await,
        runtime => read(&runtime?, &raw.extrinsics),
    }
}

async fn read_by_present(
    connection: &Connection,
    raw: &RawBlock,
) -> Result<Vec<BroughtRun>, Error> {
    // The first extrinsic of a block tells the time, and nobody signs it. Most blocks have no other.
    if raw.extrinsics.len() < 2 {
        return Ok(Vec::new());
    }
    let present = connection.rpc().finalised_head().await?;
    let present = connection.runtime(present).await?;
    let pruned = || Error::StatePruned {
        block: raw.number.to_string(),
    };
    let brought = read(&present, &raw.extrinsics).map_err(|_| pruned())?;
    let before = match raw.number {
        // The first block says nothing, and has no entries.
        1 => Some(0),
        _ => header(connection, raw.parent_hash).await?.journal_length(),
    };
    let after = header(connection, raw.hash).await?.journal_length();
    let entries = brought
        .iter()
        .map(|brought| brought.run.entries.len() as u64);
    let entries: u64 = entries.sum();
    match before.zip(after) {
        Some((before, after)) if after.saturating_sub(before) <= entries => Ok(brought),
        _ => Err(pruned()),
    }
}

async fn header(connection: &Connection, block: H256) -> Result<Header, Error> {
    let header = connection.rpc().encoded_header(block).await?;
    decode_exactly(&header).map_err(|error| Error::protocol("chain_getHeader", error))
}

pub(crate) fn read(runtime: &Runtime, extrinsics: &[Vec<u8>]) -> Result<Vec<BroughtRun>, Error> {
    let metadata = runtime.at().metadata_ref();
    let mut brought = Vec::new();
    for (extrinsic, index) in extrinsics.iter().zip(0u32..) {
        let signed = signed(metadata, extrinsic);
        let signed = signed.map_err(|error| Error::protocol("an extrinsic", error))?;
        let Some((submitter, call)) = signed else {
            continue;
        };
        let found = runs_within(runtime, call)?.into_iter().zip(0u32..);
        brought.extend(found.map(|((depth, run), position)| BroughtRun {
            submitter,
            extrinsic_index: index,
            position,
            wrapped: depth > 0,
            run,
        }));
    }
    Ok(brought)
}

/// The account that signed an extrinsic, and the bytes of its call.
type SignedCall<'a> = (AccountId32, &'a [u8]);

/// Who signed an extrinsic, and its call; none if nobody did, as the one that sets the clock.
///
/// Read here and not by subxt, which takes stack for every call within a call: a node that lies could end the program.
fn signed<'a>(
    metadata: &Metadata,
    extrinsic: &'a [u8],
) -> Result<Option<SignedCall<'a>>, NotFound> {
    /// Signed, of version 4, which is how this chain's transactions are.
    const SIGNED: u8 = 0b1000_0100;
    let (_, body) = strip_compact_prefix(extrinsic).map_err(|_| NotFound::Encoding)?;
    // An address of this chain's accounts: a byte 0, then the account.
    let Some(([SIGNED, 0], rest)) = body.split_first_chunk() else {
        return Ok(None);
    };
    let (account, rest) = rest.split_first_chunk().ok_or(NotFound::Encoding)?;
    let signature = metadata
        .extrinsic_signature_info()
        .map_err(|_| NotFound::Metadata)?
        .signature_id;
    let extensions = metadata
        .extrinsic_extension_info(None)
        .map_err(|_| NotFound::Metadata)?
        .extension_ids;
    let between = std::iter::once(signature).chain(extensions.iter().map(|extension| extension.id));
    let call = after(metadata.types(), between, rest)?;
    Ok(Some((AccountId32(*account), call)))
}

/// The runs in a call and in all calls within it, each with the depth of its call.
fn runs_within(runtime: &Runtime, call: &[u8]) -> Result<Vec<(usize, Run)>, Error> {
    let metadata = runtime.at().metadata_ref();
    let mut runs = Vec::new();
    if runtime.reads_natively() && brings_runs(metadata, call).is_some() {
        // As nearly every call in which there are runs at all: nothing lies within it.
        let found =
            runs_of(runtime, call).map_err(|error| Error::protocol("an extrinsic", error))?;
        return Ok(found.into_iter().map(|run| (0, run)).collect());
    }
    let call_type = metadata.outer_enums().call_enum_ty();
    let found = each_call(metadata.types(), call_type, call, |depth, bytes| {
        let found = runs_of(runtime, bytes)?;
        runs.extend(found.into_iter().map(|run| (depth, run)));
        Ok::<_, Unread>(())
    });
    match found {
        Ok(()) => Ok(runs),
        Err(Unread::NotFound(NotFound::TooDeep)) => {
            // No block of an honest chain has this. What lies deeper shows as entries that no extrinsic accounts for.
            tracing::warn!("an extrinsic nests calls too deep; those below are not read");
            Ok(runs)
        }
        Err(error) => Err(Error::protocol("an extrinsic", error)),
    }
}

/// Why the runs within a call could not be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("a call with runs cannot be read: {0}")]
    Runs(#[from] subxt::ext::scale_decode::Error),
}

/// The name of the call if it is one that brings runs. Others may have another form in another version of the runtime, and are
/// nobody's runs.
fn brings_runs<'a>(metadata: &'a Metadata, call: &[u8]) -> Option<&'a str> {
    let [pallet, variant, ..] = call else {
        return None;
    };
    let pallet = metadata.pallet_by_call_index(*pallet);
    let variant = pallet
        .filter(|pallet| pallet.name() == "ClientHashchain")
        .and_then(|pallet| pallet.call_variant_by_index(*variant))?;
    matches!(&*variant.name, "submit" | "submit_batch").then_some(&variant.name)
}

/// The runs that this call itself brings, not those within it.
fn runs_of(runtime: &Runtime, call: &[u8]) -> Result<Vec<Run>, Unread> {
    let metadata = runtime.at().metadata_ref();
    let Some(name) = brings_runs(metadata, call) else {
        return Ok(Vec::new());
    };
    if runtime.reads_natively() {
        let mut arguments = &call[2..];
        let runs = match name {
            "submit" => native::run(&mut arguments).map(|run| vec![run]),
            _ => native::batch(&mut arguments),
        };
        return runs.ok_or(Unread::NotFound(NotFound::Encoding));
    }
    let call_type = metadata.outer_enums().call_enum_ty();
    let call = RuntimeCall::decode_as_type(&mut &*call, call_type, metadata.types())?;
    Ok(match call {
        RuntimeCall::ClientHashchain(HashchainCall::submit { run }) => vec![run.read()],
        RuntimeCall::ClientHashchain(HashchainCall::submit_batch { runs }) => {
            runs.0.into_iter().map(Read::read).collect()
        }
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests;

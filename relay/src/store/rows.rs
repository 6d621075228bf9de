// SPDX-License-Identifier: Apache-2.0

//! Rows, and what they mean.

use mhealth_api::{Base64, BlockRef, RunEntry, RunState, RunStatus};
pub(super) use mhealth_server::rows::{hash, signed, unsigned};
use sqlx::any::AnyRow;
use sqlx::Row;

use super::StoreError;

/// The columns that [`status`] reads.
pub(super) const STATUS_COLUMNS: &str =
    "run, device, sequence, entries, head, state, block_number, block_hash, extrinsic_index, reason";

/// Rows of one statement. SQLite takes 32,766 parameters at most, PostgreSQL 65,535.
pub(super) const CHUNK: usize = 128;

/// States of a run. Those before [`FINALISED`] are not settled yet.
///
/// Statements that an index of some rows is to serve have the number in their text: a parameter could be any.
pub(super) const PENDING: i64 = 0;
pub(super) const SUBMITTED: i64 = 1;
pub(super) const FINALISED: i64 = 2;
pub(super) const REFUSED: i64 = 3;
pub(super) const CONFLICTING: i64 = 4;

/// What a run that contradicts its device's history is; 0 of one that does not.
pub(super) const UNSIGNED_RIVAL: i64 = 1;
pub(super) const SIGNED_RIVAL: i64 = 2;

/// States of a batch.
pub(super) const LIVE: i64 = 0;
pub(super) const SETTLED: i64 = 1;
pub(super) const DEAD: i64 = 2;

fn state(number: i64) -> Result<RunState, StoreError> {
    Ok(match number {
        PENDING => RunState::Pending,
        SUBMITTED => RunState::Submitted,
        FINALISED => RunState::Finalised,
        REFUSED => RunState::Refused,
        CONFLICTING => RunState::Conflicting,
        _ => return Err(StoreError::Corrupt("a state")),
    })
}

pub(super) fn status(row: &AnyRow) -> Result<RunStatus, StoreError> {
    let block_number: Option<i64> = row.try_get("block_number")?;
    let block_hash: Option<Vec<u8>> = row.try_get("block_hash")?;
    let block = match (block_number, block_hash) {
        (Some(number), Some(bytes)) => Some(BlockRef {
            number: unsigned(number)?,
            hash: hash(bytes)?,
        }),
        _ => None,
    };
    let extrinsic_index: Option<i64> = row.try_get("extrinsic_index")?;
    let reason: Option<String> = row.try_get("reason")?;
    Ok(RunStatus {
        run: hash(row.try_get("run")?)?,
        device: unsigned(row.try_get("device")?)?,
        sequence: unsigned(row.try_get("sequence")?)?,
        entries: unsigned(row.try_get("entries")?)?,
        head: hash(row.try_get("head")?)?,
        state: state(row.try_get("state")?)?,
        block,
        extrinsic_index: extrinsic_index.map(unsigned).transpose()?,
        reason: reason
            .map(|word| word.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("a reason"))?,
    })
}

pub(super) fn signature(row: &AnyRow) -> Result<Option<[u8; 64]>, StoreError> {
    let signature: Option<Vec<u8>> = row.try_get("signature")?;
    let signature = signature.map(<[u8; 64]>::try_from).transpose();
    signature.map_err(|_| StoreError::Corrupt("a signature"))
}

/// Entries without their envelopes, from the column that holds them.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = hashchain::RunEntry> + '_ {
    let (entries, _) = bytes.as_chunks();
    entries.iter().map(hashchain::RunEntry::from_bytes)
}

/// Entries from the two columns that hold them. Without envelopes, which were erased, each has an empty one.
pub(super) fn entries_with_envelopes(
    bytes: &[u8],
    envelopes: Option<&[u8]>,
) -> Result<Vec<RunEntry>, StoreError> {
    let Some(envelopes) = envelopes else {
        let emptied = entries(bytes).map(|hashchain::RunEntry { digest, tag }| RunEntry {
            digest,
            tag,
            envelope: Base64(Vec::new()),
        });
        return Ok(emptied.collect());
    };
    let corrupt = || StoreError::Corrupt("envelopes");
    let mut rest = envelopes;
    let mut with_envelopes = Vec::new();
    for hashchain::RunEntry { digest, tag } in entries(bytes) {
        let (length, after) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (envelope, after) = after.split_at_checked(length).ok_or_else(corrupt)?;
        with_envelopes.push(RunEntry {
            digest,
            tag,
            envelope: Base64(envelope.to_vec()),
        });
        rest = after;
    }
    match rest {
        [] => Ok(with_envelopes),
        _ => Err(corrupt()),
    }
}

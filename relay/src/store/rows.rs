// SPDX-License-Identifier: Apache-2.0

//! Rows, and what they mean.

use mhealth_api::{Base64, BlockRef, RunEntry, RunState, RunStatus};
pub(super) use mhealth_server::rows::{hash, signed, unsigned};
use sqlx::any::AnyRow;
use sqlx::Row;

use super::StoreError;
use crate::run::LINK_BYTES;

/// The columns that [`status`] reads.
pub(super) const STATUS_COLUMNS: &str =
    "run, device, sequence, entries, head, state, block_number, block_hash, extrinsic_index, reason";

pub(super) const PENDING: i64 = 0;
pub(super) const SUBMITTED: i64 = 1;
pub(super) const FINALISED: i64 = 2;
pub(super) const REFUSED: i64 = 3;
pub(super) const CONFLICTING: i64 = 4;

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
    Ok(RunStatus {
        run: hash(row.try_get("run")?)?,
        device: unsigned(row.try_get("device")?)?,
        sequence: unsigned(row.try_get("sequence")?)?,
        entries: unsigned(row.try_get("entries")?)?,
        head: hash(row.try_get("head")?)?,
        state: state(row.try_get("state")?)?,
        block,
        extrinsic_index: extrinsic_index.map(unsigned).transpose()?,
        reason: row.try_get("reason")?,
    })
}

/// Entries from the two columns that hold them.
pub(super) fn entries(links: &[u8], envelopes: &[u8]) -> Result<Vec<RunEntry>, StoreError> {
    let corrupt = StoreError::Corrupt("envelopes");
    let mut rest = envelopes;
    let mut entries = Vec::with_capacity(links.len() / LINK_BYTES);
    for link in links.chunks_exact(LINK_BYTES) {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(corrupt);
        };
        let Some((envelope, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize)
        else {
            return Err(corrupt);
        };
        entries.push(RunEntry {
            digest: hash(link[..32].to_vec())?,
            tag: hash(link[32..].to_vec())?,
            envelope: Base64(envelope.to_vec()),
        });
        rest = after;
    }
    match rest {
        [] => Ok(entries),
        _ => Err(corrupt),
    }
}

/// `$1, $2, …` for a statement with so many parameters from `first` on.
pub(super) fn placeholders(first: usize, count: usize) -> String {
    let list: Vec<_> = (first..first + count)
        .map(|number| format!("${number}"))
        .collect();
    list.join(", ")
}

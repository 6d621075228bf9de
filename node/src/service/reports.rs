// SPDX-License-Identifier: Apache-2.0

//! Reports that the runtime makes and nobody signs. They go into a block of this node's own.

use codec::Decode;
use mhealth_runtime::Hash;
use sc_transaction_pool_api::{
    error::{Error as PoolError, IntoPoolError},
    TransactionPool, TransactionSource,
};
use sp_runtime::OpaqueExtrinsic;

use super::FullPool;

/// Why a report is not in the pool.
pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Puts an encoded report that the runtime made after this block into the node's pool. Says whether it is new there: an earlier
/// one may wait for a block of this node's.
pub(super) async fn hand_in(pool: &FullPool, best: Hash, report: &[u8]) -> Result<bool, Failed> {
    let report = OpaqueExtrinsic::decode(&mut &report[..])?;
    match pool
        .submit_one(best, TransactionSource::Local, report)
        .await
    {
        Ok(_) => Ok(true),
        Err(error) => match error.into_pool_error()? {
            PoolError::AlreadyImported(_) | PoolError::TooLowPriority { .. } => Ok(false),
            error => Err(error.into()),
        },
    }
}

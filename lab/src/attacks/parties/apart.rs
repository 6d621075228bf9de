// SPDX-License-Identifier: Apache-2.0

//! Rows that need a stage of their own, because they have nothing to do with a study's policy: other chains, several nodes, a relay of
//! two studies, a study with a holder of keys, servers with the limits that they usually have. They are played one after the other.

mod checkpoints;
mod crowds;
mod erasures;
mod scopes;
mod small;
mod strangers;
mod together;
mod validators;

use std::path::Path;

use anyhow::{Context, Result};

use crate::attack::Attack;
use crate::play::Tried;

/// Attempts of a row at most.
fn most(row: Attack) -> u32 {
    match row {
        // Five nodes each time.
        Attack::Equivocates => 1,
        _ => 3,
    }
}

/// Plays these rows.
pub(crate) async fn play(
    rows: Vec<Attack>,
    seed: u64,
    attempts: u32,
    folder: &Path,
) -> Result<Vec<Tried>> {
    let mut all = Vec::new();
    for row in rows {
        let attempts = attempts.min(most(row));
        let tried = match row {
            Attack::PhoneAndServer => together::play(seed, attempts, folder).await,
            Attack::ReadsOtherStudy => scopes::play(seed, attempts).await,
            Attack::WrongCheckpoint => checkpoints::play(seed, attempts, folder).await,
            Attack::Equivocates => validators::play(attempts).await,
            Attack::KeepsErased
            | Attack::LosesAsErased
            | Attack::ReceiptUnasked
            | Attack::ForgesOrder => erasures::play(row, seed, attempts).await,
            Attack::StrangersRuns => strangers::play(attempts, folder).await,
            _ => crowds::play(row, seed, attempts).await,
        };
        all.extend(tried.with_context(|| format!("{row:?}"))?);
    }
    Ok(all)
}

// SPDX-License-Identifier: Apache-2.0

//! A relay whose account was changed on chain goes on with its database.
//!
//! A database is bound to the account whose transactions are in it. When it is opened with another one, the chain has to say
//! that this one took the former's place (`studies.rotate`), in every study that the database has runs of. A key that was
//! mistyped, or another relay's database, is refused as before. The process that submits then waits until no
//! transaction of the former account can get into a block any more, binds the database to the new one, and goes on.

use std::collections::HashMap;

use hashchain::StudyId;
use mhealth_api::Hash;

use crate::ledger::{Ledger, LedgerError};
use crate::store::{Store, StoreError};

/// Why the database is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The chain does not know of a change.
    #[error(
        "this database belongs to account {former}, and in study {study} the chain does not say that account {present} took \
         its place: give the secret of the former account, or sign `studies.rotate` with it, naming the new one"
    )]
    NotSuccessor {
        /// The account that the database is bound to.
        former: Hash,
        /// The account that the relay was started with.
        present: Hash,
        /// The study.
        study: StudyId,
    },
    /// It could not be asked.
    #[error("whether the account took the former's place cannot be read from the chain")]
    Ledger(#[from] LedgerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Passes if the ledger's account took the place of `former` in every study that the database has runs of.
pub async fn check(
    store: &Store,
    ledger: &dyn Ledger,
    former: [u8; 32],
) -> Result<(), TakeoverError> {
    let present = ledger.account();
    for study in store.studies().await? {
        let rotations = ledger.rotations(study).await?;
        if !took_place(&rotations, former, present) {
            return Err(TakeoverError::NotSuccessor {
                former: Hash(former),
                present: Hash(present),
                study,
            });
        }
    }
    Ok(())
}

/// Whether the changes lead from one account to the other. Each account has one successor at most; a loop of a lying node ends.
fn took_place(rotations: &[([u8; 32], [u8; 32])], former: [u8; 32], present: [u8; 32]) -> bool {
    let next: HashMap<_, _> = rotations.iter().copied().collect();
    let mut account = former;
    for _ in 0..=next.len() {
        if account == present {
            return true;
        }
        match next.get(&account) {
            Some(next) => account = *next,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::took_place;

    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];
    const C: [u8; 32] = [3; 32];

    #[test]
    fn changes_lead_on_and_never_back() {
        let rotations = [(B, C), (A, B)];
        assert!(took_place(&rotations, A, C));
        assert!(took_place(&rotations, B, C));
        assert!(!took_place(&rotations, C, A));
        assert!(!took_place(&rotations, [4; 32], C));
        assert!(!took_place(&[], A, C));
        assert!(!took_place(&[(A, B), (B, A)], A, C));
    }
}

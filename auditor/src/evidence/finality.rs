// SPDX-License-Identifier: Apache-2.0

//! GRANDPA's finality, checked from the authorities on that the file begins with.

use codec::DecodeAll;
use mhealth_justification::{NotFinal, Voters};
use sp_consensus_grandpa::{AuthorityList, ConsensusLog, GRANDPA_ENGINE_ID};
use sp_runtime::generic::DigestItem;
use sp_runtime::traits::Header as _;

use super::{Handover, Header};

/// The set that follows, if this one's voters made the block final that names it.
pub(super) fn hand_over(voters: &Voters, handover: &Handover) -> Result<Voters, NotFinal> {
    check(voters, &handover.header, &handover.justification)?;
    let next = next_authorities(&handover.header).ok_or(NotFinal)?;
    let set = voters.set().checked_add(1).ok_or(NotFinal)?;
    Voters::new(set, next).ok_or(NotFinal)
}

/// Whether this set's voters made the block final.
pub(super) fn check(
    voters: &Voters,
    header: &Header,
    justification: &[u8],
) -> Result<(), NotFinal> {
    let shown = voters.check::<Header>(justification)?;
    match shown.hash == header.hash() && shown.number == *header.number() {
        true => Ok(()),
        false => Err(NotFinal),
    }
}

/// The authorities that a block names, if it names any. A change that takes effect later than in this block does not occur on
/// this chain, and is not taken; nor is anything from a block that changes them by force, because the set before it does not
/// sign for that.
pub(crate) fn next_authorities(header: &Header) -> Option<AuthorityList> {
    if forces_authorities(header) {
        return None;
    }
    logs(header).find_map(|log| match log {
        ConsensusLog::ScheduledChange(change) if change.delay == 0 => Some(change.next_authorities),
        _ => None,
    })
}

/// Whether a block changes the authorities by force, as the consortium can after finality was lost. The set before has no say in
/// it, so no evidence leads over this block but from a checkpoint after it.
pub(crate) fn forces_authorities(header: &Header) -> bool {
    logs(header).any(|log| matches!(log, ConsensusLog::ForcedChange(..)))
}

/// What GRANDPA's pallet says in a block's header.
fn logs(header: &Header) -> impl Iterator<Item = ConsensusLog<u32>> + '_ {
    let logs = header.digest().logs().iter();
    logs.filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    })
}

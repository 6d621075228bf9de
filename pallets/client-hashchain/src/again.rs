// SPDX-License-Identifier: Apache-2.0

//! How much of what a study has registered may be brought again for nothing.
//!
//! A phone that writes to several relays has each of its entries brought by each of them. One comes first; what the others bring is
//! registered already, and still stands in blocks for ever. So a study's relays may bring again what it has registered, each of them
//! every entry once, and all together [`COPIES`] times. What goes beyond that is a replay, which the sender owes like refused
//! work: a study that registers nothing cannot fill blocks for long.
//!
//! Each account has a part of its own, so that a relay which replays takes nothing from the others: of the parts that the study
//! has, it can use up one. It counts in entries, because two relays may bring the same entries in runs of other lengths.
//!
//! A run may begin with registered entries and go on with new ones. Then only the new ones are registered, and the others are
//! brought again: one new entry a run would otherwise hide 255 that are not.

use crate::{size::share, Config, EntriesBrought, EntriesBroughtAgain};
use pallet_studies::StudyId;
use sp_runtime::AccountId32;

/// How often all relays of a study together may bring again what it has registered.
pub(crate) const COPIES: u64 = 8;

/// How many entries an account may be behind, and still bring them again for nothing: those of seven minutes at 10,000 a second. What
/// it did not bring before is not saved up.
pub(crate) const BEHIND: u64 = 4 * 1024 * 1024;

/// Entries that were registered before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Known {
    pub(crate) entries: u64,
    /// Their share of the bytes of their runs in a block.
    pub(crate) bytes: u32,
}

/// How many entries of a study were brought.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Parts {
    /// By one account: the first time, or again for nothing.
    account: u64,
    /// Again, for nothing, by all.
    all: u64,
}

impl Parts {
    /// Counts what the account brings: entries that are new, and entries that were registered before. The study has registered so many
    /// by now, the new ones among them. How many of the known ones are within both parts.
    fn take(&mut self, registered: u64, new: u64, known: u64) -> u64 {
        let behind = registered.saturating_sub(BEHIND);
        self.account = self.account.saturating_add(new).max(behind);
        self.all = self.all.max(behind.saturating_mul(COPIES));
        let of_account = registered.saturating_sub(self.account);
        let of_all = registered.saturating_mul(COPIES).saturating_sub(self.all);
        let free = known.min(of_account).min(of_all);
        self.account += free;
        self.all += free;
        free
    }
}

/// Counts what a relay brought of a study, after its new entries were counted. How many of the known bytes are replayed.
pub(crate) fn settle<T: Config>(
    study: StudyId,
    relay: &AccountId32,
    new: u64,
    known: Known,
) -> u32 {
    let registered = pallet_studies::Pallet::<T>::quota(study).used.entries;
    let mut parts = Parts {
        account: EntriesBrought::<T>::get(study, relay),
        all: EntriesBroughtAgain::<T>::get(study),
    };
    let free = parts.take(registered, new, known.entries);
    // What is beyond changes nothing.
    if new > 0 || free > 0 {
        EntriesBrought::<T>::insert(study, relay, parts.account);
    }
    if free > 0 {
        EntriesBroughtAgain::<T>::insert(study, parts.all);
    }
    known.beyond(free)
}

impl Known {
    /// Bytes of the entries beyond so many.
    fn beyond(self, free: u64) -> u32 {
        let beyond = self.entries.saturating_sub(free);
        share(self.bytes, beyond, self.entries)
    }
}

/// Lets an account have brought what another one has.
pub(crate) fn carry_on<T: Config>(study: StudyId, former: &AccountId32, successor: &AccountId32) {
    let brought = EntriesBrought::<T>::take(study, former);
    if brought > 0 {
        EntriesBrought::<T>::mutate(study, successor, |own| *own = brought.max(*own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a block at 10,000 a second.
    const BLOCK: u64 = 20_000;

    /// Parts of one account, and what all have brought again.
    fn bring(account: &mut u64, all: &mut u64, registered: u64, new: u64, known: u64) -> u64 {
        let mut parts = Parts {
            account: *account,
            all: *all,
        };
        let free = parts.take(registered, new, known);
        (*account, *all) = (parts.account, parts.all);
        free
    }

    #[test]
    fn a_second_relay_that_is_always_late_is_never_billed() {
        // In the same block, some blocks later, or with a wait of minutes now and then.
        for late in [0, 1, 5, 200] {
            let (mut first, mut second, mut all, mut behind) = (0, 0, 0, 0);
            for block in 1..=1_000u64 {
                let registered = block * BLOCK;
                bring(&mut first, &mut all, registered, BLOCK, 0);
                behind += BLOCK;
                if late == 0 || block.is_multiple_of(late) {
                    let free = bring(&mut second, &mut all, registered, 0, behind);
                    assert_eq!(free, behind, "block {block}, {late} blocks late");
                    behind = 0;
                }
            }
        }
    }

    #[test]
    fn eight_more_relays_are_not_billed_and_relays_may_come_first_by_turns() {
        let (mut relays, mut all) = ([0; 9], 0);
        for block in 1..=1_000u64 {
            let first = block as usize % relays.len();
            let registered = block * BLOCK;
            bring(&mut relays[first], &mut all, registered, BLOCK, 0);
            for (place, relay) in relays.iter_mut().enumerate() {
                if place != first {
                    let free = bring(relay, &mut all, registered, 0, BLOCK);
                    assert_eq!(free, BLOCK, "relay {place}, block {block}");
                }
            }
        }
    }

    #[test]
    fn replays_end_and_take_nothing_from_an_honest_relay() {
        let (mut honest, mut hostile, mut all) = (0, [0; 6], 0);
        let mut replayed = 0;
        for block in 1..=1_000u64 {
            let registered = 1_000_000_000 + block * BLOCK;
            for relay in &mut hostile {
                replayed += bring(relay, &mut all, registered, 0, 100_000);
            }
            // At its head, in the first block: what it did not bring before is not saved up for ever.
            let due = if block == 1 { BEHIND } else { BLOCK };
            let free = bring(&mut honest, &mut all, registered, 0, due);
            assert_eq!(free, due, "block {block}");
        }
        let most = 6 * (BEHIND + 1_000 * BLOCK);
        assert!(replayed <= most, "{replayed} of {most}");
    }

    #[test]
    fn sixty_four_accounts_that_replay_are_bounded_by_what_the_study_registers() {
        let (mut relays, mut all, mut replayed) = ([0; 64], 0, 0);
        let registered = 1_000_000_000;
        for _ in 0..1_000 {
            for relay in &mut relays {
                replayed += bring(relay, &mut all, registered, 0, 30_000);
            }
        }
        assert_eq!(replayed, COPIES * BEHIND);
    }

    #[test]
    fn what_is_beyond_is_counted_by_its_share_of_the_bytes() {
        let known = Known {
            entries: 10,
            bytes: 1_680,
        };
        assert_eq!(known.beyond(10), 0);
        assert_eq!(known.beyond(4), 1_008);
        assert_eq!(known.beyond(0), 1_680);
        assert_eq!(Known::default().beyond(0), 0);
    }
}

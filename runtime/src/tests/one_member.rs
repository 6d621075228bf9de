// SPDX-License-Identifier: Apache-2.0

//! One member alone, absent or hostile, does not keep the others from deciding.

use codec::Encode;
use frame_support::{assert_noop, assert_ok, dispatch::GetDispatchInfo, weights::Weight};
use pallet_consortium::{Collective, UrgentDecision};
use sp_keyring::Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Ferdie};
use sp_runtime::{
    traits::{BlakeTwo256, Hash as _},
    DispatchError, DispatchResult,
};

use super::executed;
use crate::{
    limits::MOTIONS_PER_MEMBER, testing::local, Consortium, Council, Hash, Members, Runtime,
    RuntimeCall, RuntimeOrigin, System,
};

/// More than any motion here needs.
const ENOUGH: (Weight, u32) = (Weight::from_parts(1_000_000_000_000, u64::MAX), 1_000);

fn origin(who: Sr25519Keyring) -> RuntimeOrigin {
    RuntimeOrigin::signed(who.to_account_id())
}

fn propose(who: Sr25519Keyring, threshold: u32, call: &RuntimeCall) -> DispatchResult {
    Council::propose(origin(who), threshold, Box::new(call.clone()), ENOUGH.1)
        .map(|_| ())
        .map_err(|refused| refused.error)
}

/// Lets `who` vote aye for a motion and close it, and says what came of it.
fn carry(call: &RuntimeCall, ayes: &[Sr25519Keyring]) -> DispatchResult {
    let hash = BlakeTwo256::hash_of(call);
    let index = index_of(hash);
    for aye in ayes {
        assert_ok!(Council::vote(origin(*aye), hash, index, true));
    }
    assert_ok!(Council::close(
        origin(ayes[0]),
        hash,
        index,
        ENOUGH.0,
        ENOUGH.1
    ));
    executed()
}

/// The number of an open motion: the first field of its votes, which are private.
fn index_of(motion: Hash) -> u32 {
    let votes = pallet_collective::Voting::<Runtime, Collective>::get(motion);
    let votes = votes.expect("the motion is open").encode();
    u32::from_le_bytes(votes[..4].try_into().expect("it has a number"))
}

/// Takes all places of `who` with motions of no meaning, for each of which it votes itself.
fn fill(who: Sr25519Keyring) -> Vec<Hash> {
    (0..MOTIONS_PER_MEMBER)
        .map(|number| {
            let remark = number.encode();
            let motion: RuntimeCall = frame_system::Call::remark { remark }.into();
            assert_ok!(propose(who, 2, &motion));
            let hash = BlakeTwo256::hash_of(&motion);
            assert_ok!(Council::vote(origin(who), hash, index_of(hash), true));
            hash
        })
        .collect()
}

/// Finding 8 of the review: it made 32 motions, and nobody could propose anything for three days.
#[test]
fn a_member_that_fills_its_places_is_removed_by_the_others() {
    local().execute_with(|| {
        fill(Dave);
        let another = frame_system::Call::remark { remark: vec![9; 9] }.into();
        assert_noop!(
            propose(Dave, 2, &another),
            pallet_consortium::Error::<Runtime>::TooManyMotions
        );

        let remove: RuntimeCall = pallet_consortium::Call::remove_member {
            member: Dave.to_account_id(),
        }
        .into();
        assert!(remove.encoded_size() < ENOUGH.1 as usize);
        assert!(remove.get_dispatch_info().call_weight.all_lt(ENOUGH.0));
        assert_ok!(propose(Alice, 3, &remove));
        assert_ok!(carry(&remove, &[Alice, Bob, Charlie]));
        assert!(!Members::members().contains(&Dave.to_account_id()));
        // And what it left open is gone with it.
        assert!(pallet_collective::Proposals::<Runtime, Collective>::get().is_empty());
    });
}

#[test]
fn more_than_half_of_the_members_cancel_motions_while_the_proposer_votes_for_them() {
    local().execute_with(|| {
        let filled = fill(Dave);
        for (number, motion) in filled.iter().enumerate() {
            let (proposer, cancel): (_, RuntimeCall) = match number {
                0 => (
                    Alice,
                    pallet_collective::Call::kill {
                        proposal_hash: *motion,
                    }
                    .into(),
                ),
                _ => (
                    Bob,
                    pallet_collective::Call::disapprove_proposal {
                        proposal_hash: *motion,
                    }
                    .into(),
                ),
            };
            assert_ok!(propose(proposer, 3, &cancel));
            assert_ok!(carry(&cancel, &[Alice, Bob, Charlie]));
        }
        assert!(pallet_collective::Proposals::<Runtime, Collective>::get().is_empty());
    });
}

#[test]
fn half_of_the_members_cancel_nothing() {
    local().execute_with(|| {
        let motion = fill(Dave)[0];
        let cancel: RuntimeCall = pallet_collective::Call::kill {
            proposal_hash: motion,
        }
        .into();
        assert_ok!(propose(Alice, 2, &cancel));
        assert_eq!(carry(&cancel, &[Alice, Bob]), Err(DispatchError::BadOrigin));
        // Nor does anybody alone.
        assert!(Council::kill(origin(Ferdie), motion).is_err());
        assert!(Council::disapprove_proposal(origin(Alice), motion).is_err());
    });
}

/// A member can make its own removal a motion before the others do, with a threshold of two, and so close it before it
/// has the ayes that it needs, over and over; or with one that nobody reaches. The same call cannot be proposed twice.
#[test]
fn a_member_that_spoils_every_motion_against_it_is_removed_within_hours() {
    local().execute_with(|| {
        let remove: RuntimeCall = pallet_consortium::Call::remove_member {
            member: Dave.to_account_id(),
        }
        .into();
        assert_ok!(propose(Dave, 2, &remove));
        assert!(propose(Alice, 3, &remove).is_err());
        assert_eq!(
            carry(&remove, &[Dave, Alice]),
            Err(DispatchError::BadOrigin)
        );
        assert_ok!(propose(Dave, 5, &remove));
        assert!(propose(Alice, 3, &remove).is_err());

        let decision = UrgentDecision::RemoveMember {
            member: Dave.to_account_id(),
        };
        for member in [Alice, Bob, Charlie] {
            assert!(Members::members().contains(&Dave.to_account_id()));
            assert_ok!(Consortium::vote_urgent(origin(member), decision.clone()));
        }
        assert!(!Members::members().contains(&Dave.to_account_id()));
        assert_ok!(Consortium::do_try_state());
    });
}

#[test]
fn any_three_of_four_members_authorise_an_upgrade_within_hours() {
    let all = [Alice, Bob, Charlie, Dave];
    for absent in all {
        local().execute_with(|| {
            let code_hash = Hash::repeat_byte(7);
            let decision = UrgentDecision::AuthorizeUpgrade { code_hash };
            for member in all.into_iter().filter(|member| *member != absent) {
                assert!(System::authorized_upgrade().is_none());
                // What is absent may as well vote for something else all the time.
                let other = UrgentDecision::AuthorizeUpgrade {
                    code_hash: Hash::repeat_byte(8),
                };
                assert_ok!(Consortium::vote_urgent(origin(absent), other));
                assert_ok!(Consortium::vote_urgent(origin(member), decision.clone()));
            }
            let authorised = System::authorized_upgrade().expect("it is authorised");
            assert_eq!(*authorised.code_hash(), code_hash);
        });
    }
}

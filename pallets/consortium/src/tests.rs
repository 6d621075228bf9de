// SPDX-License-Identifier: Apache-2.0

//! One file per call, and one for each thing that no single call owns.

mod add_validator;
mod decisions;
mod dispatch_as_root;
mod genesis;
mod invariants;
mod membership;
mod motions;
mod no_currency;
mod remove_validator;
mod sessions;
mod urgent;

use codec::Encode;
use frame_support::{assert_ok, weights::Weight};
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    DispatchResult, RuntimeAppPublic,
};

use crate::{mock::*, Call, Event};

#[docify::export]
#[test]
fn two_thirds_of_the_members_act_as_root() {
    ExtBuilder.build_and_execute(|| {
        // What is to be done as root, here with a key of no meaning.
        let write = RuntimeCall::System(frame_system::Call::set_storage {
            items: vec![(b"key".to_vec(), b"value".to_vec())],
        });
        let decision = RuntimeCall::Consortium(Call::dispatch_as_root {
            call: Box::new(write),
        });
        let length = decision.encoded_size() as u32;
        let hash = BlakeTwo256::hash_of(&decision);

        // Member 1 puts it to the vote, with three ayes needed; members 1, 2 and 4 vote for it.
        let proposal = Box::new(decision);
        assert_ok!(Council::propose(
            RuntimeOrigin::signed(1),
            3,
            proposal,
            length
        ));
        for member in [1, 2, 4] {
            assert_ok!(Council::vote(RuntimeOrigin::signed(member), hash, 0, true));
        }
        // Anybody may then have it carried out.
        let origin = RuntimeOrigin::signed(STRANGER);
        assert_ok!(Council::close(origin, hash, 0, Weight::MAX, length));
        assert_eq!(sp_io::storage::get(b"key").as_deref(), Some(&b"value"[..]));
    });
}

/// Puts `call` to the vote by the first of `ayes`, lets them vote for it, has it carried out as
/// soon as they all have, and returns what came of it. `threshold` is what the proposer asks for.
fn decide(call: RuntimeCall, threshold: u32, ayes: &[u64]) -> DispatchResult {
    let length = call.encoded_size() as u32;
    let hash = BlakeTwo256::hash_of(&call);
    let index = pallet_collective::ProposalCount::<Test, pallet_collective::Instance1>::get();
    assert_ok!(Council::propose(
        RuntimeOrigin::signed(ayes[0]),
        threshold,
        Box::new(call),
        length
    ));
    for aye in ayes {
        assert_ok!(Council::vote(
            RuntimeOrigin::signed(*aye),
            hash,
            index,
            true
        ));
    }
    assert_ok!(Council::close(
        RuntimeOrigin::signed(ayes[0]),
        hash,
        index,
        Weight::MAX,
        length
    ));
    executed().expect("the collective carried the proposal out")
}

/// What came of the proposal that the collective carried out last; `None` if it carried out none.
fn executed() -> Option<DispatchResult> {
    System::events()
        .into_iter()
        .rev()
        .find_map(|record| match record.event {
            RuntimeEvent::Council(pallet_collective::Event::Executed { result, .. }) => {
                Some(result)
            }
            _ => None,
        })
}

/// A decision of all members, as an origin.
fn decided() -> RuntimeOrigin {
    pallet_collective::RawOrigin::Members(4, 4).into()
}

/// Registers the session keys of an account, with a proof that it has them.
fn set_keys(who: u64) -> DispatchResult {
    let keys = keys(who);
    let proof = keys.dummy.sign(&who.encode()).expect("the key is there");
    Session::set_keys(RuntimeOrigin::signed(who), keys, proof.encode())
}

/// The pallet's last event.
fn last_event() -> Option<Event<Test>> {
    System::read_events_for_pallet().pop()
}

/// Runs to the first block of the next session.
fn next_session() {
    let next = (System::block_number() / SESSION + 1) * SESSION;
    System::run_to_block::<AllPalletsWithSystem>(next);
}

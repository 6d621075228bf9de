// SPDX-License-Identifier: Apache-2.0

//! Crowds: of transactions of one account, and of accounts.

use pallet_admission::TOO_MANY_WAITING;
use pallet_finality::ProofOf;

use super::{
    node::{Waiting, PLACES, POOL},
    *,
};
use crate::{
    admission::tests::{next_block, refused},
    System,
};

/// Small transactions take a pool's places long before its bytes, and those of higher lanes drive the others out.
#[test]
fn no_account_takes_the_places_of_the_pool() {
    let floods: [(Sender, Attack); 6] = [
        (Alice.into(), Attack::Close(1_000)),
        (Two.into(), Attack::Keys),
        (Bob.into(), Attack::AddRelay),
        (Charlie.into(), Attack::Suspend),
        (Sender::Device(HOSTILE), Attack::Gaps(1, 0)),
        (Eve.into(), Attack::Gaps(1, 0)),
    ];
    for (flood, attack) in floods {
        chain().execute_with(|| {
            let mut pool = Pool::default();
            let mut nonce = 0;
            while nonce < PLACES as u32 && pool.submit(flood, nonce, attack.call(HOSTILE.into())) {
                nonce += 1;
            }
            assert!(nonce <= PLACES as u32 / 32, "{attack:?} has {nonce} places");
            let answer = super::super::pool(flood.signed(nonce, attack.call(HOSTILE.into())));
            assert_eq!(answer, Err(refused(TOO_MANY_WAITING)), "{attack:?}");

            // Whom the pool takes now, it keeps.
            let relay = Sender::from(Dave);
            assert!(pool.submit(relay, 0, batch_of(&[0; 16])), "{attack:?}");
            let waits = |waiting: &Waiting| waiting.account == relay.account();
            assert!(pool.waiting.values().any(waits));

            // With each block one more may come.
            pool.author(&relay.account(), 0);
            let next = System::account_nonce(flood.account());
            assert!(pool.submit(flood, nonce, attack.call(HOSTILE.into())) || next == 0);
        });
    }
}

/// All of them have what an account may have. Each is another account, so none is passed over together with another.
#[test]
fn hundreds_of_phones_that_flood_keep_no_relay_waiting() {
    chain().execute_with(|| {
        let phones: Vec<_> = (3..=u8::MAX).map(enrol).collect();
        next_block();
        let mut pool = Pool::default();
        for nonce in 0..16 {
            for phone in &phones {
                assert!(pool.submit(*phone, nonce, batch_of(&[])));
            }
        }
        assert!(pool.submit(Dave.into(), 0, batch_of(&[0; 16])));
        assert!(pool.author(&Dave.to_account_id(), 0), "the relay waits");
        let left = pool.waiting.len();
        assert!(left > phones.len(), "the phones' lane was not full: {left}");
    });
}

/// The lanes above have all that they may of a block, which is more than an author's clock.
#[test]
fn servers_and_phones_that_flood_together_leave_time_for_relays() {
    chain().execute_with(|| {
        let phones: Vec<_> = (3..=u8::MAX).map(enrol).collect();
        next_block();
        let mut pool = Pool::default();
        for nonce in 0..1_000 {
            assert!(pool.submit(Charlie.into(), nonce, Attack::Enrol.call(HOSTILE.into())));
        }
        for nonce in 0..16 {
            for phone in &phones {
                assert!(pool.submit(*phone, nonce, batch_of(&[])));
            }
        }
        assert!(pool.submit(Dave.into(), 0, batch_of(&[0; 16])));
        assert!(pool.author(&Dave.to_account_id(), 0), "the relay waits");
    });
}

/// Bytes that prove nothing.
pub(super) fn report(bytes: usize) -> RuntimeCall {
    let half = ProofOf::<Runtime>::try_from(vec![0; bytes / 2]).expect("it is short");
    pallet_finality::Call::<Runtime>::report_conflict {
        set: 0,
        lower: half.clone(),
        higher: half,
        headers: ProofOf::<Runtime>::default(),
    }
    .into()
}

/// As long as the code of a runtime.
pub(super) fn upgrade(bytes: usize) -> RuntimeCall {
    let code = vec![0; bytes];
    frame_system::Call::<Runtime>::apply_authorized_upgrade { code }.into()
}

type OfLength = fn(usize) -> RuntimeCall;

#[test]
fn an_account_has_as_many_bytes_waiting_as_its_programs_have_on_their_way() {
    const LONGEST_CODE: usize = 2 * 1024 * 1024 - 1024;
    let programs: [(Sender, OfLength, usize, u32); 3] = [
        (Alice.into(), upgrade, LONGEST_CODE, 2),
        (Two.into(), report, 32 * 1024, 16),
        (Charlie.into(), report, 60 * 1024, 16),
    ];
    chain().execute_with(|| {
        for (sender, call, bytes, on_their_way) in programs {
            let answer = |nonce| super::super::pool(sender.signed(nonce, call(bytes)));
            assert_ok!(answer(on_their_way - 1));
            let refusal = Err(refused(TOO_MANY_WAITING));
            assert_eq!(answer(2 * on_their_way), refusal, "{bytes}");
            // With fewer that wait it may.
            assert_ok!(answer(0));
        }
    });
}

/// The longest first, then what fits beside them.
#[test]
fn no_account_takes_the_bytes_of_the_pool() {
    let floods: [(Sender, OfLength, usize); 2] = [
        (Alice.into(), upgrade, 2 * 1024 * 1024 - 1024),
        (Charlie.into(), report, 60 * 1024),
    ];
    for (flood, call, longest) in floods {
        chain().execute_with(|| {
            let (mut pool, mut nonce, mut bytes) = (Pool::default(), 0, longest);
            let relay = Sender::from(Dave);
            assert!(pool.submit(relay, 0, batch_of(&[0; 16])));
            while bytes > 128 {
                while pool.submit(flood, nonce, call(bytes)) {
                    nonce += 1;
                }
                bytes /= 2;
            }
            assert!(nonce > 1 && pool.bytes < POOL / 4, "{} bytes", pool.bytes);
            let waits = |waiting: &Waiting| waiting.account == relay.account();
            assert!(pool.waiting.values().any(waits));
        });
    }
}

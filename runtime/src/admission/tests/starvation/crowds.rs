// SPDX-License-Identifier: Apache-2.0

//! Crowds: of transactions of one account, and of accounts.

use pallet_admission::TOO_MANY_WAITING;

use super::*;
use crate::admission::tests::refused;

/// Small transactions take a pool's places long before its bytes, and those of higher lanes drive the others out.
#[test]
fn no_account_takes_the_places_of_the_pool() {
    let floods: [(Sender, Attack); 6] = [
        (Alice.into(), Attack::Close(1_000)),
        (Two.into(), Attack::Keys),
        (Bob.into(), Attack::AddRelay),
        (Charlie.into(), Attack::Suspend),
        (Sender::Device(2), Attack::Gaps(1, 0)),
        (Eve.into(), Attack::Gaps(1, 0)),
    ];
    for (flood, attack) in floods {
        chain().execute_with(|| {
            let mut pool = Pool::default();
            let mut nonce = 0;
            while nonce < PLACES as u32 && pool.submit(flood, nonce, attack.call(1)) {
                nonce += 1;
            }
            assert!(nonce <= PLACES as u32 / 32, "{attack:?} has {nonce} places");
            let answer = super::super::pool(flood.signed(nonce, attack.call(1)));
            assert_eq!(answer, Err(refused(TOO_MANY_WAITING)), "{attack:?}");

            // Whom the pool takes now, it keeps.
            let relay = Sender::from(Dave);
            assert!(pool.submit(relay, 0, batch_of(&[0; 16])), "{attack:?}");
            let waits = |waiting: &Waiting| waiting.account == relay.account();
            assert!(pool.waiting.values().any(waits));

            // With each block one more may come.
            pool.author(&relay.account(), 0);
            let next = System::account_nonce(flood.account());
            assert!(pool.submit(flood, nonce, attack.call(1)) || next == 0);
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

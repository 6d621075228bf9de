// SPDX-License-Identifier: Apache-2.0

//! Whatever servers do, no entry is lost or doubled.

use axum::http::StatusCode;
use mhealth_api::Code;
use mhealth_device_host::fleet::upload_all;
use proptest::prelude::*;

use super::{fakes::Trouble, impatience, through, Trial};

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => Just(Trouble::None),
        2 => Just(Trouble::LostRequest),
        2 => Just(Trouble::LostAnswer),
        2 => Just(Trouble::Forgets),
        1 => Just(Trouble::Nonsense(StatusCode::OK)),
        1 => Just(Trouble::Nonsense(StatusCode::BAD_GATEWAY)),
        1 => Just(Trouble::OtherReceipt),
        3 => prop_oneof![
            Just(Code::Overloaded),
            Just(Code::TooManyRequests),
            Just(Code::TokenExpired),
            Just(Code::UnknownIssuer),
            Just(Code::Internal),
            Just(Code::StudyClosed),
            Just(Code::UnknownDevice),
        ]
        .prop_map(|code| Trouble::Refused(code, Some(0))),
    ]
}

/// What happens between two nights.
#[derive(Clone, Debug)]
struct Evening {
    nights: u32,
    run_length: u32,
    copies: u32,
    troubles: [Vec<Trouble>; 2],
    down: [bool; 2],
}

fn evening() -> impl Strategy<Value = Evening> {
    let troubles = || prop::collection::vec(trouble(), 0..6);
    (
        0..6u32,
        1..4u32,
        1..3u32,
        [troubles(), troubles()],
        [prop::bool::weighted(0.2), prop::bool::weighted(0.2)],
    )
        .prop_map(|(nights, run_length, copies, troubles, down)| Evening {
            nights,
            run_length,
            copies,
            troubles,
            down,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_relays_do_every_entry_is_registered_once(evenings in prop::collection::vec(evening(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let trial = Trial::with_relays(2).await;
            let mut sealed = 0;
            for evening in evenings {
                trial.seal(sealed..sealed + evening.nights);
                sealed += evening.nights;
                for ((relay, troubles), down) in trial.relays.iter().zip(evening.troubles).zip(evening.down) {
                    relay.set().down = down;
                    relay.set().troubles = troubles.into();
                }
                let mut settings = trial.settings(evening.copies);
                settings.device.patience = impatience();
                let _ = upload_all(&trial.store, &through(settings), evening.run_length, |_| ()).await;
            }
            for relay in &trial.relays {
                relay.set().down = false;
                relay.set().troubles.clear();
            }
            prop_assert_eq!(trial.upload(2).await, Ok(vec![]));
            trial.assert_level();
            prop_assert_eq!(u64::from(sealed), trial.phone().record().expect("a record").length);
            Ok(())
        })?;
    }
}

// SPDX-License-Identifier: Apache-2.0

//! A node that is stopped, and relays that are, while phones have something to send.

use crate::phone::Phone;
use crate::study::Study;

/// The core waits on threads in the one, and by a page's timers in the other. Each package has a test of its own with servers
/// that are played.
const LANGUAGES: [&str; 2] = ["python", "chromium"];
/// Seconds that a phone is told to take, those after which it is back, and those after which it is on a machine with much else to do.
const TOLD: u64 = 5;
const BACK: f64 = 5.5;
const LATEST: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn a_sync_is_back_in_time_while_the_node_or_the_relays_are_away_and_a_later_one_finishes() {
    let mut study = Study::start();
    let mut phones = Vec::new();
    for language in LANGUAGES {
        phones.push(Phone::with_code(&study, language, language).await);
    }
    finish(&phones, 1).await;

    study.node.stop().expect("it stops");
    are_back_in_time(&phones, 2).await;
    study.node.start_again().expect("it starts");
    study.wait_until_ready();
    finish(&phones, 2).await;

    for relay in &mut study.relays {
        relay.stop().expect("it stops");
    }
    are_back_in_time(&phones, 3).await;
    for relay in &mut study.relays {
        relay.start_again().expect("it starts");
    }
    study.wait_until_ready();
    finish(&phones, 3).await;
}

/// Each phone seals this night, says in time that it is not registered, and has lost nothing.
async fn are_back_in_time(phones: &[Phone], night: u64) {
    for phone in phones {
        let language = phone.language;
        let mut took: Vec<f64> = Vec::new();
        // Such a machine may be late, but not three times.
        while took.len() < 3 && took.last().is_none_or(|took| *took > BACK) {
            let said = phone.play_for(night, TOLD).await;
            assert!(said.longest < LATEST, "{language}: {said:?}");
            assert!(said.fault.is_some(), "{language}: {said:?}");
            assert_eq!(
                (said.sealed, said.finalised),
                (night, night - 1),
                "{language}: {said:?}"
            );
            took.push(said.longest);
        }
        let is_back = took.last().is_some_and(|took| *took <= BACK);
        assert!(is_back, "{language}: {took:?}");
    }
}

/// Each phone has all nights up to this one registered.
async fn finish(phones: &[Phone], nights: u64) {
    for phone in phones {
        let said = phone.play(nights).await;
        assert_eq!(
            (said.sealed, said.finalised),
            (nights, nights),
            "{}: {said:?}",
            phone.language
        );
    }
}

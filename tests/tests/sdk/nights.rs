// SPDX-License-Identifier: Apache-2.0

//! In each language one phone enrols with a real code, seals 28 nights and sends them to two real relays, past one that lies and
//! one that keeps runs back. What is secret is in none of its files. A copy of it, made after the first night, is stopped.

use hashchain::DeviceId;
use mhealth_testing::audit;
use mhealth_testing::doubtful_relay::{DoubtfulRelay, Fault};
use mhealth_testing::servers::Server;

use crate::phone::{Phone, DEADLINE, LANGUAGES};
use crate::store;
use crate::study::{Study, NAMES};

const NIGHTS: u64 = 28;
/// Most seconds of a sync that a relay has a third of which keeps its run back.
const PAST_A_KEEPER: f64 = DEADLINE * 3.0 / 4.0;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn a_phone_in_every_language_registers_its_nights_past_relays_that_lie_and_keep_runs_back() {
    let mut study = Study::start();
    let chain = study.chain().await;
    let [dave, eve] = study.relays.each_ref().map(Server::url);
    let keeper = DoubtfulRelay::before(&eve, Fault::Keeps).await;
    let keeper = keeper.expect("it starts");
    let liar = DoubtfulRelay::before(&dave, Fault::Lies).await;
    let liar = liar.expect("it starts");
    // Two copies are to be brought away. Of the first two relays one keeps its copy, which goes to the liar then.
    let order = [keeper.url(), dave, liar.url(), eve];

    for (number, language) in (0..).zip(LANGUAGES) {
        // Each device begins with another one of those that are named: so all have them in the same order.
        let mut named = order.clone();
        named.rotate_right(number % order.len());
        study.name_relays(named.into());
        let phone = Phone::with_code(&study, language, language).await;
        let (kept, lied) = (keeper.taken(), liar.lied());
        let first = phone.play(1).await;
        assert_eq!(
            (first.sealed, first.finalised),
            (1, 1),
            "{language}: {first:?}"
        );
        assert!(keeper.taken() > kept, "{language} never met the keeper");
        assert!(liar.lied() > lied, "{language} never met the liar");
        assert!(first.longest < PAST_A_KEEPER, "{language}: {first:?}");
        let copy = phone.copied();

        let said = phone.play(NIGHTS).await;
        assert_eq!(
            (said.sealed, said.finalised),
            (NIGHTS, NIGHTS),
            "{language}: {said:?}"
        );
        assert!(
            said.block.is_some_and(|block| block > 0),
            "{language}: {said:?}"
        );
        // Both are turned to last now. The keeper may have a third once more after an honest one had a hiccup.
        assert!(said.longest < PAST_A_KEEPER, "{language}: {said:?}");
        assert_eq!(said.device as usize, number, "numbers follow each other");
        let device = chain.device(DeviceId(said.device)).await;
        let device = device.expect("the node answers").expect("it is enrolled");
        assert_eq!(device.length, NIGHTS, "{language}");
        store::assert_keeps_its_secrets(&phone, &device);

        let restored = copy.play(1).await;
        assert_eq!(
            restored.stopped.as_deref(),
            Some("restored_backup"),
            "{language}"
        );
    }
    assert!(liar.taken() > 0, "nobody trusted the liar with a run");

    let report = audit::run(&study.audit(&chain), &study.path("audit.json")).expect("an audit");
    assert_eq!(report.alarms(), Vec::<String>::new());
    assert_eq!(report.summary.outcome, "right");
    assert_eq!(report.summary.registered, NIGHTS * LANGUAGES.len() as u64);
    assert_eq!(report.devices.len(), LANGUAGES.len(), "a device each");
    for judged in &report.devices {
        let entries = judged.entries.iter().filter(|entry| entry.registered);
        assert_eq!(entries.count() as u64, NIGHTS, "{judged:?}");
        // Whoever believes a liar brings its copy to nobody else.
        let copied = |entry: &audit::Entry| entry.held_by == NAMES;
        assert!(judged.entries.iter().all(copied), "{judged:?}");
    }
    eprintln!(
        "{} entries of {} devices",
        report.summary.registered,
        LANGUAGES.len()
    );
}

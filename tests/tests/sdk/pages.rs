// SPDX-License-Identifier: Apache-2.0

//! Web pages: the sleep diary as its participants use it, one that the servers do not let in, and one whose clock is wrong.

use hashchain::DeviceId;
use mhealth_testing::port::Port;
use serde_json::Value;

use crate::phone::Phone;
use crate::study::Study;

const NOT_ALLOWED: &str = "origin_not_allowed";
/// Seconds of a sync that nothing helps.
const SHORT: u64 = 10;
/// Seconds of a year.
const YEAR: i64 = 365 * 24 * 3600;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn the_diary_sends_what_was_written_without_a_connection_and_names_the_block_that_has_it() {
    let study = Study::start();
    let diary = Phone::with_code(&study, "chromium", "17").await;
    let said: Value = diary.run("diary", &[]).await;
    let text = |name: &str| said[name].as_str().unwrap_or_default();
    let offline = text("offline");
    for part in [
        "One night, 0 of it registered.",
        "One night waits on this device.",
        "There is no connection.",
    ] {
        assert!(offline.contains(part), "{said}");
    }
    assert_eq!(said["safeOffline"], false, "{said}");
    assert_eq!(text("online"), "One night, 1 of it registered.", "{said}");
    let block = text("safe")
        .strip_prefix("Your data is safe: registered in block ")
        .and_then(|rest| rest.strip_suffix(", proved.")?.parse::<u64>().ok());
    let block = block.unwrap_or_else(|| panic!("no block is named: {said}"));

    let chain = study.chain().await;
    let finalised = chain.finalised().await.expect("the node answers").number;
    assert!(block <= finalised, "{block} is not final: {finalised}");
    let hash = chain.block_hash(block).await.expect("the node answers");
    let then = chain.at(hash.expect("it has such a block")).await;
    let head = then.expect("it has its state").head(DeviceId(0)).await;
    let head = head.expect("the node answers");
    assert_eq!(head.map(|head| head.length), Some(1), "in block {block}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn a_page_whose_origin_is_not_listed_says_so_and_loses_nothing() {
    let mut study = Study::start();
    let elsewhere = Port::reserve().expect("a port is free");
    let stranger = Phone {
        page: elsewhere.number(),
        ..Phone::with_code(&study, "chromium", "stranger").await
    };
    let said: Value = stranger.run("diary", &[]).await;
    assert_eq!(said["refused"], NOT_ALLOWED, "{said}");
    let sentence = said["sentence"].as_str().unwrap_or_default();
    let told = sentence.contains("may not speak to the study's server");
    assert!(told, "{said}");

    // The operators take the origin of a page off the list that has phones.
    let phone = Phone::with_code(&study, "chromium", "phone").await;
    let said = phone.play(1).await;
    assert_eq!((said.sealed, said.finalised), (1, 1), "{said:?}");
    study.let_in("https://diary.example.org");
    let said = phone.play_for(2, SHORT).await;
    assert_eq!(said.fault.as_deref(), Some(NOT_ALLOWED), "{said:?}");
    assert_eq!((said.sealed, said.finalised), (2, 1), "{said:?}");
    let origin = study.page.url();
    study.let_in(&origin);
    let said = phone.play(2).await;
    assert_eq!((said.sealed, said.finalised), (2, 2), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn a_page_whose_clock_is_years_off_enrols_and_registers_its_nights() {
    let study = Study::start();
    for years in [-60, 60] {
        let participant = format!("clock{years}");
        let wrong = Phone {
            ahead: years * YEAR,
            ..Phone::with_code(&study, "chromium", &participant).await
        };
        let said = wrong.play(1).await;
        assert_eq!((said.sealed, said.finalised), (1, 1), "{years}: {said:?}");
        // Somebody sets it.
        let set = Phone { ahead: 0, ..wrong };
        let said = set.play(2).await;
        assert_eq!((said.sealed, said.finalised), (2, 2), "{years}: {said:?}");
    }
}

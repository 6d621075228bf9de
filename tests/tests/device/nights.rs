// SPDX-License-Identifier: Apache-2.0

//! Nights that nothing comes between.

use crate::cohort::{assert_equal, Cohort};
use crate::support::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn every_night_is_registered_once_and_a_second_time_changes_nothing() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = [
        "--devices",
        "6",
        "--nights",
        "12",
        "--seed",
        "3",
        "--run-length",
        "5",
    ];
    let first = cohort.simulate(&nights);
    first.assert_complete();
    assert!(
        first.number("devices") == 6 && first.number("entries") > 40,
        "{first}"
    );
    assert_equal(&cohort, &setting.chain).await;
    assert_eq!(cohort.simulate(&nights).stdout, first.stdout);
    // The trial goes on: the first weeks are there already.
    let more = cohort.simulate(&["--devices", "8", "--nights", "20", "--seed", "3"]);
    more.assert_complete();
    assert!(more.number("devices") == 8 && more.number("entries") > first.number("entries"));
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_real_nights_is_registered_with_its_duplicates_recognised() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = "data/nights.csv";
    let report = cohort.simulate(&["--csv", nights, "--envelope", "plain"]);
    report.assert_complete();
    assert_eq!(
        report.last_line(),
        "devices=3 entries=33 duplicates=1 finalised=33 refused=0"
    );
    assert_equal(&cohort, &setting.chain).await;
}

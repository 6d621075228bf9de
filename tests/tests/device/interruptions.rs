// SPDX-License-Identifier: Apache-2.0

//! The program or its node is killed, or the node is away: every night is registered once all the same.

use mhealth_testing::node::Launch;

use crate::cohort::{assert_equal, entries_on_chain, Cohort, Report};
use crate::support::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_registers_goes_on_where_it_was() {
    let setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::proving(&setting.node);
    let nights = ["--devices", "5", "--nights", "14", "--run-length", "2"];
    for wanted in [0, 1, 12, 30] {
        let mut program = cohort.start(&nights);
        entries_on_chain(&setting.chain, wanted).await;
        program.kill().expect("killed");
        program.wait().expect("gone");
    }
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_started_again_in_between_costs_nothing() {
    let mut setting = Setting::start(Launch::consensus()).await;
    let cohort = Cohort::proving(&setting.node);
    let program = cohort.start(&["--devices", "5", "--nights", "14", "--run-length", "2"]);
    for wanted in [1, 20] {
        entries_on_chain(&setting.chain, wanted).await;
        setting.node.kill().expect("it is killed");
        setting.node.start_again().expect("it starts");
    }
    Report::of(program.wait_with_output().expect("it ends")).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_are_sealed_while_the_node_is_away_and_registered_later() {
    let mut setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "3", "--nights", "3"])
        .assert_complete();
    setting.node.stop().expect("it stops");
    let nights = ["--devices", "3", "--nights", "9", "--patience", "1"];
    let away = cohort.simulate(&nights);
    away.assert_failed(3, "node_unreachable");
    assert!(away.stderr.contains("are sealed and kept in"), "{away}");
    let sealed: u64 = cohort.heads().iter().map(|(_, length, _)| length).sum();
    setting.node.start_again().expect("it starts");
    let report = cohort.simulate(&nights);
    report.assert_complete();
    assert_eq!(report.number("entries"), sealed);
    assert_equal(&cohort, &setting.chain).await;
}

// SPDX-License-Identifier: Apache-2.0

//! What cannot be done is named, and harms nothing.

use mhealth_chain_client::{calls, SuspensionReason};
use mhealth_testing::node::Launch;

use crate::cohort::{assert_equal, Cohort};
use crate::support::Setting;

#[test]
fn without_node_and_state_there_is_nothing_to_do() {
    // Nothing listens on the port of a node that has ended.
    let url = Launch::instant().start().expect("the node starts").url();
    let cohort = Cohort::at(&url);
    cohort
        .simulate(&["--patience", "0"])
        .assert_failed(3, "node_unreachable");
    Cohort::at("http://nowhere")
        .simulate(&[])
        .assert_failed(2, "bad_url");
    cohort.run("check", &[]).assert_failed(5, "state_missing");
    assert!(!cohort.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused_and_nothing_is_written() {
    let other = "0x".to_string() + &"11".repeat(32);
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--genesis", &other])
        .assert_failed(4, "wrong_chain");
    assert!(!cohort.state().exists());
    cohort
        .simulate(&["--devices", "2", "--nights", "3"])
        .assert_complete();
    cohort
        .simulate(&["--genesis", &other])
        .assert_failed(4, "state_of_another_chain");
    cohort
        .simulate(&["--study", "77"])
        .assert_failed(4, "state_of_another_study");
    let before = std::fs::read(cohort.state()).expect("it is there");

    let local = Launch::local(0).start().expect("the node starts");
    let moved = Cohort {
        url: local.url(),
        ..cohort
    };
    moved
        .simulate(&["--devices", "9"])
        .assert_failed(4, "wrong_chain");
    moved.run("check", &[]).assert_failed(4, "wrong_chain");
    assert_eq!(std::fs::read(moved.state()).expect("it is there"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_is_not_there_is_named() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--study", "77"])
        .assert_failed(4, "unknown_study");
    assert!(!cohort.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_enrol_is_refused_and_the_nights_wait() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    let nights = ["--devices", "2", "--nights", "5"];
    for (who, code) in [("//Ferdie", "no_role"), ("//Dave", "not_its_call")] {
        let report = cohort.simulate(&[&nights[..], &["--enrol-with", who]].concat());
        report.assert_failed(1, code);
        assert_eq!(
            (report.number("finalised"), report.number("refused")),
            (0, report.number("entries"))
        );
    }
    let bad = cohort.simulate(&[&nights[..], &["--enrol-with", "hunter2"]].concat());
    bad.assert_failed(2, "bad_secret");
    assert!(!bad.stderr.contains("hunter2"), "{bad}");
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_waits_and_the_others_go_on() {
    let setting = Setting::instant().await;
    let cohort = Cohort::of(&setting.node);
    cohort
        .simulate(&["--devices", "3", "--nights", "4"])
        .assert_complete();
    let suspended = cohort.heads()[1].0;
    let sponsor = setting.submitter("//Bob");
    let suspend = calls::suspend(suspended, SuspensionReason::Lost);
    sponsor.submit_and_wait(suspend).await.expect("suspended");

    let nights = ["--devices", "3", "--nights", "12"];
    let report = cohort.simulate(&nights);
    report.assert_failed(1, "device_shut_out");
    let waiting = report.number("entries") - report.number("finalised");
    assert!(
        waiting > 0 && report.number("refused") == waiting,
        "{report}"
    );
    let check = cohort.run("check", &[]);
    assert_eq!(
        (check.status, check.number("level"), check.number("behind")),
        (Some(1), 2, 1)
    );

    sponsor
        .submit_and_wait(calls::resume(suspended))
        .await
        .expect("resumed");
    cohort.simulate(&nights).assert_complete();
    assert_equal(&cohort, &setting.chain).await;
}

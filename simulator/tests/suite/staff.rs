// SPDX-License-Identifier: Apache-2.0

//! Enrolment codes for a cohort.

use std::time::Duration;

use hashchain::StudyId;
use mhealth_api::Key;
use mhealth_device_host::{
    payload::Participant,
    servers::{authentication_server, Certificates},
};
use mhealth_simulator::staff::issue_code;

use crate::support::{
    clock,
    fakes::Fake,
    terms,
    trial::{address, patience},
    world::{code_for, World},
};

#[tokio::test]
async fn staff_gets_codes_for_a_cohort_and_a_wrong_credential_gets_none() {
    let world = World::default();
    let office = Fake::office(&world).await;
    let server = authentication_server(
        address(&office),
        patience(),
        &Certificates::default(),
        clock(),
    );
    let server = server.expect("a client");
    let day = Duration::from_secs(86_400);
    let participant = Participant("P-1".into());
    let chain = terms().chain;
    let refused = issue_code(&server, "hunter2", chain, &participant, None, day)
        .await
        .expect("answered");
    let refusal = refused.expect_err("refused");
    assert!(refusal.code == "invalid_credentials" && !refusal.message.contains("hunter2"));
    let key = Some([3; 32]);
    let issued = issue_code(&server, "let me in", chain, &participant, key, day)
        .await
        .expect("answered");
    let own = code_for("CODE-OF-P-1", Some(&Key([3; 32])));
    assert_eq!(issued.expect("issued"), own);
    // The server made the code for another key than it was asked for, or for another chain.
    let betrayed = Participant("betrayed".into());
    for (chain, participant) in [(chain, &betrayed), ([7; 32], &participant)] {
        let refused = issue_code(&server, "let me in", chain, participant, key, day)
            .await
            .expect("answered");
        assert_eq!(
            refused.expect_err("another key").code,
            "another_participant_key"
        );
    }
    assert_eq!(
        server
            .study(StudyId(0))
            .await
            .expect("answered")
            .expect("there")
            .study,
        StudyId(0)
    );
    assert_eq!(server.study(StudyId(1)).await.expect("answered"), None);
}

// SPDX-License-Identifier: Apache-2.0

//! What the consortium, a sponsor and an authentication server decide, through the chain client.

mod support;

use mhealth_api::{DeviceStatus, Policy};
use mhealth_chain_client::{calls, Account, ChainEvent, Error, LastTrusted, SuspensionReason};
use mhealth_testing::enrolment::development_auditor;
use mhealth_testing::phone;
use support::{Setting, STUDY};

fn is_refused_with(error: &Error, name: &str) -> bool {
    matches!(error, Error::Dispatch(refusal) if refusal.name() == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_consortium_creates_a_study_and_its_sponsor_appoints_the_servers() {
    let setting = Setting::instant().await;
    let sponsor = Account::from_secret_uri("//Ferdie").expect("it is well known");
    let policy = Policy::HashchainOnly;
    let auditor = development_auditor().sealing_key().0;
    let proposal = calls::create_study(1, sponsor.id(), policy, auditor, "Restless legs");
    let outcome = setting.submitter("//Alice").submit_and_wait(proposal).await;
    let created = outcome
        .expect("decided")
        .events
        .into_iter()
        .find_map(|event| match event {
            ChainEvent::StudyCreated { study, policy, .. } => Some((study, policy)),
            _ => None,
        });
    let (study, created_policy) = created.expect("the study was created");
    assert_eq!(created_policy, policy);
    let view = setting
        .chain
        .study(study)
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(
        (view.title.as_str(), view.policy, view.open),
        ("Restless legs", policy, true)
    );

    let office = setting.office();
    let appointment = calls::add_authentication_server(study, office.account());
    let sponsor = setting.chain.submitter(sponsor);
    sponsor
        .submit_and_wait(appointment)
        .await
        .expect("appointed");
    let phone = phone::enrol(&office, study, 1).await.expect("enrolled");
    let device = setting
        .chain
        .device(phone.device())
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(device.study, study);

    let dismissal = calls::remove_authentication_server(study, office.account());
    sponsor.submit_and_wait(dismissal).await.expect("dismissed");
    let error = phone::enrol(&office, study, 2)
        .await
        .err()
        .expect("no server of the study");
    assert!(
        error.to_string().contains("NotAnAuthenticationServer"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_suspended_resumed_and_retired() {
    let setting = Setting::instant().await;
    let (office, relay) = (setting.office(), setting.relay());
    let mut phone = phone::enrol(&office, STUDY, 1).await.expect("enrolled");
    let device = phone.device();
    let first = calls::submit(phone.run(1));
    relay.submit_and_wait(first).await.expect("registered");

    let suspension = calls::suspend(device, SuspensionReason::Lost);
    let outcome = office.submit_and_wait(suspension).await.expect("suspended");
    let reason = SuspensionReason::Lost;
    assert_eq!(
        outcome.events,
        [ChainEvent::DeviceSuspended { device, reason }]
    );
    let second = calls::submit(phone.run(1));
    let error = relay
        .submit_and_wait(second.clone())
        .await
        .expect_err("it is suspended");
    assert!(
        is_refused_with(&error, "ClientHashchain.DeviceSuspended"),
        "{error}"
    );
    let itself = setting.chain.submitter(phone::account(&phone));
    let error = itself
        .submit(second.clone())
        .await
        .expect_err("it is shut out");
    assert_eq!(error.code(), "device_shut_out", "{error}");

    office
        .submit_and_wait(calls::resume(device))
        .await
        .expect("resumed");
    itself.submit_and_wait(second).await.expect("registered");

    let retirement = calls::retire(device, LastTrusted::Entry(0));
    let error = office
        .submit_and_wait(retirement.clone())
        .await
        .expect_err("it is the sponsor's to say");
    assert!(
        is_refused_with(&error, "ClientHashchain.OnlyTheSponsor"),
        "{error}"
    );
    let sponsor = setting.submitter("//Bob");
    sponsor.submit_and_wait(retirement).await.expect("retired");
    let view = setting
        .chain
        .device(device)
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!((view.status, view.length), (DeviceStatus::Retired, 2));
    assert_eq!(view.trusted_length, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_retirement_waits_and_the_sponsor_vetoes_it() {
    let setting = Setting::instant().await;
    let (office, sponsor) = (setting.office(), setting.submitter("//Bob"));
    let mut phone = phone::enrol(&office, STUDY, 1).await.expect("enrolled");
    let device = phone.device();
    let (_, view) = setting.chain.at_finalised().await.expect("read");
    let delay = view.retirement_delay().await.expect("read");

    let retirement = calls::retire(device, LastTrusted::Latest);
    let outcome = office.submit_and_wait(retirement).await.expect("asked");
    let asked_in = u32::try_from(outcome.block_number).expect("few blocks");
    let retires_at = asked_in + delay;
    let pending = ChainEvent::RetirementPending { device, retires_at };
    assert!(outcome.events.contains(&pending), "{outcome:?}");
    let view = async || {
        let view = setting.chain.device(device).await.expect("read");
        view.expect("it is there")
    };
    assert_eq!(view().await.status, DeviceStatus::Suspended);
    assert_eq!(view().await.retires_at, Some(retires_at));
    let resumption = calls::resume(device);
    let error = office
        .submit_and_wait(resumption.clone())
        .await
        .expect_err("it is pending");
    assert!(
        is_refused_with(&error, "ClientHashchain.RetirementPending"),
        "{error}"
    );

    let veto = calls::veto_retirement(device);
    let outcome = sponsor.submit_and_wait(veto).await.expect("vetoed");
    assert_eq!(outcome.events, [ChainEvent::RetirementVetoed { device }]);
    sponsor.submit_and_wait(resumption).await.expect("resumed");
    let run = calls::submit(phone.run(1));
    setting
        .relay()
        .submit_and_wait(run)
        .await
        .expect("registered");
    assert_eq!(view().await.retires_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_study_takes_no_entries_until_it_is_reopened() {
    let setting = Setting::instant().await;
    let sponsor = setting.submitter("//Bob");
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let run = calls::submit(phone.run(1));
    sponsor
        .submit_and_wait(calls::close_study(STUDY))
        .await
        .expect("closed");
    let error = setting
        .relay()
        .submit_and_wait(run.clone())
        .await
        .expect_err("it is closed");
    assert!(
        is_refused_with(&error, "ClientHashchain.StudyClosed"),
        "{error}"
    );
    sponsor
        .submit_and_wait(calls::reopen_study(STUDY))
        .await
        .expect("reopened");
    setting
        .relay()
        .submit_and_wait(run)
        .await
        .expect("registered");
}

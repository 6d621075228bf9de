// SPDX-License-Identifier: Apache-2.0

//! What staff do, and what is written down of it.

use mhealth_api::{Code, DeviceOnChain, Hash};
use mhealth_auth::codes::{CodeState, CodeView, IssuedCode};
use mhealth_auth::log::{self, LogLine, Tampered};
use mhealth_auth::routes::devices::{DeviceRecord, EnrolledDevice, Retired};
use mhealth_chain_client::{calls, LastTrusted};
use mhealth_server::credentials::{self, Change, CredentialError};
use mhealth_server::Scopes;
use serde_json::{json, Value};

use crate::support::{answer, code_of, on_both_databases, Setting};

on_both_databases! {
    a_removed_administrator_and_an_old_credential_are_shut_out
    codes_are_listed_without_what_they_are
    codes_have_bounds
    a_device_is_suspended_resumed_and_retired_on_the_chain
    what_does_not_fit_the_devices_state_is_refused
    of_two_who_retire_a_device_differently_one_is_told
    devices_are_listed_with_their_participants
    a_participant_gets_another_code_only_when_somebody_wants_it
    a_participant_gets_another_device_only_when_somebody_wants_it
    the_log_tells_who_did_what_when_and_why
    the_log_cannot_be_changed_and_a_forged_line_shows
}

async fn a_removed_administrator_and_an_old_credential_are_shut_out(setting: Setting) {
    assert_eq!(setting.admin_get("/v1/admin/codes").await.status(), 200);
    let change = async |change: Change<'_>| setting.store.change_admin(change, 1).await;
    let everything = Scopes::all();
    assert!(matches!(
        change(Change::Add("nurse", &everything)).await,
        Err(CredentialError::NameInUse(_))
    ));
    assert_eq!(setting.admin_get("/v1/admin/codes").await.status(), 200);
    let granted = change(Change::Grant("nurse", &everything)).await.unwrap();
    assert_eq!(granted, None, "the credential stays");
    let newer = change(Change::Rotate("nurse")).await.unwrap().unwrap();
    assert_eq!(
        code_of(setting.admin_get("/v1/admin/codes").await).await,
        Code::InvalidCredentials
    );
    let with_newer = setting
        .http
        .get(setting.url("/v1/admin/codes"))
        .bearer_auth(newer.expose());
    assert_eq!(with_newer.send().await.unwrap().status(), 200);
    change(Change::Add("doctor", &everything)).await.unwrap();
    let names = credentials::list(&setting.database).await.unwrap();
    let names: Vec<_> = names.iter().map(|holder| &*holder.name).collect();
    assert_eq!(names, ["doctor", "nurse"]);
    change(Change::Remove("nurse")).await.unwrap();
    for gone in [Change::Remove("nurse"), Change::Rotate("nurse")] {
        assert!(matches!(
            change(gone).await,
            Err(CredentialError::UnknownName(_))
        ));
    }
    let with_newer = setting
        .http
        .get(setting.url("/v1/admin/codes"))
        .bearer_auth(newer.expose());
    assert_eq!(
        code_of(with_newer.send().await.unwrap()).await,
        Code::InvalidCredentials
    );
    for bad in ["", "two words", "é", &"x".repeat(65)] {
        assert!(
            change(Change::Add(bad, &everything)).await.is_err(),
            "{bad}"
        );
    }
    let stored: (String,) = sqlx::query_as("SELECT name FROM credentials")
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    assert_eq!(stored.0, "doctor");
    let told = setting.store.log(2, 100).await.unwrap();
    let told: Vec<_> = told.iter().map(|line| &*line.action).collect();
    assert_eq!(
        told,
        [
            "admin's duties changed",
            "admin's credential replaced",
            "admin added",
            "admin removed"
        ]
    );
}

async fn codes_are_listed_without_what_they_are(setting: Setting) {
    let mut issued: Vec<IssuedCode> = Vec::new();
    for participant in ["open", "expired", "revoked", "redeemed"] {
        let expires_in = if participant == "expired" { 60 } else { 1_000 };
        issued.push(
            setting
                .issue(json!({ "participant": participant, "expires_in": expires_in }))
                .await,
        );
    }
    let revoke = |id: u64| setting.admin_delete_owned(id);
    for _ in 0..2 {
        assert_eq!(revoke(issued[2].id).await.status(), 204);
    }
    let request = setting.request(&crate::support::Phone::random(), &issued[3].code);
    setting.enrol(&request).await.unwrap();
    assert_eq!(code_of(revoke(issued[3].id).await).await, Code::CodeUsed);
    assert_eq!(code_of(revoke(u64::MAX).await).await, Code::UnknownCode);
    setting.clock.advance(60);

    let text = setting
        .admin_get("/v1/admin/codes")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        issued.iter().all(|issued| !text.contains(&issued.code)),
        "{text}"
    );
    let listed: Vec<CodeView> = serde_json::from_str(&text).unwrap();
    let states: Vec<CodeState> = listed.iter().map(|code| code.state).collect();
    assert_eq!(
        states,
        [
            CodeState::Open,
            CodeState::Expired,
            CodeState::Revoked,
            CodeState::Redeemed
        ]
    );
    assert!(listed.iter().all(|code| code.created_by == "nurse"));
    let page = format!("/v1/admin/codes?after={}&limit=2", listed[0].id);
    let page: Vec<CodeView> = answer(setting.admin_get(&page).await).await.unwrap();
    assert_eq!(page, listed[1..3]);
    let stored: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM codes")
        .fetch_all(setting.database.pool())
        .await
        .unwrap();
    assert!(stored.iter().all(|(hash,)| hash.len() == 32));
}

async fn codes_have_bounds(setting: Setting) {
    for bad in [
        json!({}),
        json!({ "participant": "" }),
        json!({ "participant": " padded" }),
        json!({ "participant": "line\nbreak" }),
        json!({ "participant": "x".repeat(129) }),
        json!({ "participant": "P", "expires_in": 59 }),
        json!({ "participant": "P", "expires_in": 7_776_001 }),
        json!({ "participant": "P", "expires_in": -1 }),
        json!({ "participant": "P", "participant_key": "0x00" }),
        json!({ "participant": "P", "name": "Jane" }),
        json!({ "participant": "P", "another": "whatever" }),
    ] {
        let answer = setting.admin_post("/v1/admin/codes", bad.clone()).await;
        assert_eq!(code_of(answer).await, Code::InvalidMessage, "{bad}");
    }
    for weak in [[0; 32], [0xff; 32]] {
        // Zero, and a form of the smallest number that is none; the topmost bit does not count.
        let mut weak: [u8; 32] = weak;
        if weak[0] != 0 {
            weak[0] = 0xee;
        }
        let weak = json!({ "participant": "P", "participant_key": mhealth_api::Key(weak) });
        let answer = setting.admin_post("/v1/admin/codes", weak.clone()).await;
        assert_eq!(code_of(answer).await, Code::WeakParticipantKey, "{weak}");
    }
    for bad in ["limit=0", "limit=1001", "limit=x", "after=-1", "more=1"] {
        let answer = setting.admin_get(&format!("/v1/admin/codes?{bad}")).await;
        assert_eq!(code_of(answer).await, Code::InvalidParameter, "{bad}");
    }
}

async fn a_device_is_suspended_resumed_and_retired_on_the_chain(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let address = |what: &str| format!("/v1/admin/devices/{}/{what}", enrolled.device);
    for (what, body, expected) in [
        (
            "suspend",
            json!({ "why": "phone lost", "reason": "lost" }),
            "suspended",
        ),
        ("resume", json!({ "why": "phone found" }), "active"),
        ("suspend", json!({ "why": "asked to pause" }), "suspended"),
    ] {
        let device: DeviceOnChain = answer(setting.admin_post(&address(what), body).await)
            .await
            .unwrap();
        assert_eq!(device.status.as_str(), expected);
    }
    // The sponsor may still veto it.
    let retire = address("retire");
    let retired = setting.admin_post(&retire, json!({ "why": "new phone" }));
    let retired: Retired = answer(retired.await).await.unwrap();
    assert_eq!(retired.on_chain.status.as_str(), "suspended");
    assert_eq!(retired.trusted_length, Some(0));
    let device = setting
        .chain
        .device(enrolled.device)
        .await
        .unwrap()
        .unwrap();
    assert!(device.retires_at.is_some());
    assert_eq!(device.trusted_length, None);
    assert_eq!(retired.retires_at, device.retires_at);
}

async fn of_two_who_retire_a_device_differently_one_is_told(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let retire = format!("/v1/admin/devices/{}/retire", enrolled.device);
    let post = async |trusted_length: Option<u64>| {
        let retirement = json!({ "why": "a test", "trusted_length": trusted_length });
        setting.admin_post(&retire, retirement).await
    };
    // Both are ordered before the chain has heard one of them.
    let (all, one) = futures::join!(post(None), post(Some(1)));
    let all: Retired = answer(all).await.unwrap();
    assert_eq!(all.trusted_length, Some(0));
    let code = code_of(one).await;
    assert!(
        matches!(code, Code::InvalidState | Code::RefusedByChain),
        "{code}"
    );
    // And when it has.
    assert_eq!(code_of(post(Some(1)).await).await, Code::InvalidState);
    // Who says the same is not told that it failed.
    for same in [None, Some(0)] {
        let same: Retired = answer(post(same).await).await.unwrap();
        assert_eq!(same.trusted_length, Some(0));
    }
    let other = calls::retire(enrolled.device, LastTrusted::Nothing);
    setting.on_chain("//Bob", other).await;
    assert_eq!(code_of(post(None).await).await, Code::InvalidState);
}

async fn what_does_not_fit_the_devices_state_is_refused(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let address = |what: &str| format!("/v1/admin/devices/{}/{what}", enrolled.device);
    let why = json!({ "why": "a test" });
    let post =
        async |what: &str, body: &Value| setting.admin_post(&address(what), body.clone()).await;
    assert_eq!(
        code_of(post("resume", &why).await).await,
        Code::InvalidState
    );
    // Beyond its entries; and none of them, which is the sponsor's to say.
    for trusted_length in [1, 0] {
        let retirement = json!({ "why": "a test", "trusted_length": trusted_length });
        assert_eq!(
            code_of(post("retire", &retirement).await).await,
            Code::RefusedByChain
        );
    }
    for bad in [
        json!({}),
        json!({ "why": " " }),
        json!({ "why": "x".repeat(1_001) }),
        json!({ "why": "a\0b" }),
        json!({ "why": "x", "reason": "fork" }),
    ] {
        assert_eq!(
            code_of(post("suspend", &bad).await).await,
            Code::InvalidMessage,
            "{bad}"
        );
    }
    assert_eq!(post("retire", &why).await.status(), 200);
    assert_eq!(
        code_of(post("resume", &why).await).await,
        Code::InvalidState
    );
    let retirement = calls::retire(enrolled.device, LastTrusted::Latest);
    setting.on_chain("//Bob", retirement).await;
    for what in ["suspend", "resume", "retire"] {
        assert_eq!(
            code_of(post(what, &why).await).await,
            Code::InvalidState,
            "{what}"
        );
    }
    let nobody = setting
        .admin_post("/v1/admin/devices/4294967295/suspend", why.clone())
        .await;
    assert_eq!(code_of(nobody).await, Code::UnknownDevice);
    let nobody = setting.admin_post("/v1/admin/devices/x/suspend", why).await;
    assert_eq!(code_of(nobody).await, Code::InvalidParameter);
}

async fn devices_are_listed_with_their_participants(setting: Setting) {
    let (phone, first) = setting.enrolled().await;
    let (_, second) = setting.enrolled().await;
    let listed: Vec<EnrolledDevice> = answer(setting.admin_get("/v1/admin/devices").await)
        .await
        .unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (listed[0].device, listed[0].key),
        (first.device, phone.key())
    );
    assert_eq!(listed[0].participant.as_deref(), Some("P-001"));
    let page = format!("/v1/admin/devices?after={}&limit=1", first.device);
    let page: Vec<EnrolledDevice> = answer(setting.admin_get(&page).await).await.unwrap();
    assert_eq!(page[0].device, second.device);
    let one = format!("/v1/admin/devices/{}", first.device);
    let one: DeviceRecord = answer(setting.admin_get(&one).await).await.unwrap();
    assert_eq!(one.enrolment.as_ref(), Some(&listed[0]));
    assert_eq!(
        (one.on_chain.status.as_str(), one.on_chain.genesis),
        ("active", first.genesis)
    );
    assert_eq!(
        code_of(setting.admin_get("/v1/admin/devices/4294967295").await).await,
        Code::UnknownDevice
    );
}

async fn a_participant_gets_another_code_only_when_somebody_wants_it(setting: Setting) {
    let ask = async |another: Option<&str>| {
        let code = json!({ "participant": "P-2", "another": another, "expires_in": 100 });
        setting.admin_post("/v1/admin/codes", code).await
    };
    let first: IssuedCode = answer(ask(None).await).await.unwrap();
    assert_eq!(code_of(ask(None).await).await, Code::ParticipantHasCode);
    let second: IssuedCode = answer(ask(Some("additional")).await).await.unwrap();
    // Others are not concerned.
    setting.issue(json!({ "participant": "P-3" })).await;
    let third: IssuedCode = answer(ask(Some("replace")).await).await.unwrap();
    for (code, expected) in [
        (&first, Err(Code::CodeRevoked)),
        (&second, Err(Code::CodeRevoked)),
        (&third, Ok(())),
    ] {
        let terms = setting
            .post("/v1/code", &json!({ "code": code.code }))
            .await;
        let terms = answer::<Value>(terms).await.map(|_| ());
        assert_eq!(terms, expected);
    }
    let log = setting.store.log(0, 100).await.unwrap();
    let revoked = log.iter().filter(|line| line.action == "code revoked");
    assert!(revoked.clone().all(|line| line.why == "replaced"));
    assert_eq!(revoked.count(), 2);
    // One whose time is over is no longer in the way.
    setting.clock.advance(100);
    assert_eq!(ask(None).await.status(), 201);
    // And of those who ask at the same time, one gets it.
    let asked = (0..6).map(|_| async {
        let code = json!({ "participant": "P-4" });
        setting.admin_post("/v1/admin/codes", code).await.status()
    });
    let asked = futures::future::join_all(asked).await;
    assert_eq!(
        asked.iter().filter(|status| **status == 201).count(),
        1,
        "{asked:?}"
    );
}

async fn a_participant_gets_another_device_only_when_somebody_wants_it(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let ask = async |another: Option<&str>| {
        let code = json!({ "participant": "P-001", "another": another });
        let answer = setting.admin_post("/v1/admin/codes", code).await;
        match answer.status().as_u16() {
            201 => Ok(()),
            _ => Err(code_of(answer).await),
        }
    };
    let change = async |what: &str| {
        let path = format!("/v1/admin/devices/{}/{what}", enrolled.device);
        let answer = setting.admin_post(&path, json!({ "why": "a test" })).await;
        assert_eq!(answer.status(), 200);
    };
    for another in [None, Some("replace")] {
        assert_eq!(ask(another).await, Err(Code::ParticipantHasDevice));
    }
    assert_eq!(ask(Some("additional")).await, Ok(()));
    change("suspend").await;
    assert_eq!(ask(None).await, Err(Code::ParticipantHasDevice));
    assert_eq!(ask(Some("replace")).await, Ok(()));
    let retirement = calls::retire(enrolled.device, LastTrusted::Latest);
    setting.on_chain("//Bob", retirement).await;
    assert_eq!(ask(None).await, Err(Code::ParticipantHasCode));
    setting.clock.advance(8 * 24 * 3_600);
    assert_eq!(ask(None).await, Ok(()));
}

async fn the_log_tells_who_did_what_when_and_why(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let suspend = format!("/v1/admin/devices/{}/suspend", enrolled.device);
    setting
        .admin_post(&suspend, json!({ "why": "phone lost" }))
        .await;
    let lines: Vec<LogLine> = answer(setting.admin_get("/v1/admin/log").await)
        .await
        .unwrap();
    let told: Vec<(&str, &str, &str)> = lines
        .iter()
        .map(|line| (line.actor.as_str(), line.action.as_str(), line.why.as_str()))
        .collect();
    let key = lines[3].why.clone();
    assert!(key.starts_with("device key 0x"), "{key}");
    assert_eq!(
        told,
        [
            ("server", "signing key made", "first start"),
            ("operator", "admin added", "study=all may=all"),
            ("nurse", "code issued", ""),
            ("device", "code redeemed", key.as_str()),
            ("device", "device enrolled", "code 1"),
            ("nurse", "suspend ordered", "phone lost"),
            ("nurse", "device suspended", "phone lost"),
        ]
    );
    assert_eq!(lines[6].subject, format!("device {}", enrolled.device));
    assert!(lines.iter().all(|line| line.at == 1_800_000_000));
    let page: Vec<LogLine> = answer(setting.admin_get("/v1/admin/log?after=5&limit=1").await)
        .await
        .unwrap();
    assert_eq!(page, lines[5..6]);
    log::verify(Hash([0; 32]), &lines).unwrap();
    log::verify(lines[4].hash, &lines[5..]).unwrap();
}

async fn the_log_cannot_be_changed_and_a_forged_line_shows(setting: Setting) {
    futures::future::join_all((0..6).map(|_| setting.code())).await;
    let forge = "UPDATE log SET why = 'nothing happened' WHERE id = 3";
    for statement in [forge, "DELETE FROM log WHERE id = 3", "DELETE FROM log"] {
        let error = sqlx::query(statement)
            .execute(setting.database.pool())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    let mut lines = setting.store.log(0, 100).await.unwrap();
    assert_eq!(lines.len(), 8);
    log::verify(Hash([0; 32]), &lines).unwrap();
    let mut forged = lines.clone();
    forged[2].why = "nothing happened".into();
    assert_eq!(log::verify(Hash([0; 32]), &forged), Err(Tampered(3)));
    lines.remove(4);
    assert_eq!(log::verify(Hash([0; 32]), &lines), Err(Tampered(5)));
}

impl Setting {
    fn admin_delete_owned(
        &self,
        id: u64,
    ) -> impl std::future::Future<Output = reqwest::Response> + '_ {
        let path = format!("/v1/admin/codes/{id}");
        async move { self.admin_delete(&path).await }
    }
}

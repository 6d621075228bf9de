// SPDX-License-Identifier: Apache-2.0

//! What needs two people.

use mhealth_api::{Code, DeviceStatus};
use mhealth_auth::approvals::{Approval, ApprovalState, NewKey, Request, LIFETIME};
use mhealth_auth::routes::approvals::Approved;
use reqwest::Response;
use serde_json::{json, Value};

use crate::support::{answer, code_of, on_both_databases, Setting, USUAL};

on_both_databases! {
    what_needs_two_people_is_done_when_another_one_approves_it
    a_request_ends_when_it_is_rejected_or_a_day_is_over
    a_request_is_approved_once_whoever_is_faster
    what_one_person_does_at_once_stays_so
}

/// The people of these tests, each with their credential.
struct People {
    setting: Setting,
    asker: String,
    second: String,
    third: String,
    clerk: String,
}

impl People {
    async fn of(setting: Setting) -> Self {
        let more = [USUAL, &["--second-approval=retire,keys,resume"]].concat();
        let setting = setting.restart(&more).await;
        let duties = "study=0 may=suspend,retire,keys,log";
        People {
            asker: setting.credential("asker", duties).await,
            second: setting.credential("second", duties).await,
            third: setting.credential("third", duties).await,
            clerk: setting.credential("clerk", "study=0 may=codes,keys").await,
            setting,
        }
    }

    async fn post(&self, who: &str, path: &str, why: &str) -> Response {
        let body = json!({ "why": why });
        self.setting.ask_as(who, "POST", path, body).await
    }

    /// Asks for something that needs a second person.
    async fn ask(&self, path: &str) -> Approval {
        let asked = self.post(&self.asker, path, "as agreed").await;
        assert_eq!(asked.status(), 202);
        asked.json().await.unwrap()
    }

    async fn approve(&self, who: &str, id: u64) -> Response {
        let path = format!("/v1/admin/approvals/{id}");
        self.post(who, &path, "seen").await
    }

    async fn reject(&self, who: &str, id: u64) -> Response {
        let path = format!("/v1/admin/approvals/{id}/reject");
        self.post(who, &path, "too early").await
    }

    async fn list(&self, who: &str) -> Vec<Approval> {
        let path = "/v1/admin/approvals";
        let listed = self.setting.ask_as(who, "GET", path, Value::Null).await;
        answer(listed).await.unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        let keys = self.setting.get("/.well-known/jwks.json").await;
        let keys: Value = keys.json().await.unwrap();
        let keys = keys["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Who did what, from this line of the log on.
    async fn told(&self, after: u64) -> Vec<(String, String)> {
        let lines = self.setting.store.log(after, 100).await.unwrap();
        lines
            .into_iter()
            .map(|line| (line.actor, line.action))
            .collect()
    }
}

fn told(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(actor, action)| ((*actor).to_owned(), (*action).to_owned()))
        .collect()
}

async fn what_needs_two_people_is_done_when_another_one_approves_it(setting: Setting) {
    let people = People::of(setting).await;
    let (_, enrolled) = people.setting.enrolled().await;
    let retire = format!("/v1/admin/devices/{}/retire", enrolled.device);
    let before = people.setting.store.log(0, 100).await.unwrap().len() as u64;
    let asked = people.ask(&retire).await;
    let expected = Request::Retire {
        device: enrolled.device,
        trusted_length: None,
    };
    assert_eq!(asked.request, expected);
    assert_eq!(asked.state, ApprovalState::Open);
    let device = async || people.setting.chain.device(enrolled.device).await;
    let found = device().await.unwrap().unwrap();
    assert_eq!(
        (found.status, found.retires_at),
        (DeviceStatus::Active, None)
    );

    // Not by the one who asked, not by who lacks the duty, and not without a credential.
    let own = people.approve(&people.asker, asked.id).await;
    assert_eq!(code_of(own).await, Code::NeedsAnotherPerson);
    let own = people.reject(&people.asker, asked.id).await;
    assert_eq!(code_of(own).await, Code::NeedsAnotherPerson);
    let clerk = people.approve(&people.clerk, asked.id).await;
    assert_eq!(code_of(clerk).await, Code::NotAllowed);
    assert_eq!(people.list(&people.clerk).await, []);
    let unknown = people.approve(&people.second, u64::MAX).await;
    assert_eq!(code_of(unknown).await, Code::UnknownApproval);
    assert_eq!(
        people.list(&people.third).await,
        std::slice::from_ref(&asked)
    );
    assert_eq!(device().await.unwrap().unwrap().retires_at, None);

    let approved = people.approve(&people.second, asked.id).await;
    let approved: Approved = answer(approved).await.unwrap();
    assert_eq!(approved.approval.state, ApprovalState::Approved);
    assert_eq!(approved.approval.decided_by.as_deref(), Some("second"));
    assert_eq!(approved.device.unwrap().device, enrolled.device);
    assert!(device().await.unwrap().unwrap().retires_at.is_some());
    let again = people.approve(&people.third, asked.id).await;
    assert_eq!(code_of(again).await, Code::ApprovalClosed);
    assert_eq!(
        people.told(before).await,
        told(&[
            ("asker", "retire asked"),
            ("second", "retire approved"),
            ("asker", "retire ordered"),
            ("asker", "retirement on chain"),
        ])
    );
}

async fn a_request_ends_when_it_is_rejected_or_a_day_is_over(setting: Setting) {
    let people = People::of(setting).await;
    let keys = people.keys().await;
    let before = people.setting.store.log(0, 100).await.unwrap().len() as u64;
    let rejected = people.ask("/v1/admin/keys/rotate").await;
    let late = people.ask("/v1/admin/keys/rotate").await;
    assert_eq!(late.expires_at, late.asked_at + LIFETIME);
    let answered = people.reject(&people.second, rejected.id).await;
    let answered: Approval = answer(answered).await.unwrap();
    assert_eq!(answered.state, ApprovalState::Rejected);
    people.setting.clock.advance(LIFETIME);
    for id in [rejected.id, late.id] {
        for _ in 0..2 {
            let closed = people.approve(&people.second, id).await;
            assert_eq!(code_of(closed).await, Code::ApprovalClosed);
            let closed = people.reject(&people.third, id).await;
            assert_eq!(code_of(closed).await, Code::ApprovalClosed);
        }
    }
    let states = |listed: Vec<Approval>| listed.iter().map(|it| it.state).collect::<Vec<_>>();
    let expected = [ApprovalState::Rejected, ApprovalState::Ended];
    assert_eq!(states(people.list(&people.clerk).await), expected);
    let now = late.expires_at;
    people.setting.store.end_approvals(now).await.unwrap();
    people.setting.store.end_approvals(now).await.unwrap();
    assert_eq!(states(people.list(&people.clerk).await), expected);
    assert_eq!(people.keys().await, keys);
    assert_eq!(
        people.told(before).await,
        told(&[
            ("asker", "key rotation asked"),
            ("asker", "key rotation asked"),
            ("second", "key rotation rejected"),
            ("server", "request ended"),
        ])
    );
}

async fn a_request_is_approved_once_whoever_is_faster(setting: Setting) {
    let people = People::of(setting).await;
    for _ in 0..5 {
        let before = people.keys().await;
        let asked = people.ask("/v1/admin/keys/rotate").await;
        assert_eq!(people.keys().await, before);
        let (second, third) = tokio::join!(
            people.approve(&people.second, asked.id),
            people.approve(&people.third, asked.id)
        );
        let mut made = Vec::new();
        for answered in [second, third] {
            match answer::<Approved>(answered).await {
                Ok(Approved { key, .. }) => made.push(key.unwrap()),
                Err(code) => assert_eq!(code, Code::ApprovalClosed),
            }
        }
        let [NewKey { kid }] = &made[..] else {
            panic!("{made:?}");
        };
        let after = people.keys().await;
        assert_eq!((&after[0], &after[1..]), (kid, &before[..]));
    }
}

async fn what_one_person_does_at_once_stays_so(setting: Setting) {
    let people = People::of(setting).await;
    let (_, enrolled) = people.setting.enrolled().await;
    let path = |what: &str| format!("/v1/admin/devices/{}/{what}", enrolled.device);
    // A request that does not fit is refused when it is asked for.
    let early = people.post(&people.asker, &path("resume"), "found").await;
    assert_eq!(code_of(early).await, Code::InvalidState);
    let suspended = people.post(&people.asker, &path("suspend"), "stolen").await;
    assert_eq!(suspended.status(), 200);
    let asked = people.ask(&path("resume")).await;
    let resumed = people.approve(&people.second, asked.id).await;
    let resumed: Approved = answer(resumed).await.unwrap();
    assert_eq!(resumed.device.unwrap().status, DeviceStatus::Active);
    // And one that does not fit any more, when it is approved; it stays open.
    people.post(&people.asker, &path("suspend"), "stolen").await;
    let (one, other) = (
        people.ask(&path("resume")).await,
        people.ask(&path("resume")).await,
    );
    assert_eq!(people.approve(&people.second, one.id).await.status(), 200);
    let unfit = people.approve(&people.second, other.id).await;
    assert_eq!(code_of(unfit).await, Code::InvalidState);
    let listed = people.list(&people.second).await;
    assert_eq!(listed.last().unwrap().state, ApprovalState::Open);
}

// SPDX-License-Identifier: Apache-2.0

//! What a credential is good for, and what comes of one that nobody has.

use std::collections::BTreeSet;

use mhealth_api::Code;
use mhealth_auth::codes::CodeView;
use mhealth_auth::routes::devices::{DeviceRecord, EnrolledDevice};
use mhealth_auth::routes::STAFF_DUTIES;
use serde_json::{json, Value};

use crate::support::{code_of, on_both_databases, problem, Setting};

on_both_databases! {
    every_route_of_the_staff_asks_for_its_duty_in_the_servers_study
    pseudonyms_are_shown_to_those_who_may_read_them
    scopes_of_another_kind_are_good_for_nothing
    wrong_credentials_are_counted_and_slowed_for_their_address_alone
}

/// Who may use what: one of these duties.
const ROUTES: &[(&str, &str, &[&str])] = &[
    ("DELETE", "/v1/admin/codes/{id}", &["codes"]),
    ("GET", "/v1/admin/approvals", &ANY),
    ("GET", "/v1/admin/codes", &["codes", "pseudonyms"]),
    ("GET", "/v1/admin/devices", &DEVICES),
    ("GET", "/v1/admin/devices/{id}", &DEVICES),
    ("GET", "/v1/admin/log", &["log"]),
    ("POST", "/v1/admin/approvals/{id}", &ANY),
    ("POST", "/v1/admin/approvals/{id}/reject", &ANY),
    ("POST", "/v1/admin/codes", &["codes"]),
    ("POST", "/v1/admin/devices/{id}/resume", &["suspend"]),
    ("POST", "/v1/admin/devices/{id}/retire", &["retire"]),
    ("POST", "/v1/admin/devices/{id}/suspend", &["suspend"]),
    ("POST", "/v1/admin/keys/revoke", &["keys"]),
    ("POST", "/v1/admin/keys/rotate", &["keys"]),
    ("POST", "/v1/admin/logout", &[]),
    ("GET", "/v1/admin/sessions", &["sessions"]),
    ("POST", "/v1/admin/sessions/end", &["sessions"]),
    ("POST", "/v1/admin/sessions/{id}/end", &["sessions"]),
];
const ANY: [&str; 7] = [
    "codes",
    "suspend",
    "retire",
    "keys",
    "pseudonyms",
    "log",
    "sessions",
];
const DEVICES: [&str; 4] = ["codes", "suspend", "retire", "pseudonyms"];

async fn every_route_of_the_staff_asks_for_its_duty_in_the_servers_study(setting: Setting) {
    let document: Value = setting.get("/openapi.json").await.json().await.unwrap();
    let mut of_staff = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !operation["security"][0]["admin"].is_null() {
                of_staff.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let known = ROUTES
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(of_staff, known.collect());

    // No device has this number, and no message this form: who may ask is told so, and nothing is done.
    let number = u32::MAX.to_string();
    for duty in STAFF_DUTIES {
        let scopes = format!("study=0,7 may={duty}");
        let holder = setting.credential(duty.as_str(), &scopes).await;
        for (method, path, duties) in ROUTES {
            let path = path.replace("{id}", &number);
            let answer = setting.ask_as(&holder, method, &path, json!({})).await;
            let refused = answer.status() == 403;
            assert_eq!(
                !refused,
                duties.contains(&duty.as_str()),
                "{duty}: {method} {path}"
            );
            if refused {
                let problem = problem(answer).await;
                assert_eq!(
                    problem.known_code(),
                    Some(Code::NotAllowed),
                    "{method} {path}"
                );
                for lacking in *duties {
                    assert!(problem.detail.contains(lacking), "{}", problem.detail);
                }
            }
        }
    }
    let elsewhere = setting.credential("elsewhere", "study=1,2 may=all").await;
    let nowhere = setting.credential("nowhere", "study=none may=none").await;
    for (method, path, _) in ROUTES {
        let path = path.replace("{id}", &number);
        for holder in [&elsewhere, &nowhere] {
            let answer = setting.ask_as(holder, method, &path, json!({})).await;
            assert_eq!(code_of(answer).await, Code::NotAllowed, "{method} {path}");
        }
    }
    let answer = setting.ask_as(&elsewhere, "GET", "/v1/admin/codes", json!({}));
    assert!(problem(answer.await).await.detail.contains("study 0"));
}

async fn pseudonyms_are_shown_to_those_who_may_read_them(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    let one = format!("/v1/admin/devices/{}", enrolled.device);
    let reader = setting.credential("reader", "study=0 may=pseudonyms").await;
    let both = setting
        .credential("both", "study=0 may=codes,pseudonyms")
        .await;
    let issuer = setting.credential("issuer", "study=0 may=codes").await;
    let guard = setting.credential("guard", "study=0 may=suspend").await;
    let get = async |holder: &str, path: &str| {
        let answer = setting.ask_as(holder, "GET", path, json!({})).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };
    for (holder, sees) in [
        (&reader, true),
        (&both, true),
        (&issuer, false),
        (&guard, false),
    ] {
        let seen = sees.then_some("P-001");
        let listed = get(holder, "/v1/admin/devices").await;
        assert_eq!(listed.contains("P-001"), sees, "{listed}");
        let listed: Vec<EnrolledDevice> = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed[0].participant.as_deref(), seen);
        let device = get(holder, &one).await;
        let device: DeviceRecord = serde_json::from_str(&device).unwrap();
        assert_eq!(device.enrolment.unwrap().participant.as_deref(), seen);
        if holder == &guard {
            continue;
        }
        let codes: Vec<CodeView> =
            serde_json::from_str(&get(holder, "/v1/admin/codes").await).unwrap();
        assert_eq!(codes[0].participant.as_deref(), seen);
    }
}

async fn scopes_of_another_kind_are_good_for_nothing(setting: Setting) {
    for scopes in ["all", "study=all may=all,more", "root"] {
        sqlx::query("UPDATE credentials SET scopes = $1")
            .bind(scopes)
            .execute(setting.database.pool())
            .await
            .unwrap();
        let answer = setting.admin_get("/v1/admin/codes").await;
        assert_eq!(code_of(answer).await, Code::NotAllowed, "{scopes}");
    }
}

async fn wrong_credentials_are_counted_and_slowed_for_their_address_alone(setting: Setting) {
    // Behind a proxy, which names the client's address.
    let options = [
        "--wrong-credentials=3",
        "--behind-tls-proxy",
        "--issuer=http://127.0.0.1:1",
    ];
    let setting = setting.restart(&options).await;
    let ask = async |address: &str, credential: &str| {
        let request = setting.http.get(setting.url("/v1/admin/codes"));
        let request = request.header("x-forwarded-for", address);
        request.bearer_auth(credential).send().await.unwrap()
    };
    let guesser = "192.0.2.1";
    for guess in [
        "hunter2",
        "mhealth-admin-hunter2",
        "mhealth-session-hunter2",
        "",
    ] {
        let guess = format!("x{guess}");
        let answer = ask(guesser, &guess).await;
        assert_eq!(code_of(answer).await, Code::InvalidCredentials);
    }
    let slowed = ask(guesser, "hunter2").await;
    assert_eq!(slowed.headers()["retry-after"], "1");
    assert_eq!(code_of(slowed).await, Code::TooManyRequests);
    assert_eq!(ask("192.0.2.2", &setting.admin).await.status(), 200);
    let metrics = setting.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("mhealth_failed_credentials_total 4"),
        "{metrics}"
    );
}

// SPDX-License-Identifier: Apache-2.0

//! What went through the server does not stand in its log.

use mhealth_api::{Code, ProofClaims, TokenAnswer, TokenRequest, DPOP};
use mhealth_auth::codes::IssuedCode;
use mhealth_testing::{secrets::Secrets, servers};
use serde_json::{json, Value};

use crate::support::{answer, on_both_databases, Phone, Setting, STUDY};

const PSEUDONYM: &str = "Pseudonym-4711";
const WHY: &str = "lost on the train";

on_both_databases! {
    the_most_talkative_log_names_no_pseudonym_code_credential_or_token
}

async fn the_most_talkative_log_names_no_pseudonym_code_credential_or_token(setting: Setting) {
    let file = setting.directory.path().join("auth.log");
    let database = setting.another_database();
    let launch = servers::auth(&servers::AuthOptions {
        study: STUDY,
        chain: setting.node_url.clone(),
        account: "//Charlie",
        database: database.clone(),
        issuer: None,
        relays: Vec::new(),
    });
    let launch = launch
        .env("RUST_LOG", "trace")
        .env("MHEALTH_AUTH_KEY", "hunter2hunter2")
        .log_to(&file);
    let admin = launch.add_admin("nurse").unwrap();
    let mut auth = launch.start().unwrap();
    let url = auth.url();
    let post = |path: &str, credential: &str, body: Value| {
        let request = setting.http.post(format!("{url}{path}"));
        request.bearer_auth(credential).json(&body).send()
    };
    let new_code = json!({ "participant": PSEUDONYM, "another": "additional" });
    let issued = post("/v1/admin/codes", &admin, new_code.clone()).await;
    let code: IssuedCode = answer(issued.unwrap()).await.unwrap();
    let unused = post("/v1/admin/codes", &admin, new_code.clone()).await;
    let unused: IssuedCode = answer(unused.unwrap()).await.unwrap();
    // What is wrong says more than what is right.
    let refused = post("/v1/admin/codes", &admin[1..], new_code).await;
    assert_eq!(refused.unwrap().status(), 401);
    post("/v1/code", "", json!({ "code": unused.code }))
        .await
        .unwrap();

    let phone = Phone::random();
    let request = setting.request(&phone, &code.code);
    let body = serde_json::to_value(&request).unwrap();
    let mut forged = body.clone();
    forged["code"] = json!(unused.code);
    let refused = post("/v1/enrol", "", forged).await.unwrap();
    assert_eq!(
        answer::<Value>(refused).await,
        Err(Code::InvalidProof),
        "the proof is over another code"
    );
    let enrolled: mhealth_api::Enrolled = answer(post("/v1/enrol", "", body).await.unwrap())
        .await
        .unwrap();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let address = format!("{url}/v1/token");
    let proof = phone.proof(&ProofClaims::new("POST", &address, now, rand::random()));
    let asked = setting.http.post(address).header(DPOP, &proof);
    let device = enrolled.device;
    let asked = asked.json(&TokenRequest { device }).send().await;
    let given: TokenAnswer = answer(asked.unwrap()).await.unwrap();
    let path = format!("/v1/admin/devices/{}/suspend", enrolled.device);
    let suspended = post(&path, &admin, json!({ "why": WHY })).await.unwrap();
    assert_eq!(suspended.status(), 200);
    auth.stop().unwrap();

    let log = std::fs::read_to_string(&file).unwrap();
    for said in ["TRACE", "/v1/enrol"] {
        assert!(log.contains(said), "{said} is not in the log");
    }
    let mut secrets = Secrets::default();
    secrets.add_text("the pseudonym", PSEUDONYM);
    secrets.add("why a phone was suspended", WHY);
    for IssuedCode { code, .. } in [&code, &unused] {
        secrets.add("a code", code);
        secrets.add("a code without dashes", code.replace('-', ""));
    }
    secrets.add("the credential", &admin[1..]);
    secrets.add_token(&given.token);
    secrets.add_token(&proof);
    secrets.add("the secret of the keys", "hunter2");
    secrets.add("the account", "//Charlie");
    secrets.add_password(&database);
    secrets.assert_absent_from(&log);
}

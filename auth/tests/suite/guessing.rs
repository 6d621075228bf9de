// SPDX-License-Identifier: Apache-2.0

//! Whoever guesses, or sends browsers around, at the very address at which staff are, keeps none of them from their work.

use std::time::{Duration, Instant};

use mhealth_api::Code;
use mhealth_auth::login::{CALLBACK, COOKIE};
use serde_json::{json, Value};

use crate::support::{code_of, on_both_databases, Setting};

on_both_databases! {
    staff_at_the_very_address_of_a_guesser_suspend_a_phone
    a_page_that_calls_the_callback_locks_nobody_out
}

const PATIENCE: Duration = Duration::from_secs(60);
/// The address waits for so many seconds when staff come.
const LONG: u64 = 8;

async fn staff_at_the_very_address_of_a_guesser_suspend_a_phone(setting: Setting) {
    let (_, enrolled) = setting.enrolled().await;
    // A server that saw none of the credentials that were made before it was started.
    let options = ["--wrong-credentials=0", "--requests-per-second=1000000"];
    let setting = setting.restart(&options).await;
    let deadline = Instant::now() + PATIENCE;
    let path = "/v1/admin/codes";
    loop {
        let refused = setting.ask_as("hunter2", "GET", path, Value::Null).await;
        let wait = refused.headers().get("retry-after");
        let wait: Option<u64> = wait.map(|wait| wait.to_str().unwrap().parse().unwrap());
        match code_of(refused).await {
            Code::InvalidCredentials => {}
            code => assert_eq!(code, Code::TooManyRequests),
        }
        if wait.is_some_and(|wait| wait >= LONG) {
            break;
        }
        assert!(Instant::now() < deadline, "guessing stays cheap");
    }
    let path = format!("/v1/admin/devices/{}/suspend", enrolled.device);
    let body = json!({ "why": "reported stolen", "reason": "lost" });
    let suspended = setting.admin_post(&path, body).await;
    let status = suspended.status();
    assert_eq!(status, 200, "{}", suspended.text().await.unwrap());
}

async fn a_page_that_calls_the_callback_locks_nobody_out(setting: Setting) {
    let options = [
        "--wrong-credentials=0",
        "--oidc-issuer=http://127.0.0.1:9",
        "--oidc-client-id=mhealth",
        "--oidc-grant=value=staff,may=all,study=0",
    ];
    let setting = setting.restart(&options).await;
    let foreign = format!("{COOKIE}=AAAA");
    for query in ["", "?error=x", "?code=x&state=y", "?state="] {
        for cookie in ["", &foreign] {
            let url = setting.url(&format!("{CALLBACK}{query}"));
            let request = setting.http.get(url).header("cookie", cookie);
            let answer = request.send().await.unwrap();
            assert_eq!(code_of(answer).await, Code::LoginFailed, "{query}");
        }
    }
    // Also a credential that this server has not seen is looked up at once.
    let eva = setting.credential("eva", "study=0 may=codes").await;
    let path = "/v1/admin/codes";
    let listed = setting.ask_as(&eva, "GET", path, Value::Null).await;
    assert_eq!(listed.status(), 200);
    let metrics = setting.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("mhealth_failed_credentials_total 0"),
        "{metrics}"
    );
}

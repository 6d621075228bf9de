// SPDX-License-Identifier: Apache-2.0

//! The interface as a whole: its document, and who gets in.

use std::collections::BTreeSet;

use mhealth_api::{Code, StudyTerms, TokenRequest, DPOP, DPOP_NONCE};
use mhealth_testing::http;
use reqwest::Method;
use serde_json::{json, Value};

use crate::support::{answer, code_of, on_both_databases, Setting, STUDY, USUAL};

on_both_databases! {
    only_administrators_get_in
    the_openapi_document_lists_exactly_the_routes
    a_study_is_shown_as_it_stands
    staff_and_operators_have_a_place_of_their_own
    a_page_of_a_listed_origin_gets_nonces_and_nothing_of_the_staff
}

async fn only_administrators_get_in(setting: Setting) {
    let document: Value = setting.get("/openapi.json").await.json().await.unwrap();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["security"][0]["admin"].is_null() {
                continue;
            }
            for (status, word) in [("401", "session_expired"), ("403", "not_allowed")] {
                let answer = &operation["responses"][status];
                let said = answer["description"].as_str().unwrap_or_default();
                assert!(said.contains(word), "{method} {path}: {answer}");
                let schema = answer["content"].as_object().into_iter().flatten().next();
                let (_, schema) = schema.expect("a problem is described");
                assert_eq!(schema["schema"]["$ref"], "#/components/schemas/Problem");
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let url = setting.url(&path.replace("{id}", "0"));
            let request = || setting.http.request(method.clone(), &url).json(&json!({}));
            let nothing = request().send().await.unwrap();
            assert_eq!(
                code_of(nothing).await,
                Code::MissingCredentials,
                "{method} {path}"
            );
            for wrong in [
                "hunter2",
                &setting.admin[1..],
                &setting.admin.to_lowercase(),
            ] {
                let answer = request().bearer_auth(wrong).send().await.unwrap();
                assert_eq!(
                    code_of(answer).await,
                    Code::InvalidCredentials,
                    "{method} {path}"
                );
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 18);
}

async fn the_openapi_document_lists_exactly_the_routes(setting: Setting) {
    let document: Value = setting.get("/openapi.json").await.json().await.unwrap();
    let mut listed = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            listed.insert(format!("{} {path}", method.to_uppercase()));
            assert!(operation["responses"]
                .as_object()
                .is_some_and(|responses| !responses.is_empty()));
        }
    }
    let expected = [
        "DELETE /v1/admin/codes/{id}",
        "GET /.well-known/jwks.json",
        "GET /healthz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /readyz",
        "GET /v1/admin/approvals",
        "GET /v1/admin/callback",
        "GET /v1/admin/codes",
        "GET /v1/admin/devices",
        "GET /v1/admin/devices/{id}",
        "GET /v1/admin/log",
        "GET /v1/admin/login",
        "GET /v1/admin/sessions",
        "GET /v1/studies/{study}",
        "POST /v1/admin/approvals/{id}",
        "POST /v1/admin/approvals/{id}/reject",
        "POST /v1/admin/codes",
        "POST /v1/admin/devices/{id}/resume",
        "POST /v1/admin/devices/{id}/retire",
        "POST /v1/admin/devices/{id}/suspend",
        "POST /v1/admin/keys/revoke",
        "POST /v1/admin/keys/rotate",
        "POST /v1/admin/logout",
        "POST /v1/admin/sessions/end",
        "POST /v1/admin/sessions/{id}/end",
        "POST /v1/code",
        "POST /v1/enrol",
        "POST /v1/token",
    ];
    assert_eq!(
        listed,
        expected.iter().map(|&route| route.to_owned()).collect()
    );
    // And these are served, and nothing beside them at the same addresses.
    for path in document["paths"].as_object().unwrap().keys() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let url = setting.url(&path.replace("{id}", "0").replace("{study}", "0"));
            let answer = setting
                .http
                .request(method.parse().unwrap(), url)
                .send()
                .await
                .unwrap();
            let is_listed = listed.contains(&format!("{method} {path}"));
            assert_eq!(answer.status() != 405, is_listed, "{method} {path}");
        }
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["admin"]["scheme"], "bearer");
    assert_eq!(schemes["device_proof"]["name"], "DPoP");
    let token = &document["paths"]["/v1/token"]["post"];
    assert!(token["security"][0]["device_proof"].is_array());
}

async fn a_study_is_shown_as_it_stands(setting: Setting) {
    let study: StudyTerms = answer(setting.get("/v1/studies/0").await).await.unwrap();
    let found = setting.chain.study(STUDY).await.unwrap().unwrap();
    assert_eq!(
        (study.title.as_str(), study.auditor_key.0),
        (found.title.as_str(), found.auditor_key)
    );
    assert_eq!(
        code_of(setting.get("/v1/studies/4000000000").await).await,
        Code::UnknownStudy
    );
    assert_eq!(
        code_of(setting.get("/v1/studies/x").await).await,
        Code::InvalidParameter
    );
}

/// Status and body of what is asked of a socket in the file system.
async fn over_socket(socket: &std::path::Path, path: &str, credential: &str) -> (u16, String) {
    let answer = http::get_over(socket, path, Some(credential)).await;
    let (status, body) = answer.unwrap();
    (status, String::from_utf8(body).unwrap())
}

async fn staff_and_operators_have_a_place_of_their_own(setting: Setting) {
    use std::os::unix::fs::PermissionsExt;
    let socket = setting.directory.path().join("staff");
    let place = format!("--admin-listen=unix:{}", socket.display());
    let setting = setting.restart(&[&place]).await;
    // The server before it gives the lease back.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while over_socket(&socket, "/readyz", "").await.0 != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
    let operation = ["/healthz", "/readyz", "/metrics"];
    for path in operation
        .iter()
        .chain(&["/v1/admin/codes", "/v1/admin/log"])
    {
        let (status, body) = over_socket(&socket, path, &setting.admin).await;
        assert_eq!(status, 200, "{path}: {body}");
        let public = setting.admin_get(path).await;
        assert_eq!(code_of(public).await, Code::NotFound, "{path}");
    }
    let (status, body) = over_socket(&socket, "/v1/admin/codes", "hunter2").await;
    assert_eq!(status, 401, "{body}");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Each place has a document of what it serves.
    let public = setting.get("/openapi.json").await.text().await.unwrap();
    assert!(
        public.contains("/v1/token") && !public.contains("/v1/admin/"),
        "{public}"
    );
    let (_, staff) = over_socket(&socket, "/openapi.json", "").await;
    assert!(
        staff.contains("/v1/admin/codes") && !staff.contains("/v1/token"),
        "{staff}"
    );
    // Phones go on as before.
    let study = setting.get(&format!("/v1/studies/{STUDY}")).await;
    assert_eq!(study.status(), 200);
    let setting = setting.restart(&[]).await;
    assert!(!socket.exists());
    assert_eq!(setting.get("/healthz").await.status(), 200);
}

async fn a_page_of_a_listed_origin_gets_nonces_and_nothing_of_the_staff(setting: Setting) {
    const PAGE: &str = "https://diary.example";
    let (phone, enrolled) = setting.enrolled().await;
    let options = [USUAL, &["--allowed-origin=https://diary.example"]].concat();
    let setting = setting.restart(&options).await;
    let device = enrolled.device;
    let ask = async |nonce: Option<String>| {
        let mut claims = setting.proof_claims();
        // The clock of a phone that was never set.
        claims.iat = 0;
        let proof = phone.proof(&claims.with_nonce(nonce));
        let request = setting.http.post(setting.url("/v1/token"));
        let request = request.header(DPOP, proof).header("origin", PAGE);
        request.json(&TokenRequest { device }).send().await.unwrap()
    };
    let refused = ask(None).await;
    let headers = refused.headers().clone();
    assert_eq!(code_of(refused).await, Code::UseDpopNonce);
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    assert!(
        exposed.contains("dpop-nonce") && exposed.contains("date"),
        "{exposed}"
    );
    let nonce = headers[DPOP_NONCE].to_str().unwrap().to_owned();
    assert_eq!(ask(Some(nonce)).await.status(), 200);
    for (path, expected) in [
        ("/v1/token", None),
        ("/v1/enrol", None),
        ("/v1/admin/codes", Some(Code::OriginNotAllowed)),
        ("/v1/admin/login", Some(Code::OriginNotAllowed)),
        ("/.well-known/jwks.json", Some(Code::OriginNotAllowed)),
    ] {
        let request = setting.http.request(Method::OPTIONS, setting.url(path));
        let request = request
            .header("origin", PAGE)
            .header("access-control-request-method", "POST");
        let answer = request.send().await.unwrap();
        match expected {
            None => assert_eq!(answer.status(), 204, "{path}"),
            Some(code) => assert_eq!(code_of(answer).await, code, "{path}"),
        }
    }
}

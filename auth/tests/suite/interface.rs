// SPDX-License-Identifier: Apache-2.0

//! The interface as a whole: its document, and who gets in.

use std::collections::BTreeSet;

use mhealth_api::{Code, StudyTerms};
use reqwest::Method;
use serde_json::{json, Value};

use crate::support::{answer, code_of, on_both_databases, Setting, STUDY};

on_both_databases! {
    only_administrators_get_in
    the_openapi_document_lists_exactly_the_routes
    a_study_is_shown_as_it_stands
}

async fn only_administrators_get_in(setting: Setting) {
    let document: Value = setting.get("/openapi.json").await.json().await.unwrap();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["security"][0]["admin"].is_null() {
                continue;
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
    assert_eq!(tried, 14);
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
        "GET /v1/studies/{study}",
        "POST /v1/admin/approvals/{id}",
        "POST /v1/admin/approvals/{id}/reject",
        "POST /v1/admin/codes",
        "POST /v1/admin/devices/{id}/resume",
        "POST /v1/admin/devices/{id}/retire",
        "POST /v1/admin/devices/{id}/suspend",
        "POST /v1/admin/keys/rotate",
        "POST /v1/admin/logout",
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

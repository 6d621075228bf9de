// SPDX-License-Identifier: Apache-2.0

//! The interface as a whole: its document, and who gets in.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use mhealth_api::{Code, Hash, PROBLEM_MEDIA_TYPE};
use mhealth_testing::http;
use reqwest::Method;
use serde_json::Value;

use crate::world::{answer, on_both_databases, Kind, World, PATIENCE};

on_both_databases! {
    the_openapi_document_lists_exactly_the_routes
    every_credential_is_described_and_asked_for
    every_code_stands_under_its_status
    the_second_place_has_metrics_and_probes_and_nothing_that_others_come_for
}

struct Operation {
    method: Method,
    path: String,
    value: Value,
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap().iter();
        operations.map(|(method, value)| Operation {
            method: method.to_uppercase().parse().unwrap(),
            path: path.clone(),
            value: value.clone(),
        })
    });
    operations.collect()
}

fn url(world: &World, path: &str) -> String {
    let path = path
        .replace("{run}", &Hash([1; 32]).to_string())
        .replace("{key}", &Hash([1; 32]).to_string())
        .replace("{device}", "0")
        .replace("{study}", "0");
    format!("{}{path}", world.relay.url())
}

async fn the_openapi_document_lists_exactly_the_routes(kind: Kind) {
    let world = World::start(kind).await;
    let document: Value = world.get("/openapi.json").await.json();
    let operations = operations(&document);
    let listed: BTreeSet<_> = operations
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    let expected = [
        "GET /healthz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /readyz",
        "GET /v1/devices/{device}",
        "GET /v1/devices/{device}/entries",
        "GET /v1/devices/{device}/head",
        "GET /v1/devices/{device}/proof",
        "GET /v1/export",
        "GET /v1/keys/{key}",
        "GET /v1/runs/{run}",
        "GET /v1/studies/{study}",
        "POST /v1/admin/erasures",
        "POST /v1/records",
        "POST /v1/runs",
    ];
    assert_eq!(listed, BTreeSet::from(expected.map(str::to_owned)));
    // And these are served, and nothing beside them at the same addresses.
    for Operation { path, .. } in &operations {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = world
                .http
                .request(method.parse().unwrap(), url(&world, path));
            let answer = answer(request).await;
            let is_listed = listed.contains(&format!("{method} {path}"));
            assert_eq!(answer.status != 405, is_listed, "{method} {path}");
        }
    }
}

async fn every_credential_is_described_and_asked_for(kind: Kind) {
    let world = World::start(kind).await;
    let document: Value = world.get("/openapi.json").await.json();
    let schemes = &document["components"]["securitySchemes"];
    let mut tried = BTreeSet::new();
    for Operation {
        method,
        path,
        value,
    } in operations(&document)
    {
        let Some(security) = value["security"].as_array() else {
            continue;
        };
        for name in security
            .iter()
            .flat_map(|one| one.as_object().unwrap().keys())
        {
            tried.insert(format!("{name}: {method} {path}"));
            let request = || world.http.request(method.clone(), url(&world, &path));
            let nothing = answer(request()).await;
            assert_eq!(nothing.code(), "missing_credentials");
            let (scheme, expected) = match name.as_str() {
                "auditor_credential" | "eraser_credential" => ("Bearer", "invalid_credentials"),
                _ => ("DPoP", "invalid_token"),
            };
            assert!(nothing.challenge.is_some_and(|it| it.starts_with(scheme)));
            let described = &schemes[name];
            match name.as_str() {
                "auditor_credential" | "eraser_credential" => {
                    assert_eq!(described["scheme"], "bearer");
                }
                "device_token" => assert_eq!(described["name"], "Authorization"),
                _ => assert_eq!(described["name"], "DPoP"),
            }
            let wrong = request().header("authorization", format!("{scheme} hunter2"));
            let wrong = answer(wrong).await;
            assert_eq!(wrong.status, 401, "{method} {path}");
            assert_eq!(wrong.code(), expected);
            // What is good for the one is no credential for the other.
            let other = if scheme == "DPoP" { "Bearer" } else { "DPoP" };
            let other = request().header("authorization", format!("{other} hunter2"));
            assert_eq!(answer(other).await.code(), "missing_credentials");
        }
    }
    let expected = [
        "auditor_credential: GET /v1/export",
        "device_proof: POST /v1/records",
        "device_proof: POST /v1/runs",
        "device_token: POST /v1/records",
        "device_token: POST /v1/runs",
        "eraser_credential: POST /v1/admin/erasures",
    ];
    assert_eq!(tried, BTreeSet::from(expected.map(str::to_owned)));
}

async fn every_code_stands_under_its_status(kind: Kind) {
    let world = World::start(kind).await;
    let document: Value = world.get("/openapi.json").await.json();
    for Operation {
        method,
        path,
        value,
    } in operations(&document)
    {
        let responses = value["responses"].as_object().unwrap();
        assert!(responses.contains_key("200"), "{method} {path}");
        for (status, response) in responses {
            let status: u16 = status.parse().unwrap();
            let is_problem = response["content"][PROBLEM_MEDIA_TYPE]["schema"]["$ref"]
                == "#/components/schemas/Problem";
            assert_eq!(is_problem, status >= 400, "{method} {path} {status}");
            let description = response["description"].as_str().unwrap();
            for name in description.split('`').skip(1).step_by(2) {
                let code: Code = name.parse().unwrap_or_else(|()| panic!("{name}"));
                assert_eq!(code.status(), status, "{method} {path} {name}");
            }
        }
    }
}

async fn the_second_place_has_metrics_and_probes_and_nothing_that_others_come_for(kind: Kind) {
    const OWN: [&str; 4] = ["/healthz", "/metrics", "/openapi.json", "/readyz"];
    let mut world = World::start(kind).await;
    let auditor = world.launch.add_auditor("eva").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("operators").display());
    for place in ["127.0.0.1:0", socket.as_str()] {
        let launch = world.launch.clone();
        let launch = launch.arg(format!("--admin-listen={place}"));
        world.relay.start_again_as(launch).unwrap();
        let place = world.relay.second_place().unwrap();
        let ask = async |path: &str| {
            let asked = match place.strip_prefix("unix:") {
                Some(socket) => http::get_over(Path::new(socket), path, Some(&auditor)).await,
                None => http::get_bytes_as(&format!("{place}{path}"), Some(&auditor)).await,
            };
            asked.unwrap()
        };
        // The one before it was killed, and has the lease for some seconds.
        let deadline = Instant::now() + PATIENCE;
        while ask("/readyz").await.0 != 200 {
            assert!(Instant::now() < deadline, "{}", world.relay.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for path in ["/healthz", "/metrics", "/readyz"] {
            assert_eq!(ask(path).await.0, 200, "{place}{path}");
            assert_eq!(world.get(path).await.code(), "not_found", "{path}");
        }
        // Who comes for these sits elsewhere.
        for path in ["/v1/export?study=0", "/v1/admin/erasures", "/v1/studies/0"] {
            assert_eq!(ask(path).await.0, 404, "{place}{path}");
        }
        let exported = world.get_as("/v1/export?study=0", &auditor).await;
        assert_eq!(exported.status, 200, "{exported:?}");
        let order = answer(world.http.post(world.url("/v1/admin/erasures"))).await;
        assert_eq!(order.code(), "missing_credentials");
        // Each place has a document of what it serves.
        let (_, document) = ask("/openapi.json").await;
        let listed = |document: &Value| -> BTreeSet<String> {
            let operations = operations(document).into_iter();
            operations.map(|operation| operation.path).collect()
        };
        let second = listed(&serde_json::from_slice(&document).unwrap());
        assert_eq!(second, BTreeSet::from(OWN.map(str::to_owned)), "{place}");
        let public = listed(&world.get("/openapi.json").await.json());
        let both: Vec<_> = public.intersection(&second).collect();
        assert_eq!(both, ["/openapi.json"]);
        assert!(public.contains("/v1/admin/erasures") && public.contains("/v1/export"));
    }
}

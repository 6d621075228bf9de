// SPDX-License-Identifier: Apache-2.0

//! Proofs of possession (RFC 9449): every bad one has its code, and whoever sees a good one can use it for nothing else.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use hashchain::StudyId;
use mhealth_api::{ProofClaims, RunUpload, MAX_PROOF_LENGTH};
use mhealth_testing::handset::Pass;
use mhealth_testing::http::proof;
use mhealth_testing::node;
use mhealth_testing::servers::{relay, RelayOptions};
use serde_json::{json, Value};

use crate::issuer::now;
use crate::world::{answer, on_both_databases, with_envelopes, Answer, Kind, World, NIGHT};

on_both_databases! {
    every_bad_proof_has_its_code
    a_proof_is_used_once_and_a_copied_one_costs_the_device_nothing
    a_device_whose_clock_is_wrong_gets_in_with_a_nonce_of_any_process
    an_address_is_known_by_the_operators_word_and_not_by_the_request
}

const RUNS: &str = "/v1/runs";

/// Posts a run with these headers.
async fn post(world: &World, headers: &[(&'static str, String)], run: &RunUpload) -> Answer {
    let body = serde_json::to_string(run).unwrap();
    answer(world.request(RUNS, headers).body(body)).await
}

fn claims(world: &World, pass: &Pass) -> ProofClaims {
    let claims = ProofClaims::new("POST", &world.url(RUNS), now(), rand::random());
    claims.with_token(&pass.token)
}

fn with_proof(pass: &Pass, proof: String) -> Vec<(&'static str, String)> {
    let authorization = format!("DPoP {}", pass.token);
    vec![("authorization", authorization), ("dpop", proof)]
}

/// Any header and claims, signed by the key.
fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = parts.join(".");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes());
    format!("{message}.{signature}")
}

async fn every_bad_proof_has_its_code(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let pass = world.pass(&phone);
    let stranger = SigningKey::from_bytes(&[3; 32]);
    let good = claims(&world, &pass);
    let changed = |change: &dyn Fn(&mut ProofClaims)| {
        let mut claims = claims(&world, &pass);
        change(&mut claims);
        proof(&pass.key, &claims)
    };
    let x = URL_SAFE_NO_PAD.encode(pass.key.verifying_key().to_bytes());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
    let body = serde_json::to_value(&good).unwrap();
    let with_header = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        signed(&pass.key, &header, &body)
    };
    let seed = URL_SAFE_NO_PAD.encode(pass.key.to_bytes());
    let mut forged = proof(&pass.key, &good);
    forged.replace_range(forged.len() - 86..forged.len() - 80, "AAAAAA");
    let url = world.url(RUNS);
    let cases = [
        ("no proof", "nonsense".to_owned(), "malformed_proof"),
        ("empty", String::new(), "malformed_proof"),
        (
            "wrong typ",
            with_header(&|header| header["typ"] = json!("JWT")),
            "malformed_proof",
        ),
        (
            "alg none",
            with_header(&|header| header["alg"] = json!("none")),
            "malformed_proof",
        ),
        (
            "alg HS256",
            with_header(&|header| header["alg"] = json!("HS256")),
            "malformed_proof",
        ),
        (
            "crit",
            with_header(&|header| header["crit"] = json!(["exp"])),
            "malformed_proof",
        ),
        (
            "private key",
            with_header(&|header| header["jwk"]["d"] = json!(seed)),
            "malformed_proof",
        ),
        (
            "oversized",
            changed(&|claims| claims.jti = "x".repeat(MAX_PROOF_LENGTH)),
            "malformed_proof",
        ),
        (
            "no jti",
            changed(&|claims| claims.jti.clear()),
            "malformed_proof",
        ),
        (
            "another key",
            proof(&stranger, &good),
            "proof_by_another_key",
        ),
        ("not signed", forged, "invalid_proof"),
        (
            "signed by another",
            signed(&stranger, &header, &body),
            "invalid_proof",
        ),
        (
            "method",
            changed(&|claims| claims.htm = "GET".into()),
            "proof_for_another_method",
        ),
        (
            "method's case",
            changed(&|claims| claims.htm = "post".into()),
            "proof_for_another_method",
        ),
        (
            "path",
            changed(&|claims| claims.htu = world.url("/v1/records")),
            "proof_for_another_address",
        ),
        (
            "relay",
            changed(&|claims| claims.htu = "http://127.0.0.1:1/v1/runs".into()),
            "proof_for_another_address",
        ),
        (
            "scheme",
            changed(&|claims| claims.htu = url.replace("http", "https")),
            "proof_for_another_address",
        ),
        (
            "no address",
            changed(&|claims| claims.htu = "/v1/runs".into()),
            "proof_for_another_address",
        ),
        (
            "token",
            changed(&|claims| claims.ath = Some(mhealth_api::token_hash("a.b.c"))),
            "proof_for_another_token",
        ),
        (
            "no token",
            changed(&|claims| claims.ath = None),
            "proof_for_another_token",
        ),
        (
            "too old",
            changed(&|claims| claims.iat -= 40),
            "use_dpop_nonce",
        ),
        (
            "from the future",
            changed(&|claims| claims.iat += 40),
            "use_dpop_nonce",
        ),
        (
            "at the end of time",
            changed(&|claims| claims.iat = u64::MAX),
            "use_dpop_nonce",
        ),
        (
            "wrong nonce",
            changed(&|claims| claims.nonce = Some("mine".into())),
            "use_dpop_nonce",
        ),
    ];
    for (what, text, code) in cases {
        let answer = post(&world, &with_proof(&pass, text), &run).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, code),
            "{what}"
        );
        let wants_nonce = code == "use_dpop_nonce";
        let error = if wants_nonce {
            code
        } else {
            "invalid_dpop_proof"
        };
        let challenge = format!(r#"DPoP error="{error}", algs="EdDSA""#);
        assert_eq!(answer.challenge, Some(challenge), "{what}");
        assert_eq!(answer.nonce.is_some(), wants_nonce, "{what}");
    }
    let fresh = || proof(&pass.key, &claims(&world, &pass));
    let token = |scheme: &str| ("authorization", format!("{scheme} {}", pass.token));
    for (what, headers, code) in [
        ("no proof", vec![token("DPoP")], "missing_proof"),
        (
            "two proofs",
            vec![token("DPoP"), ("dpop", fresh()), ("dpop", fresh())],
            "malformed_proof",
        ),
        (
            "two in one",
            vec![token("DPoP"), ("dpop", format!("{}, {}", fresh(), fresh()))],
            "malformed_proof",
        ),
        (
            "another scheme",
            vec![token("Bearer"), ("dpop", fresh())],
            "missing_credentials",
        ),
        ("no token", vec![("dpop", fresh())], "missing_credentials"),
        (
            "two tokens",
            vec![token("DPoP"), token("DPoP"), ("dpop", fresh())],
            "invalid_token",
        ),
    ] {
        let answer = post(&world, &headers, &run).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, code),
            "{what}"
        );
    }
    assert_eq!(world.heads(phone.device()).await.relay.length, 0);
    // Other ways to write the same are good.
    let same = url.replace("http://", "HTTP://").replace("/v1/", "/v1/./");
    let same = changed(&|claims| claims.htu = format!("{same}?night=1#top"));
    let answer = post(&world, &with_proof(&pass, same), &run).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn a_proof_is_used_once_and_a_copied_one_costs_the_device_nothing(kind: Kind) {
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.arg("--device-rate=1").arg("--device-burst=3")
    })
    .await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let pass = world.pass(&phone);
    let headers = pass.headers(&world.url(RUNS));
    assert_eq!(post(&world, &headers, &run).await.status, 202);
    for _ in 0..20 {
        let answer = post(&world, &headers, &run).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "replayed_proof")
        );
    }
    assert_eq!(world.post(RUNS, &pass, &run).await.status, 200);
    // Two at once: one of them is the second.
    let headers = pass.headers(&world.url(RUNS));
    let both = [post(&world, &headers, &run), post(&world, &headers, &run)];
    let mut both: Vec<u16> = futures::future::join_all(both)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    both.sort_unstable();
    assert_eq!(both, [200, 401]);
}

async fn a_device_whose_clock_is_wrong_gets_in_with_a_nonce_of_any_process(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let pass = world.pass(&phone);
    let late = |world: &World, nonce: Option<String>| {
        let mut claims = claims(world, &pass).with_nonce(nonce);
        claims.iat = 86_400;
        with_proof(&pass, proof(&pass.key, &claims))
    };
    let told = post(&world, &late(&world, None), &run).await;
    assert_eq!((told.status, told.code().as_str()), (401, "use_dpop_nonce"));
    let nonce = told.nonce.unwrap();
    let mut cut = nonce.clone();
    cut.pop();
    let answer = post(&world, &late(&world, Some(cut)), &run).await;
    assert_eq!(answer.code(), "use_dpop_nonce");
    // The process that gave it is gone. Whoever has the same account knows it.
    world.relay.kill().unwrap();
    world.relay.start_again().unwrap();
    world.relay.wait_until_ready().unwrap();
    let headers = late(&world, Some(nonce.clone()));
    let answer = post(&world, &headers, &run).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(post(&world, &headers, &run).await.code(), "replayed_proof");
    let again = post(&world, &late(&world, Some(nonce)), &run).await;
    assert_eq!(again.status, 200, "{again:?}");
}

async fn an_address_is_known_by_the_operators_word_and_not_by_the_request(kind: Kind) {
    const PUBLIC: [&str; 2] = [
        "https://relay.example.org",
        "https://old.example.org/mhealth",
    ];
    let mut world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        let addresses = PUBLIC.map(|address| format!("--address={address}"));
        addresses
            .into_iter()
            .fold(launch, |launch, address| launch.arg(address))
    })
    .await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    // The address that it listens on is none of them.
    let own = world.pass(&phone);
    assert_eq!(world.post(RUNS, &own, &run).await.code(), "wrong_audience");
    world.issuer.relays = vec![format!("{}:443/", PUBLIC[0].to_uppercase())];
    let pass = world.pass(&phone);
    let here = with_proof(&pass, proof(&pass.key, &claims(&world, &pass)));
    let answer = post(&world, &here, &run).await;
    assert_eq!(answer.code(), "proof_for_another_address");
    let named = |host: &str, address: &str| {
        let claims = ProofClaims::new("POST", address, now(), rand::random());
        let mut headers = with_proof(&pass, proof(&pass.key, &claims.with_token(&pass.token)));
        headers.push(("host", host.to_owned()));
        headers
    };
    let other = "https://other.example.org/v1/runs";
    let answer = post(&world, &named("other.example.org", other), &run).await;
    assert_eq!(answer.code(), "proof_for_another_address");
    // Whatever the header Host says; a proxy may have changed it.
    let headers = named("other.example.org", &format!("{}{RUNS}", PUBLIC[0]));
    assert_eq!(post(&world, &headers, &run).await.status, 202);
    // Both addresses are the relay's, whichever of them the token lists.
    let headers = named("relay.example.org", &format!("{}{RUNS}", PUBLIC[1]));
    assert_eq!(post(&world, &headers, &run).await.status, 200);
}

/// Behind a proxy a relay cannot know what devices call it.
#[tokio::test]
async fn a_relay_behind_a_proxy_wants_to_be_told_its_address() {
    let world = World::start(Kind::Sqlite).await;
    let launch = relay(&RelayOptions {
        study: StudyId(0),
        chain: world.node.url(),
        account: "//Dave",
        database: world.database.clone(),
        issuer: world.issuer.url(),
    });
    let launch = launch.arg("--behind-tls-proxy");
    let error = match launch.clone().start() {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    };
    assert!(error.contains("give --address"), "{error}");
    let launch = launch.arg("--address=https://relay.example.org");
    launch.start().unwrap();
}

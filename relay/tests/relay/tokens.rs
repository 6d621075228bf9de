// SPDX-License-Identifier: Apache-2.0

//! Bad tokens: each has its code, and nothing is stored.

use std::time::{Duration, Instant};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, StudyId};
use mhealth_api::{Claims, Hash, Key, Thumbprint};
use mhealth_testing::handset::Pass;
use mhealth_testing::node;
use serde_json::json;

use crate::issuer::{kid, now, sign};
use crate::world::{on_both_databases, pass, with_envelopes, Kind, World, NIGHT, PATIENCE};

on_both_databases! {
    every_bad_token_has_its_code
    a_token_is_refused_before_its_body_is_read
    a_new_key_of_the_issuer_is_found_and_an_unknown_device_told
    an_issuer_whose_keys_were_never_read_is_told_as_passing
    a_token_ends_with_the_key_that_signed_it
}

async fn every_bad_token_has_its_code(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let other = world.phone(2).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let honest = world.claims(&phone);
    let changed = |change: &dyn Fn(&mut Claims)| {
        let mut claims = honest.clone();
        change(&mut claims);
        world.issuer.token(&claims)
    };
    let signer = world.issuer.key();
    let stranger = SigningKey::from_bytes(&[3; 32]);
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "typ": "JWT", "kid": kid });
    let own = kid(&signer);
    let good = world.issuer.token(&honest);
    let mut parts: Vec<&str> = good.split('.').collect();
    let unsigned = {
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#);
        format!("{none}.{}.", parts[1])
    };
    let mut other_claims = honest.clone();
    other_claims.sub = other.device().to_string();
    let other_claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other_claims).unwrap());
    parts[1] = &other_claims;
    let swapped = parts.join(".");
    let no_kid = json!({ "alg": "EdDSA" });
    let critical = json!({ "alg": "EdDSA", "kid": own, "crit": ["b64"] });
    let cases: Vec<(String, u16, &str)> = vec![
        ("".into(), 401, "missing_credentials"),
        ("nonsense".into(), 401, "invalid_token"),
        ("a.b.c".into(), 401, "invalid_token"),
        ("x".repeat(5_000), 401, "invalid_token"),
        (unsigned, 401, "invalid_token"),
        (swapped, 401, "invalid_token"),
        (
            sign(&header("HS256", &own), &honest, &signer),
            401,
            "invalid_token",
        ),
        (
            sign(&header("EdDSA", &own), &honest, &stranger),
            401,
            "invalid_token",
        ),
        (
            sign(&header("EdDSA", "unknown"), &honest, &signer),
            401,
            "invalid_token",
        ),
        (sign(&no_kid, &honest, &signer), 401, "invalid_token"),
        (sign(&critical, &honest, &signer), 401, "invalid_token"),
        (
            changed(&|claims| claims.iss = "https://else.example".into()),
            401,
            "unknown_issuer",
        ),
        (
            changed(&|claims| claims.aud = vec!["http://127.0.0.1:1".into()]),
            401,
            "wrong_audience",
        ),
        (changed(&|claims| claims.aud.clear()), 401, "wrong_audience"),
        (
            changed(&|claims| claims.aud[0].push_str("/elsewhere")),
            401,
            "wrong_audience",
        ),
        (
            changed(&|claims| (claims.nbf, claims.exp) = (now() - 700, now() - 100)),
            401,
            "token_expired",
        ),
        (
            changed(&|claims| (claims.nbf, claims.exp) = (now() + 300, now() + 900)),
            401,
            "token_not_yet_valid",
        ),
        (
            changed(&|claims| claims.exp = u64::MAX),
            401,
            "invalid_token",
        ),
        (
            changed(&|claims| claims.sub = "-1".into()),
            401,
            "invalid_token",
        ),
        (
            changed(&|claims| claims.chain = Hash([1; 32])),
            409,
            "wrong_chain",
        ),
        (
            changed(&|claims| claims.study = StudyId(9)),
            403,
            "wrong_study",
        ),
        (
            changed(&|claims| claims.sub = other.device().to_string()),
            403,
            "wrong_device",
        ),
        (
            changed(&|claims| claims.cnf.jkt = Thumbprint::of(&Key(other.public_key()))),
            401,
            "proof_by_another_key",
        ),
        (
            changed(&|claims| claims.sub = "99".into()),
            404,
            "unknown_device",
        ),
    ];
    for (token, status, code) in &cases {
        let pass = pass(&phone, token.clone());
        let answer = world.post("/v1/runs", &pass, &run).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (*status, *code),
            "{token}"
        );
        let challenge = match *code {
            "missing_credentials" => r#"DPoP algs="EdDSA""#,
            "proof_by_another_key" => r#"DPoP error="invalid_dpop_proof", algs="EdDSA""#,
            _ => r#"DPoP error="invalid_token", algs="EdDSA""#,
        };
        let challenge = (*status == 401).then_some(challenge);
        assert_eq!(answer.challenge.as_deref(), challenge, "{token}");
    }
    // A token for one device that is bound to another one's key, which its thief has.
    let mut stolen = honest.clone();
    stolen.cnf.jkt = Thumbprint::of(&Key(other.public_key()));
    let stolen = pass(&other, world.issuer.token(&stolen));
    let answer = world.post("/v1/runs", &stolen, &run).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "wrong_device")
    );
    let body = serde_json::to_string(&run).unwrap();
    let answer = world.post_text("/v1/runs", None, body).await;
    assert_eq!(answer.code(), "missing_credentials");
    assert_eq!(world.heads(phone.device()).await.relay.length, 0);
    world.upload(&phone, &run).await;
}

async fn a_token_is_refused_before_its_body_is_read(kind: Kind) {
    let world = World::start(kind).await;
    let phone = world.phone(1).await;
    let nonsense = pass(&phone, "nonsense".into());
    let answer = world
        .post_text("/v1/runs", Some(&nonsense), "not JSON".into())
        .await;
    assert_eq!(answer.code(), "invalid_token");
    let stranger = Pass {
        key: SigningKey::from_bytes(&[9; 32]),
        ..world.pass(&phone)
    };
    let answer = world
        .post_text("/v1/runs", Some(&stranger), "not JSON".into())
        .await;
    assert_eq!(answer.code(), "proof_by_another_key");
}

async fn a_new_key_of_the_issuer_is_found_and_an_unknown_device_told(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    world.upload(&phone, &run).await;
    world.issuer.replace_key(5);
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    // Key sets are not read again more often than every two seconds.
    let mut answer = world.post("/v1/runs", &world.pass(&phone), &run).await;
    for _ in 0..200 {
        if answer.status == 202 {
            break;
        }
        assert_eq!(answer.code(), "invalid_token");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = world.post("/v1/runs", &world.pass(&phone), &run).await;
    }
    assert_eq!(answer.status, 202, "{answer:?}");
    let mut unknown = run.clone();
    unknown.device = DeviceId(99);
    let mut claims = world.claims(&phone);
    claims.sub = unknown.device.to_string();
    let unknown_device = pass(&phone, world.issuer.token(&claims));
    let answer = world.post("/v1/runs", &unknown_device, &unknown).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "unknown_device")
    );
}

async fn an_issuer_whose_keys_were_never_read_is_told_as_passing(kind: Kind) {
    // Nobody listens at port 1.
    const AWAY: &str = "http://127.0.0.1:1";
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.arg(format!("--trusted-issuer=issuer={AWAY},study=0"))
    })
    .await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let mut claims = world.claims(&phone);
    claims.iss = AWAY.into();
    let away = pass(&phone, world.issuer.token(&claims));
    let answer = world.post("/v1/runs", &away, &run).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "issuer_unavailable")
    );
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
    // Tokens of the other issuer are good.
    world.upload(&phone, &run).await;
}

/// Also one that was taken before the issuer removed the key: what was verified is worth as much as the key.
async fn a_token_ends_with_the_key_that_signed_it(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let mut other = world.phone(2).await;
    let before = world.pass(&phone);
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    assert_eq!(world.post("/v1/runs", &before, &run).await.status, 202);
    world.issuer.replace_key(5);
    // A token of the new key makes the relay read the keys, as it does by itself every ten seconds.
    let after = world.pass(&other);
    let others = with_envelopes(&other.run_of(1, NIGHT));
    let deadline = Instant::now() + PATIENCE;
    while world.post("/v1/runs", &after, &others).await.code_or_none()
        == Some("invalid_token".into())
    {
        assert!(Instant::now() < deadline, "{}", world.relay.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = world.post("/v1/runs", &before, &run).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "invalid_token")
    );
    assert_eq!(
        world
            .post("/v1/runs", &world.pass(&phone), &run)
            .await
            .status,
        200
    );
}

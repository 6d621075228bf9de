// SPDX-License-Identifier: Apache-2.0

//! Bad tokens: each has its code, and nothing is stored.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::SigningKey;
use hashchain::{DeviceId, StudyId};
use mhealth_api::{Claims, Hash, Key};
use mhealth_testing::node;
use serde_json::json;

use crate::issuer::{kid, now, sign};
use crate::world::{on_both_databases, with_envelopes, Kind, World, NIGHT};

on_both_databases! {
    every_bad_token_has_its_code
    a_token_is_refused_before_its_body_is_read
    a_new_key_of_the_issuer_is_found_and_an_unknown_device_told
    an_issuer_whose_keys_were_never_read_is_told_as_passing
}

async fn every_bad_token_has_its_code(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let other = world.phone(2).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let key = Key(phone.public_key());
    let honest = world
        .issuer
        .claims(world.genesis(), StudyId(0), phone.device(), key);
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
            changed(&|claims| claims.aud = "mhealth-auth".into()),
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
            changed(&|claims| claims.cnf.jwk.kty = "EC".into()),
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
            changed(&|claims| claims.cnf.jwk = mhealth_api::Jwk::of(&Key(other.public_key()))),
            403,
            "wrong_device",
        ),
        (
            changed(&|claims| claims.sub = "99".into()),
            403,
            "wrong_device",
        ),
    ];
    for (token, status, code) in &cases {
        let answer = world.post("/v1/runs", token, &run).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (*status, *code),
            "{token}"
        );
    }
    let body = serde_json::to_string(&run).unwrap();
    let answer = world.post_text("/v1/runs", None, body).await;
    assert_eq!(answer.code(), "missing_credentials");
    assert_eq!(world.heads(phone.device()).await.relay.length, 0);
    world.upload(&phone, &run).await;
}

async fn a_token_is_refused_before_its_body_is_read(kind: Kind) {
    let world = World::start(kind).await;
    let answer = world
        .post_text("/v1/runs", Some("nonsense"), "not JSON".into())
        .await;
    assert_eq!(answer.code(), "invalid_token");
}

async fn a_new_key_of_the_issuer_is_found_and_an_unknown_device_told(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    world.upload(&phone, &run).await;
    world.issuer.replace_key(5);
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    // Key sets are not read again more often than every two seconds.
    let mut answer = world.post("/v1/runs", &world.token(&phone), &run).await;
    for _ in 0..200 {
        if answer.status == 202 {
            break;
        }
        assert_eq!(answer.code(), "invalid_token");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = world.post("/v1/runs", &world.token(&phone), &run).await;
    }
    assert_eq!(answer.status, 202, "{answer:?}");
    let mut unknown = run.clone();
    unknown.device = DeviceId(99);
    let key = Key(phone.public_key());
    let claims = world
        .issuer
        .claims(world.genesis(), StudyId(0), DeviceId(99), key);
    let answer = world
        .post("/v1/runs", &world.issuer.token(&claims), &unknown)
        .await;
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
    let key = Key(phone.public_key());
    let mut claims = world
        .issuer
        .claims(world.genesis(), StudyId(0), phone.device(), key);
    claims.iss = AWAY.into();
    let answer = world
        .post("/v1/runs", &world.issuer.token(&claims), &run)
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "issuer_unavailable")
    );
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
    // Tokens of the other issuer are good.
    world.upload(&phone, &run).await;
}

// SPDX-License-Identifier: Apache-2.0

//! Tokens, and the keys that sign them.

use hashchain::{DeviceId, StudyId};
use jsonwebtoken::{decode, decode_header, Algorithm, DecodingKey, Validation};
use mhealth_api::{Claims, Code, Hash, Jwk, JwkSet, RELAY_AUDIENCE};
use mhealth_chain_client::{calls, LastTrusted, SuspensionReason};
use serde_json::json;

use crate::support::{answer, code_of, on_both_databases, problem, Phone, Setting, STUDY};

on_both_databases! {
    a_token_says_who_for_what_and_until_when_and_verifies_by_the_key_set
    a_proof_works_once
    clocks_that_are_too_far_apart_are_told_the_servers_time
    a_proof_for_another_server_chain_device_or_key_is_refused
    suspended_retired_unknown_and_foreign_devices_get_no_token
    keys_rotate_and_the_old_one_stays_as_long_as_its_tokens
    signing_keys_are_encrypted_and_replaced_when_the_secret_changes
    one_device_cannot_ask_for_tokens_without_end
    one_address_cannot_ask_without_end
}

async fn key_set(setting: &Setting) -> JwkSet {
    answer(setting.get("/.well-known/jwks.json").await)
        .await
        .unwrap()
}

fn verified(token: &str, keys: &JwkSet) -> Option<Claims> {
    let header = decode_header(token).unwrap();
    assert_eq!(header.alg, Algorithm::EdDSA);
    let jwk = keys.keys.iter().find(|key| key.kid == header.kid)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[RELAY_AUDIENCE]);
    validation.validate_exp = false;
    let key = DecodingKey::from_ed_components(&jwk.x).unwrap();
    Some(decode(token, &key, &validation).unwrap().claims)
}

async fn a_token_says_who_for_what_and_until_when_and_verifies_by_the_key_set(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let response = setting
        .post("/v1/token", &setting.token_request(&phone, enrolled.device))
        .await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let given: mhealth_api::TokenAnswer = answer(response).await.unwrap();
    assert_eq!(
        (given.token_type.as_str(), given.expires_in),
        ("Bearer", 600)
    );
    assert_eq!(given.relays, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let claims = verified(&given.token, &key_set(&setting).await).unwrap();
    assert_eq!(claims.iss, setting.auth.url);
    assert_eq!(claims.sub, enrolled.device.to_string());
    assert_eq!(
        (claims.iat, claims.nbf, claims.exp),
        (1_800_000_000, 1_799_999_880, 1_800_000_600)
    );
    assert_eq!(claims.chain, Hash(setting.chain.genesis_hash().0));
    assert_eq!(claims.study, STUDY);
    assert_eq!(claims.cnf.jwk, Jwk::of(&phone.key()));
    let second = setting
        .token(&setting.token_request(&phone, enrolled.device))
        .await
        .unwrap();
    assert_ne!(
        verified(&second.token, &key_set(&setting).await)
            .unwrap()
            .jti,
        claims.jti
    );
}

async fn a_proof_works_once(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let request = setting.token_request(&phone, enrolled.device);
    let answers = futures::future::join_all((0..5).map(|_| setting.token(&request))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(
        setting.token(&request).await.err(),
        Some(Code::ReplayedProof)
    );
    // As long as its time stamp would be taken, its nonce is kept; then it is forgotten.
    setting.clock.advance(120);
    setting.store.forget_nonces(1_800_000_120).await.unwrap();
    assert_eq!(
        setting.token(&request).await.err(),
        Some(Code::ReplayedProof)
    );
    setting.clock.advance(1);
    assert_eq!(setting.token(&request).await.err(), Some(Code::ClockSkew));
    setting.store.forget_nonces(1_800_000_122).await.unwrap();
    let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM nonces")
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

async fn clocks_that_are_too_far_apart_are_told_the_servers_time(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    for time in [1_800_000_000 - 121, 1_800_000_000 + 121, 0, u64::MAX] {
        let request = setting.token_request_at(&phone, enrolled.device, time);
        let problem = problem(setting.post("/v1/token", &request).await).await;
        assert_eq!(problem.known_code(), Some(Code::ClockSkew), "{time}");
        assert_eq!(problem.server_time, Some(1_800_000_000));
    }
    for time in [1_800_000_000 - 120, 1_800_000_000 + 120] {
        setting
            .token(&setting.token_request_at(&phone, enrolled.device, time))
            .await
            .unwrap();
    }
}

async fn a_proof_for_another_server_chain_device_or_key_is_refused(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let (other, other_enrolled) = setting.enrolled().await;
    let chain = Hash(setting.chain.genesis_hash().0);
    let good = setting.token_request(&phone, enrolled.device);
    let sign = |chain: &Hash, issuer: &str, device: DeviceId| {
        phone.sign(&mhealth_api::token_message(
            chain,
            issuer,
            device,
            good.issued_at,
            &good.nonce,
        ))
    };
    let device = enrolled.device;
    for proof in [
        sign(&Hash([0; 32]), &setting.auth.url, device),
        sign(&chain, "https://evil.example", device),
        sign(&chain, &setting.auth.url, other_enrolled.device),
        other.sign(b"anything"),
        mhealth_api::SignatureBytes([0; 64]),
    ] {
        let mut bad = good.clone();
        bad.proof = proof;
        assert_eq!(setting.token(&bad).await.err(), Some(Code::InvalidProof));
    }
    let mut bad = good.clone();
    bad.device = other_enrolled.device;
    assert_eq!(setting.token(&bad).await.err(), Some(Code::InvalidProof));
    // None of these has used up the nonce.
    setting.token(&good).await.unwrap();
}

async fn suspended_retired_unknown_and_foreign_devices_get_no_token(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let device = enrolled.device;
    let ask = async || {
        setting
            .token(&setting.token_request(&phone, device))
            .await
            .map(|_| ())
    };
    setting
        .on_chain("//Bob", calls::suspend(device, SuspensionReason::Lost))
        .await;
    assert_eq!(ask().await, Err(Code::DeviceSuspended));
    setting.on_chain("//Bob", calls::resume(device)).await;
    assert_eq!(ask().await, Ok(()));
    setting
        .on_chain("//Bob", calls::retire(device, LastTrusted::Latest))
        .await;
    assert_eq!(ask().await, Err(Code::DeviceRetired));
    let unknown = setting.token_request(&phone, DeviceId(u32::MAX));
    assert_eq!(
        setting.token(&unknown).await.err(),
        Some(Code::UnknownDevice)
    );

    // A device of another study, which the same account enrols.
    let bob = mhealth_chain_client::Account::from_secret_uri("//Bob")
        .unwrap()
        .id();
    let policy = mhealth_api::Policy::DeviceSigned;
    let studies = next_study(&setting).await;
    setting
        .on_chain(
            "//Alice",
            calls::create_study(1, bob, policy, [7; 32], "Another"),
        )
        .await;
    let charlie = mhealth_chain_client::Account::from_secret_uri("//Charlie")
        .unwrap()
        .id();
    setting
        .on_chain("//Bob", calls::add_authentication_server(studies, charlie))
        .await;
    let foreign = Phone::random();
    setting.enrol_by_hand(studies, &foreign).await;
    let number = setting
        .chain
        .device_by_key(foreign.key().0)
        .await
        .unwrap()
        .unwrap();
    let request = setting.token_request(&foreign, number);
    assert_eq!(setting.token(&request).await.err(), Some(Code::WrongStudy));
}

async fn next_study(setting: &Setting) -> StudyId {
    let mut study = StudyId(0);
    while setting.chain.study(study).await.unwrap().is_some() {
        study.0 += 1;
    }
    study
}

async fn keys_rotate_and_the_old_one_stays_as_long_as_its_tokens(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let old = setting
        .token(&setting.token_request(&phone, enrolled.device))
        .await
        .unwrap()
        .token;
    let before = key_set(&setting).await;
    assert_eq!(before.keys.len(), 1);
    assert!(
        before.keys[0].alg.as_deref() == Some("EdDSA")
            && before.keys[0].usage.as_deref() == Some("sig")
    );
    let answer = setting
        .admin_post("/v1/admin/keys/rotate", json!({ "why": "every quarter" }))
        .await;
    assert_eq!(answer.status(), 201);
    let new = setting
        .token(&setting.token_request(&phone, enrolled.device))
        .await
        .unwrap()
        .token;
    let both = key_set(&setting).await;
    assert_eq!(both.keys.len(), 2);
    assert_ne!(
        decode_header(&old).unwrap().kid,
        decode_header(&new).unwrap().kid
    );
    assert_eq!(both.keys[0].kid, decode_header(&new).unwrap().kid);
    assert!(verified(&old, &both).is_some() && verified(&new, &both).is_some());
    // 600 seconds of life and 120 of skew.
    setting.clock.advance(719);
    assert!(verified(&old, &key_set(&setting).await).is_some());
    setting.clock.advance(1);
    let after = key_set(&setting).await;
    assert_eq!(after.keys.len(), 1);
    assert!(verified(&old, &after).is_none() && verified(&new, &after).is_some());
}

async fn signing_keys_are_encrypted_and_replaced_when_the_secret_changes(setting: Setting) {
    let before = key_set(&setting).await;
    let wrapped = "SELECT wrapped FROM signing_keys ORDER BY id DESC LIMIT 1";
    let (sealed,): (Vec<u8>,) = sqlx::query_as(wrapped)
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    // Nonce, key, tag.
    assert_eq!(sealed.len(), 12 + 32 + 16);
    let setting = setting.restart(&[]).await;
    assert_eq!(key_set(&setting).await, before);
    let setting = setting.restart(&["--key-secret=another"]).await;
    let after = key_set(&setting).await;
    assert_eq!(after.keys.len(), 2);
    assert_eq!(after.keys[1], before.keys[0]);
    let forgotten = "SELECT COUNT(*) FROM signing_keys WHERE wrapped IS NOT NULL";
    let (kept,): (i64,) = sqlx::query_as(forgotten)
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

async fn one_device_cannot_ask_for_tokens_without_end(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let refused = loop {
        let answer = setting
            .post("/v1/token", &setting.token_request(&phone, enrolled.device))
            .await;
        if !answer.status().is_success() {
            break answer;
        }
    };
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(code_of(refused).await, Code::TooManyRequests);
    // Others are not affected.
    let (other, enrolled) = setting.enrolled().await;
    setting
        .token(&setting.token_request(&other, enrolled.device))
        .await
        .unwrap();
}

async fn one_address_cannot_ask_without_end(setting: Setting) {
    let setting = setting.restart(&["--requests-per-second=1"]).await;
    let refused = loop {
        let answer = setting.post("/v1/code", &json!({ "code": "guess" })).await;
        if answer.status() != 404 {
            break answer;
        }
    };
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait >= 1);
    assert_eq!(code_of(refused).await, Code::TooManyRequests);
    // Relays still get the keys.
    assert_eq!(key_set(&setting).await.keys.len(), 1);
}

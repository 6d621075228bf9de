// SPDX-License-Identifier: Apache-2.0

//! Tokens.

use std::time::Duration;

use hashchain::{DeviceId, StudyId};
use jsonwebtoken::{decode, decode_header, Algorithm, DecodingKey, Validation};
use mhealth_api::{
    Claims, Code, EnrolmentCode, Hash, JwkSet, ProofClaims, Thumbprint, TokenAnswer, TokenRequest,
    DPOP, DPOP_NONCE,
};
use mhealth_chain_client::{calls, LastTrusted, SuspensionReason};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    answer, code_of, development_auditor_key, on_both_databases, problem, Phone, Running, Setting,
    STUDY,
};
use mhealth_server::Clock;

on_both_databases! {
    a_token_says_who_for_what_and_until_when_and_verifies_by_the_key_set
    a_proof_works_once_at_all_processes
    a_device_whose_clock_is_wrong_is_given_a_nonce
    every_bad_proof_has_its_code
    suspended_retired_unknown_and_foreign_devices_get_no_token
    one_device_cannot_ask_for_tokens_without_end
    one_address_cannot_ask_without_end
}

pub(crate) async fn key_set(setting: &Setting) -> JwkSet {
    answer(setting.get("/.well-known/jwks.json").await)
        .await
        .unwrap()
}

pub(crate) fn verified(token: &str, keys: &JwkSet) -> Option<Claims> {
    let header = decode_header(token).unwrap();
    assert_eq!(header.alg, Algorithm::EdDSA);
    let jwk = keys.keys.iter().find(|key| key.kid == header.kid)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["http://127.0.0.1:2"]);
    validation.validate_exp = false;
    let key = DecodingKey::from_ed_components(&jwk.x).unwrap();
    Some(decode(token, &key, &validation).unwrap().claims)
}

async fn a_token_says_who_for_what_and_until_when_and_verifies_by_the_key_set(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let proof = phone.proof(&setting.proof_claims());
    let response = setting.ask_for_token(enrolled.device, &proof).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let given: mhealth_api::TokenAnswer = answer(response).await.unwrap();
    assert_eq!((given.token_type.as_str(), given.expires_in), ("DPoP", 600));
    assert_eq!(given.relays, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let claims = verified(&given.token, &key_set(&setting).await).unwrap();
    assert_eq!(claims.aud, given.relays);
    assert_eq!(claims.iss, setting.auth.url);
    assert_eq!(claims.sub, enrolled.device.to_string());
    assert_eq!(
        (claims.iat, claims.nbf, claims.exp),
        (1_800_000_000, 1_799_999_880, 1_800_000_600)
    );
    assert_eq!(claims.chain, Hash(setting.chain.genesis_hash().0));
    assert_eq!(claims.study, STUDY);
    assert_eq!(claims.cnf.jkt, Thumbprint::of(&phone.key()));
    let second = setting.token(&phone, enrolled.device).await.unwrap();
    assert_ne!(
        verified(&second.token, &key_set(&setting).await)
            .unwrap()
            .jti,
        claims.jti
    );
}

async fn a_proof_works_once_at_all_processes(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let device = enrolled.device;
    // Another process, which serves under the same address.
    let issuer = format!("--issuer={}", setting.auth.url);
    let clock = setting.clock.clone();
    let more = [issuer.as_str()];
    let other = Running::start(&setting.database_url, &setting.node_url, clock, &more);
    let other = other.await.unwrap();
    let proof = phone.proof(&setting.proof_claims());
    let ask_other = || {
        let request = setting.http.post(format!("{}/v1/token", other.url));
        let request = request.header(DPOP, &proof).json(&TokenRequest { device });
        async { answer::<TokenAnswer>(request.send().await.unwrap()).await }
    };
    let ask = || async { answer::<TokenAnswer>(setting.ask_for_token(device, &proof).await).await };
    let (one, two, three) = futures::join!(ask(), ask_other(), ask());
    let answers = [one, two, three].map(|answer| answer.map(drop));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.contains(&Err(Code::ReplayedProof)));
    assert_eq!(ask_other().await.err(), Some(Code::ReplayedProof));
    // As long as its time would be taken, it is kept; then it is forgotten.
    setting.clock.advance(120);
    setting.store.forget_proofs(1_800_000_120).await.unwrap();
    assert_eq!(ask().await.err(), Some(Code::ReplayedProof));
    setting.clock.advance(1);
    assert_eq!(ask().await.err(), Some(Code::UseDpopNonce));
    setting.store.forget_proofs(1_800_000_121).await.unwrap();
    let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM proofs")
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
    other.stop().await;
}

async fn a_device_whose_clock_is_wrong_is_given_a_nonce(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let proof_at = |time: u64, nonce: Option<&str>| {
        let mut claims = setting.proof_claims();
        claims.iat = time;
        phone.proof(&claims.with_nonce(nonce.map(str::to_owned)))
    };
    for time in [1_800_000_000 - 121, 1_800_000_000 + 121, 0, u64::MAX] {
        let proof = proof_at(time, None);
        let refused = setting.ask_for_token(enrolled.device, &proof).await;
        assert_eq!(
            refused.headers()["www-authenticate"],
            r#"DPoP error="use_dpop_nonce", algs="EdDSA""#
        );
        let nonce = refused.headers()[DPOP_NONCE].to_str().unwrap().to_owned();
        assert_eq!(code_of(refused).await, Code::UseDpopNonce, "{time}");
        let proof = proof_at(time, Some(&nonce));
        let given = setting.ask_for_token(enrolled.device, &proof).await;
        assert_eq!(given.status(), 200, "{time}");
        let again = setting.ask_for_token(enrolled.device, &proof).await;
        assert_eq!(code_of(again).await, Code::ReplayedProof);
        // Twice the time that a clock may be off; also for a clock that is right.
        setting.clock.advance(241);
        let proof = proof_at(setting.clock.now(), Some(&nonce));
        let late = setting.ask_for_token(enrolled.device, &proof).await;
        assert_eq!(code_of(late).await, Code::UseDpopNonce);
        setting.clock.set(1_800_000_000);
    }
    for time in [1_800_000_000 - 120, 1_800_000_000 + 120] {
        let proof = proof_at(time, None);
        let given = setting.ask_for_token(enrolled.device, &proof).await;
        assert_eq!(given.status(), 200, "{time}");
    }
}

async fn every_bad_proof_has_its_code(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let (other, other_enrolled) = setting.enrolled().await;
    let good = setting.proof_claims();
    let changed = |change: &dyn Fn(&mut ProofClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        phone.proof(&claims)
    };
    let text = phone.proof(&good);
    let (message, _) = text.rsplit_once('.').unwrap();
    let (_, signature) = {
        let other = other.proof(&good);
        let (message, signature) = other.rsplit_once('.').unwrap();
        (message.to_owned(), signature.to_owned())
    };
    let device = enrolled.device;
    let evil = "https://evil.example/v1/token";
    for (proof, device, expected) in [
        (String::new(), device, Code::MalformedProof),
        ("x".repeat(3_000), device, Code::MalformedProof),
        (format!("{message}.{signature}"), device, Code::InvalidProof),
        (other.proof(&good), device, Code::ProofByAnotherKey),
        (text.clone(), other_enrolled.device, Code::ProofByAnotherKey),
        (
            changed(&|claims| claims.htm = "GET".into()),
            device,
            Code::ProofForAnotherMethod,
        ),
        (
            changed(&|claims| claims.htu = evil.into()),
            device,
            Code::ProofForAnotherAddress,
        ),
        (
            changed(&|claims| claims.htu = setting.url("/v1/enrol")),
            device,
            Code::ProofForAnotherAddress,
        ),
        (
            changed(&|claims| claims.ath = Some("x".into())),
            device,
            Code::ProofForAnotherToken,
        ),
        (
            changed(&|claims| claims.nonce = Some("x".into())),
            device,
            Code::UseDpopNonce,
        ),
    ] {
        let refused = setting.ask_for_token(device, &proof).await;
        assert_eq!(code_of(refused).await, expected, "{proof}");
    }
    let request = setting.http.post(setting.url("/v1/token"));
    let request = request.header(DPOP, &text).header(DPOP, &text);
    let twice = request.json(&TokenRequest { device }).send().await.unwrap();
    assert_eq!(code_of(twice).await, Code::MalformedProof);
    // Before the body is read.
    let request = setting.http.post(setting.url("/v1/token")).body("no JSON");
    assert_eq!(
        code_of(request.send().await.unwrap()).await,
        Code::MissingProof
    );
    // None of these has used up the proof.
    assert_eq!(setting.ask_for_token(device, &text).await.status(), 200);
}

async fn suspended_retired_unknown_and_foreign_devices_get_no_token(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let device = enrolled.device;
    let ask = async || setting.token(&phone, device).await.map(|_| ());
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
    // With where that is proved: the relays that it knows may be gone.
    let proof = phone.proof(&setting.proof_claims());
    let refused = problem(setting.ask_for_token(device, &proof).await).await;
    let relays = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(String::from);
    assert_eq!(refused.relays.as_deref(), Some(&relays[..]));
    let unknown = setting.token(&phone, DeviceId(u32::MAX)).await;
    assert_eq!(unknown.err(), Some(Code::UnknownDevice));

    // A device of another study, which the same account enrols.
    let bob = mhealth_chain_client::Account::from_secret_uri("//Bob")
        .unwrap()
        .id();
    let policy = mhealth_api::Policy::DeviceSigned;
    let studies = next_study(&setting).await;
    setting
        .on_chain(
            "//Alice",
            calls::create_study(1, bob, policy, development_auditor_key().0, "Another"),
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
    let refused = setting.token(&foreign, number).await;
    assert_eq!(refused.err(), Some(Code::WrongStudy));
}

async fn next_study(setting: &Setting) -> StudyId {
    let mut study = StudyId(0);
    while setting.chain.study(study).await.unwrap().is_some() {
        study.0 += 1;
    }
    study
}

/// The status with which the head of a request for a token is answered, if no byte of its body comes.
async fn head_alone(setting: &Setting, proof: String) -> Option<u16> {
    let host = setting.auth.url.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /v1/token HTTP/1.1\r\nHost: {host}\r\n{DPOP}: {proof}\r\nContent-Type: application/json\r\n\
         Content-Length: 20\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    let read = stream.read_exact(&mut said);
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    read.ok()?.unwrap();
    let status = std::str::from_utf8(&said[9..]).unwrap();
    Some(status.parse().unwrap())
}

async fn one_device_cannot_ask_for_tokens_without_end(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let refused = loop {
        let proof = phone.proof(&setting.proof_claims());
        let answer = setting.ask_for_token(enrolled.device, &proof).await;
        if !answer.status().is_success() {
            break answer;
        }
    };
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(code_of(refused).await, Code::TooManyRequests);
    // The head of a request says whose it is: no body is waited for. One of them may have got the token of the next second.
    let heads = (0..5).map(|_| head_alone(&setting, phone.proof(&setting.proof_claims())));
    let answered = futures::future::join_all(heads).await;
    let refused = answered.iter().filter(|status| **status == Some(429));
    assert!(refused.count() >= 3, "{answered:?}");
    // Others are not affected.
    let (other, enrolled) = setting.enrolled().await;
    setting.token(&other, enrolled.device).await.unwrap();
}

async fn one_address_cannot_ask_without_end(setting: Setting) {
    let setting = setting.restart(&["--requests-per-second=1"]).await;
    let chain = Hash(setting.chain.genesis_hash().0);
    let guess = EnrolmentCode::new(&[7; 13], &chain, None)
        .reveal()
        .to_string();
    let refused = loop {
        let answer = setting.post("/v1/code", &json!({ "code": guess })).await;
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

// SPDX-License-Identifier: Apache-2.0

//! Tokens that were verified, and are not good any more.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use mhealth_api::Confirmation;
use mhealth_server::ManualClock;

use super::*;
use crate::issuers::TrustedIssuer;

const NOW: u64 = 1_000_000;
const CHAIN: Hash = Hash([4; 32]);
const ISSUER: &str = "https://auth.example";
const RELAY: &str = "https://relay.example";

fn trusted(study: u32) -> TrustedIssuer {
    format!("issuer={ISSUER},study={study}").parse().unwrap()
}

fn token(key: &SigningKey, study: u32) -> String {
    let claims = Claims {
        iss: ISSUER.into(),
        aud: vec![RELAY.into()],
        sub: "7".into(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 600,
        jti: "a".into(),
        chain: CHAIN,
        study: StudyId(study),
        cnf: Confirmation {
            jkt: Thumbprint::of(&Key([8; 32])),
        },
    };
    let header = br#"{"alg":"EdDSA","typ":"JWT","kid":"one"}"#;
    let claims = serde_json::to_vec(&claims).unwrap();
    let message = [&header[..], &claims[..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = message.join(".");
    let signature = key.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_token_ends_when_its_study_is_taken_from_its_issuer() {
    let key = SigningKey::from_bytes(&[9; 32]);
    let both = vec![trusted(0), trusted(1)];
    let clock = ManualClock::at(NOW);
    let issuers = Issuers::new(both, crate::mutations::http(), clock.clone());
    let public = Key(key.verifying_key().to_bytes());
    issuers.set_keys(ISSUER, [("one".to_owned(), public)]);
    let addresses = [RELAY.parse().unwrap()];
    let tokens = Tokens::new(issuers.clone(), CHAIN, &addresses, 30, clock);
    let (stays, goes) = (token(&key, 0), token(&key, 1));
    for token in [&stays, &goes] {
        tokens.verify(token).await.unwrap();
    }
    issuers.replace(vec![trusted(0)]);
    tokens.verify(&stays).await.unwrap();
    let refused = tokens.verify(&goes).await.unwrap_err();
    assert_eq!(refused.known_code(), Some(Code::WrongStudy));
    // And when the issuer is trusted again it is good again.
    issuers.replace(vec![trusted(0), trusted(1)]);
    tokens.verify(&goes).await.unwrap();
    issuers.replace(Vec::new());
    for token in [&stays, &goes] {
        let refused = tokens.verify(token).await.unwrap_err();
        assert_eq!(refused.known_code(), Some(Code::UnknownIssuer));
    }
}

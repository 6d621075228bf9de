// SPDX-License-Identifier: Apache-2.0

//! The decoders of what strangers send: whatever comes in, they answer with a code, and never panic.
//!
//! `MHEALTH_FUZZ_CASES` says how many mutations each decoder gets; `cargo test -p mhealth-relay mutations` runs them.

// How often each decoder was tried is for the person who asked for more than the usual.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{Claims, Confirmation, Hash, Key, Policy, RunUpload, Thumbprint};
use mhealth_server::ManualClock;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::issuers::{Issuers, TrustedIssuer};
use crate::run::{CheckedRun, Rules};
use crate::testing::TestDevice;
use crate::token::Tokens;

/// How many inputs each decoder gets unless told.
const CASES: u32 = 20_000;

fn cases() -> u32 {
    let told = std::env::var("MHEALTH_FUZZ_CASES").ok();
    told.map_or(CASES, |cases| {
        cases.parse().expect("MHEALTH_FUZZ_CASES is a number")
    })
}

/// Pieces that decoders trip over.
const PIECES: [&[u8]; 20] = [
    b"null",
    b"[]",
    b"{}",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"0x",
    b"=",
    b".",
    b"..",
    b"\xff\xfe",
    b"\0",
    b",",
    b":",
    b"\"entries\":[",
    b"\"device\":",
    b"  ",
];

/// Changes a few things about good input.
fn mutate(random: &mut StdRng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            4 => {
                let end = (at + random.random_range(0..64)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + random.random_range(0..64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let mut noise = vec![0; random.random_range(0..32)];
                random.fill_bytes(&mut noise);
                bytes.splice(at..at, noise);
            }
        }
    }
    bytes
}

#[test]
fn the_upload_body_is_decoded_or_refused_and_nothing_else() {
    let mut device = TestDevice::new(7);
    let good: Vec<_> = [1, 2, 5].map(|entries| device.run(entries)).into();
    let bodies: Vec<_> = good
        .iter()
        .map(|run| serde_json::to_vec(run).unwrap())
        .collect();
    let rules = Rules {
        study: StudyId(0),
        key: device.key(),
        policy: Policy::DeviceSigned,
        max_envelope: 1 << 16,
    };
    let mut random = StdRng::seed_from_u64(1);
    let (mut decoded, mut passed) = (0, 0);
    for _ in 0..cases() {
        let place = random.random_range(0..bodies.len());
        let bytes = mutate(&mut random, &bodies[place]);
        let Ok(upload) = serde_json::from_slice::<RunUpload>(&bytes) else {
            continue;
        };
        decoded += 1;
        // What comes through all checks is what the device signed, whatever else was done to the text.
        if let Ok(run) = CheckedRun::check(upload.clone(), &rules) {
            passed += 1;
            let honest = device.check(good[place].clone());
            assert_eq!((run.links, run.envelopes), (honest.links, honest.envelopes));
        }
    }
    println!("executions={} decoded={decoded} passed={passed}", cases());
    assert!(decoded > 0);
}

#[test]
fn an_upload_with_any_member_changed_is_refused() {
    let mut device = TestDevice::new(7);
    let rules = Rules {
        study: StudyId(0),
        key: device.key(),
        policy: Policy::DeviceSigned,
        max_envelope: 1 << 16,
    };
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..cases() / 10 {
        let mut upload = device.run(random.random_range(1..4));
        let place = random.random_range(0..upload.entries.len());
        let bit = 1 << random.random_range(0..8);
        match random.random_range(0..6) {
            0 => upload.sequence ^= u64::from(bit),
            1 => upload.previous.0[random.random_range(0..32)] ^= bit,
            2 => upload.entries[place].digest.0[random.random_range(0..32)] ^= bit,
            3 => upload.entries[place].tag.0[random.random_range(0..32)] ^= bit,
            4 => {
                let envelope = &mut upload.entries[place].envelope.0;
                let at = random.random_range(0..envelope.len());
                envelope[at] ^= bit;
            }
            _ => {
                if let Some(signature) = &mut upload.signature {
                    signature.0[random.random_range(0..64)] ^= bit;
                }
            }
        }
        assert!(CheckedRun::check(upload, &rules).is_err());
    }
}

#[tokio::test]
async fn no_token_but_the_signed_one_is_taken() {
    const NOW: u64 = 1_000_000;
    let chain = Hash([4; 32]);
    let key = SigningKey::from_bytes(&[9; 32]);
    let issuer = "https://auth.example";
    let trusted: TrustedIssuer = format!("issuer={issuer},study=0").parse().unwrap();
    let clock = ManualClock::at(NOW);
    let issuers = Issuers::new(vec![trusted], http(), clock.clone());
    issuers.set_keys(
        issuer,
        [("one".to_owned(), Key(key.verifying_key().to_bytes()))],
    );
    let relay = "https://relay.example";
    let addresses = [relay.parse().unwrap()];
    let tokens = Tokens::new(issuers, chain, &addresses, 30, clock as Arc<_>);
    let claims = Claims {
        iss: issuer.into(),
        aud: vec![relay.into()],
        sub: "7".into(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 600,
        jti: "a".into(),
        chain,
        study: StudyId(0),
        cnf: Confirmation {
            jkt: Thumbprint::of(&Key([8; 32])),
        },
    };
    let header = br#"{"alg":"EdDSA","typ":"JWT","kid":"one"}"#;
    let message = [
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap()),
    ]
    .join(".");
    let signature = key.sign(message.as_bytes()).to_bytes();
    let good = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let verified = tokens.verify(&good).await.unwrap();
    assert_eq!(verified.device, DeviceId(7));
    let mut random = StdRng::seed_from_u64(3);
    let mut refused = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..cases() {
        let bytes = mutate(&mut random, good.as_bytes());
        // Headers are text; what is none never gets so far.
        let Ok(token) = String::from_utf8(bytes) else {
            continue;
        };
        match tokens.verify(&token).await {
            Ok(_) => assert_eq!(token, good),
            Err(problem) => *refused.entry(problem.code).or_default() += 1,
        }
    }
    println!("executions={} refused={refused:?}", cases());
}

pub(crate) fn http() -> reqwest::Client {
    mhealth_server::install_crypto();
    reqwest::Client::new()
}

// SPDX-License-Identifier: Apache-2.0

//! Proofs of possession: as the RFCs say, as another library reads and writes them, and whatever else is refused.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use jsonwebtoken::{decode, encode, Algorithm, DecodingKey, EncodingKey, Header, Validation};
use mhealth_api::{
    token_hash, Jwk, Key, Proof, ProofClaims, ProofError, Thumbprint, MAX_PROOF_LENGTH,
};
use proptest::prelude::*;
use serde_json::{json, Value};

const ADDRESS: &str = "https://relay.example.org/v1/runs";

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[0x2a; 32])
}

fn key() -> Key {
    Key(signer().verifying_key().to_bytes())
}

fn claims() -> ProofClaims {
    ProofClaims::new("POST", ADDRESS, 1_800_000_000, [4; 16]).with_token("a.b.c")
}

fn good() -> String {
    claims().signed(&key(), |message| signer().sign(message).to_bytes())
}

/// Any header and claims, signed by the key.
fn signed(header: &Value, claims: &Value) -> String {
    signed_text(&header.to_string(), &claims.to_string())
}

fn signed_text(header: &str, claims: &str) -> String {
    let message = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = signer().sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    let jwk = Jwk::of(&key());
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": { "kty": jwk.kty, "crv": jwk.crv, "x": jwk.x } })
}

#[test]
fn a_thumbprint_is_the_one_of_rfc_8037() {
    // Appendix A.3.
    let jwk = Jwk {
        x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(),
        ..Jwk::of(&key())
    };
    let thumbprint = Thumbprint::of(&jwk.key().unwrap());
    let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(thumbprint.to_string(), expected);
    assert_eq!(expected.parse(), Ok(thumbprint));
    assert_eq!(json!(thumbprint), json!(expected));
    assert!(expected[1..].parse::<Thumbprint>().is_err());
}

#[test]
fn the_hash_of_a_token_is_the_one_of_rfc_9449() {
    // Section 7.1, figures 12 and 13.
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let expected = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
    assert_eq!(token_hash(token), expected);
}

#[test]
fn a_proof_is_read_as_it_was_made() {
    let text = good();
    let proof = Proof::read(&text).unwrap();
    assert_eq!((proof.key, &proof.claims), (key(), &claims()));
    assert!(proof.is_signed());
    assert!(text.len() < 600, "{} bytes", text.len());
}

#[test]
fn query_and_fragment_are_no_part_of_the_address() {
    for address in ["?a=b", "#c", "?a#b", ""].map(|end| format!("{ADDRESS}{end}")) {
        let claims = ProofClaims::new("GET", &address, 0, [0; 16]);
        assert_eq!(claims.htu, ADDRESS);
    }
}

#[test]
fn another_library_reads_what_this_one_makes() {
    let text = good();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let verifying = DecodingKey::from_ed_components(&Jwk::of(&key()).x).unwrap();
    let read = decode::<ProofClaims>(&text, &verifying, &validation).unwrap();
    assert_eq!(read.header.typ.as_deref(), Some("dpop+jwt"));
    let jwk = read.header.jwk.unwrap();
    let thumbprint = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256);
    assert_eq!(thumbprint, Thumbprint::of(&key()).to_string());
    assert_eq!(read.claims, claims());
}

#[test]
fn this_library_reads_what_another_one_makes() {
    // PKCS #8 around the seed (RFC 8410, section 7).
    let der = [&hex("302e020100300506032b657004220420")[..], &[0x2a; 32]].concat();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": Jwk::of(&key()).x, "use": "sig", "kid": "mine" });
    let header = Header {
        typ: Some("dpop+jwt".into()),
        jwk: Some(serde_json::from_value(jwk).unwrap()),
        kid: Some("mine".into()),
        ..Header::new(Algorithm::EdDSA)
    };
    let text = encode(&header, &claims(), &EncodingKey::from_ed_der(&der)).unwrap();
    let proof = Proof::read(&text).unwrap();
    assert_eq!((proof.key, &proof.claims), (key(), &claims()));
    assert!(proof.is_signed());
}

#[test]
fn what_is_no_proof_is_refused_for_its_reason() {
    use ProofError::*;
    let body = serde_json::to_value(claims()).unwrap();
    let with_header = |change: &dyn Fn(&mut Value)| {
        let mut header = header();
        change(&mut header);
        signed(&header, &body)
    };
    let with_claims = |change: &dyn Fn(&mut Value)| {
        let mut body = body.clone();
        change(&mut body);
        signed(&header(), &body)
    };
    let without =
        |member: &str| with_claims(&|body| drop(body.as_object_mut().unwrap().remove(member)));
    let unsigned = {
        let text = with_header(&|header| header["alg"] = json!("none"));
        let end = text.rfind('.').unwrap();
        text[..=end].to_owned()
    };
    let twice = header()
        .to_string()
        .replace("\"alg\"", "\"alg\":\"EdDSA\",\"alg\"");
    let seed = URL_SAFE_NO_PAD.encode([0x2a; 32]);
    let cases = [
        ("".to_owned(), NotAJwt),
        ("a.b".to_owned(), NotAJwt),
        ("a.b.c".to_owned(), NotAJwt),
        (format!("{}.x", good()), NotAJwt),
        (format!("{}=", good()), NotAJwt),
        (good().replace('.', "+"), NotAJwt),
        (
            good().rsplit_once('.').unwrap().0.to_owned() + ".AAAA",
            NotAJwt,
        ),
        ("x".repeat(MAX_PROOF_LENGTH + 1), TooLong),
        (
            with_claims(&|body| body["jti"] = json!("x".repeat(MAX_PROOF_LENGTH))),
            TooLong,
        ),
        (signed_text("{", "{}"), Header),
        (signed_text(&twice, &body.to_string()), Header),
        (
            with_header(&|header| drop(header.as_object_mut().unwrap().remove("jwk"))),
            Header,
        ),
        (with_header(&|header| header["typ"] = json!("JWT")), Type),
        (
            with_header(&|header| header["typ"] = json!("DPOP+JWT")),
            Type,
        ),
        (unsigned, Algorithm),
        (
            with_header(&|header| header["alg"] = json!("HS256")),
            Algorithm,
        ),
        (
            with_header(&|header| header["alg"] = json!("ES256")),
            Algorithm,
        ),
        (
            with_header(&|header| header["crit"] = json!(["b64"])),
            Critical,
        ),
        (
            with_header(&|header| header["jwk"]["kty"] = json!("EC")),
            NotAKey,
        ),
        (
            with_header(&|header| header["jwk"]["crv"] = json!("X25519")),
            NotAKey,
        ),
        (
            with_header(&|header| header["jwk"]["x"] = json!("AAAA")),
            NotAKey,
        ),
        (
            with_header(&|header| header["jwk"]["x"] = json!("")),
            NotAKey,
        ),
        (
            with_header(&|header| header["jwk"]["d"] = json!(seed)),
            PrivateKey,
        ),
        (signed_text(&header().to_string(), "[]"), Claims),
        (without("jti"), Claims),
        (without("htm"), Claims),
        (without("htu"), Claims),
        (without("iat"), Claims),
        (with_claims(&|body| body["jti"] = json!("")), Claims),
        (with_claims(&|body| body["nonce"] = json!("")), Claims),
        (
            with_claims(&|body| body["nonce"] = json!("x".repeat(257))),
            Claims,
        ),
        (with_claims(&|body| body["iat"] = json!(-1)), Claims),
        (
            with_claims(&|body| body["iat"] = json!("1800000000")),
            Claims,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Proof::read(&text).err(), Some(expected), "{text}");
    }
}

#[test]
fn a_signature_that_is_not_strict_counts_for_nothing() {
    // The order of the group added to s: the same equation holds (RFC 8032, section 5.1.7, forbids it).
    let text = good();
    let (message, signature) = text.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for (byte, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let text = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert!(!Proof::read(&text).unwrap().is_signed());
    // A key of small order, for which nearly anything is a signature.
    let weak = Key([&[1][..], &[0; 31]].concat().try_into().unwrap());
    let text = claims().signed(&weak, |_| [&[1][..], &[0; 63]].concat().try_into().unwrap());
    assert!(!Proof::read(&text).unwrap().is_signed());
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

proptest! {
    #[test]
    fn no_other_text_is_a_signed_proof(place in 0..10_000_usize, byte in 0x20..0x7f_u8) {
        let good = good();
        let mut text = good.clone().into_bytes();
        let place = place % text.len();
        text[place] = byte;
        let text = String::from_utf8(text).unwrap();
        let signed = Proof::read(&text).is_ok_and(|proof| proof.is_signed());
        prop_assert_eq!(signed, text == good);
    }

    #[test]
    fn nothing_that_is_read_makes_it_panic(text in "\\PC{0,600}") {
        let _ = Proof::read(&text).map(|proof| proof.is_signed());
    }
}

// SPDX-License-Identifier: Apache-2.0

//! `docs/protocol/device-api.md` says what the code says.

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{participant_digest, DeviceId, LinkHash, Native, StudyId};
use mhealth_api::{
    enrolment_message, key_proof_message, run_id, Base64, Code, EnrolRequest, EnrolmentCode, Hash,
    Key, ProofClaims, Refusal, SignatureBytes, Thumbprint,
};

const DOCUMENT: &str = include_str!("../../docs/protocol/device-api.md");

#[test]
fn the_table_of_codes_is_complete_and_in_order() {
    let documented: Vec<(&str, &str, &str)> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "| code | status | title | do |")
        .skip(2)
        .map_while(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let code = cells.next()?.strip_suffix('`')?;
            Some((code, cells.next()?, cells.next()?))
        })
        .collect();
    let statuses: Vec<String> = Code::ALL
        .iter()
        .map(|code| code.status().to_string())
        .collect();
    let known: Vec<(&str, &str, &str)> = Code::ALL
        .iter()
        .zip(&statuses)
        .map(|(code, status)| (code.as_str(), status.as_str(), code.title()))
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn every_code_says_what_the_client_does_in_a_word_that_is_explained() {
    for code in Code::ALL {
        let row = DOCUMENT
            .lines()
            .find(|line| line.starts_with(&format!("| `{code}` | ")))
            .unwrap_or_else(|| panic!("{code} is not in the table"));
        let word = row.trim_end_matches(" |").rsplit(" | ").next();
        let explanation = format!("\n| {} | ", word.expect("a row has cells"));
        assert!(DOCUMENT.contains(&explanation), "{row}");
    }
}

#[test]
fn codes_that_the_text_names_exist() {
    // The errors of an address are listed behind this word, each in backquotes.
    for list in DOCUMENT.split("\nErrors: ").skip(1) {
        let list = list.split("\n\n").next().unwrap_or_default();
        for word in list.split('`').skip(1).step_by(2) {
            let is_address = word.starts_with('/');
            assert!(is_address || word.parse::<Code>().is_ok(), "{word}");
        }
    }
}

#[test]
fn the_proofs_have_the_documented_bytes() {
    let key = SigningKey::from_bytes(&[0x2a; 32]);
    let chain = Hash([1; 32]);
    let participant_key = Key([9; 32]);
    let code = EnrolmentCode::new(&[0x2a; 13], &chain, Some(&participant_key));
    let participant = participant_digest::<Native>(Some(&participant_key.0));
    let request = EnrolRequest {
        code: code.reveal().to_string(),
        device_key: Key(key.verifying_key().to_bytes()),
        secret_commitment: Hash([2; 32]),
        escrow: Base64(vec![3; 81]),
        auditor_epoch: 1,
        participant: Hash(participant),
        proof: SignatureBytes([0; 64]),
        key_proof: SignatureBytes([0; 64]),
    };
    let enrol = enrolment_message(&chain, StudyId(7), &request);
    let server = Key([7; 32]);
    let auditor = Key([8; 32]);
    let agreed = key_proof_message(&chain, StudyId(7), &server, &auditor, None, &request);
    let address = "https://relay.example.org/v1/runs";
    let proof = ProofClaims::new("POST", address, 1_800_000_000, [4; 16]).with_token("a.b.c");
    let sign = |message: &[u8]| key.sign(message).to_bytes();
    let run = run_id(DeviceId(41), 9, &LinkHash([5; 32]), &LinkHash([6; 32]));
    let lines = [
        ("device key", request.device_key.to_string()),
        ("participant", hex(&participant)),
        ("code", request.code.clone()),
        ("code hash", hex(&code.hash())),
        ("enrol message", hex(&enrol)),
        ("enrol proof", hex(&key.sign(&enrol).to_bytes())),
        ("key message", hex(&agreed)),
        ("key proof", hex(&key.sign(&agreed).to_bytes())),
        (
            "thumbprint",
            Thumbprint::of(&request.device_key).to_string(),
        ),
        ("possession", proof.signed(&request.device_key, sign)),
        ("run name", run.to_string()),
    ];
    let block: String = lines
        .iter()
        .map(|(name, value)| format!("{name:14} {}\n", value.trim_start_matches("0x")))
        .collect();
    assert!(DOCUMENT.contains(&block), "the document lacks\n{block}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_reason_of_a_refusal_is_in_the_document() {
    for refusal in Refusal::KNOWN {
        assert!(
            DOCUMENT.contains(&format!("| `{refusal}` |")),
            "{refusal} is not listed"
        );
    }
}

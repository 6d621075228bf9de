// SPDX-License-Identifier: Apache-2.0

//! From a code to a device on the chain.

use hashchain::{participant_digest, Native, OpeningKey, StudyId};
use mhealth_api::{
    key_proof_message, Base64, Code, DeviceStatus, EnrolmentCode, Hash, Key, Policy, DPOP,
};
use mhealth_chain_client::{calls, LastTrusted, H256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::support::{
    code_of, development_auditor_key, on_both_databases, server_key, Phone, Setting, STUDY,
};

on_both_databases! {
    a_device_is_enrolled_on_the_chain_and_told_its_link_0
    a_code_tells_its_terms_without_being_used
    the_same_request_gets_the_same_answer_however_often_it_is_sent
    a_code_is_good_for_one_device_and_one_content
    unknown_revoked_and_expired_codes_are_told_apart
    what_proves_nothing_is_refused_and_the_code_stays_good
    a_key_is_enrolled_once
    what_the_server_has_forgotten_is_found_on_the_chain
    a_closed_study_enrols_nobody_and_goes_on_when_it_is_open_again
    a_successor_goes_on_from_the_last_trusted_entry
    an_enrolment_that_was_not_written_down_is_found_on_the_chain
    what_the_chain_refuses_is_told_and_can_be_tried_again
    messages_with_unknown_or_missing_members_are_refused
    no_body_makes_the_server_fail
}

async fn a_device_is_enrolled_on_the_chain_and_told_its_link_0(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let device = setting
        .chain
        .device(enrolled.device)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(device.key, phone.key().0);
    assert_eq!(device.secret_commitment, H256(phone.commitment().0));
    assert_eq!(device.genesis, enrolled.genesis);
    assert_eq!(device.status, DeviceStatus::Active);
    assert_eq!(enrolled.study, STUDY);
    let view = setting.chain.at(H256(enrolled.block.hash.0)).await.unwrap();
    assert_eq!(
        view.device_by_key(phone.key().0).await.unwrap(),
        Some(enrolled.device)
    );
}

async fn a_code_tells_its_terms_without_being_used(setting: Setting) {
    let participant_key = OpeningKey::from_bytes(&[9; 32]).sealing_key();
    let participant_key = Key(participant_key.0);
    let new =
        json!({ "participant": "P-7", "participant_key": participant_key, "expires_in": 100 });
    let issued = setting.issue(new).await;
    for _ in 0..2 {
        let terms = setting.terms(&issued.code).await;
        let study = setting.chain.study(STUDY).await.unwrap().unwrap();
        assert_eq!(terms.chain, Hash(setting.chain.genesis_hash().0));
        assert_eq!((terms.study, terms.policy), (STUDY, Policy::DeviceSigned));
        assert_eq!(terms.auditor_key, Key(study.auditor_key));
        assert_eq!(terms.participant_key, Some(participant_key));
        let code: EnrolmentCode = issued.code.parse().unwrap();
        assert!(code.is_for(&terms.chain, Some(&participant_key)));
        assert!(!code.is_for(&terms.chain, None));
        assert!(!code.is_for(&Hash([1; 32]), Some(&participant_key)));
        assert_eq!(terms.auditor_epoch, 0);
        assert_eq!((terms.predecessor, terms.expires_at), (None, 1_800_000_100));
    }
    // As somebody types it who reads it from paper.
    let typed = issued.code.to_lowercase().replace('-', " ");
    let phone = Phone::random();
    let mut request = setting.request(&phone, &typed);
    let chain = Hash(setting.chain.genesis_hash().0);
    // A device that was given another key than the code is for.
    for another in [None, Some([8; 32])] {
        request.participant = Hash(participant_digest::<Native>(another.as_ref()));
        phone.prove(chain, STUDY, None, &mut request);
        let refused = setting.enrol(&request).await;
        assert_eq!(refused, Err(Code::AnotherParticipantKey));
    }
    let digest = participant_digest::<Native>(Some(&participant_key.0));
    request.participant = Hash(digest);
    phone.prove(chain, STUDY, None, &mut request);
    let enrolled = setting.enrol(&request).await.unwrap();
    let device = setting
        .chain
        .device(enrolled.device)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (device.participant, device.auditor_epoch),
        (H256(digest), 0)
    );
    // A device that was killed before it stored the answer asks for the terms again.
    setting.terms(&issued.code).await;
}

async fn the_same_request_gets_the_same_answer_however_often_it_is_sent(setting: Setting) {
    let code = setting.code().await;
    let request = setting.request(&Phone::random(), &code.code);
    let at_once = futures::future::join_all((0..12).map(|_| setting.enrol(&request))).await;
    let first = at_once[0].clone().unwrap();
    assert!(
        at_once.iter().all(|answer| *answer == Ok(first.clone())),
        "{at_once:?}"
    );
    // Also when the code's time is over.
    setting.clock.advance(365 * 24 * 3_600);
    assert_eq!(setting.enrol(&request).await, Ok(first.clone()));
    let setting = setting.restart(&[]).await;
    assert_eq!(setting.enrol(&request).await, Ok(first));
}

async fn a_code_is_good_for_one_device_and_one_content(setting: Setting) {
    let code = setting.code().await.code;
    let phone = Phone::random();
    setting
        .enrol(&setting.request(&phone, &code))
        .await
        .unwrap();
    let other = setting.request(&Phone::random(), &code);
    assert_eq!(setting.enrol(&other).await, Err(Code::CodeUsed));
    let mut changed = setting.request(&phone, &code);
    changed.escrow = Base64(vec![2; hashchain::ESCROW_LENGTH]);
    let chain = Hash(setting.chain.genesis_hash().0);
    phone.prove(chain, STUDY, None, &mut changed);
    assert_eq!(setting.enrol(&changed).await, Err(Code::CodeUsed));
    // Many phones at once: one wins.
    let code = setting.code().await.code;
    let requests: Vec<_> = (0..8)
        .map(|_| setting.request(&Phone::random(), &code))
        .collect();
    let answers =
        futures::future::join_all(requests.iter().map(|request| setting.enrol(request))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        1,
        "{answers:?}"
    );
    let losers = answers
        .iter()
        .filter(|answer| **answer == Err(Code::CodeUsed));
    assert_eq!(losers.count(), 7, "{answers:?}");
}

async fn unknown_revoked_and_expired_codes_are_told_apart(setting: Setting) {
    let phone = Phone::random();
    let expect = async |code: &str, expected: Code| {
        let terms = setting.post("/v1/code", &json!({ "code": code })).await;
        assert_eq!(code_of(terms).await, expected);
        assert_eq!(
            setting.enrol(&setting.request(&phone, code)).await,
            Err(expected)
        );
    };
    let mut mistyped = setting.code().await.code;
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == '7' { '8' } else { '7' });
    for malformed in ["", "hello", &mistyped, &"Z".repeat(10_000)] {
        expect(malformed, Code::MalformedCode).await;
    }
    let chain = Hash(setting.chain.genesis_hash().0);
    let unknown = EnrolmentCode::new(&[1; 13], &chain, None).reveal();
    expect(&unknown, Code::UnknownCode).await;
    // The secret of one code and the pin of another are no code that was issued.
    expect(
        "00000-00000-00000-00000-00000-00000-00000-00000",
        Code::UnknownCode,
    )
    .await;
    let revoked = setting.code().await;
    let answer = setting
        .admin_delete(&format!("/v1/admin/codes/{}", revoked.id))
        .await;
    assert_eq!(answer.status(), 204);
    expect(&revoked.code, Code::CodeRevoked).await;
    let expired = setting
        .issue(json!({ "participant": "P", "expires_in": 60 }))
        .await;
    setting.clock.advance(60);
    expect(&expired.code, Code::CodeExpired).await;
}

async fn what_proves_nothing_is_refused_and_the_code_stays_good(setting: Setting) {
    let code = setting.code().await.code;
    let (phone, thief) = (Phone::random(), Phone::random());
    let good = setting.request(&phone, &code);
    let chain = Hash(setting.chain.genesis_hash().0);

    let mut stolen = good.clone();
    stolen.device_key = thief.key();
    assert_eq!(setting.enrol(&stolen).await, Err(Code::InvalidProof));
    for (other_chain, study) in [(Hash([1; 32]), STUDY), (chain, StudyId(1))] {
        let elsewhere = phone.request(other_chain, study, &code);
        assert_eq!(setting.enrol(&elsewhere).await, Err(Code::InvalidProof));
    }
    // A proof that the chain would not take from this server, and one that only the chain would take.
    let mut elsewhere = good.clone();
    let auditor = development_auditor_key();
    let message = key_proof_message(&chain, STUDY, &Key([9; 32]), &auditor, None, &good);
    elsewhere.key_proof = phone.sign(&message);
    assert_eq!(setting.enrol(&elsewhere).await, Err(Code::InvalidKeyProof));
    // To another auditor than the chain names.
    let message = key_proof_message(&chain, STUDY, &server_key(), &Key([9; 32]), None, &good);
    elsewhere.key_proof = phone.sign(&message);
    assert_eq!(setting.enrol(&elsewhere).await, Err(Code::InvalidKeyProof));
    let mut later = good.clone();
    later.auditor_epoch = 1;
    phone.prove(chain, STUDY, None, &mut later);
    assert_eq!(setting.enrol(&later).await, Err(Code::OtherAuditorEpoch));
    let message = key_proof_message(&chain, STUDY, &server_key(), &auditor, None, &good);
    elsewhere.key_proof = phone.sign_oddly(&message);
    assert_eq!(setting.enrol(&elsewhere).await, Err(Code::InvalidKeyProof));
    let other_code = setting.code().await.code;
    let mut moved = setting.request(&phone, &other_code);
    moved.code.clone_from(&code);
    assert_eq!(setting.enrol(&moved).await, Err(Code::InvalidProof));
    let mut weak = good.clone();
    // The identity point: every signature by it can be made to verify.
    weak.device_key = Key(std::array::from_fn(|index| u8::from(index == 0)));
    assert_eq!(setting.enrol(&weak).await, Err(Code::WeakKey));
    for length in [0, 80, 82, 100_000] {
        let mut short = good.clone();
        short.escrow = Base64(vec![1; length]);
        assert_eq!(
            setting.enrol(&short).await,
            Err(Code::InvalidEscrow),
            "{length}"
        );
    }
    setting.enrol(&good).await.unwrap();
}

async fn a_key_is_enrolled_once(setting: Setting) {
    let (phone, _) = setting.enrolled().await;
    let code = setting.code().await.code;
    assert_eq!(
        setting.enrol(&setting.request(&phone, &code)).await,
        Err(Code::KeyInUse)
    );
    // By somebody else's hand, with another escrow: the chain knows it, this server does not.
    let stranger = Phone::random();
    setting.enrol_by_hand(STUDY, &stranger).await;
    let mut other = setting.request(&stranger, &code);
    other.escrow = Base64(vec![2; hashchain::ESCROW_LENGTH]);
    let chain = Hash(setting.chain.genesis_hash().0);
    stranger.prove(chain, STUDY, None, &mut other);
    assert_eq!(setting.enrol(&other).await, Err(Code::KeyInUse));
    setting
        .enrol(&setting.request(&Phone::random(), &code))
        .await
        .unwrap();
}

async fn what_the_server_has_forgotten_is_found_on_the_chain(setting: Setting) {
    // As if its database were an older copy.
    let phone = Phone::random();
    setting.enrol_by_hand(STUDY, &phone).await;
    let revoked = setting.code().await;
    let answer = setting
        .admin_delete(&format!("/v1/admin/codes/{}", revoked.id))
        .await;
    assert_eq!(answer.status(), 204);
    let refused = setting.enrol(&setting.request(&phone, &revoked.code)).await;
    assert_eq!(refused, Err(Code::CodeRevoked));

    let code = setting.code().await.code;
    let request = setting.request(&phone, &code);
    let enrolled = setting.enrol(&request).await.unwrap();
    let known = setting.chain.device_by_key(phone.key().0).await.unwrap();
    assert_eq!(known, Some(enrolled.device));
    setting.token(&phone, enrolled.device).await.unwrap();
    // From then on it is remembered as every other one.
    assert_eq!(setting.enrol(&request).await, Ok(enrolled));
    let other = setting.request(&Phone::random(), &code);
    assert_eq!(setting.enrol(&other).await, Err(Code::CodeUsed));
    let again = setting.code().await.code;
    let again = setting.enrol(&setting.request(&phone, &again)).await;
    assert_eq!(again, Err(Code::KeyInUse));
}

async fn a_closed_study_enrols_nobody_and_goes_on_when_it_is_open_again(setting: Setting) {
    let code = setting.code().await.code;
    let request = setting.request(&Phone::random(), &code);
    setting.on_chain("//Bob", calls::close_study(STUDY)).await;
    let refused = setting.enrol(&request).await;
    let shown = setting
        .get("/v1/studies/0")
        .await
        .json::<mhealth_api::StudyTerms>()
        .await
        .unwrap();
    setting.on_chain("//Bob", calls::reopen_study(STUDY)).await;
    assert_eq!(refused, Err(Code::StudyClosed));
    assert!(!shown.open);
    setting.enrol(&request).await.unwrap();
}

async fn a_successor_goes_on_from_the_last_trusted_entry(setting: Setting) {
    let (_, old) = setting.enrolled().await;
    let not_yet = json!({ "participant": "P", "predecessor": old.device });
    let answer = setting.admin_post("/v1/admin/codes", not_yet.clone()).await;
    assert_eq!(code_of(answer).await, Code::InvalidState);
    setting
        .on_chain("//Charlie", calls::retire(old.device, LastTrusted::Latest))
        .await;
    let answer = setting.admin_post("/v1/admin/codes", not_yet.clone()).await;
    assert_eq!(
        code_of(answer).await,
        Code::InvalidState,
        "it waits for a veto"
    );
    setting
        .on_chain("//Bob", calls::retire(old.device, LastTrusted::Latest))
        .await;

    let code = setting.issue(not_yet.clone()).await.code;
    let predecessor = setting.terms(&code).await.predecessor.unwrap();
    assert_eq!(
        (predecessor.device, predecessor.head),
        (old.device, old.genesis)
    );
    let phone = Phone::random();
    let chain = Hash(setting.chain.genesis_hash().0);
    let mut request = setting.request(&phone, &code);
    // It agreed to be a first device, not to follow another.
    assert_eq!(setting.enrol(&request).await, Err(Code::InvalidKeyProof));
    phone.prove(chain, STUDY, Some(old.device), &mut request);
    let new = setting.enrol(&request).await.unwrap();
    let device = setting.chain.device(new.device).await.unwrap().unwrap();
    assert_eq!(device.predecessor, Some(old.device));

    let answer = setting.admin_post("/v1/admin/codes", not_yet).await;
    assert_eq!(code_of(answer).await, Code::InvalidState);
    let nobody = json!({ "participant": "P", "predecessor": u32::MAX });
    let answer = setting.admin_post("/v1/admin/codes", nobody).await;
    assert_eq!(code_of(answer).await, Code::UnknownDevice);
}

async fn an_enrolment_that_was_not_written_down_is_found_on_the_chain(setting: Setting) {
    let code = setting.code().await.code;
    let request = setting.request(&Phone::random(), &code);
    let enrolled = setting.enrol(&request).await.unwrap();
    // As if the process had been killed between the chain and the database.
    for statement in [
        "UPDATE orders SET state = 0, outcome = NULL",
        "UPDATE enrolments SET device = NULL, genesis = NULL, block_number = NULL, block_hash = NULL, enrolled_at = NULL",
    ] {
        sqlx::query(statement).execute(setting.database.pool()).await.unwrap();
    }
    let setting = setting.restart(&[]).await;
    let again = setting.enrol(&request).await.unwrap();
    assert_eq!(
        (again.device, again.genesis),
        (enrolled.device, enrolled.genesis)
    );
    assert!(again.block.number >= enrolled.block.number);
}

async fn what_the_chain_refuses_is_told_and_can_be_tried_again(setting: Setting) {
    // The sponsor takes the role away while a code is out.
    let code = setting.code().await.code;
    let request = setting.request(&Phone::random(), &code);
    let charlie = mhealth_chain_client::Account::from_secret_uri("//Charlie")
        .unwrap()
        .id();
    setting
        .on_chain("//Bob", calls::remove_authentication_server(STUDY, charlie))
        .await;
    let refused = setting.post("/v1/enrol", &request).await;
    setting
        .on_chain("//Bob", calls::add_authentication_server(STUDY, charlie))
        .await;
    let problem = crate::support::problem(refused).await;
    assert_eq!(
        problem.known_code(),
        Some(Code::RefusedByChain),
        "{problem}"
    );
    setting.enrol(&request).await.unwrap();
}

async fn messages_with_unknown_or_missing_members_are_refused(setting: Setting) {
    let request = setting.request(&Phone::random(), &setting.code().await.code);
    let good = serde_json::to_value(&request).unwrap();
    for member in [
        "code",
        "device_key",
        "secret_commitment",
        "escrow",
        "auditor_epoch",
        "participant",
        "proof",
        "key_proof",
    ] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(member);
        assert_eq!(
            code_of(setting.post("/v1/enrol", &bad).await).await,
            Code::InvalidMessage,
            "{member}"
        );
        bad = good.clone();
        bad[member] = json!("0x0");
        if member != "code" {
            assert_eq!(
                code_of(setting.post("/v1/enrol", &bad).await).await,
                Code::InvalidMessage,
                "{member}"
            );
        }
    }
    let mut bad = good;
    bad["name"] = json!("Jane");
    assert_eq!(
        code_of(setting.post("/v1/enrol", &bad).await).await,
        Code::InvalidMessage
    );
}

/// Good messages with bytes changed, cut out, doubled and swapped, in an order that a seed fixes.
async fn no_body_makes_the_server_fail(setting: Setting) {
    let setting = setting.restart(&["--requests-per-second=100000"]).await;
    let (phone, enrolled) = setting.enrolled().await;
    let code = setting.code().await.code;
    let good = [
        (
            "/v1/code",
            serde_json::to_vec(&json!({ "code": code })).unwrap(),
        ),
        (
            "/v1/enrol",
            serde_json::to_vec(&setting.request(&Phone::random(), &code)).unwrap(),
        ),
        (
            "/v1/token",
            serde_json::to_vec(&json!({ "device": enrolled.device })).unwrap(),
        ),
    ];
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..600 {
        let (path, bytes) = &good[round % good.len()];
        let mut body = bytes.clone();
        for _ in 0..random.random_range(1..4) {
            if body.is_empty() {
                break;
            }
            let at = random.random_range(0..body.len());
            let to = random.random_range(at..body.len().min(at + 40));
            match random.random_range(0..4) {
                0 => body[at] = random.random(),
                1 => drop(body.drain(at..to)),
                2 => body
                    .splice(at..at, bytes[..at.min(bytes.len())].to_vec())
                    .for_each(drop),
                _ => body[at..=to].reverse(),
            }
        }
        let request = setting
            .http
            .post(setting.url(path))
            .header("content-type", "application/json")
            .header(DPOP, phone.proof(&setting.proof_claims()));
        let answer = request.body(body.clone()).send().await.unwrap();
        if !answer.status().is_success() {
            let code = code_of(answer).await;
            assert!(
                code.status() < 500,
                "{code} after {}",
                String::from_utf8_lossy(&body)
            );
        }
    }
    assert_eq!(setting.get("/readyz").await.status(), 200);
}

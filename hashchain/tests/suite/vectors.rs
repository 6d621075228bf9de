// SPDX-License-Identifier: Apache-2.0

//! Every vector of the file, valid and invalid, each invalid one for the reason that it names.

use hashchain::encoding::{encode, hash};
use hashchain::{
    data_digest, escrow_commitment, genesis, secret_commitment, Coverage, Enrolment, LinkHash,
    Native, Reason, Refusal, Sealer, Verifier,
};

use crate::vector_file::{ChainGroup, ChainTest, EncodingTest, Expected, VectorFile};

#[test]
fn every_vector_is_judged_as_it_says() {
    let file = VectorFile::open();
    let mut ran = 0;
    for test in file.encodings() {
        encodes_as_the_vector_says(test);
        ran += 1;
    }
    for (group, test) in file.chains() {
        let context = format!("test {}: {}", test.tc_id, test.comment);
        match test.result {
            Expected::Valid => accepts(group, test, &context),
            Expected::Invalid => refuses_for_the_named_reason(group, test, &context),
        }
        ran += 1;
    }
    assert!(ran > 0, "an empty file proves nothing");
    assert_eq!(ran, file.number_of_tests);
}

#[test]
fn every_genesis_follows_from_its_enrolment() {
    for (group, test) in VectorFile::open().chains() {
        let device = &group.device;
        let secret_commitment = secret_commitment::<Native>(&group.secret());
        assert_eq!(
            secret_commitment,
            device.secret_commitment.array(),
            "test {}",
            test.tc_id
        );
        let predecessor = device.predecessor.array();
        let made = genesis::<Native>(&Enrolment {
            chain: &device.chain.array(),
            study: hashchain::StudyId(device.study),
            device_key: &device.device_key.array(),
            predecessor: (predecessor != [0; 32]).then_some(LinkHash(predecessor)),
            secret_commitment: &secret_commitment,
            escrow_commitment: &escrow_commitment::<Native>(&device.escrow.0),
        });
        assert_eq!(made, group.genesis(), "test {}", test.tc_id);
    }
}

fn encodes_as_the_vector_says(test: &EncodingTest) {
    let parts: Vec<&[u8]> = test.parts.iter().map(|part| part.0.as_slice()).collect();
    let same = encode(&test.label, &parts) == test.encoding.0
        && hash::<Native>(&test.label, &parts)[..] == test.hash.0;
    assert_eq!(
        same,
        test.result == Expected::Valid,
        "test {}: {}",
        test.tc_id,
        test.comment
    );
}

fn accepts(group: &ChainGroup, test: &ChainTest, context: &str) {
    let coverage =
        with_secret(group, test).unwrap_or_else(|refusal| panic!("{context}: {refusal}"));
    assert_eq!(coverage.entries, test.entries.len() as u64, "{context}");
    assert!(coverage.is_complete(), "{context}");

    // What the device of this library makes of the same envelopes is the same, byte for byte.
    let mut sealer = Sealer::begin(group.genesis(), &group.secret());
    for given in &test.entries {
        let made = sealer.append(&data_digest::<Native>(&given.envelope.0));
        assert_eq!(made, given.entry(), "{context}");
    }
    assert_eq!(sealer.head().0, test.head.array(), "{context}");
}

fn refuses_for_the_named_reason(group: &ChainGroup, test: &ChainTest, context: &str) {
    let caught_by = test
        .caught_by
        .as_deref()
        .expect("an invalid vector names its reason");
    let refusal = with_secret(group, test).expect_err(context);
    assert_eq!(refusal.reason().as_str(), caught_by, "{context}: {refusal}");

    // Without the secret, the same is seen, except what only the secret shows.
    let entries = judge_entries(Verifier::without_secret(group.genesis()), test);
    match refusal.reason() {
        Reason::Tag => assert!(entries.is_ok(), "{context}: anybody would see it"),
        Reason::Link | Reason::Digest | Reason::Signature => {
            let without = judge(Verifier::without_secret(group.genesis()), group, test);
            assert_eq!(without, Err(refusal), "{context}");
        }
    }
}

fn with_secret(group: &ChainGroup, test: &ChainTest) -> Result<Coverage, Refusal> {
    judge(
        Verifier::with_secret(group.genesis(), &group.secret()),
        group,
        test,
    )
}

fn judge(
    mut verifier: Verifier,
    group: &ChainGroup,
    test: &ChainTest,
) -> Result<Coverage, Refusal> {
    // As an auditor would, who looks at all of it: what counts is the first refusal.
    let head = LinkHash(test.head.array());
    for entry in &test.entries {
        let _ = verifier.check(&entry.entry(), Some(&entry.envelope.0));
    }
    let _ = verifier.check_signature(
        &group.device.device_key.array(),
        &head,
        &test.signature.array(),
    );
    verifier.finish(&head)
}

fn judge_entries(mut verifier: Verifier, test: &ChainTest) -> Result<Coverage, Refusal> {
    for entry in &test.entries {
        verifier.check(&entry.entry(), Some(&entry.envelope.0))?;
    }
    verifier.finish(&LinkHash(test.head.array()))
}

// SPDX-License-Identifier: Apache-2.0

//! The bytes of the worked example in `docs/protocol/hashchain.md` are those of the vector that it names.

use std::collections::BTreeMap;

use hashchain::encoding::encode;
use hashchain::{
    data_digest, escrow_commitment, head_message, secret_commitment, Native, RatchetKey, Sealer,
};

use crate::vector_file::VectorFile;

#[test]
fn the_worked_example_is_right_to_the_byte() {
    let document = std::fs::read_to_string("../docs/protocol/hashchain.md")
        .expect("the specification stands in docs/");
    let mut printed: BTreeMap<&str, &str> = document
        .lines()
        .filter_map(|line| line.rsplit_once(" = "))
        .filter(|(_, value)| value.len() >= 2 && value.chars().all(|c| c.is_ascii_hexdigit()))
        .collect();
    for (name, value) in example() {
        assert_eq!(
            printed.remove(name.as_str()),
            Some(hex::encode(value).as_str()),
            "{name}"
        );
    }
    assert_eq!(printed, BTreeMap::new(), "printed, but not checked");
}

/// Test 8 of the vectors, by name.
fn example() -> Vec<(String, Vec<u8>)> {
    let file = VectorFile::shipped();
    let (group, test) = file
        .chains()
        .find(|(_, test)| test.tc_id == 8)
        .expect("the vectors have a test 8");
    let (device, secret) = (&group.device, group.secret());
    let study = device.study.to_be_bytes();
    let in_secret = secret_commitment::<Native>(&secret);
    let in_escrow = escrow_commitment::<Native>(&device.escrow.0);
    let mut named: Vec<(String, Vec<u8>)> = [
        ("chain", device.chain.0.clone()),
        ("study", study.to_vec()),
        ("device key", device.device_key.0.clone()),
        ("predecessor", device.predecessor.0.clone()),
        ("S", group.secret.0.clone()),
        ("escrow", device.escrow.0.clone()),
        ("enc(\"secret\", S)", encode("secret", &[secret.expose()])),
        ("H(\"secret\", S)", in_secret.to_vec()),
        ("H(\"escrow\", escrow)", in_escrow.to_vec()),
        (
            "enc(\"genesis\", …)",
            encode(
                "genesis",
                &[
                    &device.chain.0,
                    &study,
                    &device.device_key.0,
                    &device.predecessor.0,
                    &in_secret,
                    &in_escrow,
                ],
            ),
        ),
        ("h_0", device.genesis.0.clone()),
        ("enc(\"next\")", encode("next", &[])),
        (
            "K_2",
            RatchetKey::at(&secret, 2)
                .expect("a small index")
                .expose()
                .to_vec(),
        ),
        ("h_5", test.head.0.clone()),
        (
            "enc(\"head\", h_5)",
            head_message(&hashchain::LinkHash(test.head.array())).to_vec(),
        ),
        ("σ", test.signature.0.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();

    let mut sealer = Sealer::begin(group.genesis(), &secret);
    for given in &test.entries[..2] {
        let key = sealer.key().expose().to_vec();
        let entry = sealer.append(&data_digest::<Native>(&given.envelope.0));
        let (i, before) = (entry.sequence, entry.sequence - 1);
        let (n, previous, digest) = (i.to_be_bytes(), entry.previous.0, entry.digest.0);
        let tag = entry.tag.0;
        named.extend([
            (format!("envelope_{i}"), given.envelope.0.clone()),
            (
                format!("enc(\"data\", envelope_{i})"),
                encode("data", &[&given.envelope.0]),
            ),
            (format!("d_{i}"), digest.to_vec()),
            (format!("K_{before}"), key),
            (
                format!("enc(\"tag\", {i}, h_{before}, d_{i})"),
                encode("tag", &[&n, &previous, &digest]),
            ),
            (format!("t_{i}"), tag.to_vec()),
            (
                format!("enc(\"link\", {i}, h_{before}, d_{i}, t_{i})"),
                encode("link", &[&n, &previous, &digest, &tag]),
            ),
            (format!("h_{i}"), entry.hash.0.to_vec()),
        ]);
    }
    named
}

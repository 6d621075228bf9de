// SPDX-License-Identifier: Apache-2.0

//! The vectors that come out the same in every language, and false ones that do not. The same tests are in the packages.

use mhealth_sdk::checks::{check_chain, hash_parts, ChainedEntry, Origin, Reader};
use serde_json::{json, Value};

fn file(path: &str) -> Value {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the file is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn chains() -> Value {
    file("hashchain/tests/vectors/hashchain-v1.json")
}

fn proofs() -> Value {
    file("evidence/tests/vectors/head-proofs-v1.json")
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect(name)
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).expect(name)
}

fn encoding_holds(test: &Value) -> bool {
    let parts = list(test, "parts").iter();
    let parts: Vec<_> = parts
        .map(|part| hex::decode(part.as_str().expect("text")).expect("digits"))
        .collect();
    let made = hash_parts(text(test, "label"), &parts);
    let same = made.encoding == bytes(test, "encoding") && made.hash == bytes(test, "hash");
    same == (test["result"] == "valid")
}

fn chain_holds(group: &Value, test: &Value) -> bool {
    let device = &group["device"];
    let origin = Origin {
        chain: bytes(device, "chain"),
        study: device["study"].as_u64().expect("a number") as u32,
        device_key: bytes(device, "deviceKey"),
        predecessor: bytes(device, "predecessor"),
        escrow: bytes(device, "escrow"),
        secret: bytes(group, "secret"),
    };
    let entries: Vec<_> = list(test, "entries")
        .iter()
        .map(|entry| ChainedEntry {
            sequence: entry["sequence"].as_u64().expect("a number"),
            previous: bytes(entry, "previous"),
            envelope: bytes(entry, "envelope"),
            digest: bytes(entry, "digest"),
            tag: bytes(entry, "tag"),
            hash: bytes(entry, "hash"),
        })
        .collect();
    match check_chain(
        &origin,
        &entries,
        &bytes(test, "head"),
        &bytes(test, "signature"),
    ) {
        Ok(count) => test["result"] == "valid" && count == entries.len() as u64,
        Err(error) => {
            test["result"] == "invalid"
                && error.code() == format!("wrong_{}", text(test, "caughtBy"))
        }
    }
}

fn step_holds(reader: &mut Reader, step: &Value) -> bool {
    match reader.check(&bytes(step, "proof")) {
        Ok(shown) => step["shown"] == json!(shown),
        Err(error) => step["refused"] == error.code(),
    }
}

/// One claim a case, in the order of the files.
fn cases(chains: &Value, proofs: &Value) -> Vec<bool> {
    let mut outcomes = Vec::new();
    for group in list(chains, "testGroups") {
        outcomes.extend(list(group, "tests").iter().map(|test| {
            if group["type"] == "Encoding" {
                encoding_holds(test)
            } else {
                chain_holds(group, test)
            }
        }));
    }
    for chain in list(proofs, "chains") {
        let device = chain["device"].as_u64().expect("a number") as u32;
        let mut reader = Reader::new(&bytes(chain, "genesis"), device).expect("32 bytes");
        outcomes.extend(
            list(chain, "steps")
                .iter()
                .map(|step| step_holds(&mut reader, step)),
        );
    }
    outcomes
}

fn failed(outcomes: &[bool]) -> usize {
    outcomes.iter().filter(|held| !**held).count()
}

#[test]
fn every_case_comes_out_as_it_says() {
    let (chains, proofs) = (chains(), proofs());
    let steps: usize = list(&proofs, "chains")
        .iter()
        .map(|chain| list(chain, "steps").len())
        .sum();
    let expected = chains["numberOfTests"].as_u64().expect("a number") as usize + steps;
    let outcomes = cases(&chains, &proofs);
    assert_eq!(outcomes, vec![true; expected]);
    assert!(expected > 0);
    eprintln!("vectors: {} cases hold", outcomes.len());
}

#[test]
fn a_false_case_of_each_kind_is_seen() {
    for kind in 0..list(&chains(), "testGroups").len() {
        let mut chains = chains();
        let test = &mut chains["testGroups"][kind]["tests"][0];
        let other = if test["result"] == "valid" {
            "invalid"
        } else {
            "valid"
        };
        test["result"] = other.into();
        assert_eq!(failed(&cases(&chains, &Value::Null)), 1);
    }
    for kind in 0..list(&proofs(), "chains").len() {
        let mut proofs = proofs();
        let steps = proofs["chains"][kind]["steps"]
            .as_array_mut()
            .expect("a list");
        let step = steps.iter_mut().find(|step| step["shown"].is_object());
        step.expect("one shows something")["shown"]["length"] = 0.into();
        assert_eq!(failed(&cases(&Value::Null, &proofs)), 1);
    }
}

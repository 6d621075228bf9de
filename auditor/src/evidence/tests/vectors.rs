// SPDX-License-Identifier: Apache-2.0

//! The vectors for whoever writes another verifier: files, and what must be said of each.

use serde_json::{json, Value};

use super::*;

const FILE: &str = "tests/vectors/evidence-v2.json";
/// Set to write the vectors anew, after a change of the format that is meant.
const WRITE: &str = "WRITE_VECTORS";

/// What a verifier must say of a file: what it claims, or why it is refused.
fn judged(bytes: &[u8], genesis: [u8; 32], checkpoints: &[Checkpoint]) -> Value {
    match Evidence::from_bytes(bytes).map(|evidence| verify(&evidence, genesis, checkpoints)) {
        Err(error) => json!({ "unreadable": format!("{error:?}") }),
        Ok(Err(refusal)) => json!({ "refused": worded(refusal) }),
        Ok(Ok(claims)) => json!({ "claims": claims }),
    }
}

/// The words of the vectors, in which numbers are bare.
fn worded(refusal: Refusal) -> String {
    match refusal {
        Refusal::Study(study) => format!("Study({study})"),
        Refusal::Device { device, fault } => {
            format!("Device {{ device: {device}, fault: {fault:?} }}")
        }
        Refusal::Untrusted(it) => format!("Untrusted({it})"),
        Refusal::NotFromCheckpoint(it) => format!("NotFromCheckpoint({it})"),
        Refusal::AnotherHistory(it) => format!("AnotherHistory({it})"),
        other => format!("{other:?}"),
    }
}

fn case(name: &str, bytes: &[u8], genesis: [u8; 32]) -> Value {
    case_with(name, bytes, genesis, &[])
}

fn case_with(name: &str, bytes: &[u8], genesis: [u8; 32], checkpoints: &[Checkpoint]) -> Value {
    let words: Vec<String> = checkpoints.iter().map(Checkpoint::to_string).collect();
    json!({
        "name": name,
        "genesis": hex::encode(genesis),
        "checkpoints": words,
        "file": hex::encode(bytes),
        "expected": judged(bytes, genesis, checkpoints),
    })
}

/// Seals contents that [`Evidence::to_bytes`] would not write.
fn sealed(contents: &[u8]) -> Vec<u8> {
    [contents, &Native::sha256(contents)].concat()
}

fn cases() -> Vec<Value> {
    let made = made();
    let genesis = made.genesis;
    let whole = made.evidence.to_bytes();
    let contents = &whole[..whole.len() - 32];
    let mut cases = vec![case("a study with everything in the file", &whole, genesis)];
    let mut changed = |name: &str, change: &dyn Fn(&mut Evidence)| {
        let mut evidence = made.evidence.clone();
        change(&mut evidence);
        cases.push(case(name, &evidence.to_bytes(), genesis));
    };
    changed("digests and tags of one device only", &|it| {
        it.study = None;
        it.devices[0].signature = None;
        it.devices[0].envelopes = None;
        it.devices[0].secret = None;
    });
    changed("a handover is left out", &|it| {
        it.finality.handovers.remove(0);
    });
    changed("the last handover is left out", &|it| {
        it.finality.handovers.truncate(1);
    });
    changed("a descendant is left out", &|it| {
        it.finality.descendants.clear()
    });
    changed("an entry is left out", &|it| {
        it.devices[0].entries.truncate(2);
    });
    changed("two entries are exchanged", &|it| {
        it.devices[0].entries.swap(0, 1);
    });
    changed("another envelope", &|it| {
        it.devices[0].envelopes = Some([[1, 0], [1, 1], [1, 3]].into_iter().collect());
    });
    changed("another signature", &|it| {
        it.devices[0].signature = Some([7; 64]);
    });
    changed("a signature that only the chain's rule accepts", &|it| {
        it.devices[0].signature = Some(made.odd_signature);
    });
    changed("another secret", &|it| {
        it.devices[0].secret = Some([7; 32]);
    });
    changed("another device's number", &|it| {
        it.study = None;
        it.devices[0].device = DeviceId(0);
    });
    changed("another study", &|it| it.study = Some(StudyId(4)));
    changed("the study's device is left out", &|it| it.devices.clear());
    changed("no state proof", &|it| it.finality.nodes = Blobs::default());
    changed("no first authorities", &|it| {
        it.start = Start::Genesis(Blobs::default());
    });
    cases.extend(checkpoint_cases());
    let other = made_on::<LayoutV1<Blake2Hasher>>();
    let bytes = other.evidence.to_bytes();
    cases.push(case("a chain of state version 1", &bytes, other.genesis));
    cases.push(case("another chain", &whole, [0x77; 32]));
    let mut flipped = whole.clone();
    flipped[500] ^= 1;
    cases.push(case("a flipped bit", &flipped, genesis));
    for (name, version) in [("an earlier version", 1), ("a later version", 3)] {
        let mut other = contents.to_vec();
        other[16] = version;
        cases.push(case(name, &sealed(&other), genesis));
    }
    let longer = [contents, &[0]].concat();
    cases.push(case("a byte too many", &sealed(&longer), genesis));
    let shorter = &contents[..contents.len() - 1];
    cases.push(case("a byte too few", &sealed(shorter), genesis));
    cases.push(case("no evidence at all", b"%PDF-1.7", genesis));
    cases
}

/// A chain whose authorities were changed by force.
fn checkpoint_cases() -> Vec<Value> {
    let forced = checkpoints::forced();
    let bytes = forced.evidence.to_bytes();
    let with = |name: &str, checkpoints: &[Checkpoint]| {
        case_with(name, &bytes, forced.genesis, checkpoints)
    };
    let trusted = forced.checkpoint;
    let mut lacking = forced.evidence.clone();
    lacking.start = Start::Genesis(Blobs::default());
    vec![
        with("after a change by force, with its checkpoint", &[trusted]),
        with("after a change by force, without a checkpoint", &[]),
        with(
            "another block is the checkpoint",
            &[Checkpoint {
                hash: [7; 32],
                ..trusted
            }],
        ),
        with(
            "a newer checkpoint than the file's",
            &[trusted, forced.newer],
        ),
        case_with(
            "a file from the first block, for a reader with a checkpoint",
            &lacking.to_bytes(),
            forced.genesis,
            &[trusted],
        ),
    ]
}

/// The vectors' files, each with the genesis hash to expect and the checkpoints of its reader.
pub(super) fn files() -> Vec<(Vec<u8>, [u8; 32], Vec<Checkpoint>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let file = |case: &Value| {
        let checkpoints = case["checkpoints"].as_array().unwrap().iter();
        let genesis = hex::decode(text(&case["genesis"])).unwrap();
        (
            hex::decode(text(&case["file"])).unwrap(),
            genesis.try_into().unwrap(),
            checkpoints.map(|it| text(it).parse().unwrap()).collect(),
        )
    };
    cases().iter().map(file).collect()
}

#[test]
fn the_vectors_say_what_this_reader_does() {
    let made = json!({
        "format": "mhealth-evidence",
        "version": VERSION,
        "cases": cases(),
    });
    if std::env::var_os(WRITE).is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(FILE, text).unwrap();
    }
    let stored: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    assert_eq!(stored, made, "{WRITE}=1 writes them anew");
    let is = |kind: &str| {
        let cases = stored["cases"].as_array().unwrap();
        let of_kind = cases
            .iter()
            .filter(|case| case["expected"].get(kind).is_some());
        of_kind.count()
    };
    assert_eq!((is("claims"), is("refused"), is("unreadable")), (5, 17, 7));
}

// SPDX-License-Identifier: Apache-2.0

//! Metadata that no honest runtime gives.

use codec::{Compact, Encode};
use mhealth_chain_client::METADATA_TYPES;

use super::*;

const KNOWN: &[u8] = include_bytes!("../../../../chain-client/metadata/mhealth.scale");

async fn read(metadata: Vec<u8>) -> Result<Runtime, String> {
    Runtime::by_metadata([7; 32], metadata, H256::zero()).await
}

async fn why(metadata: Vec<u8>) -> String {
    read(metadata).await.err().expect("it is not read")
}

/// Nothing: an empty list, no value, not deprecated.
const NOTHING: u8 = 0;

fn type_number(number: usize) -> Compact<u32> {
    Compact(number as u32)
}

fn pallet(name: &str, constants: Vec<Vec<u8>>) -> Vec<u8> {
    let constants = [type_number(constants.len()).encode(), constants.concat()].concat();
    // After its name: storage, calls, events. After its constants: errors, associated types, functions; index, words about it.
    [
        name.encode(),
        vec![NOTHING; 3],
        constants,
        vec![NOTHING; 3],
        vec![0, NOTHING, NOTHING],
    ]
    .concat()
}

/// Metadata with so many types, each a list of the next, and the last of this one: in version 16, of a runtime that stores nothing and has
/// one function, which gives the first type.
fn lists_of_lists(types: usize, end: usize) -> Vec<u8> {
    let lists = (0..types).map(|number| {
        // Its number; path and parameters; a list of what; words about it.
        let list = [NOTHING, NOTHING, 2];
        let next = if number + 1 == types { end } else { number + 1 };
        let of = type_number(next).encode();
        [&type_number(number).encode()[..], &list, &of, &[NOTHING]].concat()
    });
    let lists: Vec<Vec<u8>> = lists.collect();
    let version = ("mhealth", "mhealth", 1_u32, 100_u32, 1_u32).encode();
    let version = [version, vec![NOTHING], 1_u32.encode()].concat();
    let version = ("Version", type_number(0), version, NOTHING, NOTHING).encode();
    let function = ("entries", NOTHING, type_number(0), NOTHING, NOTHING).encode();
    [
        b"meta\x10".to_vec(),
        type_number(types).encode(),
        lists.concat(),
        vec![2 << 2],
        pallet("System", vec![version]),
        pallet("ClientHashchain", vec![]),
        // Transactions: version 4; types of addresses, calls and signatures; nothing else.
        vec![1 << 2, 4, 0, 0, 0, NOTHING, NOTHING],
        // One function of one interface; words about the interface, its version.
        vec![1 << 2],
        "HashchainApi".encode(),
        vec![1 << 2],
        function,
        vec![NOTHING, 1 << 2, NOTHING],
        // Types of all calls, events and errors; nothing of its own.
        vec![0, 0, 0, NOTHING],
    ]
    .concat()
}

/// The known metadata, in which an item has another name.
fn without(item: &str) -> Vec<u8> {
    let mut metadata = KNOWN.to_vec();
    let places = (0..KNOWN.len()).filter(|place| KNOWN[*place..].starts_with(item.as_bytes()));
    for place in places {
        metadata[place] = b'X';
    }
    metadata
}

#[tokio::test]
async fn metadata_with_a_type_that_is_not_there_breaks_no_audit() {
    assert_eq!(
        why(lists_of_lists(3, 3)).await,
        "its metadata breaks what reads it"
    );
}

#[tokio::test]
async fn types_within_types_are_read_up_to_a_bound() {
    for types in [1, 3, METADATA_TYPES] {
        let runtime = read(lists_of_lists(types, types - 1)).await;
        let runtime = runtime.unwrap_or_else(|why| panic!("{types}: {why}"));
        assert_eq!(runtime.reader.spec_version(), 100);
        assert_eq!(runtime.otherwise, READ_AS_KNOWN, "it stores nothing");
    }
    for types in [METADATA_TYPES + 1, 100_000] {
        let why = why(lists_of_lists(types, types - 1)).await;
        assert!(why.contains("too many types"), "{types}: {why}");
    }
}

#[tokio::test]
async fn what_is_no_metadata_is_said() {
    // As long as its first bytes say if they are read as a length. One way in which subxt reads metadata has no end for it.
    let mut no_metadata = b"meta".to_vec();
    no_metadata.resize(0x656d >> 2, 0xff);
    for metadata in [vec![], b"meta".to_vec(), no_metadata] {
        let why = why(metadata).await;
        assert!(why.contains("cannot be read"), "{why}");
    }
}

#[tokio::test]
async fn a_runtime_that_stores_something_otherwise_is_seen_where_that_is_read() {
    let known = read(KNOWN.to_vec()).await.expect("it is known");
    assert!(known.otherwise.is_empty());
    for (item, after_each) in [("CurrentSetId", false), ("LastRuntimeUpgrade", true)] {
        let runtime = read(without(item)).await.expect("it is read");
        let why = runtime.stores_otherwise(&READ_AS_KNOWN);
        assert!(why.is_some_and(|why| why.contains(item)), "{item}");
        let why = runtime.stores_otherwise(&READ_AFTER_EACH);
        assert_eq!(why.is_some(), after_each, "{item}");
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Headers, tries and roots, compared with the crates of the chain's nodes.

mod support;

use codec::{DecodeAll, Encode};
use hashchain::DeviceId;
use mhealth_evidence::{
    blake2_256, conflicts_key, decode_exactly, device_key, genesis_hash_key, head_page_key,
    next_device_key, ordered_root, set_key, Blobs, Digest, DigestItem, Header, State,
    AUTHORITIES_KEY, HEADS_PER_PAGE, JOURNAL_ENGINE,
};
use proptest::prelude::*;
use sp_core::{Blake2Hasher, H256};
use sp_crypto_hashing::{twox_128, twox_64};
use sp_runtime::generic;
use sp_trie::{LayoutV0, LayoutV1, TrieConfiguration};
use support::*;

#[test]
fn keys_are_those_of_the_chain() {
    let item = |pallet: &str, item: &str| {
        [twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
    };
    let under = |item: Vec<u8>, number: u32| {
        let number = number.to_le_bytes();
        [&item[..], &twox_64(&number), &number].concat()
    };
    let ours = |name| item("ClientHashchain", name);
    assert_eq!(AUTHORITIES_KEY.to_vec(), item("Grandpa", "Authorities"));
    assert_eq!(set_key(), item("Grandpa", "CurrentSetId"));
    assert_eq!(genesis_hash_key(), under(item("System", "BlockHash"), 0));
    assert_eq!(next_device_key(), ours("NextDeviceId"));
    let device = DeviceId(70_001);
    assert_eq!(device_key(device), under(ours("Devices"), 70_001));
    assert_eq!(conflicts_key(device), under(ours("Conflicts"), 70_001));
    let page = (70_001u32 / HEADS_PER_PAGE).to_le_bytes();
    assert_eq!(
        head_page_key(device),
        [&ours("HeadPages")[..], &page].concat()
    );
}

fn digest_item() -> impl Strategy<Value = generic::DigestItem> {
    let data = || prop::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        (any::<[u8; 4]>(), data()).prop_map(|(name, it)| generic::DigestItem::PreRuntime(name, it)),
        (any::<[u8; 4]>(), data()).prop_map(|(name, it)| generic::DigestItem::Consensus(name, it)),
        (any::<[u8; 4]>(), data()).prop_map(|(name, it)| generic::DigestItem::Seal(name, it)),
        data().prop_map(generic::DigestItem::Other),
        Just(generic::DigestItem::RuntimeEnvironmentUpdated),
    ]
}

prop_compose! {
    fn node_header()(
        hashes in any::<[[u8; 32]; 3]>(),
        number in prop_oneof![0..70u32, any::<u32>()],
        logs in prop::collection::vec(digest_item(), 0..5),
    ) -> NodeHeader {
        NodeHeader {
            parent_hash: H256(hashes[0]),
            number,
            state_root: H256(hashes[1]),
            extrinsics_root: H256(hashes[2]),
            digest: generic::Digest { logs },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_header_has_the_bytes_the_hash_and_the_items_that_a_node_gives_it(header in node_header()) {
        let ours = read(&header);
        prop_assert_eq!(ours.encode(), header.encode());
        prop_assert_eq!(H256(ours.hash()), header.hash());
        prop_assert_eq!(&written(&ours), &header);
        let items: Vec<DigestItem<'_>> = ours.digest.items().collect();
        prop_assert_eq!(items.len(), header.digest.logs.len());
        prop_assert_eq!(&Digest::new(items), &ours.digest);
    }

    #[test]
    fn bytes_are_a_header_for_both_or_for_none(
        header in node_header(),
        flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = header.encode();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for bytes in [&bytes[..], &bytes[..end.index(bytes.len())], &[&bytes[..], &[0]].concat()] {
            let ours = decode_exactly::<Header>(bytes).ok();
            let theirs = NodeHeader::decode_all(&mut &bytes[..]).ok();
            prop_assert_eq!(ours.map(|it| it.encode()), theirs.map(|it| it.encode()));
        }
    }

    #[test]
    fn byte_strings_are_read_and_written_as_vectors_of_vectors(
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..70),
    ) {
        let blobs: Blobs = strings.iter().collect();
        prop_assert_eq!(blobs.encode(), strings.encode());
        prop_assert_eq!(decode_exactly::<Blobs>(&strings.encode()).unwrap(), blobs.clone());
        prop_assert!(blobs.iter().eq(strings.iter().map(Vec::as_slice)));
        prop_assert_eq!(blobs.len(), strings.len());
    }

    #[test]
    fn a_trie_is_read_as_nodes_read_it_whatever_is_left_out(
        values in prop::collection::btree_map(
            prop::collection::vec(prop_oneof![Just(0u8), Just(16), Just(1), any::<u8>()], 0..6),
            prop::collection::vec(any::<u8>(), 0..50),
            0..40,
        ),
        asked in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), Just(16), Just(1), any::<u8>()], 0..6), 0..10),
        kept in prop::collection::vec(prop::bool::weighted(0.9), 80),
        newer in any::<bool>(),
    ) {
        let values: Vec<(Vec<u8>, Vec<u8>)> = values.into_iter().collect();
        let (root, nodes) = match newer {
            false => trie::<LayoutV0<Blake2Hasher>>(&values),
            true => trie::<LayoutV1<Blake2Hasher>>(&values),
        };
        let all: Blobs = nodes.iter().collect();
        let keys: Vec<Vec<u8>> = asked.into_iter().chain(values.iter().map(|(key, _)| key.clone())).collect();
        let state = State::new(root.0, &all);
        for key in &keys {
            let there = values.iter().find(|(it, _)| it == key).map(|(_, value)| &value[..]);
            prop_assert_eq!(state.read(key), Ok(there));
        }
        let some: Blobs = nodes.iter().zip(kept.iter().chain([&true; 200])).filter(|(_, kept)| **kept).map(|(node, _)| node).collect();
        prop_assert_eq!(said(root, &some, &keys), read_by_nodes(root, &some, &keys));
    }

    #[test]
    fn a_node_that_no_trie_has_is_read_as_nodes_read_it(
        values in prop::collection::btree_map(prop::collection::vec(0..3u8, 0..4), prop::collection::vec(any::<u8>(), 0..40), 1..12),
        flips in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index, u8)>(), 1..4),
        newer in any::<bool>(),
    ) {
        let values: Vec<(Vec<u8>, Vec<u8>)> = values.into_iter().collect();
        let (root, mut nodes) = match newer {
            false => trie::<LayoutV0<Blake2Hasher>>(&values),
            true => trie::<LayoutV1<Blake2Hasher>>(&values),
        };
        let mut roots = vec![root];
        for (node, place, byte) in flips {
            let node = node.index(nodes.len());
            let node = &mut nodes[node];
            let place = place.index(node.len());
            node[place] = byte;
            // Whoever makes the root can make any node.
            roots.push(H256(blake2_256(node)));
        }
        let nodes: Blobs = nodes.iter().collect();
        let keys: Vec<Vec<u8>> = values.into_iter().map(|(key, _)| key).chain([vec![0, 1], vec![2, 2, 2, 2, 2]]).collect();
        for root in roots {
            prop_assert_eq!(said(root, &nodes, &keys), read_by_nodes(root, &nodes, &keys));
        }
    }

    #[test]
    fn the_root_of_a_list_is_the_one_that_nodes_compute(
        lengths in prop::collection::vec(0..90usize, 0..40),
        seed in any::<u8>(),
    ) {
        let values: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(index, length)| vec![seed.wrapping_add(index as u8); *length]).collect();
        prop_assert_eq!(ordered_root(&values), LayoutV0::<Blake2Hasher>::ordered_trie_root(&values).0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn all_keys_that_begin_alike_are_found_or_it_is_not_proved(
        values in prop::collection::btree_map(
            prop::collection::vec(prop_oneof![Just(0u8), Just(16), Just(1), any::<u8>()], 0..6),
            prop::collection::vec(any::<u8>(), 0..50),
            0..40,
        ),
        prefix in prop::collection::vec(prop_oneof![Just(0u8), Just(16), Just(1)], 0..4),
        left_out in any::<prop::sample::Index>(),
        newer in any::<bool>(),
    ) {
        let values: Vec<(Vec<u8>, Vec<u8>)> = values.into_iter().collect();
        let (root, nodes) = match newer {
            false => trie::<LayoutV0<Blake2Hasher>>(&values),
            true => trie::<LayoutV1<Blake2Hasher>>(&values),
        };
        let all: Blobs = nodes.iter().collect();
        let begin = values.iter().filter(|(key, _)| key.starts_with(&prefix));
        let expected: Vec<(Vec<u8>, &[u8])> = begin.map(|(key, value)| (key.clone(), &value[..])).collect();
        let state = State::new(root.0, &all);
        prop_assert_eq!(state.under(&prefix), Ok(expected.clone()));
        if !nodes.is_empty() {
            let left_out = left_out.index(nodes.len());
            let some = nodes.iter().enumerate().filter(|(place, _)| *place != left_out);
            let some: Blobs = some.map(|(_, node)| node).collect();
            let found = State::new(root.0, &some).under(&prefix);
            prop_assert!(found.is_err() || found == Ok(expected));
        }
    }
}

fn said(root: H256, nodes: &Blobs, keys: &[Vec<u8>]) -> Said {
    let state = State::new(root.0, nodes);
    let value = |key: &Vec<u8>| {
        state
            .read(key)
            .map(|it| it.map(<[u8]>::to_vec))
            .map_err(|_| ())
    };
    keys.iter().map(value).collect()
}

#[test]
fn a_header_says_how_long_the_journal_is_by_its_own_name_and_in_eight_bytes() {
    let length = 70_001u64.to_le_bytes();
    let of = |items: &[DigestItem<'_>]| {
        let header = Header {
            parent_hash: [0; 32],
            number: 1,
            state_root: [0; 32],
            extrinsics_root: [0; 32],
            digest: Digest::new(items.iter().copied()),
        };
        header.journal_length()
    };
    let said = DigestItem::Consensus(JOURNAL_ENGINE, &length);
    let slot = DigestItem::PreRuntime(*b"aura", &[7; 8]);
    assert_eq!(of(&[slot, said]), Some(70_001));
    assert_eq!(of(&[slot]), None);
    // The author, or another engine, says nothing about it.
    for other in [
        DigestItem::PreRuntime(JOURNAL_ENGINE, &length),
        DigestItem::Seal(JOURNAL_ENGINE, &length),
        DigestItem::Consensus(*b"FRNK", &length),
        DigestItem::Other(&length),
        DigestItem::Consensus(JOURNAL_ENGINE, &length[..7]),
        DigestItem::Consensus(JOURNAL_ENGINE, &[0; 9]),
    ] {
        assert_eq!(of(&[slot, other]), None, "{other:?}");
    }
}

#[test]
fn long_lists_have_the_root_that_nodes_compute() {
    // Compact numbers get longer at 64 and 16,384.
    for count in [0, 1, 2, 15, 16, 17, 63, 64, 65, 300, 16_383, 16_384, 16_500] {
        let values: Vec<Vec<u8>> = (0..count).map(|it: u32| it.encode().repeat(9)).collect();
        let theirs = LayoutV0::<Blake2Hasher>::ordered_trie_root(&values);
        assert_eq!(ordered_root(&values), theirs.0, "{count}");
    }
}

#[test]
fn keys_of_any_length_are_read() {
    let values: Vec<(Vec<u8>, Vec<u8>)> = (0..600usize)
        .map(|length| (vec![1; length], vec![length as u8; length % 60]))
        .collect();
    for length in [31, 32, 33, 62, 63, 64, 130, 320, 599] {
        let values = [values[0].clone(), values[length].clone()];
        let (root, nodes) = trie::<LayoutV0<Blake2Hasher>>(&values);
        let nodes: Blobs = nodes.iter().collect();
        let state = State::new(root.0, &nodes);
        for (key, value) in &values {
            assert_eq!(state.read(key), Ok(Some(&value[..])));
        }
        assert_eq!(state.read(&vec![1; length + 1]), Ok(None));
    }
}

#[test]
fn a_state_without_values_says_that_there_are_none() {
    let (root, _) = trie::<LayoutV0<Blake2Hasher>>(&[]);
    let none = Blobs::default();
    assert_eq!(State::new(root.0, &none).read(b"key"), Ok(None));
    assert_eq!(ordered_root::<Vec<u8>>(&[]), root.0);
}

// SPDX-License-Identifier: Apache-2.0

//! The root of a trie of which everything is there: that of a block's extrinsics.

use alloc::vec::Vec;

use codec::{Compact, Encode};

use crate::hash::blake2_256;
use crate::trie::EMPTY_ROOT;

/// The root of the trie that has the first of these values under the encoded index 0, the next under 1, and so on, in state version 0.
///
/// With a block's extrinsics, as they stand in its body, this is its header's `extrinsics_root`.
pub fn ordered_root<T: AsRef<[u8]>>(values: &[T]) -> [u8; 32] {
    let keys = (0u32..).map(|index| nibbles(&Compact(index).encode()));
    let mut items: Vec<(Vec<u8>, &[u8])> = keys.zip(values.iter().map(AsRef::as_ref)).collect();
    items.sort_unstable();
    match items.is_empty() {
        true => EMPTY_ROOT,
        false => blake2_256(&node(&items, 0)),
    }
}

fn nibbles(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

/// The node that these items, which agree in `depth` nibbles, are under. There is at least one, and no key twice.
fn node(items: &[(Vec<u8>, &[u8])], depth: usize) -> Vec<u8> {
    let (first, last) = (&items[0], &items[items.len() - 1]);
    if items.len() == 1 {
        let mut leaf = beginning(0b0100_0000, &first.0[depth..]);
        first.1.encode_to(&mut leaf);
        return leaf;
    }
    // They are sorted: what the first and the last agree in, all do.
    let agree = |(one, other): &(&u8, &u8)| one == other;
    let both = first.0[depth..].iter().zip(&last.0[depth..]);
    let end = depth + both.take_while(agree).count();
    let (value, below) = match first.0.len() == end {
        true => (Some(first.1), &items[1..]),
        false => (None, items),
    };
    let kind = if value.is_some() {
        0b1100_0000
    } else {
        0b1000_0000
    };
    let mut branch = beginning(kind, &first.0[depth..end]);
    let place = |item: &(Vec<u8>, &[u8])| item.0[end];
    let bitmap = below.iter().fold(0u16, |map, item| map | 1 << place(item));
    bitmap.encode_to(&mut branch);
    if let Some(value) = value {
        value.encode_to(&mut branch);
    }
    for child in below.chunk_by(|one, next| place(one) == place(next)) {
        let child = node(child, end + 1);
        match child.len() < 32 {
            true => child.encode_to(&mut branch),
            false => blake2_256(&child)[..].encode_to(&mut branch),
        }
    }
    branch
}

/// The kind of a node and its part of the key.
fn beginning(kind: u8, partial: &[u8]) -> Vec<u8> {
    const MOST: usize = 0b0011_1111;
    let mut bytes = Vec::new();
    match partial.len().checked_sub(MOST) {
        None => bytes.push(kind | partial.len() as u8),
        Some(mut rest) => {
            bytes.push(kind | MOST as u8);
            while rest >= 255 {
                bytes.push(255);
                rest -= 255;
            }
            bytes.push(rest as u8);
        }
    }
    let (odd, pairs) = partial.split_at(partial.len() % 2);
    bytes.extend(odd);
    bytes.extend(pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    bytes
}

// SPDX-License-Identifier: Apache-2.0

//! Reads values out of a trie of which some nodes are there, and knows when it cannot.
//!
//! The trie is Substrate's: of radix 16, its nodes named by their BLAKE2b-256, without nodes for extensions. A node is a byte or more
//! for its kind and the length of its part of the key in nibbles, that part, for a branch a bitmap of its children, a value or the
//! hash of one, and the children, those of less than 32 bytes as they are and others as hashes. State version 0 has the values in
//! the nodes of their keys; in version 1 those of more than 32 bytes have nodes of their own. Both are read.

use alloc::vec::Vec;

use codec::Decode;

use crate::bytes::{take, take_counted, Blobs, Malformed};
use crate::hash::blake2_256;

/// What is given does not prove anything about a key, or the value there is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProved;

impl NotProved {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        "not_proved"
    }
}

impl core::fmt::Display for NotProved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the nodes do not lead from the state's root to the value, or the value is not encoded as it should be")
    }
}

impl core::error::Error for NotProved {}

/// A key and its value.
pub type Item<'a> = (Vec<u8>, &'a [u8]);

/// A state of which some nodes are there. What it says follows from its root; whether the root is that of a final block, it
/// does not know: [`FinalState`](crate::FinalState) does.
#[derive(Clone, Debug)]
pub struct State<'a> {
    root: [u8; 32],
    nodes: &'a Blobs,
    /// The beginnings of the nodes' hashes, sorted, and where the nodes are.
    index: Vec<(u64, u32)>,
}

/// Shorter nodes stand inside the node above; only a root can be so short.
const SHORTEST_WITH_HASH: usize = 32;
/// The only node of a trie without keys.
const EMPTY_NODE: &[u8] = &[0];
/// Its hash, the root of such a trie.
pub(crate) const EMPTY_ROOT: [u8; 32] = [
    0x03, 0x17, 0x0a, 0x2e, 0x75, 0x97, 0xb7, 0xb7, 0xe3, 0xd8, 0x4c, 0x05, 0x39, 0x1d, 0x13, 0x9a,
    0x62, 0xb1, 0x57, 0xe7, 0x87, 0x86, 0xd8, 0xc0, 0x82, 0xf2, 0x9d, 0xcf, 0x4c, 0x11, 0x13, 0x14,
];

impl<'a> State<'a> {
    /// The state with this root.
    pub fn new(root: [u8; 32], nodes: &'a Blobs) -> Self {
        let mut index: Vec<(u64, u32)> = nodes
            .places()
            .filter_map(|(place, node)| {
                let hash = blake2_256(node);
                let named = node.len() >= SHORTEST_WITH_HASH || hash == root;
                named.then_some((beginning(&hash), u32::try_from(place).ok()?))
            })
            .collect();
        index.sort_unstable();
        State { root, nodes, index }
    }

    /// The root.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The value under a key; none if it is proved that there is none.
    pub fn read(&self, key: &[u8]) -> Result<Option<&'a [u8]>, NotProved> {
        let mut node = self.node(&self.root).ok_or(NotProved)?;
        let mut key = Nibbles::of(key);
        // Every round but the last takes at least a nibble from the key.
        loop {
            let read = Node::read(node).map_err(|_| NotProved)?;
            let Some(rest) = key.strip(&read.partial) else {
                return Ok(None);
            };
            key = rest;
            let Some((next, rest)) = key.split_first() else {
                return match read.value {
                    None => Ok(None),
                    Some(Value::Inline(value)) => Ok(Some(value)),
                    Some(Value::Hashed(hash)) => self.node(hash).map(Some).ok_or(NotProved),
                };
            };
            key = rest;
            node = match read.children[next] {
                None => return Ok(None),
                Some(child) => match <&[u8; 32]>::try_from(child) {
                    Ok(hash) => self.node(hash).ok_or(NotProved)?,
                    Err(_) => child,
                },
            };
        }
    }

    /// What stands under a key, decoded from all of its bytes.
    pub fn value<T: Decode>(&self, key: &[u8]) -> Result<Option<T>, NotProved> {
        let decoded = |mut value: &[u8]| {
            let decoded = T::decode(&mut value).map_err(|_| NotProved)?;
            value.is_empty().then_some(decoded).ok_or(NotProved)
        };
        self.read(key)?.map(decoded).transpose()
    }

    /// All keys that begin so, each with its value, in order. The nodes have to lead to all of them: what is not shown is not proved
    /// to be absent.
    pub fn under(&self, prefix: &[u8]) -> Result<Vec<Item<'a>>, NotProved> {
        let mut found = Vec::new();
        let prefix = Nibbles::of(prefix);
        let root = self.node(&self.root).ok_or(NotProved)?;
        let mut open = alloc::vec![(Vec::new(), root)];
        while let Some((mut path, node)) = open.pop() {
            let read = Node::read(node).map_err(|_| NotProved)?;
            path.extend((0..read.partial.len()).map(|index| read.partial.at(index) as u8));
            let agree = |(index, nibble): (usize, &u8)| prefix.at(index) == usize::from(*nibble);
            if !path.iter().enumerate().take(prefix.len()).all(agree) {
                continue;
            }
            if let Some(value) = read.value.filter(|_| path.len() >= prefix.len()) {
                let value = match value {
                    Value::Inline(value) => value,
                    Value::Hashed(hash) => self.node(hash).ok_or(NotProved)?,
                };
                let pairs = path.chunks_exact(2);
                // Keys are of whole bytes.
                let key = pairs.map(|pair| pair[0] << 4 | pair[1]).collect();
                found.push((key, value));
            }
            // The first child is to be the next.
            for (nibble, child) in read.children.into_iter().enumerate().rev() {
                let Some(child) = child else { continue };
                if path.len() < prefix.len() && prefix.at(path.len()) != nibble {
                    continue;
                }
                let child = match <&[u8; 32]>::try_from(child) {
                    Ok(hash) => self.node(hash).ok_or(NotProved)?,
                    Err(_) => child,
                };
                let mut path = path.clone();
                path.push(nibble as u8);
                open.push((path, child));
            }
        }
        Ok(found)
    }

    fn node(&self, hash: &[u8; 32]) -> Option<&'a [u8]> {
        if *hash == EMPTY_ROOT {
            return Some(EMPTY_NODE);
        }
        let wanted = beginning(hash);
        let first = self.index.partition_point(|(hash, _)| *hash < wanted);
        let alike = self.index[first..].iter();
        alike
            .take_while(|(hash, _)| *hash == wanted)
            .filter_map(|(_, place)| self.nodes.at(*place as usize))
            .find(|node| blake2_256(node) == *hash)
    }
}

fn beginning(hash: &[u8; 32]) -> u64 {
    let mut beginning = [0; 8];
    beginning.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(beginning)
}

/// A part of a key, in steps of four bits.
#[derive(Clone, Copy)]
struct Nibbles<'a> {
    bytes: &'a [u8],
    /// Nibbles of the bytes that are before it.
    start: usize,
}

impl<'a> Nibbles<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Nibbles { bytes, start: 0 }
    }

    fn len(&self) -> usize {
        2 * self.bytes.len() - self.start
    }

    fn at(&self, index: usize) -> usize {
        let index = self.start + index;
        let byte = self.bytes[index / 2];
        usize::from(if index.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 15
        })
    }

    fn skip(self, nibbles: usize) -> Self {
        let start = self.start + nibbles;
        Nibbles { start, ..self }
    }

    fn split_first(self) -> Option<(usize, Self)> {
        (self.len() > 0).then(|| (self.at(0), self.skip(1)))
    }

    fn strip(self, prefix: &Nibbles<'_>) -> Option<Self> {
        let same = |index| self.at(index) == prefix.at(index);
        (prefix.len() <= self.len() && (0..prefix.len()).all(same)).then(|| self.skip(prefix.len()))
    }
}

enum Value<'a> {
    Inline(&'a [u8]),
    Hashed(&'a [u8; 32]),
}

struct Node<'a> {
    partial: Nibbles<'a>,
    value: Option<Value<'a>>,
    /// Hashes, when they have 32 bytes, or nodes.
    children: [Option<&'a [u8]>; 16],
}

impl<'a> Node<'a> {
    /// Bytes after the end of a node are not looked at: its hash is over them, too.
    fn read(mut node: &'a [u8]) -> Result<Self, Malformed> {
        let input = &mut node;
        let first = take(input, 1)?[0];
        if first == EMPTY_NODE[0] {
            return Ok(Node {
                partial: Nibbles::of(&[]),
                value: None,
                children: [None; 16],
            });
        }
        // Bits of the kind, whether it is a branch, whether there is a value, whether by its hash.
        let (kind_bits, branch, valued, hashed) = match first {
            0b0100_0000..=0b0111_1111 => (2, false, true, false),
            0b1000_0000..=0b1011_1111 => (2, true, false, false),
            0b1100_0000..=0b1111_1111 => (2, true, true, false),
            0b0010_0000..=0b0011_1111 => (3, false, true, true),
            0b0001_0000..=0b0001_1111 => (4, true, true, true),
            _ => return Err(crate::bytes::malformed("is no node")),
        };
        let nibbles = partial_length(first, kind_bits, input)?;
        let bytes = take(input, nibbles.div_ceil(2))?;
        let padding = nibbles % 2;
        if padding == 1 && bytes[0] >> 4 != 0 {
            return Err(crate::bytes::malformed("has a padding that is not 0"));
        }
        let partial = Nibbles::of(bytes).skip(padding);
        let bitmap = match branch {
            false => 0,
            true => match u16::decode(input)? {
                0 => return Err(crate::bytes::malformed("is a branch without children")),
                bitmap => bitmap,
            },
        };
        let value = match (valued, hashed) {
            (false, _) => None,
            (true, false) => Some(Value::Inline(take_counted(input)?)),
            (true, true) => {
                let hash = take(input, 32)?.try_into();
                Some(Value::Hashed(hash.map_err(|_| "has no hash")?))
            }
        };
        let mut children = [None; 16];
        for (index, child) in children.iter_mut().enumerate() {
            if bitmap & (1 << index) != 0 {
                *child = Some(take_counted(input)?);
            }
        }
        Ok(Node {
            partial,
            value,
            children,
        })
    }
}

/// Nibbles of a node's part of the key: the rest of the first byte, and as many bytes as it takes.
fn partial_length(first: u8, kind_bits: u32, input: &mut &[u8]) -> Result<usize, Malformed> {
    let most = usize::from(255u8 >> kind_bits);
    let mut length = usize::from(first) & most;
    if length < most {
        return Ok(length);
    }
    loop {
        let next = usize::from(take(input, 1)?[0]);
        length += next;
        if next < 255 {
            return Ok(length);
        }
    }
}

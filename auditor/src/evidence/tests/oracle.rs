// SPDX-License-Identifier: Apache-2.0

//! What the crates of the chain's nodes say of a file: the vectors' files and tens of thousands that are made of them by changing
//! something and putting the checksum right. The reader has to say the same.

use codec::DecodeAll;
use mhealth_evidence::{conflicts_key, genesis_hash_key, set_key, HEADS_PER_PAGE};
use mhealth_justification::Voters as NodeVoters;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sp_runtime::generic::DigestItem as NodeDigestItem;
use sp_trie::{read_trie_value, MemoryDB, StorageProof};

use super::super::verify::{blocks, check_chain};
use super::vectors::files;
use super::*;

/// Mutants; set to try more.
const MUTANTS: &str = "MHEALTH_MUTANTS";

/// The contents of a file, as the chain's nodes would write and read them.
#[derive(Encode, Decode)]
struct ByNodes {
    genesis: NodeHeader,
    start: StartByNodes,
    handovers: Vec<(NodeHeader, Vec<u8>)>,
    block: NodeHeader,
    descendants: Vec<NodeHeader>,
    justification: Vec<u8>,
    state_proof: Vec<Vec<u8>>,
    study: Option<u32>,
    devices: Vec<DeviceByNodes>,
}

#[derive(Encode, Decode)]
enum StartByNodes {
    Genesis(Vec<Vec<u8>>),
    Checkpoint(NodeHeader, Vec<Vec<u8>>),
}

#[derive(Encode, Decode)]
struct DeviceByNodes {
    device: u32,
    entries: Vec<([u8; 32], [u8; 32])>,
    signature: Option<[u8; 64]>,
    envelopes: Option<Vec<Vec<u8>>>,
    secret: Option<[u8; 32]>,
}

/// Reads a file, by both; they agree in what they read.
fn decoded(file: &[u8]) -> Option<Evidence> {
    let ours = Evidence::from_bytes(file);
    if matches!(&ours, Err(error) if *error != FormatError::Damaged) {
        return None;
    }
    let contents = file.strip_prefix(&MAGIC)?.strip_prefix(&[2, 0])?;
    let (contents, _) = contents.split_last_chunk::<32>()?;
    let theirs = ByNodes::decode_all(&mut &contents[..]).ok();
    let theirs = theirs.filter(|it| it.encode() == contents);
    match (&ours, theirs) {
        (Ok(ours), Some(_)) => assert_eq!(ours.to_bytes(), file),
        (Err(FormatError::Damaged), None) => {}
        // Of more devices than the proof has room for nothing is proved.
        (Err(FormatError::Damaged), Some(theirs)) => {
            let proof: usize = theirs.state_proof.iter().map(Encode::encoded_size).sum();
            assert!(theirs.devices.len() > proof / DeviceRecord::LEAST_BYTES);
        }
        (ours, theirs) => panic!("{ours:?} {}", theirs.is_some()),
    }
    ours.ok()
}

fn node_header(header: &Header) -> NodeHeader {
    NodeHeader::decode_all(&mut &header.encode()[..]).unwrap()
}

/// What a state with these nodes has under a key, by the trie of the chain's nodes.
fn value(root: [u8; 32], nodes: &Blobs, key: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let nodes = StorageProof::new(nodes.iter().map(<[u8]>::to_vec));
    let nodes: MemoryDB<Blake2Hasher> = nodes.into_memory_db();
    read_trie_value::<LayoutV1<Blake2Hasher>, _>(&nodes, &H256(root), key, None, None)
        .map_err(|_| ())
}

fn value_of<T: Decode>(root: [u8; 32], nodes: &Blobs, key: &[u8]) -> Option<T> {
    T::decode_all(&mut &value(root, nodes, key).ok()??[..]).ok()
}

fn finalises(voters: &NodeVoters, header: &NodeHeader, justification: &[u8]) -> Option<()> {
    let shown = voters.check::<NodeHeader>(justification).ok()?;
    (shown.hash == header.hash() && shown.number == header.number).then_some(())
}

fn next(header: &NodeHeader) -> Option<AuthorityList> {
    let logs = header.digest.logs.iter().filter_map(|item| match item {
        NodeDigestItem::Consensus(GRANDPA_ENGINE_ID, log) => {
            ConsensusLog::<u32>::decode_all(&mut &log[..]).ok()
        }
        _ => None,
    });
    let logs: Vec<ConsensusLog<u32>> = logs.collect();
    let is_forced = |log: &ConsensusLog<u32>| matches!(log, ConsensusLog::ForcedChange(..));
    if logs.iter().any(is_forced) {
        return None;
    }
    let change = logs.into_iter().find_map(ConsensusLog::try_into_change)?;
    (change.delay == 0).then_some(change.next_authorities)
}

/// The set that made the file's block final, if the crates of the chain's nodes say that one did.
fn chain_by_nodes(
    evidence: &Evidence,
    expected: [u8; 32],
    checkpoints: &[Checkpoint],
) -> Option<u64> {
    let genesis = node_header(&evidence.genesis);
    if genesis.number != 0 || genesis.hash().0 != expected {
        return None;
    }
    let finality = &evidence.finality;
    let newest = Checkpoint::newest_before(checkpoints, finality.block.number);
    let mut voters = match &evidence.start {
        Start::Genesis(nodes) => {
            if newest.is_some_and(|newest| newest != Checkpoint::of(&evidence.genesis)) {
                return None;
            }
            let list = value_of(evidence.genesis.state_root, nodes, &AUTHORITIES_KEY)?;
            NodeVoters::new(0, list)?
        }
        Start::Checkpoint(authorities) => {
            let header = node_header(&authorities.header);
            let checkpoint = Checkpoint {
                hash: header.hash().0,
                number: header.number,
            };
            if newest != Some(checkpoint) {
                return None;
            }
            let (root, nodes) = (authorities.header.state_root, &authorities.nodes);
            if value_of::<[u8; 32]>(root, nodes, &genesis_hash_key())? != expected {
                return None;
            }
            let set = value_of(root, nodes, &set_key())?;
            NodeVoters::new(set, value_of(root, nodes, &AUTHORITIES_KEY)?)?
        }
    };
    let from = match &evidence.start {
        Start::Genesis(_) => 0,
        Start::Checkpoint(authorities) => authorities.header.number,
    };
    let handovers = &finality.handovers;
    if !handovers.is_sorted_by(|one, next| one.header.number < next.header.number) {
        return None;
    }
    for handover in handovers {
        let header = node_header(&handover.header);
        finalises(&voters, &header, &handover.justification)?;
        voters = NodeVoters::new(voters.set() + 1, next(&header)?)?;
    }
    let mut last = node_header(&finality.block);
    for header in &finality.descendants {
        let header = node_header(header);
        if header.parent_hash != last.hash() || last.number.checked_add(1) != Some(header.number) {
            return None;
        }
        last = header;
    }
    finalises(&voters, &last, &finality.justification)?;
    let between = from..=last.number;
    if !handovers
        .iter()
        .all(|it| between.contains(&it.header.number))
    {
        return None;
    }
    let (root, nodes) = (finality.block.state_root, &finality.nodes);
    if value_of::<[u8; 32]>(root, nodes, &genesis_hash_key())? != expected {
        return None;
    }
    let contradicted = blocks(evidence).map(Checkpoint::of).any(|block| {
        let mut same = checkpoints.iter().filter(|it| it.number == block.number);
        same.any(|it| *it != block)
    });
    (!contradicted).then(|| voters.set())
}

/// Both say the same of the chain and of every value that a reader asks for. What the reader makes of the values is its own.
fn agree(evidence: &Evidence, expected: [u8; 32], checkpoints: &[Checkpoint]) -> bool {
    let ours = check_chain(evidence, expected, checkpoints).ok();
    let theirs = chain_by_nodes(evidence, expected, checkpoints);
    assert_eq!(
        ours.as_ref().map(|(_, anchor, _)| anchor.set().id()),
        theirs
    );
    let Some((_, _, state)) = ours else {
        assert!(verify(evidence, expected, checkpoints).is_err());
        return false;
    };
    let (root, nodes) = (evidence.finality.block.state_root, &evidence.finality.nodes);
    let numbers = evidence.devices.iter().map(|it| it.device);
    let devices = numbers.chain([0, 1, 2, HEADS_PER_PAGE].map(DeviceId));
    let keys = devices.flat_map(|it| [device_key(it), head_page_key(it), conflicts_key(it)]);
    for key in keys.chain([next_device_key(), vec![1, 2, 3]]) {
        let said = state.read(&key).map(|it| it.map(<[u8]>::to_vec));
        assert_eq!(said.map_err(|_| ()), value(root, nodes, &key));
    }
    true
}

#[test]
fn of_the_vectors_the_reader_says_what_the_nodes_say() {
    let mut shown = 0;
    for (file, genesis, checkpoints) in files() {
        if let Some(evidence) = decoded(&file) {
            shown += usize::from(agree(&evidence, genesis, &checkpoints));
        }
    }
    assert!(shown > 10);
}

#[test]
fn of_every_flipped_bit_of_a_file_the_reader_says_what_the_nodes_say() {
    let is_evidence = |(file, genesis, checkpoints): &(Vec<u8>, [u8; 32], Vec<Checkpoint>)| {
        decoded(file).is_some_and(|evidence| agree(&evidence, *genesis, checkpoints))
    };
    // From the first block on, and from a checkpoint.
    for from_checkpoint in [false, true] {
        let files = files().into_iter().filter(is_evidence);
        let files = files.filter(|(_, _, checkpoints)| checkpoints.is_empty() != from_checkpoint);
        let (file, genesis, checkpoints) = files.min_by_key(|(file, ..)| file.len()).unwrap();
        let contents = &file[..file.len() - 32];
        let mut read = 0;
        for bit in 18 * 8..contents.len() * 8 {
            let mut flipped = contents.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let checksum = Native::sha256(&flipped);
            flipped.extend(checksum);
            if let Some(evidence) = decoded(&flipped) {
                read += 1;
                agree(&evidence, genesis, &checkpoints);
            }
        }
        assert!(read > 4 * contents.len(), "{read}");
    }
}

#[test]
fn of_mutants_with_the_checksum_put_right_the_reader_says_what_the_nodes_say() {
    let asked = std::env::var(MUTANTS).ok();
    let mutants = asked.map_or(60_000, |asked| asked.parse().expect("a number"));
    let random = &mut StdRng::seed_from_u64(19);
    let files: Vec<_> = files()
        .into_iter()
        .filter(|(file, ..)| Evidence::from_bytes(file).is_ok())
        .collect();
    let (mut read, mut shown) = (0, 0);
    for mutant in 0..mutants {
        let (file, genesis, checkpoints) = &files[mutant % files.len()];
        let mut contents = file[..file.len() - 32].to_vec();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut contents, random);
        }
        let file = [&contents[..], &Native::sha256(&contents)].concat();
        if let Some(evidence) = decoded(&file) {
            read += 1;
            shown += usize::from(agree(&evidence, *genesis, checkpoints));
        }
    }
    // They reach what they are to test.
    assert!(
        read > mutants / 10 && shown > mutants / 100,
        "{read} {shown}"
    );
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    /// Magic and version.
    const BEFORE: usize = 18;
    let place = random.random_range(BEFORE..bytes.len());
    match random.random_range(0..7) {
        0..3 => bytes[place] ^= 1 << random.random_range(0..8),
        3 => bytes[place] = random.random(),
        4 => bytes.insert(place, random.random()),
        5 => drop(bytes.remove(place)),
        _ => {
            let length = random.random_range(1..64);
            let from = random.random_range(BEFORE..bytes.len() - length);
            let to = random.random_range(BEFORE..bytes.len() - length);
            bytes.copy_within(from..from + length, to);
        }
    }
}

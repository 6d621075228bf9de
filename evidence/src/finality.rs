// SPDX-License-Identifier: Apache-2.0

//! GRANDPA's finality: what more than two thirds of a set of authorities signed, and how one set hands over to the next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use codec::{Decode, Encode, EncodeLike, Error, Input, Output};
use ed25519_zebra::VerificationKey;

use crate::bytes::{bounded_bytes, bounded_list, count, malformed, take, Malformed};
use crate::hash::blake2_256;
use crate::header::{DigestItem, Header};

/// Those who vote on what is final, and how often others did before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySet {
    id: u64,
    authorities: Vec<Authority>,
}

/// A voter's Ed25519 key, and the weight of its vote.
pub type Authority = ([u8; 32], u64);

/// A block that names the next authorities, and the present ones' justification for it. Where it names them by force nobody
/// signed for it: then there is no justification, and the reader has to trust the block ([`Checkpoint`](crate::Checkpoint)).
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Handover {
    /// The block.
    pub header: Header,
    /// Its justification; empty when the block changes the authorities by force.
    pub justification: Vec<u8>,
}

/// A block that a justification shows to be final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Justified {
    /// The block's hash.
    pub hash: [u8; 32],
    /// Its number.
    pub number: u32,
    /// The round in which the authorities signed.
    pub round: u64,
}

/// A block is not shown to be final, or names no next authorities where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinal;

impl core::fmt::Display for NotFinal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the block is not shown to be final")
    }
}

impl core::error::Error for NotFinal {}

/// Key and weight.
const AUTHORITY_BYTES: usize = 32 + 8;
/// Most authorities of a set, a hundred times as many as any chain has.
const MOST_AUTHORITIES: usize = 100_000;

impl AuthoritySet {
    /// A set, and its number since the first block. None when nobody in it has a vote, or when the weights have no sum.
    pub fn new(id: u64, authorities: Vec<Authority>) -> Option<Self> {
        let set = AuthoritySet { id, authorities };
        (set.total()? > 0).then_some(set)
    }

    /// Its number: how often the authorities had changed before.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Keys and weights, as the chain lists them.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// How many have a vote.
    pub fn voters(&self) -> usize {
        self.weights().len()
    }

    /// A list of authorities, in SCALE.
    pub(crate) fn decode_list<I: Input>(input: &mut I) -> Result<Vec<Authority>, Error> {
        bounded_list(input, AUTHORITY_BYTES, MOST_AUTHORITIES)
    }

    fn total(&self) -> Option<u64> {
        let mut weights = self.authorities.iter().map(|(_, weight)| *weight);
        weights.try_fold(0u64, u64::checked_add)
    }

    /// The weight of each who has a vote. Who is listed twice has both.
    fn weights(&self) -> BTreeMap<[u8; 32], u64> {
        let mut weights = BTreeMap::new();
        for (key, weight) in self.authorities.iter().filter(|(_, weight)| *weight > 0) {
            *weights.entry(*key).or_insert(0) += weight;
        }
        weights
    }

    /// What an encoded justification by this set shows. It is checked whole: voters with more than two thirds of the weight, the
    /// ancestry of their votes, and every signature, over round and number of the set.
    ///
    /// At most two signatures a voter are looked at, so the time is bounded by the set and by the bytes.
    pub fn check(&self, justification: &[u8]) -> Result<Justified, NotFinal> {
        let commit = Commit::read(justification).map_err(|_| NotFinal)?;
        let weights = self.weights();
        // A voter signs once; twice when it cheats, which counts once.
        if commit.votes.len() > 2 * weights.len() {
            return Err(NotFinal);
        }
        let total = self.total().ok_or(NotFinal)?;
        let signed = |vote: &Vote<'_>| vote.is_signed(commit.round, self.id);
        match commit.is_by(&weights, total) && commit.votes.iter().all(signed) {
            true => Ok(Justified {
                hash: *commit.hash,
                number: commit.number,
                round: commit.round,
            }),
            false => Err(NotFinal),
        }
    }

    /// Whether this set made that block final.
    pub fn finalises(&self, header: &Header, justification: &[u8]) -> Result<(), NotFinal> {
        let shown = self.check(justification)?;
        match shown.number == header.number && shown.hash == header.hash() {
            true => Ok(()),
            false => Err(NotFinal),
        }
    }

    /// The set that follows, if this one made the block final that names it.
    pub fn hand_over(&self, handover: &Handover) -> Result<AuthoritySet, NotFinal> {
        self.finalises(&handover.header, &handover.justification)?;
        self.followed_by(next_authorities(&handover.header))
    }

    /// The set that a block appoints by force in the place of this one. Nothing but trust in the block says that it is final.
    pub fn replaced_by_force(&self, header: &Header) -> Result<AuthoritySet, NotFinal> {
        self.followed_by(forced_authorities(header))
    }

    fn followed_by(&self, next: Option<Vec<Authority>>) -> Result<AuthoritySet, NotFinal> {
        let id = self.id.checked_add(1).ok_or(NotFinal)?;
        AuthoritySet::new(id, next.ok_or(NotFinal)?).ok_or(NotFinal)
    }
}

/// GRANDPA's name in a header.
const GRANDPA: [u8; 4] = *b"FRNK";
const SCHEDULED_CHANGE: u8 = 1;
const FORCED_CHANGE: u8 = 2;

/// The authorities that a block names, if it names any. A change that takes effect later than in this block does not occur on
/// this chain, and is not taken; nor is anything from a block that changes them by force, because the set before it does not
/// sign for that. Of several changes the first one counts, as it does for the chain's nodes.
pub fn next_authorities(header: &Header) -> Option<Vec<Authority>> {
    if forces_authorities(header) {
        return None;
    }
    let mut changes = logs(header).filter_map(|log| match log.split_first() {
        Some((&SCHEDULED_CHANGE, change)) => read_change(change).ok(),
        _ => None,
    });
    let (next, delay) = changes.next()?;
    (delay == 0).then_some(next)
}

/// Whether a block changes the authorities by force, as the consortium can after finality was lost. The set before has no say in
/// it, so nothing leads over this block but trust in it, or in a block after it.
pub fn forces_authorities(header: &Header) -> bool {
    forced_authorities(header).is_some()
}

/// The authorities that a block appoints by force, if it does.
fn forced_authorities(header: &Header) -> Option<Vec<Authority>> {
    logs(header).find_map(|log| match log.split_first() {
        // The number of the last final block stands before the change.
        Some((&FORCED_CHANGE, [_, _, _, _, change @ ..])) => {
            read_change(change).ok().map(|(next, _)| next)
        }
        _ => None,
    })
}

/// What GRANDPA's pallet says in a block's header.
fn logs(header: &Header) -> impl Iterator<Item = &[u8]> {
    header.digest.items().filter_map(|item| match item {
        DigestItem::Consensus(GRANDPA, log) => Some(log),
        _ => None,
    })
}

/// The next authorities, and in how many blocks they take over.
fn read_change(mut change: &[u8]) -> Result<(Vec<Authority>, u32), Malformed> {
    let next = AuthoritySet::decode_list(&mut change)?;
    let delay = u32::decode(&mut change)?;
    match change.is_empty() {
        true => Ok((next, delay)),
        false => Err(malformed("goes on after its end")),
    }
}

/// A vote: that a block and all before it are final.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Vote<'a> {
    /// The block.
    hash: &'a [u8; 32],
    /// Its number, says the voter.
    number: u32,
    signature: &'a [u8; 64],
    voter: &'a [u8; 32],
}

impl<'a> Vote<'a> {
    const BYTES: usize = 32 + 4 + 64 + 32;

    fn take(input: &mut &'a [u8]) -> Result<Self, Malformed> {
        Ok(Vote {
            hash: array(input)?,
            number: u32::decode(input)?,
            signature: array(input)?,
            voter: array(input)?,
        })
    }

    /// By the rule of the chain's nodes, ZIP 215.
    fn is_signed(&self, round: u64, set: u64) -> bool {
        const PRECOMMIT: u8 = 1;
        let message = (PRECOMMIT, self.hash, self.number, round, set).encode();
        VerificationKey::try_from(*self.voter)
            .is_ok_and(|key| key.verify(&(*self.signature).into(), &message).is_ok())
    }
}

fn array<'a, const N: usize>(input: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let bytes = take(input, N)?.try_into();
    bytes.map_err(|_| malformed("ends too early"))
}

/// A justification, as GRANDPA encodes it: a round, a block, the votes that make it final, and the headers between it and the blocks
/// that were voted for.
struct Commit<'a> {
    round: u64,
    hash: &'a [u8; 32],
    number: u32,
    votes: Vec<Vote<'a>>,
    /// The parent of each block whose header is there.
    parents: BTreeMap<[u8; 32], [u8; 32]>,
}

impl<'a> Commit<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let round = u64::decode(input)?;
        let (hash, number) = (array(input)?, u32::decode(input)?);
        let votes = count(input, Vote::BYTES, usize::MAX)?;
        let votes = (0..votes).map(|_| Vote::take(input));
        let votes = votes.collect::<Result<_, _>>()?;
        let mut parents = BTreeMap::new();
        for _ in 0..count(input, Header::LEAST_BYTES, usize::MAX)? {
            let before = *input;
            let header = Header::decode(input)?;
            // A header has one encoding.
            let encoded = &before[..before.len() - input.len()];
            parents.insert(blake2_256(encoded), header.parent_hash);
        }
        match input.is_empty() {
            true => Ok(Commit {
                round,
                hash,
                number,
                votes,
                parents,
            }),
            false => Err(malformed("goes on after its end")),
        }
    }

    /// Whether these voters make the block final, and no later one: more than two thirds of their weight is for it or its
    /// descendants, and for none of its children.
    ///
    /// GRANDPA's rule, in short. Only what voters of the set say counts. The base is the lowest block voted for, of which all others
    /// have to be descendants. The first vote of a voter counts for its block and all between it and the base. Who signs two different
    /// votes cheats, and counts for every block. Where more than a third cheats nothing is final.
    fn is_by(&self, weights: &BTreeMap<[u8; 32], u64>, total: u64) -> bool {
        let votes = self
            .votes
            .iter()
            .filter(|it| weights.contains_key(it.voter));
        let votes: Vec<&Vote<'_>> = votes.collect();
        let Some(base) = votes.iter().copied().min_by_key(|vote| vote.number) else {
            return false;
        };
        let mut routes = Routes::new(*base.hash, *self.hash, &self.parents);
        let mut first: BTreeMap<&[u8; 32], &Vote<'_>> = BTreeMap::new();
        let mut cheats = BTreeSet::new();
        for vote in &votes {
            if routes.to(vote.hash).is_none() {
                return false;
            }
            let counted = *first.entry(vote.voter).or_insert(vote);
            if counted != *vote {
                cheats.insert(vote.voter);
            }
        }
        let height = routes.to(self.hash).map(|place| place.height);
        let number = height.and_then(|height| base.number.checked_add(height));
        if number != Some(self.number) {
            return false;
        }
        let of = |voter: &[u8; 32]| weights.get(voter).copied().unwrap_or(0);
        let tolerated = total.saturating_sub(1) / 3;
        let cheating: u64 = cheats.iter().map(|voter| of(voter)).sum();
        if cheating > tolerated {
            return false;
        }
        let (mut for_it, mut for_children) = (cheating, BTreeMap::<[u8; 32], u64>::new());
        for (voter, vote) in first {
            if cheats.contains(voter) {
                continue;
            }
            match routes.to(vote.hash).map(|place| place.branch) {
                None | Some(Branch::Elsewhere) => {}
                Some(Branch::Target) => for_it += of(voter),
                Some(Branch::Child(child)) => {
                    for_it += of(voter);
                    *for_children.entry(child).or_insert(cheating) += of(voter);
                }
            }
        }
        let enough = |weight: u64| weight >= total - tolerated;
        enough(for_it) && !for_children.values().any(|weight| enough(*weight))
    }
}

/// Where blocks are, seen from the base of a round and the block that is to be final.
struct Routes<'p> {
    target: [u8; 32],
    parents: &'p BTreeMap<[u8; 32], [u8; 32]>,
    /// Blocks that were looked for, and those between them and the base.
    places: BTreeMap<[u8; 32], Place>,
}

#[derive(Clone, Copy)]
struct Place {
    /// Blocks between it and the base, itself among them.
    height: u32,
    branch: Branch,
}

/// What a block has to do with the one that is to be final.
#[derive(Clone, Copy)]
enum Branch {
    /// It is not among its descendants.
    Elsewhere,
    /// It is this block.
    Target,
    /// It descends from it by this child, or is the child.
    Child([u8; 32]),
}

impl<'p> Routes<'p> {
    fn new(base: [u8; 32], target: [u8; 32], parents: &'p BTreeMap<[u8; 32], [u8; 32]>) -> Self {
        let branch = match base == target {
            true => Branch::Target,
            false => Branch::Elsewhere,
        };
        Routes {
            target,
            parents,
            places: BTreeMap::from([(base, Place { height: 0, branch })]),
        }
    }

    /// Where a block is; none when it does not descend from the base. No block is walked over twice.
    fn to(&mut self, block: &[u8; 32]) -> Option<Place> {
        let mut above = Vec::new();
        let mut current = *block;
        let mut place = loop {
            match self.places.get(&current) {
                Some(place) => break *place,
                None => {
                    above.push(current);
                    current = *self.parents.get(&current)?;
                }
            }
        };
        for block in above.into_iter().rev() {
            place = Place {
                height: place.height + 1,
                branch: match place.branch {
                    _ if block == self.target => Branch::Target,
                    Branch::Target => Branch::Child(block),
                    other => other,
                },
            };
            self.places.insert(block, place);
        }
        Some(place)
    }
}

// In SCALE both are what the fields are, with counts that are looked at first.

impl Encode for AuthoritySet {
    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        (self.id, &self.authorities).encode_to(output);
    }
}

impl EncodeLike for AuthoritySet {}

impl Decode for AuthoritySet {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let id = u64::decode(input)?;
        let authorities = AuthoritySet::decode_list(input)?;
        AuthoritySet::new(id, authorities).ok_or_else(|| malformed("is a set without votes"))
    }
}

impl Handover {
    /// Bytes that every encoded handover takes.
    pub const LEAST_BYTES: usize = Header::LEAST_BYTES + 1;
}

impl Decode for Handover {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(Handover {
            header: Header::decode(input)?,
            justification: bounded_bytes(input)?,
        })
    }
}

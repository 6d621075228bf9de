// SPDX-License-Identifier: Apache-2.0

//! GRANDPA's justifications: what the voters of a set signed, by which a block is final.
//!
//! The chain and the auditor's evidence check them here, so that both take the same ones.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(test)]
mod tests;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::marker::PhantomData;

use codec::DecodeAll;
use finality_grandpa::voter_set::VoterSet;
use finality_grandpa::{validate_commit, BlockNumberOps, Chain, Error as GrandpaError, Message};
use sp_consensus_grandpa::{
    check_message_signature, AuthorityId, AuthorityList, GrandpaJustification, SignatureResult,
};
use sp_runtime::traits::{Header, One, Saturating};

/// Most digest items of a header in a proof. Each is decoded and hashed by itself, and the chain's own headers have less than
/// half as many.
pub const MOST_DIGEST_ITEMS: usize = 16;

/// A set of voters, and its number since genesis.
pub struct Voters {
    set: u64,
    voters: VoterSet<AuthorityId>,
}

/// What a justification shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final<Hash, Number> {
    /// The block that is final.
    pub hash: Hash,
    /// Its number.
    pub number: Number,
    /// The round in which the voters signed.
    pub round: u64,
    /// The voters of the set who signed.
    pub signers: BTreeSet<AuthorityId>,
}

/// A block is not shown to be final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinal;

impl Voters {
    /// A set of this number. None when nobody in it has a vote.
    pub fn new(set: u64, list: AuthorityList) -> Option<Self> {
        let voters = VoterSet::new(list)?;
        Some(Voters { set, voters })
    }

    /// Its number.
    pub fn set(&self) -> u64 {
        self.set
    }

    /// How many voters there are.
    pub fn count(&self) -> usize {
        self.voters.len().get()
    }

    /// What an encoded justification by this set shows. It is checked whole: every signature, over round and number of the set, the
    /// commit by voters with more than two thirds of the weight, and the ancestry of their votes.
    ///
    /// At most two signatures a voter are looked at, so the time is bounded by the set and by the bytes. The ancestry is walked for
    /// every vote, and several times: so the signatures come first, and nobody but the voters makes anybody walk.
    pub fn check<H>(&self, justification: &[u8]) -> Result<Final<H::Hash, H::Number>, NotFinal>
    where
        H: Header,
        H::Number: BlockNumberOps,
    {
        let justification =
            GrandpaJustification::<H>::decode_all(&mut &justification[..]).map_err(|_| NotFinal)?;
        let commit = &justification.commit;
        // A voter signs once; twice when it cheats, which counts once.
        if commit.precommits.len() > 2 * self.count() {
            return Err(NotFinal);
        }
        if !justification.votes_ancestries.iter().all(has_few_items) {
            return Err(NotFinal);
        }
        for signed in &commit.precommits {
            let message = Message::Precommit(signed.precommit.clone());
            let checked = check_message_signature(
                &message,
                &signed.id,
                &signed.signature,
                justification.round,
                self.set,
            );
            if !matches!(checked, SignatureResult::Valid) {
                return Err(NotFinal);
            }
        }
        let ancestry = Ancestry::of(&justification.votes_ancestries);
        match validate_commit(commit, &self.voters, &ancestry) {
            Ok(result) if result.is_valid() => {}
            _ => return Err(NotFinal),
        }
        let signers = commit.precommits.iter().map(|signed| signed.id.clone());
        Ok(Final {
            hash: commit.target_hash,
            number: commit.target_number,
            round: justification.round,
            signers: signers.filter(|it| self.voters.contains(it)).collect(),
        })
    }
}

/// What a runtime checks proofs with: [`Grandpa`].
pub trait Proofs {
    /// Names a block.
    type Hash;
    /// Counts blocks.
    type Number;

    /// What a proof by the set of this number and these voters shows. It is encoded as a node answers it: the block's hash, the
    /// justification (see [`Voters::check`]), and headers, which are not looked at.
    fn check(
        set: u64,
        voters: AuthorityList,
        proof: &[u8],
    ) -> Result<Final<Self::Hash, Self::Number>, NotFinal>;

    /// The number of the block that a proof is about, before anything of it is checked. None when it is no proof.
    fn about(proof: &[u8]) -> Option<Self::Number>;

    /// The hash of the block of this number that a block, given by hash and number, descends from. Encoded headers show it, which
    /// lead from the block down to the one after that number. None when they do not.
    fn ancestor(
        block: (Self::Hash, Self::Number),
        number: Self::Number,
        headers: &[u8],
    ) -> Option<Self::Hash>;
}

/// What `grandpa_proveFinality` answers, and `hashchain_proveHead` and `hashchain_proveFinality` as `finalityProof`.
type FinalityProof<H> = (<H as Header>::Hash, Vec<u8>, Vec<H>);

/// The proofs of a chain with these headers.
pub struct Grandpa<H>(PhantomData<H>);

impl<H> Proofs for Grandpa<H>
where
    H: Header,
    H::Number: BlockNumberOps,
{
    type Hash = H::Hash;
    type Number = H::Number;

    fn check(
        set: u64,
        voters: AuthorityList,
        proof: &[u8],
    ) -> Result<Final<H::Hash, H::Number>, NotFinal> {
        let voters = Voters::new(set, voters).ok_or(NotFinal)?;
        let (hash, justification, _) =
            FinalityProof::<H>::decode_all(&mut &proof[..]).map_err(|_| NotFinal)?;
        let shown = voters.check::<H>(&justification)?;
        match shown.hash == hash {
            true => Ok(shown),
            false => Err(NotFinal),
        }
    }

    fn about(proof: &[u8]) -> Option<H::Number> {
        let (_, justification, _) = FinalityProof::<H>::decode_all(&mut &proof[..]).ok()?;
        let justification = GrandpaJustification::<H>::decode_all(&mut &justification[..]).ok()?;
        Some(justification.commit.target_number)
    }

    fn ancestor(
        (mut hash, mut height): (H::Hash, H::Number),
        number: H::Number,
        headers: &[u8],
    ) -> Option<H::Hash> {
        let headers = match headers {
            [] => Vec::new(),
            encoded => Vec::<H>::decode_all(&mut &encoded[..]).ok()?,
        };
        if !headers.iter().all(has_few_items) {
            return None;
        }
        for header in &headers {
            if header.hash() != hash || *header.number() != height || height <= number {
                return None;
            }
            hash = *header.parent_hash();
            height = height.saturating_sub(One::one());
        }
        (height == number).then_some(hash)
    }
}

/// Whether a header has no more digest items than one of the chain's may.
fn has_few_items<H: Header>(header: &H) -> bool {
    header.digest().logs().len() <= MOST_DIGEST_ITEMS
}

/// The headers between the block that is final and those that were voted for.
struct Ancestry<'a, H: Header>(BTreeMap<H::Hash, &'a H>);

impl<'a, H: Header> Ancestry<'a, H> {
    fn of(headers: &'a [H]) -> Self {
        Ancestry(
            headers
                .iter()
                .map(|header| (header.hash(), header))
                .collect(),
        )
    }
}

impl<H: Header> Chain<H::Hash, H::Number> for Ancestry<'_, H>
where
    H::Number: BlockNumberOps,
{
    fn ancestry(&self, base: H::Hash, block: H::Hash) -> Result<Vec<H::Hash>, GrandpaError> {
        #[cfg(test)]
        tests::WALKS.with(|walks| walks.set(walks.get() + 1));
        let mut route = Vec::new();
        let mut current = block;
        while current != base {
            let header = self.0.get(&current).ok_or(GrandpaError::NotDescendent)?;
            current = *header.parent_hash();
            route.push(current);
            if route.len() > self.0.len() {
                return Err(GrandpaError::NotDescendent);
            }
        }
        route.pop();
        Ok(route)
    }
}

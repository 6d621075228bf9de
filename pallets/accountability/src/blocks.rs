// SPDX-License-Identifier: Apache-2.0

//! Two blocks of one slot.

use alloc::vec::Vec;
use codec::{Compact, Decode, DecodeAll};
use frame_support::ensure;
use frame_system::pallet_prelude::{BlockNumberFor, HeaderFor};
use sp_consensus_aura::{
    digests::CompatibleDigestItem,
    sr25519::{AuthorityId, AuthoritySignature},
};
use sp_runtime::{
    traits::{Hash, Header},
    RuntimeAppPublic,
};
use sp_staking::SessionIndex;

use crate::{Call, Config, Equivocation, Error, Finding, Pallet, SealedHeader, MAX_DIGEST_ITEMS};

/// What a sealed header says.
struct Sealed<T: Config> {
    number: BlockNumberFor<T>,
    slot: u64,
    /// Hash of the header without the seal: what the author signed.
    content: T::Hash,
    seal: AuthoritySignature,
}

/// How many digest items an encoded header says that it has, before any of them is decoded.
fn digest_items<T: Config>(header: &[u8]) -> Option<u32> {
    // Parent, number, roots of the state and of the extrinsics; a compact number has one form, whatever its type.
    type Before<Hash> = (Hash, Compact<u64>, Hash, Hash);
    let (_, items) = <(Before<T::Hash>, Compact<u32>)>::decode(&mut &header[..]).ok()?;
    Some(items.0)
}

impl<T: Config> Sealed<T> {
    fn read(bytes: &SealedHeader) -> Option<Self> {
        if digest_items::<T>(bytes)? > MAX_DIGEST_ITEMS {
            return None;
        }
        let mut header = HeaderFor::<T>::decode_all(&mut &bytes[..]).ok()?;
        let seal = header.digest_mut().pop()?.as_aura_seal()?;
        let slot = header.digest().logs().iter().find_map(|item| {
            CompatibleDigestItem::<AuthoritySignature>::as_aura_pre_digest(item)
        })?;
        Some(Self {
            number: *header.number(),
            slot: slot.into(),
            content: header.hash(),
            seal,
        })
    }

    /// The session whose validators could make this block, the seat whose slot it was, and the key there.
    fn author(&self) -> Result<(SessionIndex, usize, AuthorityId), Error<T>> {
        let current = pallet_session::Pallet::<T>::current_index();
        let session =
            Pallet::<T>::session_of_block(self.number, Pallet::<T>::oldest_session(), current)
                .ok_or(Error::SessionForgotten)?;
        let (_, roster) = Pallet::<T>::remembered(session).ok_or(Error::SessionForgotten)?;
        let seat = self.slot.checked_rem(roster.len() as u64);
        let seat = seat.ok_or(Error::BadSeal)? as usize;
        let key = roster.get(seat).ok_or(Error::BadSeal)?.aura.clone();
        Ok((session, seat, key))
    }

    /// What makes it another block than others. One content sealed twice is two blocks, with two hashes, on which the chain
    /// forks; and nobody but the author can seal again: an sr25519 signature has one form, and needs the key.
    fn identity(&self) -> (&T::Hash, &AuthoritySignature) {
        (&self.content, &self.seal)
    }

    fn is_sealed_by(&self, author: &AuthorityId) -> bool {
        author.verify(&self.content.as_ref(), &self.seal)
    }
}

impl<T: Config> Pallet<T> {
    /// The report of two blocks of one slot, by their encoded headers with their seals; none if they prove nothing, or
    /// nothing new.
    pub fn block_report(first: Vec<u8>, second: Vec<u8>) -> Option<Call<T>> {
        let (first, second) = (first.try_into().ok()?, second.try_into().ok()?);
        Self::worth_a_place(Self::find_two_blocks(&first, &second)).ok()?;
        Some(Call::report_block_equivocation { first, second })
    }

    /// What two sealed headers prove.
    pub(crate) fn find_two_blocks(
        first: &SealedHeader,
        second: &SealedHeader,
    ) -> Result<Finding<T>, Error<T>> {
        let one = Sealed::<T>::read(first).ok_or(Error::NotAHeader)?;
        let other = Sealed::<T>::read(second).ok_or(Error::NotAHeader)?;
        ensure!(
            one.slot == other.slot && one.identity() != other.identity(),
            Error::NoTwoBlocks
        );
        // The headers may come in either order.
        let (one, other) = match one.number <= other.number {
            true => (one, other),
            false => (other, one),
        };
        let (session, seat, author) = one.author()?;
        let (_, _, same) = other.author()?;
        ensure!(
            author == same && one.is_sealed_by(&author) && other.is_sealed_by(&author),
            Error::BadSeal
        );
        let mut proof = first.to_vec();
        proof.extend_from_slice(second);
        Ok(Finding {
            session,
            seat,
            equivocation: Equivocation::TwoBlocks { slot: one.slot },
            proof: T::Hashing::hash(&proof),
        })
    }
}

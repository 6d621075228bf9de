// SPDX-License-Identifier: Apache-2.0

//! What a node does for the runtime with all runs of a batch at once: links, and the check of signatures.
//!
//! The runtime is Wasm, on one thread and without SIMD. A link by itself costs it copies and a call of the node beside the hash.
//! And a batch of Ed25519 signatures is checked with one multiplication over all of them, which
//! costs less than half of what checking one by one does, on as many processors as the node has.
//!
//! These are the functions that the runtime asks of a node beside Substrate's own.

use sp_runtime_interface::{
    pass_by::{PassFatPointerAndRead, PassFatPointerAndWrite},
    runtime_interface,
};

/// Bytes of what [`run_checks::signed_ones`] reads of one signature: itself, the key that should have made it, and the link that
/// it is over.
pub const SIGNED: usize = 64 + 32 + 32;

/// Bytes of a link.
pub(crate) const LINK: usize = 32;

/// Signatures that are checked together where some are invalid: of a group with an invalid one each is checked by itself. The same
/// on every node, because it is charged.
pub const GROUP: usize = 16;

/// Fewer signatures than these are not worth a processor of their own.
#[cfg(not(substrate_runtime))]
const SHARE: usize = 64;

/// Host functions of this chain's nodes.
#[runtime_interface]
pub trait RunChecks {
    /// Writes the links that the entries of these runs have if each `previous` is taken at its word, one run's after the other's,
    /// into `links`. The runs are encoded one after the other.
    ///
    /// Sequences that go beyond the last number wrap around here.
    fn links(runs: PassFatPointerAndRead<&[u8]>, links: PassFatPointerAndWrite<&mut [u8]>) {
        use hashchain::{DataDigest, LinkHash, Native, Tag};

        let mut places = links.as_chunks_mut::<LINK>().0.iter_mut();
        for run in crate::runs::views(runs) {
            let mut previous = LinkHash(run.previous.0);
            for ((entry, sequence), place) in run.entries.iter().zip(0..).zip(&mut places) {
                previous = hashchain::link::<Native>(
                    run.sequence.wrapping_add(sequence),
                    &previous,
                    &DataDigest(entry.digest.0),
                    &Tag(entry.tag.0),
                );
                *place = previous.0;
            }
        }
    }

    /// Writes for each of these Ed25519 signatures over `enc("head", link)` whether it is valid, 1 or 0, by the rules of ZIP 215,
    /// which Substrate's own `ed25519_verify` follows, too. Each is [`SIGNED`] bytes; if they are not whole, or not as many as there are
    /// places, none is valid.
    ///
    /// An invalid one passes with a probability of 2⁻¹²⁸: the check multiplies by random numbers, which no author of signatures can
    /// know.
    fn signed_ones(signed: PassFatPointerAndRead<&[u8]>, valid: PassFatPointerAndWrite<&mut [u8]>) {
        together::signed_ones(signed, valid);
    }
}

/// The check of many signatures.
#[cfg(not(substrate_runtime))]
mod together {
    use super::{GROUP, SHARE, SIGNED};
    use core::sync::atomic::{AtomicBool, Ordering};
    use ed25519_zebra::batch::{Item, Verifier};
    use rayon::prelude::*;

    /// Whether some were invalid the last time. Then some most likely are again, and a check of all would be in vain. What comes out
    /// is the same either way.
    static SOME_WERE_INVALID: AtomicBool = AtomicBool::new(false);

    pub(super) fn signed_ones(signed: &[u8], valid: &mut [u8]) {
        let (signed, rest) = signed.as_chunks::<SIGNED>();
        valid.fill(0);
        if !rest.is_empty() || valid.len() != signed.len() {
            return;
        }
        if !SOME_WERE_INVALID.load(Ordering::Relaxed) && all_valid(signed) {
            valid.fill(1);
            return;
        }
        let groups = signed.par_chunks(GROUP).zip(valid.par_chunks_mut(GROUP));
        groups.for_each(|(signed, valid)| match are_valid(signed) {
            true => valid.fill(1),
            false => {
                for (signed, valid) in signed.iter().zip(valid) {
                    *valid = item(signed).verify_single().is_ok().into();
                }
            }
        });
        SOME_WERE_INVALID.store(valid.contains(&0), Ordering::Relaxed);
    }

    fn all_valid(signed: &[[u8; SIGNED]]) -> bool {
        let share = signed.len().div_ceil(rayon::current_num_threads());
        signed.par_chunks(share.max(SHARE)).all(are_valid)
    }

    fn are_valid(signed: &[[u8; SIGNED]]) -> bool {
        let mut batch = Verifier::new();
        signed.iter().for_each(|bytes| batch.queue(item(bytes)));
        batch.verify(rand_core::OsRng).is_ok()
    }

    fn item(bytes: &[u8; SIGNED]) -> Item {
        let (signature, rest) = bytes.split_first_chunk::<64>().expect("64 of 128; qed");
        let (key, link) = rest.split_first_chunk::<32>().expect("32 of 64; qed");
        let link = link.first_chunk().expect("32 of 32; qed");
        let message = hashchain::head_message(&hashchain::LinkHash(*link));
        let key = ed25519_zebra::VerificationKeyBytes::from(*key);
        Item::from((key, ed25519_zebra::Signature::from(*signature), &message))
    }
}

#[cfg(not(substrate_runtime))]
pub use run_checks::HostFunctions;

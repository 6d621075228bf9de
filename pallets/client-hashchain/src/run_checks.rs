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

/// Bytes of what [`run_checks::all_signed`] reads of one signature: itself, the key that should have made it, and the link that
/// it is over.
pub const SIGNED: usize = 64 + 32 + 32;

/// Bytes of a link.
pub(crate) const LINK: usize = 32;

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

    /// Whether every one of these Ed25519 signatures over `enc("head", link)` is valid by the rules of ZIP 215, which
    /// Substrate's own `ed25519_verify` follows, too. Each is [`SIGNED`] bytes; none at all are valid.
    ///
    /// False says only that one of them is not. An invalid one passes with a probability of 2⁻¹²⁸: the check multiplies by
    /// random numbers, which no author of signatures can know.
    fn all_signed(signed: PassFatPointerAndRead<&[u8]>) -> bool {
        use rayon::prelude::*;

        let (signed, rest) = signed.as_chunks::<SIGNED>();
        let share = signed.len().div_ceil(rayon::current_num_threads());
        rest.is_empty() && signed.par_chunks(share.max(SHARE)).all(share_is_signed)
    }
}

#[cfg(not(substrate_runtime))]
fn share_is_signed(signed: &[[u8; SIGNED]]) -> bool {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    for bytes in signed {
        let (signature, rest) = bytes.split_first_chunk::<64>().expect("64 of 128; qed");
        let (key, link) = rest.split_first_chunk::<32>().expect("32 of 64; qed");
        let link = link.first_chunk().expect("32 of 32; qed");
        let message = hashchain::head_message(&hashchain::LinkHash(*link));
        let key = ed25519_zebra::VerificationKeyBytes::from(*key);
        let signature = ed25519_zebra::Signature::from(*signature);
        batch.queue((key, signature, &message));
    }
    batch.verify(rand_core::OsRng).is_ok()
}

#[cfg(not(substrate_runtime))]
pub use run_checks::HostFunctions;

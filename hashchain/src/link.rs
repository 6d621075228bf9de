// SPDX-License-Identifier: Apache-2.0

//! The links of the chain: what anybody, the runtime too, computes and checks without a secret.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::encoding::{encode, length_prefix, Frame, Sha256};
use crate::newtypes::{DataDigest, DeviceId, LinkHash, StudyId, Tag};
use crate::ratchet::Secret;

/// Bytes of the message that a device signs, see [`head_message`].
pub const HEAD_MESSAGE_LENGTH: usize = 67;

const GENESIS: Frame<222, 6> = Frame::new("genesis", [32, 4, 32, 32, 32, 32]);
const LINK: Frame<151, 4> = Frame::new("link", [8, 32, 32, 32]);
const HEAD: Frame<HEAD_MESSAGE_LENGTH, 1> = Frame::new("head", [32]);
const SECRET: Frame<69, 1> = Frame::new("secret", [32]);
const DATA: Frame<31, 0> = Frame::new("data", []);
const ESCROW: Frame<33, 0> = Frame::new("escrow", []);

/// What a device's chain starts from. All of it stands on chain, so nobody can give a device another past, secret
/// or escrow later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolment<'a> {
    /// Hash of the blockchain's genesis block: an entry made for one network is worth nothing on another.
    pub chain: &'a [u8; 32],
    /// The study's number on that blockchain.
    pub study: StudyId,
    /// The device's public Ed25519 key.
    pub device_key: &'a [u8; 32],
    /// Last trusted head of the device that this one replaces; `None` (32 zero bytes) for a first enrolment.
    pub predecessor: Option<LinkHash>,
    /// See [`secret_commitment`].
    pub secret_commitment: &'a [u8; 32],
    /// See [`escrow_commitment`].
    pub escrow_commitment: &'a [u8; 32],
}

/// `h_0`, the hash that the chain of an enrolled device starts from.
pub fn genesis<H: Sha256>(enrolment: &Enrolment<'_>) -> LinkHash {
    let predecessor = enrolment.predecessor.map_or([0; 32], |head| head.0);
    LinkHash(H::sha256(&GENESIS.fill([
        enrolment.chain,
        &enrolment.study.0.to_be_bytes(),
        enrolment.device_key,
        &predecessor,
        enrolment.secret_commitment,
        enrolment.escrow_commitment,
    ])))
}

/// What the holder of a device's key agrees to when the device is enrolled.
#[derive(Clone, Copy, Debug)]
pub struct KeyProof<'a> {
    /// Hash of the blockchain's genesis block.
    pub chain: &'a [u8; 32],
    /// The study's id on that chain.
    pub study: StudyId,
    /// Account of the authentication server that enrols the device. Nobody else can.
    pub server: &'a [u8; 32],
    /// The device's public Ed25519 key.
    pub device_key: &'a [u8; 32],
    /// The retired device that this one replaces.
    pub predecessor: Option<DeviceId>,
    /// [`secret_commitment`] of the device's secret.
    pub secret_commitment: &'a [u8; 32],
    /// [`escrow_commitment`] of the secret, sealed to the study's auditor.
    pub escrow_commitment: &'a [u8; 32],
    /// Which of the study's auditor keys that was, counted from 0.
    pub auditor_epoch: u32,
    /// That key. The chain puts its own here, so the proof fails if the device was told another.
    pub auditor_key: &'a [u8; 32],
    /// [`participant_digest`] of the key to which the device seals its data.
    pub participant: &'a [u8; 32],
}

/// `enc("key-proof", chain, u32 study, server, device key, u32 predecessor or nothing, H("secret", S), H("escrow", escrow), u32 epoch,
/// auditor key, H("participant", participant key))`: what the device signs, so that the chain enrols its key for nobody else and with nothing else.
pub fn key_proof_message(proof: &KeyProof<'_>) -> Vec<u8> {
    let predecessor = proof.predecessor.map(|device| device.0.to_be_bytes());
    encode(
        "key-proof",
        &[
            proof.chain,
            &proof.study.0.to_be_bytes(),
            proof.server,
            proof.device_key,
            predecessor.as_ref().map_or(&[], |number| number.as_slice()),
            proof.secret_commitment,
            proof.escrow_commitment,
            &proof.auditor_epoch.to_be_bytes(),
            proof.auditor_key,
            proof.participant,
        ],
    )
}

/// `H("participant", participant key)`: says to which X25519 key a device seals its data, without showing the key. The part is empty
/// where data are not sealed, so that leaving a key out changes the digest, too.
pub fn participant_digest<H: Sha256>(participant_key: Option<&[u8; 32]>) -> [u8; 32] {
    let key = participant_key.map_or(&[][..], |key| key.as_slice());
    H::sha256(&encode("participant", &[key]))
}

/// `h_i = H("link", u64 i, h_(i-1), d_i, t_i)`, the hash of entry `sequence`.
#[inline]
pub fn link<H: Sha256>(
    sequence: u64,
    previous: &LinkHash,
    digest: &DataDigest,
    tag: &Tag,
) -> LinkHash {
    LinkHash(H::sha256(&LINK.fill([
        &sequence.to_be_bytes(),
        &previous.0,
        &digest.0,
        &tag.0,
    ])))
}

/// `enc("head", h_j)`: what the device signs, once a run, over the run's last link.
pub fn head_message(head: &LinkHash) -> [u8; HEAD_MESSAGE_LENGTH] {
    HEAD.fill([&head.0])
}

/// `d = H("data", envelope)`, the digest of an envelope's bytes, whatever is in them.
///
/// # Panics
///
/// If the envelope is 4 GiB or longer.
pub fn data_digest<H: Sha256>(envelope: &[u8]) -> DataDigest {
    let data = DATA.fill([]);
    DataDigest(H::sha256_of_parts(&[
        &data,
        &length_prefix(envelope),
        envelope,
    ]))
}

/// `H("secret", S)`: binds a device to its secret and tells nothing about it.
pub fn secret_commitment<H: Sha256>(secret: &Secret) -> [u8; 32] {
    H::sha256(&*Zeroizing::new(SECRET.fill([secret.expose()])))
}

/// `H("escrow", escrow)`, for the bytes of the escrow as they stand on chain.
///
/// # Panics
///
/// If the escrow is 4 GiB or longer.
pub fn escrow_commitment<H: Sha256>(escrow: &[u8]) -> [u8; 32] {
    let label = ESCROW.fill([]);
    H::sha256_of_parts(&[&label, &length_prefix(escrow), escrow])
}

/// One entry of a device's chain, as a device makes it and as others claim it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the chain; the first entry is 1.
    pub sequence: u64,
    /// Hash of the entry before, or the chain's `h_0`.
    pub previous: LinkHash,
    /// Digest of the envelope.
    pub digest: DataDigest,
    /// What only the holder of the secret can make.
    pub tag: Tag,
    /// Hash of this entry.
    pub hash: LinkHash,
}

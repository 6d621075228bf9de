// SPDX-License-Identifier: Apache-2.0

//! What stands under which key of a [`PhoneStore`](crate::host::PhoneStore), in SCALE.
//!
//! | key | value |
//! |---|---|
//! | `m` | [`Made`]: version, wrapped key, probe |
//! | `t` | [`Begun`]: terms and salt |
//! | `a` | the chain's authorities, as proved last |
//! | `b` | doubts about relays |
//! | `l` | addresses of the relays that the authentication server named last |
//! | `n` | [`Notes`] |
//! | `d` device | [`Fixed`]: what a device is made with; its seed encrypted |
//! | `s` device | [`State`]: what changes; ratchet key and code encrypted |
//! | `c` device | hash of the code by which a device was enrolled, as its server keeps it |
//! | `k` device | hash of the code that a device was made for |
//! | `x` device | how many of a device's entries were taken out for an auditor |
//! | `e` device sequence | [`Line`]: an entry without its data |
//! | `v` device sequence | its envelope |
//! | `o` device hash of a source | sequence of the source's last entry |
//! | `r` device sequence | [`RunLine`]: a run that was formed and is not delivered |
//!
//! Devices are four bytes and sequences eight, big end first.

use alloc::{string::String, vec::Vec};

use codec::{Decode, Encode};
use hashchain::{Native, Sha256};

use crate::book::LocalId;

/// Version of all this. A library refuses stores of others.
pub(super) const VERSION: u32 = 1;

pub(super) const MADE: &[u8] = b"m";
pub(super) const BEGUN: &[u8] = b"t";
pub(super) const ANCHOR: &[u8] = b"a";
pub(super) const DOUBTS: &[u8] = b"b";
pub(super) const RELAYS: &[u8] = b"l";
pub(super) const NOTES: &[u8] = b"n";

/// That there is a store.
#[derive(Encode, Decode)]
pub(super) struct Made {
    pub(super) version: u32,
    pub(super) wrapped: Vec<u8>,
    pub(super) probe: Vec<u8>,
}

/// The study that its devices are for.
#[derive(Encode, Decode)]
pub(super) struct Begun {
    pub(super) chain: [u8; 32],
    pub(super) study: u32,
    pub(super) auditor_key: [u8; 32],
    pub(super) auditor_epoch: u32,
    pub(super) salt: [u8; 32],
}

/// What a screen shows beside the devices, and whom to ask.
#[derive(Clone, Debug, Default, Encode, Decode)]
pub(crate) struct Notes {
    /// Base address of the authentication server.
    pub(crate) authentication: Option<String>,
    pub(crate) last_contact: Option<i64>,
    pub(crate) next_try: Option<i64>,
    /// Tries in a row that failed.
    pub(crate) failures: u32,
    pub(crate) last_fault: Option<String>,
    /// Stable name of what the person was to do about it.
    pub(crate) advice: Option<String>,
}

/// What a device is made with.
#[derive(Encode, Decode)]
pub(super) struct Fixed {
    pub(super) key: [u8; 32],
    pub(super) seed: Vec<u8>,
    pub(super) secret_commitment: [u8; 32],
    pub(super) escrow: Vec<u8>,
    pub(super) auditor_key: [u8; 32],
    pub(super) auditor_epoch: u32,
    pub(super) predecessor: Option<(u32, [u8; 32])>,
    pub(super) genesis: [u8; 32],
}

/// What changes of a device.
#[derive(Encode, Decode)]
pub(super) struct State {
    pub(super) length: u64,
    pub(super) head: [u8; 32],
    pub(super) ratchet: Vec<u8>,
    pub(super) checksum: [u8; 16],
    pub(super) confirmed: u64,
    pub(super) frozen: Option<String>,
    pub(super) seen: u32,
    pub(super) said: Option<u32>,
    pub(super) number: Option<u32>,
    pub(super) code: Option<Vec<u8>>,
    pub(super) recipient: Option<[u8; 32]>,
}

/// An entry without its data.
#[derive(Encode, Decode)]
pub(super) struct Line {
    pub(super) digest: [u8; 32],
    pub(super) tag: [u8; 32],
    pub(super) hash: [u8; 32],
    pub(super) content: [u8; 16],
    pub(super) sealed: i64,
    pub(super) bytes: u64,
}

/// A run without its entries.
#[derive(Encode, Decode)]
pub(super) struct RunLine {
    pub(super) last: u64,
    pub(super) signature: [u8; 64],
    pub(super) refusal: Option<String>,
    pub(super) holders: Vec<String>,
}

fn device(tag: u8, id: LocalId) -> Vec<u8> {
    let id = u32::try_from(id.0).unwrap_or(u32::MAX);
    [&[tag][..], &id.to_be_bytes()].concat()
}

fn numbered(tag: u8, id: LocalId, sequence: u64) -> Vec<u8> {
    [&device(tag, id)[..], &sequence.to_be_bytes()].concat()
}

pub(super) fn fixed(id: LocalId) -> Vec<u8> {
    device(b'd', id)
}

pub(super) fn state(id: LocalId) -> Vec<u8> {
    device(b's', id)
}

pub(super) fn redeemed(id: LocalId) -> Vec<u8> {
    device(b'c', id)
}

pub(super) fn made_for(id: LocalId) -> Vec<u8> {
    device(b'k', id)
}

pub(super) fn exported(id: LocalId) -> Vec<u8> {
    device(b'x', id)
}

pub(super) fn line(id: LocalId, sequence: u64) -> Vec<u8> {
    numbered(b'e', id, sequence)
}

pub(super) fn envelope(id: LocalId, sequence: u64) -> Vec<u8> {
    numbered(b'v', id, sequence)
}

pub(super) fn run(id: LocalId, first: u64) -> Vec<u8> {
    numbered(b'r', id, first)
}

/// The end of the keys of a device's runs.
pub(super) fn runs_end(id: LocalId) -> Vec<u8> {
    [&numbered(b'r', id, u64::MAX)[..], &[0]].concat()
}

pub(super) fn source(salt: &[u8; 32], id: LocalId, source: &str) -> Vec<u8> {
    let parts: [&[u8]; 3] = [b"mhealth-device/source", salt, source.as_bytes()];
    let hash = Native::sha256_of_parts(&parts);
    [&device(b'o', id)[..], &hash].concat()
}

/// The number at the end of a key.
pub(super) fn sequence(key: &[u8]) -> Option<u64> {
    let end = key.get(5..13)?;
    Some(u64::from_be_bytes(end.try_into().ok()?))
}

/// The device of a key.
pub(super) fn id(key: &[u8]) -> Option<LocalId> {
    let id = key.get(1..5)?;
    Some(LocalId(u32::from_be_bytes(id.try_into().ok()?).into()))
}

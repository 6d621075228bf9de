// SPDX-License-Identifier: Apache-2.0
//! What a device asks of the chain, whichever way it gets there.
//!
//! [`Direct`](crate::direct::Direct) is the paper's Figure 1a: the device talks to a node itself. Tests use a chain in
//! memory. Everything read is **finalised**: what a device sees here is never taken back.

use std::future::Future;

use hashchain::{DataDigest, LinkHash};

use crate::{
    key::{DeviceKey, PublicKey},
    store::{DeviceRecord, QueuedRun},
};

/// The chain did not do what was asked. Nothing is lost by it: whatever was sent can be sent again, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChainFault {
    /// Stable name.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether waiting and asking again may help.
    pub passing: bool,
}

/// A study, as far as its devices need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StudyTerms {
    /// X25519 key that secrets are escrowed to.
    pub auditor_key: [u8; 32],
    /// Whether it takes entries.
    pub open: bool,
}

/// An enrolled device, as the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainDevice {
    /// The number that the chain gave it.
    pub id: u32,
    /// `h_0`, which commits to study, key, secret, escrow and predecessor.
    pub genesis: LinkHash,
    /// Its head.
    pub head: ChainHead,
}

/// The head of a device's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Hash of the latest entry, or `h_0`.
    pub hash: LinkHash,
    /// Number of entries.
    pub length: u64,
}

/// An entry, as the chain has it: everything but tag and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    /// Its place in the device's chain.
    pub sequence: u64,
    /// Digest of the envelope.
    pub digest: DataDigest,
    /// Its hash.
    pub hash: LinkHash,
}

/// The chain refused something, and will refuse it again as long as things stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRefusal {
    /// Stable name, such as `ClientHashchain.PreviousIsNotHead`.
    pub code: String,
    /// For people.
    pub message: String,
}

impl ChainRefusal {
    /// Whether the run does not fit the chain's head: the device should compare the two before anything else.
    pub fn is_about_the_head(&self) -> bool {
        let name = self.code.rsplit('.').next().unwrap_or_default();
        ["Gap", "PreviousIsNotHead", "Fork", "BeyondReach"].contains(&name)
    }
}

/// What came of an enrolment or a run: finalised, or refused.
pub type Verdict = Result<(), ChainRefusal>;

/// A device and its runs that are to be sent, in order.
#[derive(Debug)]
pub struct Upload {
    /// The number that the chain gave the device.
    pub device: u32,
    /// Its key: in the direct form it signs the transactions, too.
    pub key: DeviceKey,
    /// The runs, each following the one before.
    pub runs: Vec<QueuedRun>,
}

/// The way to the chain.
pub trait Chain {
    /// Hash of the chain's genesis block.
    fn genesis(&self) -> [u8; 32];

    /// A study; `None` if there is none of this number.
    fn study(
        &self,
        study: u32,
    ) -> impl Future<Output = Result<Option<StudyTerms>, ChainFault>> + Send;

    /// The devices that are enrolled with these keys, in the order of the keys; `None` where there is none.
    fn devices(
        &self,
        keys: &[PublicKey],
    ) -> impl Future<Output = Result<Vec<Option<ChainDevice>>, ChainFault>> + Send;

    /// Heads of devices by the chain's numbers, in their order, all as of the same block.
    fn heads(
        &self,
        devices: &[u32],
    ) -> impl Future<Output = Result<Vec<Option<ChainHead>>, ChainFault>> + Send;

    /// Up to `count` entries of a device from sequence `from` on, oldest first; the chain may give fewer.
    fn entries(
        &self,
        device: u32,
        from: u64,
        count: u32,
    ) -> impl Future<Output = Result<Vec<ChainEntry>, ChainFault>> + Send;

    /// Enrols devices in a study and waits until each is finalised or refused. One verdict a device, in order.
    fn enrol(
        &self,
        study: u32,
        devices: &[DeviceRecord],
    ) -> impl Future<Output = Result<Vec<Verdict>, ChainFault>> + Send;

    /// Sends the runs of several devices and waits until each is finalised or refused. One list of verdicts a device,
    /// one verdict a run, in order. That the entries of a run are recorded already is no refusal.
    fn upload(
        &self,
        uploads: Vec<Upload>,
    ) -> impl Future<Output = Result<Vec<Vec<Verdict>>, ChainFault>> + Send;
}

// SPDX-License-Identifier: Apache-2.0

//! What a device asks of the chain, whichever way it gets there.
//!
//! [`Servers`](crate::servers::Servers) is the paper's Figures 1b and 1c: the device goes through an authentication
//! server and relays. The simulator has the way of Figure 1a, on which a device talks to a node itself; tests use a chain
//! in memory. Whoever is asked may lie. What counts is a [`FinalHead`], which a [`HeadChecker`] made of a proof.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{
    future::{pending, Future},
    pin::pin,
};

use futures_util::future::{select, Either};
use hashchain::{DeviceId, LinkHash, Run, StudyId};
use mhealth_api::{Head, Refusal, RegisteredEntry};

pub use crate::{
    key::{DeviceKey, Signature},
    proof::{Checked, FinalHead, HeadChecker, Learned, ProofFault, Question},
};

use crate::{
    book::{DeviceRecord, EnrolmentCode},
    key::PublicKey,
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
    /// How many keys the auditor had before.
    pub auditor_epoch: u32,
    /// Whether it takes entries.
    pub open: bool,
}

/// An enrolled device, as a server says that the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainDevice {
    /// The number that the chain gave it.
    pub number: DeviceId,
    /// `h_0`, which commits to study, key, secret, escrow and predecessor.
    pub genesis: LinkHash,
    /// Its head.
    pub head: Head,
    /// Whether it is retired: the chain takes no more entries of it.
    pub retired: bool,
}

/// The chain or a server refused something, and will refuse it again as long as things stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChainRefusal {
    /// Stable code: the chain's reason, such as `previous_is_not_head`, or a server's.
    pub code: String,
    /// The chain's reason, where the chain refused and not a server.
    pub reason: Option<Refusal>,
    /// For people.
    pub message: String,
}

impl ChainRefusal {
    /// The chain refused it for this reason.
    pub fn by_chain(reason: Refusal, message: impl Into<String>) -> Self {
        Self {
            code: reason.to_string(),
            message: message.into(),
            reason: Some(reason),
        }
    }

    /// A server or this device refused it, before the chain was asked.
    pub fn before_the_chain(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            reason: None,
        }
    }

    /// Whether the run does not fit the chain's head: the device should compare the two before anything else.
    pub fn is_about_the_head(&self) -> bool {
        self.reason.as_ref().is_some_and(Refusal::asks_to_resend)
    }
}

/// What came of something that was asked for: done and finalised, or refused.
pub type Decision<T> = Result<T, ChainRefusal>;

/// A device that is to be enrolled.
#[derive(Debug)]
pub struct Enrolment {
    /// What the chain is to know of it.
    pub device: DeviceRecord,
    /// Its key, with which it proves that it possesses it.
    pub key: DeviceKey,
    /// The code that staff handed out for it. The direct form needs none.
    pub code: Option<EnrolmentCode>,
}

/// A device and its runs that are to be sent, in order.
#[derive(Debug)]
pub struct Upload {
    /// The number that the chain gave the device.
    pub device: DeviceId,
    /// Its key: in the direct form it signs the transactions, through servers it gets the device its tokens.
    pub key: DeviceKey,
    /// Whether the chain was proved to have the device's own enrolment under this number.
    pub proved: bool,
    /// The runs, each following the one before.
    pub runs: Vec<OutgoingRun>,
}

impl Upload {
    /// What is asked to find out what became of the runs.
    pub fn question(&self) -> Question {
        Question {
            device: self.device,
            key: self.key.public(),
            record: !self.proved,
        }
    }
}

/// A run with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRun {
    /// The run.
    pub run: Run,
    /// The envelopes of its entries, in order; none where [`UploadPolicy::carries_data`] says so.
    pub envelopes: Vec<Vec<u8>>,
    /// Base addresses of the relays that acknowledged it before. None while it is not known to be finalised: what a relay
    /// acknowledged it may have lost.
    pub holders: Vec<String>,
}

/// That a run is finalised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Base addresses of the relays that hold the run with its data; none in the direct form.
    pub holders: Vec<String>,
    /// The finalised head that has the run. Without it the device asks for its head.
    pub head: Option<FinalHead>,
}

/// How a way to the chain is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPolicy {
    /// Whether runs go with their data. The chain itself takes digests only.
    pub carries_data: bool,
    /// Whether what the chain holds of a device is the hashchain that the device made. In the topologies of Figures 2a
    /// and 2b a relay chains on the devices' behalf; then only numbers of entries can be compared, and nothing shows
    /// that an entry is foreign.
    pub keeps_hashchain: bool,
    /// Whether words are taken for proofs, because the chain has none. Whoever is asked can then make runs vanish and
    /// stop devices.
    pub trusts_words: bool,
    /// How many relays are to hold each run.
    pub copies: u32,
    /// Devices of one enrolment.
    pub enrolments_at_a_time: usize,
    /// Devices of one upload.
    pub devices_at_a_time: usize,
    /// Uploads that are under way at a time.
    pub uploads_at_a_time: usize,
    /// Runs of one device in one upload.
    pub runs_at_a_time: u32,
}

impl Default for UploadPolicy {
    fn default() -> Self {
        Self {
            carries_data: false,
            keeps_hashchain: true,
            trusts_words: false,
            copies: 1,
            enrolments_at_a_time: 128,
            devices_at_a_time: 128,
            uploads_at_a_time: 1,
            runs_at_a_time: 16,
        }
    }
}

/// Does something before something else is over. `None`: it took longer, and was dropped.
pub(crate) async fn before<F: Future>(end: impl Future<Output = ()>, work: F) -> Option<F::Output> {
    match select(pin!(work), pin!(end)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// The way to the chain. Its futures need not be `Send`.
pub trait Chain {
    /// Hash of the chain's genesis block.
    fn genesis(&self) -> [u8; 32];

    /// How it is to be used.
    fn policy(&self) -> UploadPolicy {
        UploadPolicy::default()
    }

    /// Lets an enrolled device find out whom it will talk to, where that is not known from the start. Called before
    /// anything is asked for the device.
    fn introduce(
        &self,
        _device: DeviceId,
        _key: &DeviceKey,
    ) -> impl Future<Output = Result<Decision<()>, ChainFault>> {
        async { Ok(Ok(())) }
    }

    /// Waits until half of what is left of the call that is under way is over, where calls have deadlines; for ever otherwise.
    fn half_time(&self) -> impl Future<Output = ()> {
        pending()
    }

    /// A study; `None` if there is none of this number.
    fn study(&self, study: StudyId)
        -> impl Future<Output = Result<Option<StudyTerms>, ChainFault>>;

    /// The numbers of the devices that are enrolled with these keys, in the order of the keys; `None` where nobody knows one.
    /// Whoever names another device's is not believed.
    fn find(
        &self,
        checker: &HeadChecker,
        keys: &[PublicKey],
    ) -> impl Future<Output = Result<Vec<Option<DeviceId>>, ChainFault>>;

    /// Finalised heads of devices, in the order of the questions. Whoever gives a proof that the checker does not take is not
    /// believed, and others are asked.
    fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> impl Future<Output = Vec<Result<FinalHead, ChainFault>>>;

    /// Up to `count` entries of a device from sequence `from` on, oldest first; fewer when there are no more. Nothing proves them but
    /// their links. `source` says who is asked, from 0 on; `None` when there is nobody more.
    fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> impl Future<Output = Result<Option<Vec<RegisteredEntry>>, ChainFault>>;

    /// Enrols devices in a study and waits until each is said to be finalised or refused. One decision a device, in order.
    /// A device that is enrolled already is found, not enrolled twice.
    fn enrol(
        &self,
        study: StudyId,
        enrolments: Vec<Enrolment>,
    ) -> impl Future<Output = Result<Vec<Decision<ChainDevice>>, ChainFault>>;

    /// Sends the runs of several devices and waits until each is finalised or refused. One list of decisions a device,
    /// one decision a run, in order. That the entries of a run are recorded already is no refusal.
    fn upload(
        &self,
        checker: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> impl Future<Output = Result<Vec<Vec<Decision<Receipt>>>, ChainFault>>;
}

// SPDX-License-Identifier: Apache-2.0

//! What a device believes of the chain, and why.
//!
//! Whatever a relay says only changes where the device sends next. What makes it forget a run, or stop, is a
//! [`FinalHead`], and there are two ways to one: a proof that the device has checked, from the set of authorities on that it
//! knew before ([`HeadChecker::check`]); or, for a chain that has no such proofs and a device that was told so, a word
//! ([`HeadChecker::take_word`]).

use alloc::{collections::BTreeMap, sync::Arc};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use hashchain::{DeviceId, LinkHash};
use mhealth_api::Head;
use mhealth_evidence::{Anchor, Checkpoint, DeviceHead, DeviceRecord, DeviceStatus, HeadProof};

use crate::{
    chain::{ChainDevice, ChainFault},
    lock::Mutex,
};

/// A device's finalised head that the device may go by. Only [`HeadChecker`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalHead {
    device: DeviceId,
    head: Head,
    block: Option<u32>,
    enrolment: Option<Enrolled>,
    fate: Fate,
}

/// Whether the chain takes more entries of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It does.
    GoesOn,
    /// Not at present. A retirement that came due without a word in the state shows in the record alone.
    Suspended,
    /// Never again.
    Retired,
}

impl Fate {
    fn of(head: &DeviceHead, record: Option<&DeviceRecord>, block: u32) -> Self {
        let due = record.is_some_and(|record| record.is_retired_at(block));
        match head.status {
            DeviceStatus::Retired => Self::Retired,
            _ if due => Self::Retired,
            DeviceStatus::Suspended(_) => Self::Suspended,
            DeviceStatus::Active => Self::GoesOn,
        }
    }
}

/// What the chain has of a device's enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enrolled {
    /// The device's key; none where only words tell of it, which name the device by its key.
    pub(crate) key: Option<[u8; 32]>,
    /// Link 0.
    pub(crate) genesis: LinkHash,
    /// Digest of the participant's key; none where only words tell of it.
    pub(crate) participant: Option<[u8; 32]>,
}

impl FinalHead {
    /// The device whose head it is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The head.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Number of the block in whose state it is proved; none when it is only somebody's word.
    pub fn block(&self) -> Option<u32> {
        self.block
    }

    /// Whether the chain has this key under the device's number; unknown unless the enrolment was asked for, too.
    pub(crate) fn is_of(&self, key: &crate::PublicKey) -> bool {
        let enrolled = self.enrolment.as_ref();
        enrolled.is_some_and(|enrolled| enrolled.key.is_none_or(|known| known == key.0))
    }

    /// The enrolment, if that was asked for, too.
    pub(crate) fn enrolment(&self) -> Option<Enrolled> {
        self.enrolment
    }

    /// Whether the chain takes no more entries of the device, for good.
    pub(crate) fn is_retired(&self) -> bool {
        self.fate == Fate::Retired
    }

    /// Whether only the record, which was not asked for, says if the device is retired.
    pub(crate) fn may_be_retired(&self) -> bool {
        self.fate == Fate::Suspended && self.enrolment.is_none()
    }
}

/// Why a proof was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProofFault {
    /// Stable name.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl ProofFault {
    fn new(code: &'static str, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// Whether an honest relay may give such a proof, because its node has not seen the latest blocks.
    pub(crate) fn is_of_a_laggard(&self) -> bool {
        self.code == TOO_OLD
    }

    /// Whether the proof is right, and shows that there is no such device.
    pub(crate) fn is_of_nobody(&self) -> bool {
        self.code == NOBODY
    }
}

const TOO_OLD: &str = "proof_too_old";

/// No device has the number, in the block that is proved.
pub(crate) const NOBODY: &str = "device_not_on_chain";

/// What a proof came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The head.
    Head(FinalHead),
    /// The authorities changed so often that one answer does not lead to the present ones. Ask again, from those on that it led
    /// to.
    OnTheWay,
}

/// What a device asks of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number by which the chain is said to know the device.
    pub device: DeviceId,
    /// Its key.
    pub key: crate::PublicKey,
    /// Whether its enrolment is to be proved, too.
    pub record: bool,
}

/// Checks what is said of heads. Shared by all that ask in the name of a file's devices.
#[derive(Clone, Debug)]
pub struct HeadChecker {
    known: Learned,
    trusts_words: bool,
    /// Blocks that the devices' holder trusts, from the consortium. All of them go to every check: that none leads back, the anchor
    /// sees to.
    checkpoints: Arc<[Checkpoint]>,
}

/// What the devices of a book have learned of the chain, shared by all that ask in their name.
#[derive(Clone, Debug)]
pub struct Learned(Arc<Mutex<Known>>);

impl Learned {
    /// As it was stored: the chain, its authorities if they were learned, and the block in which each device's head was proved last.
    pub fn new(genesis: [u8; 32], anchor: Option<Anchor>, seen: BTreeMap<DeviceId, u32>) -> Self {
        Self(Arc::new(Mutex::new(Known {
            genesis,
            anchor,
            on_the_way: None,
            unsaved: false,
            seen,
        })))
    }
}

#[derive(Debug)]
struct Known {
    genesis: [u8; 32],
    /// The authorities; none before the first proof.
    anchor: Option<Anchor>,
    /// Later ones, to which answers led that name no chain. The same authorities may vote on several, so what comes of these is
    /// known only when a state names this one.
    on_the_way: Option<Anchor>,
    /// Whether the file lacks what is known of the authorities.
    unsaved: bool,
    /// The block in which a device's head was proved last.
    seen: BTreeMap<DeviceId, u32>,
}

impl Known {
    /// Remembers the authorities that a proof led to. The anchor's own block is that of their last change: devices of one file
    /// see later ones in any order.
    fn learn(&mut self, before: Anchor, after: Anchor) {
        self.on_the_way = None;
        let learned = match before.set() == after.set() {
            true => before,
            false => after,
        };
        if self.anchor.as_ref() != Some(&learned) {
            self.anchor = Some(learned);
            self.unsaved = true;
        }
    }
}

impl HeadChecker {
    /// Checks proofs from what was learned. With `trusts_words`, for chains that have no proofs, words do.
    pub fn of(known: Learned, trusts_words: bool, checkpoints: Arc<[Checkpoint]>) -> Self {
        Self {
            known,
            trusts_words,
            checkpoints,
        }
    }

    /// The blocks that are trusted and not behind what is known already. Where one of them changes the chain's authorities by
    /// force, a proof may lead over it, if whoever makes it is told the block's hash.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let known = self.known.0.lock();
        let reached = known.anchor.as_ref().map_or(0, Anchor::block);
        let checkpoints = self.checkpoints.iter().copied();
        checkpoints.filter(|block| block.number > reached).collect()
    }

    /// Whether words are taken for proofs.
    pub fn trusts_words(&self) -> bool {
        self.trusts_words
    }

    /// The number of the set of authorities that a proof is to lead on from; none before the first proof.
    pub fn set(&self) -> Option<u64> {
        let known = self.known.0.lock();
        let anchor = known.on_the_way.as_ref().or(known.anchor.as_ref());
        anchor.map(|anchor| anchor.set().id())
    }

    /// Checks a proof of a device's head: it leads from the authorities that are known, or from the chain's first block, to a
    /// block that is final, and from that block's state to the head. When it is refused, nothing has changed but that answers
    /// which led towards it are forgotten: they may have led astray.
    pub fn check(&self, question: &Question, proof: &[u8]) -> Result<Checked, ProofFault> {
        let proof = HeadProof::from_bytes(proof)
            .map_err(|error| ProofFault::new(error.code(), format!("{error}.")))?;
        let refused = |refusal: mhealth_evidence::Refusal| {
            ProofFault::new(refusal.code(), format!("{refusal}."))
        };
        let mut known = self.known.0.lock();
        let on_the_way = known.on_the_way.take();
        let before = match (on_the_way.as_ref().or(known.anchor.as_ref()), &proof.first) {
            (Some(anchor), _) => anchor.clone(),
            (None, Some(first)) => Anchor::begin(known.genesis, first).map_err(refused)?,
            (None, None) => {
                return Err(ProofFault::new(
                    "first_authorities_missing",
                    "The proof does not begin at the chain's first block, and the device knows nothing later.",
                ))
            }
        };
        let mut after = before.clone();
        // It is right as far as it goes, and does not come to a head.
        let leads_to_no_state = proof.finality.nodes.iter().next().is_none()
            && proof.finality.handovers.len() == HeadProof::MOST_HANDOVERS;
        if leads_to_no_state {
            after
                .follow(&proof.finality, &self.checkpoints)
                .map_err(refused)?;
            known.on_the_way = Some(after);
            return Ok(Checked::OnTheWay);
        }
        let state = after.check_with(&proof.finality, &self.checkpoints);
        let state = state.map_err(refused)?;
        known.on_the_way = on_the_way;
        let block = state.number();
        let seen = known.seen.get(&question.device).copied().unwrap_or(0);
        if block < seen {
            return Err(ProofFault::new(
                TOO_OLD,
                format!("The proof is about block {block}, and block {seen} was seen already."),
            ));
        }
        let not_proved =
            |error: mhealth_evidence::NotProved| ProofFault::new(error.code(), format!("{error}."));
        let head = state.head(question.device).map_err(not_proved)?;
        let head = head.ok_or_else(|| no_such_device(question.device, block))?;
        let record = match question.record {
            true => {
                let record = state.device(question.device).map_err(not_proved)?;
                Some(record.ok_or_else(|| no_such_device(question.device, block))?)
            }
            false => None,
        };
        let fate = Fate::of(&head, record.as_ref(), block);
        let enrolment = record.map(|record| Enrolled {
            key: Some(record.key),
            genesis: record.genesis,
            participant: Some(record.participant),
        });
        known.learn(before, after);
        known.seen.insert(question.device, block);
        Ok(Checked::Head(FinalHead {
            device: question.device,
            head: Head {
                length: head.length,
                hash: head.hash,
            },
            block: Some(block),
            enrolment,
            fate,
        }))
    }

    /// Takes somebody's word for a device's head, and perhaps for its enrolment, if this was asked for explicitly.
    pub fn take_word(
        &self,
        device: DeviceId,
        head: Head,
        enrolment: Option<&ChainDevice>,
    ) -> Result<FinalHead, ChainFault> {
        if !self.trusts_words {
            return Err(ChainFault {
                code: "words_not_trusted".into(),
                message: "This device goes by proofs, and was given a word.".into(),
                passing: false,
            });
        }
        let retired = enrolment.is_some_and(|told| told.retired);
        Ok(FinalHead {
            device,
            head,
            block: None,
            fate: match retired {
                true => Fate::Retired,
                false => Fate::GoesOn,
            },
            enrolment: enrolment.map(|told| Enrolled {
                key: None,
                genesis: told.genesis,
                participant: None,
            }),
        })
    }

    /// What is to be stored of the authorities, since it was asked for last.
    pub(crate) fn take_unsaved(&self) -> Option<Anchor> {
        let mut known = self.known.0.lock();
        core::mem::take(&mut known.unsaved)
            .then(|| known.anchor.clone())
            .flatten()
    }

    /// It could not be stored.
    pub(crate) fn is_unsaved(&self) {
        self.known.0.lock().unsaved = true;
    }
}

fn no_such_device(device: DeviceId, block: u32) -> ProofFault {
    ProofFault::new(
        NOBODY,
        format!("In block {block} there is no device {device}."),
    )
}

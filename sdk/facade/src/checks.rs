// SPDX-License-Identifier: Apache-2.0

//! Checks that anybody can make: of hashes, chains and proofs. An app that shows what is registered uses them, and so do the
//! test vectors, which have to come out the same in every language.

use hashchain::{
    data_digest, encoding, escrow_commitment, genesis, secret_commitment, DataDigest, DeviceId,
    Enrolment, Entry, LinkHash, Native, Sealer, Secret, StudyId, Tag, Verifier,
};
use mhealth_evidence::{Anchor, Checkpoint, HeadProof};
use serde::{Deserialize, Serialize};

use crate::error::SdkError;

/// An encoding and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct Hashed {
    /// `enc(label, parts…)`.
    #[serde(with = "crate::digits")]
    pub encoding: Vec<u8>,
    /// `H(label, parts…)`, 32 bytes.
    #[serde(with = "crate::digits")]
    pub hash: Vec<u8>,
}

/// What a chain begins with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct Origin {
    /// Hash of the blockchain's first block, 32 bytes.
    #[serde(with = "crate::digits")]
    pub chain: Vec<u8>,
    /// The study's number.
    pub study: u32,
    /// The device's key, 32 bytes.
    #[serde(with = "crate::digits")]
    pub device_key: Vec<u8>,
    /// Link of the device before, 32 bytes; zeros if there was none.
    #[serde(with = "crate::digits")]
    pub predecessor: Vec<u8>,
    /// The escrow of the secret, as the chain has it.
    #[serde(with = "crate::digits")]
    pub escrow: Vec<u8>,
    /// The secret, 32 bytes, as an auditor takes it from the escrow.
    #[serde(with = "crate::digits")]
    pub secret: Vec<u8>,
}

/// An entry with its envelope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct ChainedEntry {
    /// Its place, from 1.
    pub sequence: u64,
    /// Link of the entry before, 32 bytes.
    #[serde(with = "crate::digits")]
    pub previous: Vec<u8>,
    /// What was sealed.
    #[serde(with = "crate::digits")]
    pub envelope: Vec<u8>,
    /// The envelope's digest, 32 bytes.
    #[serde(with = "crate::digits")]
    pub digest: Vec<u8>,
    /// The tag, 32 bytes.
    #[serde(with = "crate::digits")]
    pub tag: Vec<u8>,
    /// The link, 32 bytes.
    #[serde(with = "crate::digits")]
    pub hash: Vec<u8>,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct ProvedHead {
    /// Number of the block that is final.
    pub block: u32,
    /// Number of the set of authorities that is known from then on.
    pub set: u64,
    /// How many entries the device has.
    pub length: u64,
    /// Link of the last one, 32 bytes.
    #[serde(with = "crate::digits")]
    pub head: Vec<u8>,
    /// The device's key, 32 bytes, where its record is proved.
    #[serde(with = "crate::digits::optional")]
    pub key: Option<Vec<u8>>,
}

/// `enc` and `H` of `docs/protocol/hashchain.md`, section 2.
pub fn hash_parts(label: &str, parts: &[Vec<u8>]) -> Hashed {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Hashed {
        encoding: encoding::encode(label, &parts),
        hash: encoding::hash::<Native>(label, &parts).to_vec(),
    }
}

/// Checks a chain from its first entry to its head, with the secret and every envelope, and that the signature is the device's.
/// Gives how many entries there are.
///
/// Errors: `wrong_link`, `wrong_digest`, `wrong_tag` and `wrong_signature` for the first fault in this order; `wrong_length` when
/// something has not the length that is written beside it.
pub fn check_chain(
    origin: &Origin,
    entries: &[ChainedEntry],
    head: &[u8],
    signature: &[u8],
) -> Result<u64, SdkError> {
    let device_key = array(&origin.device_key)?;
    let secret = Secret::from_bytes(&array(&origin.secret)?);
    let link0 = link0(origin, &device_key, &secret)?;
    let head = LinkHash(array(head)?);
    let signature = array(signature)?;

    // As an auditor would, who looks at all of it: what counts is the first refusal.
    let mut verifier = Verifier::with_secret(link0, &secret);
    let mut sealer = Sealer::begin(link0, &secret);
    let mut remade = true;
    for given in entries {
        let entry = parse(given)?;
        let _ = verifier.check(&entry, Some(&given.envelope));
        remade &= sealer.append(&data_digest::<Native>(&given.envelope)) == entry;
    }
    let _ = verifier.check_signature(&device_key, &head, &signature);
    let coverage = verifier.finish(&head).map_err(|refusal| {
        SdkError::new(
            format!("wrong_{}", refusal.reason().as_str()),
            refusal.to_string(),
        )
    })?;
    if !(remade && coverage.is_complete()) {
        return Err(SdkError::new(
            "wrong_link",
            "the device would have made another chain",
        ));
    }
    Ok(coverage.entries)
}

/// Link 0 of a chain.
fn link0(origin: &Origin, device_key: &[u8; 32], secret: &Secret) -> Result<LinkHash, SdkError> {
    let predecessor = array(&origin.predecessor)?;
    Ok(genesis::<Native>(&Enrolment {
        chain: &array(&origin.chain)?,
        study: StudyId(origin.study),
        device_key,
        predecessor: (predecessor != [0; 32]).then_some(LinkHash(predecessor)),
        secret_commitment: &secret_commitment::<Native>(secret),
        escrow_commitment: &escrow_commitment::<Native>(&origin.escrow),
    }))
}

fn parse(given: &ChainedEntry) -> Result<Entry, SdkError> {
    Ok(Entry {
        sequence: given.sequence,
        previous: LinkHash(array(&given.previous)?),
        digest: DataDigest(array(&given.digest)?),
        tag: Tag(array(&given.tag)?),
        hash: LinkHash(array(&given.hash)?),
    })
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SdkError> {
    bytes.try_into().map_err(|_| {
        SdkError::new(
            "wrong_length",
            format!("{} bytes where there should be {N}", bytes.len()),
        )
    })
}

/// Reads proofs of one device's head, one after the other. Believes nobody but the chain's authorities, of whom it knows the
/// latest. What it refuses changes nothing of what it knows.
#[derive(Clone, Debug)]
pub struct Reader {
    genesis: [u8; 32],
    device: DeviceId,
    known: Option<Anchor>,
    /// Later authorities, to which proofs led that name no chain: what comes of them is known when a state names this one.
    on_the_way: Option<Anchor>,
    checkpoints: Vec<Checkpoint>,
}

impl Reader {
    /// For a device of the chain that begins with a block of this hash (32 bytes). Error: `wrong_length`.
    pub fn new(genesis: &[u8], device: u32) -> Result<Self, SdkError> {
        Ok(Self {
            genesis: array(genesis)?,
            device: DeviceId(device),
            known: None,
            on_the_way: None,
            checkpoints: Vec::new(),
        })
    }

    /// The same for somebody who trusts these blocks, each written `0x…@NUMBER`: proofs may lead over them where they change the
    /// chain's authorities by force. Error: `not_a_checkpoint`.
    pub fn trusting(self, checkpoints: &[String]) -> Result<Self, SdkError> {
        Ok(Self {
            checkpoints: crate::phone::checkpoints(checkpoints)?,
            ..self
        })
    }

    /// The number of the set of authorities that the next proof is to lead on from; none before the first proof.
    pub fn set(&self) -> Option<u64> {
        let anchor = self.on_the_way.as_ref().or(self.known.as_ref());
        anchor.map(|anchor| anchor.set().id())
    }

    /// What a proof shows. Errors: those of the crate `evidence` (`proof_malformed`, `another_chain`, `block_not_final`, …), and
    /// `first_authorities_missing`, `unknown_device`. With `proof_on_the_way` nothing is wrong: the authorities changed so often
    /// that one proof does not lead to the present ones. Ask for another, from the present [`set`](Self::set) on.
    pub fn check(&mut self, proof: &[u8]) -> Result<ProvedHead, SdkError> {
        let refuse = |code: &str, why: String| SdkError::new(code, why);
        let proof = HeadProof::from_bytes(proof).map_err(|e| refuse(e.code(), e.to_string()))?;
        // A proof that does not follow shows that those before it may have led astray.
        let on_the_way = self.on_the_way.take();
        let mut anchor = match (on_the_way.as_ref().or(self.known.as_ref()), &proof.first) {
            (Some(anchor), _) => anchor.clone(),
            (None, Some(first)) => {
                Anchor::begin(self.genesis, first).map_err(|e| refuse(e.code(), e.to_string()))?
            }
            (None, None) => {
                return Err(SdkError::new(
                    "first_authorities_missing",
                    "the first proof has to begin at the first block",
                ))
            }
        };
        let leads_to_no_state = proof.finality.nodes.is_empty()
            && proof.finality.handovers.len() == HeadProof::MOST_HANDOVERS;
        if leads_to_no_state {
            anchor
                .follow(&proof.finality, &self.checkpoints)
                .map_err(|e| refuse(e.code(), e.to_string()))?;
            let set = anchor.set().id();
            self.on_the_way = Some(anchor);
            return Err(SdkError::Failed {
                code: "proof_on_the_way".into(),
                reason: None,
                advice: "wait".into(),
                detail: format!("it leads to set {set} of the authorities; ask again from there"),
            });
        }
        let state = anchor
            .check_with(&proof.finality, &self.checkpoints)
            .map_err(|e| refuse(e.code(), e.to_string()))?;
        let head = state
            .head(self.device)
            .map_err(|e| refuse(e.code(), e.to_string()))?
            .ok_or_else(|| SdkError::new("unknown_device", "the chain has no such device"))?;
        let record = state.device(self.device).ok().flatten();
        let block = state.number();
        let set = anchor.set().id();
        self.known = Some(anchor);
        Ok(ProvedHead {
            block,
            set,
            length: head.length,
            head: head.hash.0.to_vec(),
            key: record.map(|record| record.key.to_vec()),
        })
    }
}

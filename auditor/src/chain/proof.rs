// SPDX-License-Identifier: Apache-2.0

//! What an audit rests on: what the node proves, and what is only its word.

use std::collections::BTreeSet;
use std::fmt;

use codec::{Decode, DecodeAll};
use mhealth_chain_client::{BlockId, ChainClient, Error, H256};
use mhealth_evidence::{
    checkpoint_keys, genesis_hash_key, Anchor, Blobs, Checkpoint, CheckpointAuthorities,
    FinalityProof, FirstAuthorities, Handover, Header, Refusal, AUTHORITIES_KEY,
};
use serde::{Deserialize, Serialize};

use super::runtimes::ProvedRuntime;
use super::state::read_proof;
use crate::error::AuditError;

/// What the person who runs an audit knows of the chain, and is content with.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    /// Hash of the chain's first block. Without it the node says which chain is audited.
    pub genesis: Option<[u8; 32]>,
    /// Blocks that are known to be on the chain and final. What authorities before the newest of them signed counts for nothing.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether the node's word is enough where it gives no proof.
    pub trust_node: bool,
}

/// What an audit rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How it is proved that the block is final. None: only the node says so.
    pub finality: Option<ProvedFinality>,
    /// What only the node says. Empty: everything is proved.
    pub words: Vec<Word>,
    /// Whether the person who runs the audit is content with that.
    pub trusted: bool,
    /// The runtimes by whose code blocks and state were read, oldest first.
    #[serde(default)]
    pub runtimes: Vec<ProvedRuntime>,
}

/// How the block is proved to be final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedFinality {
    /// Number of the checkpoint that the authorities are traced back to; none: the first block.
    pub checkpoint: Option<u32>,
    /// How often they changed since then.
    pub handovers: usize,
    /// Number of the present set of authorities.
    pub authority_set: u64,
    /// How many they are.
    pub authorities: usize,
}

/// Something that only the node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Which chain this is: no genesis hash was given.
    Genesis,
    /// That the block is final and of this chain.
    Finality {
        /// Why it is not proved.
        why: String,
    },
    /// How extrinsics, events and state of some blocks read: their runtime's code does not say it.
    Runtime {
        /// The first such block.
        block: u64,
        /// Why it does not.
        #[serde(default)]
        why: String,
    },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Genesis => f.write_str("which chain this is: no genesis hash was given"),
            Word::Finality { why } => {
                write!(f, "that the block is final and of this chain: {why}")
            }
            Word::Runtime { block, why } => {
                write!(f, "how block {block} and those like it read: {why}")
            }
        }
    }
}

impl Standing {
    /// Whether nothing rests on the node's word, or the person who runs the audit is content with it.
    pub fn is_enough(&self) -> bool {
        self.words.is_empty() || self.trusted
    }
}

/// What a node says and does not prove, although an honest one could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// Its proof that the block is final shows nothing.
    #[error("block {block}: {refusal}")]
    Final {
        /// The block.
        block: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Its proof of a state does not lead to a value, or the value is not what it should be.
    #[error("block {block}: what its state says of {what} is not proved")]
    State {
        /// The block.
        block: u64,
        /// Of what.
        what: &'static str,
    },
    /// A block is not the one before the next, up to the block of the audit.
    #[error("block {0} does not lead to the block of the audit")]
    Blocks(u64),
    /// The extrinsics of a block are not those that its header binds.
    #[error("block {0}: its extrinsics are not those that its header names")]
    Extrinsics(u64),
}

impl Unproved {
    /// The error as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Unproved::Final { refusal, .. } => refusal.code(),
            Unproved::State { .. } => "state_not_proved",
            Unproved::Blocks(_) => "blocks_not_linked",
            Unproved::Extrinsics(_) => "extrinsics_not_proved",
        }
    }
}

/// The block that an audit is about, and what makes it final.
pub(super) struct Target {
    /// The block.
    pub(super) block: BlockId,
    /// Its header; its hash is the block's.
    pub(super) header: Header,
    /// GRANDPA's proof for it, or why there is none.
    finality: Result<NodesFinality, String>,
}

/// GRANDPA's proof that a block is final, as a node gives it.
#[derive(Decode)]
pub(crate) struct NodesFinality {
    pub(crate) block: [u8; 32],
    pub(crate) justification: Vec<u8>,
    pub(crate) descendants: Vec<Header>,
}

impl Target {
    /// The latest block whose finality the node proves; the latest that it calls final when it proves none.
    pub(super) async fn find(client: &ChainClient) -> Result<Self, AuditError> {
        let (hash, finality) = match client.block_proof().await {
            Ok(proof) => {
                let decoded = NodesFinality::decode_all(&mut &proof.finality_proof[..]);
                let refused = |_| "the node's proof of finality is none".to_owned();
                (proof.block, decoded.map_err(refused))
            }
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                let why = format!("the node gives no proof of finality: {error}");
                (client.finalised().await?.hash, Err(why))
            }
        };
        let header = header(client, hash).await?;
        let number = u64::from(header.number);
        Ok(Target {
            block: BlockId { number, hash },
            header,
            finality,
        })
    }
}

/// The header of a block, which has the hash that was asked for.
pub(super) async fn header(client: &ChainClient, block: H256) -> Result<Header, AuditError> {
    let bytes = client.header(block).await?;
    match Header::decode_all(&mut &bytes[..]) {
        Ok(header) if header.hash() == block.0 => Ok(header),
        Ok(header) => Err(Unproved::Blocks(header.number.into()).into()),
        Err(_) => Err(Unproved::Blocks(0).into()),
    }
}

/// The blocks in which authorities changed, as the headers say that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// By the set before.
    pub(super) handovers: Vec<u32>,
    /// By force.
    pub(super) forced: Vec<u32>,
}

impl Changes {
    /// The blocks by which each set handed over to the next, after the block `from`, up to the set that signed for the block `justified`:
    /// that one may be the last of its set.
    pub(super) fn handovers_between(
        &self,
        from: u32,
        justified: u32,
    ) -> impl Iterator<Item = u32> + '_ {
        let handovers = self.handovers.iter().copied();
        handovers.filter(move |block| *block > from && *block < justified)
    }
}

/// Checks that the block of the audit is final, from what the person knows who runs it.
pub(super) async fn standing(
    client: &ChainClient,
    target: &Target,
    basis: &Basis,
    changes: &Changes,
    mut words: Vec<Word>,
) -> Result<Standing, AuditError> {
    if basis.genesis.is_none() {
        words.insert(0, Word::Genesis);
    }
    let finality = match finality(client, target, basis, changes).await? {
        Ok(finality) => Some(finality),
        Err(why) => {
            words.push(Word::Finality { why });
            None
        }
    };
    Ok(Standing {
        finality,
        words,
        trusted: basis.trust_node,
        runtimes: Vec::new(),
    })
}

/// How finality is proved, or why it cannot be. An error when it could be, and what the node shows does not prove it.
async fn finality(
    client: &ChainClient,
    target: &Target,
    basis: &Basis,
    changes: &Changes,
) -> Result<Result<ProvedFinality, String>, AuditError> {
    let shown = match &target.finality {
        Ok(shown) => shown,
        Err(why) => return Ok(Err(why.clone())),
    };
    let refused = |refusal| Unproved::Final {
        block: target.block.number,
        refusal,
    };
    let checkpoint = basis.newest_before(target);
    let from = checkpoint.map_or(0, |checkpoint| checkpoint.number);
    if let Some(forced) = changes.forced.iter().find(|block| **block > from) {
        return Ok(Err(format!(
            "block {forced} changed the authorities by force, which those before did not sign; give a later block with --checkpoint"
        )));
    }
    let genesis = basis.genesis.unwrap_or(client.genesis_hash().0);
    let mut anchor = match begin(client, genesis, checkpoint).await? {
        Ok(anchor) => anchor.map_err(refused)?,
        Err(why) => return Ok(Err(why)),
    };
    let mut handovers = Vec::new();
    let justified = shown.descendants.last().unwrap_or(&target.header).number;
    for number in changes.handovers_between(from, justified) {
        match handover(client, number).await? {
            Some(handover) => handovers.push(handover),
            None => {
                return Ok(Err(format!(
                    "the node has no proof for the handover of authorities in block {number}"
                )))
            }
        }
    }
    let proof = FinalityProof {
        handovers,
        block: target.header.clone(),
        descendants: shown.descendants.clone(),
        justification: shown.justification.clone(),
        nodes: read_proof(client, &[genesis_hash_key()], target.block.hash).await?,
    };
    anchor.check(&proof).map_err(refused)?;
    Ok(Ok(ProvedFinality {
        checkpoint: checkpoint.map(|checkpoint| checkpoint.number),
        handovers: proof.handovers.len(),
        authority_set: anchor.set().id(),
        authorities: anchor.set().voters(),
    }))
}

impl Basis {
    /// The checkpoint to begin at; none: the first block, which needs no trust beside its hash.
    pub(super) fn newest_before(&self, target: &Target) -> Option<Checkpoint> {
        let newest = Checkpoint::newest_before(&self.checkpoints, target.header.number);
        newest.filter(|checkpoint| checkpoint.number > 0)
    }
}

/// The authorities to begin with, or why the node cannot show them.
async fn begin(
    client: &ChainClient,
    genesis: [u8; 32],
    checkpoint: Option<Checkpoint>,
) -> Result<Result<Result<Anchor, Refusal>, String>, AuditError> {
    let (block, nodes) = match checkpoint {
        None => (H256(genesis), first_nodes(client, H256(genesis)).await),
        Some(checkpoint) => {
            let block = H256(checkpoint.hash);
            (block, read_proof(client, &checkpoint_keys(), block).await)
        }
    };
    let nodes: Blobs = match nodes {
        Ok(nodes) => nodes,
        Err(AuditError::Chain(
            error @ (Error::StatePruned { .. } | Error::UnknownBlock { .. }),
        )) => {
            let what = match checkpoint {
                None => "first authorities".to_owned(),
                Some(checkpoint) => format!("authorities at the checkpoint {checkpoint}"),
            };
            return Ok(Err(format!("the node cannot show the {what}: {error}")));
        }
        Err(error) => return Err(error),
    };
    let header = header(client, block).await?;
    Ok(Ok(match checkpoint {
        None => Anchor::begin(
            genesis,
            &FirstAuthorities {
                genesis: header,
                nodes,
            },
        ),
        Some(checkpoint) => {
            let authorities = CheckpointAuthorities { header, nodes };
            Anchor::at_checkpoint(genesis, checkpoint, &authorities)
        }
    }))
}

/// Nodes of the first block's state that lead to its authorities. A node that has dropped that state has them from its chain
/// specification.
async fn first_nodes(client: &ChainClient, genesis: H256) -> Result<Blobs, AuditError> {
    let keys = [AUTHORITIES_KEY.to_vec()];
    let dropped = match read_proof(client, &keys, genesis).await {
        Err(AuditError::Chain(dropped @ Error::StatePruned { .. })) => dropped,
        read => return read,
    };
    match client.authority_changes(genesis, None).await {
        Ok(changes) => match changes.first {
            // In order, and each once, as they are read otherwise.
            Some((_, nodes)) => Ok(nodes.into_iter().collect::<BTreeSet<_>>().iter().collect()),
            None => Err(dropped.into()),
        },
        Err(error) if error.is_unreachable() => Err(error.into()),
        Err(_) => Err(dropped.into()),
    }
}

/// The block of this number, which names other authorities, with its justification; none if the node has none.
pub(crate) async fn handover(
    client: &ChainClient,
    number: u32,
) -> Result<Option<Handover>, AuditError> {
    let Some(block) = client.block_hash(u64::from(number)).await? else {
        return Ok(None);
    };
    let Some(proof) = client.finality_proof(u64::from(number)).await? else {
        return Ok(None);
    };
    let proof = NodesFinality::decode_all(&mut &proof[..]).ok();
    Ok(match proof {
        Some(proof) => Some(Handover {
            header: header(client, block).await?,
            justification: proof.justification,
        }),
        None => None,
    })
}

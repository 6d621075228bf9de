// SPDX-License-Identifier: Apache-2.0

//! What the chain knows of its own finality, and what a node can show it.

use subxt::ext::codec::{Compact, Decode, Encode};
use subxt::utils::H256;

use crate::client::ChainClient;
use crate::error::Error;
use crate::runtime::api;
use crate::types::{BlockId, FinalityProof};
use crate::view::ChainView;

/// Most bytes of headers that the chain takes beside two finality proofs: its constant `finality.maxProofLength`.
const MOST_HEADER_BYTES: usize = 32 * 1024;

impl ChainClient {
    /// The proof that the latest block is final of which the node can prove it; none if it can prove it of none.
    pub async fn latest_finality_proof(&self) -> Result<Option<FinalityProof>, Error> {
        let bytes = match self.block_proof().await {
            Err(Error::NotProvable { .. }) => return Ok(None),
            proved => proved?.finality_proof,
        };
        let block = proved(&bytes)
            .ok_or_else(|| Error::protocol("a finality proof", "it cannot be read"))?;
        Ok(Some(FinalityProof { block, bytes }))
    }

    /// The headers from a block down to the one after this number, SCALE encoded as a list, and the hash of the block of this
    /// number that they lead to. None when they are more than the chain takes.
    pub async fn headers_down_to(
        &self,
        block: BlockId,
        number: u64,
    ) -> Result<Option<(Vec<u8>, H256)>, Error> {
        let mut headers = Vec::new();
        let mut count = 0_u32;
        let mut hash = block.hash;
        for _ in number..block.number {
            let header = self.header(hash).await?;
            // It begins with its parent's hash.
            hash = H256::decode(&mut &header[..])
                .map_err(|_| Error::protocol("a header", "it cannot be read"))?;
            headers.extend(header);
            count += 1;
            if headers.len() > MOST_HEADER_BYTES {
                return Ok(None);
            }
        }
        let list = [Compact(count).encode(), headers].concat();
        Ok((list.len() <= MOST_HEADER_BYTES).then_some((list, hash)))
    }
}

/// The block that an encoded finality proof is about: the target of the commit in its justification.
fn proved(proof: &[u8]) -> Option<BlockId> {
    let (_, justification) = <(H256, Vec<u8>)>::decode(&mut &proof[..]).ok()?;
    let (_round, hash, number) = <(u64, H256, u32)>::decode(&mut &justification[..]).ok()?;
    let number = number.into();
    Some(BlockId { number, hash })
}

impl ChainView {
    /// The number of the set of authorities that signs for a block of this number. None if the chain has forgotten the set.
    pub async fn voters_of(&self, number: u64) -> Result<Option<u64>, Error> {
        let latest = api::storage().finality().latest_set();
        let mut set = self.value(latest, ()).await?.unwrap_or_default();
        loop {
            let known = self.value(api::storage().finality().sets(), (set,)).await?;
            match known {
                None => return Ok(None),
                Some(known) if u64::from(known.after) < number => return Ok(Some(set)),
                Some(_) => {}
            }
            // A set that was named after the block, which happens when finality has stalled.
            let Some(earlier) = set.checked_sub(1) else {
                return Ok(None);
            };
            set = earlier;
        }
    }

    /// The last block that was proved to the chain to be final; none until the first proof.
    pub async fn last_final(&self) -> Result<Option<BlockId>, Error> {
        let last = api::storage().finality().last_final();
        let last = self.value(last, ()).await?;
        Ok(last.map(|last| BlockId {
            number: last.number.into(),
            hash: last.hash,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeNode;

    /// A node whose chain has these sets, each with the block after which it votes.
    async fn chain(sets: &[(u64, u32)]) -> ChainView {
        let node = FakeNode::new();
        let client = node.client().await;
        let genesis = client.genesis_hash();
        let runtime = client.connection().runtime(genesis).await;
        let runtime = runtime.expect("it answers");
        for (set, after) in sets {
            let key = runtime.storage_key(&api::storage().finality().sets(), (*set,));
            let nobody = Vec::<([u8; 32], u64)>::new();
            node.store(key.expect("it is known"), (after, nobody).encode());
        }
        let latest = runtime.storage_key(&api::storage().finality().latest_set(), ());
        let (last, _) = sets.last().expect("there is a set");
        node.store(latest.expect("it is known"), last.encode());
        client.at(genesis).await.expect("it answers")
    }

    #[tokio::test]
    async fn a_block_is_of_the_set_of_its_time_however_many_were_named_since() {
        let view = chain(&[(1, 100), (2, 300), (3, 450)]).await;
        for (block, set) in [
            (101, Some(1)),
            (300, Some(1)),
            (301, Some(2)),
            (450, Some(2)),
            (451, Some(3)),
            // The chain remembers the latest sets only.
            (100, None),
        ] {
            assert_eq!(view.voters_of(block).await, Ok(set), "{block}");
        }
        let first = chain(&[(0, 0)]).await;
        assert_eq!(first.voters_of(1).await, Ok(Some(0)));
        assert_eq!(first.voters_of(0).await, Ok(None));
    }

    #[test]
    fn a_proof_names_the_block_that_was_voted_for() {
        let target = H256::repeat_byte(7);
        let justification = (9_u64, target, 4_711_u32, [0_u8; 99]).encode();
        let proof = (H256::repeat_byte(8), justification, Vec::<u8>::new()).encode();
        let block = BlockId {
            number: 4_711,
            hash: target,
        };
        assert_eq!(proved(&proof), Some(block));
        assert_eq!(proved(&proof[..40]), None);
        assert_eq!(proved(&[]), None);
    }

    #[tokio::test]
    async fn headers_lead_down_to_the_block_after_a_number() {
        let node = FakeNode::new();
        let client = node.client().await;
        for _ in 0..4 {
            node.make_empty_block();
        }
        let top = client.finalised().await.expect("it answers");
        assert_eq!(top.number, 4);
        let first = client.block_hash(1).await.expect("it answers");
        let led = client.headers_down_to(top, 1).await.expect("it answers");
        let (headers, below) = led.expect("they are few");
        assert_eq!(Some(below), first);
        assert!(headers.starts_with(&Compact(3_u32).encode()));
        let last = client.header(top.hash).await.expect("it answers");
        assert!(headers[1..].starts_with(&last));
        let none = client.headers_down_to(top, 4).await.expect("it answers");
        assert_eq!(none, Some((Compact(0_u32).encode(), top.hash)));
        for _ in 0..400 {
            node.make_empty_block();
        }
        let top = client.finalised().await.expect("it answers");
        let led = client.headers_down_to(top, 1).await;
        assert_eq!(led, Ok(None), "they are more than the chain takes");
    }

    #[test]
    fn as_many_bytes_of_headers_are_brought_as_the_chain_takes() {
        let metadata = subxt::Metadata::decode_from(include_bytes!("../metadata/mhealth.scale"));
        let metadata = metadata.expect("the file is metadata");
        let pallet = metadata.pallet_by_name("Finality").expect("ours");
        let most = pallet.constant_by_name("MaxProofLength").expect("ours");
        let most = u32::decode(&mut most.value()).expect("a number");
        assert_eq!(most as usize, MOST_HEADER_BYTES);
    }
}

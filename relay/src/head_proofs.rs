// SPDX-License-Identifier: Apache-2.0

//! Proofs of heads, from the node to devices.
//!
//! The relay does not look into them: who asks checks them, and trusts neither the relay nor its node. Devices whose heads
//! stand on one page and who know the same authorities get the same bytes, so many of them cost the node one question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hashchain::DeviceId;
use mhealth_api::Code;
use mhealth_evidence::HEADS_PER_PAGE;
use mhealth_server::ApiError;

use crate::ledger::{Known, Ledger};

/// How long a proof is given out again. The chain makes a block every few seconds.
const FRESH: Duration = Duration::from_millis(500);
/// Proofs that are kept. Those of another block take their place.
const MOST: usize = 1_024;
/// Longer ones, which lead over many sets of authorities, are not kept.
const LONGEST_KEPT: usize = 16 * 1024;

/// The proofs that were given out just now.
pub struct HeadProofs {
    ledger: Arc<dyn Ledger>,
    kept: Mutex<HashMap<Place, Arc<Slot>>>,
}

/// What a proof without a device's record is about: a page of heads, for those who know this much.
type Place = (u32, Known);

/// A proof, and when the node was asked for it. Whoever holds it is asking.
type Slot = tokio::sync::Mutex<Option<(Bytes, Instant)>>;

impl HeadProofs {
    /// Asks this chain.
    pub fn of(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            kept: Mutex::default(),
        }
    }

    /// The proof of a device's head from what the device knows on.
    pub async fn head(
        &self,
        device: DeviceId,
        known: Known,
        record: bool,
    ) -> Result<Bytes, ApiError> {
        if record {
            return self.ask(device, known, true).await;
        }
        let slot = self.slot((device.0 / HEADS_PER_PAGE, known.clone()));
        let mut slot = slot.lock().await;
        if let Some((proof, asked)) = &*slot {
            if asked.elapsed() < FRESH {
                return Ok(proof.clone());
            }
        }
        let asked = Instant::now();
        let proof = self.ask(device, known, false).await?;
        *slot = (proof.len() <= LONGEST_KEPT).then(|| (proof.clone(), asked));
        Ok(proof)
    }

    async fn ask(&self, device: DeviceId, known: Known, record: bool) -> Result<Bytes, ApiError> {
        let proof = self.ledger.proof(device, known, record).await?;
        Ok(proof.ok_or(Code::UnknownDevice)?.into())
    }

    fn slot(&self, place: Place) -> Arc<Slot> {
        let mut kept = self
            .kept
            .lock()
            .expect("no holder of this lock panics; qed");
        if kept.len() >= MOST && !kept.contains_key(&place) {
            kept.clear();
        }
        kept.entry(place).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::tests::chain::FakeChain;
    use crate::testing::TestDevice;

    fn chain_of(devices: u32) -> FakeChain {
        let chain = FakeChain::new();
        for device in 0..devices {
            chain.enrol(DeviceId(device), TestDevice::new(device).genesis());
        }
        chain
    }

    fn knowing(set: Option<u64>) -> Known {
        Known {
            set,
            ..Known::default()
        }
    }

    #[tokio::test]
    async fn devices_of_one_page_and_set_cost_the_node_one_question() {
        let chain = chain_of(40);
        let proofs = HeadProofs::of(Arc::new(chain.clone()));
        let ask = |device, set| proofs.head(DeviceId(device), knowing(set), false);
        let many = (0..HEADS_PER_PAGE).map(|device| ask(device, Some(3)));
        let many = futures::future::join_all(many).await;
        assert!(many.iter().all(|proof| *proof == many[0] && proof.is_ok()));
        assert_eq!(chain.proofs_asked(), 1);
        for (device, set) in [(0, None), (0, Some(4)), (HEADS_PER_PAGE, Some(3))] {
            assert!(ask(device, set).await.is_ok());
        }
        assert_eq!(chain.proofs_asked(), 4);
    }

    #[tokio::test]
    async fn records_are_of_one_device_and_asked_for_each_time() {
        let chain = chain_of(2);
        let proofs = HeadProofs::of(Arc::new(chain.clone()));
        for device in [0, 1, 1] {
            let proof = proofs.head(DeviceId(device), Known::default(), true).await;
            assert!(proof.is_ok());
        }
        assert_eq!(chain.proofs_asked(), 3);
    }

    #[tokio::test]
    async fn what_the_node_does_not_prove_is_asked_for_again() {
        let chain = chain_of(1);
        let proofs = HeadProofs::of(Arc::new(chain.clone()));
        let ask = || proofs.head(DeviceId(7), knowing(Some(0)), false);
        let unknown = ask().await.unwrap_err();
        assert_eq!(unknown.problem().known_code(), Some(Code::UnknownDevice));
        chain.enrol(DeviceId(7), TestDevice::new(7).genesis());
        assert!(ask().await.is_ok());
    }

    #[tokio::test]
    async fn there_is_an_end_to_what_is_kept() {
        let chain = chain_of(1);
        let proofs = HeadProofs::of(Arc::new(chain));
        for set in 0..2 * MOST as u64 {
            let proof = proofs.head(DeviceId(0), knowing(Some(set)), false).await;
            assert!(proof.is_ok());
            assert!(proofs.kept.lock().unwrap().len() <= MOST);
        }
    }
}

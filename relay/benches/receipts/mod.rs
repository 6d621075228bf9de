// SPDX-License-Identifier: Apache-2.0

//! Phones that ask what became of their runs, and have the relay prove it, as phones do.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use hashchain::{DeviceId, LinkHash};
use mhealth_api::{Hash, RunState, RunStatus};
use mhealth_evidence::{Anchor, HeadProof};
use tokio::sync::watch;

/// Until the first question about a run, as phones wait that have learned nothing yet; then a fifth of what they have waited.
const FIRST: Duration = Duration::from_millis(1_800);
const LONGEST: Duration = Duration::from_secs(5);
/// Between two questions that are not about a run.
const PAUSE: Duration = Duration::from_millis(500);

/// A run that a relay has acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Its name.
    pub(crate) run: Hash,
    /// How many entries the device has with it, and the link of the last.
    pub(crate) length: u64,
    pub(crate) head: LinkHash,
}

/// What phones were given, and checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receipts {
    pub(crate) proofs: usize,
    pub(crate) bytes: usize,
}

/// What all phones of a relay know.
#[derive(Clone)]
pub(crate) struct Phones {
    http: reqwest::Client,
    url: String,
    /// The authorities, from the chain's first block on.
    anchor: Anchor,
}

impl Phones {
    /// Learns who the first authorities are from the first proof of a device.
    pub(crate) async fn begin(
        http: reqwest::Client,
        url: String,
        genesis: Hash,
        device: DeviceId,
    ) -> Result<Self> {
        let path = format!("{url}/v1/devices/{device}/proof");
        let proof = HeadProof::from_bytes(&answer(&http, &path).await?)?;
        let first = proof.first.context("the proof begins nowhere")?;
        let anchor = Anchor::begin(genesis.0, &first)?;
        Ok(Phones { http, url, anchor })
    }

    /// Asks for a device: whenever something new was acknowledged, until it is final, and then for the proof of its head, which it
    /// checks. Ends when nothing new comes any more and all is proved.
    pub(crate) async fn ask(
        self,
        device: DeviceId,
        mut sent: watch::Receiver<Option<Sent>>,
    ) -> Result<Receipts> {
        let (mut receipts, mut proved) = (Receipts::default(), 0);
        loop {
            let latest = sent.borrow_and_update().clone();
            if let Some(latest) = latest.filter(|latest| latest.length > proved) {
                self.until_final(&latest).await?;
                proved = self.proof(device, &latest, &mut receipts).await?;
            } else if sent.changed().await.is_err() {
                return Ok(receipts);
            }
        }
    }

    async fn until_final(&self, sent: &Sent) -> Result<()> {
        let path = format!("{}/v1/runs/{}", self.url, sent.run);
        let begun = Instant::now();
        tokio::time::sleep(FIRST).await;
        loop {
            let status: RunStatus = serde_json::from_slice(&answer(&self.http, &path).await?)?;
            match status.state {
                RunState::Finalised => return Ok(()),
                RunState::Refused | RunState::Conflicting => bail!("refused: {status:?}"),
                _ => tokio::time::sleep((begun.elapsed() / 5).min(LONGEST)).await,
            }
        }
    }

    /// How many of the device's entries are proved to be final, once those are that were sent.
    async fn proof(&self, device: DeviceId, sent: &Sent, receipts: &mut Receipts) -> Result<u64> {
        let set = self.anchor.set().id();
        let path = format!(
            "{}/v1/devices/{device}/proof?set={set}&record=false",
            self.url
        );
        loop {
            let bytes = answer(&self.http, &path).await?;
            let proof = HeadProof::from_bytes(&bytes)?;
            let mut anchor = self.anchor.clone();
            let head = anchor.check(&proof.finality)?.head(device)?;
            let head = head.context("the device is not on the chain")?;
            receipts.proofs += 1;
            receipts.bytes += bytes.len();
            if head.length >= sent.length {
                let is_own = head.length > sent.length || head.hash == sent.head;
                ensure!(is_own, "the chain has another head of device {device}");
                return Ok(head.length);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What the relay answers, which may not know the chain yet, or have no time.
async fn answer(http: &reqwest::Client, url: &str) -> Result<Vec<u8>> {
    loop {
        let answer = http.get(url).send().await?;
        match answer.status().as_u16() {
            200 => return Ok(answer.bytes().await?.to_vec()),
            404 | 429 | 503 => tokio::time::sleep(PAUSE).await,
            status => bail!("{url}: {status}: {}", answer.text().await?),
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! What must be refused, tried over plain JSON-RPC.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use hashchain::{DataDigest, DeviceId, LinkHash, Run};
use mhealth_api::RunUpload;
use mhealth_chain_client::{calls, Account, Call, ChainClient, Error, Inclusion, Submitter, H256};
use mhealth_testing::phone;
use mhealth_testing::rpc::JsonRpc;
use serde_json::{json, Value};

use crate::attacks::{Cast, STUDY};

/// What the phones of these attempts record.
const DATA: &str = "a night";
/// In a node's answer while its pool still holds the transaction.
const IN_POOL: &str = "Already Imported";
/// How long a pool may take to notice what stands in a finalised block.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// One attempt, and what became of it.
pub(crate) struct Attempt {
    what: &'static str,
    answer: String,
    /// Whether it was refused for the expected reason and changed nothing.
    pub(crate) held: bool,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.held {
            "refused"
        } else {
            "NOT AS EXPECTED"
        };
        write!(f, "{verdict}: {}. {}", self.what, self.answer)
    }
}

/// Tries every one. Gives the device that was attacked, too.
pub(crate) async fn run(chain: &ChainClient, cast: &Cast) -> Result<(Vec<Attempt>, DeviceId)> {
    let relay = &cast.relay.submitter;
    let stranger = chain.submitter(Account::from_secret_uri("//Stranger")?);
    let (mut victim, mut thief) = tokio::try_join!(
        phone::enrol(&cast.office, STUDY, 0xd1),
        phone::enrol(&cast.office, STUDY, 0xd2)
    )?;
    let first = victim.run_of(2, DATA);
    cast.relay.keep_settled(&with_data(&first));
    let registered = relay.submit_and_wait(calls::submit(first)).await?;
    let next = victim.run_of(1, DATA);
    let scene = Scene {
        chain,
        node: JsonRpc::connect(chain.url()).await?,
        device: victim.device(),
    };

    let mut wrong_previous = next.clone();
    wrong_previous.previous = LinkHash([0xbb; 32]);
    let wrong_previous = victim.sign_again(wrong_previous);
    let mut after_a_gap = next.clone();
    after_a_gap.first_sequence += 1;
    let mut altered = next.clone();
    altered.entries[0].digest = DataDigest([0xcc; 32]);
    let mut foreign = thief.run(1);
    foreign.device = victim.device();
    foreign.first_sequence = next.first_sequence;
    foreign.previous = next.previous;
    let foreign = thief.sign_again(foreign);

    // All at once: what none of them changes, no one did.
    let (previous, gap, data, signature, role, replay) = tokio::try_join!(
        scene.submit(
            relay,
            "a wrong previous hash",
            calls::submit(wrong_previous),
            "ClientHashchain.PreviousIsNotHead",
        ),
        scene.submit(
            relay,
            "entries left out",
            calls::submit(after_a_gap),
            "ClientHashchain.Gap",
        ),
        scene.submit(
            relay,
            "data altered by the relay and relinked (Figure 4)",
            calls::submit(altered),
            "ClientHashchain.BadSignature",
        ),
        scene.submit(
            relay,
            "another device's signature (Figure 5)",
            calls::submit(foreign),
            "ClientHashchain.BadSignature",
        ),
        scene.submit(
            &stranger,
            "an account without a role",
            calls::submit(next.clone()),
            "no_role",
        ),
        scene.replay(&registered)
    )?;
    let attempts = vec![previous, gap, data, signature, role, replay];
    // The phone itself is not held up by any of it.
    cast.relay.keep_settled(&with_data(&next));
    relay.submit_and_wait(calls::submit(next)).await?;
    Ok((attempts, victim.device()))
}

/// A run as a relay gets it.
fn with_data(run: &Run) -> RunUpload {
    phone::upload(run, DATA.as_bytes())
}

/// The device that is attacked.
struct Scene<'a> {
    chain: &'a ChainClient,
    node: JsonRpc,
    device: DeviceId,
}

impl Scene<'_> {
    /// Submits a call that must be refused with the error or code `expected`.
    async fn submit(
        &self,
        who: &Submitter,
        what: &'static str,
        call: Call,
        expected: &str,
    ) -> Result<Attempt> {
        let before = self.state().await?;
        let answer = match who.submit_and_wait(call).await {
            Ok(outcome) => outcome.result.map_err(Error::Dispatch),
            Err(error) => Err(error),
        };
        let unchanged = self.state().await? == before;
        Ok(match answer {
            Ok(()) => Attempt {
                what,
                answer: "It was accepted.".into(),
                held: false,
            },
            Err(error) => Attempt {
                what,
                held: unchanged && names(&error, expected),
                answer: error.to_string(),
            },
        })
    }

    /// Sends the very bytes of an extrinsic that stands in a block.
    async fn replay(&self, outcome: &Inclusion) -> Result<Attempt> {
        let before = self.state().await?;
        let block: Value = self
            .node
            .request("chain_getBlock", &[json!(outcome.block_hash)])
            .await?;
        let bytes = &block["block"]["extrinsics"][outcome.extrinsic_index as usize];
        let deadline = Instant::now() + PATIENCE;
        let answer: Result<H256, _> = loop {
            let answer = self
                .node
                .request("author_submitExtrinsic", std::slice::from_ref(bytes))
                .await;
            match answer {
                // Its pool has not taken notice of the block yet.
                Err(error) if error.to_string().contains(IN_POOL) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => break answer,
            }
        };
        let unchanged = self.state().await? == before;
        let what = "a signed extrinsic replayed byte for byte";
        Ok(match answer {
            Ok(hash) => Attempt {
                what,
                answer: format!("It was accepted as {hash:#x}."),
                held: false,
            },
            Err(error) => {
                let outdated = error.to_string().contains("Transaction is outdated");
                Attempt {
                    what,
                    answer: match outdated {
                        true => "The pool answered that the transaction is outdated.".into(),
                        false => error.to_string(),
                    },
                    held: unchanged && outdated,
                }
            }
        })
    }

    /// What an attempt could change: the device's head and the journal's length.
    async fn state(&self) -> Result<(Option<(LinkHash, u64)>, u64)> {
        let (_, now) = self.chain.at_finalised().await?;
        let head = now.head(self.device).await?;
        Ok((
            head.map(|head| (head.hash, head.length)),
            now.journal_length().await?,
        ))
    }
}

/// Whether an error is the pallet's error of this name, or has this code.
fn names(error: &Error, expected: &str) -> bool {
    match error {
        Error::Dispatch(refusal) => refusal.name() == expected,
        error => error.code() == expected,
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Floods by every role at the same time: each sends as many transactions as the pool takes, all of them useless.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use hashchain::{DeviceId, Run, StudyId};
use mhealth_chain_client::{calls, Account, Call, ChainClient, PoolAnswer, SuspensionReason, H256};
use mhealth_testing::phone;
use mhealth_testing::topology::{PAPER_STUDY, SPONSOR};
use tokio::time::sleep;

/// Account of an authentication server that floods.
pub(crate) const OFFICE: &str = "//Charlie//flood";
/// Account of a relay that floods.
pub(crate) const RELAY: &str = "//Eve//flood";
/// Account of an authentication server that enrols who floods, and nothing else: what the other one owes would keep it from that.
pub(crate) const ENROLS: &str = "//Charlie//enrols";
/// A validator. All of them are members of the consortium, too.
const VALIDATOR: &str = "//Alice";
/// Somebody without a role.
const NOBODYS: &str = "//Ferdie";
/// What that one is called.
pub(crate) const STRANGER: &str = "stranger";
/// The study that they have their roles in: another than the one whose entries are judged.
pub(crate) const STUDY: StudyId = PAPER_STUDY;
/// Transactions that each role tries to send at least, each time.
const TRANSACTIONS: usize = 100;
/// After what the pool refuses. This program shares its processors with the validators, whom only what it sends is to keep busy.
const PAUSE: Duration = Duration::from_millis(10);
/// For so many blocks a transaction is valid.
const ERA: u64 = 64;
/// A device that there is not.
const NOBODY: DeviceId = DeviceId(4_000_000);

/// What a role sends, and what the pool said to it.
pub(crate) struct Flood {
    pub(crate) role: &'static str,
    account: Account,
    /// In turn.
    calls: Vec<Call>,
    pub(crate) taken: u64,
    refused: u64,
}

/// Gets floods of all roles ready. The seed makes the device that takes part.
pub(crate) async fn prepare(chain: &ChainClient, seed: u64) -> Result<Vec<Flood>> {
    let office = chain.submitter(account(ENROLS)?);
    let mut bytes = [0xf1; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut device = phone::enrol_after(&office, STUDY, &bytes, None)
        .await
        .context("a device that is going to flood is enrolled")?;
    // Neither can be recorded: the one begins too late, the other is nobody's.
    let early = Run {
        first_sequence: 1_000,
        ..device.run(1)
    };
    let stray = Run {
        device: NOBODY,
        ..early.clone()
    };
    let (early, stray) = (calls::submit(early), calls::submit_batch(vec![stray]));
    let vote = calls::vote(H256::zero(), 0, true);
    // It proves nothing, and validators may hand it in.
    let report = calls::report_final(0, Vec::new());
    let reopen = calls::reopen_study(STUDY);
    let suspend = calls::suspend(NOBODY, SuspensionReason::Lost);
    let close = calls::close_study(STUDY);
    let floods = [
        ("validator", account(VALIDATOR)?, vec![report, vote]),
        ("sponsor", account(SPONSOR)?, vec![reopen]),
        ("authentication server", account(OFFICE)?, vec![suspend]),
        ("relay", account(RELAY)?, vec![stray]),
        ("device", phone::account(&device), vec![early]),
        (STRANGER, account(NOBODYS)?, vec![close]),
    ];
    let floods = floods.map(|(role, account, calls)| Flood {
        role,
        account,
        calls,
        taken: 0,
        refused: 0,
    });
    Ok(floods.into())
}

/// Sends the floods, and goes on until it is over.
pub(crate) async fn send(
    chain: &ChainClient,
    floods: &mut [Flood],
    over: &AtomicBool,
) -> Result<()> {
    let sent = floods.iter_mut().map(|flood| flood.send(chain, over));
    join_all(sent).await.into_iter().collect()
}

impl Flood {
    /// How many transactions it tried to send.
    pub(crate) fn sent(&self) -> u64 {
        self.taken + self.refused
    }

    async fn send(&mut self, chain: &ChainClient, over: &AtomicBool) -> Result<()> {
        let mut nonce = chain.next_nonce(&self.account.id()).await?;
        let mut tried = 0;
        while tried < TRANSACTIONS || !over.load(Ordering::Relaxed) {
            let call = &self.calls[tried % self.calls.len()];
            let transaction = chain.sign(&self.account, call, nonce, ERA).await?;
            match chain.send(&transaction.bytes).await? {
                PoolAnswer::Taken => {
                    self.taken += 1;
                    nonce += 1;
                }
                PoolAnswer::Refused(_) => {
                    self.refused += 1;
                    sleep(PAUSE).await;
                }
                // It may be there or not: ask.
                PoolAnswer::Unknown => nonce = chain.next_nonce(&self.account.id()).await?,
            }
            tried += 1;
        }
        Ok(())
    }
}

fn account(uri: &str) -> Result<Account> {
    Ok(Account::from_secret_uri(uri)?)
}

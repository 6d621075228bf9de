// SPDX-License-Identifier: Apache-2.0

//! Floods by every role at the same time: each sends as many transactions as the pool takes, all of them useless.

use anyhow::{Context, Result};
use futures::future::join_all;
use hashchain::{DeviceId, Run, StudyId};
use mhealth_chain_client::{calls, Account, Call, ChainClient, PoolAnswer, SuspensionReason, H256};
use mhealth_testing::phone;
use mhealth_testing::topology::{PAPER_STUDY, SPONSOR};

/// Account of an authentication server that floods.
pub(crate) const OFFICE: &str = "//Charlie//flood";
/// Account of a relay that floods.
pub(crate) const RELAY: &str = "//Eve//flood";
/// A member of the consortium.
const MEMBER: &str = "//Alice";
/// Somebody without a role.
const STRANGER: &str = "//Ferdie";
/// The study that they have their roles in: another than the one whose entries are judged.
pub(crate) const STUDY: StudyId = PAPER_STUDY;
/// Transactions that each role tries to send.
const TRANSACTIONS: u64 = 200;
/// For so many blocks a transaction is valid.
const ERA: u64 = 64;
/// A device that there is not.
const NOBODY: DeviceId = DeviceId(4_000_000);

/// What the pool said to a role.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) role: String,
    pub(crate) taken: u64,
    pub(crate) refused: u64,
}

/// Sends the floods, and returns what came of each. The seed makes the device that takes part.
pub(crate) async fn flood(chain: &ChainClient, seed: u64) -> Result<Vec<Answers>> {
    let office = chain.submitter(Account::from_secret_uri(OFFICE)?);
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
    let floods = [
        (
            "member",
            account(MEMBER)?,
            calls::vote(H256::zero(), 0, true),
        ),
        ("sponsor", account(SPONSOR)?, calls::reopen_study(STUDY)),
        (
            "authentication server",
            account(OFFICE)?,
            calls::suspend(NOBODY, SuspensionReason::Lost),
        ),
        ("relay", account(RELAY)?, calls::submit_batch(vec![stray])),
        ("device", phone::account(&device), calls::submit(early)),
        ("stranger", account(STRANGER)?, calls::close_study(STUDY)),
    ];
    let sent = floods
        .iter()
        .map(|(role, account, call)| send(chain, role, account, call));
    join_all(sent).await.into_iter().collect()
}

async fn send(chain: &ChainClient, role: &str, account: &Account, call: &Call) -> Result<Answers> {
    let first = chain.next_nonce(&account.id()).await?;
    let mut answers = Answers {
        role: role.to_owned(),
        ..Answers::default()
    };
    let mut nonce = first;
    for _ in 0..TRANSACTIONS {
        let transaction = chain.sign(account, call, nonce, ERA).await?;
        match chain.send(&transaction.bytes).await? {
            PoolAnswer::Taken => {
                answers.taken += 1;
                nonce += 1;
            }
            PoolAnswer::Refused(_) => answers.refused += 1,
            // It may be there or not: ask.
            PoolAnswer::Unknown => nonce = chain.next_nonce(&account.id()).await?,
        }
    }
    Ok(answers)
}

fn account(uri: &str) -> Result<Account> {
    Ok(Account::from_secret_uri(uri)?)
}

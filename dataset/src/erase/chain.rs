// SPDX-License-Identifier: Apache-2.0

//! The receipt of an erasure on the chain.

use std::path::{Path, PathBuf};

use hashchain::DeviceId;
use mhealth_api::{DeviceStatus, ErasureOrder};
use mhealth_chain_client::{
    calls, read_secret_text, Account, ChainClient, Error, SuspensionReason, H256,
};

use crate::error::DataError;

/// Where the receipt is to stand, and who writes it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// WebSocket address of a node.
    pub node: String,
    /// File with the secret of the study's sponsor. Without it, it is only looked whether the receipt is there.
    pub account: Option<PathBuf>,
}

/// The account whose secret is in this file.
pub fn sponsor(file: &Path) -> Result<Account, DataError> {
    let secret = read_secret_text(file).map_err(|error| DataError::Place {
        code: error.code(),
        why: error.to_string(),
    })?;
    Account::from_secret_uri(&secret).map_err(unreadable)
}

/// How it stands about a device's receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands in this block, written now or before.
    InBlock(u32),
    /// The chain has the receipt of another order.
    Another(H256),
    /// It is not there, and there is no account to write it.
    Open,
    /// It is not there, and is not written: the study has so many relays more than were given the order.
    NotAsked(usize),
    /// The chain refused it, with its reason.
    Refused(String),
}

/// Sees to it that the chain has the receipt of an order for each of its devices, once so many relays have carried it out: from the
/// receipt on, whoever still holds the data is accused. A device that may still register entries is suspended before.
pub async fn write_down(
    chain: &Chain,
    order: &ErasureOrder,
    relays: usize,
) -> Result<Vec<(DeviceId, Written)>, DataError> {
    let client = ChainClient::connect_expecting(&chain.node, H256(order.chain.0));
    let client = client.await.map_err(unreadable)?;
    let account = match &chain.account {
        Some(file) => Some(sponsor(file)?),
        None => None,
    };
    let submitter = account.map(|account| client.submitter(account));
    let (_, view) = client.at_finalised().await.map_err(unreadable)?;
    let roster = view.roster(order.study).await.map_err(unreadable)?;
    let not_asked = roster.relays.len().saturating_sub(relays);
    let mut written = Vec::new();
    for device in &order.devices {
        let (_, view) = client.at_finalised().await.map_err(unreadable)?;
        let found = view.erasure(*device).await.map_err(unreadable)?;
        let receipt = order.receipt();
        let state = match (found, &submitter) {
            (Some(found), _) if found.receipt == receipt.0 => Written::InBlock(found.block),
            (Some(found), _) => Written::Another(H256(found.receipt)),
            (None, _) if not_asked > 0 => Written::NotAsked(not_asked),
            (None, None) => Written::Open,
            (None, Some(submitter)) => {
                let known = view.device(*device).await.map_err(unreadable)?;
                let mut needed = Vec::new();
                if known.is_some_and(|known| known.status == DeviceStatus::Active) {
                    needed.push(calls::suspend(*device, SuspensionReason::Withdrawn));
                }
                needed.push(calls::erase(*device, receipt.0));
                let mut state = Written::Open;
                for call in needed {
                    let included = submitter.submit_and_wait(call).await;
                    match included.and_then(|included| included.succeeded()) {
                        Ok(included) => {
                            let block = u32::try_from(included.block_number);
                            state = Written::InBlock(block.unwrap_or(u32::MAX));
                        }
                        Err(error) if is_a_refusal(&error) => {
                            state = Written::Refused(error.to_string());
                            break;
                        }
                        Err(error) => return Err(unreadable(error)),
                    }
                }
                state
            }
        };
        written.push((*device, state));
    }
    Ok(written)
}

/// Whether the chain had its say.
fn is_a_refusal(error: &Error) -> bool {
    matches!(error, Error::Dispatch(_) | Error::Refused(_))
}

fn unreadable(error: Error) -> DataError {
    DataError::Place {
        code: "chain_unreadable",
        why: format!("the chain: {error}"),
    }
}

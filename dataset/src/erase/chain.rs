// SPDX-License-Identifier: Apache-2.0

//! The receipt of an erasure on the chain.

use std::path::{Path, PathBuf};

use hashchain::DeviceId;
use mhealth_api::ErasureOrder;
use mhealth_chain_client::{
    read_secret_text, Account, Call, ChainClient, ErasureFault, Error, Submitter, H256,
};

use super::words::plain;
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
    /// The chain refused it, or it may not be written at all, with the reason.
    Refused(String),
}

/// Sees to it that the chain has the receipt of an order for each of its devices, once so many relays have carried it out: from the
/// receipt on, whoever still holds the data is accused. A device that may still register entries is suspended before. Nothing is
/// called when one of them is not of the order's study and participant, or the account is not the sponsor's.
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
    let account = submitter.as_ref().map(Submitter::account);
    let steps = match client.erasure_steps(&view, order, account.as_ref()).await {
        Ok(steps) => steps,
        Err(ErasureFault::Chain(error)) => return Err(unreadable(error)),
        Err(fault) => {
            let refused = |device: &DeviceId| (*device, Written::Refused(fault.to_string()));
            return Ok(order.devices.iter().map(refused).collect());
        }
    };
    let receipt = order.receipt();
    let roster = view.roster(order.study).await.map_err(unreadable)?;
    let not_asked = roster.relays.len().saturating_sub(relays);
    let mut written = Vec::new();
    for step in steps {
        let state = match (step.written, &submitter) {
            (Some(found), _) if found.receipt == receipt.0 => Written::InBlock(found.block),
            (Some(found), _) => Written::Another(H256(found.receipt)),
            (None, _) if not_asked > 0 => Written::NotAsked(not_asked),
            (None, None) => Written::Open,
            (None, Some(submitter)) => make(submitter, step.calls).await?,
        };
        written.push((step.device, state));
    }
    Ok(written)
}

/// Makes these calls, up to one that the chain refuses.
async fn make(submitter: &Submitter, calls: Vec<Call>) -> Result<Written, DataError> {
    let mut state = Written::Open;
    for call in calls {
        state = match submitter.submit_and_wait(call).await {
            Ok(included) => {
                let block = u32::try_from(included.block_number);
                Written::InBlock(block.unwrap_or(u32::MAX))
            }
            Err(error) if is_a_refusal(&error) => {
                return Ok(Written::Refused(plain(&error.to_string())))
            }
            Err(error) => return Err(unreadable(error)),
        };
    }
    Ok(state)
}

/// Whether the chain had its say.
fn is_a_refusal(error: &Error) -> bool {
    matches!(error, Error::Dispatch(_) | Error::Refused(_))
}

pub(super) fn unreadable(error: Error) -> DataError {
    DataError::Place {
        code: "chain_unreadable",
        why: format!("the chain: {}", plain(&error.to_string())),
    }
}

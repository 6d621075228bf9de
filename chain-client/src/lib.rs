// SPDX-License-Identifier: Apache-2.0

//! How a program talks to mHealth Chain.
//!
//! - [`ChainClient`] is the connection to one node: it checks that the node follows the right chain, reads devices,
//!   heads, entries and studies as of a finalised block, and connects again when the node was away.
//! - [`Submitter`] writes: one per [`Account`], with the calls of [`calls`]. It keeps the account's nonces in order,
//!   signs with a mortal era, sends the same bytes again when needed, and tells what became of each transaction
//!   ([`Submission::finalised`]).
//! - [`Follower`] delivers every finalised block in order, with what happened in it, and misses none over a reconnect.
//! - [`Error`] says what went wrong, as a sentence for people and as a code for programs.
//!
//! Programs off chain know the chain by its metadata and not by the runtime's Rust types; this crate is the only one
//! that sees the metadata. Its types are its own, so a change of the runtime that matters shows here, at compile time.
//!
//! ```no_run
//! # async fn example() -> Result<(), mhealth_chain_client::Error> {
//! use hashchain::DeviceId;
//! use mhealth_chain_client::{calls, Account, ChainClient, SuspensionReason};
//!
//! let chain = ChainClient::connect("ws://127.0.0.1:9944").await?;
//! let office = chain.submitter(Account::from_secret_uri("//Charlie")?);
//! let suspension = calls::suspend(DeviceId(0), SuspensionReason::Lost);
//! let outcome = office.submit(suspension).await?.finalised().await?;
//! println!("block {}: {:?}", outcome.block_number, outcome.events);
//! # Ok(())
//! # }
//! ```

mod account;
mod block;
mod body;
mod brought;
mod call;
pub mod calls;
mod client;
mod connection;
mod council;
pub mod erasing;
mod error;
mod event;
#[cfg(test)]
mod fake;
mod finality;
mod follower;
mod included;
mod machine;
mod motions;
mod native;
mod nonce;
mod pending;
mod pool;
mod proving;
mod refusals;
mod roster;
mod rpc;
mod runtime;
mod secret_file;
mod signing;
mod submission;
mod submitter;
#[cfg(test)]
mod tests;
mod tracker;
mod transport;
mod types;
mod view;
mod wire;
mod within;

pub use account::{is_statement_of, Account};
pub use block::{Effect, FinalisedBlock, FinalisedExtrinsic};
pub use body::{BlockBody, BlockContents, BlockReader};
pub use brought::BroughtRun;
pub use call::Call;
pub use client::{ChainClient, ConnectOptions};
pub use council::{Proposal, UrgentDecision};
pub use erasing::{ErasureFault, ErasureStep};
pub use error::{DispatchRefusal, Error};
pub use event::ChainEvent;
pub use follower::Follower;
pub use machine::is_on_this_machine;
pub use motions::Motion;
pub use pool::{PoolAnswer, PoolRefusal};
pub use proving::AuthorityChanges;
pub use roster::{Quota, Roster};
pub use runtime::{METADATA_FUNCTION, METADATA_TYPES, METADATA_VERSIONS};
pub use secret_file::{
    check_private, create_private, new_private, open_private, read_secret, read_secret_text,
    sync_folder, write_new, write_new_secret, SecretFileError,
};
pub use signing::{Birth, SignedTransaction};
pub use submission::{Inclusion, Submission};
pub use submitter::{Submitter, SubmitterOptions};
pub use subxt::utils::{AccountId32, H256};
pub use transport::{check_node_address, Patience};
pub use types::{
    Allowance, BlockId, BlockProof, ChainType, ConflictView, ConflictsView, DeviceView,
    EntriesPage, EntryView, ErasureReceipt, FinalityProof, HeadView, LastTrusted, ProvedHead,
    StudyView, SuspensionReason,
};
pub use view::ChainView;

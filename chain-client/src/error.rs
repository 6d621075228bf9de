// SPDX-License-Identifier: Apache-2.0

//! What can go wrong between a program and the chain, in words for the person in front of it.

use std::fmt;

use mhealth_api::Refusal;
use subxt::utils::H256;

use crate::pool::PoolRefusal;

/// Why the chain could not be read or written.
///
/// Programs ask the predicates or compare [`Error::code`]; people read the message, which is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the node is not one that this client can use.
    #[error(
        "\"{url}\" is not the address of a node: {reason}. Give one like ws://127.0.0.1:9944."
    )]
    BadUrl {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The node is on another machine, and nothing protects what is said to it.
    #[error(
        "\"{url}\" is on another machine, and nothing protects what is said to it. Give an address that begins with \
         wss://; ws:// is for a node on this machine."
    )]
    Unprotected {
        /// The address as it was given.
        url: String,
    },
    /// No connection to the node could be made, or the connection was lost and did not come back in time.
    #[error("The node at {url} cannot be reached: {reason}. Check that it runs and that the address is right.")]
    Unreachable {
        /// The address of the node.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The node belongs to another chain than the caller works with.
    #[error(
        "The node at {url} belongs to another chain: its genesis block is {found:#x}, expected was {expected:#x}."
    )]
    WrongChain {
        /// The address of the node.
        url: String,
        /// Genesis hash of the chain that the caller works with.
        expected: H256,
        /// Genesis hash of the chain that the node follows.
        found: H256,
    },
    /// The chain's runtime has moved on from the one that this program was built for.
    #[error("The chain's runtime does not fit this program, which has to be updated: {what}.")]
    IncompatibleRuntime {
        /// Which part does not fit.
        what: String,
    },
    /// The node's transaction pool did not take the transaction; nothing of it will reach a block.
    #[error("{0}")]
    Refused(PoolRefusal),
    /// A block includes the transaction, but the call was refused and changed nothing.
    #[error("{0}")]
    Dispatch(DispatchRefusal),
    /// The transaction was not included within its era. It never will be.
    #[error(
        "The transaction {hash:#x} was not included in a block before block {death}, when it expired. It never will be \
         included, so the call can be submitted anew."
    )]
    Expired {
        /// Hash of the transaction.
        hash: H256,
        /// Number of the first block in which it is not valid any more.
        death: u64,
    },
    /// It was not found out what became of a transaction before the wait for it ended.
    #[error(
        "It is open what became of the transaction {hash:#x}: {reason}. It may still be included in a block before block \
         {death}, so look before you do it again."
    )]
    Undecided {
        /// Hash of the transaction.
        hash: H256,
        /// Number of the first block in which it is not valid any more.
        death: u64,
        /// Why the wait ended.
        reason: String,
    },
    /// A different transaction of the same account was included with the same nonce.
    #[error(
        "Another program uses the same account: nonce {nonce} went to a different transaction than {hash:#x}, which \
         therefore never will be included."
    )]
    Superseded {
        /// Hash of the transaction that lost.
        hash: H256,
        /// The nonce that both wanted.
        nonce: u64,
    },
    /// The node no longer keeps the state of the block that was asked for.
    #[error(
        "The node has dropped the state of block {block}. Ask an archive node (--state-pruning archive), or read the \
         present state instead."
    )]
    StatePruned {
        /// The block that was asked for: its number, or its hash where that is all that is known.
        block: String,
    },
    /// The node does not know the block that was asked for.
    #[error("The node does not know block {block}.")]
    UnknownBlock {
        /// The block that was asked for.
        block: String,
    },
    /// The finalised chain of the node does not go on from the blocks that were followed so far.
    #[error(
        "The node's finalised block {number} does not follow the block that was finalised before it: its parent is \
         {found:#x}, expected was {expected:#x}. The node's database was reset or restored."
    )]
    Diverged {
        /// Number of the block that does not fit.
        number: u64,
        /// Hash of the block before it, as it was followed.
        expected: H256,
        /// The parent that the block names.
        found: H256,
    },
    /// The secret of an account cannot be used.
    #[error("The secret of the account cannot be used: {reason}.")]
    BadSecret {
        /// What is wrong with it; never the secret itself.
        reason: String,
    },
    /// The node has no proof of what was asked, at least not now.
    #[error("The node cannot prove it: {reason}.")]
    NotProvable {
        /// What the node said.
        reason: String,
    },
    /// The node cannot prove that one set of authorities handed over to the next.
    #[error("The node cannot prove it from the authorities on that are known: {reason}.")]
    SetNotBridged {
        /// What the node said, with the set.
        reason: String,
    },
    /// The node answered something that this client does not understand.
    #[error("The node gave an answer that this program does not understand ({what}): {reason}.")]
    Protocol {
        /// What was asked.
        what: String,
        /// What the node said.
        reason: String,
    },
    /// The client was shut down while something was still under way.
    #[error("The connection to the chain was closed while a transaction was still under way.")]
    Closed,
}

impl Error {
    /// A stable name for logs, metrics and tests; it does not change when the wording does.
    pub fn code(&self) -> &'static str {
        match self {
            Error::BadUrl { .. } => "bad_url",
            Error::Unprotected { .. } => "node_without_tls",
            Error::Unreachable { .. } => "node_unreachable",
            Error::WrongChain { .. } => "wrong_chain",
            Error::IncompatibleRuntime { .. } => "incompatible_runtime",
            Error::Refused(refusal) => refusal.code(),
            Error::Dispatch(_) => "dispatch_refused",
            Error::Expired { .. } => "transaction_expired",
            Error::Undecided { .. } => "transaction_undecided",
            Error::Superseded { .. } => "nonce_superseded",
            Error::StatePruned { .. } => "state_pruned",
            Error::UnknownBlock { .. } => "unknown_block",
            Error::Diverged { .. } => "chain_diverged",
            Error::BadSecret { .. } => "bad_secret",
            Error::NotProvable { .. } => "proof_unavailable",
            Error::SetNotBridged { .. } => "set_not_bridged",
            Error::Protocol { .. } => "unexpected_answer",
            Error::Closed => "client_closed",
        }
    }

    /// The node did not answer. A transaction that was under way may or may not have arrived.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }

    /// The node answered, and will answer the same when it is asked again.
    pub fn is_lasting(&self) -> bool {
        let passes = matches!(self, Error::WrongChain { .. } | Error::Undecided { .. });
        !self.is_unreachable() && !passes
    }

    /// The pool turned the transaction away.
    pub fn is_pool_refusal(&self) -> bool {
        matches!(self, Error::Refused(_))
    }

    /// Submitting the same call again, as a new transaction, cannot write anything twice and may succeed.
    ///
    /// Not true of [`Error::Unreachable`] and [`Error::Undecided`], after which the first transaction may still be included.
    pub fn is_safe_to_submit_anew(&self) -> bool {
        match self {
            Error::Expired { .. } | Error::Superseded { .. } => true,
            Error::Refused(refusal) => refusal.is_passing(),
            _ => false,
        }
    }

    pub(crate) fn protocol(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Error::Protocol {
            what: what.to_string(),
            reason: without_full_stop(reason),
        }
    }
}

/// Why a call that reached a block was refused: what the chain itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchRefusal {
    name: String,
    word: Refusal,
    doc: String,
}

impl DispatchRefusal {
    pub(crate) fn new(name: impl Into<String>, word: Refusal, doc: impl Into<String>) -> Self {
        DispatchRefusal {
            name: name.into(),
            word,
            doc: doc.into(),
        }
    }

    /// The reason, as programs tell it each other.
    pub fn refusal(&self) -> &Refusal {
        &self.word
    }

    /// The name of the error with its pallet, such as `ClientHashchain.Gap`; without one, such as `BadOrigin`, for
    /// errors that belong to no pallet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the chain's own documentation says of it.
    pub fn doc(&self) -> &str {
        &self.doc
    }
}

impl fmt::Display for DispatchRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The chain refused the call with {}", self.name)?;
        if self.doc.is_empty() {
            write!(f, ".")
        } else {
            write!(f, ": {}", self.doc)
        }
    }
}

/// The word of an error that this program has no variant for: `Studies.NotSponsor` becomes `studies.not_sponsor`.
pub(crate) fn unknown_word(name: &str) -> Refusal {
    let mut word = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        let begins = word.is_empty() || word.ends_with('.');
        if letter.is_ascii_uppercase() && !begins {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word.parse()
        .unwrap_or_else(|_| Refusal::Unknown("unreadable".to_owned()))
}

/// Messages end their own sentences, so a reason taken from elsewhere goes in without its full stop.
pub(crate) fn without_full_stop(reason: impl fmt::Display) -> String {
    reason.to_string().trim_end_matches(['.', ' ']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_chain_names_both_genesis_hashes() {
        let error = Error::WrongChain {
            url: "ws://127.0.0.1:9944".into(),
            expected: H256::repeat_byte(0x11),
            found: H256::repeat_byte(0x22),
        };
        let text = error.to_string();
        assert!(text.contains(&"11".repeat(32)), "{text}");
        assert!(text.contains(&"22".repeat(32)), "{text}");
        assert_eq!(error.code(), "wrong_chain");
    }

    #[test]
    fn a_dispatch_refusal_shows_the_chains_own_words() {
        let refusal =
            DispatchRefusal::new("ClientHashchain.Gap", Refusal::Gap, "Entries are missing.");
        assert_eq!(refusal.name(), "ClientHashchain.Gap");
        assert_eq!(
            Error::Dispatch(refusal).to_string(),
            "The chain refused the call with ClientHashchain.Gap: Entries are missing."
        );
    }

    #[test]
    fn only_what_cannot_be_included_any_more_is_safe_to_submit_anew() {
        let expired = Error::Expired {
            hash: H256::zero(),
            death: 64,
        };
        let unreachable = Error::Unreachable {
            url: "ws://127.0.0.1:9944".into(),
            reason: "connection refused".into(),
        };
        let undecided = Error::Undecided {
            hash: H256::zero(),
            death: 64,
            reason: "no block came".into(),
        };
        assert!(expired.is_safe_to_submit_anew());
        assert!(!undecided.is_safe_to_submit_anew());
        assert!(!unreachable.is_safe_to_submit_anew());
        assert!(Error::Refused(PoolRefusal::PoolFull).is_safe_to_submit_anew());
        assert!(!Error::Refused(PoolRefusal::NoRole).is_safe_to_submit_anew());
    }
}

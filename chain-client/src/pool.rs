// SPDX-License-Identifier: Apache-2.0

//! The answers of a node's transaction pool, told apart.

use std::fmt;

use subxt::rpcs::UserError;
use subxt::tx::TransactionInvalid;

/// What became of the attempt to hand a transaction to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolAnswer {
    /// The node's pool holds it.
    Taken,
    /// The pool turned it away.
    Refused(PoolRefusal),
    /// The connection broke, so it may have arrived or not.
    Unknown,
}

/// Why a node's pool did not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolRefusal {
    /// The account holds no role on this chain.
    NoRole,
    /// The account is a device's, which is suspended or retired, and it holds no other role.
    DeviceShutOut,
    /// The account is a device's and holds no other role: it may send runs of its own entries and nothing else.
    NotOwnRuns,
    /// None of the account's roles may make this call.
    NotItsCall,
    /// The motion asks for another number of ayes than its call needs.
    OtherThreshold,
    /// The validator changed its session keys within a day.
    KeysChangedToday,
    /// No other validator has session keys, so these are not purged.
    LastKeys,
    /// Too much of what the account sent was refused of late; it has to wait.
    TooMuchRefused,
    /// As many transactions of the account wait as may.
    TooManyWaiting,
    /// The nonce was used before.
    Stale,
    /// The nonce is ahead of the account's, and the pool keeps no such transactions.
    Future,
    /// The signature does not fit what the chain expects to be signed: a foreign key, another chain, or another version
    /// of the runtime.
    BadSignature,
    /// The block from which the transaction counts its era is too old.
    Ancient,
    /// The transaction is too large or too heavy for a block.
    TooHeavy,
    /// A transaction with the same nonce is in the pool already and may not be replaced yet.
    Outbid,
    /// The pool is full.
    PoolFull,
    /// The pool turned this very transaction away not long ago and will not look at it again for a while.
    Banned,
    /// The pool holds this very transaction already. Not a refusal to those who send it a second time.
    AlreadyThere,
    /// Another reason, with the node's own number and words.
    Other {
        /// Number of the JSON-RPC error.
        code: i32,
        /// What the node said.
        message: String,
    },
}

impl PoolRefusal {
    /// Reads the custom code of the chain (docs/explained/admission.md).
    fn from_custom(code: u8) -> Option<Self> {
        Some(match code {
            101 => PoolRefusal::NoRole,
            102 => PoolRefusal::DeviceShutOut,
            103 => PoolRefusal::NotOwnRuns,
            104 => PoolRefusal::NotItsCall,
            105 | 106 => PoolRefusal::TooHeavy,
            107 => PoolRefusal::TooMuchRefused,
            108 => PoolRefusal::OtherThreshold,
            109 => PoolRefusal::TooManyWaiting,
            110 => PoolRefusal::KeysChangedToday,
            111 => PoolRefusal::LastKeys,
            _ => return None,
        })
    }

    /// Reads the answer of `author_submitExtrinsic`. The numbers are those of `sc-rpc-api`'s author errors; for 1010
    /// the reason is in the data, in the words of `sp-runtime`'s `InvalidTransaction`.
    pub(crate) fn from_answer(answer: &UserError) -> Self {
        let data = answer
            .data
            .as_ref()
            .and_then(|data| serde_json::from_str::<String>(data.get()).ok())
            .unwrap_or_default();
        let other = || PoolRefusal::Other {
            code: answer.code,
            message: match data.as_str() {
                "" => answer.message.clone(),
                data => format!("{}: {data}", answer.message),
            },
        };
        match answer.code {
            1010 => match data.as_str() {
                "Transaction is outdated" => PoolRefusal::Stale,
                "Transaction will be valid in the future" => PoolRefusal::Future,
                "Transaction has a bad signature" => PoolRefusal::BadSignature,
                "Transaction has an ancient birth block" => PoolRefusal::Ancient,
                "Transaction would exhaust the block limits" => PoolRefusal::TooHeavy,
                custom => custom
                    .strip_prefix("Custom error: ")
                    .and_then(|code| Self::from_custom(code.parse().ok()?))
                    .unwrap_or_else(other),
            },
            1012 => PoolRefusal::Banned,
            1013 => PoolRefusal::AlreadyThere,
            1014 => PoolRefusal::Outbid,
            1016 => PoolRefusal::PoolFull,
            1021 => PoolRefusal::Future,
            _ => other(),
        }
    }

    /// The same, of what the runtime itself says when asked about a transaction.
    pub(crate) fn from_validity(invalid: &TransactionInvalid) -> Self {
        match invalid {
            TransactionInvalid::Future => PoolRefusal::Future,
            TransactionInvalid::Stale => PoolRefusal::Stale,
            TransactionInvalid::BadProof => PoolRefusal::BadSignature,
            TransactionInvalid::AncientBirthBlock => PoolRefusal::Ancient,
            TransactionInvalid::ExhaustsResources => PoolRefusal::TooHeavy,
            TransactionInvalid::Custom(code) => {
                Self::from_custom(*code).unwrap_or_else(|| Self::invalid(invalid))
            }
            other => Self::invalid(other),
        }
    }

    /// A transaction that is invalid for a reason without a name here.
    fn invalid(reason: &TransactionInvalid) -> Self {
        PoolRefusal::Other {
            code: 1010,
            message: format!("{reason:?}"),
        }
    }

    /// A stable name, as in [`Error::code`](crate::error::Error::code).
    pub fn code(&self) -> &'static str {
        match self {
            PoolRefusal::NoRole => "no_role",
            PoolRefusal::DeviceShutOut => "device_shut_out",
            PoolRefusal::NotOwnRuns => "not_own_runs",
            PoolRefusal::NotItsCall => "not_its_call",
            PoolRefusal::OtherThreshold => "other_threshold",
            PoolRefusal::KeysChangedToday => "session_keys_changed_today",
            PoolRefusal::LastKeys => "last_session_keys",
            PoolRefusal::TooMuchRefused => "too_much_refused",
            PoolRefusal::TooManyWaiting => "too_many_waiting",
            PoolRefusal::Stale => "nonce_stale",
            PoolRefusal::Future => "nonce_ahead",
            PoolRefusal::BadSignature => "bad_transaction_signature",
            PoolRefusal::Ancient => "ancient_birth_block",
            PoolRefusal::TooHeavy => "too_heavy",
            PoolRefusal::Outbid => "nonce_in_pool",
            PoolRefusal::PoolFull => "pool_full",
            PoolRefusal::Banned => "temporarily_banned",
            PoolRefusal::AlreadyThere => "already_in_pool",
            PoolRefusal::Other { .. } => "pool_refused",
        }
    }

    /// Whether the same call may be taken later, without anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            PoolRefusal::PoolFull
                | PoolRefusal::TooMuchRefused
                | PoolRefusal::TooManyWaiting
                | PoolRefusal::Stale
                | PoolRefusal::Future
                | PoolRefusal::Outbid
                | PoolRefusal::Ancient
        )
    }

    /// Whether the refusal says only that the nonce is or was in use, which may be by this very transaction.
    pub(crate) fn is_about_the_nonce(&self) -> bool {
        matches!(
            self,
            PoolRefusal::Stale | PoolRefusal::Future | PoolRefusal::Outbid
        )
    }
}

impl fmt::Display for PoolRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolRefusal::NoRole => write!(
                f,
                "The account has no role on this chain, so its transactions are turned away. The sponsor of a study can \
                 make it a relay or an authentication server; a device's account gets its role by enrolment."
            ),
            PoolRefusal::DeviceShutOut => write!(
                f,
                "The device is suspended or retired, so its transactions are turned away. The study's sponsor or \
                 authentication server can resume a suspended device."
            ),
            PoolRefusal::NotOwnRuns => write!(
                f,
                "The account is a device's and holds no other role: it may send runs of its own entries only."
            ),
            PoolRefusal::NotItsCall => write!(
                f,
                "None of the account's roles may make this call. docs/explained/admission.md has the table of roles and \
                 calls."
            ),
            PoolRefusal::OtherThreshold => write!(
                f,
                "The motion asks for another number of ayes than its call needs. docs/explained/admission.md has the numbers."
            ),
            PoolRefusal::KeysChangedToday => write!(
                f,
                "The validator changed its session keys within a day (consortium.sessionKeyPeriod), and keeps these until it is \
                 over. If others have them, let the members remove the validator, register other keys, and be added again."
            ),
            PoolRefusal::LastKeys => write!(
                f,
                "No other validator has session keys, so nobody would be left to make blocks. Let another one register keys first."
            ),
            PoolRefusal::TooMuchRefused => write!(
                f,
                "Too much of what this account sent was refused of late. Look into the refusals; with every block some is \
                 forgiven."
            ),
            PoolRefusal::TooManyWaiting => write!(
                f,
                "As many transactions of this account wait for a block as may. Send this one again when some of them are \
                 in one."
            ),
            PoolRefusal::Stale => write!(f, "The nonce of the transaction was used before."),
            PoolRefusal::Future => write!(
                f,
                "The nonce of the transaction is ahead of the account's, and the node keeps no such transactions."
            ),
            PoolRefusal::BadSignature => write!(
                f,
                "The signature of the transaction does not hold on this chain: the key is not the account's, or the \
                 node follows another chain or another version of the runtime."
            ),
            PoolRefusal::Ancient => write!(
                f,
                "The transaction counts its era from a block that is too old. The node may be far behind in finality."
            ),
            PoolRefusal::TooHeavy => write!(
                f,
                "The transaction is too large for a block. Submit fewer or shorter runs at a time."
            ),
            PoolRefusal::Outbid => write!(
                f,
                "The node's pool holds another transaction of this account with the same nonce."
            ),
            PoolRefusal::PoolFull => {
                write!(f, "The node's transaction pool is full. Try again later.")
            }
            PoolRefusal::Banned => write!(
                f,
                "The node turned this very transaction away before and will not look at it again for half an hour."
            ),
            PoolRefusal::AlreadyThere => {
                write!(f, "The node's pool holds this very transaction already.")
            }
            PoolRefusal::Other { code, message } => write!(
                f,
                "The node's transaction pool refused the transaction with error {code}: {message}."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, message: &str, data: Option<&str>) -> UserError {
        UserError {
            code,
            message: message.into(),
            data: data.map(|data| {
                serde_json::value::to_raw_value(data).expect("a string is valid JSON; qed")
            }),
        }
    }

    #[test]
    fn the_chains_own_codes_get_names() {
        let codes = [
            (101, PoolRefusal::NoRole),
            (102, PoolRefusal::DeviceShutOut),
            (103, PoolRefusal::NotOwnRuns),
            (104, PoolRefusal::NotItsCall),
            (105, PoolRefusal::TooHeavy),
            (106, PoolRefusal::TooHeavy),
            (107, PoolRefusal::TooMuchRefused),
            (108, PoolRefusal::OtherThreshold),
            (109, PoolRefusal::TooManyWaiting),
            (110, PoolRefusal::KeysChangedToday),
            (111, PoolRefusal::LastKeys),
        ];
        for (code, refusal) in codes {
            let data = format!("Custom error: {code}");
            let answer = answer(1010, "Invalid Transaction", Some(&data));
            assert_eq!(PoolRefusal::from_answer(&answer), refusal);
            let invalid = TransactionInvalid::Custom(code);
            assert_eq!(PoolRefusal::from_validity(&invalid), refusal);
        }
    }

    #[test]
    fn every_pool_answer_about_a_nonce_is_recognised() {
        let cases = [
            (
                answer(1010, "Invalid Transaction", Some("Transaction is outdated")),
                PoolRefusal::Stale,
            ),
            (
                answer(
                    1010,
                    "Invalid Transaction",
                    Some("Transaction will be valid in the future"),
                ),
                PoolRefusal::Future,
            ),
            (
                answer(1014, "Priority is too low: (1 vs 1)", None),
                PoolRefusal::Outbid,
            ),
            (
                answer(1021, "The pool is not accepting future transactions", None),
                PoolRefusal::Future,
            ),
        ];
        for (answer, expected) in cases {
            let refusal = PoolRefusal::from_answer(&answer);
            assert_eq!(refusal, expected);
            assert!(refusal.is_about_the_nonce());
        }
    }

    #[test]
    fn an_unknown_answer_keeps_the_nodes_number_and_words() {
        let refusal = PoolRefusal::from_answer(&answer(
            1010,
            "Invalid Transaction",
            Some("Custom error: 7"),
        ));
        let text = refusal.to_string();
        assert!(
            text.contains("1010") && text.contains("Custom error: 7"),
            "{text}"
        );
        assert_eq!(refusal.code(), "pool_refused");
    }
}

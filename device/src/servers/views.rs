// SPDX-License-Identifier: Apache-2.0

//! What relays say the chain has finalised.
//!
//! As many relays are asked as are to hold a run. What they say is compared at the same height: one that has seen fewer
//! blocks is asked again until it has caught up.

use std::{sync::Arc, time::Instant};

use mhealth_api::{ChainHead, Code, DeviceHeads, DeviceOnChain};
use serde::de::DeserializeOwned;

use super::{
    address::Address,
    inner::Inner,
    relay::{preference, Relay},
    witness::disagreement,
};
use crate::chain::{ChainDevice, ChainFault};

/// Something that a relay tells of a device.
pub(super) trait Told: DeserializeOwned + Send {
    /// The finalised head.
    fn head(&self) -> &ChainHead;

    /// Whether both are of the same device.
    fn is_same(&self, other: &Self) -> bool;
}

impl Told for DeviceHeads {
    fn head(&self) -> &ChainHead {
        &self.chain
    }

    fn is_same(&self, other: &Self) -> bool {
        self.device == other.device
    }
}

impl Told for DeviceOnChain {
    fn head(&self) -> &ChainHead {
        &self.chain
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.device, self.key, self.genesis) == (other.device, other.key, other.genesis)
    }
}

/// A device as the device library has it.
pub(super) fn device(told: &DeviceOnChain) -> ChainDevice {
    ChainDevice {
        number: told.device,
        genesis: told.genesis,
        head: told.chain.head,
    }
}

impl Inner {
    /// Asks relays for something of a device, as many as are to hold a run if so many answer, and compares what they
    /// say. `None`: the chain has no such device. `first` chooses the relay to begin with.
    pub(super) async fn ask<T: Told>(
        &self,
        first: u32,
        path: &str,
    ) -> Result<Option<T>, ChainFault> {
        let patience = &self.settings.patience;
        let relays = preference(&self.relays()?, first);
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            let (answers, mut fault) = self.ask_each(&relays, path).await?;
            if !answers.is_empty() {
                match agree(answers)? {
                    Ok(told) => return Ok(told),
                    Err(lagging) => fault = Some(lagging),
                }
            }
            attempts += 1;
            let wait = patience.backoff(attempts, None);
            match fault {
                Some(fault) if !fault.passing || begun.elapsed() + wait >= patience.give_up => {
                    return Err(fault);
                }
                _ => tokio::time::sleep(wait).await,
            }
        }
    }

    /// The answers of as many relays as are wanted, and the last failure.
    async fn ask_each<T: Told>(
        &self,
        relays: &[Arc<Relay>],
        path: &str,
    ) -> Result<(Vec<(Address, Option<T>)>, Option<ChainFault>), ChainFault> {
        let wanted = self.settings.copies.max(1) as usize;
        let (mut answers, mut fault) = (Vec::new(), None);
        // Those that need not be left alone first.
        let (ready, resting): (Vec<_>, Vec<_>) =
            relays.iter().partition(|relay| relay.rest().is_zero());
        for relay in ready.into_iter().chain(resting) {
            if answers.len() == wanted {
                break;
            }
            let rest = relay.rest();
            if !rest.is_zero() && !answers.is_empty() {
                break; // One answer now is better than two later.
            }
            tokio::time::sleep(rest).await;
            let request = self.http.get(relay.address.at(path));
            match self.http.send::<T>(request).await {
                Ok(told) => {
                    relay.worked();
                    self.witness.see(&relay.address, told.head().block)?;
                    answers.push((relay.address.clone(), Some(told)));
                }
                Err(failure) if failure.refusal() == Some(Code::UnknownDevice) => {
                    relay.worked();
                    answers.push((relay.address.clone(), None));
                }
                Err(failure) => {
                    let (passing, wait) = (failure.may_pass(), failure.wait());
                    let found = failure.at(&relay.address);
                    match passing {
                        true => relay.failed(&self.settings.patience, &found, wait),
                        false => {
                            tracing::warn!(fault = %found, "a relay does not answer the question")
                        }
                    }
                    // A failure that may pass is the better reason to ask again.
                    fault = match fault {
                        Some(earlier @ ChainFault { passing: true, .. }) => Some(earlier),
                        _ => Some(found),
                    };
                }
            }
        }
        Ok((answers, fault))
    }
}

/// The newest of what relays say, if all agree; an inner error when one of them has not caught up.
#[allow(clippy::type_complexity)] // The outer error ends the question, the inner one repeats it.
fn agree<T: Told>(
    answers: Vec<(Address, Option<T>)>,
) -> Result<Result<Option<T>, ChainFault>, ChainFault> {
    let mut ignorant = None;
    let mut told: Vec<(Address, T)> = Vec::new();
    for (relay, answer) in answers {
        match answer {
            Some(answer) => told.push((relay, answer)),
            None => ignorant = Some(relay),
        }
    }
    told.sort_by_key(|(_, told)| told.head().block.number);
    let Some((newest, best)) = told.pop() else {
        return Ok(Ok(None));
    };
    let mut lagging = ignorant;
    for (relay, other) in told {
        let (old, new) = (&other.head().head, &best.head().head);
        let same_height = other.head().block == best.head().block;
        let contradiction = !other.is_same(&best)
            || old.length > new.length
            || (old.length == new.length && old.hash != new.hash)
            || (same_height && old != new);
        if contradiction {
            let head = |told: &T| {
                let ChainHead { head, block } = told.head();
                format!(
                    "entry {} is {} in block {}",
                    head.length, head.hash, block.number
                )
            };
            return Err(disagreement(&relay, &head(&other), &newest, &head(&best)));
        }
        if old.length < new.length {
            lagging = Some(relay);
        }
    }
    Ok(match lagging {
        None => Ok(Some(best)),
        Some(relay) => Err(ChainFault {
            code: "relay_behind".into(),
            message: format!("{relay}: it has not seen the blocks that other relays have seen."),
            passing: true,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashchain::{DeviceId, LinkHash};
    use mhealth_api::{BlockRef, Hash, Head};

    /// A head of so many entries in a block; a head's hash follows from its length unless it is a lie.
    fn told(length: u64, lie: u8, block: u64) -> Option<DeviceHeads> {
        let head = Head {
            length,
            hash: LinkHash([length as u8 + lie; 32]),
        };
        let block = BlockRef {
            number: block,
            hash: Hash([7; 32]),
        };
        Some(DeviceHeads {
            device: DeviceId(1),
            relay: head,
            chain: ChainHead { head, block },
        })
    }

    fn agreed(one: Option<DeviceHeads>, other: Option<DeviceHeads>) -> Result<u64, String> {
        let [a, b]: [Address; 2] =
            ["https://a.example", "https://b.example"].map(|address| address.parse().unwrap());
        let both_orders = [
            agree(vec![(a.clone(), one), (b.clone(), other)]),
            agree(vec![(b, other), (a, one)]),
        ];
        let [first, second] = both_orders.map(|agreed| match agreed {
            Ok(Ok(told)) => Ok(told.map_or(0, |told| told.chain.head.length)),
            Ok(Err(fault)) | Err(fault) => Err(fault.code),
        });
        assert_eq!(first, second, "the order of the answers does not matter");
        first
    }

    #[test]
    fn relays_that_say_the_same_agree_whatever_block_they_have_seen() {
        assert_eq!(agreed(told(3, 0, 10), told(3, 0, 10)), Ok(3));
        assert_eq!(agreed(told(3, 0, 10), told(3, 0, 12)), Ok(3));
        assert_eq!(agreed(None, None), Ok(0));
    }

    #[test]
    fn who_has_seen_less_is_asked_again() {
        assert_eq!(
            agreed(told(3, 0, 10), told(5, 0, 12)),
            Err("relay_behind".into())
        );
        assert_eq!(agreed(None, told(5, 0, 12)), Err("relay_behind".into()));
    }

    #[test]
    fn contradictions_are_found() {
        for (one, other) in [
            (told(3, 0, 10), told(3, 1, 10)),
            (told(3, 0, 10), told(3, 1, 11)),
            (told(3, 0, 10), told(4, 0, 10)),
            (told(4, 0, 10), told(3, 0, 11)),
        ] {
            assert_eq!(agreed(one, other), Err("relays_disagree".into()));
        }
    }
}

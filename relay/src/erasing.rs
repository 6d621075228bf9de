// SPDX-License-Identifier: Apache-2.0

//! Who may have envelopes erased, and what is erased because of its age.
//!
//! Somebody with a credential for it brings an order, and the holder of the participants' keys has signed it: neither a stolen
//! credential nor an operator's mistake erases anything alone, and an order that somebody copied does nothing that the holder
//! did not order. What was ordered is written down before anything is erased, so an interruption at any point is made good
//! by [`Erasing::run`], which erases what is too old, too.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context};
use hashchain::StudyId;
use mhealth_api::{Code, ErasureOrder, ErasureOutcome, Key, Problem};
use mhealth_chain_client::{erasing, ErasureFault, H256};
use mhealth_server::{ApiError, SharedClock};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Milliseconds of an hour, and of a day.
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// How often it is looked whether something is left to be done.
const LOOK: Duration = Duration::from_secs(60);
/// The longest pause before it is tried again to have the bytes leave the files, for which others have to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// How long whoever brings an order waits for the bytes to leave the files. They do so all the same.
const PATIENCE: Duration = Duration::from_secs(20);

/// `study=NUMBER,key=0x…`: the holder of a study's participants' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderKey {
    /// The study.
    pub study: StudyId,
    /// The holder's Ed25519 key, as `mhealth-data keys list` prints it.
    pub key: Key,
}

impl FromStr for HolderKey {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (mut study, mut holder) = (None, None);
        for member in text.split(',') {
            match pair(member)? {
                ("study", value) => study = Some(value.parse().context("study must be a number")?),
                ("key", value) => holder = Some(value.parse().context("key is no Ed25519 key")?),
                (other, _) => bail!("{other} is unknown: give study and key"),
            }
        }
        Ok(Self {
            study: study.context("study is missing")?,
            key: holder.context("key is missing")?,
        })
    }
}

/// `study=NUMBER,days=NUMBER`: how long a study's envelopes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The study.
    pub study: StudyId,
    /// Days after which an envelope is erased that is registered.
    pub days: u32,
}

impl FromStr for Retention {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (mut study, mut days) = (None, None);
        for member in text.split(',') {
            match pair(member)? {
                ("study", value) => study = Some(value.parse().context("study must be a number")?),
                ("days", value) => {
                    let number: u32 = value.parse().context("days must be a number")?;
                    days = Some(number).filter(|number| (1..=36_500).contains(number));
                    days.context("days are 1 to 36500")?;
                }
                (other, _) => bail!("{other} is unknown: give study and days"),
            }
        }
        Ok(Self {
            study: study.context("study is missing")?,
            days: days.context("days are missing")?,
        })
    }
}

fn pair(member: &str) -> anyhow::Result<(&str, &str)> {
    let (key, value) = member.split_once('=').context("expected key=value,…")?;
    Ok((key.trim(), value.trim()))
}

/// Erases. Cheap to clone.
#[derive(Clone)]
pub struct Erasing {
    store: Store,
    ledger: Arc<dyn Ledger>,
    metrics: Metrics,
    clock: SharedClock,
    holders: Arc<[HolderKey]>,
    retentions: Arc<[Retention]>,
    /// The hour of the day, in UTC, at which the bytes of what was too old leave the files, where others wait for that.
    hour: u8,
}

impl Erasing {
    /// Erases what these holders order, and what is older than these rules, of which a study has one at most. Where others have to wait
    /// for it, the bytes of the latter leave the files at this hour of the day, in UTC.
    pub fn new(
        store: Store,
        ledger: Arc<dyn Ledger>,
        metrics: Metrics,
        clock: SharedClock,
        holders: &[HolderKey],
        retentions: &[Retention],
        hour: u8,
    ) -> anyhow::Result<Self> {
        let mut studies = BTreeSet::new();
        if let Some(twice) = retentions.iter().find(|rule| !studies.insert(rule.study)) {
            bail!(
                "there are two rules of retention for study {}",
                twice.study.0
            );
        }
        Ok(Self {
            store,
            ledger,
            metrics,
            clock,
            holders: holders.into(),
            retentions: retentions.into(),
            hour,
        })
    }

    /// Does what the holder ordered, as far as that is not done. `by` is whose credential brought the order.
    pub async fn obey(&self, order: ErasureOrder, by: &str) -> Result<ErasureOutcome, ApiError> {
        self.check(&order).await?;
        let (receipt, study) = (order.receipt(), order.study.0);
        tracing::warn!(by, study, %receipt, devices = ?order.devices, "an erasure is ordered");
        self.store.order_erasure(&order, by).await?;
        let erased = self.erase().await?;
        // It goes on if whoever brought the order leaves, or it takes longer than they wait.
        let store = self.store.clone();
        let scrubbing = tokio::spawn(async move { store.scrub().await });
        match tokio::time::timeout(PATIENCE, scrubbing).await {
            Ok(Ok(scrubbed)) => {
                scrubbed?;
            }
            Ok(Err(error)) => return Err(ApiError::internal(error)),
            Err(_) => tracing::info!(%receipt, "the bytes leave the files of the database later"),
        }
        let left = self.store.erased(&order.devices).await?;
        let scrubbed = self.store.is_scrubbed().await?;
        tracing::warn!(%receipt, erased, kept = left.kept, scrubbed, "an erasure is carried out");
        Ok(ErasureOutcome {
            receipt,
            erased,
            kept: left.kept,
            on_their_way: left.on_their_way,
            scrubbed,
        })
    }

    /// Passes an order of this chain that the study's holder signed, over devices of one participant.
    async fn check(&self, order: &ErasureOrder) -> Result<(), ApiError> {
        let seen = erasing::check(order, H256(self.ledger.genesis().0));
        // Who does not hold the keys is told that, signed or not.
        if matches!(seen, Ok(()) | Err(ErasureFault::NotSigned)) {
            self.check_holder(order)?;
        }
        seen.map_err(refusal)?;
        for &device in &order.devices {
            let view = self.ledger.device(device).await?;
            let (view, _) = view.ok_or(Code::UnknownDevice)?;
            erasing::check_device(order, device, view.study, view.participant).map_err(refusal)?;
        }
        Ok(())
    }

    fn check_holder(&self, order: &ErasureOrder) -> Result<(), ApiError> {
        // A study whose data manager changed has several: what the former one ordered may have to be brought again.
        let told = |holder: &HolderKey| holder.study == order.study;
        if !self.holders.iter().any(told) {
            let detail = "This relay was not told who holds the keys of this study's participants.";
            return Err(Problem::with_detail(Code::NotTheHolder, detail).into());
        }
        let holds = |holder: &HolderKey| told(holder) && holder.key == order.holder;
        if !self.holders.iter().any(holds) {
            return Err(Code::NotTheHolder.into());
        }
        Ok(())
    }

    async fn erase(&self) -> Result<u64, StoreError> {
        let erased = self.store.erase().await?;
        self.metrics.erased("order", erased);
        Ok(erased)
    }

    /// Erases what is older than its study's rule. False if nobody knows how late it is, and it has to be done later.
    async fn expire(&self) -> Result<bool, StoreError> {
        if self.retentions.is_empty() {
            return Ok(true);
        }
        let now = match self.earlier_time().await {
            Ok(now) => now,
            Err(error) => {
                let code = error.code();
                tracing::warn!(code, "the chain does not say how late it is, so nothing is erased by a study's rule for now");
                return Ok(false);
            }
        };
        for Retention { study, days } in &*self.retentions {
            let age = u64::from(*days).saturating_mul(DAY);
            let before = now.saturating_sub(age);
            let erased = self.store.expire(*study, before).await?;
            self.metrics.erased("retention", erased);
            if erased > 0 {
                tracing::info!(
                    study = study.0,
                    days,
                    erased,
                    "envelopes are erased by the study's rule"
                );
            }
        }
        if let Err(error) = self.store.give_room().await {
            tracing::warn!(%error, "the room of what was too old is not used again for now");
        }
        Ok(true)
    }

    /// The earlier of what this machine's clock says and the chain, in milliseconds since 1970. What is erased does not come
    /// back when a clock is set right that ran ahead.
    async fn earlier_time(&self) -> Result<u64, LedgerError> {
        let own = self.clock.now_millis();
        let chain = self.ledger.finalised_time().await?;
        Ok(chain.map_or(own, |chain| own.min(chain.saturating_mul(1_000))))
    }

    /// Once, everything whose time has come. Each by itself: what fails is no reason to leave the others, or to do them anew.
    async fn pass(&self, rounds: &mut Rounds) {
        if let Err(error) = self.erase().await {
            tracing::warn!(%error, "what was ordered to be erased is not erased for now");
        }
        let now = self.clock.passed();
        if now >= rounds.expiry {
            match self.expire().await {
                Ok(true) => rounds.expiry = now + Duration::from_millis(DAY),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "what is too old is not erased for now"),
            }
        }
        if let Err(error) = self.scrub_the_old().await {
            tracing::warn!(%error, "the bytes of what was too old stay in the files of the database for now");
        }
        if now >= rounds.scrub {
            let scrubbed = self.store.scrub().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "erased bytes do not leave the files of the database for now");
                false
            });
            self.metrics.scrubbed(scrubbed);
            rounds.scrubbed(scrubbed, now);
        }
    }

    /// In the hour for that, has the bytes of what was too old leave the files, if they have not.
    async fn scrub_the_old(&self) -> Result<(), StoreError> {
        let hour = self.clock.now_millis() / HOUR % 24;
        if hour == u64::from(self.hour) && self.store.scrub_the_old().await? {
            tracing::info!("the bytes of what was too old leave the files of the database");
        }
        Ok(())
    }

    /// Goes on with what was interrupted, and once a day erases what is too old, until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let mut rounds = Rounds::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            self.pass(&mut rounds).await;
        }
    }
}

/// What whoever brought an order is told that cannot be carried out.
fn refusal(fault: ErasureFault) -> ApiError {
    match fault {
        ErasureFault::OtherChain => Code::WrongChain.into(),
        ErasureFault::NotInOrder => ApiError::new(Code::InvalidMessage, fault.to_string()),
        ErasureFault::NotSigned => Code::BadOrderSignature.into(),
        ErasureFault::UnknownDevice(_) => Code::UnknownDevice.into(),
        ErasureFault::OtherStudy(_) => Code::WrongStudy.into(),
        ErasureFault::OtherParticipant(_) => {
            ApiError::new(Code::OtherParticipant, fault.to_string())
        }
        ErasureFault::Chain(error) => error.into(),
        // Whoever writes to the chain is asked for that, and a relay writes no receipts.
        ErasureFault::NotTheSponsor(_) => ApiError::internal(fault),
    }
}

/// When what is to be done next, by the time that has passed; at first all at once.
#[derive(Debug, Default)]
struct Rounds {
    expiry: Duration,
    scrub: Duration,
    /// How long it was waited before the files are scrubbed again; nothing after a success.
    pause: Duration,
}

impl Rounds {
    /// It was tried to have the bytes leave the files: after a failure not so soon again, and later each time.
    fn scrubbed(&mut self, scrubbed: bool, now: Duration) {
        self.pause = match scrubbed {
            true => Duration::ZERO,
            false => (2 * self.pause).clamp(LOOK, LONGEST_PAUSE),
        };
        self.scrub = now + self.pause;
    }
}

#[cfg(test)]
mod tests;

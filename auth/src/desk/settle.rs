// SPDX-License-Identifier: Apache-2.0

//! One order, from the database to the chain and back.

use std::sync::Arc;
use std::time::Duration;

use hashchain::{participant_digest, DeviceId, Native};
use mhealth_api::{BlockRef, Code, DeviceStatus, Refusal};
use mhealth_chain_client::{
    calls::{self, NewDevice},
    Call, ChainEvent, DeviceView, Error, LastTrusted, PoolRefusal, Submitter, SuspensionReason,
    H256,
};
use mhealth_server::ApiError;
use tokio::sync::oneshot;

use crate::app::{finalised, hash, App, Finalised};
use crate::log::Note;
use crate::orders::{Action, Order, Outcome, Reason, Settled};
use crate::store::{Claim, Lease, StoreError};

/// Between attempts, when node or database are away.
const PAUSE: Duration = Duration::from_secs(1);

/// What an order says to the chain.
#[allow(
    clippy::large_enum_variant,
    reason = "there are as many as orders under way"
)]
enum Job {
    Enrol(Claim),
    Device(DeviceId),
}

/// Why an order is not settled yet.
#[derive(Debug, thiserror::Error)]
enum Later {
    #[error("{0}")]
    Chain(#[from] Error),
    #[error("{0}")]
    Storage(#[from] StoreError),
    #[error("{}", .0.problem())]
    Api(ApiError),
    #[error("the node has not come as far as it was")]
    Behind,
}

impl From<ApiError> for Later {
    fn from(error: ApiError) -> Self {
        Later::Api(error)
    }
}

/// An order's place in the line before the node.
pub(super) struct Turn {
    /// Ends when the order before has been handed over, or could not be.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// Dropped when this one has been.
    pub(super) handed: oneshot::Sender<()>,
}

/// Does an order and writes down what became of it. Ends early only when the server stops; the order stays pending then.
pub(super) async fn settle(
    app: Arc<App>,
    submitter: Submitter,
    lease: Lease,
    order: Order,
    turn: Turn,
) {
    if let Some(before) = turn.before {
        // Nothing is ever sent: it ends when the other side is dropped.
        let _ = before.await;
    }
    let mut handed = Some(turn.handed);
    let settled = loop {
        match attempt(&app, &submitter, &order, &mut handed).await {
            Ok(settled) => break settled,
            Err(error) => tracing::warn!(order = order.id, %error, "an order has to wait"),
        }
        drop(handed.take());
        tokio::time::sleep(PAUSE).await;
    };
    drop(handed);
    loop {
        match write_down(&app, lease, &order, &settled).await {
            Ok(()) => break,
            // The process that has the lease now looks at the chain, too.
            Err(StoreError::Fenced) => return,
            Err(error) => {
                tracing::warn!(order = order.id, %error, "what became of an order cannot be written down yet")
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    app.orders.announce(order.id);
}

async fn attempt(
    app: &App,
    submitter: &Submitter,
    order: &Order,
    handed: &mut Option<oneshot::Sender<()>>,
) -> Result<Settled, Later> {
    let job = match (&order.action, order.code, order.device) {
        (Action::Enrol, Some(code), _) => {
            let claim = app.store.claim(code).await?;
            Job::Enrol(claim.ok_or_else(|| ApiError::from(Code::CodeExpired))?)
        }
        (_, _, Some(device)) => Job::Device(device),
        _ => return Ok(Settled::refused(Refusal::Incomplete)),
    };
    // A process that was killed may have done it without writing it down.
    if let Some(settled) = look(app, order, &job).await? {
        return Ok(settled);
    }
    let Some(call) = call(app, order, &job).await? else {
        return Ok(Settled::refused(Refusal::NotAnEntryOfThisDevice));
    };
    let submission = match submitter.submit(call).await {
        Err(Error::Refused(refusal)) if is_lasting(&refusal) => {
            return Ok(Settled::refused((&refusal).into()))
        }
        submission => submission?,
    };
    drop(handed.take());
    let outcome = submission.finalised().await?;
    if let Err(refusal) = &outcome.result {
        // It may have been refused because an earlier transaction of this order had done it.
        let looked = look(app, order, &job).await?;
        return Ok(looked.unwrap_or_else(|| Settled::refused(refusal.refusal().clone())));
    }
    let block = BlockRef {
        number: outcome.block_number,
        hash: hash(outcome.block_hash),
    };
    let enrolled = outcome.events.iter().find_map(|event| match event {
        ChainEvent::DeviceEnrolled {
            device, genesis, ..
        } => Some((*device, *genesis)),
        _ => None,
    });
    if enrolled.is_none() && order.action == Action::Enrol {
        let looked = look(app, order, &job).await?;
        return Ok(looked.unwrap_or_else(|| Settled::refused(Refusal::Incomplete)));
    }
    Ok(Settled {
        enrolled,
        ..Settled::done(block)
    })
}

/// Whether the finalised chain is as the order wants it.
async fn look(app: &App, order: &Order, job: &Job) -> Result<Option<Settled>, Later> {
    let Finalised { view, block } = finalised(app.chain.client()?).await?;
    // It came back so while the order waited for it. What it says is old, and it lacks devices that it will have.
    let newest = app.store.done_orders(1).await?;
    if newest.iter().any(|(_, seen)| seen.number > block.number) {
        return Err(Later::Behind);
    }
    let device = match job {
        Job::Device(device) => *device,
        Job::Enrol(claim) => match view.device_by_key(claim.key.0).await? {
            Some(device) => device,
            None => return Ok(None),
        },
    };
    let Some(found) = view.device(device).await? else {
        return Ok(Some(Settled::refused(Refusal::UnknownDevice)));
    };
    let settled = match (&order.action, job) {
        (Action::Enrol, Job::Enrol(claim)) => Some(match has_enrolled(app, &found, claim) {
            true => Settled {
                enrolled: Some((device, found.genesis)),
                ..Settled::done(block)
            },
            false => Settled::refused(Refusal::KeyInUse),
        }),
        (Action::Suspend { .. }, _) => {
            (found.status == DeviceStatus::Suspended).then(|| Settled::done(block))
        }
        (Action::Resume, _) => (found.status == DeviceStatus::Active).then(|| Settled::done(block)),
        (Action::Retire { trusted_length }, _) => {
            retirement(&found).map(|(trusted, otherwise)| {
                // Two of the staff may have said different things. Which entries are trusted cannot be taken back, so one of
                // them has to know that it is not as he said.
                match trusted_length.unwrap_or(found.length) == trusted {
                    true => Settled::done(block),
                    false => Settled::refused(otherwise),
                }
            })
        }
        (Action::Enrol, Job::Device(_)) => None,
    };
    Ok(settled)
}

/// Whether the chain has a device, which it found by the claim's key, just as the claim wants it.
pub(crate) fn has_enrolled(app: &App, found: &DeviceView, claim: &Claim) -> bool {
    found.study == app.terms.study
        && hash(found.secret_commitment) == claim.commitment
        && found.escrow == claim.escrow
        && found.auditor_epoch == claim.auditor_epoch
        && found.participant == participant(claim)
        && found.predecessor == claim.predecessor
}

/// How many entries of a device are trusted that is retired or will be, and why it cannot be retired otherwise; none when it
/// is not to retire. The chain has heard it when the device is to retire; it holds when the sponsor's time for a veto is over,
/// and what the device has until then is trusted.
pub(crate) fn retirement(device: &DeviceView) -> Option<(u64, Refusal)> {
    match (&device.status, device.retires_at) {
        (DeviceStatus::Retired, _) => {
            let trusted = device.trusted_length.unwrap_or(device.length);
            Some((trusted, Refusal::DeviceRetired))
        }
        (_, Some(_)) => Some((device.length, Refusal::RetirementPending)),
        (_, None) => None,
    }
}

/// The call that does it; none when the order names an entry that the device does not have.
async fn call(app: &App, order: &Order, job: &Job) -> Result<Option<Call>, Later> {
    let device = match job {
        Job::Enrol(claim) => {
            let device = NewDevice {
                key: claim.key.0,
                secret_commitment: H256(claim.commitment.0),
                escrow: claim.escrow.clone(),
                auditor_epoch: claim.auditor_epoch,
                participant: participant(claim),
                predecessor: claim.predecessor,
            };
            let call = calls::enrol(app.terms.study, device, claim.key_proof.0);
            return Ok(Some(call));
        }
        Job::Device(device) => *device,
    };
    Ok(match order.action {
        Action::Enrol => None,
        Action::Suspend { reason } => Some(calls::suspend(device, reason.into())),
        Action::Resume => Some(calls::resume(device)),
        Action::Retire {
            trusted_length: None,
        } => Some(calls::retire(device, LastTrusted::Latest)),
        Action::Retire {
            trusted_length: Some(0),
        } => Some(calls::retire(device, LastTrusted::Nothing)),
        Action::Retire {
            trusted_length: Some(length),
        } => {
            let chain = app.chain.client()?;
            let entries = chain.entries(device, length, 1).await?;
            let entry = entries.first().filter(|entry| entry.sequence == length);
            entry.map(|entry| calls::retire(device, LastTrusted::Entry(entry.index)))
        }
    })
}

/// What the chain keeps of the key to which the device seals its data.
fn participant(claim: &Claim) -> H256 {
    let key = claim.participant_key.map(|key| key.0);
    H256(participant_digest::<Native>(key.as_ref()))
}

/// The pool will not take it, however often it is asked.
fn is_lasting(refusal: &PoolRefusal) -> bool {
    matches!(
        refusal,
        PoolRefusal::NoRole
            | PoolRefusal::DeviceShutOut
            | PoolRefusal::NotItsCall
            | PoolRefusal::TooHeavy
            | PoolRefusal::Other { .. }
    )
}

async fn write_down(
    app: &App,
    lease: Lease,
    order: &Order,
    settled: &Settled,
) -> Result<(), StoreError> {
    let (action, why, result) = match &settled.outcome {
        Outcome::Done { .. } => {
            let done = match order.action {
                Action::Enrol => "device enrolled",
                Action::Suspend { .. } => "device suspended",
                Action::Resume => "device resumed",
                Action::Retire { .. } => "retirement on chain",
            };
            (done.to_owned(), order.why.clone(), "done")
        }
        Outcome::Refused { why } => (
            format!("{} refused", order.action.name()),
            format!("{why}; {}", order.why),
            "refused",
        ),
    };
    let subject = match (settled.enrolled, order.device, order.code) {
        (Some((device, _)), ..) | (None, Some(device), _) => format!("device {device}"),
        (None, None, code) => format!("code {}", code.unwrap_or_default()),
    };
    let note = Note {
        at: app.now(),
        actor: &order.actor,
        action: &action,
        subject: &subject,
        why: &why,
    };
    if app.store.settle(lease, order, settled, note).await? {
        app.metrics
            .orders
            .with_label_values(&[order.action.name(), result])
            .inc();
        tracing::info!(action, subject, result, "an order is settled");
    }
    Ok(())
}

impl From<Reason> for SuspensionReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Lost => SuspensionReason::Lost,
            Reason::Compromised => SuspensionReason::Compromised,
            Reason::Withdrawn => SuspensionReason::Withdrawn,
            Reason::Administrative => SuspensionReason::Administrative,
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! What the study's staff have done: codes, and changes of devices.

use std::time::Duration;

use hashchain::DeviceId;
use mhealth_api::{Another, Code, DeviceOnChain, DeviceStatus};
use mhealth_server::{on_chain, ApiError};

use crate::app::{App, Finalised};
use crate::codes::{checked_lifetime, new_code, IssuedCode, NewCode};
use crate::desk::retirement;
use crate::enrolments::refusal;
use crate::log::Note;
use crate::orders::{Action, Order, Outcome};
use crate::routes::devices::Retired;
use crate::store::{Admin, Decision};

/// How long the chain is asked whether an order fits. Whoever orders may not wait for longer, and nothing is stored before.
const GLANCE: Duration = Duration::from_secs(2);

impl App {
    /// Makes a code. Its predecessor, if it has one, must be retired and without a successor.
    pub async fn issue_code(&self, admin: &Admin, new: NewCode) -> Result<IssuedCode, ApiError> {
        if let Some(predecessor) = new.predecessor {
            if self.device(predecessor).await?.successor.is_some() {
                return Err(ApiError::new(
                    Code::InvalidState,
                    "The predecessor has a successor.",
                ));
            }
            self.predecessor(predecessor).await?;
        }
        let lifetime = checked_lifetime(&new)?;
        self.check_devices_of(&new).await?;
        let code = new_code(&self.terms.chain, new.participant_key.as_ref());
        let code = code.map_err(ApiError::internal)?;
        let now = self.now();
        let expires_at = now + lifetime;
        let issued = self.store.issue_code(admin, new, &code, expires_at, now);
        Ok(IssuedCode {
            id: issued.await?.ok_or(Code::ParticipantHasCode)?,
            code: code.reveal().to_string(),
            expires_at,
        })
    }

    /// `participant_has_device` when the participant's devices stand against another one. Two at a time count as two people in an
    /// audit, so somebody has to want them.
    async fn check_devices_of(&self, new: &NewCode) -> Result<(), ApiError> {
        if new.another == Some(Another::Additional) {
            return Ok(());
        }
        let devices = self.store.devices_of(&new.participant).await?;
        if devices.is_empty() {
            return Ok(());
        }
        let Finalised { view, .. } = self.finalised().await?;
        for device in devices {
            // None: a device that redeemed its code and is about to be enrolled.
            let status = match device {
                Some(device) => view.device(device).await?.map(|device| device.status),
                None => Some(DeviceStatus::Active),
            };
            let is_over = matches!(
                (new.another, status),
                (_, None | Some(DeviceStatus::Retired))
                    | (Some(Another::Replace), Some(DeviceStatus::Suspended))
            );
            if !is_over {
                return Err(Code::ParticipantHasDevice.into());
            }
        }
        Ok(())
    }

    /// Whether a change may be ordered: of a device of the study whose state allows it; `invalid_state` otherwise.
    ///
    /// This spares staff an order that the chain would refuse, and no more: where nobody can say how the chain stands, the order is
    /// good, and the chain decides when it is done. A phone is stolen while the node is away, too.
    pub(crate) async fn fitting(&self, device: DeviceId, action: &Action) -> Result<(), ApiError> {
        // What a node says that is behind is old.
        if self.metrics.behind.get() > 0 {
            return Ok(());
        }
        match tokio::time::timeout(GLANCE, self.fits(device, action)).await {
            Ok(Err(error)) if error.problem().status < 500 => Err(error),
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(%device, "a change is ordered without a look at the chain, which is away");
                Ok(())
            }
        }
    }

    async fn fits(&self, device: DeviceId, action: &Action) -> Result<(), ApiError> {
        let found = self.device(device).await?;
        let fits = match action {
            Action::Suspend { .. } => found.status == DeviceStatus::Active,
            Action::Resume => found.status == DeviceStatus::Suspended,
            Action::Retire { .. } => found.status != DeviceStatus::Retired,
            Action::Enrol => false,
        };
        match fits {
            true => Ok(()),
            false => Err(Code::InvalidState.into()),
        }
    }

    /// Orders a change of a device, and answers when that is finalised. With a decision, a second person has approved it.
    pub async fn change_device(
        &self,
        by: &str,
        device: DeviceId,
        action: Action,
        why: String,
        decision: Option<Decision>,
    ) -> Result<DeviceOnChain, ApiError> {
        self.carry_out_order(by, device, action, why, decision)
            .await?;
        self.on_chain(device).await
    }

    async fn carry_out_order(
        &self,
        by: &str,
        device: DeviceId,
        action: Action,
        why: String,
        decision: Option<Decision>,
    ) -> Result<(), ApiError> {
        self.fitting(device, &action).await?;
        let note = Note {
            at: self.now(),
            actor: by,
            action: &format!("{} ordered", action.name()),
            subject: &format!("device {device}"),
            why: &why.clone(),
        };
        let order = Order {
            id: 0,
            action,
            code: None,
            device: Some(device),
            actor: by.to_owned(),
            why,
        };
        let id = self.store.order(&order, note, decision.as_ref()).await?;
        let id = id.ok_or(Code::ApprovalClosed)?;
        self.orders.wake();
        match self
            .orders
            .outcome(id, self.terms.patience, &self.stop)
            .await?
        {
            Outcome::Done { .. } => Ok(()),
            Outcome::Refused { why } => Err(refusal(&why)),
        }
    }

    /// Orders that a device's hashchain ends, and tells how it ends, finalised.
    pub async fn retire_device(
        &self,
        by: &str,
        device: DeviceId,
        trusted_length: Option<u64>,
        why: String,
        decision: Option<Decision>,
    ) -> Result<Retired, ApiError> {
        let action = Action::Retire { trusted_length };
        self.carry_out_order(by, device, action, why, decision)
            .await?;
        let Finalised { view, block } = self.finalised().await?;
        let found = view.device(device).await?.ok_or(Code::UnknownDevice)?;
        Ok(Retired {
            // Should the sponsor have vetoed it meanwhile, none are.
            trusted_length: retirement(&found).map(|(trusted, _)| trusted),
            retires_at: found.retires_at,
            on_chain: on_chain::device(&found, block),
        })
    }

    /// A device of the study, as it is on the finalised chain.
    pub async fn on_chain(&self, device: DeviceId) -> Result<DeviceOnChain, ApiError> {
        let Finalised { view, block } = self.finalised().await?;
        let found = view.device(device).await?.ok_or(Code::UnknownDevice)?;
        if found.study != self.terms.study {
            return Err(Code::WrongStudy.into());
        }
        Ok(on_chain::device(&found, block))
    }
}

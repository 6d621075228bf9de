// SPDX-License-Identifier: Apache-2.0

//! What the study's staff have done: codes, and changes of devices.

use hashchain::DeviceId;
use mhealth_api::{Code, DeviceOnChain, DeviceStatus};
use mhealth_server::{on_chain, ApiError};

use crate::app::{App, Finalised};
use crate::codes::{checked_lifetime, new_code, IssuedCode, NewCode};
use crate::enrolments::refusal;
use crate::log::Note;
use crate::orders::{Action, Order, Outcome};
use crate::store::Admin;

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
        let code = new_code(new.participant_key.as_ref()).map_err(ApiError::internal)?;
        let now = self.now();
        let expires_at = now + lifetime;
        let issued = self.store.issue_code(admin, new, &code, expires_at, now);
        Ok(IssuedCode {
            id: issued.await?,
            code: code.reveal().to_string(),
            expires_at,
        })
    }

    /// Orders a change of a device, and answers when that is finalised.
    pub async fn change_device(
        &self,
        admin: &Admin,
        device: DeviceId,
        action: Action,
        why: String,
    ) -> Result<DeviceOnChain, ApiError> {
        let found = self.device(device).await?;
        let fits = match action {
            Action::Suspend { .. } => found.status == DeviceStatus::Active,
            Action::Resume => found.status == DeviceStatus::Suspended,
            Action::Retire { .. } => found.status != DeviceStatus::Retired,
            Action::Enrol => false,
        };
        if !fits {
            return Err(Code::InvalidState.into());
        }
        let note = Note {
            at: self.now(),
            actor: &admin.name,
            action: &format!("{} ordered", action.name()),
            subject: &format!("device {device}"),
            why: &why.clone(),
        };
        let order = Order {
            id: 0,
            action,
            code: None,
            device: Some(device),
            actor: admin.name.clone(),
            why,
        };
        let id = self.store.order(&order, note).await?;
        self.orders.wake();
        match self
            .orders
            .outcome(id, self.terms.patience, &self.stop)
            .await?
        {
            Outcome::Done { .. } => self.on_chain(device).await,
            Outcome::Refused { why } => Err(refusal(&why)),
        }
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

// SPDX-License-Identifier: Apache-2.0

//! Orders to erase a participant's data, signed with the holder's key.

use ed25519_dalek::Signer;
use hashchain::{participant_digest, Native};
use mhealth_api::{ErasureOrder, Hash, Key, SignatureBytes, MAX_ERASED_DEVICES};
use mhealth_auditor::audit::Erasure;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

use super::{files, KeyFolder};
use crate::error::DataError;

/// A line of `orders.ndjson`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderLine {
    participant: String,
    order: ErasureOrder,
}

impl KeyFolder {
    /// The order to erase the data of a participant whose key is destroyed. It is made once and kept: its digest goes to the
    /// chain, and whoever has been given it must find it the same when it comes again.
    pub fn order(&self, participant: &str) -> Result<ErasureOrder, DataError> {
        let file = self.file("orders.ndjson");
        let lines = files::lines::<OrderLine>(&file)?.into_iter();
        let mut lines = lines.filter(|line| line.participant == participant);
        if let Some(line) = lines.next() {
            return match line.order.is_signed() {
                true => Ok(line.order),
                false => Err(files::damaged(
                    &file,
                    "an order in it is not as it was signed",
                )),
            };
        }
        let destroyed = self.destroyed.get(participant);
        let destroyed =
            destroyed.ok_or_else(|| DataError::NoSuchParticipant(participant.to_owned()))?;
        if destroyed.devices.is_empty() || destroyed.devices.len() > MAX_ERASED_DEVICES {
            let devices = destroyed.devices.len();
            let why = format!("{participant} had {devices} devices; an order names 1 to 64");
            return Err(DataError::Usage(why));
        }
        let moment = OffsetDateTime::parse(&destroyed.destroyed_at, &Rfc3339);
        let moment = moment.map_err(|_| {
            let file = self.file("destroyed.ndjson");
            files::damaged(&file, "a time in it is none")
        })?;
        let holder = self.holder()?;
        let mut order = ErasureOrder {
            chain: self.whose.chain,
            study: self.whose.study,
            participant: Hash(participant_digest::<Native>(Some(&destroyed.key.0))),
            devices: destroyed.devices.clone(),
            erased_at: u64::try_from(moment.unix_timestamp()).unwrap_or_default(),
            record: ErasureOrder::record_of(&destroyed.record),
            holder: Key(holder.verifying_key().to_bytes()),
            signature: SignatureBytes([0; 64]),
        };
        order.signature = SignatureBytes(holder.sign(&order.statement()).to_bytes());
        // For auditors first: an order that was given out is always in there.
        for device in &order.devices {
            let erasure = Erasure {
                device: *device,
                erased_at: destroyed.destroyed_at.clone(),
                record: destroyed.record.clone(),
                order: Some(order.clone()),
            };
            files::append(&self.file("erasures.ndjson"), &erasure)?;
        }
        let line = OrderLine {
            participant: participant.to_owned(),
            order: order.clone(),
        };
        files::append(&file, &line)?;
        Ok(order)
    }
}

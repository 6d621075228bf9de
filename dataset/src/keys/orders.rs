// SPDX-License-Identifier: Apache-2.0

//! Orders to erase a participant's data, signed with the holder's key.

use ed25519_dalek::Signer;
use hashchain::{participant_digest, DeviceId, Native};
use mhealth_api::{ErasureOrder, Hash, Key, SignatureBytes, MAX_ERASED_DEVICES};
use mhealth_auditor::audit::Erasure;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

use super::{files, DestroyedKey, KeyFolder};
use crate::error::DataError;

/// A line of `orders.ndjson`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderLine {
    participant: String,
    pub(super) order: ErasureOrder,
}

impl KeyFolder {
    /// The orders to erase the data of a participant whose key is destroyed: one for all devices, unless they are more than an
    /// order names, some were named later, or one was withdrawn. Each is made once and kept: its digest goes to the chain, and
    /// whoever has been given it must find it the same when it comes again.
    pub fn orders(&self, participant: &str) -> Result<Vec<ErasureOrder>, DataError> {
        let destroyed = self.destroyed.get(participant);
        let destroyed =
            destroyed.ok_or_else(|| DataError::NoSuchParticipant(participant.to_owned()))?;
        if destroyed.devices.is_empty() {
            let why = format!("{participant} had no device, so there is nothing to be erased");
            return Err(DataError::Usage(why));
        }
        let file = self.file("orders.ndjson");
        let lines = files::lines::<OrderLine>(&file)?.into_iter();
        let lines = lines.filter(|line| line.participant == participant);
        let mut orders: Vec<ErasureOrder> = lines.map(|line| line.order).collect();
        if !orders.iter().all(ErasureOrder::is_signed) {
            let why = "an order in it is not as it was signed";
            return Err(files::damaged(&file, why));
        }
        // Nobody carries out an order that names another's device.
        orders.retain(|order| {
            let mut devices = order.devices.iter();
            devices.all(|device| destroyed.devices.contains(device))
        });
        let is_ordered = |device: &DeviceId| orders.iter().any(|it| it.devices.contains(device));
        let devices = destroyed.devices.iter().copied();
        let open: Vec<DeviceId> = devices.filter(|device| !is_ordered(device)).collect();
        for devices in open.chunks(MAX_ERASED_DEVICES) {
            orders.push(self.new_order(destroyed, devices)?);
        }
        Ok(orders)
    }

    /// Makes an order over devices of one record, in order, and keeps it.
    fn new_order(
        &self,
        destroyed: &DestroyedKey,
        devices: &[DeviceId],
    ) -> Result<ErasureOrder, DataError> {
        let moment = OffsetDateTime::parse(&destroyed.destroyed_at, &Rfc3339);
        let moment = moment.map_err(|_| {
            let file = self.file("destroyed.ndjson");
            files::damaged(&file, "a time in it is none")
        })?;
        let holder = self.holder()?;
        let mut order = ErasureOrder {
            chain: self.whose.chain,
            study: self.whose.study,
            participant: Hash(participant_digest::<Native>(
                destroyed.key.as_ref().map(|key| &key.0),
            )),
            devices: devices.to_vec(),
            erased_at: u64::try_from(moment.unix_timestamp()).unwrap_or_default(),
            record: ErasureOrder::record_of(&destroyed.record),
            holder: Key(holder.verifying_key().to_bytes()),
            signature: SignatureBytes([0; 64]),
        };
        order.signature = SignatureBytes(holder.sign(&order.statement()).to_bytes());
        // For auditors first: an order that was given out is always in there.
        let erasure = |device: &DeviceId| Erasure {
            device: *device,
            erased_at: destroyed.destroyed_at.clone(),
            record: destroyed.record.clone(),
            order: Some(order.clone()),
        };
        let erasures: Vec<Erasure> = order.devices.iter().map(erasure).collect();
        files::append_all(&self.file("erasures.ndjson"), &erasures)?;
        let line = OrderLine {
            participant: destroyed.participant.clone(),
            order: order.clone(),
        };
        files::append(&self.file("orders.ndjson"), &line)?;
        Ok(order)
    }
}

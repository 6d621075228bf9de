// SPDX-License-Identifier: Apache-2.0

//! One device of a state file.

use hashchain::DeviceId;
use mhealth_device::{
    chain::Chain, fleet, Error, Participant, Recipient, Record, Standing, SyncError,
};
use rand::{CryptoRng, RngCore};

use crate::store::{DeviceRecord, EnrolmentCode, LocalId, Predecessor, QueuedRun, Sealed, Store};

/// A device and the file that it lives in. Holds no state of its own: everything is in the file, so there is nothing
/// to lose when the app is killed.
#[derive(Clone, Copy, Debug)]
pub struct Device<'s> {
    store: &'s Store,
    id: LocalId,
}

impl<'s> Device<'s> {
    /// The device of a participant; made now if the file has none. It can seal at once, before the chain knows it.
    pub fn of<R: CryptoRng + RngCore>(
        store: &'s Store,
        participant: &Participant,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let id = match store.device_of(participant)? {
            Some(id) => id,
            None => store.add_device(participant, None, rng)?,
        };
        Ok(Self { store, id })
    }

    /// A device that goes on, under a new key and a new secret, from the last trusted head of a retired one. The
    /// participant must have no other device in this file.
    pub fn succeeding<R: CryptoRng + RngCore>(
        store: &'s Store,
        participant: &Participant,
        predecessor: Predecessor,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let id = store.add_device(participant, Some(predecessor), rng)?;
        Ok(Self { store, id })
    }

    /// Its row in the file.
    pub fn id(&self) -> LocalId {
        self.id
    }

    /// What is known of it, without its secrets.
    pub fn record(&self) -> Result<DeviceRecord, Error> {
        self.store.device(self.id)
    }

    /// Enrols the device with a code that the study's staff handed out, and gives its number on the chain, as it is proved. The code
    /// is kept until then: after a failure the same call goes on where it was, with the same bytes. A device that
    /// is enrolled already redeems nothing.
    pub async fn enrol<C: Chain>(
        &self,
        chain: &C,
        code: &EnrolmentCode,
    ) -> Result<DeviceId, SyncError> {
        let keep = |code: &_| self.store.set_code(self.id, Some(code));
        fleet::enrol_one(self.store, chain, self.id, code, keep).await
    }

    /// Seals a record: envelope, digest, tag and link are made, and they, the next ratchet key and the new head are
    /// durable when this returns. The key that was spent is erased. A source that was sealed before is not sealed
    /// again.
    pub fn seal<R: CryptoRng + RngCore>(
        &self,
        record: &Record<'_>,
        recipient: Recipient<'_>,
        rng: &mut R,
    ) -> Result<Sealed, Error> {
        let group = self.store.group()?;
        let sealed = group.seal(self.id, record, recipient, rng)?;
        group.commit()?;
        Ok(sealed)
    }

    /// What is to be sent: runs of at most `run_length` entries, oldest first. They are durable when this returns and
    /// never change, so a retry sends the same bytes. A stopped device has none.
    pub fn runs(&self, run_length: u32) -> Result<Vec<QueuedRun>, Error> {
        fleet::runs(self.store, self.id, run_length)
    }

    /// Compares the device with the chain, sends what the chain lacks, and waits until that is finalised. Whatever goes
    /// wrong, what was not finalised stays queued, and the next call sends the same bytes.
    pub async fn upload<C: Chain>(&self, chain: &C) -> Result<Standing, SyncError> {
        fleet::upload_one(self.store, chain, self.id).await
    }

    /// Compares the device with the finalised head that the chain has of it, and marks what is finalised. A head that is
    /// not the device's own stops it: it seals and sends nothing more.
    pub async fn sync<C: Chain>(&self, chain: &C) -> Result<Standing, SyncError> {
        fleet::sync_one(self.store, chain, self.id).await
    }
}

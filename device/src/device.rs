// SPDX-License-Identifier: Apache-2.0
//! One device: what a phone app holds.

use rand::{CryptoRng, RngCore};

use crate::{
    chain::Chain,
    payload::Participant,
    queue,
    seal::Recipient,
    store::{DeviceRecord, LocalId, Predecessor, QueuedRun, Record, Sealed, Store},
    sync::{self, Standing, SyncError},
    Error,
};

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

    /// What is to be sent: runs of at most `run_length` entries, oldest first. See [`queue::runs`].
    pub fn runs(&self, run_length: u32) -> Result<Vec<QueuedRun>, Error> {
        queue::runs(self.store, self.id, run_length)
    }

    /// Compares the device with the chain. See [`sync`](crate::sync).
    pub async fn sync<C: Chain>(&self, chain: &C) -> Result<Standing, SyncError> {
        self.store.expect_chain(&chain.genesis())?;
        let standings = sync::sync(self.store, chain, &[self.id]).await?;
        Ok(standings.into_iter().next().unwrap_or(Standing::Unenrolled))
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Whether a state file is whole: checked each time it is opened, before anything is sealed with it.

use hashchain::{Enrolment, LinkHash, Native, Verifier};

use super::{records::entry_from, DeviceRecord, Store};
use crate::error::Error;

impl Store {
    /// SQLite's structure and indices, then each device: its key, its enrolment, every link and envelope, its position.
    pub(super) fn audit(&self) -> Result<(), Error> {
        let structure: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|e| self.failed(e))?;
        if structure != "ok" {
            return Err(self.corrupt("SQLite finds its structure damaged"));
        }
        self.devices()?
            .iter()
            .try_for_each(|device| self.audit_device(device))
    }

    fn audit_device(&self, device: &DeviceRecord) -> Result<(), Error> {
        let terms = &self.terms;
        if self.device_key(device.id)?.public() != device.key {
            return Err(self.corrupt("a device's private key is not that of its public key"));
        }
        let genesis = hashchain::genesis::<Native>(&Enrolment {
            chain: &terms.chain,
            study: terms.study,
            device_key: &device.key.0,
            predecessor: device.predecessor.map(|p| p.head),
            secret_commitment: &device.secret_commitment,
            escrow_commitment: &hashchain::escrow_commitment::<Native>(&device.escrow),
        });
        if genesis != device.genesis {
            return Err(self.corrupt("a device's chain does not start from its enrolment"));
        }
        let verifier = self.follow_entries(device)?;
        if verifier.sequence() != device.length || verifier.head() != device.head {
            return Err(self.corrupt("a device's entries do not end in its head"));
        }
        self.position(device.id).map(drop)
    }

    fn follow_entries(&self, device: &DeviceRecord) -> Result<Verifier, Error> {
        let mut verifier = Verifier::without_secret(device.genesis);
        let mut refusal = None;
        self.connection
            .prepare_cached(
                "SELECT sequence, digest, tag, hash, envelope FROM entry WHERE device = ?1 ORDER BY sequence",
            )
            .and_then(|mut entries| {
                let mut previous: LinkHash = device.genesis;
                let mut rows = entries.query([device.id.0])?;
                while let Some(row) = rows.next()? {
                    let entry = entry_from(row, previous)?;
                    let envelope = row.get_ref(4)?.as_blob()?;
                    previous = entry.hash;
                    if let Err(found) = verifier.check(&entry, Some(envelope)) {
                        refusal = Some(found);
                        break;
                    }
                }
                Ok(())
            })
            .map_err(|e| self.failed(e))?;
        match refusal {
            None => Ok(verifier),
            Some(refusal) => Err(self.corrupt(refusal.to_string())),
        }
    }
}

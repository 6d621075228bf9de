// SPDX-License-Identifier: Apache-2.0

//! Which envelopes a dataset is made of: relays may show as many others as they like.

use hashchain::DataDigest;
use mhealth_api::Hash;

use crate::audit::{self, AuditedDevice, Heading, Sink};
use crate::error::DataError;
use crate::export::Job;
use crate::input;
use crate::owners::Owners;
use crate::registry::Registry;

/// Digests of the registered entries of the devices that are wanted.
pub(crate) fn registered<'r>(
    registry: &'r Registry,
    owners: &'r Owners<'r>,
) -> impl Iterator<Item = DataDigest> + 'r {
    let devices = registry.devices.iter();
    let devices = devices.filter(move |(device, _)| owners.is_wanted(**device));
    devices.flat_map(|(_, device)| device.entries.iter().map(|(_, digest)| *digest))
}

/// The same, and of what the report has beside them, if that is taken: then also the SHA-256 of the report that was read for it.
pub(crate) fn digests(
    job: &Job,
    registry: &Registry,
    owners: &Owners<'_>,
) -> Result<(Vec<DataDigest>, Option<Hash>), DataError> {
    let mut digests: Vec<DataDigest> = registered(registry, owners).collect();
    if !job.include_flagged {
        return Ok((digests, None));
    }
    input::must_be_file(&job.audit)?;
    let mut attempts = Attempts {
        owners,
        digests: &mut digests,
    };
    let audit = audit::read(&job.audit, &mut attempts)?;
    Ok((digests, Some(audit.sha256)))
}

/// Takes the digests of entries that are not registered.
struct Attempts<'a> {
    owners: &'a Owners<'a>,
    digests: &'a mut Vec<DataDigest>,
}

impl Sink for Attempts<'_> {
    fn heading(&mut self, _: &Heading) -> Result<(), DataError> {
        Ok(())
    }

    fn device(&mut self, _: &Heading, device: AuditedDevice) -> Result<(), DataError> {
        if self.owners.is_wanted(device.device) {
            let attempts = device.entries.iter().filter(|entry| !entry.registered);
            self.digests.extend(attempts.map(|entry| entry.digest));
        }
        Ok(())
    }
}

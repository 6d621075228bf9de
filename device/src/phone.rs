// SPDX-License-Identifier: Apache-2.0

//! One phone: what an app holds.

use alloc::vec::Vec;
use core::time::Duration;

use hashchain::DeviceId;
use mhealth_api::ExportedRun;
use mhealth_evidence::Checkpoint;

use crate::{
    error::Error,
    host::{Host, Keystore, PhoneStore, Transport},
    seal::Record,
    status::Status,
    store::{Change, Sealed},
    sync::{Standing, SyncError},
};

/// How a phone goes about it. The defaults are right for an app.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many relays are to hold each run.
    pub copies: u32,
    /// Whether relays' words are taken for proofs. For development chains that have no proofs only: whoever is asked can then make
    /// entries vanish and stop the phone.
    pub trust_relays: bool,
    /// Blocks that the consortium names, over which proofs may lead where the chain's authorities were changed by force.
    pub checkpoints: Vec<Checkpoint>,
}

/// A phone: enrols, seals, sends, proves. It owns all that it needs and may be shared between threads if the host's parts may.
///
/// Everything is in the [`PhoneStore`]; killed at any point, the phone goes on where it was.
pub struct Phone<S, T> {
    host: Host<S, T>,
    options: Options,
}

impl<S: PhoneStore, T: Transport> Phone<S, T> {
    /// Opens the phone that is in the store, or makes the store ready for one. All of it is checked. Nobody is asked but the key
    /// store.
    ///
    /// Fails with `wrong_keystore` where the store was copied from another phone or the key store was reset, `keystore_locked`,
    /// `state_corrupt`, `state_newer` and other codes of [`Error`].
    pub async fn open(
        host: Host<S, T>,
        keystore: &impl Keystore,
        options: Options,
    ) -> Result<Self, Error> {
        let _ = keystore;
        Ok(Self { host, options })
    }

    /// Enrols the phone with a code that the study's staff handed out, at the authentication server of this address. Gives its
    /// number on the chain when that is proved. After a failure, or a kill, the same call goes on with the same bytes; so does
    /// [`sync`](Self::sync). A phone that is enrolled redeems nothing. One that was stopped begins anew beside what it has.
    ///
    /// As soon as the server has said what the code is for, the phone can seal.
    pub async fn enrol(
        &self,
        authentication: &str,
        code: &str,
        deadline: Duration,
    ) -> Result<DeviceId, SyncError> {
        let _ = (authentication, code, deadline, &self.host, &self.options);
        todo!()
    }

    /// Seals a record. It, the next key and the new head are durable when this returns; no connection is needed. What is longer
    /// than an entry may be is sealed in parts. The same source with the same content is sealed once; with other content it is
    /// refused or becomes a correction, as `change` says.
    pub fn seal(&self, record: &Record<'_>, change: Change) -> Result<Sealed, Error> {
        let content = record.content();
        self.seal_content(record, &content, change)
    }

    /// The same, for a record whose source said `content`: two payloads that were made of it may differ in identifiers and times.
    pub fn seal_content(
        &self,
        record: &Record<'_>,
        content: &[u8],
        change: Change,
    ) -> Result<Sealed, Error> {
        let _ = (record, content, change);
        todo!()
    }

    /// Finishes an enrolment that was begun, compares the phone with the chain, sends what the chain lacks and waits for the
    /// proof. Back when that is done, when it fails, or after `deadline` with the code `deadline`. The future may be dropped at
    /// any point. Calls at the same time wait for each other.
    pub async fn sync(&self, deadline: Duration) -> Result<Standing, SyncError> {
        let _ = deadline;
        todo!()
    }

    /// How the phone stands, for a screen. Asks nobody.
    pub fn status(&self) -> Result<Status, Error> {
        todo!()
    }

    /// What the chain is not known to have, as relays export it, oldest first: for the auditor, of a phone that was stopped.
    pub fn export_queue(&self) -> Result<Vec<ExportedRun>, Error> {
        todo!()
    }
}

// SPDX-License-Identifier: Apache-2.0

//! A state file as the book that the rules of [`mhealth_device`] read and write.

use std::collections::BTreeMap;

use hashchain::{DeviceId, Entry, LinkHash, Sealer};
use mhealth_api::EnrolmentCode;
use mhealth_device::{
    book::{Book, DeviceRecord, FreezeReason, LocalId, QueuedRun, SealedEntry, Terms},
    chain::{DeviceKey, FinalHead, HeadChecker, Signature},
    Error,
};
use mhealth_evidence::Anchor;

use super::Store;

impl Book for Store {
    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn corrupt(&self, what: String) -> Error {
        self.damaged(what)
    }

    fn together<T, E: From<Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        Store::together(self, work)
    }

    fn salt(&self) -> [u8; 32] {
        self.salt
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        Store::devices(self)
    }

    fn device(&self, id: LocalId) -> Result<DeviceRecord, Error> {
        Store::device(self, id)
    }

    fn device_key(&self, id: LocalId) -> Result<DeviceKey, Error> {
        Store::device_key(self, id)
    }

    fn sealer(&self, id: LocalId) -> Result<Sealer, Error> {
        self.position(id)
    }

    fn code(&self, id: LocalId) -> Result<Option<EnrolmentCode>, Error> {
        Store::code(self, id)
    }

    fn finalised(&self) -> Result<u64, Error> {
        Ok(self.totals()?.finalised)
    }

    fn checker(&self, trusts_words: bool) -> HeadChecker {
        Store::checker(self, trusts_words)
    }

    fn write_anchor(&self, anchor: &Anchor) -> Result<(), Error> {
        Store::write_anchor(self, anchor)
    }

    fn set_said(&self, id: LocalId, number: Option<DeviceId>) -> Result<(), Error> {
        Store::set_said(self, id, number)
    }

    fn set_number(&self, id: LocalId, known: &FinalHead) -> Result<(), Error> {
        Store::set_number(self, id, known)
    }

    fn set_frozen(&self, id: LocalId, reason: FreezeReason, block: u32) -> Result<(), Error> {
        let update = "UPDATE device SET frozen = ?2, seen = MAX(seen, ?3) WHERE id = ?1";
        self.connection
            .execute(update, (id.0, reason.code(), block))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    fn set_confirmed(&self, id: LocalId, sequence: u64, block: u32) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "UPDATE device SET confirmed = MAX(confirmed, ?2), seen = MAX(seen, ?3) WHERE id = ?1",
            )
            .and_then(|mut update| update.execute((id.0, sequence, block)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    fn write_recipient(&self, id: LocalId, key: Option<[u8; 32]>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE device SET recipient = ?2 WHERE id = ?1")
            .and_then(|mut update| update.execute((id.0, key)))
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    fn last_of_source(&self, id: LocalId, source: &str) -> Result<Option<(u64, [u8; 16])>, Error> {
        self.newest_of(id, source).map_err(|e| self.failed(e))
    }

    fn write_entry(
        &self,
        id: LocalId,
        sealed: &SealedEntry<'_>,
        after: &Sealer,
    ) -> Result<(), Error> {
        self.write(id, sealed, after).map_err(|e| self.failed(e))
    }

    fn entries(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<Entry>, Error> {
        Store::entries(self, id, first, last)
    }

    fn each_entry(
        &self,
        id: LocalId,
        take: &mut dyn FnMut(&Entry, &[u8]) -> bool,
    ) -> Result<(), Error> {
        let device = Store::device(self, id)?;
        self.each(&device, take).map_err(|e| self.failed(e))
    }

    fn hash_at(&self, id: LocalId, sequence: u64) -> Result<Option<LinkHash>, Error> {
        Store::hash_at(self, id, sequence)
    }

    fn envelope(&self, id: LocalId, sequence: u64) -> Result<Option<Vec<u8>>, Error> {
        Store::envelope(self, id, sequence)
    }

    fn envelope_lengths(&self, id: LocalId, first: u64, last: u64) -> Result<Vec<u64>, Error> {
        Store::envelope_lengths(self, id, first, last)
    }

    fn sealed_at(&self, id: LocalId, sequence: u64) -> Result<u64, Error> {
        Store::sealed_at(self, id, sequence)
    }

    fn covered(&self, id: LocalId) -> Result<u64, Error> {
        Store::covered(self, id)
    }

    fn add_run(
        &self,
        id: LocalId,
        first: u64,
        last: u64,
        signature: &Signature,
    ) -> Result<(), Error> {
        Store::add_run(self, id, first, last, signature)
    }

    fn runs(&self, id: LocalId) -> Result<Vec<QueuedRun>, Error> {
        Store::runs(self, id)
    }

    fn runs_to_send(&self, id: LocalId, most: u32) -> Result<Vec<QueuedRun>, Error> {
        Store::runs_to_send(self, id, most)
    }

    fn add_holder(&self, id: LocalId, first: u64, relay: &str) -> Result<(), Error> {
        Store::add_holder(self, id, first, relay)
    }

    fn set_refusal(&self, id: LocalId, first: u64, refusal: Option<&str>) -> Result<(), Error> {
        Store::set_refusal(self, id, first, refusal)
    }

    fn forget_copied(&self, id: LocalId, copies: u32) -> Result<(), Error> {
        Store::forget_copied(self, id, copies)
    }

    fn devices_with_loose_entries(&self) -> Result<Vec<LocalId>, Error> {
        Store::devices_with_loose_entries(self)
    }

    fn devices_short_of_copies(&self) -> Result<Vec<LocalId>, Error> {
        Store::devices_short_of_copies(self)
    }

    fn doubts(&self) -> Result<BTreeMap<String, i64>, Error> {
        Store::doubts(self)
    }

    fn set_doubts(&self, doubts: &BTreeMap<String, i64>) -> Result<(), Error> {
        Store::set_doubts(self, doubts)
    }
}

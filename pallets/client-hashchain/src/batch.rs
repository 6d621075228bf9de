// SPDX-License-Identifier: Apache-2.0

//! How runs are judged and registered.
//!
//! A batch works on copies of the head pages that it touches and on a buffer of new journal entries, and writes each
//! page once at its end.

use crate::{
    again::{self, Known},
    compare::{compare, Divergence, Relation},
    conflicts,
    own::OwnDevice,
    pages::WorkingPages,
    run_checks::{run_checks, GROUP, LINK, SIGNED},
    size::{bytes_of, share_of, Done},
    walk::Walk,
    BatchSize, Brought, Config, DeviceHead, DeviceId, DeviceStatus, EntryIndex, Error, Event,
    FirstIndexOfBlock, Gate, JournalEntry, Pallet, RefusalReason, Run, RunView, Runs,
    SuspensionReason,
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use frame_support::{
    dispatch::{DispatchErrorWithPostInfo, DispatchResultWithPostInfo, PostDispatchInfo},
    ensure,
};
use frame_system::{ensure_signed, pallet_prelude::OriginFor};
use hashchain::LinkHash;
use pallet_studies::{StudyId, StudyPolicy, StudyStatus};
use sp_core::{ed25519, H256};
use sp_runtime::{AccountId32, DispatchError};

type Studies<T> = pallet_studies::Pallet<T>;

/// What became of a run that was not refused.
enum Outcome {
    /// Entries from `first_index` on were registered.
    Recorded {
        head: DeviceHead,
        first_index: EntryIndex,
        entries: u32,
    },
    /// Every entry was registered before.
    AlreadyRecorded,
}

/// What the submitter may do in a study, and what the study asks for.
#[derive(Clone, Copy)]
struct Rules {
    is_relay: bool,
    open: bool,
    /// Whether the devices have to sign their runs. That never changes.
    signed: bool,
    /// What the study may still register.
    entries_left: u64,
    bytes_left: u64,
    /// What this call registers.
    entries: u64,
    bytes: u64,
    /// What it brings that was registered before.
    known: Known,
    /// Most entries of one device.
    device_entries: u64,
}

/// Why nobody may write in the device's name at present; none if it may.
fn shut(rules: Rules, status: DeviceStatus) -> Option<RefusalReason> {
    match status {
        _ if !rules.open => Some(RefusalReason::StudyClosed),
        DeviceStatus::Retired => Some(RefusalReason::DeviceRetired),
        DeviceStatus::Suspended(_) => Some(RefusalReason::DeviceSuspended),
        DeviceStatus::Active => None,
    }
}

/// The runs of one call while they are being processed.
pub(crate) struct Batch<T: Config> {
    submitter: AccountId32,
    own: OwnDevice,
    pages: WorkingPages<T>,
    rules: BTreeMap<StudyId, Option<Rules>>,
    walk: Walk<T>,
    /// By the places of the runs: whether their devices signed them, where that was checked of many at once.
    signed: Vec<Option<bool>>,
    /// Signatures that were checked one by one, for the weight.
    single_checks: u32,
    /// Forks whose evidence was looked at, for the weight.
    forks: u32,
}

impl<T: Config> Batch<T> {
    pub(crate) fn new(submitter: AccountId32) -> Self {
        Self {
            submitter,
            own: OwnDevice::default(),
            pages: WorkingPages::new(FirstIndexOfBlock::<T>::get()),
            rules: BTreeMap::new(),
            walk: Walk::new(),
            signed: Vec::new(),
            single_checks: 0,
            forks: 0,
        }
    }

    /// The head of a device, as this batch has left it; none if the number was never given out.
    pub(crate) fn head(&mut self, device: DeviceId) -> Option<DeviceHead> {
        self.pages.head(device)
    }

    /// Checks at once the signatures that studies demand of the runs that go on from their device's head, or from a run of it
    /// before them in the batch.
    ///
    /// Whatever else a batch has is judged by itself: what names another link before it has another last link too, so that
    /// an honest signature does not fit, and such runs would have others checked one by one.
    pub(crate) fn check_together(&mut self, size: BatchSize, runs: &Runs, links: &[LinkHash]) {
        if !size.checks_together() {
            return;
        }
        let mut places = Vec::with_capacity(runs.signatures() as usize);
        let mut signed = Vec::with_capacity(runs.signatures() as usize * SIGNED);
        // Length and link of each device's history, if every run before in the batch stands.
        let mut ends = BTreeMap::new();
        for (place, (run, links)) in with_links(runs, links).enumerate() {
            let (Some(signature), Some(last)) = (run.signature, links.last()) else {
                continue;
            };
            let Some(head) = self.head(run.device) else {
                continue;
            };
            if !self.rules(head.study).is_some_and(|rules| rules.signed) {
                continue;
            }
            let (length, hash) = *ends.entry(run.device).or_insert((head.length, head.hash));
            if run.sequence.checked_sub(1) != Some(length) || run.previous != hash {
                continue;
            }
            let Some(key) = self.pages.key(run.device) else {
                continue;
            };
            let end = length.saturating_add(run.entries.len() as u64);
            ends.insert(run.device, (end, H256(last.0)));
            places.push(place);
            signed.extend_from_slice(signature);
            signed.extend_from_slice(&key);
            signed.extend_from_slice(&last.0);
        }
        let mut valid = vec![0; places.len()];
        run_checks::signed_ones(&signed, &mut valid);
        let spoiled = valid.chunks(GROUP).filter(|group| group.contains(&0));
        self.single_checks += spoiled.map(|group| group.len() as u32).sum::<u32>();
        self.signed = vec![None; runs.len() as usize];
        for (place, valid) in places.into_iter().zip(valid) {
            self.signed[place] = Some(valid == 1);
        }
    }

    /// How many runs are known to be signed by their devices.
    #[cfg(feature = "runtime-benchmarks")]
    pub(crate) fn known_to_be_signed(&self) -> usize {
        let known = self.signed.iter().flatten();
        known.filter(|signed| **signed).count()
    }

    /// Judges the run at this place and, if it passes, registers it in the working copies. The links are those that its entries have if
    /// its `previous` is taken at its word.
    ///
    /// What is registered already is a success before anything else is asked: a retry must not be refused because the
    /// device has been suspended since. And what the device signed against its own history is evidence, whatever has become
    /// of the device or its study since.
    fn register(
        &mut self,
        place: usize,
        run: RunView<'_>,
        links: &[LinkHash],
    ) -> Result<Outcome, RefusalReason> {
        let last = run
            .sequence
            .checked_sub(1)
            .and_then(|before| before.checked_add(run.entries.len() as u64))
            .ok_or(RefusalReason::InvalidSequence)?;
        let last_link = *links.last().ok_or(RefusalReason::EmptyRun)?;
        let head = self.head(run.device).ok_or(RefusalReason::UnknownDevice)?;
        let rules = self
            .rules(head.study)
            .filter(|rules| rules.is_relay || self.own.is::<T>(&self.submitter, run.device))
            .ok_or(RefusalReason::NotARelayOfThisStudy)?;

        let shut = shut(rules, head.status);
        match (compare(&mut self.walk, run, last, &head, links), shut) {
            (Relation::Recorded, _) => {
                self.count_known(run, run.entries.len(), head.study);
                Ok(Outcome::AlreadyRecorded)
            }
            (Relation::Diverges(divergence), _) => {
                Err(self.refuse_rival(place, run, last_link, &head, rules, divergence))
            }
            (_, Some(reason)) => Err(reason),
            (Relation::Gap, None) => Err(RefusalReason::Gap),
            (Relation::BeyondReach, None) => Err(RefusalReason::BeyondReach),
            (Relation::Follows { known }, None) => self
                .check_signature(place, run, last_link, rules)
                .and_then(|()| self.take_room(run, known, &head))
                .map(|()| {
                    self.count_known(run, known, head.study);
                    self.append(run, links, known, head)
                }),
        }
    }

    /// Counts so many entries of a run that were registered before.
    fn count_known(&mut self, run: RunView<'_>, known: usize, study: StudyId) {
        if let Some(Some(rules)) = self.rules.get_mut(&study) {
            rules.known.entries += known as u64;
            rules.known.bytes += share_of(run, known);
        }
    }

    /// Takes the new entries of a run, and its bytes, from what the study and the device may still register.
    fn take_room(
        &mut self,
        run: RunView<'_>,
        known: usize,
        head: &DeviceHead,
    ) -> Result<(), RefusalReason> {
        let rules = self.rules.get_mut(&head.study).and_then(Option::as_mut);
        let rules = rules.ok_or(RefusalReason::NotARelayOfThisStudy)?;
        let new = (run.entries.len() - known) as u64;
        let entries = rules.entries + new;
        let bytes = rules.bytes + u64::from(bytes_of(run));
        if entries > rules.entries_left || bytes > rules.bytes_left {
            return Err(RefusalReason::StudyAllowanceUsed);
        }
        if head.length + new > rules.device_entries {
            return Err(RefusalReason::DeviceAllowanceUsed);
        }
        (rules.entries, rules.bytes) = (entries, bytes);
        Ok(())
    }

    /// Registers the entries of a run from the first unknown one on, after the device's head.
    fn append(
        &mut self,
        run: RunView<'_>,
        links: &[LinkHash],
        known: usize,
        mut head: DeviceHead,
    ) -> Outcome {
        let first_index = self.walk.next_index();
        for ((entry, link), index) in run.entries.iter().zip(links).skip(known).zip(first_index..) {
            let previous = head.latest();
            head.length += 1;
            head.latest = index;
            head.hash = H256(link.0);
            self.walk.push(JournalEntry {
                device: run.device,
                sequence: head.length,
                digest: entry.digest,
                hash: head.hash,
                previous,
            });
        }
        self.pages.set(run.device, &head);
        Outcome::Recorded {
            head,
            first_index,
            entries: (run.entries.len() - known) as u32,
        }
    }

    /// Keeps the evidence of a rival history and says why the run is refused: for what shuts the device out, if anything does.
    ///
    /// Where the policy asks for signatures, an unsigned rival is refused for the same reason, but proves nothing and
    /// is not kept: a relay could otherwise fill a device's list at will. Of a device that may not write, only a signed
    /// rival is kept, under any policy.
    fn refuse_rival(
        &mut self,
        place: usize,
        run: RunView<'_>,
        last_link: LinkHash,
        head: &DeviceHead,
        rules: Rules,
        divergence: Divergence,
    ) -> RefusalReason {
        let shut = shut(rules, head.status);
        let reason = shut.unwrap_or(divergence.reason);
        // A foreign link 0 with nothing registered after it is no second history, only a run of another chain.
        if divergence.sequence == 0 {
            return reason;
        }
        let signed = self.is_signed_at(place, run, last_link);
        if signed || (!rules.signed && shut.is_none()) {
            self.forks += 1;
            conflicts::keep::<T>(run.device, divergence, signed, &self.submitter);
        }
        if signed && rules.signed {
            self.suspend_for_fork(run.device, head);
        }
        reason
    }

    /// Everything that is registered of this device is signed, and so is the rival: its key signed two histories. That ends
    /// any other suspension, which the study could lift.
    fn suspend_for_fork(&mut self, device: DeviceId, head: &DeviceHead) {
        let status = DeviceStatus::Suspended(SuspensionReason::Fork);
        if head.status == DeviceStatus::Retired || head.status == status {
            return;
        }
        self.pages.set(device, &DeviceHead { status, ..*head });
        Pallet::<T>::deposit_event(Event::DeviceSuspended {
            device,
            reason: SuspensionReason::Fork,
        });
    }

    /// Demands the device's signature where the study does.
    fn check_signature(
        &mut self,
        place: usize,
        run: RunView<'_>,
        last_link: LinkHash,
        rules: Rules,
    ) -> Result<(), RefusalReason> {
        if !rules.signed {
            Ok(())
        } else if run.signature.is_none() {
            Err(RefusalReason::SignatureMissing)
        } else if self.is_signed_at(place, run, last_link) {
            Ok(())
        } else {
            Err(RefusalReason::BadSignature)
        }
    }

    /// The same as [`Self::is_signed`], which is asked where it is not known yet.
    fn is_signed_at(&mut self, place: usize, run: RunView<'_>, last_link: LinkHash) -> bool {
        match self.signed.get(place) {
            Some(Some(known)) => *known,
            _ => self.is_signed(run, last_link),
        }
    }

    /// Whether the run carries its device's signature over its last link, whether the study asks for it or not.
    pub(crate) fn is_signed(&mut self, run: RunView<'_>, last_link: LinkHash) -> bool {
        let Some(signature) = run.signature else {
            return false;
        };
        let Some(key) = self.pages.key(run.device) else {
            return false;
        };
        self.single_checks += 1;
        sp_io::crypto::ed25519_verify(
            &ed25519::Signature::from_raw(*signature),
            &hashchain::head_message(&last_link),
            &ed25519::Public::from_raw(key),
        )
    }

    fn rules(&mut self, study: StudyId) -> Option<Rules> {
        let submitter = &self.submitter;
        *self.rules.entry(study).or_insert_with(|| {
            Studies::<T>::study(study).map(|rules| {
                let quota = Studies::<T>::quota(study);
                let (entries_left, bytes_left) = quota.left();
                Rules {
                    is_relay: Studies::<T>::is_relay(study, submitter),
                    open: rules.status == StudyStatus::Open,
                    signed: rules.policy == StudyPolicy::DeviceSigned,
                    entries_left,
                    bytes_left,
                    entries: 0,
                    bytes: 0,
                    known: Known::default(),
                    device_entries: quota.allowance.device_entries,
                }
            })
        })
    }

    /// Writes what has changed, and says how many bytes of known entries are replayed.
    fn write(self) -> u32 {
        for (study, rules) in &self.rules {
            if let Some(rules) = rules.filter(|rules| rules.entries > 0) {
                Studies::<T>::count_entries(*study, rules.entries, rules.bytes);
            }
        }
        let replayed = self.settle();
        self.pages.write();
        let new_entries = self.walk.new_entries();
        if !new_entries.is_empty() {
            Pallet::<T>::append_to_journal(new_entries);
        }
        replayed
    }

    /// Counts what was brought of each study. A device brings its own entries once; only relays have a part of what is brought
    /// again.
    fn settle(&self) -> u32 {
        let mut replayed = 0;
        for (study, rules) in &self.rules {
            let Some(rules) = rules else { continue };
            replayed += match (rules.entries, rules.known.entries) {
                (0, 0) => 0,
                (new, _) if rules.is_relay => {
                    again::settle::<T>(*study, &self.submitter, new, rules.known)
                }
                _ => rules.known.bytes,
            };
        }
        replayed
    }

    /// What the call has cost: what it declared less what did not happen.
    fn weight(&self, size: BatchSize) -> PostDispatchInfo {
        let done = Done {
            pages: self.pages.touched(),
            studies: self.rules.len() as u32,
            steps: self.walk.steps(),
            forks: self.forks,
            single_checks: self.single_checks,
        };
        Some(size.weight::<T>(done)).into()
    }
}

/// The links that the entries of these runs have if each `previous` is taken at its word: one run's after the other's.
///
/// Sequences that go beyond the last number wrap around here, and their run is refused when its turn comes.
pub(crate) fn links_of(runs: &Runs) -> Vec<LinkHash> {
    let mut links = vec![[0; LINK]; runs.entries() as usize];
    run_checks::links(runs.as_bytes(), links.as_flattened_mut());
    links.into_iter().map(LinkHash).collect()
}

/// Each run with its own part of what [`links_of`] says.
fn with_links<'a>(
    runs: &'a Runs,
    links: &'a [LinkHash],
) -> impl Iterator<Item = (RunView<'a>, &'a [LinkHash])> {
    let mut rest = links;
    runs.iter().map(move |run| {
        let (own, others) = rest.split_at(run.entries.len());
        rest = others;
        (run, own)
    })
}

impl<T: Config> Pallet<T> {
    /// Passes for a signed call that stands at the top of its extrinsic, and says who signed.
    pub(crate) fn ensure_brings_runs(origin: OriginFor<T>) -> Result<AccountId32, DispatchError> {
        let who = ensure_signed(origin)?;
        ensure!(T::Gate::at_top_level(), Error::<T>::RunsWithinAnotherCall);
        Ok(who)
    }

    pub(crate) fn do_submit(who: AccountId32, run: Run) -> DispatchResultWithPostInfo {
        let size = BatchSize::from(&run);
        let runs = Runs::from(&run);
        let run = runs.iter().next().ok_or(Error::<T>::EmptyRun)?;
        let links = links_of(&runs);
        let mut batch = Batch::<T>::new(who);
        let outcome = batch.register(0, run, &links);
        let post_info = batch.weight(size);
        let mut brought = Brought::default();
        let event = match outcome {
            Ok(Outcome::Recorded {
                head,
                first_index,
                entries,
            }) => {
                brought.add(run, entries);
                Event::RunRecorded {
                    device: run.device,
                    length: head.length,
                    head: head.hash,
                    first_index,
                    entries,
                }
            }
            Ok(Outcome::AlreadyRecorded) => {
                brought.add(run, 0);
                already_recorded(run)
            }
            Err(reason) => {
                return Err(DispatchErrorWithPostInfo {
                    post_info,
                    error: Error::<T>::from(reason).into(),
                })
            }
        };
        let replayed = batch.write();
        T::Gate::note(brought.with_replayed(replayed));
        Self::deposit_event(event);
        Ok(post_info)
    }

    pub(crate) fn do_submit_batch(who: AccountId32, runs: Runs) -> PostDispatchInfo {
        let size = BatchSize::from(&runs);
        let mut batch = Batch::<T>::new(who);
        let (mut recorded, mut known, mut refused) = (0, 0, 0);
        let mut brought = Brought::default();
        let links = links_of(&runs);
        batch.check_together(size, &runs, &links);
        for (position, (run, links)) in (0u32..).zip(with_links(&runs, &links)) {
            match batch.register(position as usize, run, links) {
                Ok(Outcome::Recorded { entries, .. }) => {
                    recorded += 1;
                    brought.add(run, entries);
                }
                Ok(Outcome::AlreadyRecorded) => {
                    known += 1;
                    brought.add(run, 0);
                    Self::deposit_event(already_recorded(run));
                }
                Err(reason) => {
                    refused += 1;
                    brought.refused += bytes_of(run);
                    Self::deposit_event(Event::RunRefused {
                        position,
                        device: run.device,
                        sequence: run.sequence,
                        reason,
                    });
                }
            }
        }
        let event = Event::BatchProcessed {
            submitter: batch.submitter.clone(),
            recorded,
            already_recorded: known,
            refused,
            first_index: batch.walk.first_index(),
            entries: batch.walk.new_entries().len() as u32,
        };
        let post_info = batch.weight(size);
        let replayed = batch.write();
        T::Gate::note(brought.with_replayed(replayed));
        Self::deposit_event(event);
        post_info
    }
}

fn already_recorded<T: Config>(run: RunView<'_>) -> Event<T> {
    Event::RunAlreadyRecorded {
        device: run.device,
        sequence: run.sequence,
        entries: run.entries.len() as u32,
    }
}

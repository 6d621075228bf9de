// SPDX-License-Identifier: Apache-2.0

//! Benchmarks of the calls at their most expensive.

use crate::{types::*, *};
use alloc::{vec, vec::Vec};
use codec::{Decode, Encode};
use frame_benchmarking::v2::*;
use frame_support::{
    traits::{ConstU32, Get},
    BoundedVec,
};
use frame_system::RawOrigin;
use hashchain::LinkHash;
use pallet_studies::{Study, StudyId, StudyPolicy, StudyStatus};
use sp_core::H256;
use sp_runtime::AccountId32;

const STUDY: StudyId = 0;
const SPONSOR: AccountId32 = AccountId32::new([1; 32]);
const SERVER: AccountId32 = AccountId32::new([2; 32]);
const COMMITMENT: H256 = H256([8; 32]);
const AUDITOR_KEY: [u8; 32] = [7; 32];
const PARTICIPANT: H256 = H256([6; 32]);
const RELAY: AccountId32 = AccountId32::new([3; 32]);
const OTHER_RELAY: AccountId32 = AccountId32::new([4; 32]);

fn set_up_study<T: Config>(policy: StudyPolicy) {
    insert_study::<T>(STUDY, policy);
}

fn insert_study<T: Config>(number: StudyId, policy: StudyPolicy) {
    pallet_studies::Studies::<T>::insert(
        number,
        Study {
            sponsor: SPONSOR,
            policy,
            status: StudyStatus::Open,
            auditor_key: AUDITOR_KEY,
            title: Default::default(),
            former_auditor_keys: Default::default(),
        },
    );
    pallet_studies::AuthenticationServers::<T>::insert(number, SERVER, ());
    for relay in [RELAY, OTHER_RELAY] {
        pallet_studies::Relays::<T>::insert(number, relay, ());
    }
}

fn escrow<T: Config>() -> BoundedVec<u8, T::MaxEscrowLength> {
    vec![9; T::MaxEscrowLength::get() as usize]
        .try_into()
        .expect("as long as allowed; qed")
}

fn enrol<T: Config>(key: sp_core::ed25519::Public, predecessor: Option<DeviceId>) -> DeviceId {
    let device = devices::NewDevice {
        key: key.0,
        secret_commitment: COMMITMENT,
        escrow: escrow::<T>(),
        auditor_epoch: 0,
        participant: PARTICIPANT,
        predecessor,
    };
    let proof = key_proof::<T>(&key, predecessor);
    Pallet::<T>::do_enrol(&SERVER, STUDY, device, &proof).expect("the study takes devices; qed");
    NextDeviceId::<T>::get() - 1
}

/// Lets so many blocks pass that what servers asked to retire is retired.
fn pass_retirement_delay<T: Config>() {
    let now = frame_system::Pallet::<T>::block_number();
    frame_system::Pallet::<T>::set_block_number(now + RetirementDelay::<T>::get());
}

/// What the device with this key signs to be enrolled by [`SERVER`].
fn key_proof<T: Config>(key: &sp_core::ed25519::Public, predecessor: Option<DeviceId>) -> [u8; 64] {
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &devices::chain_hash::<T>(),
        study: hashchain::StudyId(STUDY),
        server: SERVER.as_ref(),
        device_key: &key.0,
        predecessor: predecessor.map(hashchain::DeviceId),
        secret_commitment: &COMMITMENT.0,
        escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&escrow::<T>()),
        auditor_epoch: 0,
        auditor_key: &AUDITOR_KEY,
        participant: &PARTICIPANT.0,
    });
    sp_io::crypto::ed25519_sign(sp_core::testing::ED25519, key, &message)
        .expect("the key was generated there; qed")
        .0
}

/// A key pair in the node's keystore; its public half.
fn new_key() -> sp_core::ed25519::Public {
    sp_io::crypto::ed25519_generate(sp_core::testing::ED25519, None)
}

fn sign(key: &sp_core::ed25519::Public, head: H256) -> [u8; 64] {
    sp_io::crypto::ed25519_sign(
        sp_core::testing::ED25519,
        key,
        &hashchain::head_message(&LinkHash(head.0)),
    )
    .expect("the key was generated there; qed")
    .0
}

/// A run of `entries` entries after `previous`; its last link.
fn run_after(
    device: DeviceId,
    sequence: u64,
    previous: H256,
    entries: u32,
    salt: u8,
) -> (Run, H256) {
    let hash = |sequence: u64, what: u8| {
        let of = (device, sequence, salt, what).encode();
        H256(sp_io::hashing::sha2_256(&of))
    };
    let entry = |sequence| RunEntry {
        digest: hash(sequence, 0),
        tag: hash(sequence, 1),
    };
    let entries = (sequence..sequence + u64::from(entries)).map(entry);
    let run = Run {
        device,
        sequence,
        previous,
        entries: entries
            .collect::<Vec<_>>()
            .try_into()
            .expect("benchmarked runs are short; qed"),
        signature: None,
    };
    let head = run.last_link();
    (run, head)
}

/// Devices whose heads are all on different pages, which are full: `(number, head)`.
///
/// The pages are written directly: enrolling a page of devices for each of a thousand would take the benchmark's whole time.
fn spread_devices<T: Config>(count: u32, key: impl Fn(u32) -> [u8; 32]) -> Vec<(DeviceId, H256)> {
    let template = enrol::<T>(new_key(), None);
    let mut record = Devices::<T>::get(template).expect("just enrolled; qed");
    let head = Pallet::<T>::head_of(template).expect("just enrolled; qed");
    (1..=count)
        .map(|number| {
            let device = number * HEADS_PER_PAGE;
            record.key = key(number);
            HeadPages::<T>::insert(number, page_of(head));
            KeyPages::<T>::insert(number, page_of(record.key));
            Devices::<T>::insert(device, &record);
            (device, head.hash)
        })
        .collect()
}

/// One device of each of so many studies, with neighbouring numbers. The pages are written directly here, too.
fn devices_of_studies<T: Config>(count: u32) -> Vec<(DeviceId, H256)> {
    let hash = H256([5; 32]);
    let heads: Vec<_> = (0..count)
        .map(|study| {
            insert_study::<T>(study, StudyPolicy::HashchainOnly);
            DeviceHead {
                length: 0,
                latest: 0,
                hash,
                study,
                status: DeviceStatus::Active,
            }
        })
        .collect();
    for (number, page) in (0u32..).zip(heads.chunks(HEADS_PER_PAGE as usize)) {
        HeadPages::<T>::insert(number, HeadPage::truncate_from(page.to_vec()));
    }
    (0..count).map(|device| (device, hash)).collect()
}

/// A page full of the same.
fn page_of<P: Clone>(one: P) -> BoundedVec<P, ConstU32<HEADS_PER_PAGE>> {
    BoundedVec::truncate_from(vec![one; HEADS_PER_PAGE as usize])
}

/// One run of each of so many devices, with so many entries beyond the first of each, in as few of them as take them.
fn runs_with_further<T: Config>(devices: u32, further: u32) -> Runs {
    let mut spare = further;
    spread_devices::<T>(devices, |_| [10; 32])
        .into_iter()
        .map(|(device, head)| {
            let more = spare.min(MAX_RUN_LENGTH - 1);
            spare -= more;
            run_after(device, 1, head, 1 + more, 0).0
        })
        .collect::<Vec<_>>()
        .try_into()
        .expect("within the bound; qed")
}

/// One signed run of one entry of each of so many devices, each with a key of its own.
fn signed_runs<T: Config>(devices: u32) -> Vec<Run> {
    let keys: Vec<_> = (0..devices).map(|_| new_key()).collect();
    spread_devices::<T>(devices, |number| keys[number as usize - 1].0)
        .into_iter()
        .zip(&keys)
        .map(|((device, head), key)| {
            let (run, last) = run_after(device, 1, head, 1, 0);
            Run {
                signature: Some(sign(key, last)),
                ..run
            }
        })
        .collect()
}

/// A batch that has read the heads of these runs' devices.
fn batch_with_heads<T: Config>(runs: &Runs) -> batch::Batch<T> {
    let mut batch = batch::Batch::new(RELAY);
    for run in runs.iter() {
        batch.head(run.device).expect("it is enrolled; qed");
    }
    batch
}

/// Submits a batch that is still bytes, as a block does: reads it twice, and hashes it for the check of the transaction's
/// signature. Nothing else on this chain charges for a call's length.
fn submit_encoded<T: Config>(runs: &[u8]) {
    let first = Runs::decode(&mut &runs[..]).expect("just encoded; qed");
    core::hint::black_box(first.using_encoded(sp_io::hashing::blake2_256));
    let runs = Runs::decode(&mut &runs[..]).expect("just encoded; qed");
    Pallet::<T>::do_submit_batch(RELAY, runs);
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn enrol() {
        set_up_study::<T>(StudyPolicy::DeviceSigned);
        let old = super::enrol::<T>(new_key(), None);
        // Nobody has written down yet that it is retired.
        Pallet::<T>::do_retire(&SERVER, old, LastTrusted::Latest).expect("active; qed");
        pass_retirement_delay::<T>();
        // The page that is changed is full but for one place.
        for _ in 2..HEADS_PER_PAGE {
            super::enrol::<T>(new_key(), None);
        }
        let key = new_key();
        let proof = key_proof::<T>(&key, Some(old));

        #[extrinsic_call]
        _(
            RawOrigin::Signed(SERVER),
            STUDY,
            key.0,
            COMMITMENT,
            escrow::<T>(),
            0,
            PARTICIPANT,
            Some(old),
            proof,
        );

        assert_eq!(DeviceByKey::<T>::get(key.0), Some(HEADS_PER_PAGE - 1));
    }

    /// `r` runs of one entry, of devices whose heads are all on different pages.
    #[benchmark]
    fn submit_batch(r: Linear<1, 256>) {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let runs = runs_with_further::<T>(r, 0).encode();

        #[block]
        {
            submit_encoded::<T>(&runs);
        }

        assert_eq!(JournalLength::<T>::get(), u64::from(r));
    }

    /// `f` runs of one entry of devices whose heads are on a page that another run of the batch touches, too.
    #[benchmark]
    fn further_runs(f: Linear<0, { HEADS_PER_PAGE - 1 }>) {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let (first, hash) = spread_devices::<T>(1, |_| [10; 32])[0];
        let runs = (first..=first + f)
            .map(|device| run_after(device, 1, hash, 1, 0).0)
            .collect::<Vec<_>>()
            .encode();

        #[block]
        {
            submit_encoded::<T>(&runs);
        }

        assert_eq!(JournalLength::<T>::get(), u64::from(1 + f));
    }

    /// Runs of devices of `s` studies beyond the first. Each begins with what another relay has brought and goes on with something new,
    /// so that all is written that a study has counted. The number of runs grows with that of studies, so what a study is charged
    /// contains a run of two entries and its event, which are charged once more as such.
    #[benchmark]
    fn further_studies(s: Linear<0, 63>) {
        let devices = devices_of_studies::<T>(1 + s);
        let runs = |entries| {
            devices
                .iter()
                .map(|(device, head)| run_after(*device, 1, *head, entries, 0).0)
                .collect::<Vec<_>>()
        };
        let first: Runs = runs(1).try_into().expect("within the bound; qed");
        Pallet::<T>::do_submit_batch(OTHER_RELAY, first);
        let again = runs(2).encode();

        #[block]
        {
            submit_encoded::<T>(&again);
        }

        assert_eq!(JournalLength::<T>::get(), u64::from(2 * (1 + s)));
        for study in 0..=s {
            assert_eq!(EntriesBroughtAgain::<T>::get(study), 1);
        }
    }

    /// Runs with so many further entries that they fill `p` pages of the journal.
    #[benchmark]
    fn further_pages(p: Linear<0, 16>) {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let further = p * ENTRIES_PER_PAGE;
        let few = further.div_ceil(MAX_RUN_LENGTH - 1);
        let runs = runs_with_further::<T>(few, further).encode();

        #[block]
        {
            submit_encoded::<T>(&runs);
        }

        assert_eq!(JournalLength::<T>::get(), u64::from(few + further));
    }

    /// `s` signatures of as many devices, one by one, each with a key on a page of its own.
    #[benchmark]
    fn signatures(s: Linear<0, 256>) {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let runs = Runs::try_from(signed_runs::<T>(s)).expect("within the bound; qed");
        let links = crate::batch::links_of(&runs);
        let mut batch = batch_with_heads::<T>(&runs);
        let valid;

        #[block]
        {
            valid = runs
                .iter()
                .zip(&links)
                .filter(|(run, last)| batch.is_signed(*run, **last))
                .count();
        }

        assert_eq!(valid, s as usize);
    }

    /// `s` signatures of as many devices, all at once, each with a key on a page of its own. Whatever registers their runs pays for
    /// the pages of their heads.
    #[benchmark]
    fn signatures_together(s: Linear<8, 1024>) {
        set_up_study::<T>(StudyPolicy::DeviceSigned);
        let runs = Runs::try_from(signed_runs::<T>(s)).expect("within the bound; qed");
        let links = crate::batch::links_of(&runs);
        let size = crate::BatchSize::from(&runs);
        let mut batch = batch_with_heads::<T>(&runs);

        #[block]
        {
            batch.check_together(size, &runs, &links);
        }

        assert_eq!(batch.known_to_be_signed(), s as usize);
    }

    /// Every run contradicts a signed history: evidence is stored and the device suspended.
    #[benchmark]
    fn forks(f: Linear<0, 128>) -> Result<(), BenchmarkError> {
        set_up_study::<T>(StudyPolicy::DeviceSigned);
        let key = new_key();
        let devices = spread_devices::<T>(f, |_| key.0);
        let signed = |salt| {
            devices
                .iter()
                .map(|(device, head)| {
                    let (run, head) = run_after(*device, 1, *head, 1, salt);
                    Run {
                        signature: Some(sign(&key, head)),
                        ..run
                    }
                })
                .collect::<Vec<_>>()
                .try_into()
                .expect("within the bound; qed")
        };
        Pallet::<T>::do_submit_batch(RELAY, signed(0));
        let rivals: Runs = signed(1);

        #[block]
        {
            Pallet::<T>::do_submit_batch(RELAY, rivals);
        }

        assert_eq!(Conflicts::<T>::iter_keys().count(), f as usize);
        Ok(())
    }

    /// An old run is looked for `w` entries before the head, each on a page of its own.
    #[benchmark]
    fn walk(w: Linear<1, 256>) -> Result<(), BenchmarkError> {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let device = super::enrol::<T>(new_key(), None);
        let head = Pallet::<T>::head_of(device).expect("just enrolled; qed");
        let (old, first) = run_after(device, 1, head.hash, 1, 0);
        let entry = |page: u64| JournalEntry {
            device,
            sequence: page + 1,
            digest: H256::zero(),
            hash: first,
            previous: page
                .checked_sub(1)
                .map(|before| before * u64::from(ENTRIES_PER_PAGE)),
        };
        for page in 0..u64::from(w) {
            let content: JournalPage = vec![entry(page); ENTRIES_PER_PAGE as usize]
                .try_into()
                .expect("as long as a page; qed");
            JournalPages::<T>::insert(page, content);
        }
        JournalLength::<T>::put(u64::from(w * ENTRIES_PER_PAGE));
        HeadPages::<T>::mutate(0, |page| {
            if let Some(head) = page.as_mut().and_then(|page| page.get_mut(0)) {
                head.length = w.into();
                head.latest = u64::from((w - 1) * ENTRIES_PER_PAGE);
                head.hash = first;
            }
        });
        let result;

        #[block]
        {
            result = Pallet::<T>::do_submit(RELAY, old);
        }

        assert!(result.is_ok());
        Ok(())
    }

    #[benchmark]
    fn suspend() {
        set_up_study::<T>(StudyPolicy::DeviceSigned);
        let device = spread_devices::<T>(1, |_| [10; 32])[0].0;

        #[extrinsic_call]
        _(RawOrigin::Signed(SERVER), device, SuspensionReason::Lost);

        assert_eq!(
            Pallet::<T>::head_of(device).map(|head| head.status),
            Some(DeviceStatus::Suspended(SuspensionReason::Lost))
        );
    }

    #[benchmark]
    fn resume() {
        set_up_study::<T>(StudyPolicy::DeviceSigned);
        let device = spread_devices::<T>(1, |_| [10; 32])[0].0;
        Pallet::<T>::do_suspend(&SERVER, device, SuspensionReason::Lost).expect("active; qed");

        #[extrinsic_call]
        _(RawOrigin::Signed(SERVER), device);

        assert_eq!(
            Pallet::<T>::head_of(device).map(|head| head.status),
            Some(DeviceStatus::Active)
        );
    }

    #[benchmark]
    fn retire() {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let (device, head) = spread_devices::<T>(1, |_| [10; 32])[0];
        let (run, _) = run_after(device, 1, head, ENTRIES_PER_PAGE, 0);
        Pallet::<T>::do_submit(RELAY, run).expect("follows the head; qed");

        #[extrinsic_call]
        _(
            RawOrigin::Signed(SPONSOR),
            device,
            LastTrusted::Entry(u64::from(ENTRIES_PER_PAGE) - 1),
        );

        assert_eq!(
            Pallet::<T>::head_of(device).map(|head| head.status),
            Some(DeviceStatus::Retired)
        );
    }

    #[benchmark]
    fn retire_later() {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let device = spread_devices::<T>(1, |_| [10; 32])[0].0;

        #[extrinsic_call]
        retire(RawOrigin::Signed(SERVER), device, LastTrusted::Latest);

        let record = Devices::<T>::get(device);
        assert!(record.is_some_and(|record| record.retires_at.is_some()));
    }

    #[benchmark]
    fn veto_retirement() {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let (device, _) = spread_devices::<T>(1, |_| [10; 32])[0];
        Pallet::<T>::do_retire(&SERVER, device, LastTrusted::Latest).expect("active; qed");

        #[extrinsic_call]
        _(RawOrigin::Signed(SPONSOR), device);

        let record = Devices::<T>::get(device);
        assert_eq!(record.map(|record| record.retires_at), Some(None));
    }

    #[benchmark]
    fn erase() {
        set_up_study::<T>(StudyPolicy::HashchainOnly);
        let (device, _) = spread_devices::<T>(1, |_| [10; 32])[0];
        Pallet::<T>::do_suspend(&SERVER, device, SuspensionReason::Withdrawn).expect("active; qed");

        #[extrinsic_call]
        _(RawOrigin::Signed(SPONSOR), device, H256([1; 32]));

        assert!(Erasures::<T>::contains_key(device));
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::with_keystore(), crate::mock::Test);
}

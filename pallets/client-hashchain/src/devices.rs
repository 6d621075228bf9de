// SPDX-License-Identifier: Apache-2.0

//! Enrolment of devices.

use crate::{
    status::Device, Config, DeviceByKey, DeviceHead, DeviceId, DeviceRecord, DeviceRecordOf,
    DeviceStatus, Devices, Error, Event, HeadPages, HostSha256, KeyPages, NextDeviceId, Pallet,
    TrustedHead, WeightInfo, HEADS_PER_PAGE,
};
use frame_support::{ensure, traits::Get, weights::Weight, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use hashchain::LinkHash;
use pallet_studies::{StudyId, StudyStatus};
use sp_core::{ed25519, H256};
use sp_runtime::{traits::Zero, AccountId32, DispatchResult};

type Studies<T> = pallet_studies::Pallet<T>;

/// Keys that an enrolment adds far from all others: by key, by number and of the account.
const FAR_KEYS: u64 = 3;

/// What an enrolment costs.
///
/// A key that lies far from the others that a block changes takes about twice what [`frame_system::Config::DbWeight`]
/// says: it shares none of the trie's nodes above it with them.
pub(crate) fn enrolment_weight<T: Config>() -> Weight {
    // One read for the grace of a former auditor key, which the benchmark does not ask for.
    <T as Config>::WeightInfo::enrol().saturating_add(T::DbWeight::get().reads_writes(1, FAR_KEYS))
}

/// A device that is to be enrolled.
pub(crate) struct NewDevice<T: Config> {
    /// Its Ed25519 public key, which is also its account.
    pub(crate) key: [u8; 32],
    /// Commitment to its secret.
    pub(crate) secret_commitment: H256,
    /// Its secret, sealed to the study's auditor.
    pub(crate) escrow: BoundedVec<u8, T::MaxEscrowLength>,
    /// Which of the study's auditor keys that was.
    pub(crate) auditor_epoch: u32,
    /// Digest of the key to which it seals its data.
    pub(crate) participant: H256,
    /// The retired device that it replaces.
    pub(crate) predecessor: Option<DeviceId>,
}

/// The page that has the head of a device, and the head's place in it.
pub(crate) fn position(device: DeviceId) -> (u32, usize) {
    (device / HEADS_PER_PAGE, (device % HEADS_PER_PAGE) as usize)
}

impl<T: Config> Pallet<T> {
    /// The head of a device; none if the number was never given out.
    pub fn head_of(device: DeviceId) -> Option<DeviceHead> {
        let (page, slot) = position(device);
        HeadPages::<T>::get(page)?.get(slot).copied()
    }

    /// Whether the account is that of an active device.
    pub fn has_role(who: &AccountId32) -> bool {
        DeviceByKey::<T>::get(AsRef::<[u8; 32]>::as_ref(who))
            .and_then(Self::head_of)
            .is_some_and(|head| head.status == DeviceStatus::Active)
    }

    pub(crate) fn do_enrol(
        who: &AccountId32,
        study: StudyId,
        device: NewDevice<T>,
        key_proof: &[u8; 64],
    ) -> DispatchResult {
        let auditor_key = Self::auditor_key_for_enrolment(who, study, device.auditor_epoch)?;
        Self::ensure_new_device(&device.key, &device.escrow)?;
        let escrow_commitment = hashchain::escrow_commitment::<HostSha256>(&device.escrow);
        let sealed_to = (&auditor_key, &escrow_commitment);
        Self::ensure_key_agrees(who, study, &device, sealed_to, key_proof)?;
        let NewDevice {
            key,
            secret_commitment,
            escrow,
            auditor_epoch,
            participant,
            predecessor,
        } = device;
        let followed = predecessor
            .map(|predecessor| Self::to_follow(study, predecessor))
            .transpose()?;
        let device = NextDeviceId::<T>::get();
        let next = device.checked_add(1).ok_or(Error::<T>::TooManyDevices)?;

        Studies::<T>::take_device(study)?;
        let trusted = followed.as_ref().map(|(_, trusted)| *trusted);
        let genesis = link_zero::<T>(study, &key, trusted, &secret_commitment, &escrow_commitment);
        let head = DeviceHead {
            length: 0,
            latest: 0,
            hash: genesis,
            study,
            status: DeviceStatus::Active,
        };
        let record = DeviceRecord {
            key,
            secret_commitment,
            escrow,
            auditor_epoch,
            participant,
            genesis,
            predecessor,
            successor: None,
            trusted: None,
            enrolled_at: frame_system::Pallet::<T>::block_number(),
            retires_at: None,
        };

        NextDeviceId::<T>::put(next);
        if let Some((mut followed, _)) = followed {
            followed.record.successor = Some(device);
            followed.write();
        }
        Self::write_new_device(device, head, record);
        // The device's own account may submit for itself (Figure 1a).
        Studies::<T>::admit(&AccountId32::new(key));
        Self::deposit_event(Event::DeviceEnrolled {
            device,
            study,
            key,
            genesis,
            predecessor,
        });
        Ok(())
    }

    /// The auditor key of this epoch of a study in which `who` may enrol devices now whose secret is sealed to it.
    fn auditor_key_for_enrolment(
        who: &AccountId32,
        study: StudyId,
        auditor_epoch: u32,
    ) -> Result<[u8; 32], Error<T>> {
        let rules = Studies::<T>::study(study).ok_or(Error::<T>::UnknownStudy)?;
        ensure!(
            Studies::<T>::is_authentication_server(study, who),
            Error::<T>::NotAnAuthenticationServer
        );
        ensure!(rules.status == StudyStatus::Open, Error::<T>::StudyClosed);
        Studies::<T>::auditor_key_for_enrolment(study, &rules, auditor_epoch)
            .ok_or(Error::<T>::OtherAuditorEpoch)
    }

    /// Refuses a device that could not be audited, or whose key could not be its own.
    fn ensure_new_device(key: &[u8; 32], escrow: &[u8]) -> Result<(), Error<T>> {
        ensure!(!escrow.is_empty(), Error::<T>::EscrowMissing);
        // Anybody could sign for such a key, and a signed fork would prove nothing.
        ensure!(!hashchain::is_weak_device_key(key), Error::<T>::WeakKey);
        ensure!(!DeviceByKey::<T>::contains_key(key), Error::<T>::KeyInUse);
        Ok(())
    }

    /// Refuses a key whose holder did not agree to be enrolled here, by this server and with this secret: whoever saw the
    /// key, in the pool or anywhere, could enrol it elsewhere otherwise. The rule is that of all signatures on this chain, ZIP 215.
    fn ensure_key_agrees(
        who: &AccountId32,
        study: StudyId,
        device: &NewDevice<T>,
        (auditor_key, escrow_commitment): (&[u8; 32], &[u8; 32]),
        key_proof: &[u8; 64],
    ) -> Result<(), Error<T>> {
        let message = hashchain::key_proof_message(&hashchain::KeyProof {
            chain: &chain_hash::<T>(),
            study: hashchain::StudyId(study),
            server: who.as_ref(),
            device_key: &device.key,
            predecessor: device.predecessor.map(hashchain::DeviceId),
            secret_commitment: &device.secret_commitment.0,
            escrow_commitment,
            auditor_epoch: device.auditor_epoch,
            auditor_key,
            participant: &device.participant.0,
        });
        let agrees = sp_io::crypto::ed25519_verify(
            &ed25519::Signature::from_raw(*key_proof),
            &message,
            &ed25519::Public::from_raw(device.key),
        );
        ensure!(agrees, Error::<T>::KeyProofFails);
        Ok(())
    }

    /// The device that a successor goes on from, and the head that the successor commits to.
    fn to_follow(
        study: StudyId,
        predecessor: DeviceId,
    ) -> Result<(Device<T>, TrustedHead), Error<T>> {
        let device = Device::<T>::of(predecessor)?;
        ensure!(
            device.head.study == study,
            Error::<T>::PredecessorNotRetired
        );
        ensure!(
            device.record.retires_at.is_none(),
            Error::<T>::RetirementPending
        );
        let trusted = device
            .record
            .trusted
            .ok_or(Error::<T>::PredecessorNotRetired)?;
        ensure!(
            device.record.successor.is_none(),
            Error::<T>::PredecessorHasSuccessor
        );
        Ok((device, trusted))
    }

    fn write_new_device(device: DeviceId, head: DeviceHead, record: DeviceRecordOf<T>) {
        DeviceByKey::<T>::insert(record.key, device);
        const DENSE: &str = "numbers are dense, so a page takes exactly its own devices; qed";
        let (page, _) = position(device);
        HeadPages::<T>::mutate(page, |heads| {
            let heads = heads.get_or_insert_default();
            heads.try_push(head).expect(DENSE);
        });
        KeyPages::<T>::mutate(page, |keys| {
            let keys = keys.get_or_insert_default();
            keys.try_push(record.key).expect(DENSE);
        });
        Devices::<T>::insert(device, record);
    }
}

/// Link 0 of a device on this chain.
fn link_zero<T: Config>(
    study: StudyId,
    device_key: &[u8; 32],
    trusted: Option<TrustedHead>,
    secret_commitment: &H256,
    escrow_commitment: &[u8; 32],
) -> H256 {
    let link = hashchain::genesis::<HostSha256>(&hashchain::Enrolment {
        chain: &chain_hash::<T>(),
        study: hashchain::StudyId(study),
        device_key,
        predecessor: trusted.map(|trusted| LinkHash(trusted.hash.0)),
        secret_commitment: &secret_commitment.0,
        escrow_commitment,
    });
    H256(link.0)
}

/// Hash of this chain's first block. This chain's hashes have 32 bytes.
pub(crate) fn chain_hash<T: Config>() -> [u8; 32] {
    let hash = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    bytes
}

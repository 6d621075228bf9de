// SPDX-License-Identifier: Apache-2.0

//! What the pallet decides. The calls in `lib.rs` say who may ask; the functions here do not.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use frame_support::{ensure, pallet_prelude::*};
use frame_system::{ensure_signed, pallet_prelude::OriginFor};
use sp_runtime::{Saturating, TryRuntimeError};

use crate::{
    types::Role, AuditorKeyChanges, AuthenticationServers, Config, Error, Event, GenesisStudy,
    NextStudyId, Pallet, Relays, RoleCount, RoleCounts, ServerCounts, Studies, Study, StudyId,
    StudyOf, StudyPolicy, StudyStatus,
};

/// What other pallets and the runtime ask. Reading only, but for [`Pallet::admit`].
impl<T: Config> Pallet<T> {
    /// The study of this number; `None` if there is none.
    pub fn study(study: StudyId) -> Option<StudyOf<T>> {
        Studies::<T>::get(study)
    }

    /// Whether `who` is a relay of `study`. One storage read.
    pub fn is_relay(study: StudyId, who: &T::AccountId) -> bool {
        Relays::<T>::contains_key(study, who)
    }

    /// Whether `who` is an authentication server of `study`. One storage read.
    pub fn is_authentication_server(study: StudyId, who: &T::AccountId) -> bool {
        AuthenticationServers::<T>::contains_key(study, who)
    }

    /// Whether `who` is the sponsor of `study`. One storage read.
    pub fn is_sponsor(study: StudyId, who: &T::AccountId) -> bool {
        Studies::<T>::get(study).is_some_and(|study| study.sponsor == *who)
    }

    /// Whether `who` holds any role of this pallet in any study. One storage read, whose weight is
    /// [`WeightInfo::has_role`](crate::WeightInfo::has_role).
    pub fn has_role(who: &T::AccountId) -> bool {
        RoleCount::<T>::contains_key(who)
    }

    /// How many roles of each kind `who` holds over all studies. One storage read.
    pub fn roles(who: &T::AccountId) -> RoleCounts {
        RoleCount::<T>::get(who).unwrap_or_default()
    }

    /// The authentication servers of `study`, in no particular order. At most `MaxServers` reads.
    pub fn authentication_servers(study: StudyId) -> Vec<T::AccountId> {
        AuthenticationServers::<T>::iter_key_prefix(study).collect()
    }

    /// The relays of `study`, in no particular order. At most `MaxServers` reads.
    pub fn relays(study: StudyId) -> Vec<T::AccountId> {
        Relays::<T>::iter_key_prefix(study).collect()
    }

    /// Gives `who` a place on the chain: a provider reference, if it has none.
    ///
    /// Without currency this reference is all that keeps an account and its nonce in the state,
    /// and it is never taken back, not when the last role goes either. Otherwise the account would
    /// be forgotten and start again at nonce 0 when it is given a role anew, and old transactions
    /// of it that never expire could be executed a second time by whoever kept them. An account
    /// that lost its roles is turned away by the runtime's transaction extension, not by its
    /// absence.
    pub fn admit(who: &T::AccountId) {
        if frame_system::Pallet::<T>::providers(who) == 0 {
            frame_system::Pallet::<T>::inc_providers(who);
        }
    }
}

/// What the calls do once the origin is checked. Public for genesis, mocks and benchmarks of
/// pallets that build on this one.
impl<T: Config> Pallet<T> {
    /// Creates an open study and returns its number.
    pub fn do_create_study(
        sponsor: T::AccountId,
        policy: StudyPolicy,
        auditor_key: [u8; 32],
        title: BoundedVec<u8, T::MaxTitleLength>,
    ) -> Result<StudyId, DispatchError> {
        ensure!(
            !title.is_empty() && core::str::from_utf8(&title).is_ok(),
            Error::<T>::IllegibleTitle
        );
        Self::ensure_can_be_sealed_to(&auditor_key)?;
        let study = NextStudyId::<T>::get();
        let next = study.checked_add(1).ok_or(Error::<T>::NoStudyIdLeft)?;

        NextStudyId::<T>::put(next);
        Studies::<T>::insert(
            study,
            Study {
                sponsor: sponsor.clone(),
                policy,
                status: StudyStatus::Open,
                auditor_key,
                title,
                former_auditor_keys: Default::default(),
            },
        );
        Self::grant(&sponsor, Role::Sponsor);
        Self::deposit_event(Event::StudyCreated {
            study,
            sponsor,
            policy,
        });
        Ok(study)
    }

    /// Closes an open study.
    pub fn do_close_study(study: StudyId) -> DispatchResult {
        Self::change_status(study, StudyStatus::Closed, Error::<T>::AlreadyClosed)?;
        Self::deposit_event(Event::StudyClosed { study });
        Ok(())
    }

    /// Opens a closed study.
    pub fn do_reopen_study(study: StudyId) -> DispatchResult {
        Self::change_status(study, StudyStatus::Open, Error::<T>::AlreadyOpen)?;
        Self::deposit_event(Event::StudyReopened { study });
        Ok(())
    }

    /// Makes `account` an authentication server of an open study.
    pub fn do_add_authentication_server(study: StudyId, account: T::AccountId) -> DispatchResult {
        Self::ensure_open(study)?;
        Self::ensure_not_given_up(study, &account)?;
        ensure!(
            !Self::is_authentication_server(study, &account),
            Error::<T>::AlreadyAuthenticationServer
        );
        let mut count = ServerCounts::<T>::get(study);
        ensure!(
            count.authentication_servers < T::MaxServers::get(),
            Error::<T>::TooManyAuthenticationServers
        );

        Self::take_admission(study, &account)?;
        count.authentication_servers.saturating_inc();
        ServerCounts::<T>::insert(study, count);
        AuthenticationServers::<T>::insert(study, &account, ());
        Self::grant(&account, Role::AuthenticationServer);
        Self::deposit_event(Event::AuthenticationServerAdded { study, account });
        Ok(())
    }

    /// Takes the role of an authentication server from `account`.
    pub fn do_remove_authentication_server(
        study: StudyId,
        account: T::AccountId,
    ) -> DispatchResult {
        let account = Self::present_account(study, account);
        ensure!(
            Self::is_authentication_server(study, &account),
            Error::<T>::NotAnAuthenticationServer
        );

        ServerCounts::<T>::mutate(study, |count| count.authentication_servers.saturating_dec());
        AuthenticationServers::<T>::remove(study, &account);
        Self::revoke(&account, Role::AuthenticationServer);
        Self::deposit_event(Event::AuthenticationServerRemoved { study, account });
        Ok(())
    }

    /// Makes `account` a relay of an open study.
    pub fn do_add_relay(study: StudyId, account: T::AccountId) -> DispatchResult {
        Self::ensure_open(study)?;
        Self::ensure_not_given_up(study, &account)?;
        ensure!(!Self::is_relay(study, &account), Error::<T>::AlreadyRelay);
        let mut count = ServerCounts::<T>::get(study);
        ensure!(
            count.relays < T::MaxServers::get(),
            Error::<T>::TooManyRelays
        );

        Self::take_admission(study, &account)?;
        count.relays.saturating_inc();
        ServerCounts::<T>::insert(study, count);
        Relays::<T>::insert(study, &account, ());
        Self::grant(&account, Role::Relay);
        Self::deposit_event(Event::RelayAdded { study, account });
        Ok(())
    }

    /// Takes the role of a relay from `account`.
    pub fn do_remove_relay(study: StudyId, account: T::AccountId) -> DispatchResult {
        let account = Self::present_account(study, account);
        ensure!(Self::is_relay(study, &account), Error::<T>::NotARelay);

        ServerCounts::<T>::mutate(study, |count| count.relays.saturating_dec());
        Relays::<T>::remove(study, &account);
        Self::revoke(&account, Role::Relay);
        Self::deposit_event(Event::RelayRemoved { study, account });
        Ok(())
    }

    /// Makes `sponsor` the sponsor of `study`.
    pub fn do_replace_sponsor(study: StudyId, sponsor: T::AccountId) -> DispatchResult {
        let mut record = Studies::<T>::get(study).ok_or(Error::<T>::UnknownStudy)?;
        ensure!(record.sponsor != sponsor, Error::<T>::AlreadySponsor);
        Self::ensure_not_given_up(study, &sponsor)?;

        let former = core::mem::replace(&mut record.sponsor, sponsor.clone());
        Studies::<T>::insert(study, record);
        Self::revoke(&former, Role::Sponsor);
        Self::grant(&sponsor, Role::Sponsor);
        Self::deposit_event(Event::SponsorReplaced {
            study,
            former,
            sponsor,
        });
        Ok(())
    }

    /// Makes `auditor_key` the key to which devices of `study` seal their secrets from now on.
    pub fn do_set_auditor_key(study: StudyId, auditor_key: [u8; 32]) -> DispatchResult {
        Self::ensure_can_be_sealed_to(&auditor_key)?;
        let mut record = Studies::<T>::get(study).ok_or(Error::<T>::UnknownStudy)?;
        // What was sealed to a key is looked for under the epoch of the device, and never under two.
        let is_new =
            record.auditor_key != auditor_key && !record.former_auditor_keys.contains(&auditor_key);
        ensure!(is_new, Error::<T>::AuditorKeyWasUsed);
        let former = core::mem::replace(&mut record.auditor_key, auditor_key);
        record
            .former_auditor_keys
            .try_push(former)
            .map_err(|_| Error::<T>::TooManyAuditorKeys)?;
        let epoch = record.auditor_epoch();

        Studies::<T>::insert(study, record);
        AuditorKeyChanges::<T>::insert(study, frame_system::Pallet::<T>::block_number());
        Self::deposit_event(Event::AuditorKeySet {
            study,
            epoch,
            auditor_key,
        });
        Ok(())
    }

    /// The auditor key of this epoch, if devices that sealed their secret to it may be enrolled now: the epoch is the present
    /// one, or the one before it and `AuditorKeyGrace` is not over yet.
    pub fn auditor_key_for_enrolment(
        study: StudyId,
        record: &StudyOf<T>,
        epoch: u32,
    ) -> Option<[u8; 32]> {
        let present = record.auditor_epoch();
        let is_on_its_way = || {
            let now = frame_system::Pallet::<T>::block_number();
            epoch.checked_add(1) == Some(present)
                && AuditorKeyChanges::<T>::get(study)
                    .is_some_and(|changed| now.saturating_sub(changed) <= T::AuditorKeyGrace::get())
        };
        let is_taken = epoch == present || is_on_its_way();
        record.auditor_key_of(epoch).filter(|_| is_taken)
    }

    /// Creates a study of the genesis with its servers.
    pub(crate) fn create_genesis_study(study: &GenesisStudy<T::AccountId>) -> DispatchResult {
        let title = study.title.as_bytes().to_vec();
        let id = Self::do_create_study(
            study.sponsor.clone(),
            study.policy,
            study.auditor_key.0,
            title.try_into().map_err(|_| "the title is too long")?,
        )?;
        for account in &study.authentication_servers {
            Self::do_add_authentication_server(id, account.clone())?;
        }
        for account in &study.relays {
            Self::do_add_relay(id, account.clone())?;
        }
        Ok(())
    }
}

/// Steps that several calls share.
impl<T: Config> Pallet<T> {
    /// Passes if `origin` is signed by the sponsor of `study`.
    pub(crate) fn ensure_sponsor(origin: OriginFor<T>, study: StudyId) -> DispatchResult {
        let who = ensure_signed(origin)?;
        let study = Studies::<T>::get(study).ok_or(Error::<T>::UnknownStudy)?;
        ensure!(study.sponsor == who, Error::<T>::NotTheSponsor);
        Ok(())
    }

    /// Passes if phones can escrow their secrets to this auditor key.
    fn ensure_can_be_sealed_to(auditor_key: &[u8; 32]) -> DispatchResult {
        let weak = hashchain::is_weak_sealing_key(auditor_key);
        ensure!(!weak, Error::<T>::WeakAuditorKey);
        Ok(())
    }

    fn ensure_open(study: StudyId) -> DispatchResult {
        let study = Studies::<T>::get(study).ok_or(Error::<T>::UnknownStudy)?;
        ensure!(study.status == StudyStatus::Open, Error::<T>::StudyIsClosed);
        Ok(())
    }

    fn change_status(study: StudyId, status: StudyStatus, already: Error<T>) -> DispatchResult {
        Studies::<T>::try_mutate(study, |record| {
            let record = record.as_mut().ok_or(Error::<T>::UnknownStudy)?;
            ensure!(record.status != status, already);
            record.status = status;
            Ok(())
        })
    }

    /// Counts this role once more for `who` and admits it to the chain.
    pub(crate) fn grant(who: &T::AccountId, role: Role) {
        RoleCount::<T>::mutate(who, |counts| {
            counts.get_or_insert_default().of(role).saturating_inc();
        });
        Self::admit(who);
    }

    /// Counts this role once less for `who`. Its place on the chain stays; see [`Pallet::admit`].
    pub(crate) fn revoke(who: &T::AccountId, role: Role) {
        RoleCount::<T>::mutate_exists(who, |counts| {
            if let Some(held) = counts {
                held.of(role).saturating_dec();
            }
            *counts = counts.filter(|held| *held != RoleCounts::default());
        });
    }
}

/// What must hold between any two blocks.
impl<T: Config> Pallet<T> {
    /// Checks the pallet's invariants:
    ///
    /// 1. Studies are numbered densely from 0 to `NextStudyId`, and their titles can be read.
    /// 2. Servers belong to existing studies, and `ServerCounts` counts them, within `MaxServers`.
    /// 3. `RoleCount` counts all roles of an account, and no account without role is in it.
    /// 4. Every account with a role has a place on the chain.
    /// 5. An account that was given up holds no role, and its successor is on record.
    /// 6. A study's auditor keys are good and differ.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let mut roles = BTreeMap::<T::AccountId, RoleCounts>::new();
        let next = NextStudyId::<T>::get();

        let mut studies = 0u32;
        for (id, study) in Studies::<T>::iter() {
            ensure!(id < next, "a study has a number that was not given yet");
            ensure!(!study.title.is_empty(), "a study has no title");
            let keys = study.former_auditor_keys.iter();
            let keys: Vec<_> = keys.chain([&study.auditor_key]).collect();
            ensure!(
                !keys.iter().any(|key| hashchain::is_weak_sealing_key(key)),
                "a study has a weak auditor key"
            );
            ensure!(
                keys.iter().collect::<BTreeSet<_>>().len() == keys.len(),
                "an auditor key has two epochs"
            );
            ensure!(
                AuditorKeyChanges::<T>::contains_key(id) == (study.auditor_epoch() > 0),
                "nothing says when the auditor key was changed"
            );
            studies.saturating_inc();
            roles
                .entry(study.sponsor)
                .or_default()
                .sponsor
                .saturating_inc();
        }
        ensure!(studies == next, "a study is missing");

        let mut counts = BTreeMap::<StudyId, crate::ServerCount>::new();
        for (study, account, ()) in AuthenticationServers::<T>::iter() {
            let count = counts.entry(study).or_default();
            count.authentication_servers.saturating_inc();
            roles
                .entry(account)
                .or_default()
                .authentication_server
                .saturating_inc();
        }
        for (study, account, ()) in Relays::<T>::iter() {
            counts.entry(study).or_default().relays.saturating_inc();
            roles.entry(account).or_default().relay.saturating_inc();
        }
        for (study, count) in &counts {
            ensure!(*study < next, "a server belongs to no study");
            ensure!(
                count.authentication_servers <= T::MaxServers::get()
                    && count.relays <= T::MaxServers::get(),
                "a study has too many servers"
            );
        }
        for (study, count) in ServerCounts::<T>::iter() {
            ensure!(
                counts.remove(&study).unwrap_or_default() == count,
                "servers are miscounted"
            );
        }
        ensure!(counts.is_empty(), "servers are not counted");

        for (account, count) in RoleCount::<T>::iter() {
            ensure!(
                roles.remove(&account) == Some(count),
                "the roles of an account are miscounted"
            );
            ensure!(
                frame_system::Pallet::<T>::providers(&account) > 0,
                "an account with a role has no place on the chain"
            );
        }
        ensure!(roles.is_empty(), "an account holds an uncounted role");
        Self::check_rotations()
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Accounts of a study that were given up for others, by who holds them.

use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, pallet_prelude::*};
use scale_info::TypeInfo;
use sp_runtime::TryRuntimeError;

use crate::{
    types::Role, AuthenticationServers, Config, Error, Event, Pallet, Relays, Rotations, Studies,
    StudyId, Successors,
};

/// Most accounts that one answer of [`Pallet::rotations`] looks at.
pub const ROTATIONS_READ: usize = 1_024;

/// Accounts that were given up, each with the one that took its place, and the account after which the next part begins; none if this
/// was the last.
pub type RotationsPart<T> = (
    Vec<(
        <T as frame_system::Config>::AccountId,
        <T as frame_system::Config>::AccountId,
    )>,
    Option<<T as frame_system::Config>::AccountId>,
);

/// What became of an account that changed in a study, or came in the place of one that did.
#[derive(
    Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Rotation<AccountId> {
    /// The account that took its place; none if it still has its place.
    pub successor: Option<AccountId>,
    /// How many accounts its holder had before it.
    pub generation: u32,
}

/// Told when an account gives its roles in a study to another, so that what is counted of the one goes on with the other.
pub trait OnRotate<AccountId> {
    /// `successor` takes the place of `former` in `study`.
    fn on_rotate(study: StudyId, former: &AccountId, successor: &AccountId);
}

/// For mocks: nothing is counted.
impl<AccountId> OnRotate<AccountId> for () {
    fn on_rotate(_: StudyId, _: &AccountId, _: &AccountId) {}
}

impl<T: Config> Pallet<T> {
    /// Moves all roles of `who` in `study` to `successor`.
    pub(crate) fn do_rotate(
        study: StudyId,
        who: T::AccountId,
        successor: T::AccountId,
    ) -> DispatchResult {
        let mut record = Studies::<T>::get(study).ok_or(Error::<T>::UnknownStudy)?;
        let roles = Self::roles_in(study, &record.sponsor, &who);
        ensure!(!roles.is_empty(), Error::<T>::NoRoleInStudy);
        // What `who` did is told of the successor from now on. So it has to be a key that means nobody else: whoever has or had
        // a role anywhere, and every enrolled phone, has a place on the chain. Who took its place before is nobody else.
        ensure!(
            frame_system::Pallet::<T>::providers(&successor) == 0
                || Self::is_successor(&who, &successor),
            Error::<T>::SuccessorIsNotNew
        );
        // Nor has it done anything in this study as somebody else.
        ensure!(
            Self::roles_in(study, &record.sponsor, &successor).is_empty()
                && !Rotations::<T>::contains_key(study, &successor),
            Error::<T>::SuccessorIsNotNew
        );
        let generation = Rotations::<T>::get(study, &who).map_or(0, |before| before.generation);
        ensure!(
            generation < T::MaxRotations::get(),
            Error::<T>::TooManyRotations
        );

        Self::count_admission(study);
        for role in roles {
            match role {
                Role::Sponsor => {
                    record.sponsor = successor.clone();
                    Studies::<T>::insert(study, &record);
                }
                Role::AuthenticationServer => {
                    AuthenticationServers::<T>::swap(study, &who, study, &successor);
                }
                Role::Relay => Relays::<T>::swap(study, &who, study, &successor),
            }
            Self::revoke(&who, role);
            Self::grant(&successor, role);
        }
        T::OnRotate::on_rotate(study, &who, &successor);
        Self::note_successor(&who, &successor);
        Rotations::<T>::insert(
            study,
            &who,
            Rotation {
                successor: Some(successor.clone()),
                generation,
            },
        );
        Rotations::<T>::insert(
            study,
            &successor,
            Rotation {
                successor: None,
                generation: generation.saturating_add(1),
            },
        );
        Self::deposit_event(Event::AccountRotated {
            study,
            former: who,
            account: successor,
        });
        Ok(())
    }

    /// Whether `account` is the one that took the place of `former` first, in whatever study or other office. One storage read.
    pub fn is_successor(former: &T::AccountId, account: &T::AccountId) -> bool {
        Successors::<T>::get(former).as_ref() == Some(account)
    }

    /// Notes that `successor` takes the place of `former`, unless another one took it before.
    pub fn note_successor(former: &T::AccountId, successor: &T::AccountId) {
        if !Successors::<T>::contains_key(former) {
            Successors::<T>::insert(former, successor);
        }
    }

    /// The account that is now in the place of `account` in `study`: itself, unless it was given up. At most
    /// `MaxRotations` reads more than one.
    pub fn present_account(study: StudyId, account: T::AccountId) -> T::AccountId {
        let mut present = account;
        while let Some(next) =
            Rotations::<T>::get(study, &present).and_then(|rotation| rotation.successor)
        {
            present = next;
        }
        present
    }

    /// The accounts of `study` that were given up, and those that took their place then, in no particular order, in parts: from the
    /// first on, or after the account that the part before named to go on with. At most [`ROTATIONS_READ`] accounts and one more are
    /// read, those that took another's place among them.
    pub fn rotations(study: StudyId, after: Option<&T::AccountId>) -> RotationsPart<T> {
        let mut accounts = match after {
            Some(account) => {
                let from = Rotations::<T>::hashed_key_for(study, account);
                Rotations::<T>::iter_prefix_from(study, from)
            }
            None => Rotations::<T>::iter_prefix(study),
        };
        let (mut rotations, mut last) = (Vec::new(), None);
        for (account, rotation) in accounts.by_ref().take(ROTATIONS_READ) {
            if let Some(successor) = rotation.successor {
                rotations.push((account.clone(), successor));
            }
            last = Some(account);
        }
        (rotations, accounts.next().and(last))
    }

    /// Passes if `account` may get a role in `study`: it was not given up there, so that what it did before is not mistaken
    /// for what it does now.
    pub(crate) fn ensure_not_given_up(study: StudyId, account: &T::AccountId) -> DispatchResult {
        let given_up = Rotations::<T>::get(study, account)
            .is_some_and(|rotation| rotation.successor.is_some());
        ensure!(!given_up, Error::<T>::AccountWasGivenUp);
        Ok(())
    }

    /// Whether `who` has any role in `study`.
    pub(crate) fn has_role_in(study: StudyId, who: &T::AccountId) -> bool {
        Self::is_relay(study, who)
            || Self::is_authentication_server(study, who)
            || Self::is_sponsor(study, who)
    }

    fn roles_in(study: StudyId, sponsor: &T::AccountId, who: &T::AccountId) -> Vec<Role> {
        let held = [
            (Role::Sponsor, sponsor == who),
            (
                Role::AuthenticationServer,
                Self::is_authentication_server(study, who),
            ),
            (Role::Relay, Self::is_relay(study, who)),
        ];
        let held = held.into_iter().filter(|(_, holds)| *holds);
        held.map(|(role, _)| role).collect()
    }

    /// Checks that who was given up has no role, that accounts follow each other one by one, and that the chain knows who follows.
    pub(crate) fn check_rotations() -> Result<(), TryRuntimeError> {
        for (study, account, rotation) in Rotations::<T>::iter() {
            let record = Studies::<T>::get(study).ok_or("a rotation belongs to no study")?;
            ensure!(
                rotation.generation <= T::MaxRotations::get(),
                "an account was changed too often"
            );
            let Some(successor) = rotation.successor else {
                continue;
            };
            ensure!(
                Self::roles_in(study, &record.sponsor, &account).is_empty(),
                "an account that was given up holds a role"
            );
            let next = Rotations::<T>::get(study, &successor);
            ensure!(
                next.is_some_and(|next| next.generation == rotation.generation.saturating_add(1)),
                "accounts do not follow each other"
            );
            ensure!(
                Successors::<T>::contains_key(&account),
                "an account that was given up has no successor"
            );
        }
        for (former, successor) in Successors::<T>::iter() {
            ensure!(
                former != successor && frame_system::Pallet::<T>::providers(&successor) > 0,
                "the successor of an account has no place on the chain"
            );
        }
        Ok(())
    }
}

// SPDX-License-Identifier: Apache-2.0

//! What an account is.

use core::ops::BitOr;

use crate::{AccountId, Consortium, Studies};

/// The roles of an account, beside that of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Roles(u8);

impl Roles {
    pub(super) const NONE: Self = Self(0);
    /// A member organisation of the consortium.
    pub(super) const MEMBER: Self = Self(1);
    /// A validator that the consortium has appointed.
    pub(super) const VALIDATOR: Self = Self(2);
    /// The sponsor of a study.
    pub(super) const SPONSOR: Self = Self(4);
    /// An authentication server of a study.
    pub(super) const SERVER: Self = Self(8);
    /// A relay of a study.
    pub(super) const RELAY: Self = Self(16);

    /// Each role, with its name in documents.
    #[cfg(test)]
    pub(super) const EACH: [(Self, &'static str); 5] = [
        (Self::MEMBER, "member"),
        (Self::VALIDATOR, "validator"),
        (Self::SPONSOR, "sponsor"),
        (Self::SERVER, "authentication server"),
        (Self::RELAY, "relay"),
    ];

    /// The roles that an account has at present.
    pub(super) fn of(who: &AccountId) -> Self {
        let studies = Studies::roles(who);
        [
            (Consortium::is_member(who), Self::MEMBER),
            (Consortium::is_validator(who), Self::VALIDATOR),
            (studies.sponsor > 0, Self::SPONSOR),
            (studies.authentication_server > 0, Self::SERVER),
            (studies.relay > 0, Self::RELAY),
        ]
        .into_iter()
        .filter_map(|(held, role)| held.then_some(role))
        .fold(Self::NONE, BitOr::bitor)
    }

    /// One of two.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of these is among them.
    pub(super) fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

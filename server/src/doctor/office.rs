// SPDX-License-Identifier: Apache-2.0

//! Whether a server's account has the office that it needs.

use hashchain::StudyId;
use mhealth_chain_client::{AccountId32, Roster};

use super::Condition;

/// What a server's account has to be in its studies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Office {
    /// It submits runs.
    Relay,
    /// It enrols devices.
    AuthenticationServer,
}

impl Office {
    /// As people say it, and the sponsor's call that gives it.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Relay => ("a relay", "studies.addRelay"),
            Self::AuthenticationServer => (
                "an authentication server",
                "studies.addAuthenticationServer",
            ),
        }
    }

    fn holders(self, roster: &Roster) -> &[AccountId32] {
        match self {
            Self::Relay => &roster.relays,
            Self::AuthenticationServer => &roster.authentication_servers,
        }
    }

    /// Whether the account has the office in a study with these servers.
    pub(super) fn in_study(
        self,
        account: &AccountId32,
        study: StudyId,
        roster: &Roster,
    ) -> (Condition, String) {
        let (name, call) = self.named();
        if self.holders(roster).contains(account) {
            let detail = format!("{account} is {name} of study {study}.");
            return (Condition::Good, detail);
        }
        let other = match self {
            Self::Relay => Self::AuthenticationServer,
            Self::AuthenticationServer => Self::Relay,
        };
        let instead = match other.holders(roster).contains(account) {
            true => format!(", but {} of it", other.named().0),
            false => String::new(),
        };
        let detail = format!(
            "{account} is not {name} of study {study}{instead}: the study's sponsor has to send {call} with this account."
        );
        (Condition::Bad, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_the_right_one_in_the_right_study_and_nothing_else() {
        let [relay, server, stranger] = [1, 2, 3].map(|byte| AccountId32([byte; 32]));
        let roster = Roster {
            authentication_servers: vec![server],
            relays: vec![relay],
        };
        for (account, office, condition, says) in [
            (relay, Office::Relay, Condition::Good, "is a relay"),
            (
                server,
                Office::Relay,
                Condition::Bad,
                "but an authentication server of it",
            ),
            (stranger, Office::Relay, Condition::Bad, "studies.addRelay"),
            (
                server,
                Office::AuthenticationServer,
                Condition::Good,
                "is an authentication",
            ),
            (
                relay,
                Office::AuthenticationServer,
                Condition::Bad,
                "but a relay of it",
            ),
            (
                stranger,
                Office::AuthenticationServer,
                Condition::Bad,
                "studies.addAuthenticationServer",
            ),
        ] {
            let (found, detail) = office.in_study(&account, StudyId(7), &roster);
            assert_eq!(found, condition, "{detail}");
            assert!(
                detail.contains(says) && detail.contains("study 7"),
                "{detail}"
            );
        }
    }
}

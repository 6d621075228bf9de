// SPDX-License-Identifier: Apache-2.0

//! What an entry file is to hold.

use serde::Serialize;

/// Runs of 1 in a batch. A transaction declares the worst that its runs can cost, and what it declares has to fit into what is
/// left of a block, so many runs leave more of it empty.
pub(crate) const SINGLE_RUNS: usize = 512;

/// Which device writes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spread {
    /// Every device is as likely as any other, and none writes twice in a batch.
    Uniform,
    /// Devices write in the order of their numbers, so that neighbours, whose heads share a storage value, do it together.
    Neighbours,
    /// The device of rank `r` writes in proportion to `1 / r`.
    Zipf,
}

/// What to register.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Plan {
    /// Entries of a run.
    pub(crate) run: usize,
    /// Whether every run carries its device's signature.
    pub(crate) signed: bool,
    /// How many entries to make, those with a wrong link included.
    pub(crate) entries: usize,
    /// Entries of a batch.
    pub(crate) batch: usize,
    /// Which devices write.
    pub(crate) spread: Spread,
    /// How many runs of a hundred name a wrong previous link.
    pub(crate) wrong_percent: f64,
    /// How many runs of a hundred go on from the right link, and carry a signature of their device over another one.
    pub(crate) bad_percent: f64,
    /// Whether those come in turn, the last of each so many runs of a batch, and not by chance.
    pub(crate) bad_in_turn: bool,
}

/// What is the matter with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not name the link that its device wrote last.
    WrongLink,
    /// It is not signed over its own last link.
    BadSignature,
}

impl Plan {
    /// What the run is called in tables.
    pub(crate) fn name(&self) -> String {
        format!("{}, runs of {}", self.policy(), self.run)
    }

    /// The same, with who writes, and what is wrong.
    pub(crate) fn title(&self) -> String {
        let mut title = format!("{}, {:?}", self.name(), self.spread);
        for (percent, what) in [
            (self.wrong_percent, "with a wrong previous link"),
            (self.bad_percent, "with a bad signature"),
        ] {
            if percent > 0.0 {
                title += &format!(", {percent} % {what}");
            }
        }
        if self.bad_in_turn {
            title += &format!(", one in each {}", self.turn());
        }
        title
    }

    /// What is the matter with the run at this place of its batch, by a number below 100 that was drawn for it.
    pub(crate) fn fault(&self, place: usize, drawn: f64) -> Option<Fault> {
        let is_bad = match self.bad_in_turn {
            true => (place + 1).is_multiple_of(self.turn()),
            false => drawn < self.wrong_percent + self.bad_percent,
        };
        if drawn < self.wrong_percent {
            Some(Fault::WrongLink)
        } else {
            is_bad.then_some(Fault::BadSignature)
        }
    }

    /// Runs of which one has a bad signature.
    fn turn(&self) -> usize {
        (100.0 / self.bad_percent).round() as usize
    }

    /// Whether some runs are to be refused.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.wrong_percent + self.bad_percent > 0.0
    }

    /// Policy of the study in which it is.
    pub(crate) fn policy(&self) -> &'static str {
        policy(self.signed)
    }
}

/// Policy of a study that asks for signatures, or of one that does not.
pub(crate) fn policy(signed: bool) -> &'static str {
    match signed {
        true => "DeviceSigned",
        false => "HashchainOnly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        run: 1,
        signed: true,
        entries: 1_024,
        batch: SINGLE_RUNS,
        spread: Spread::Uniform,
        wrong_percent: 0.0,
        bad_percent: 0.0,
        bad_in_turn: false,
    };

    #[test]
    fn faults_come_by_chance_or_in_turn() {
        let by_chance = Plan {
            wrong_percent: 1.0,
            bad_percent: 2.0,
            ..PLAN
        };
        for (drawn, fault) in [
            (0.5, Some(Fault::WrongLink)),
            (2.5, Some(Fault::BadSignature)),
            (3.5, None),
        ] {
            assert_eq!(by_chance.fault(15, drawn), fault);
        }
        let in_turn = Plan {
            bad_percent: 6.25,
            bad_in_turn: true,
            ..PLAN
        };
        for place in 0..SINGLE_RUNS {
            let fault = (place % 16 == 15).then_some(Fault::BadSignature);
            assert_eq!(in_turn.fault(place, 0.0), fault, "{place}");
        }
    }

    #[test]
    fn a_title_says_what_is_wrong() {
        assert_eq!(PLAN.title(), "DeviceSigned, runs of 1, Uniform");
        let spoiled = Plan {
            bad_percent: 6.25,
            bad_in_turn: true,
            ..PLAN
        };
        assert!(spoiled.is_spoiled() && !PLAN.is_spoiled());
        let title = spoiled.title();
        assert!(
            title.ends_with("6.25 % with a bad signature, one in each 16"),
            "{title}"
        );
    }
}

// SPDX-License-Identifier: Apache-2.0

//! How a new run stands to what the relay and the chain have of its device.

use mhealth_api::{Hash, Head};

use super::Sight;
use crate::run::CheckedRun;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// It goes on from the head, perhaps with an overlap.
    Follows,
    /// All of it is in the history already, in another cut.
    Covered,
    /// It contradicts the history.
    Rival,
    /// Entries between the head and the run are missing.
    Gap(Head),
    /// The chain's present head is needed to tell.
    NeedHead,
    /// The link at this sequence is needed to tell.
    NeedLink(u64),
}

/// Judges a run by the relay's own head of the device, what the chain was seen to have, and a way to look up links of
/// runs that are stored here.
///
/// The chain's word is asked for again before a run is called a gap or a rival, because another relay may have brought
/// entries that this one has not seen.
pub(super) fn judge(
    run: &CheckedRun,
    own: Option<Head>,
    sight: &Sight,
    stored_link: impl FnOnce(u64) -> Option<Hash>,
) -> Position {
    let head = match (own, sight.head) {
        (None, None) => return Position::NeedHead,
        (Some(own), Some(chain)) if chain.length < own.length => own,
        (_, Some(chain)) => chain,
        (Some(own), None) => own,
    };
    let before = run.sequence - 1;
    if before > head.length {
        return match sight.head {
            None => Position::NeedHead,
            Some(_) => Position::Gap(head),
        };
    }
    let common = run.last().min(head.length);
    let known = if common == head.length {
        Some(head.hash)
    } else {
        match stored_link(common).or_else(|| sight.link_at(common)) {
            Some(link) => Some(link),
            None if sight.looked_at(common) => None,
            None => return Position::NeedLink(common),
        }
    };
    // What neither relay nor chain can look up any more, only the chain can judge.
    let agrees = known.is_none_or(|known| known == run.link_at(common));
    match (agrees, sight.head) {
        (true, _) if run.last() > head.length => Position::Follows,
        (true, _) => Position::Covered,
        (false, None) => Position::NeedHead,
        (false, Some(_)) => Position::Rival,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;

    fn seeing(head: Head) -> Sight {
        Sight {
            head: Some(head),
            link: None,
        }
    }

    fn never(_: u64) -> Option<Hash> {
        panic!("no link needs to be looked up")
    }

    #[test]
    fn a_run_after_the_head_follows_wherever_the_head_is_known_from() {
        let mut device = TestDevice::new(1);
        let genesis = device.genesis();
        let first = device.checked(3);
        assert_eq!(
            judge(&first, None, &Sight::default(), never),
            Position::NeedHead
        );
        assert_eq!(
            judge(&first, None, &seeing(genesis), never),
            Position::Follows
        );
        let head = device.head();
        let second = device.checked(2);
        assert_eq!(
            judge(&second, Some(head), &Sight::default(), never),
            Position::Follows
        );
        // Another relay was faster than this one.
        assert_eq!(
            judge(&second, Some(genesis), &Sight::default(), never),
            Position::NeedHead
        );
        assert_eq!(
            judge(&second, Some(genesis), &seeing(head), never),
            Position::Follows
        );
    }

    #[test]
    fn a_gap_is_told_only_after_the_chain_was_asked() {
        let mut device = TestDevice::new(1);
        let genesis = device.genesis();
        device.run(1);
        let second = device.checked(1);
        assert_eq!(
            judge(&second, Some(genesis), &Sight::default(), never),
            Position::NeedHead
        );
        assert_eq!(
            judge(&second, Some(genesis), &seeing(genesis), never),
            Position::Gap(genesis)
        );
    }

    #[test]
    fn an_overlap_follows_and_an_older_cut_is_covered() {
        let mut device = TestDevice::new(1);
        let run = device.checked(4);
        let at_two = Head {
            length: 2,
            hash: run.link_at(2),
        };
        let at_four = Head {
            length: 4,
            hash: run.link_at(4),
        };
        assert_eq!(
            judge(&run, Some(at_two), &Sight::default(), never),
            Position::Follows
        );
        assert_eq!(
            judge(&run, Some(at_four), &Sight::default(), never),
            Position::Covered
        );
        device.run(1);
        let at_five = device.head();
        let none = |_| None;
        assert_eq!(
            judge(&run, Some(at_five), &Sight::default(), none),
            Position::NeedLink(4)
        );
        let stored = |sequence| Some(run.link_at(sequence));
        assert_eq!(
            judge(&run, Some(at_five), &Sight::default(), stored),
            Position::Covered
        );
        let seen = Sight {
            head: None,
            link: Some((4, Some(run.link_at(4)))),
        };
        assert_eq!(judge(&run, Some(at_five), &seen, none), Position::Covered);
        let gone = Sight {
            head: None,
            link: Some((4, None)),
        };
        assert_eq!(judge(&run, Some(at_five), &gone, none), Position::Covered);
    }

    #[test]
    fn a_rival_is_told_apart_at_the_last_common_link() {
        let mut device = TestDevice::new(1);
        device.run(3);
        let head = device.head();
        let rival = TestDevice::with_history(1, 9).checked(3);
        assert_eq!(
            judge(&rival, Some(head), &Sight::default(), never),
            Position::NeedHead
        );
        assert_eq!(
            judge(&rival, Some(head), &seeing(device.genesis()), never),
            Position::Rival
        );
        let short = TestDevice::with_history(1, 9).checked(1);
        let other = |_| Some(Hash([1; 32]));
        assert_eq!(
            judge(&short, Some(head), &seeing(head), other),
            Position::Rival
        );
    }
}

// SPDX-License-Identifier: Apache-2.0

//! How a new run stands to what the relay and the chain have of its device.

use hashchain::LinkHash;
use mhealth_api::Head;

use crate::run::CheckedRun;

/// What the chain has answered about a device so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainAnswers {
    /// Its finalised head.
    pub head: Option<Head>,
    /// The link registered at a sequence; none there if the chain does not have it in state.
    pub link: Option<(u64, Option<LinkHash>)>,
}

/// What the chain has to be asked before a run can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which is the device's finalised head?
    Head,
    /// Which link is registered at this sequence?
    Link(u64),
}

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
}

/// Judges a run by the relay's own head of the device, what the chain has answered, and a way to look up links of runs
/// that are stored here.
///
/// The chain's word is asked for again before a run is called a gap or a rival, because another relay may have brought
/// entries that this one has not seen.
pub(super) fn judge(
    run: &CheckedRun,
    own: Option<Head>,
    answers: &ChainAnswers,
    stored_link: impl FnOnce(u64) -> Option<LinkHash>,
) -> Result<Position, Question> {
    let head = latest(own, answers.head).ok_or(Question::Head)?;
    if run.run.first_sequence - 1 > head.length {
        answers.head.ok_or(Question::Head)?;
        return Ok(Position::Gap(head));
    }
    let known = match link_to_compare(run, own, answers) {
        None => Some(head.hash),
        Some(sequence) => match (stored_link(sequence), answers.link) {
            (Some(link), _) => Some(link),
            (None, Some((asked, link))) if asked == sequence => link,
            _ => return Err(Question::Link(sequence)),
        },
    };
    let common = run.last().min(head.length);
    // What neither relay nor chain can look up any more, only the chain can judge.
    if known.is_some_and(|known| known != run.link_at(common)) {
        answers.head.ok_or(Question::Head)?;
        return Ok(Position::Rival);
    }
    Ok(if run.last() > head.length {
        Position::Follows
    } else {
        Position::Covered
    })
}

/// The sequence whose link has to be looked up to compare a run with the history: its last, if the history goes on after
/// that. None if the head alone decides.
pub(super) fn link_to_compare(
    run: &CheckedRun,
    own: Option<Head>,
    answers: &ChainAnswers,
) -> Option<u64> {
    let head = latest(own, answers.head)?;
    (run.last() < head.length).then(|| run.last())
}

/// The longer of the two heads, and the chain's if they are equally long.
fn latest(own: Option<Head>, chain: Option<Head>) -> Option<Head> {
    match (own, chain) {
        (Some(own), Some(chain)) if chain.length < own.length => Some(own),
        (own, chain) => chain.or(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;

    fn seeing(head: Head) -> ChainAnswers {
        ChainAnswers {
            head: Some(head),
            link: None,
        }
    }

    fn never(_: u64) -> Option<LinkHash> {
        panic!("no link needs to be looked up")
    }

    #[test]
    fn a_run_after_the_head_follows_wherever_the_head_is_known_from() {
        let mut device = TestDevice::new(1);
        let genesis = device.genesis();
        let first = device.checked(3);
        assert_eq!(
            judge(&first, None, &ChainAnswers::default(), never),
            Err(Question::Head)
        );
        assert_eq!(
            judge(&first, None, &seeing(genesis), never),
            Ok(Position::Follows)
        );
        let head = device.head();
        let second = device.checked(2);
        assert_eq!(
            judge(&second, Some(head), &ChainAnswers::default(), never),
            Ok(Position::Follows)
        );
        // Another relay was faster than this one.
        assert_eq!(
            judge(&second, Some(genesis), &ChainAnswers::default(), never),
            Err(Question::Head)
        );
        assert_eq!(
            judge(&second, Some(genesis), &seeing(head), never),
            Ok(Position::Follows)
        );
    }

    #[test]
    fn a_gap_is_told_only_after_the_chain_was_asked() {
        let mut device = TestDevice::new(1);
        let genesis = device.genesis();
        device.run(1);
        let second = device.checked(1);
        assert_eq!(
            judge(&second, Some(genesis), &ChainAnswers::default(), never),
            Err(Question::Head)
        );
        assert_eq!(
            judge(&second, Some(genesis), &seeing(genesis), never),
            Ok(Position::Gap(genesis))
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
            judge(&run, Some(at_two), &ChainAnswers::default(), never),
            Ok(Position::Follows)
        );
        assert_eq!(
            judge(&run, Some(at_four), &ChainAnswers::default(), never),
            Ok(Position::Covered)
        );
        device.run(1);
        let at_five = device.head();
        let none = |_| None;
        assert_eq!(
            judge(&run, Some(at_five), &ChainAnswers::default(), none),
            Err(Question::Link(4))
        );
        let stored = |sequence| Some(run.link_at(sequence));
        assert_eq!(
            judge(&run, Some(at_five), &ChainAnswers::default(), stored),
            Ok(Position::Covered)
        );
        let seen = ChainAnswers {
            head: None,
            link: Some((4, Some(run.link_at(4)))),
        };
        assert_eq!(
            judge(&run, Some(at_five), &seen, none),
            Ok(Position::Covered)
        );
        let gone = ChainAnswers {
            head: None,
            link: Some((4, None)),
        };
        assert_eq!(
            judge(&run, Some(at_five), &gone, none),
            Ok(Position::Covered)
        );
    }

    #[test]
    fn a_rival_is_told_apart_at_the_last_common_link() {
        let mut device = TestDevice::new(1);
        device.run(3);
        let head = device.head();
        let rival = TestDevice::with_history(1, 9).checked(3);
        assert_eq!(
            judge(&rival, Some(head), &ChainAnswers::default(), never),
            Err(Question::Head)
        );
        assert_eq!(
            judge(&rival, Some(head), &seeing(device.genesis()), never),
            Ok(Position::Rival)
        );
        let short = TestDevice::with_history(1, 9).checked(1);
        let other = |_| Some(LinkHash([1; 32]));
        assert_eq!(
            judge(&short, Some(head), &seeing(head), other),
            Ok(Position::Rival)
        );
    }
}

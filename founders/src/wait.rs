// SPDX-License-Identifier: Apache-2.0

//! `mhealth wait`: until blocks are final.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::failure::Failure;
use crate::report::Report;
use crate::session::Global;

/// Between two looks at the chain.
const PAUSE: Duration = Duration::from_millis(500);

/// Which block is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The one of this number.
    Block(u64),
    /// So many after the last final one.
    More(u64),
}

impl std::str::FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (goal, number): (fn(u64) -> Self, &str) = match text.strip_prefix('+') {
            Some(more) => (Goal::More, more),
            None => (Goal::Block, text),
        };
        // A number may begin with one more plus where it is parsed.
        let digits = number.chars().all(|sign| sign.is_ascii_digit());
        let number = number.parse::<u64>().ok().filter(|_| digits);
        number
            .map(goal)
            .ok_or_else(|| "neither the number of a block nor + and how many more".to_owned())
    }
}

/// Waits until the node has this final block, for so many seconds at most, those included in which it starts.
pub(crate) async fn until_final(
    global: &Global,
    goal: Goal,
    within: Option<u64>,
) -> Result<Report, Failure> {
    let Some(seconds) = within else {
        return reached(global, goal).await;
    };
    let patient = global.patient(seconds);
    let waited = timeout(Duration::from_secs(seconds), reached(&patient, goal)).await;
    waited.unwrap_or_else(|_| {
        let message = format!(
            "That block was not final within {seconds} s. mhealth status shows how far the node is."
        );
        Err(Failure::late("not_final_in_time", message))
    })
}

async fn reached(global: &Global, goal: Goal) -> Result<Report, Failure> {
    let chain = global.chain().await?;
    let mut last = chain.finalised().await?.number;
    let goal = match goal {
        Goal::Block(number) => number,
        Goal::More(blocks) => last.saturating_add(blocks),
    };
    while last < goal {
        sleep(PAUSE).await;
        last = chain.finalised().await?.number;
    }
    Ok(Report::default()
        .line(last.to_string())
        .with("final_block", last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_a_block_or_so_many_more() {
        assert_eq!("7".parse(), Ok(Goal::Block(7)));
        assert_eq!("+7".parse(), Ok(Goal::More(7)));
        for bad in ["", "+", "-1", "++7", "seven"] {
            assert!(bad.parse::<Goal>().is_err(), "{bad}");
        }
    }
}

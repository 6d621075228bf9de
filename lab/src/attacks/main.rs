// SPDX-License-Identifier: Apache-2.0

//! The attack laboratory: the paper's attacks against the real servers and chain, judged by the real auditor.

// What it finds out is for the person in front of it.
#![allow(clippy::print_stdout)]

mod attack;
mod bare;
mod beyond;
mod judge;
mod keys;
mod markdown;
mod parties;
mod play;
mod relay;
mod secret;
mod server_key;
mod stage;
mod table;
mod truth;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use futures::future::try_join_all;

use attack::{Attack, Column};
use judge::{Fate, Named};
use mhealth_testing::{output, process};
use play::Played;
use table::Measured;

/// Plays the attacks of the paper's Figures 4, 5 and 6 in each topology and policy, and what else each party can do with all of its
/// rights where phones chain, against real servers and a real chain, with honest phones beside them. What came of each is judged by
/// what was done, not by what the auditor says of itself.
///
/// Prevented: it had no effect: no illegal entry stands on the chain, nothing is lost, no phone stands still. Detected: it had, and
/// the auditor's verdict on it is not valid. Unseen: it had, and nobody says so; where phones do not chain, that means that it looks
/// like every honest entry. Misattributed: the auditor names somebody, and not who did it.
///
/// The last line reads `attempts= prevented= detected= unseen= misattributed= false_alarms= silenced_unseen= unmet=`, all but the last
/// two over the hashchain's two policies; the phone that was silenced is counted apart, because no cryptography sees it. Unmet: it did
/// not end as the row says that it must. The exit status is 0 when nothing was unseen, misattributed, unmet, or a false alarm.
#[derive(Parser)]
#[command(name = "mhealth-attacks", version)]
struct Options {
    /// The same seed makes the same attempts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Attempts of each attack against each topology and policy.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    attempts: u32,
    /// Only against this topology and policy; may be given several times.
    #[arg(long, value_name = "NAME")]
    column: Vec<Column>,
    /// Only this attack; may be given several times.
    #[arg(long, value_name = "NAME")]
    attack: Vec<Attack>,
    /// Only this act: 1, the paper's attacks; 2, each party with all of its rights; 3, those that lean on servers and chain, and
    /// want the machine for themselves. May be given several times; without it acts 1 and 2, or those of the attacks that are named.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    act: Vec<u8>,
    /// Folder for chains, databases, audits, `attacks.json`, and the tables as `attacks.md`. What an earlier laboratory left there is replaced.
    #[arg(long, value_name = "FOLDER", default_value = "output/attacks")]
    output: PathBuf,
}

/// Written into the folder, so that only a folder of this program's own is ever replaced.
const MARK: &str = "made-by-attacks";
/// False alarms, and attempts of an attack that did not end as they must, that are printed.
const SHOWN: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mhealth-attacks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<bool> {
    process::end_with_children()?;
    let output = output::prepare(&options.output, MARK, "the laboratory's")?;
    let mut measured = Measured {
        seed: options.seed,
        attempts: options.attempts,
        played: Vec::new(),
    };
    let wanted = |column: &Column| options.column.is_empty() || options.column.contains(column);
    let is_played = |attack: &Attack| {
        let is_of_act = match options.act.is_empty() {
            true => !options.attack.is_empty() || !attack.leans(),
            false => options.act.contains(&attack.act()),
        };
        is_of_act && (options.attack.is_empty() || options.attack.contains(attack))
    };
    let attacks: Vec<Attack> = Attack::ALL.into_iter().filter(is_played).collect();
    let columns: Vec<Column> = Column::ALL.into_iter().filter(wanted).collect();
    // A few attempts mostly wait for blocks, in all columns at the same time.
    let at_a_time = match options.attempts <= play::FEW {
        true => columns.len(),
        false => 1,
    };
    for columns in columns.chunks(at_a_time.max(1)) {
        let titles: Vec<&str> = columns.iter().map(|column| column.title()).collect();
        println!("Attacking {} …", titles.join("; "));
        let (seed, attempts) = (options.seed, options.attempts);
        let all = columns
            .iter()
            .map(|column| play::play(*column, seed, attempts, &attacks, &output));
        for this in try_join_all(all).await? {
            println!(
                "  {}: {} attempts, {} honest entries, {} audits in {:.0} s",
                this.column.title(),
                this.tried.len(),
                this.honest,
                this.audits,
                this.took.as_secs_f64()
            );
            complain(&this);
            measured.played.push(this);
        }
        // After each column: the next may take long.
        let json = serde_json::to_string_pretty(&measured.json())?;
        std::fs::write(output.join("attacks.json"), json)?;
        std::fs::write(output.join("attacks.md"), markdown::tables(&measured))?;
    }
    println!("\n{measured}");
    let sum = measured.sum();
    println!("{sum}");
    Ok(sum.held())
}

/// Says of what the hashchain should have prevented or seen, and of false alarms, which they were.
fn complain(played: &Played) {
    if !played.column.chained() {
        return;
    }
    for alarm in played.alarms.iter().take(SHOWN) {
        println!("  false alarm: {alarm}");
    }
    let wrong = played.tried.iter().filter(|tried| {
        let silenced = tried.attack == Attack::Silenced;
        !silenced && tried.verdict.fate == Fate::Unseen
            || tried.verdict.named == Some(Named::Wrong)
            || !tried.is_right()
    });
    let mut shown: BTreeMap<Attack, usize> = BTreeMap::new();
    for tried in wrong {
        let of_attack = shown.entry(tried.attack).or_default();
        *of_attack += 1;
        if *of_attack <= SHOWN {
            println!("  {:?}: {:?}: {}", tried.attack, tried.verdict, tried.about);
        }
    }
}

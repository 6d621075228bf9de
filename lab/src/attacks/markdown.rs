// SPDX-License-Identifier: Apache-2.0

//! What was measured, as the tables of `docs/explained/security.md`.

use std::fmt::Write;

use crate::attack::{Attack, Column, Must};
use crate::play::Played;
use crate::table::{cell, waited, Counts, Measured};

/// Both tables: the paper's attacks with some beside them, and each party with its rights.
pub(crate) fn tables(measured: &Measured) -> String {
    let (papers, parties): (Vec<Attack>, Vec<Attack>) = Attack::ALL
        .into_iter()
        .partition(|attack| !attack.is_of_a_party());
    let mut text = String::new();
    table(&mut text, measured, &papers);
    text.push('\n');
    table(&mut text, measured, &parties);
    text
}

fn table(text: &mut String, measured: &Measured, attacks: &[Attack]) {
    let unchained = attacks
        .iter()
        .any(|attack| attack.applies(Column::OneOffice));
    let columns: Vec<&Played> = measured
        .played
        .iter()
        .filter(|played| unchained || played.column.chained())
        .collect();
    let titles = columns.iter().map(|played| played.column.title());
    let titles: Vec<&str> = titles.collect();
    line(
        text,
        &format!(
            "attack | must | {} | named alone, among, nobody | waited at most",
            titles.join(" | ")
        ),
    );
    line(text, &vec!["---"; columns.len() + 4].join(" | "));
    let tried = |attack: &&Attack| {
        columns
            .iter()
            .any(|played| cell(played, **attack).attempts > 0)
    };
    for attack in attacks.iter().filter(tried) {
        let cells: Vec<String> = columns.iter().map(|played| said(played, *attack)).collect();
        let mut named = Counts::default();
        for played in columns.iter().filter(|played| played.column.chained()) {
            named = named.and(cell(played, *attack));
        }
        let longest = columns
            .iter()
            .filter_map(|played| waited(played, *attack))
            .max();
        let longest = longest.map_or("–".into(), |it| format!("{:.0} s", it.as_secs_f64()));
        let who = match named.alone + named.among + named.unattributed {
            0 => "–".into(),
            _ => format!("{}, {}, {}", named.alone, named.among, named.unattributed),
        };
        let must = match attack.must() {
            Must::BePrevented => "be prevented",
            Must::BeKnown => "be prevented, or name its maker",
            Must::NameItsMaker => "be prevented, or name its maker alone",
            Must::PassUnseen => "–",
        };
        let (title, cells) = (attack.title(), cells.join(" | "));
        line(
            text,
            &format!("{title} | {must} | {cells} | {who} | {longest}"),
        );
    }
}

fn line(text: &mut String, cells: &str) {
    writeln!(text, "| {cells} |").expect("a text takes all; qed");
}

/// `12 prevented, 8 detected`; what failed in bold.
fn said(played: &Played, attack: Attack) -> String {
    let counts = cell(played, attack);
    if counts.attempts == 0 {
        return "–".into();
    }
    let parts = [
        (counts.prevented, "prevented"),
        (counts.detected, "detected"),
        (counts.unseen, "**unseen**"),
        (counts.misattributed, "**misattributed**"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    parts.join(", ")
}

// SPDX-License-Identifier: Apache-2.0

//! What was measured, as the tables of `docs/explained/security.md`.

use std::fmt::Write;

use crate::attack::{Attack, Column, Must};
use crate::play::Played;
use crate::table::{cell, waited, Counts, Measured};

/// The tables: the paper's attacks with some beside them, each party with its rights, and rows with a stage of their own, which say
/// nothing of a policy.
pub(crate) fn tables(measured: &Measured) -> String {
    let of = |wanted: fn(&Attack) -> bool| -> Vec<Attack> {
        let all = Attack::ALL.into_iter();
        all.filter(wanted).collect()
    };
    let papers = of(|attack| !attack.is_of_a_party());
    let parties = of(|attack| attack.is_of_a_party() && !attack.is_apart());
    let apart = of(|attack| attack.is_apart());
    let mut text = String::new();
    table(&mut text, measured, &papers, Column::title);
    table(&mut text, measured, &parties, Column::title);
    table(&mut text, measured, &apart, |_| "on a stage of its own");
    text
}

fn table(
    text: &mut String,
    measured: &Measured,
    attacks: &[Attack],
    title: fn(Column) -> &'static str,
) {
    let played = measured.played.iter();
    let applies = |played: &&Played| attacks.iter().any(|attack| attack.applies(played.column));
    let columns: Vec<&Played> = played.filter(applies).collect();
    let tried = |attack: &&Attack| {
        columns
            .iter()
            .any(|played| cell(played, **attack).attempts > 0)
    };
    if !attacks.iter().any(|attack| tried(&attack)) {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let titles = columns.iter().map(|played| title(played.column));
    let titles: Vec<&str> = titles.collect();
    line(
        text,
        &format!(
            "attack | must | {} | named alone, among, nobody | waited at most",
            titles.join(" | ")
        ),
    );
    line(text, &vec!["---"; columns.len() + 4].join(" | "));
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

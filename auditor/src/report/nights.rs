// SPDX-License-Identifier: Apache-2.0

//! Participants and nights: a picture, and the same in words.
//!
//! A night stands on the day (UTC) of the block that registered it. The auditor does not read what was recorded, and the blocks say
//! only that it was not later; a relay's or a phone's clock could hide that a phone was silent.

use std::collections::BTreeMap;

use hashchain::DeviceId;
use maud::{html, Markup};

use super::digest::{gaps, Day, DeviceDigest};
use super::{day, Digest};
use crate::verdict::Verdict;

/// Most columns of the picture. A longer study has several days in each.
const COLUMNS: u64 = 120;
/// Most participants in the picture: what fits on a page.
const ROWS: usize = 100;
/// Entries of a participant on one day that are hardly one night's.
const CROWD: u64 = 3;
/// Most days and stretches that are named for each participant.
const NAMED: usize = 20;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 22.0;
const ROW: f64 = 16.0;
/// Of a cell, beside the space between two.
const CELL: f64 = 13.0;
/// A study of few days has no walls.
const WIDEST: f64 = 26.0;
/// Cells below this have no room for a letter.
const NARROWEST_WITH_LETTER: f64 = 9.0;
/// Dates above the picture.
const DATES: u64 = 6;
/// Letters of a name that fit beside it.
const LABEL: usize = 20;

/// A participant, as far as the auditor knows who that is.
struct Row<'a> {
    name: String,
    devices: Vec<&'a DeviceDigest>,
    days: BTreeMap<u64, Day>,
    undated: u64,
}

impl Row<'_> {
    fn is_right(&self) -> bool {
        self.days.values().all(|day| is_right(day.verdict))
    }
}

const fn is_right(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Valid | Verdict::Erased)
}

/// What stands in a cell for those who do not see its colour.
const fn letter(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Valid => None,
        Verdict::Erased => Some("e"),
        Verdict::Altered => Some("A"),
        Verdict::Forged => Some("F"),
        Verdict::Disputed => Some("D"),
        Verdict::Missing => Some("M"),
        Verdict::Unregistered => Some("U"),
        Verdict::NotCovered => Some("n"),
    }
}

/// The picture with its legend, and the table that says the same.
pub(super) fn nights(digest: &Digest) -> Markup {
    let rows = rows(digest);
    let days = rows.iter().flat_map(|row| row.days.keys());
    let span = days.clone().min().zip(days.max());
    html! {
        p.soft {
            "A night stands on the day (UTC) of the block that registered it, which is not earlier than it was recorded. Rows are "
            "participants by their pseudonyms where the list of their keys was given (--participants), and devices elsewhere."
        }
        @if let Some((first, last)) = span { (picture(&rows, *first, *last)) (legend()) }
        @else { p.soft { "No block's time is known." } }
        @if let Some((number, entries, participants)) = crowded(&rows) {
            p.soft {
                "On " (day(number)) " blocks registered " (entries) " entries of "
                @if participants == 1 { "one participant" } @else { (participants) " participants" }
                ", more than " (CROWD) " of each. Phones that come back bring many nights at once, and all of them stand on that day. Which "
                "nights they are, the picture of a dataset shows (nights.svg): the holder of the participants' keys makes it."
            }
        }
        @if !rows.is_empty() { (table(&rows)) }
    }
}

/// The day with most entries of participants who brought many nights at once, how many entries that are, and of how many participants.
fn crowded(rows: &[Row<'_>]) -> Option<(u64, u64, u64)> {
    let mut days: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let crowded = rows.iter().flat_map(|row| &row.days);
    for (number, day) in crowded.filter(|(_, day)| day.entries > CROWD) {
        let (entries, participants) = days.entry(*number).or_default();
        *entries += day.entries;
        *participants += 1;
    }
    let most = days.into_iter().max_by_key(|(_, (entries, _))| *entries);
    most.map(|(number, (entries, participants))| (number, entries, participants))
}

/// The participants in order of their first devices: those with one pseudonym together, and a device with the one that it goes on
/// from.
fn rows(digest: &Digest) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for line in digest.lineages() {
        let mut names: Vec<&str> = Vec::new();
        for device in &line {
            match device.pseudonym.as_deref() {
                Some(name) if !names.contains(&name) => names.push(name),
                _ => {}
            }
        }
        let name = names.join(", ");
        let known = named.get(&name).copied().filter(|_| !name.is_empty());
        let at = known.unwrap_or_else(|| {
            named.insert(name.clone(), rows.len());
            rows.push(Row {
                name,
                devices: Vec::new(),
                days: BTreeMap::new(),
                undated: 0,
            });
            rows.len() - 1
        });
        for device in line {
            let row = &mut rows[at];
            for (number, day) in &device.days {
                let there = row.days.get(number).copied();
                row.days.insert(*number, day.add(there));
            }
            row.undated += device.undated;
            row.devices.push(device);
        }
    }
    for row in &mut rows {
        if row.name.is_empty() {
            let numbers: Vec<String> = row.devices.iter().map(|it| it.device.to_string()).collect();
            row.name = format!("device {}", numbers.join(", "));
        }
    }
    rows
}

/// The columns of a picture.
struct Columns {
    first: u64,
    /// Days in each.
    days: u64,
    count: u64,
    width: f64,
}

impl Columns {
    fn new(first: u64, last: u64) -> Self {
        let span = (last - first).saturating_add(1);
        let sizes = [1, 7, 28, 91, 364];
        let fits = sizes
            .into_iter()
            .find(|days| span.div_ceil(*days) <= COLUMNS);
        let days = fits.unwrap_or_else(|| span.div_ceil(COLUMNS));
        let count = span.div_ceil(days);
        Self {
            first,
            days,
            count,
            width: ((WIDTH - LEFT) / count as f64).min(WIDEST),
        }
    }

    fn of(&self, day: u64) -> u64 {
        (day - self.first) / self.days
    }

    fn left(&self, column: u64) -> f64 {
        LEFT + self.width * column as f64
    }
}

fn picture(rows: &[Row<'_>], first: u64, last: u64) -> Markup {
    // What is wrong is shown before what is right has its place.
    let mut shown: Vec<usize> = (0..rows.len()).collect();
    shown.sort_by_key(|index| rows[*index].is_right());
    shown.truncate(ROWS);
    shown.sort_unstable();
    let columns = Columns::new(first, last);
    let height = TOP + ROW * shown.len() as f64 + 4.0;
    let each = match columns.days {
        1 => "a day".to_string(),
        days => format!("{days} days"),
    };
    let wrong = rows.iter().filter(|row| !row.is_right()).count();
    let title = format!(
        "Nights of {} participants from {} to {}",
        rows.len(),
        day(first),
        day(last)
    );
    let description = format!(
        "A row is a participant, a column {each}. {wrong} of {} participants have nights that are not valid. The table below says \
         the same in words.",
        rows.len()
    );
    let every = columns.count.div_ceil(DATES);
    html! {
        svg.plot.nights id="nights-picture" viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
            aria-labelledby="nights-title nights-description" {
            title id="nights-title" { (title) }
            desc id="nights-description" { (description) }
            @for column in (0..columns.count).step_by(every.max(1) as usize) {
                text.axis x=(format!("{:.1}", columns.left(column))) y=(TOP - 8.0) { (day(first + column * columns.days)) }
            }
            @for (place, index) in shown.iter().enumerate() {
                text.axis x=(LEFT - 8.0) y=(TOP + ROW * place as f64 + 10.5) text-anchor="end" { (short(&rows[*index].name)) }
            }
            (cells(rows, &shown, &columns))
        }
        @if shown.len() < rows.len() {
            p.soft { "The picture shows " (shown.len()) " of " (rows.len()) " participants, those with nights that are not valid first. The table has all." }
        }
    }
}

/// All cells: one path for each verdict, so that a page about a large study stays small.
fn cells(rows: &[Row<'_>], shown: &[usize], columns: &Columns) -> Markup {
    let mut paths: BTreeMap<Option<Verdict>, String> = BTreeMap::new();
    let mut letters: Vec<(f64, f64, &'static str)> = Vec::new();
    let width = (columns.width - 1.0).max(columns.width * 0.8);
    for (place, index) in shown.iter().enumerate() {
        let top = TOP + ROW * place as f64;
        let mut row: BTreeMap<u64, Day> = BTreeMap::new();
        for (number, day) in &rows[*index].days {
            let column = columns.of(*number);
            let there = row.get(&column).copied();
            row.insert(column, day.add(there));
        }
        let ends = row.keys().next().zip(row.keys().next_back());
        let Some((from, to)) = ends else { continue };
        for column in *from..=*to {
            let verdict = row.get(&column).map(|day| day.verdict);
            let left = columns.left(column);
            let path = paths.entry(verdict).or_default();
            path.push_str(&format!("M{left:.1} {top}h{width:.1}v{CELL}h-{width:.1}z"));
            let letter = verdict.and_then(letter);
            if let Some(letter) = letter.filter(|_| columns.width >= NARROWEST_WITH_LETTER) {
                letters.push((left + width / 2.0, top + 10.0, letter));
            }
        }
    }
    html! {
        @for (verdict, path) in &paths {
            @match verdict {
                Some(verdict) => path.(verdict.as_str()) d=(path) {},
                None => path.none d=(path) {},
            }
        }
        @for (x, y, letter) in &letters {
            text.letter x=(format!("{x:.1}")) y=(y) text-anchor="middle" { (letter) }
        }
    }
}

fn short(name: &str) -> String {
    match name.char_indices().nth(LABEL) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}

fn legend() -> Markup {
    html! {
        p.soft {
            @for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Unregistered) {
                span.chip.(verdict.as_str()) { @if let Some(letter) = letter(verdict) { (letter) " " } (verdict) } " "
            }
            "The worst verdict of a night gives its colour and letter. An empty frame: nothing was registered."
        }
    }
}

fn table(rows: &[Row<'_>]) -> Markup {
    html! {
        table.long id="nights-table" {
            caption.soft { "Nights of each participant, by the day of the block" }
            thead { tr {
                th scope="col" { "Participant" } th.number scope="col" { "Nights" } th.number scope="col" { "Entries" }
                th scope="col" { "From, to" } th scope="col" { "Without data between" } th scope="col" { "Not valid" }
            } }
            @for row in rows {
                tr {
                    th scope="row" { (row.name) @for device in &row.devices { " " (link(device.device)) } }
                    td.number { (row.days.len()) }
                    td.number {
                        (row.days.values().map(|day| day.entries).sum::<u64>())
                        @if row.undated > 0 { br; span.soft { "and " (row.undated) " of unknown day" } }
                    }
                    td { (stretch(row)) }
                    td { (listed(gaps(row.days.keys()).into_iter().map(|(first, last)| match first == last {
                        true => day(first),
                        false => format!("{} – {}", day(first), day(last)),
                    }))) }
                    td { (listed(row.days.iter().filter(|(_, it)| !is_right(it.verdict)).map(|(number, it)| {
                        format!("{} ({})", day(*number), it.verdict)
                    }))) }
                }
            }
        }
    }
}

fn link(device: DeviceId) -> Markup {
    html! { a href=(format!("#device-{device}")) { "#" (device) } }
}

fn stretch(row: &Row<'_>) -> String {
    let ends = row.days.keys().next().zip(row.days.keys().next_back());
    match ends {
        None => "–".into(),
        Some((first, last)) if first == last => day(*first),
        Some((first, last)) => format!("{} – {}", day(*first), day(*last)),
    }
}

/// The first of these, and how many more there are.
fn listed(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match all.len().saturating_sub(NAMED) {
        0 if named.is_empty() => "–".into(),
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

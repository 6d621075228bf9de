// SPDX-License-Identifier: Apache-2.0

//! Bar charts as SVG, small enough to be drawn by hand.

use maud::{html, Markup};

use super::digest::{Digest, DELAYS};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 48.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;
/// A single bar is no wall.
const WIDEST: f64 = 48.0;
/// How many labels fit under a chart.
const LABELS: usize = 8;

/// A chart of counts. The description is what a reader hears who does not see it.
pub(super) fn bars(description: &str, bars: &[(String, u64)]) -> Markup {
    let most = bars
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let step = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let height = HEIGHT - BOTTOM - TOP;
    let scale = |count: u64| height * count as f64 / most as f64;
    let every = bars.len().div_ceil(LABELS).max(1);
    html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(description) {
            title { (description) }
            @for part in [0u64, 1, 2] {
                @let count = most * part / 2;
                @let y = HEIGHT - BOTTOM - scale(count);
                line.grid x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                text.axis x=(LEFT - 6.0) y=(y + 4.0) text-anchor="end" { (count) }
            }
            @for (index, (label, count)) in bars.iter().enumerate() {
                @let x = LEFT + step * index as f64;
                @let width = (step * 0.8).min(WIDEST);
                rect.bar x=(format!("{:.2}", x + (step - width) / 2.0)) width=(format!("{width:.2}"))
                    y=(format!("{:.2}", HEIGHT - BOTTOM - scale(*count))) height=(format!("{:.2}", scale(*count))) {
                    title { (label) ": " (count) }
                }
                @if index % every == 0 {
                    text.axis x=(format!("{:.2}", x + step * 0.5)) y=(HEIGHT - 10.0) text-anchor="middle" { (label) }
                }
            }
        }
    }
}

/// Counts by minute, brought together so that a chart has at most some sixty bars. Empty stretches are kept.
pub(super) fn over_time(minutes: &std::collections::BTreeMap<u64, u64>) -> Vec<(String, u64)> {
    let (Some((first, _)), Some((last, _))) = (minutes.first_key_value(), minutes.last_key_value())
    else {
        return Vec::new();
    };
    let span = last - first + 1;
    let sizes = [1, 5, 15, 60, 360, 1_440, 10_080];
    let size = sizes
        .into_iter()
        .find(|size| span / size < 60)
        .unwrap_or_else(|| span.div_ceil(60));
    let mut bars: Vec<u64> = vec![0; (last / size - first / size + 1) as usize];
    for (minute, count) in minutes {
        bars[(minute / size - first / size) as usize] += count;
    }
    bars.into_iter()
        .zip(first / size..)
        .map(|(count, bin)| {
            let moment = super::moment(Some(bin * size * 60));
            let (day, clock) = moment.split_once(' ').unwrap_or((&moment, ""));
            let label = match size < 1_440 {
                true => clock.get(..5).unwrap_or(clock),
                false => day,
            };
            (label.to_string(), count)
        })
        .collect()
}

pub(super) fn registrations(digest: &Digest) -> Markup {
    let counts = over_time(&digest.minutes);
    html! {
        @if counts.is_empty() { p.soft { "No block's time is known." } }
        @else { (bars("Registered entries by the time of their block, UTC", &counts)) }
    }
}

pub(super) fn delays(digest: &Digest) -> Markup {
    let counts: Vec<(String, u64)> = DELAYS
        .iter()
        .zip(digest.delays)
        .map(|((end, name), count)| match *end {
            u64::MAX => ((*name).to_string(), count),
            _ => (format!("< {name}"), count),
        })
        .collect();
    html! {
        p.soft { "From when the relay says that it got an entry to the time of the block. Nothing is judged by it: a relay can say what it likes." }
        (bars("Entries by their delay from receipt to block", &counts))
    }
}

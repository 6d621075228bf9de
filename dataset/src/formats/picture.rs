// SPDX-License-Identifier: Apache-2.0

//! A picture of participants × nights: how long each slept. Of a large study, the first participants and nights.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use time::Date;

use super::Writer;
use crate::audit::Heading;
use crate::columns::iso;
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

const DATA: &str = "nights.svg";
/// Participants and days of the largest picture.
const PARTICIPANTS: usize = 60;
const DAYS: i64 = 400;
/// Sizes in pixels.
const CELL: i64 = 12;
const NAMES: i64 = 190;
const TOP: i64 = 46;

pub(super) struct Picture {
    out: Out,
    title: String,
    /// Minutes asleep, by participant and day.
    nights: BTreeMap<String, BTreeMap<Date, f64>>,
    left_out: bool,
}

impl Picture {
    pub(super) fn begin(folder: &Unfinished, heading: &Heading) -> Result<Self, DataError> {
        Ok(Picture {
            out: folder.file(DATA)?,
            title: format!(
                "Study {}, block {}: minutes asleep, a row for each participant, a column for each night",
                heading.study, heading.block
            ),
            nights: BTreeMap::new(),
            left_out: false,
        })
    }

    fn draw(&self) -> String {
        let days = || self.nights.values().flat_map(BTreeMap::keys);
        let (first, last) = match (days().min(), days().max()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => (Date::MIN, Date::MIN),
        };
        let columns = ((last - first).whole_days() + 1).min(DAYS);
        let left_out = self.left_out || (last - first).whole_days() >= DAYS;
        let rows = self.nights.len() as i64;
        let (width, height) = (
            (NAMES + columns * CELL + 10).max(640),
            TOP + rows * CELL + 30,
        );
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
             font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"18\" font-size=\"12\">{}\
             </text>\n",
            escape(&self.title)
        );
        let mut put = |text: String| svg.push_str(&text);
        if rows > 0 {
            let from = iso(first);
            put(format!("<text x=\"{NAMES}\" y=\"38\">{from}</text>\n"));
        }
        for ((participant, nights), row) in self.nights.iter().zip(0..) {
            let y = TOP + row * CELL;
            let name = escape(participant);
            put(format!("<text x=\"8\" y=\"{}\">{name}</text>\n", y + 9));
            for (day, minutes) in nights {
                let column = (*day - first).whole_days();
                if column < DAYS {
                    put(cell(NAMES + column * CELL, y, *day, *minutes));
                }
            }
        }
        let y = TOP + rows * CELL + 18;
        put(format!(
            "<text x=\"8\" y=\"{y}\">Light: no sleep. Dark: ten hours and more.{}</text>\n</svg>\n",
            match left_out {
                true => " More participants or nights are in the tables.",
                false => "",
            }
        ));
        svg
    }
}

fn cell(x: i64, y: i64, day: Date, minutes: f64) -> String {
    // From light to dark blue, over ten hours.
    let share = (minutes / 600.0).clamp(0.0, 1.0);
    let shade = |light: f64, dark: f64| (light + (dark - light) * share).round();
    let mut cell = String::new();
    let _ = write!(
        cell,
        "<rect x=\"{x}\" y=\"{y}\" width=\"11\" height=\"11\" fill=\"rgb({},{},{})\"><title>{}: {minutes} min</title></rect>",
        shade(222.0, 8.0),
        shade(235.0, 48.0),
        shade(247.0, 107.0),
        iso(day)
    );
    cell.push('\n');
    cell
}

fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

impl Writer for Picture {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let (Some(participant), Some(night), Some(minutes), true) = (
            &row.participant,
            row.night,
            row.measures.total_sleep_time,
            row.current,
        ) else {
            return Ok(());
        };
        if self.nights.len() >= PARTICIPANTS && !self.nights.contains_key(participant) {
            self.left_out = true;
            return Ok(());
        }
        let nights = self.nights.entry(participant.clone()).or_default();
        // More days than a picture has are not kept.
        if nights.len() as i64 <= DAYS {
            *nights.entry(night).or_default() += minutes;
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<(), DataError> {
        let svg = self.draw();
        self.out.bytes(svg.as_bytes())?;
        self.out.end()
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The values of a night, from its data points, each in one unit: minutes, counts, per cent, times of RFC 3339.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// No clock is further from UTC, and FHIR and XML Schema take no offset that is.
const FURTHEST: Duration = Duration::hours(14);

/// The values. What the data points do not say is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    /// Schema of the first data point: `namespace:name:version`.
    pub schema: Option<String>,
    /// Identifier of the first data point.
    pub uuid: Option<String>,
    /// When the source made the first data point, as it says.
    pub source_created: Option<String>,
    /// `sensed` or `self-reported`.
    pub modality: Option<String>,
    /// Asleep, in minutes.
    pub total_sleep_time: Option<f64>,
    /// In bed, in minutes.
    pub time_in_bed: Option<f64>,
    /// How many records the source added up.
    pub sleep_records: Option<i64>,
    /// Whether it was the day's main sleep.
    pub is_main_sleep: Option<bool>,
    /// Sleep onset and final awakening.
    pub asleep: [Option<String>; 2],
    /// Going to bed and leaving it.
    pub in_bed: [Option<String>; 2],
    /// The part of the day, where no instants are known.
    pub part_of_day: Option<String>,
    /// Minutes from wanting to sleep to sleep onset.
    pub latency_to_sleep_onset: Option<f64>,
    /// Minutes from the final awakening to getting up.
    pub latency_to_arising: Option<f64>,
    /// Minutes awake between sleep onset and final awakening.
    pub wake_after_sleep_onset: Option<f64>,
    /// Awakenings.
    pub number_of_awakenings: Option<i64>,
    /// Minutes of light sleep.
    pub light_sleep: Option<f64>,
    /// Minutes of deep sleep.
    pub deep_sleep: Option<f64>,
    /// Minutes of REM sleep.
    pub rem_sleep: Option<f64>,
    /// Asleep as a share of the episode, in per cent.
    pub sleep_efficiency: Option<f64>,
    /// The diary's items one to eight, as they stand.
    pub diary: [Option<Value>; 8],
}

impl Measures {
    /// The values of a night's data points, whose form was checked.
    pub(crate) fn of(points: &[Value], sleep_records: Option<u32>) -> Self {
        let mut measures = Measures {
            sleep_records: sleep_records.map(i64::from),
            ..Measures::default()
        };
        for point in points {
            measures.take(point);
        }
        measures
    }

    fn take(&mut self, point: &Value) {
        let (header, body) = (&point["header"], &point["body"]);
        let schema = &header["schema_id"];
        let name = text(&schema["name"]).unwrap_or_default();
        if self.schema.is_none() {
            let part = |name: &str| text(&schema[name]).unwrap_or_default();
            self.schema = Some(format!("{}:{name}:{}", part("namespace"), part("version")));
            self.uuid = text(&header["uuid"]);
            self.source_created = instant(&header["source_creation_date_time"]).and_then(written);
            self.modality = text(&header["modality"]);
        }
        if name == "consensus-sleep-diary" {
            for (item, number) in self.diary.iter_mut().zip(1..) {
                *item = body.get(format!("csd_core_{number}")).cloned();
            }
            return;
        }
        let minutes = |name: &str| body.get(name).and_then(minutes);
        let set = |place: &mut Option<f64>, value: Option<f64>| *place = place.or(value);
        set(&mut self.total_sleep_time, minutes("total_sleep_time"));
        set(&mut self.total_sleep_time, minutes("sleep_duration"));
        set(&mut self.time_in_bed, minutes("time_in_bed"));
        set(
            &mut self.latency_to_sleep_onset,
            minutes("latency_to_sleep_onset"),
        );
        set(&mut self.latency_to_arising, minutes("latency_to_arising"));
        set(
            &mut self.wake_after_sleep_onset,
            minutes("wake_after_sleep_onset"),
        );
        set(&mut self.light_sleep, minutes("light_sleep_duration"));
        set(&mut self.deep_sleep, minutes("deep_sleep_duration"));
        set(&mut self.rem_sleep, minutes("rem_sleep_duration"));
        for share in [
            "sleep_efficiency_percentage",
            "sleep_maintenance_efficiency_percentage",
        ] {
            let share = body[share]["value"].as_f64();
            set(&mut self.sleep_efficiency, share.map(rounded));
        }
        let awakenings = body["number_of_awakenings"].as_i64();
        self.number_of_awakenings = self.number_of_awakenings.or(awakenings);
        self.is_main_sleep = self.is_main_sleep.or(body["is_main_sleep"].as_bool());
        let interval = &body["effective_time_frame"]["time_interval"];
        self.part_of_day = self.part_of_day.take().or(text(&interval["part_of_day"]));
        match name == "time-in-bed" {
            true => self.in_bed = ends(interval),
            false => self.asleep = ends(interval),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Decimals of a number in a dataset. Seconds as minutes may have no end.
pub(crate) const DECIMALS: u8 = 6;

fn rounded(value: f64) -> f64 {
    let places = 10_f64.powi(DECIMALS.into());
    (value * places).round() / places
}

/// A duration of a data point, in seconds.
fn seconds(duration: &Value) -> Option<f64> {
    let value = duration["value"].as_f64()?;
    match duration["unit"].as_str()? {
        "sec" => Some(value),
        "min" => Some(value * 60.0),
        "h" => Some(value * 3_600.0),
        _ => None,
    }
}

fn minutes(duration: &Value) -> Option<f64> {
    seconds(duration).map(|seconds| rounded(seconds / 60.0))
}

/// An instant as a source wrote it. RFC 3339 lets it write one in several ways.
fn instant(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

/// An instant in the only way that every format takes, with the source's offset from UTC where there is a clock with that.
fn written(instant: OffsetDateTime) -> Option<String> {
    let offset = Duration::seconds(instant.offset().whole_seconds().into());
    let instant = match offset.abs() > FURTHEST {
        true => instant.checked_to_offset(UtcOffset::UTC)?,
        false => instant,
    };
    instant.format(&Rfc3339).ok()
}

/// Both ends of an interval; of one that has a duration instead, the other end by it.
fn ends(interval: &Value) -> [Option<String>; 2] {
    let start = instant(&interval["start_date_time"]);
    let end = instant(&interval["end_date_time"]);
    let length = seconds(&interval["duration"]).map(Duration::seconds_f64);
    let other_start = || end?.checked_sub(length?);
    let other_end = || start?.checked_add(length?);
    let ends = [start.or_else(other_start), end.or_else(other_end)];
    ends.map(|end| end.and_then(written))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_of_every_unit_become_minutes() {
        for (duration, expected) in [
            (json!({"value": 90, "unit": "sec"}), Some(1.5)),
            (json!({"value": 19_999, "unit": "sec"}), Some(333.316667)),
            (json!({"value": 0.1, "unit": "min"}), Some(0.1)),
            (json!({"value": 327, "unit": "min"}), Some(327.0)),
            (json!({"value": 7.5, "unit": "h"}), Some(450.0)),
            (json!({"value": 1, "unit": "d"}), None),
            (json!(1), None),
        ] {
            assert_eq!(minutes(&duration), expected, "{duration}");
        }
    }

    #[test]
    fn an_interval_with_a_duration_gets_its_other_end() {
        let start = json!({
            "start_date_time": "2026-03-01T23:30:00+01:00",
            "duration": {"value": 8, "unit": "h"}
        });
        let [from, to] = ends(&start).map(Option::unwrap);
        assert_eq!(
            (from.as_str(), to.as_str()),
            ("2026-03-01T23:30:00+01:00", "2026-03-02T07:30:00+01:00")
        );
        let end = json!({
            "end_date_time": "2026-03-02T07:30:00+01:00",
            "duration": {"value": 480, "unit": "min"}
        });
        assert_eq!(ends(&end), [Some(from), Some(to)]);
        assert_eq!(ends(&json!({"date": "2026-03-01"})), [None, None]);
    }

    #[test]
    fn every_way_to_write_an_instant_becomes_one() {
        for (given, expected) in [
            ("2026-03-01T23:30:00+01:00", "2026-03-01T23:30:00+01:00"),
            ("2026-03-01t23:30:00z", "2026-03-01T23:30:00Z"),
            ("2026-03-01T23:30:00.250Z", "2026-03-01T23:30:00.25Z"),
            (
                "2026-03-01T23:30:00.1234567891234+01:00",
                "2026-03-01T23:30:00.123456789+01:00",
            ),
            ("2026-03-01T23:30:00-14:00", "2026-03-01T23:30:00-14:00"),
            ("2026-03-01T23:30:00+15:00", "2026-03-01T08:30:00Z"),
        ] {
            let [start, end] = ends(&json!({"start_date_time": given, "end_date_time": given}));
            assert_eq!(
                (start.as_deref(), &start),
                (Some(expected), &end),
                "{given}"
            );
        }
    }
}

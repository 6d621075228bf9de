// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::plan::Spread;

fn measured(system: &str, entries: usize) -> Measured {
    Measured {
        system: system.to_owned(),
        entries,
        seconds: 2.0,
        ..Measured::default()
    }
}

fn part(wrong_percent: f64, measured: Vec<Measured>) -> Part {
    let plan = Plan {
        run: 1,
        signed: true,
        entries: 10,
        batch: 2,
        spread: Spread::Uniform,
        wrong_percent,
        bad_percent: 0.0,
        bad_in_turn: false,
    };
    Part {
        plan,
        batches: 5,
        entries: 10,
        wrong: 0,
        measured,
    }
}

fn report() -> Report {
    let each = Way {
        check: Check::Each,
        ..Way::SET_BASED
    };
    let plain = vec![
        measured("ours", 30_000),
        measured(&Way::SET_BASED.name(), 60_000),
        measured(&each.name(), 20_000),
    ];
    let parts = vec![part(0.0, plain), part(1.0, vec![measured("ours", 27_000)])];
    Report {
        parts,
        idle: Some(Latency {
            p50: 1.25,
            p99: 2.0,
            max: 2.5,
        }),
        ..Report::new(7, None)
    }
}

#[test]
fn the_last_line_compares_with_a_database_that_does_the_same() {
    assert_eq!(
        report().last_line().expect("something was measured"),
        "entries_per_s=15000 ratio_postgresql=1.500 us_per_entry=66.7 discarded=0 final_p50_s=1.25"
    );
    // Without a chain that is idle, the wait at the rate that was asked for.
    let mut report = report();
    report.idle = None;
    report.parts[0].measured[0].latency = Some(Latency {
        p50: 3.5,
        ..Latency::default()
    });
    let line = report.last_line().expect("something was measured");
    assert!(line.ends_with("final_p50_s=3.50"), "{line}");
}

#[test]
fn a_table_says_what_is_left_when_some_runs_are_to_be_refused() {
    let table = report().table();
    assert!(
        table.contains("The same work: 1.50 times PostgreSQL."),
        "{table}"
    );
    // Beside them no database was measured.
    assert!(table.contains("| ours | 13500 | 74.1 |  |"), "{table}");
    assert!(table.contains("1 % with a wrong previous link"), "{table}");
    assert!(
        table.contains("0.90 of the rate without such runs."),
        "{table}"
    );
}

#[test]
fn a_table_says_how_long_the_longest_proposal_took_and_what_stays_of_an_entry() {
    let mut report = report();
    report.parts[0].measured[0].bytes_per_entry = Some(230.0);
    report.parts[0].measured[0].permanent_bytes = Some(189.4);
    assert!(!report.table().contains("The longest proposal"));
    for (part, seconds) in report.parts.iter_mut().zip([1.34, 1.5]) {
        part.measured[0].longest_proposal = Some(seconds);
    }
    let table = report.table();
    for text in [
        "| 230 | 189 |",
        "| 1.3 s (0.67 of its slot) |",
        "The longest proposal was ready after 1.5 s (0.75 of its slot).",
    ] {
        assert!(table.contains(text), "{table}");
    }
}

#[test]
fn a_page_is_refreshed_between_its_marks_alone() {
    let docs = tempfile::tempdir().expect("a folder");
    let page = docs.path().join("performance/bench.md");
    fs::create_dir(docs.path().join("performance")).expect("a folder");
    let text = format!("before\n{}\nold\n{}\nafter\n", MARKS[0], MARKS[1]);
    fs::write(&page, text).expect("it is written");
    let report = report();
    for _ in 0..2 {
        report.publish(docs.path()).expect("published");
    }
    let text = fs::read_to_string(&page).expect("it is there");
    assert!(text.starts_with("before\n") && text.ends_with("\nafter\n"));
    assert!(text.contains("| ours | 15000 |") && !text.contains("old"));
    assert!(text.contains(&report.origin.to_string()), "{text}");
    let json = fs::read_to_string(docs.path().join("performance/bench.json"));
    let json: serde_json::Value =
        serde_json::from_str(&json.expect("it is there")).expect("it is JSON");
    assert!(json["date"].is_string() && json["command"].is_string());
    assert!(docs.path().join("performance/bench.svg").is_file());
}

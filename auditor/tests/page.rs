// SPDX-License-Identifier: Apache-2.0

//! The report for people, as a browser shows and prints it.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use hashchain::StudyId;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;

use support::Trial;

const WIDTH: u32 = 1_000;
const HEIGHT: u32 = 1_600;

/// Runs Chromium without a window, and returns what it logged.
fn browse(page: &Path, profile: &Path, arguments: &[String]) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("Chromium is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The page as the browser has understood it.
fn dump(page: &Path, profile: &Path) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--no-first-run", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("Chromium is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A part of a page, from its first tag to before its last.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let start = page.find(from).expect("it is there");
    let end = page[start..].find(to).expect("it ends");
    &page[start..start + end]
}

/// Width and height of a PNG file (RFC 2083, section 4.1.1).
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; scripts/test runs it where that is installed"]
async fn a_browser_shows_and_prints_the_report_and_asks_for_nothing_else() {
    let mut trial = Trial::begin(Launch::instant()).await;
    for seed in 1..=3 {
        let mut phone = trial.enrol(StudyId(0), seed, None).await;
        for night in ["one", "two", "three"] {
            let parcel = record(&mut phone, 2, night);
            trial.bring(StudyId(0), &parcel).await;
        }
    }
    trial.lines[4].entries[0].envelope.0[40] ^= 1;
    let folder = trial.directory.path();
    let page = folder.join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"))
        .args(["audit", "--node", &trial.node.url(), "--study", "0"])
        .arg("--trust-node")
        .args(["--genesis", &trial.genesis(), "--export"])
        .arg(format!("dave={}", trial.export().await.display()))
        .arg("--auditor-key")
        .arg(trial.auditor_key_file())
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let html = std::fs::read_to_string(&page).unwrap();
    // What a screen reader has of the picture is in it and below it.
    let profile = folder.join("profile");
    let tree = dump(&page, &profile);
    for said in [
        "Nights of 3 participants",
        "aria-labelledby=\"nights-title nights-description\"",
        "id=\"nights-table\"",
    ] {
        assert!(tree.contains(said), "{said}");
    }
    assert_eq!(tree.matches("th scope=\"row\"").count(), 3);
    for foreign in ["<script", "src=", "@import", "url(", "<link"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let (picture, empty) = (folder.join("report.png"), folder.join("empty.png"));
    let shot = |to: &Path| {
        vec![
            format!("--screenshot={}", to.display()),
            format!("--window-size={WIDTH},{HEIGHT}"),
        ]
    };
    let log = browse(&page, &profile, &shot(&picture));
    assert!(!log.contains("CONSOLE"), "{log}");
    let blank = trial.file("empty.html", "<!doctype html><title>empty</title>");
    browse(&blank, &profile, &shot(&empty));
    let (picture, empty) = (
        std::fs::read(picture).unwrap(),
        std::fs::read(empty).unwrap(),
    );
    assert_eq!(size(&picture), (WIDTH, HEIGHT));
    // Text and plots compress worse than nothing at all.
    assert!(picture.len() > 10 * empty.len(), "{}", picture.len());

    // The picture of nights is drawn, with its colours: alone on a page it is no empty page, and without its cells another one.
    let style = between(&html, "<style>", "</style>");
    let nights = between(&html, "<svg class=\"plot nights\"", "</svg>");
    let alone = |name: &str, svg: &str| {
        let text = format!("<!doctype html><title>nights</title>{style}</style>{svg}</svg>");
        let (file, picture) = (trial.file(name, text), folder.join(format!("{name}.png")));
        browse(&file, &profile, &shot(&picture));
        std::fs::read(picture).unwrap()
    };
    let drawn = alone("nights.html", nights);
    let cell = nights.find("<path").expect("there are cells");
    let bare = alone("bare.html", &nights[..cell]);
    assert!(drawn.len() > empty.len() && bare.len() > empty.len());
    assert_ne!(drawn, bare);

    let paper = folder.join("report.pdf");
    let print = format!("--print-to-pdf={}", paper.display());
    browse(&page, &profile, &[print]);
    let paper = std::fs::read(paper).unwrap();
    assert!(paper.starts_with(b"%PDF-"));
    assert!(paper.len() > 20_000, "{}", paper.len());
    if let Some(kept) = std::env::var_os("MHEALTH_SCREENSHOT") {
        std::fs::write(kept, picture).unwrap();
    }
}

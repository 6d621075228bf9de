// SPDX-License-Identifier: Apache-2.0

//! The errors of the chain's calls: what their sentences say, and the page that lists them.

use subxt::Metadata;

const METADATA: &[u8] = include_bytes!("../../metadata/mhealth.scale");
const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/explained/polkadot-js.md"
);
const BEGIN: &str = "<!-- table of errors -->\n";
const END: &str = "<!-- end of the table -->\n";

/// The pallets whose sentences are Substrate's own.
const SUBSTRATES: [&str; 5] = ["System", "Grandpa", "Session", "Council", "Members"];

/// Every error of the chain: its pallet, its name, its sentence.
fn errors() -> Vec<(String, String, String)> {
    let metadata = Metadata::decode_from(METADATA).expect("the file is metadata");
    let mut errors = Vec::new();
    for pallet in metadata.pallets() {
        for error in pallet.error_variants().unwrap_or_default() {
            let lines: Vec<_> = error.docs.iter().map(|line| line.trim()).collect();
            let sentence = lines.join(" ").replace("  ", " ");
            errors.push((pallet.name().to_owned(), error.name.clone(), sentence));
        }
    }
    errors
}

#[test]
fn every_error_of_our_pallets_says_what_is_wrong_and_what_to_do() {
    let errors = errors();
    for pallet in SUBSTRATES {
        assert!(errors.iter().any(|(its, ..)| its == pallet), "no {pallet}");
    }
    let mut ours = 0;
    for (pallet, error, sentence) in errors {
        if SUBSTRATES.contains(&pallet.as_str()) {
            continue;
        }
        ours += 1;
        let goes_on = ["; ", ". ", ", so "].iter().any(|it| sentence.contains(it));
        assert!(
            goes_on && sentence.ends_with('.'),
            "{pallet}.{error} does not say what to do: {sentence}"
        );
    }
    assert!(ours > 90, "{ours} errors");
}

/// `UPDATE_DOCS=1` writes the table.
#[test]
fn the_documents_have_every_error() {
    let mut table = String::from("\n| error | what it says |\n|---|---|\n");
    for (pallet, error, sentence) in errors() {
        // As polkadot-js writes it.
        let (first, rest) = pallet.split_at(1);
        let first = first.to_lowercase();
        table += &format!("| `{first}{rest}.{error}` | {sentence} |\n");
    }
    table += "\n";
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the table begins");
    let (there, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(PAGE, page).expect("the page can be written");
    } else {
        assert_eq!(there, table, "UPDATE_DOCS=1 writes it anew");
    }
}

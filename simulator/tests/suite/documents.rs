// SPDX-License-Identifier: Apache-2.0

//! The codes that the program says stand in its documents. Those of the way to servers are the library's, whose documents have tests of
//! their own.

/// What `code` gives, by its source: codes are texts in it, and nothing else is.
fn codes(source: &str) -> Vec<&str> {
    let body = source.split("fn code(").nth(1).expect("it has codes");
    let body = body.split("\n    }\n").next().unwrap_or(body);
    let codes: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
    let is_code = |code: &&str| code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    assert!(codes.len() > 1 && codes.iter().all(is_code), "{codes:?}");
    codes
}

#[test]
fn every_code_of_files_state_node_and_secrets_is_explained() {
    let payloads = include_str!("../../../docs/protocol/payloads.md");
    let program = include_str!("../../../docs/operating/mhealth-device.md");
    let sources = [
        (payloads, include_str!("../../src/cohort/csv/error.rs")),
        (payloads, include_str!("../../src/cohort/omh.rs")),
        (payloads, include_str!("../../src/cohort/source.rs")),
        (program, include_str!("../../src/cohort/participants.rs")),
        (program, include_str!("../../../device/src/error.rs")),
        (program, include_str!("../../../device/src/freeze.rs")),
        (program, include_str!("../../../chain-client/src/error.rs")),
        (program, include_str!("../../../chain-client/src/pool.rs")),
        (
            program,
            include_str!("../../../chain-client/src/secret_file.rs"),
        ),
    ];
    let mut found = 0;
    for (document, source) in sources {
        for code in codes(source) {
            assert!(document.contains(&format!("`{code}`")), "{code}");
            found += 1;
        }
    }
    assert!(found > 90, "{found}");
}

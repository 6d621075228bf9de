// SPDX-License-Identifier: Apache-2.0

//! A participant who has no key: there is nothing to destroy, so what relays erase is all.

use mhealth_chain_client::create_private;

use crate::site::{last_line, succeeds, text, Site};

/// A night that whoever has a relay's data can read.
const NIGHT: &str = "seven hours, and nobody sealed it";

fn is_in(files: &[u8]) -> bool {
    let mut windows = files.windows(NIGHT.len());
    windows.any(|window| window == NIGHT.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_whose_phone_seals_to_nobody_is_in_no_relays_files_either() {
    let site = Site::start().await;
    let device = site.plain_phone(NIGHT).await;
    let (sealed, others) = site.participant().await;
    let auditors =
        [&site.dave, &site.eve].map(|(launch, _)| launch.add_auditor("eva").expect("added"));
    let add = ["eraser", "add", "max", "--study", "0"];
    let erasers = [&site.dave, &site.eve].map(|(launch, _)| launch.run(&add).expect("added"));
    for relay in ["dave", "eve"] {
        assert!(is_in(&site.files(relay)), "{relay}");
    }

    // A phone that seals to somebody, or a name that has a key, is not erased so; and whose it is, somebody has to say.
    let (number, other) = (device.to_string(), others.device.to_string());
    let plain = ["--record=request 7", "--plain", "--device"];
    let anothers = [&plain[..], &[other.as_str()]].concat();
    let own = [&plain[..], &[number.as_str()]].concat();
    let sealing = ["--record=request 7", "--device", number.as_str()];
    for (participant, more, said) in [
        ("P-plain", &anothers[..], "error[device_of_another]"),
        (sealed.as_str(), &own[..], "error[bad_input]"),
        ("P-plain", &plain[..2], "--device"),
        ("P-plain", &sealing[..], "error[no_such_participant]"),
    ] {
        let refused = site.erase(participant, more, &erasers);
        assert_ne!(refused.status.code(), Some(0), "{more:?}");
        assert!(text(&refused).contains(said), "{said}: {}", text(&refused));
    }
    assert!(!site.keys().join("destroyed.ndjson").exists());
    assert!(is_in(&site.files("dave")));

    let account = site.folder.path().join("sponsor.key");
    let mut file = create_private(&account).expect("a file");
    std::io::Write::write_all(&mut file, b"//Bob").expect("written");
    let account = account.display().to_string();
    let account = ["--account-file", account.as_str()];
    let more = [&own[..], &account[..]].concat();
    let done = last_line(&succeeds(&site.erase("P-plain", &more, &erasers)));
    let expected = "done=true erased=P-plain devices=1 relays=2 envelopes=2 receipt=";
    assert!(done.starts_with(expected), "{done}");
    for relay in ["dave", "eve"] {
        assert!(!is_in(&site.files(relay)), "{relay}");
    }
    let report = site.audit(&auditors).await;
    for judged in &report.devices {
        let expected = match judged.device == device {
            true => "erased",
            false => "valid",
        };
        assert!(judged.findings.is_empty(), "{:?}", judged.findings);
        let mut entries = judged.entries.iter();
        assert!(entries.all(|entry| entry.verdict == expected), "{judged:?}");
    }
    // Once more, when nothing is left to be done. The record says that there was no key.
    let again = last_line(&succeeds(&site.erase("P-plain", &account, &erasers)));
    assert!(again.contains(" envelopes=0 "), "{again}");
    assert_eq!(site.participant().await.0, sealed, "others keep their keys");
}

// SPDX-License-Identifier: Apache-2.0

use std::path::Path;

use hashchain::StudyId;
use mhealth_api::{Hash, Key, Policy};
use proptest::prelude::*;
use rand::{rngs::StdRng, Rng, SeedableRng};

use super::*;
use crate::chain::Standing;
use crate::report::{page, Digest, Heading, JsonReport, Summary};

fn key(seed: u8) -> ReportKey {
    // RFC 8410 has this form; the seed is ours.
    let pem = |digits: &str| {
        ReportKey::from_pem(&format!(
            "-----BEGIN PRIVATE KEY-----\n{digits}\n-----END PRIVATE KEY-----\n"
        ))
    };
    let mut bytes = hex::decode("302e020100300506032b657004220420").unwrap();
    bytes.extend([seed; 32]);
    use base64::Engine;
    pem(&base64::engine::general_purpose::STANDARD.encode(bytes)).unwrap()
}

fn heading() -> Heading {
    Heading {
        auditor: "N. N., clinical monitor".into(),
        program: "p".into(),
        run_at: 0,
        chain: Hash([1; 32]),
        study: StudyId(3),
        title: "a study".into(),
        policy: Policy::DeviceSigned,
        auditor_key: Key([0; 32]),
        block: 812,
        block_hash: Hash([2; 32]),
        block_time: None,
        no_export: Vec::new(),
        standing: Standing::default(),
        report_key: None,
    }
}

/// Both reports of an audit, signed, as bytes: the report and its signature file.
fn signed(key: &ReportKey, folder: &Path) -> [(Vec<u8>, Vec<u8>); 2] {
    let mut heading = heading();
    heading.report_key = Some(key.public());
    let [json, html] = ["audit.json", "audit.html"].map(|name| folder.join(name));
    let mut file = ReportFile::create(&json).unwrap();
    let report = JsonReport::begin(&mut file, &heading, &[]).unwrap();
    report.end(&Summary::default()).unwrap();
    let signing = Signing::new(key, &heading, 1_795_000_000);
    file.finish(Some(&signing)).unwrap();
    let mut file = ReportFile::create(&html).unwrap();
    let text = page(&heading, &[], &Digest::default());
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    file.finish(Some(&signing)).unwrap();
    [json, html].map(|path| {
        let read = |path: &Path| std::fs::read(path).unwrap();
        (read(&path), read(&signature_path(&path)))
    })
}

fn expected(keys: &[&ReportKey]) -> Expected {
    Expected {
        keys: keys.iter().map(|key| key.public()).collect(),
        chain: Some(Hash([1; 32])),
        study: Some(StudyId(3)),
    }
}

fn code(report: &[u8], signature: &[u8], expected: &Expected) -> &'static str {
    match verify(&mut &*report, signature, expected) {
        Ok(_) => "verified",
        Err(fault) => fault.code(),
    }
}

#[test]
fn a_report_is_verified_and_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (key(7), key(8));
    for (report, signature) in signed(&own, folder.path()) {
        let statement = verify(&mut &report[..], &signature, &expected(&[&other, &own])).unwrap();
        assert_eq!(statement.signer, "N. N., clinical monitor");
        assert_eq!((statement.study, statement.block), (StudyId(3), 812));
        assert_eq!(statement.bytes, report.len() as u64);
        assert_eq!(statement.signed(), "2026-11-18T11:06:40Z");
        let text = String::from_utf8(report).unwrap();
        assert!(text.contains(&own.public().to_string()), "{text}");
    }
}

#[test]
fn every_way_to_be_another_report_has_a_word_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (key(7), key(8));
    let [(json, signature), (html, html_signature)] = signed(&own, folder.path());
    let expected = expected(&[&own]);
    let others = Expected {
        keys: vec![other.public()],
        ..expected.clone()
    };
    assert_eq!(code(&json, &signature, &others), "another_report_key");
    let chain = Expected {
        chain: Some(Hash([9; 32])),
        ..expected.clone()
    };
    assert_eq!(code(&json, &signature, &chain), "report_of_another_chain");
    let study = Expected {
        study: Some(StudyId(4)),
        ..expected.clone()
    };
    assert_eq!(code(&json, &signature, &study), "report_of_another_study");
    assert_eq!(
        code(&json[..json.len() - 1], &signature, &expected),
        "report_truncated"
    );
    assert_eq!(code(&[], &signature, &expected), "report_truncated");
    assert_eq!(
        code(&[&json[..], b"\n"].concat(), &signature, &expected),
        "report_changed"
    );
    // The one report's signature under the other, which is longer.
    assert_eq!(code(&html, &signature, &expected), "report_changed");
    assert_eq!(code(&json, &html_signature, &expected), "report_truncated");
    let malformed = "report_signature_malformed";
    for bad in [
        &b""[..],
        b"\xff",
        b"# signature ",
        &signature[1..],
        &signature[..signature.len() - 1],
    ] {
        assert_eq!(code(&json, bad, &expected), malformed);
    }
    let doubled = [&signature[..], &signature[..]].concat();
    assert_eq!(code(&json, &doubled, &expected), malformed);
    // Who has no key of those that are trusted puts a trusted one's name on it.
    let text = String::from_utf8(signature).unwrap();
    let [(forged, by_other), _] = signed(&other, folder.path());
    let by_other = String::from_utf8(by_other).unwrap();
    let renamed = by_other.replace(&other.public().to_string(), &own.public().to_string());
    assert_eq!(
        code(&forged, renamed.as_bytes(), &expected),
        "report_signature_fails"
    );
    // Or changes what was said, in the only form that there is.
    for (from, to) in [
        ("study 3", "study 4"),
        ("block 812", "block 813"),
        ("N. N.", "M. M."),
        ("audit.json", "other.json"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert_eq!(
            code(&json, changed.as_bytes(), &expected),
            "report_signature_fails",
            "{to}"
        );
    }
    for (from, to) in [
        ("study 3", "study 03"),
        ("bytes ", "bytes +"),
        ("\n", "\r\n"),
        ("author", "reader"),
    ] {
        assert_eq!(
            code(&json, text.replace(from, to).as_bytes(), &expected),
            malformed,
            "{to:?}"
        );
    }
}

/// What `verify` says of one changed byte, wherever that is.
#[test]
fn a_thousand_changed_bytes_are_a_thousand_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let own = key(7);
    let expected = expected(&[&own]);
    let files = signed(&own, folder.path());
    let mut random = StdRng::seed_from_u64(22);
    let mut codes = std::collections::BTreeMap::new();
    for round in 0..1_000 {
        let (mut report, mut signature) = files[round % 2].clone();
        // Every other round the signature file, which is small beside a report.
        let target = match round % 4 < 2 {
            true => &mut report,
            false => &mut signature,
        };
        let at = random.random_range(0..target.len());
        target[at] ^= 1 << random.random_range(0..8);
        let code = code(&report, &signature, &expected);
        assert_ne!(code, "verified", "round {round}, byte {at}");
        *codes.entry(code).or_insert(0) += 1;
    }
    assert_eq!(codes.values().sum::<u32>(), 1_000);
    assert_eq!(codes["report_changed"], 500, "{codes:?}");
    assert!(codes.contains_key("report_signature_fails"), "{codes:?}");
    assert!(
        codes.contains_key("report_signature_malformed"),
        "{codes:?}"
    );
}

#[test]
fn a_new_report_takes_the_old_ones_signature_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.json");
    signed(&key(7), folder.path());
    assert!(signature_path(&path).exists());
    ReportFile::create(&path).unwrap().finish(None).unwrap();
    assert!(!signature_path(&path).exists());
}

#[test]
fn a_report_that_does_not_become_whole_leaves_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (key(7), folder.path().join("audit.json"));
    signed(&key, folder.path());
    let verdict = || {
        let read = |path: &Path| std::fs::read(path).unwrap();
        let signature = read(&signature_path(&path));
        code(&read(&path), &signature, &expected(&[&key]))
    };
    assert_eq!(verdict(), "verified");
    let mut file = ReportFile::create(&path).unwrap();
    std::io::Write::write_all(&mut file, b"half of it").unwrap();
    std::io::Write::flush(&mut file).unwrap();
    assert_eq!(verdict(), "verified");
    // The audit ends here, because a node went away.
    drop(file);
    assert_eq!(verdict(), "verified");
    let files = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(files.count(), 4, "two reports and their signatures");
}

#[test]
fn what_is_no_file_is_written_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (link, path) = (folder.path().join("latest"), folder.path().join("audit"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut file = ReportFile::create(&link).unwrap();
    std::io::Write::write_all(&mut file, b"a report").unwrap();
    file.finish(None).unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read(&path).unwrap(), b"a report");
}

/// A timer and a person begin one at once.
#[test]
fn of_two_audits_with_one_report_the_second_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (own, heading) = (key(7), heading());
    let [path, link, file] = ["audit.json", "latest", "audit"].map(|it| folder.path().join(it));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    for report in [&path, &link] {
        let mut first = ReportFile::create(report).unwrap();
        std::io::Write::write_all(&mut first, b"half of ").unwrap();
        std::io::Write::flush(&mut first).unwrap();
        let second = ReportFile::create(report).map(drop).unwrap_err();
        assert_eq!(second.code(), "bad_input");
        std::io::Write::write_all(&mut first, b"a report").unwrap();
        let signing = Signing::new(&own, &heading, 1_795_000_000);
        first.finish(Some(&signing)).unwrap();
        assert_eq!(read(report), b"half of a report");
        let signature = read(&signature_path(report));
        let verdict = code(&read(report), &signature, &expected(&[&own]));
        assert_eq!(verdict, "verified");
    }
    // What a dead one left is in nobody's way.
    std::fs::write(folder.path().join("audit.json.part"), "half of it").unwrap();
    ReportFile::create(&path).unwrap().finish(None).unwrap();
    assert_eq!(read(&path), b"");
}

#[test]
fn a_key_is_read_as_it_was_written_and_nothing_else_is() {
    let own = ReportKey::generate().unwrap();
    let pem = own.to_pem();
    assert_eq!(ReportKey::from_pem(&pem).unwrap().public(), own.public());
    assert!(!format!("{own:?}").contains(pem.lines().nth(1).unwrap()));
    // A study's auditor key in digits, and in OpenSSL's form: X25519.
    let x25519 = pem.replace("MC4CAQAwBQYDK2VwBCIEI", "MC4CAQAwBQYDK2VuBCIEI");
    assert_ne!(x25519, *pem);
    for other in [
        "ab".repeat(32),
        x25519,
        pem.replace("PRIVATE", "PUBLIC"),
        pem[..pem.len() - 3].into(),
        String::new(),
    ] {
        assert_eq!(
            ReportKey::from_pem(&other).err(),
            Some(NotAReportKey),
            "{other}"
        );
    }
}

#[test]
fn what_a_statement_cannot_name_is_said_before_the_audit() {
    let check = |signer: &str, name: &str| Signing::check(signer, &[Path::new(name)]);
    assert_eq!(check("N. N.", "folder/audit (1).json"), Ok(()));
    for name in ["a\nb.json", "a\\b.json", "..", ""] {
        assert_eq!(check("N. N.", name), Err(Unsignable::Name), "{name:?}");
    }
    for signer in ["", " ", "N.\nN.", "N. ", &"N".repeat(201)] {
        assert_eq!(
            check(signer, "a.json"),
            Err(Unsignable::Signer),
            "{signer:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_and_none_are_a_signature(
        file in prop::collection::vec(any::<u8>(), 0..200),
        report in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let expected = expected(&[&key(7)]);
        let (first, last) = (format!("# {FORM}\n"), format!("\n{SIGNATURE}0x{}\n", "00".repeat(64)));
        let nearly = [first.as_bytes(), &file, last.as_bytes()].concat();
        for file in [&file, &nearly] {
            prop_assert_ne!(code(&report, file, &expected), "verified");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Signed reports, as their auditor makes keys for them and as their readers check them: with the program, and without it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hashchain::StudyId;
use mhealth_api::{Hash, Key, Policy};
use mhealth_auditor::chain::Standing;
use mhealth_auditor::report::{page, Digest, Heading, JsonReport, Summary};
use mhealth_auditor::signature::{signature_path, ReportFile, ReportKey, Signing};
use tempfile::TempDir;

const DOCUMENT: &str = include_str!("../../docs/operating/auditing.md");

/// What the program says on standard output, and its exit status.
fn auditor(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"))
        .args(arguments)
        .output()
        .expect("the auditor starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("it ends by itself"), said)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("its name is ASCII")
}

/// A folder with a key of the program's making, and both reports of an audit, signed with it.
struct Signed {
    folder: TempDir,
    key: PathBuf,
    public: String,
    reports: [PathBuf; 2],
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("report.key");
        let (status, said) = auditor(&["key", "new", text(&key)]);
        assert_eq!(status, 0, "{said}");
        let public = said.split([' ', '=']).nth(1).expect("the public half");
        let pem = std::fs::read_to_string(&key).expect("it is written");
        let report_key = ReportKey::from_pem(&pem).expect("a report key");
        assert_eq!(report_key.public().to_string(), public);
        let reports = ["audit.json", "audit.html"].map(|name| folder.path().join(name));
        let heading = Heading {
            auditor: "N. N., clinical monitor".into(),
            program: "p".into(),
            run_at: 0,
            chain: Hash([0x11; 32]),
            study: StudyId(3),
            title: "a study".into(),
            policy: Policy::DeviceSigned,
            auditor_key: Key([0; 32]),
            block: 812,
            block_hash: Hash([0x22; 32]),
            block_time: None,
            no_export: Vec::new(),
            standing: Standing::default(),
            report_key: Some(report_key.public()),
        };
        let signing = Signing::new(&report_key, &heading, 1_795_000_000);
        let [json, html] = &reports;
        let mut file = ReportFile::create(json).expect("it is made");
        let report = JsonReport::begin(&mut file, &heading, &[]).expect("it is written");
        report.end(&Summary::default()).expect("it is written");
        file.finish(Some(&signing)).expect("it is signed");
        let mut file = ReportFile::create(html).expect("it is made");
        let page = page(&heading, &[], &Digest::default());
        std::io::Write::write_all(&mut file, page.as_bytes()).expect("it is written");
        file.finish(Some(&signing)).expect("it is signed");
        Self {
            public: public.to_owned(),
            folder,
            key,
            reports,
        }
    }

    fn verify(&self, report: &Path, more: &[&str]) -> (i32, String) {
        let arguments = ["verify-report", text(report), "--signed-by", &self.public];
        let (status, said) = auditor(&[&arguments[..], more].concat());
        let last = said.lines().last().unwrap_or_default();
        (status, last.to_owned())
    }
}

#[test]
fn a_key_is_its_owners_alone_and_never_overwritten() {
    let signed = Signed::new();
    let file = text(&signed.key);
    let mode = std::fs::metadata(&signed.key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&signed.key).unwrap();
    let (status, said) = auditor(&["key", "new", file]);
    let refused = "report_key=could_not_run error=file_exists\n";
    assert_eq!((status, said.as_str()), (3, refused));
    assert_eq!(std::fs::read(&signed.key).unwrap(), before);
    let (status, said) = auditor(&["key", "show", file]);
    assert_eq!(
        (status, said),
        (0, format!("report_key={} file={file}\n", signed.public))
    );
    // OpenSSL reads the key, and has the same public half.
    let shown = Command::new("openssl")
        .args(["pkey", "-noout", "-text_pub", "-in", file])
        .output()
        .expect("OpenSSL runs");
    let shown = String::from_utf8_lossy(&shown.stdout).replace([':', ' ', '\n'], "");
    assert!(shown.contains(&signed.public[2..]), "{shown}");
    // Nor does a key of OpenSSL's do less here.
    let other = signed.folder.path().join("openssl.key");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out", text(&other)])
        .status();
    assert!(made.expect("OpenSSL runs").success());
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(auditor(&["key", "show", text(&other)]).0, 0);

    std::fs::set_permissions(&signed.key, PermissionsExt::from_mode(0o640)).unwrap();
    let (status, said) = auditor(&["key", "show", file]);
    assert_eq!(status, 3);
    assert!(said.contains("error=file_readable_by_others"), "{said}");
    // A study's auditor key has another form.
    let digits = signed.folder.path().join("auditor.key");
    mhealth_chain_client::write_new_secret(&digits, "ab".repeat(32).as_bytes()).unwrap();
    let (status, said) = auditor(&["key", "show", text(&digits)]);
    assert_eq!(status, 3);
    assert!(said.contains("error=not_a_report_key"), "{said}");
}

#[test]
fn a_reader_is_told_what_holds_and_by_a_code_what_does_not() {
    let signed = Signed::new();
    let (chain, other_chain) = (
        format!("0x{}", "11".repeat(32)),
        format!("0x{}", "12".repeat(32)),
    );
    for report in &signed.reports {
        let more = ["--genesis", &chain, "--study", "3"];
        let (status, last) = signed.verify(report, &more);
        assert_eq!(status, 0, "{last}");
        let word = format!(
            "verified=true study=3 chain={chain} block=812 key={}",
            signed.public
        );
        assert!(last.starts_with(&word), "{last}");
        let refused = |code: &str| (1, format!("verified=false error={code}"));
        let another_chain = signed.verify(report, &["--genesis", &other_chain]);
        assert_eq!(another_chain, refused("report_of_another_chain"));
        let another_study = signed.verify(report, &["--study", "0"]);
        assert_eq!(another_study, refused("report_of_another_study"));
        let other_key = Signed {
            public: other_chain.clone(),
            ..Signed::new()
        };
        let another_key = other_key.verify(report, &[]);
        assert_eq!(another_key, refused("another_report_key"));

        let whole = std::fs::read(report).unwrap();
        let mut changed = whole.clone();
        let digit = whole.iter().rposition(u8::is_ascii_digit).unwrap();
        changed[digit] = b'0' + (changed[digit] - b'0' + 1) % 10;
        std::fs::write(report, &changed).unwrap();
        assert_eq!(signed.verify(report, &[]), refused("report_changed"));
        std::fs::write(report, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(signed.verify(report, &[]), refused("report_truncated"));
        std::fs::write(report, &whole).unwrap();
        let beside = signature_path(report);
        let moved = signed.folder.path().join("moved");
        std::fs::rename(&beside, &moved).unwrap();
        assert_eq!(signed.verify(report, &[]), refused("report_unsigned"));
        assert_eq!(signed.verify(report, &["--signature", text(&moved)]).0, 0);
        std::fs::write(&beside, "no signature").unwrap();
        assert_eq!(
            signed.verify(report, &[]),
            refused("report_signature_malformed")
        );
        std::fs::rename(&moved, &beside).unwrap();
        std::fs::remove_file(report).unwrap();
        let (status, last) = signed.verify(report, &[]);
        assert_eq!(
            (status, last.as_str()),
            (3, "verified=could_not_run error=report_unreadable")
        );
    }
}

/// The commands of the document, as a reader without this program runs them.
fn by_hand(folder: &Path, key: &str) -> (bool, String) {
    let section = DOCUMENT.split("### Without this program").nth(1);
    let section = section.expect("the section is there");
    let commands = section.split("\n```sh\n").nth(1).expect("a block");
    let commands = commands.split("\n```").next().expect("it ends");
    let output = Command::new("bash")
        .args(["-e", "-c", commands])
        .current_dir(folder)
        .env("KEY", key)
        .output()
        .expect("bash runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

#[test]
fn the_document_checks_a_report_with_openssl_alone() {
    let signed = Signed::new();
    let folder = signed.folder.path();
    let (holds, said) = by_hand(folder, &signed.public);
    assert!(holds, "{said}");
    assert!(said.contains("audit.json: OK"), "{said}");
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert!(said.contains("# study 3"), "{said}");
    // It is no ceremony: a changed digit of the report, of the statement and of the key fails.
    let report = &signed.reports[0];
    let whole = std::fs::read_to_string(report).unwrap();
    std::fs::write(report, whole.replace("812", "813")).unwrap();
    assert!(!by_hand(folder, &signed.public).0);
    std::fs::write(report, &whole).unwrap();
    let beside = signature_path(report);
    let signature = std::fs::read_to_string(&beside).unwrap();
    std::fs::write(&beside, signature.replace("study 3", "study 4")).unwrap();
    assert!(!by_hand(folder, &signed.public).0);
    std::fs::write(&beside, &signature).unwrap();
    let other = ReportKey::generate().unwrap().public().to_string();
    assert!(!by_hand(folder, &other).0);
}

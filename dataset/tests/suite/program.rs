// SPDX-License-Identifier: Apache-2.0

//! The program: its last line, its exit status, and what it leaves when it is killed.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hashchain::DeviceId;
use mhealth_dataset::keys::{KeyFolder, Lock};
use mhealth_dataset::verify;

use crate::support::nights::{study, ROWS};
use crate::support::pipes::pipe;
use crate::support::{destruction, World, BLOCK};

pub(crate) fn arguments(world: &World, out: &str) -> Vec<String> {
    let path = |name: &str| world.path(name).display().to_string();
    [
        "export".to_owned(),
        format!("--keys={}", path("keys")),
        format!("--audit={}", path("audit.json")),
        format!("--export=dave={}", path("dave.ndjson")),
        format!("--evidence={}", path("study.evidence")),
        format!("--genesis={}", world.genesis()),
        format!("--out={}", path(out)),
    ]
    .into()
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-data"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().next_back().unwrap_or_default().to_owned()
}

pub(crate) fn verify_arguments(world: &World, folder: &Path) -> Vec<String> {
    [
        "verify-dataset".to_owned(),
        folder.display().to_string(),
        format!("--evidence={}", world.path("study.evidence").display()),
        format!("--genesis={}", world.genesis()),
        format!("--holder={}", world.holder()),
        format!("--audit={}", world.path("audit.json").display()),
    ]
    .into()
}

#[test]
fn a_dataset_is_made_and_verified_in_two_commands() {
    let world = study();
    world.write();
    let made = program().args(arguments(&world, "out")).output().unwrap();
    let line = last_line(&made);
    assert_eq!(
        made.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    assert!(line.starts_with("done=true dataset="), "{line}");
    assert!(
        line.contains(&format!(
            " rows={ROWS} current=41 participants=4 devices=5 left_out=0 problems=2 block=100"
        )),
        "{line}"
    );
    let out = world.path("out");
    let verified = program()
        .args(verify_arguments(&world, &out))
        .output()
        .unwrap();
    assert_eq!(verified.status.code(), Some(0));
    assert!(last_line(&verified).starts_with("verified=true rows="));
    // Refused: status 1, the code in the last line, the reason in the message.
    let mut elsewhere = verify_arguments(&world, &out);
    elsewhere[3] = format!("--genesis={}", mhealth_api::Hash([1; 32]));
    let refused = program().args(elsewhere).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(last_line(&refused), "verified=false error=another_chain");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the dataset is of the chain"));
    std::fs::write(out.join("nights.svg"), "<svg/>").unwrap();
    let refused = program()
        .args(verify_arguments(&world, &out))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(last_line(&refused), "verified=false error=file_altered");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nights.svg"));
    // Not done: status 3.
    let again = program().args(arguments(&world, "out")).output().unwrap();
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(last_line(&again), "done=false error=output_exists");
    let mine = program()
        .args(["my-data", "P-ada"])
        .args(arguments(&world, "mine").into_iter().skip(1))
        .output()
        .unwrap();
    assert_eq!(
        mine.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&mine.stderr)
    );
    assert!(world.path("mine/my-data.html").exists());
}

#[test]
fn a_relay_that_is_named_twice_is_refused() {
    let world = study();
    world.write();
    let dave = world.path("dave.ndjson").display().to_string();
    let exporting = |name: &str| {
        let mut arguments = arguments(&world, "out");
        arguments.push(format!("--export={name}={dave}"));
        arguments
    };
    let keys = format!("--keys={}", world.path("keys").display());
    let erasing = [
        "erase",
        "P-ada",
        "--record=request 7",
        "--device=0",
        "--relay=dave=http://127.0.0.1:1",
        "--relay=eve=http://127.0.0.1:1/",
        &keys,
    ];
    let erasing = erasing.map(String::from).to_vec();
    for (arguments, why) in [
        (exporting("dave"), "two exports have the same name"),
        (exporting("eve"), "this is dave once more"),
        (erasing, "this is dave once more"),
    ] {
        let mut command = program();
        command.args(arguments).env("MHEALTH_RELAY_CREDENTIAL", "x");
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(3));
        assert_eq!(last_line(&refused), "done=false error=bad_input");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(why), "{said}");
    }
    assert!(!world.path("out").exists());
}

/// Of two phones one is known when the key is destroyed. The other one's data are erased, too, once an export has found it.
#[test]
fn a_phone_that_an_erasure_forgot_is_named_by_the_next_export() {
    let mut world = study();
    let second = DeviceId(world.phone(Some("P-bob")) as u32);
    world.night(second.0 as usize, "P-bob", 30, 300, 320);
    world.write();
    let mut destruction = destruction("P-bob", &[1]);
    world.keys.destroy(&destruction).unwrap();
    world.keys.orders("P-bob").unwrap();
    let made = program().args(arguments(&world, "out")).output().unwrap();
    let said = String::from_utf8_lossy(&made.stdout);
    let named = format!("Device {second} seals to the key of P-bob, which is destroyed");
    assert!(said.contains(&named), "{said}");

    let mut keys = KeyFolder::open(&world.path("keys")).unwrap();
    assert!(keys.forgotten().eq([(second, "P-bob")]));
    destruction.devices.clear();
    let record = keys.destroy(&destruction).unwrap();
    assert_eq!(record.devices, [DeviceId(1), second]);
    let orders = keys.orders("P-bob").unwrap();
    assert_eq!((orders.len(), &orders[1].devices[..]), (2, &[second][..]));
    let made = program().args(arguments(&world, "more")).output().unwrap();
    let said = String::from_utf8_lossy(&made.stdout);
    assert!(!said.contains(&named), "{said}");
}

#[test]
fn a_key_folder_that_another_program_uses_is_left_as_it_is() {
    let world = study();
    world.write();
    let keys = world.path("keys");
    let new = world.path("new").display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).arg("--keys").arg(&keys);
        let ended = command.env("MHEALTH_RELAY_CREDENTIAL", "x").output();
        let ended = ended.unwrap();
        (ended.status.code(), last_line(&ended))
    };
    let in_use = (Some(3), "done=false error=key_folder_in_use".to_owned());
    let destroy = ["--record=request 7", "--device=0", "P-ada"];
    let split = ["--threshold=2", "--shares=2"];
    let relay = "--relay=dave=http://127.0.0.1:1";
    let changes = [
        vec!["keys", "new", "P-new"],
        vec!["keys", "import", &new],
        vec!["keys", "back-up", "--recipient=age1", "--out", &new],
        [&["keys", "split"][..], &split, &["--out", &new]].concat(),
        [&["keys", "destroy"][..], &destroy].concat(),
        [&["erase", relay][..], &destroy].concat(),
    ];
    let reader = Lock::shared(&keys).unwrap();
    for change in &changes {
        assert_eq!(run(change), in_use, "{change:?}");
    }
    assert_eq!(run(&["keys", "list"]).0, Some(0));
    let made = program().args(arguments(&world, "out")).status();
    assert!(made.unwrap().success());
    drop(reader);

    let changing = Lock::alone(&keys).unwrap();
    assert_eq!(run(&changes[0]), in_use);
    assert_eq!(run(&["keys", "list"]), in_use);
    let refused = program().args(arguments(&world, "more")).output().unwrap();
    assert_eq!(last_line(&refused), in_use.1);
    assert!(!world.path("more").exists());
    drop(changing);

    assert!(!world.path("new").exists());
    assert_eq!(run(&changes[0]).0, Some(0));
}

#[test]
fn a_program_that_is_killed_leaves_no_dataset() {
    let world = study();
    world.write();
    for name in [
        "nights.csv",
        "nights.parquet",
        "fhir/Provenance.ndjson",
        "redcap/nights.csv",
    ] {
        let mut child = program()
            .args(arguments(&world, "out"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Until this file is begun, or the program was faster.
        while !world.path("out.unfinished").join(name).exists()
            && child.try_wait().unwrap().is_none()
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match world.path("out").exists() {
            true => {
                verify(&world.path("out"), &world.trusted()).unwrap();
                std::fs::remove_dir_all(world.path("out")).unwrap();
            }
            false => {
                let half = world.path("out.unfinished");
                assert!(!half.exists() || verify(&half, &world.trusted()).is_err());
            }
        }
    }
    // What is left over is in nobody's way.
    let made = program().args(arguments(&world, "out")).output().unwrap();
    assert_eq!(made.status.code(), Some(0));
    verify(&world.path("out"), &world.trusted()).unwrap();
}

/// Begins an export, by a program that does this with hangups. It waits for a report that nobody writes, with the folder begun: without
/// flagged entries a report is read once, and may be a pipe.
fn waiting(world: &World, hangups: &str) -> Child {
    world.write();
    let audit = world.path("audit.json");
    std::fs::remove_file(&audit).unwrap();
    pipe(&audit);
    // Whoever runs the tests may ignore hangups.
    let mut child = Command::new("env")
        .args([hangups, env!("CARGO_BIN_EXE_mhealth-data")])
        .args(arguments(world, "out"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while !world.path("out.unfinished").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    child
}

fn tell(child: &Child, signal: &str) {
    let number = child.id().to_string();
    let told = Command::new("kill").args([signal, &number]).status();
    assert!(told.unwrap().success());
}

/// Whatever it does, it can be told to end.
#[test]
fn a_program_that_is_told_to_end_leaves_nothing_of_what_it_opened() {
    let world = study();
    for signal in ["-INT", "-TERM", "-HUP", "-QUIT"] {
        let child = waiting(&world, "--default-signal=HUP");
        tell(&child, signal);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(3), "{signal}");
        assert_eq!(last_line(&ended), "done=false error=interrupted");
        assert!(!world.path("out.unfinished").exists() && !world.path("out").exists());
        std::fs::remove_file(world.path("audit.json")).unwrap();
    }
}

/// Whether a process ignores hangups, once it does anything about them. Linux says it: signal 1 is the last bit.
fn ignores_hangups(child: &mut Child) -> bool {
    let status = format!("/proc/{}/status", child.id());
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        let status = std::fs::read_to_string(&status).unwrap();
        let has = |signals: &str| {
            let digits = status.lines().find_map(|line| line.strip_prefix(signals));
            u64::from_str_radix(digits.unwrap().trim(), 16).unwrap() & 1 == 1
        };
        match (has("SigIgn:"), has("SigCgt:")) {
            (false, false) => std::thread::yield_now(),
            (ignores, _) => return ignores,
        }
    }
}

/// As `nohup` starts it. A signal that is ignored when it comes is gone, so nothing can come of it later.
#[test]
fn a_program_that_is_to_go_on_without_a_terminal_goes_on() {
    let world = study();
    let mut child = waiting(&world, "--ignore-signal=HUP");
    assert!(ignores_hangups(&mut child));
    tell(&child, "-HUP");
    let (audit, report) = (world.path("audit.json"), world.path("report.json"));
    world.write_audit(&report, BLOCK.into());
    let (into, text) = (audit.clone(), std::fs::read(&report).unwrap());
    // The report that it waits for. If it has ended, nobody reads this, and it is written for ever.
    std::thread::spawn(move || std::fs::write(into, text));
    let ended = child.wait_with_output().unwrap();
    let line = last_line(&ended);
    assert_eq!(ended.status.code(), Some(0), "{line}");
    assert!(line.starts_with("done=true dataset="), "{line}");
    std::fs::rename(&report, &audit).unwrap();
    verify(&world.path("out"), &world.trusted()).unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! Disks that are full: no half of anything is left.

use std::path::Path;
use std::process::{Command, Output};

use mhealth_dataset::manifest::MANIFEST;
use mhealth_dataset::verify;

use crate::program::{arguments, last_line};
use crate::support::nights::study;

/// The shell gives the program so much room for a file, in blocks of 512 or 1,024 bytes.
#[test]
fn a_full_disk_leaves_no_dataset() {
    let mut world = study();
    let whole = world.export(&world.job("whole")).unwrap();
    let largest = whole.files.iter().map(|file| file.bytes).max().unwrap();
    let mut room = 0;
    let mut refused = 0;
    loop {
        let ended = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
            .arg(room.to_string())
            .arg(env!("CARGO_BIN_EXE_mhealth-data"))
            .args(arguments(&world, "out"))
            .output()
            .unwrap();
        if ended.status.success() {
            break;
        }
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(last_line(&ended), "done=false error=disk_full", "{room}");
        assert!(!world.path("out").exists() && !world.path("out.unfinished").exists());
        refused += 1;
        room += 1 + room / 4;
    }
    assert!(
        refused > 5 && largest < room * 1_024,
        "{refused} {room} {largest}"
    );
    verify(&world.path("out"), &world.trusted()).unwrap();
}

#[test]
fn a_full_disk_leaves_no_half_of_a_record() {
    let world = study();
    let keys = world.path("keys");
    let destroying = |room: &str, record: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", room])
            .arg(env!("CARGO_BIN_EXE_mhealth-data"))
            .args(["keys", "destroy", "P-ada", "--device=0", "--record", record])
            .arg("--keys")
            .arg(&keys);
        command.output().unwrap()
    };
    // Room for less than this line.
    let refused = destroying("1", &"x".repeat(2_000));
    assert_eq!(last_line(&refused), "done=false error=disk_full");
    let destroyed = destroying("unlimited", "request 7");
    assert_eq!(destroyed.status.code(), Some(0));
    for name in ["erasures.ndjson", "destroyed.ndjson"] {
        let text = std::fs::read_to_string(keys.join(name)).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["record"], "request 7");
    }
}

/// What stands on a small disk when the program has ended, as its last line says.
const LEFT: &str = "left=";

/// The options of `unshare` with which this system gives file systems of one's own. Containers often give none to anybody but root, or
/// to nobody.
fn own_disks(place: &Path) -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    ways.into_iter().find(|way| {
        let tried = Command::new("unshare")
            .args(*way)
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(place)
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Runs the program with a file system of so many KiB at this place, in memory, which is gone with the namespace that it is in.
fn on_a_disk(way: &[&str], kib: u64, place: &Path, arguments: &[String]) -> Output {
    let script = format!(
        "mount -t tmpfs -o size=$0k none \"$1\" || exit 77; disk=$1; shift; \"$@\"; ended=$?; echo {LEFT}$(ls -A \"$disk\"); exit $ended"
    );
    Command::new("unshare")
        .args(way)
        .args(["sh", "-c", &script])
        .arg(kib.to_string())
        .arg(place)
        .arg(env!("CARGO_BIN_EXE_mhealth-data"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Full at the first file, at a later one, and at the manifest, when every other file is there.
#[test]
fn a_disk_without_room_for_the_rest_leaves_nothing_of_a_dataset() {
    /// A file takes whole pages.
    const PAGE: u64 = 4;
    let mut world = study();
    let whole = world.export(&world.job("whole")).unwrap();
    let pages = |bytes: u64| bytes.div_ceil(PAGE << 10) * PAGE;
    let without_manifest: u64 = whole.files.iter().map(|file| pages(file.bytes)).sum();
    let manifest = std::fs::metadata(world.path("whole").join(MANIFEST)).unwrap();
    let disk = world.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(way) = own_disks(&disk) else {
        eprintln!("skipped: this system lets nobody mount a file system of their own");
        return;
    };
    let arguments = arguments(&world, "disk/out");
    let sizes = (1..8).map(|eighths| without_manifest * eighths / 8);
    for kib in sizes.chain([without_manifest]) {
        let ended = on_a_disk(way, kib.max(PAGE), &disk, &arguments);
        let said = String::from_utf8_lossy(&ended.stdout);
        let lines: Vec<&str> = said.lines().collect();
        let wrong = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(3), "{kib} KiB: {said}{wrong}");
        let [.., told, left] = lines[..] else {
            panic!("{said}{wrong}")
        };
        assert_eq!(told, "done=false error=disk_full", "{kib} KiB: {wrong}");
        assert_eq!(left, LEFT, "{kib} KiB");
    }
    // And with room for all of it, its signature and its mark.
    let room = without_manifest + pages(manifest.len()) + 8 * PAGE;
    let ended = on_a_disk(way, room, &disk, &arguments);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert_eq!(last_line(&ended), format!("{LEFT}out"));
}

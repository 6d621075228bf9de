// SPDX-License-Identifier: Apache-2.0

//! Evidence that was made to take more memory than it has bytes.

use std::io::Write;
use std::process::Command;

use codec::{Compact, Encode};
use hashchain::{Native, Sha256};
use mhealth_auditor::evidence::{Blobs, Header, MAGIC, VERSION};
use mhealth_evidence::Digest;

/// Bytes of each file.
const FILE: usize = 60 << 20;
/// Kibibytes that the program may take for one, of address space, in which its own code and the system's libraries count.
const MOST: usize = 200 << 10;

fn header() -> Header {
    Header {
        parent_hash: [0; 32],
        number: 0,
        state_root: [0; 32],
        extrinsics_root: [0; 32],
        digest: Digest::default(),
    }
}

fn compact(count: usize) -> Vec<u8> {
    Compact(count as u32).encode()
}

/// Items of these bytes, as many as make a file, with their count before them.
fn many(item: &[u8]) -> Vec<u8> {
    let count = FILE / item.len();
    [compact(count), item.repeat(count)].concat()
}

/// The parts of a file in their order: first block, start, handovers, block, descendants, justification, nodes, study, devices.
fn file(change: impl Fn(&mut [Vec<u8>; 9])) -> Vec<u8> {
    let nothing = compact(0);
    let start = [&[0], &nothing[..]].concat();
    let mut parts = [
        header().encode(),
        start,
        nothing.clone(),
        header().encode(),
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        vec![0],
        nothing,
    ];
    change(&mut parts);
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &parts.concat()].concat();
    let checksum = Native::sha256(&bytes);
    bytes.extend(checksum);
    bytes
}

#[test]
fn no_file_of_60_megabytes_takes_more_than_200() {
    let bare = &header().encode()[..];
    let digest_of_empty_items = {
        let before = &bare[..bare.len() - 1];
        [before, &many(&[8])].concat()
    };
    let device = [&7u32.encode()[..], &[0, 0, 0, 0]].concat();
    let with_envelopes = {
        let before = [&7u32.encode()[..], &[0, 0, 1]].concat();
        [compact(1), before, many(&[0]), vec![0]].concat()
    };
    let node = [&compact(40)[..], &[0x41; 40]].concat();
    let handover = [bare, &[0]].concat();
    let files = [
        ("empty nodes", file(|it| it[6] = many(&[0]))),
        ("small nodes", file(|it| it[6] = many(&node))),
        (
            "empty nodes of the first state",
            file(|it| it[1] = [&[0], &many(&[0])[..]].concat()),
        ),
        ("handovers", file(|it| it[2] = many(&handover))),
        ("descendants", file(|it| it[4] = many(bare))),
        (
            "items of a digest",
            file(|it| it[3] = digest_of_empty_items.clone()),
        ),
        ("one justification", file(|it| it[5] = many(&[0]))),
        ("devices", file(|it| it[8] = many(&device))),
        (
            "empty envelopes",
            file(|it| {
                it[6] = [compact(1), compact(200), vec![0x41; 200]].concat();
                it[8] = with_envelopes.clone();
            }),
        ),
        (
            "entries",
            file(|it| {
                it[6] = [compact(1), compact(200), vec![0x41; 200]].concat();
                it[8] = [&compact(1)[..], &7u32.encode(), &many(&[7; 64]), &[0, 0, 0]].concat();
            }),
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hostile");
    for (name, bytes) in files {
        assert!(bytes.len() >= FILE - 100, "{name}");
        std::fs::File::create(&path)
            .unwrap()
            .write_all(&bytes)
            .unwrap();
        // What the shell limits is what it then becomes.
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -v {MOST} && exec \"$@\""))
            .args(["sh", env!("CARGO_BIN_EXE_mhealth-auditor"), "verify"])
            .arg(&path)
            .arg(format!("--genesis=0x{}", hex::encode(header().hash())))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        // Refused, or no evidence at all; not ended by the system.
        assert!(
            matches!(output.status.code(), Some(1 | 3)),
            "{name}: {output:?}"
        );
        assert!(!said.contains("verified=true"), "{name}");
    }
}

#[test]
fn a_list_of_nodes_is_as_long_in_memory_as_in_the_file() {
    let nodes: Blobs = vec![Vec::<u8>::new(); 1_000].into_iter().collect();
    assert_eq!(nodes.size(), 1_000);
}

// SPDX-License-Identifier: Apache-2.0

//! The key store in a file.

use std::{
    fs,
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use mhealth_device_host::{host::Keystore, FileKeystore};

/// Names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("read").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn programs_that_begin_at_the_same_time_have_one_key() {
    const PROGRAMS: usize = 8;
    for _ in 0..50 {
        let folder = tempfile::tempdir().expect("a folder");
        let together = Arc::new(Barrier::new(PROGRAMS));
        let begin = |_| {
            let (path, together) = (folder.path().join("key"), together.clone());
            thread::spawn(move || {
                together.wait();
                FileKeystore::open_or_create(&path)
            })
        };
        let begun: Vec<_> = (0..PROGRAMS).map(begin).collect();
        let opened = begun.into_iter().map(|it| it.join().expect("no panic"));
        let opened: Vec<FileKeystore> = opened.map(|it| it.expect("a key")).collect();
        let wrapped = opened[0].wrap(b"secret").await.expect("wrapped");
        for other in &opened {
            let secret = other.unwrap(&wrapped).await.expect("the same key");
            assert_eq!(secret.as_slice(), b"secret");
        }
        assert_eq!(names(folder.path()), ["key"]);
    }
}

#[tokio::test]
async fn a_key_that_was_begun_when_the_machine_stopped_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    fs::write(folder.path().join("key.begun"), [7_u8; 11]).expect("written");
    let first = FileKeystore::open_or_create(&path).expect("made");
    assert_eq!(fs::read(&path).expect("read").len(), 32);
    assert_eq!(names(folder.path()), ["key"]);
    let wrapped = first.wrap(b"secret").await.expect("wrapped");
    let again = FileKeystore::open_or_create(&path).expect("read");
    let secret = again.unwrap(&wrapped).await.expect("the same key");
    assert_eq!(secret.as_slice(), b"secret");
}

#[test]
fn a_file_of_another_length_is_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    for length in [0, 31, 33, 4_096] {
        let bytes = vec![7_u8; length];
        fs::write(&path, &bytes).expect("written");
        let opened = FileKeystore::open_or_create(&path);
        let error = opened.err().expect("it is none");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{length}");
        assert_eq!(fs::read(&path).expect("read"), bytes);
    }
}

#[test]
#[cfg(unix)]
fn a_key_can_be_read_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    // Somebody else's program left it there.
    let begun = folder.path().join("key.begun");
    fs::write(&begun, b"").expect("written");
    fs::set_permissions(&begun, fs::Permissions::from_mode(0o666)).expect("set");
    FileKeystore::open_or_create(&path).expect("made");
    let mode = fs::metadata(&path).expect("read").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

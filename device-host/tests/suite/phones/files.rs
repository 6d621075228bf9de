// SPDX-License-Identifier: Apache-2.0

//! Phones in a file, of which somebody has each at a time.

use std::{fs, path::Path, sync::Arc};

use mhealth_device_host::{Error, PhoneFile, Sealed, Standing, SystemEntropy};

use super::{open, seal, Desk, LONG};

/// The code of a refusal, and what the person is to do.
fn refused<T>(outcome: Result<T, Error>) -> (&'static str, &'static str) {
    let error = outcome.err().expect("somebody has it");
    (error.code(), error.advice().code())
}

const IN_USE: (&str, &str) = ("state_in_use", "close_other");

fn open_file(path: &Path) -> Result<PhoneFile, Error> {
    PhoneFile::open_or_create(path)
}

#[tokio::test]
async fn nobody_else_gets_a_phone_of_a_file_as_long_as_somebody_has_it() {
    let desk = Desk::new().await;
    let file = open_file(&desk.folder.path().join("phones.db")).expect("a file");
    let entropy = Arc::new(SystemEntropy);
    let part = file.phone(7).expect("nobody has it");
    let phone = open(part, &desk.keystore(), entropy.clone()).await;
    let phone = phone.expect("opened");
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    assert_eq!(refused(file.phone(7)), IN_USE);
    assert_eq!(refused(file.clone().phone(7)), IN_USE);
    file.phone(8).expect("another one is nobody's");

    // Who comes later goes on where the one before was.
    assert!(matches!(seal(&phone, "night 1"), Ok(Sealed::New(_))));
    drop(phone);
    let part = file.phone(7).expect("nobody has it any more");
    let phone = open(part, &desk.keystore(), entropy).await.expect("opened");
    match seal(&phone, "night 2").expect("sealed") {
        Sealed::New(entry) => assert_eq!(entry.sequence, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 2);
}

#[test]
fn nobody_else_gets_a_file_of_phones_as_long_as_somebody_has_any_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("phones.db");
    let file = open_file(&path).expect("a file");
    assert_eq!(refused(open_file(&path)), IN_USE);
    let part = file.phone(7).expect("nobody has it");
    let other = file.clone();
    for left in [file, other] {
        drop(left);
        assert_eq!(refused(open_file(&path)), IN_USE);
    }
    drop(part);
    // What is left beside it keeps nobody out.
    assert!(folder.path().join("phones.db.lock").exists());
    let file = open_file(&path).expect("nobody has it any more");
    file.phone(7).expect("nobody has it");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_of_phones_is_the_same_file_and_all_of_it_is_its_owners() {
    use std::os::unix::fs::{symlink, PermissionsExt};
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (path, link) = (
        folder.path().join("phones.db"),
        elsewhere.path().join("link"),
    );
    let _file = open_file(&path).expect("a file");
    symlink(&path, &link).expect("linked");
    assert_eq!(refused(open_file(&link)), IN_USE);
    for file in fs::read_dir(folder.path()).expect("listed").flatten() {
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}

// SPDX-License-Identifier: Apache-2.0

mod copies;
mod erasing;
mod shared;

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const WHOSE: Whose = Whose {
    chain: Hash([7; 32]),
    study: StudyId(3),
};
const AT: &str = "2026-11-29T12:00:00Z";

fn folder() -> (TempDir, KeyFolder) {
    let place = TempDir::new().unwrap();
    let mut folder = KeyFolder::create(&place.path().join("keys"), WHOSE).unwrap();
    for participant in ["P-1", "P-2", "P-3"] {
        folder.add(participant).unwrap();
    }
    (place, folder)
}

fn public(folder: &KeyFolder) -> Vec<(String, Key)> {
    let keys = folder.public_keys();
    keys.map(|(participant, key)| (participant.to_owned(), key))
        .collect()
}

fn destruction(participant: &str) -> Destruction {
    Destruction {
        participant: participant.into(),
        devices: vec![DeviceId(4)],
        no_device: false,
        record: "request 7".into(),
        at: AT.into(),
    }
}

#[test]
fn keys_come_back_and_debug_shows_none() {
    let (_place, folder) = folder();
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
    assert_eq!(
        again.holder().unwrap().to_bytes(),
        folder.holder().unwrap().to_bytes()
    );
    for (_, key) in again.keys() {
        assert!(!format!("{again:?}").contains(&hex::encode(key.expose())));
    }
}

#[test]
fn a_person_is_found_by_pseudonym_key_and_digest_also_when_the_key_is_destroyed() {
    let (_place, mut folder) = folder();
    let digest = |key: Key| {
        Hash(hashchain::participant_digest::<hashchain::Native>(Some(
            &key.0,
        )))
    };
    let people = public(&folder);
    for destroyed in [false, true] {
        for (participant, key) in &people {
            if destroyed {
                folder.destroy(&destruction(participant)).unwrap();
            }
            let names = [
                participant.clone(),
                key.to_string(),
                digest(*key).to_string(),
            ];
            for name in names {
                assert_eq!(folder.person(&name).unwrap(), *participant);
            }
        }
    }
    for nobody in ["P-4", "", &Key([9; 32]).to_string()] {
        let error = folder.person(nobody).unwrap_err();
        assert_eq!(error.code(), "no_such_participant");
    }
}

#[test]
fn files_are_for_their_owner_only_and_refused_when_they_are_not() {
    let (_place, folder) = folder();
    let file = folder.key_file("P-2");
    for path in [&file, &folder.holder_file()] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = KeyFolder::open(&folder.path).unwrap_err();
    assert_eq!(refused.code(), "file_readable_by_others");
}

/// The files are named after participants.
#[test]
fn folders_are_for_their_owner_only_and_refused_when_they_are_not() {
    let (place, folder) = folder();
    let allow = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in [&folder.path, &folder.path.join("participants")] {
        allow(path, 0o750);
        let refused = KeyFolder::open(&folder.path).unwrap_err();
        assert_eq!(refused.code(), "file_readable_by_others");
        assert!(refused.to_string().contains("chmod 700"));
        allow(path, 0o700);
        KeyFolder::open(&folder.path).unwrap();
    }
    let there = place.path().join("there");
    fs::create_dir(&there).unwrap();
    allow(&there, 0o755);
    let refused = KeyFolder::create(&there, WHOSE).unwrap_err();
    assert_eq!(refused.code(), "file_readable_by_others");
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
}

#[test]
fn a_folder_of_another_study_is_refused() {
    let (_place, folder) = folder();
    let other = Whose {
        study: StudyId(4),
        ..WHOSE
    };
    let refused = KeyFolder::create(&folder.path, other).unwrap_err();
    assert_eq!(refused.code(), "keys_of_another_study");
    let none = KeyFolder::open(&folder.path.join("participants")).unwrap_err();
    assert_eq!(none.code(), "no_key_folder");
}

#[test]
fn nobody_gets_a_second_key_and_odd_pseudonyms_stay_inside_the_folder() {
    let (_place, mut folder) = folder();
    assert_eq!(folder.add("P-1").unwrap_err().code(), "key_exists");
    for bad in ["", "a b", "a\nb", &"x".repeat(65)] {
        assert_eq!(folder.add(bad).unwrap_err().code(), "bad_pseudonym");
    }
    folder.add("../../etc/passwd").unwrap();
    folder.add("Zoë.").unwrap();
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
}

#[test]
fn nobody_gets_a_name_that_is_taken_for_anothers() {
    let (place, mut folder) = folder();
    folder.destroy(&destruction("P-3")).unwrap();
    for (name, code) in [
        ("p-2", "names_look_alike"),
        ("p-3", "names_look_alike"),
        ("Ｐ-1", "names_look_alike"),
        ("P-1\u{200b}", "bad_pseudonym"),
        ("=P-1", "bad_pseudonym"),
    ] {
        assert_eq!(folder.add(name).unwrap_err().code(), code, "{name:?}");
    }
    let file = place.path().join("trial.participants");
    let digits = "8".repeat(64);
    files::write_new(&file, format!("a {digits}\nA {digits}\n").as_bytes()).unwrap();
    let refused = folder.import(&file).unwrap_err();
    assert_eq!(refused.code(), "names_look_alike");
    assert_eq!(public(&folder).len(), 2);
    // Nor is anybody found, and erased, by a name that looks like the one that was meant.
    let refused = folder.person("p-2").unwrap_err();
    assert_eq!(refused.code(), "names_look_alike");
}

#[test]
fn of_several_keys_all_are_made_or_none() {
    let (_place, mut folder) = folder();
    // A name that cannot be written, behind one that can.
    fs::create_dir(folder.key_file("P-6")).unwrap();
    folder.destroy(&destruction("P-3")).unwrap();
    for (last, code) in [
        ("bad name", "bad_pseudonym"),
        ("P-2", "key_exists"),
        ("P-3", "key_destroyed"),
        ("P-4", "key_exists"),
        ("P-6", "file_exists"),
    ] {
        let refused = folder.add_all(&["P-4".into(), last.into()]).unwrap_err();
        assert_eq!(refused.code(), code, "{last}");
        assert_eq!(public(&folder).len(), 2);
        assert!(!folder.key_file("P-4").exists(), "{last}");
    }
    fs::remove_dir(folder.key_file("P-6")).unwrap();
    let made = folder.add_all(&["P-6".into(), "P-4".into()]).unwrap();
    let keys = public(&KeyFolder::open(&folder.path).unwrap());
    assert_eq!(keys[2], ("P-4".to_owned(), Key(made[1].0)));
    assert_eq!(keys[3], ("P-6".to_owned(), Key(made[0].0)));
}

#[test]
fn a_damaged_key_file_is_named() {
    let (_place, folder) = folder();
    let file = folder.key_file("P-2");
    let line = fs::read_to_string(&file).unwrap();
    for bad in [&line[..20], "P-2 nonsense\n", &line.replace("P-2", "P-9")] {
        fs::write(&file, bad).unwrap();
        let refused = KeyFolder::open(&folder.path).unwrap_err();
        assert_eq!(refused.code(), "key_folder_damaged");
        assert!(refused.to_string().contains("P-2.key"));
        assert!(!refused.to_string().contains(&line[4..20]));
    }
}

#[test]
fn the_simulators_key_file_is_taken_whole_or_not_at_all() {
    let (place, mut folder) = folder();
    let file = place.path().join("trial.participants");
    let line = |who: &str, digit: &str| format!("{who} {}\n", digit.repeat(64));
    fs::write(&file, line("P-8", "8") + &line("P-1", "1")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = folder.import(&file).unwrap_err();
    assert_eq!(refused.code(), "file_readable_by_others");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(folder.import(&file).unwrap_err().code(), "another_key");
    assert_eq!(public(&folder).len(), 3);
    fs::write(&file, line("P-8", "8") + "P-9 99\n").unwrap();
    let refused = folder.import(&file).unwrap_err();
    assert_eq!(refused.code(), "bad_key_line");
    assert!(refused.to_string().contains("line 2"));
    fs::write(&file, line("P-8", "8") + &line("P-9", "9")).unwrap();
    assert_eq!(folder.import(&file).unwrap(), 2);
    // Again: nothing changes.
    assert_eq!(folder.import(&file).unwrap(), 2);
    assert_eq!(public(&KeyFolder::open(&folder.path).unwrap()).len(), 5);
}

#[test]
fn a_folder_that_one_changes_is_nobody_elses_meanwhile() {
    let (place, folder) = folder();
    let (path, out) = (folder.path.clone(), place.path().join("shares"));
    let shares = folder.split(2, 2, &out, AT).unwrap();
    let alone = Lock::alone(&path).unwrap();
    for other in [Lock::alone(&path), Lock::shared(&path)] {
        assert_eq!(other.unwrap_err().code(), "key_folder_in_use");
    }
    let refused = KeyFolder::join(&path, &shares).unwrap_err();
    assert_eq!(refused.code(), "key_folder_in_use");
    drop(alone);
    // Those who read are not in each other's way.
    let readers = [(); 2].map(|()| Lock::shared(&path).unwrap());
    let refused = Lock::alone_in_new(&path, WHOSE).unwrap_err();
    assert_eq!(refused.code(), "key_folder_in_use");
    drop(readers);
    assert_eq!(KeyFolder::join(&path, &shares).unwrap().1, 3);
    // No folder is made by asking for it.
    let none = place.path().join("none");
    for lock in [Lock::alone(&none), Lock::shared(&none)] {
        assert_eq!(lock.unwrap_err().code(), "no_key_folder");
    }
    assert!(!none.exists());
}

/// A disk that was full, or a program that was killed, leaves half a line. What was durable before it counts.
#[test]
fn half_a_line_is_no_line_and_is_in_nobodys_way() {
    let (place, mut folder) = folder();
    let at = |number: u32, participant: &str| {
        BTreeMap::from([(DeviceId(number), participant.to_owned())])
    };
    folder.remember(&at(1, "P-1")).unwrap();
    folder.remember_copy("a copy", AT).unwrap();
    folder.destroy(&destruction("P-2")).unwrap();
    let orders = folder.orders("P-2").unwrap();
    let files = ["devices", "copies", "destroyed", "erasures", "orders"];
    let files = files.map(|name| folder.file(&format!("{name}.ndjson")));
    let whole = files.clone().map(|file| fs::read(file).unwrap());
    for (file, bytes) in files.iter().zip(&whole) {
        // In the middle of a letter of two bytes.
        let torn = [&bytes[..], b"{\"participant\":\"Zo\xc3"].concat();
        fs::write(file, torn).unwrap();
    }

    let mut again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(again.owner(DeviceId(1)), Some("P-1"));
    assert_eq!(again.orders("P-2").unwrap(), orders);
    again.remember(&at(2, "P-3")).unwrap();
    let copies = again.split(2, 2, &place.path().join("split"), AT);
    assert_eq!(copies.unwrap().len(), 2);
    let third = Destruction {
        devices: vec![DeviceId(2)],
        ..destruction("P-3")
    };
    assert_eq!(again.destroy(&third).unwrap().copies.len(), 2);
    again.orders("P-3").unwrap();
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(again.owner(DeviceId(2)), Some("P-3"));
    assert_eq!(again.destroyed().count(), 2);
    for (file, bytes) in files.iter().zip(&whole) {
        let now = fs::read_to_string(file).unwrap();
        assert!(now.starts_with(std::str::from_utf8(bytes).unwrap()));
        assert!(now.len() > bytes.len() && now.ends_with("}\n"), "{now}");
    }

    // A line that is whole is no such thing.
    let damaged = fs::read_to_string(&files[2]).unwrap();
    fs::write(&files[2], damaged.replacen("{", "", 1)).unwrap();
    let refused = KeyFolder::open(&folder.path).unwrap_err();
    assert_eq!(refused.code(), "key_folder_damaged");
}

#[test]
fn half_a_key_is_no_key() {
    let (_place, mut folder) = folder();
    let half = folder.key_file("P-4").with_extension("half");
    fs::write(&half, "P-4 0123").unwrap();
    assert_eq!(public(&KeyFolder::open(&folder.path).unwrap()).len(), 3);
    folder.add("P-4").unwrap();
    assert!(!half.exists());
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
}

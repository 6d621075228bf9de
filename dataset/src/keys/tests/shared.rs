// SPDX-License-Identifier: Apache-2.0

//! A key is one participant's, and a destroyed one is nobody's, whatever name it comes under.

use super::*;

/// A participant's private key.
fn digits(folder: &KeyFolder, participant: &str) -> String {
    hex::encode(folder.participants[participant].expose())
}

/// A file as `keys import` takes it.
fn listed(place: &TempDir, name: &str, lines: &str) -> PathBuf {
    let file = place.path().join(format!("{name}.participants"));
    files::write_new(&file, lines.as_bytes()).unwrap();
    file
}

#[test]
fn one_key_under_two_names_is_refused_wherever_it_comes_from() {
    let (place, mut folder) = folder();
    let (own, new) = (digits(&folder, "P-1"), "8".repeat(64));
    // Of these bits X25519 takes no notice: it is the same key.
    let first = u8::from_str_radix(&own[..2], 16).unwrap() ^ 7;
    let alike = format!("{first:02x}{}", &own[2..]);
    for (name, lines) in [
        ("own", format!("W-1 {own}\n")),
        ("alike", format!("P-8 {new}\nW-1 {alike}\n")),
        ("new", format!("P-8 {new}\nP-9 {new}\n")),
    ] {
        let file = listed(&place, name, &lines);
        let refused = folder.import(&file).unwrap_err();
        assert_eq!(refused.code(), "same_key", "{name}");
        assert_eq!(public(&folder).len(), 3);
        for none in ["W-1", "P-8", "P-9"] {
            assert!(!folder.key_file(none).exists(), "{name} {none}");
        }
    }

    // From a copy of another folder, and from one that has it twice.
    let mut other = KeyFolder::create(&place.path().join("other"), WHOSE).unwrap();
    let taken = other.import(&listed(&place, "other", &format!("W-1 {own}\n")));
    assert_eq!(taken.unwrap(), 1);
    let out = place.path().join("shares");
    let shares = other.split(2, 2, &out, AT).unwrap();
    let refused = KeyFolder::join(&folder.path, &shares).unwrap_err();
    assert_eq!(refused.code(), "same_key");
    let words = refused.to_string();
    assert!(words.contains("P-1") && words.contains("W-1"), "{words}");
    assert!(!folder.key_file("W-1").exists());
    let bundle = folder.bundle().unwrap();
    let twice = bundle.replace(&digits(&folder, "P-2"), &own);
    let target = place.path().join("joined");
    let refused = KeyFolder::unbundle(&target, twice.as_bytes()).unwrap_err();
    assert_eq!(refused.code(), "same_key");
    assert!(!target.join("holder.key").exists());
    let named = bundle.replace("\"P-2\"", "\"P-1\"");
    let refused = KeyFolder::unbundle(&target, named.as_bytes()).unwrap_err();
    assert_eq!(refused.code(), "not_a_back_up");

    // By hand.
    let file = folder.key_file("W-1");
    files::write_new(&file, format!("W-1 {own}\n").as_bytes()).unwrap();
    let refused = KeyFolder::open(&folder.path).unwrap_err();
    assert_eq!(refused.code(), "same_key");
    fs::remove_file(file).unwrap();
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
}

#[test]
fn a_destroyed_key_comes_back_under_no_other_name() {
    let (place, mut folder) = folder();
    let line = format!("W-2 {}\n", digits(&folder, "P-2"));
    let file = listed(&place, "later", &line);
    let mut renamed = KeyFolder::create(&place.path().join("renamed"), WHOSE).unwrap();
    renamed.import(&file).unwrap();
    let out = place.path().join("shares");
    let shares = renamed.split(2, 2, &out, AT).unwrap();
    folder.destroy(&destruction("P-2")).unwrap();
    for refused in [
        folder.import(&file).unwrap_err(),
        KeyFolder::join(&folder.path, &shares).unwrap_err(),
    ] {
        assert_eq!(refused.code(), "key_destroyed");
        assert!(refused.to_string().contains("P-2"), "{refused}");
    }
    assert!(!folder.key_file("W-2").exists());

    // Whoever puts it there by hand has nothing of it, and who erases once more takes it away.
    files::write_new(&folder.key_file("W-2"), line.as_bytes()).unwrap();
    let mut again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
    assert_eq!(again.left().collect::<Vec<_>>(), ["P-2"]);
    again.destroy(&destruction("P-2")).unwrap();
    assert!(!folder.key_file("W-2").exists());
    assert_eq!(again.left().count(), 0);

    // A folder that has it under the other name learns of it from a copy.
    let out = place.path().join("after");
    let after = folder.split(2, 2, &out, AT).unwrap();
    let (mut learned, taken) = KeyFolder::join(&renamed.path, &after).unwrap();
    assert_eq!((taken, public(&learned)), (2, public(&folder)));
    let opened = KeyFolder::open(&renamed.path).unwrap();
    assert_eq!(public(&opened), public(&folder));
    assert_eq!(learned.left().collect::<Vec<_>>(), ["P-2"]);
    learned.destroy(&destruction("P-2")).unwrap();
    assert!(!learned.key_file("W-2").exists());
    let refused = KeyFolder::join(&renamed.path, &shares).unwrap_err();
    assert_eq!(refused.code(), "key_destroyed");
}

/// Two folders of a study, each with a key for one participant, may be put together after both keys are gone.
#[test]
fn of_two_keys_that_a_participant_had_neither_comes_back() {
    let (place, mut folder) = folder();
    let mut other = KeyFolder::create(&place.path().join("other"), WHOSE).unwrap();
    other.add("P-2").unwrap();
    let keys = [digits(&folder, "P-2"), digits(&other, "P-2")];
    for folder in [&mut folder, &mut other] {
        folder.destroy(&destruction("P-2")).unwrap();
    }
    let out = place.path().join("shares");
    let shares = other.split(2, 2, &out, AT).unwrap();
    let (mut joined, _) = KeyFolder::join(&folder.path, &shares).unwrap();
    for (name, key) in ["W-2", "W-3"].into_iter().zip(&keys) {
        let file = listed(&place, name, &format!("{name} {key}\n"));
        let refused = joined.import(&file).unwrap_err();
        assert_eq!(refused.code(), "key_destroyed", "{name}");
    }
}

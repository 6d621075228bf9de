// SPDX-License-Identifier: Apache-2.0

//! What copies bring back: keys, and what is on record of those that are gone.

use std::process::Command;

use super::super::backup::To;
use super::*;

const RECORDS: [&str; 5] = ["devices", "copies", "destroyed", "erasures", "orders"];

fn records(folder: &KeyFolder) -> [String; 5] {
    RECORDS.map(|name| fs::read_to_string(folder.file(&format!("{name}.ndjson"))).unwrap())
}

fn split(folder: &KeyFolder, place: &TempDir, name: &str) -> Vec<PathBuf> {
    folder.split(2, 2, &place.path().join(name), AT).unwrap()
}

/// A folder from which P-2 was erased, with a copy from before and one from after.
fn erased() -> (TempDir, KeyFolder, [Vec<PathBuf>; 2]) {
    let (place, mut folder) = folder();
    let before = split(&folder, &place, "before");
    let devices = BTreeMap::from([(DeviceId(7), "P-1".to_owned())]);
    folder.remember(&devices).unwrap();
    folder.destroy(&destruction("P-2")).unwrap();
    folder.orders("P-2").unwrap();
    let after = split(&folder, &place, "after");
    (place, folder, [before, after])
}

#[test]
fn a_copy_brings_the_records_of_erasures_back() {
    let (place, folder, [before, after]) = erased();
    let target = place.path().join("joined");
    let (mut joined, taken) = KeyFolder::join(&target, &after).unwrap();
    assert_eq!((taken, public(&joined)), (2, public(&folder)));
    assert_eq!(records(&joined), records(&folder));
    assert_eq!(joined.orders("P-2").unwrap(), folder.orders("P-2").unwrap());
    assert_eq!(joined.owner(DeviceId(7)), Some("P-1"));
    assert_eq!(joined.add("P-2").unwrap_err().code(), "key_destroyed");
    // The copy from before has the key, and does not bring it back here. Nor does it change anything.
    let refused = KeyFolder::join(&target, &before).unwrap_err();
    assert_eq!(refused.code(), "key_destroyed");
    assert!(!joined.key_file("P-2").exists());
    assert_eq!(records(&joined), records(&folder));
    // Once more: nothing stands there twice.
    KeyFolder::join(&target, &after).unwrap();
    assert_eq!(records(&joined), records(&folder));
    // The copy that the folder is from has the other keys.
    let destroyed = joined.destroy(&destruction("P-3")).unwrap();
    assert_eq!(destroyed.copies.len(), 2, "{:?}", destroyed.copies);
}

#[test]
fn a_folder_that_has_a_destroyed_key_still_learns_of_it_from_a_copy() {
    let (place, folder, [before, after]) = erased();
    let target = place.path().join("joined");
    let (behind, _) = KeyFolder::join(&target, &before).unwrap();
    assert_eq!((public(&behind).len(), behind.left().count()), (3, 0));
    let (mut joined, _) = KeyFolder::join(&target, &after).unwrap();
    assert_eq!(public(&joined), public(&folder));
    assert_eq!(joined.left().collect::<Vec<_>>(), ["P-2"]);
    joined.destroy(&destruction("P-2")).unwrap();
    assert!(!joined.key_file("P-2").exists());
    assert_eq!(joined.left().count(), 0);
}

/// Two folders of one study grew apart: in one of them a name has a key, and in the other one it was erased as a plain phone's.
#[test]
fn a_name_that_was_erased_without_a_key_takes_nobodys_key_out_of_use() {
    let (place, mut folder) = folder();
    let before = split(&folder, &place, "before");
    let (mut other, _) = KeyFolder::join(&place.path().join("other"), &before).unwrap();
    folder.add("P-7").unwrap();
    other.erase_plain(&destruction("P-7")).unwrap();
    let plain = split(&other, &place, "plain");
    let refused = KeyFolder::join(&folder.path, &plain).unwrap_err();
    assert_eq!(refused.code(), "bad_input", "{refused}");
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again), public(&folder));
    assert_eq!((again.destroyed().count(), again.left().count()), (0, 0));
    // Nor does the other one's record become that of a key.
    folder.destroy(&destruction("P-7")).unwrap();
    let destroyed = split(&folder, &place, "destroyed");
    let refused = KeyFolder::join(&other.path, &destroyed).unwrap_err();
    assert_eq!(refused.code(), "bad_input", "{refused}");
    let again = KeyFolder::open(&other.path).unwrap();
    assert_eq!(again.public_key("P-7").unwrap(), None);
}

#[test]
fn a_copy_with_other_records_is_refused_and_nothing_of_it_is_taken() {
    let (place, folder, _) = erased();
    let bundle = folder.bundle().unwrap();
    let changes = [
        ("mhealth-key-copy/2", "mhealth-keys/1"),
        ("erased_at", "erased_when"),
        (
            r#"devices\":[4],\"erased_at"#,
            r#"devices\":[5],\"erased_at"#,
        ),
        (r#""records":{"#, r#""records":{"more":"","#),
    ];
    for (number, (from, to)) in changes.into_iter().enumerate() {
        assert!(bundle.contains(from), "{from}");
        let changed = bundle.replace(from, to);
        let target = place.path().join(number.to_string());
        let refused = KeyFolder::unbundle(&target, changed.as_bytes()).unwrap_err();
        assert_eq!(refused.code(), "not_a_back_up", "{from}");
        assert!(!target.join("holder.key").exists() && !target.join("orders.ndjson").exists());
    }
}

#[test]
fn a_key_is_in_every_copy_from_its_first_one_on() {
    let (place, mut folder) = folder();
    split(&folder, &place, "one");
    folder.add("P-4").unwrap();
    split(&folder, &place, "two");
    split(&folder, &place, "three");
    for (participant, copies) in [("P-1", 3), ("P-4", 2)] {
        let destroyed = folder.destroy(&destruction(participant)).unwrap();
        assert_eq!(destroyed.copies.len(), copies, "{participant}");
    }
}

#[test]
fn any_three_of_five_shares_bring_the_keys_back_and_no_two_do() {
    let (place, folder) = folder();
    let shares = folder
        .split(3, 5, &place.path().join("shares"), AT)
        .unwrap();
    let mut tried = 0;
    for subset in 1_u32..32 {
        let chosen: Vec<PathBuf> = (0..5)
            .filter(|bit| subset & (1 << bit) != 0)
            .map(|bit| shares[bit].clone())
            .collect();
        let target = place.path().join(format!("joined-{subset}"));
        let joined = KeyFolder::join(&target, &chosen);
        match chosen.len() {
            0..3 => {
                assert_eq!(joined.unwrap_err().code(), "too_few_shares");
                assert!(!target.exists());
            }
            _ => {
                let (joined, taken) = joined.unwrap();
                assert_eq!((taken, public(&joined)), (3, public(&folder)));
                let holder = joined.holder().unwrap().to_bytes();
                assert_eq!(holder, folder.holder().unwrap().to_bytes());
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 16);
    // One share three times is one share.
    let thrice = [&shares[0], &shares[0], &shares[0]].map(Clone::clone);
    let few = KeyFolder::join(&place.path().join("thrice"), &thrice).unwrap_err();
    assert_eq!(few.code(), "too_few_shares");
}

#[test]
fn damaged_and_foreign_shares_are_named() {
    let (place, folder) = folder();
    let one = folder.split(2, 3, &place.path().join("one"), AT).unwrap();
    let two = folder.split(2, 3, &place.path().join("two"), AT).unwrap();
    let target = place.path().join("joined");
    let mixed = KeyFolder::join(&target, &[one[0].clone(), two[1].clone()]).unwrap_err();
    assert_eq!(mixed.code(), "bad_share");
    assert!(mixed.to_string().contains("two/share-2-of-3.json"));
    let text = fs::read_to_string(&one[1]).unwrap();
    for (from, to) in [
        ("\"index\":2", "\"index\":3"),
        ("\"threshold\":2", "\"threshold\":1"),
        ("\"share\":\"A", "\"share\":\"B"),
        ("mhealth-key-share/1", "mhealth-key-share/2"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        fs::write(&one[1], changed).unwrap();
        let refused = KeyFolder::join(&target, &one[..2]).unwrap_err();
        assert_eq!(refused.code(), "bad_share", "{from}");
    }
    assert!(!target.exists());
}

#[test]
fn age_backs_the_keys_up_and_only_its_recipient_restores_them() {
    let (place, folder) = folder();
    let identity = |name: &str| {
        let file = place.path().join(name);
        let made = Command::new("age-keygen").arg("-o").arg(&file).output();
        let made = made.expect("age is installed: scripts/setup does it");
        let said = String::from_utf8(made.stderr).unwrap();
        let recipient = said.split_whitespace().last().unwrap().to_owned();
        (file, recipient)
    };
    let (own, recipient) = identity("own");
    let (other, _) = identity("other");
    let out = place.path().join("keys.age");
    let to = To::Recipients(vec![recipient]);
    folder.back_up(&to, &out, "back-up keys.age", AT).unwrap();
    let bytes = fs::read(&out).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Of a copy that never was nothing is left, nor is it remembered.
    let copies = folder.file("copies.ndjson");
    let remembered = fs::read_to_string(&copies).unwrap();
    let never = place.path().join("never.age");
    let nobody = To::Recipients(vec!["age1nobody".into()]);
    let refused = folder.back_up(&nobody, &never, "never", AT).unwrap_err();
    assert_eq!(refused.code(), "age_failed");
    assert!(!never.exists());
    assert_eq!(fs::read_to_string(&copies).unwrap(), remembered);
    let again = folder.back_up(&to, &out, "again", AT).unwrap_err();
    assert_eq!(again.code(), "output_exists");

    let target = place.path().join("restored");
    let refused = KeyFolder::restore(&target, &out, Some(&other)).unwrap_err();
    assert_eq!(refused.code(), "age_failed");
    assert!(!target.exists());
    let (restored, taken) = KeyFolder::restore(&target, &out, Some(&own)).unwrap();
    assert_eq!((taken, public(&restored)), (3, public(&folder)));

    let mut torn = bytes;
    let last = torn.len() - 1;
    torn[last] ^= 1;
    fs::write(&out, torn).unwrap();
    let target = place.path().join("torn");
    let refused = KeyFolder::restore(&target, &out, Some(&own)).unwrap_err();
    assert_eq!(refused.code(), "age_failed");
    assert!(!target.exists());
}

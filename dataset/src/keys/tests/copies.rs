// SPDX-License-Identifier: Apache-2.0

//! What copies bring back: keys, and what is on record of those that are gone.

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

// SPDX-License-Identifier: Apache-2.0

//! Keys that are destroyed, and the orders that follow.

use mhealth_api::ErasureOrder;
use mhealth_auditor::audit::Erasure;

use super::*;

#[test]
fn a_destroyed_key_is_gone_on_record_and_no_copy_brings_it_back() {
    let (place, mut folder) = folder();
    let shares = folder
        .split(2, 2, &place.path().join("shares"), AT)
        .unwrap();
    let secret = folder.participants["P-2"].expose().to_vec();
    let file = folder.key_file("P-2");
    let unknown = Destruction {
        devices: Vec::new(),
        ..destruction("P-2")
    };
    let refused = folder.destroy(&unknown).unwrap_err();
    assert_eq!(refused.code(), "unknown_devices");
    assert!(file.exists());

    let record = folder.destroy(&destruction("P-2")).unwrap();
    assert_eq!(record.devices, [DeviceId(4)]);
    assert_eq!(record.copies.len(), 1, "the split has it still");
    assert!(!file.exists());
    let erasures = fs::read_to_string(folder.file("erasures.ndjson")).unwrap();
    let expected = format!("{{\"device\":4,\"erased_at\":\"{AT}\",\"record\":\"request 7\"}}\n");
    assert_eq!(erasures, expected);
    // Nothing in the folder has it.
    for entry in fs::read_dir(&folder.path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains(&hex::encode(&secret)));
        }
    }
    let again = folder.destroy(&destruction("P-2")).unwrap();
    assert_eq!(again, record);
    let refused = KeyFolder::join(&folder.path, &shares).unwrap_err();
    assert_eq!(refused.code(), "key_destroyed");
    let mut opened = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&opened).len(), 2);
    assert_eq!(opened.add("P-2").unwrap_err().code(), "key_destroyed");
}

#[test]
fn an_order_to_erase_is_made_once_and_binds_what_the_chain_knows() {
    let (_place, mut folder) = folder();
    let refused = folder.orders("P-2").unwrap_err();
    assert_eq!(refused.code(), "no_such_participant", "its key is there");
    let key = folder.participants["P-2"].sealing_key().0;
    let mut destruction = destruction("P-2");
    destruction.devices = vec![DeviceId(9), DeviceId(4)];
    folder.destroy(&destruction).unwrap();
    let [order]: [ErasureOrder; 1] = folder.orders("P-2").unwrap().try_into().unwrap();
    assert!(order.is_signed() && order.is_in_order());
    let holder = folder.holder().unwrap().verifying_key().to_bytes();
    assert_eq!((order.holder.0, order.chain), (holder, WHOSE.chain));
    assert_eq!((order.study, order.erased_at), (WHOSE.study, 1_795_953_600));
    assert_eq!(order.devices, [DeviceId(4), DeviceId(9)]);
    let digest = hashchain::participant_digest::<hashchain::Native>(Some(&key));
    assert_eq!(order.participant.0, digest);
    // Auditors get it with the text that it binds.
    let text = fs::read_to_string(folder.file("erasures.ndjson")).unwrap();
    let erasures: Vec<Erasure> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let with_order = erasures.iter().filter(|line| line.order.is_some());
    let with_order: Vec<_> = with_order.collect();
    assert_eq!(with_order.len(), 2);
    for line in with_order {
        assert_eq!(line.order.as_ref(), Some(&order));
        assert_eq!(order.record, ErasureOrder::record_of(&line.record));
    }
    // It stays the same, even if the holder has another key by now.
    fs::remove_file(folder.holder_file()).unwrap();
    folder.write_holder(&[9; 32]).unwrap();
    let again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(again.orders("P-2").unwrap(), [order]);
    // And a changed one is not given to anybody.
    let file = folder.file("orders.ndjson");
    let changed = fs::read_to_string(&file).unwrap();
    let changed = changed.replace("\"devices\":[4,9]", "\"devices\":[4,8]");
    fs::write(&file, changed).unwrap();
    assert_eq!(
        again.orders("P-2").unwrap_err().code(),
        "key_folder_damaged"
    );
}

#[test]
fn whose_phones_seal_to_nobody_is_on_record_without_a_key() {
    let (_place, mut folder) = folder();
    let plain = Destruction {
        devices: vec![DeviceId(7), DeviceId(4)],
        ..destruction("P-plain")
    };
    let record = folder.erase_plain(&plain).unwrap();
    assert_eq!(record.key, None);
    assert_eq!(record.devices, [DeviceId(4), DeviceId(7)]);
    let [order]: [ErasureOrder; 1] = folder.orders("P-plain").unwrap().try_into().unwrap();
    let nobody = hashchain::participant_digest::<hashchain::Native>(None);
    assert_eq!(order.participant.0, nobody);
    assert!(order.is_signed() && order.devices == record.devices);
    // Once more, and with a phone that was forgotten.
    let mut again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(again.erase_plain(&plain).unwrap(), record);
    assert_eq!(again.orders("P-plain").unwrap(), [order]);
    let forgotten = Destruction {
        devices: vec![DeviceId(9)],
        ..plain.clone()
    };
    again.erase_plain(&forgotten).unwrap();
    assert_eq!(again.orders("P-plain").unwrap()[1].devices, [DeviceId(9)]);
    assert_eq!(again.public_key("P-plain").unwrap(), None);
    assert_eq!(again.add("P-plain").unwrap_err().code(), "key_destroyed");
    // Whose phones seal to a key has that destroyed, before or after.
    again.destroy(&destruction("P-3")).unwrap();
    for (participant, devices, code) in [
        ("P-2", 1, "bad_input"),
        ("P-3", 1, "bad_input"),
        ("p-PLAIN", 1, "names_look_alike"),
        ("=1", 1, "bad_pseudonym"),
        ("P-other", 0, "unknown_devices"),
    ] {
        let refused = Destruction {
            devices: vec![DeviceId(11); devices],
            ..destruction(participant)
        };
        let refused = again.erase_plain(&refused).unwrap_err();
        assert_eq!(refused.code(), code, "{participant}");
    }
}

#[test]
fn a_device_that_was_forgotten_gets_an_order_of_its_own() {
    let (_place, mut folder) = folder();
    folder.destroy(&destruction("P-2")).unwrap();
    let [first]: [ErasureOrder; 1] = folder.orders("P-2").unwrap().try_into().unwrap();
    // Another text is not put in the place of what is on record.
    let mut later = Destruction {
        devices: vec![DeviceId(9), DeviceId(4)],
        record: "request 8".into(),
        ..destruction("P-2")
    };
    assert_eq!(folder.destroy(&later).unwrap_err().code(), "bad_input");
    later.record = String::new();
    let record = folder.destroy(&later).unwrap();
    assert_eq!(record.devices, [DeviceId(4), DeviceId(9)]);
    assert_eq!((&*record.record, &*record.destroyed_at), ("request 7", AT));
    let orders = folder.orders("P-2").unwrap();
    assert_eq!(orders[0], first);
    assert_eq!(orders[1].devices, [DeviceId(9)]);
    assert!(orders[1].is_signed() && orders.len() == 2);
    assert_eq!(orders[1].participant, first.participant);
    let mut again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(again.destroy(&later).unwrap(), record);
    assert_eq!(again.orders("P-2").unwrap(), orders);
}

#[test]
fn a_participant_with_more_devices_than_an_order_names_gets_several() {
    let (_place, mut folder) = folder();
    let mut destruction = destruction("P-2");
    destruction.devices = (0..70).map(DeviceId).collect();
    folder.destroy(&destruction).unwrap();
    let orders = folder.orders("P-2").unwrap();
    let named: Vec<_> = orders.iter().flat_map(|it| it.devices.clone()).collect();
    assert_eq!(named, destruction.devices);
    assert!(orders.iter().all(|it| it.is_signed() && it.is_in_order()));
    assert_eq!(folder.orders("P-2").unwrap(), orders);
}

#[test]
fn a_destruction_that_was_cut_short_is_finished() {
    let (_place, mut folder) = folder();
    let file = folder.key_file("P-2");
    let line = fs::read(&file).unwrap();
    folder.destroy(&destruction("P-2")).unwrap();
    // As if the program had been killed after the record.
    files::write_new(&file, &line).unwrap();
    let mut again = KeyFolder::open(&folder.path).unwrap();
    assert_eq!(public(&again).len(), 2, "it opens nothing any more");
    again.destroy(&destruction("P-2")).unwrap();
    assert!(!file.exists());
}

#[test]
fn another_participants_device_destroys_nothing() {
    let (_place, mut folder) = folder();
    let found = BTreeMap::from([(DeviceId(3), "P-3".to_owned())]);
    folder.remember(&found).unwrap();
    let mut typed = Destruction {
        devices: vec![DeviceId(3), DeviceId(5)],
        ..destruction("P-2")
    };
    let refused = folder.destroy(&typed).unwrap_err();
    assert_eq!(refused.code(), "device_of_another");
    assert!(folder.key_file("P-2").exists());
    for name in ["destroyed.ndjson", "erasures.ndjson"] {
        assert!(!folder.file(name).exists(), "{name}");
    }
    // Nor is it named later.
    typed.devices = vec![DeviceId(5)];
    folder.destroy(&typed).unwrap();
    typed.devices = vec![DeviceId(3)];
    let refused = folder.destroy(&typed).unwrap_err();
    assert_eq!(refused.code(), "device_of_another");
    assert_eq!(folder.orders("P-2").unwrap()[0].devices, [DeviceId(5)]);
}

#[test]
fn a_device_that_is_withdrawn_leaves_the_others_an_order_that_can_be_carried_out() {
    let (place, mut folder) = folder();
    let destroying = |participant: &str, devices: &[u32], record: &str| Destruction {
        devices: devices.iter().copied().map(DeviceId).collect(),
        record: record.into(),
        ..destruction(participant)
    };
    let typed = destroying("P-2", &[3, 5], "request 7");
    folder.destroy(&typed).unwrap();
    let [stuck]: [ErasureOrder; 1] = folder.orders("P-2").unwrap().try_into().unwrap();
    // Whose device 3 is goes, too.
    let owner = destroying("P-3", &[3], "request 8");
    folder.destroy(&owner).unwrap();
    let owners = folder.orders("P-3").unwrap();
    let shares = folder.split(2, 2, &place.path().join("shares"), AT);
    let shares = shares.unwrap();

    let refused = folder.withdraw("P-2", DeviceId(9)).unwrap_err();
    assert_eq!(refused.code(), "bad_input");
    folder.withdraw("P-2", DeviceId(3)).unwrap();
    folder.withdraw("P-2", DeviceId(3)).unwrap();
    let [order]: [ErasureOrder; 1] = folder.orders("P-2").unwrap().try_into().unwrap();
    assert_eq!(order.devices, [DeviceId(5)]);
    assert!(order.is_signed() && order.participant == stuck.participant);
    // For auditors, device 3 is the other's alone.
    let of_device_3 = |folder: &KeyFolder| -> Vec<String> {
        let text = fs::read_to_string(folder.file("erasures.ndjson")).unwrap();
        let lines = text.lines();
        let erasures = lines.map(|line| serde_json::from_str::<Erasure>(line).unwrap());
        let of_it = erasures.filter(|erasure| erasure.device == DeviceId(3));
        of_it.map(|erasure| erasure.record).collect()
    };
    assert_eq!(of_device_3(&folder), ["request 8", "request 8"]);
    // A copy from before does not bring it back, nor does opening the folder.
    let (joined, _) = KeyFolder::join(&folder.path, &shares).unwrap();
    assert_eq!(of_device_3(&joined), ["request 8", "request 8"]);
    assert_eq!(joined.orders("P-2").unwrap(), [order]);
    assert_eq!(joined.orders("P-3").unwrap(), owners);
    let record = joined.destroyed().next().unwrap();
    assert_eq!(record.devices, [DeviceId(5)]);
    assert_eq!(record.withdrawn, [DeviceId(3)]);
}

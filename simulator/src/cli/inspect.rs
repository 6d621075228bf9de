// SPDX-License-Identifier: Apache-2.0

//! `status`, `trust` and `sync`.

use std::{path::Path, process::ExitCode, sync::Arc};

use mhealth_device_host::{
    fleet::sync_all, store::DeviceRecord, PublicKey, Standing, Store, SystemClock,
};
use mhealth_simulator::cohort::participants::ParticipantKeys;

use super::{failure::REFUSED, Failure, ListParticipants, Status, Sync, Trust};

pub(super) fn status(options: &Status) -> Result<ExitCode, Failure> {
    let store = open(&options.state, options.device.as_ref())?;
    let terms = store.terms();
    println!("chain 0x{} study {}", hex::encode(terms.chain), terms.study);
    let servers = store.servers()?;
    if let Some(authentication) = servers.authentication {
        println!("authentication server {authentication}");
        for relay in servers.relays {
            println!("relay {relay}");
        }
    }
    let mut left = 0;
    for device in store.devices()? {
        println!("{}", line(&device));
        if device.frozen.is_some() {
            left += device.queued();
        }
    }
    if left > 0 {
        println!(
            "{left} entries of stopped devices are not registered, and nobody sends them, whether or not they were exported."
        );
    }
    let totals = store.totals()?;
    println!(
        "devices={} enrolled={} entries={} queued={} finalised={} stopped={}",
        totals.devices,
        totals.enrolled,
        totals.entries,
        totals.entries - totals.finalised,
        totals.finalised,
        totals.frozen,
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn trust(options: &Trust) -> Result<ExitCode, Failure> {
    let mut store = open(&options.state, None)?;
    store.trust(options.checkpoint)?;
    println!("trusted={}", options.checkpoint);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list_participants(options: &ListParticipants) -> Result<ExitCode, Failure> {
    let path = &options.participant_keys;
    if !path.is_file() {
        let message = format!("There is no file {}.", path.display());
        return Err(Failure::input("no_participant_keys", message));
    }
    for (participant, key) in ParticipantKeys::read(path)?.public() {
        println!("{participant} 0x{}", hex::encode(key.0));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(device: &DeviceRecord) -> String {
    let number = device
        .number
        .map_or("-".into(), |number| number.to_string());
    let frozen = device
        .frozen
        .map(|reason| format!(" stopped={}", reason.code()));
    format!(
        "{} key={} device={number} sequence={} confirmed={} queued={} head={}{}",
        device.participant,
        device.key,
        device.length,
        device.confirmed,
        device.queued(),
        device.head,
        frozen.unwrap_or_default(),
    )
}

pub(super) async fn sync(options: &Sync) -> Result<ExitCode, Failure> {
    let store = open(&options.state, options.device.as_ref())?;
    let chain = options.topology.connect(&store).await?;
    let (mut level, mut behind, mut unenrolled, mut stopped) = (0, 0, 0, 0);
    let standings = sync_all(&store, &chain).await;
    chain.remember(&store)?;
    let standings = standings?;
    for (device, standing) in &standings {
        match standing {
            Standing::Level => level += 1,
            Standing::Queued(entries) => {
                behind += 1;
                println!("{}: the chain lacks its last {entries} entries", device.key);
            }
            Standing::Unenrolled => {
                unenrolled += 1;
                println!("{}: the chain does not know it", device.key);
            }
            Standing::Frozen(reason) => {
                stopped += 1;
                println!("{}: stopped[{}]: {reason}", device.key, reason.code());
            }
        }
    }
    let devices = standings.len();
    println!(
        "devices={devices} level={level} behind={behind} unenrolled={unenrolled} stopped={stopped}"
    );
    Ok(if level == devices {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(REFUSED)
    })
}

pub(super) fn open(state: &Path, device: Option<&PublicKey>) -> Result<Store, Failure> {
    let store = Store::open(state, Arc::new(SystemClock))?;
    if let Some(device) = device {
        store.expect_device(device)?;
    }
    Ok(store)
}

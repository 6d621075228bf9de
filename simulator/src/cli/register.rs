// SPDX-License-Identifier: Apache-2.0

//! Enrolling and uploading what a state file holds, and the report of it.

use std::{process::ExitCode, time::Duration};

use futures::{stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use mhealth_device_host::{
    chain::ChainFault,
    fleet::{enrol_all, upload_all, Refused},
    servers::Servers,
    store::{DeviceRecord, LocalId},
    PublicKey, Store, SyncError,
};
use mhealth_simulator::{cohort::participants::ParticipantKeys, meter::Meter, staff::issue_code};

use super::{
    failure::REFUSED,
    topology::{acquaint, Connection},
    Failure, Secret,
};

/// Refusals that are shown one by one.
const MOST_SHOWN: usize = 20;

/// How often to go on after a fault that may pass and that the clients do not sit out themselves.
const ATTEMPTS: u32 = 5;

/// Codes that are asked for at a time.
const CODES_AT_A_TIME: usize = 32;

/// How long the codes of a simulated cohort are good. They are used at once.
const CODE_LIFETIME: Duration = Duration::from_secs(86_400);

/// Enrols if so wanted, and uploads. Goes on after faults that may pass.
pub(super) async fn register(
    store: &Store,
    chain: &Connection,
    run_length: u32,
    enrolling: bool,
) -> Result<Vec<Refused>, Failure> {
    let mut attempt = 1;
    loop {
        let registered = register_once(store, chain, run_length, enrolling).await;
        chain.remember(store)?;
        match registered {
            Err(SyncError::Chain(fault)) if may_pass(&fault) && attempt < ATTEMPTS => {
                tracing::warn!(error = %fault, attempt, "trying again");
                attempt += 1;
            }
            Err(error) => return Err(Failure::from(error).and(&kept(store))),
            Ok(refused) => return finished(store, chain, refused),
        }
    }
}

async fn register_once(
    store: &Store,
    chain: &Connection,
    run_length: u32,
    enrolling: bool,
) -> Result<Vec<Refused>, SyncError> {
    let totals = store.totals()?;
    let mut refused = Vec::new();
    if enrolling {
        let progress = bar("enrolling", totals.devices - totals.enrolled);
        refused = enrol_all(store, chain, |devices| progress.inc(devices as u64)).await?;
        progress.finish_and_clear();
        forget_dead_codes(store, &refused)?;
    }
    if let Connection::Servers(through) = chain {
        if !acquaint(store, &through.servers).await? {
            return Ok(refused); // Nobody is enrolled, so there is nothing to send.
        }
    }
    let progress = bar("registering", totals.entries);
    progress.set_position(totals.finalised);
    let uploaded = upload_all(store, chain, run_length, |entries| progress.inc(entries));
    refused.extend(uploaded.await?);
    progress.finish_and_clear();
    Ok(refused)
}

/// A run that is finalised and held by fewer relays than wanted is no loss, but not what was asked for either.
fn finished(
    store: &Store,
    chain: &Connection,
    refused: Vec<Refused>,
) -> Result<Vec<Refused>, Failure> {
    let short = store.runs_short_of_copies()?;
    match chain {
        Connection::Servers(_) if short > 0 => Err(Failure::away(
            "too_few_copies",
            format!(
                "{short} runs are finalised and held by fewer relays than they should be; run the same command again."
            ),
        )),
        _ => Ok(refused),
    }
}

/// Codes that nobody can redeem any more are worth nothing; the next time there will be new ones.
fn forget_dead_codes(store: &Store, refused: &[Refused]) -> Result<(), SyncError> {
    let dead = ["code_expired", "code_revoked", "unknown_code"];
    for device in store.devices()? {
        let of_device = |r: &&Refused| r.device == device.key && r.sequence == 0;
        let refusal = refused.iter().find(of_device);
        if refusal.is_some_and(|refused| dead.contains(&refused.refusal.code.as_str())) {
            store.set_code(device.id, None)?;
        }
    }
    Ok(())
}

/// Faults that the clients do not sit out themselves.
fn may_pass(fault: &ChainFault) -> bool {
    let sat_out = ["node_unreachable", "chain_stalled", "server_unreachable"];
    fault.passing && !sat_out.contains(&fault.code.as_str())
}

/// Has codes issued for the devices of a cohort that have none, and keeps them.
pub(super) async fn provide_codes(
    store: &Store,
    servers: &Servers,
    credential: &Secret,
    keys: Option<&ParticipantKeys>,
) -> Result<(), Failure> {
    let mut without = Vec::new();
    for device in store.devices()? {
        let stranger = device.number.is_none() && device.frozen.is_none();
        if stranger && store.code(device.id)?.is_none() {
            without.push(device);
        }
    }
    let progress = bar("codes", without.len() as u64);
    let chain = store.terms().chain;
    let order = |device: DeviceRecord| async move {
        let key = keys.and_then(|keys| keys.opening_key(&device.participant));
        let issued = issue_code(
            servers.authentication(),
            credential.expose(),
            chain,
            &device.participant,
            key.map(|key| key.sealing_key().0),
            CODE_LIFETIME,
        );
        issued.await.map(|issued| (device.id, issued))
    };
    let mut issued = stream::iter(without)
        .map(order)
        .buffer_unordered(CODES_AT_A_TIME)
        .ready_chunks(CODES_AT_A_TIME);
    while let Some(chunk) = issued.next().await {
        let group = store.group()?;
        for answer in chunk {
            let (id, code): (LocalId, _) = answer?;
            let code = code.map_err(|refusal| Failure::refused(&refusal))?;
            store.set_code(id, Some(&code))?;
            progress.inc(1);
        }
        group.commit()?;
    }
    progress.finish_and_clear();
    Ok(())
}

pub(super) fn kept(store: &Store) -> String {
    match store.totals() {
        Ok(totals) if totals.finalised == totals.entries => {
            "Nothing is lost; run the same command again.".into()
        }
        Ok(totals) => format!(
            "{} entries are sealed and kept in {}; run the same command again to send them.",
            totals.entries - totals.finalised,
            store.path().display()
        ),
        Err(error) => error.to_string(),
    }
}

/// What a report says besides what the state file holds.
pub(super) struct Account<'a> {
    /// Rows of the source that say what another one says.
    pub(super) duplicates: u64,
    /// Entries that were not sealed, because their devices were stopped.
    pub(super) unsealed: u64,
    pub(super) refusals: &'a [Refused],
    /// Whether entries that are not finalised are as they should be.
    pub(super) offline: bool,
}

/// Names what was stopped and refused; the last line is for machines.
pub(super) fn report(store: &Store, account: &Account<'_>) -> Result<ExitCode, Failure> {
    let devices = store.devices()?;
    for device in &devices {
        if let Some(reason) = device.frozen {
            eprintln!("error[{}]: device {}: {reason}", reason.code(), device.key);
        }
    }
    for refused in account.refusals.iter().take(MOST_SHOWN) {
        let what = match refused.sequence {
            0 => "its enrolment".into(),
            first => format!("its run from entry {first} on"),
        };
        let refusal = &refused.refusal;
        eprintln!(
            "error[{}]: device {}: {what}: {}",
            refusal.code, refused.device, refusal.message
        );
    }
    let unwelcome = |key: PublicKey| {
        let mut refusals = account.refusals.iter();
        refusals.any(|refused| refused.sequence == 0 && refused.device == key)
    };
    let not_enrolled: u64 = devices
        .iter()
        .filter(|device| unwelcome(device.key))
        .map(DeviceRecord::queued)
        .sum();
    let totals = store.totals()?;
    let refused = totals.refused + not_enrolled + account.unsealed;
    println!(
        "devices={} entries={} duplicates={} finalised={} refused={refused}",
        totals.devices, totals.entries, account.duplicates, totals.finalised,
    );
    let done = account.offline || totals.finalised == totals.entries;
    Ok(match refused == 0 && account.refusals.is_empty() && done {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(REFUSED),
    })
}

/// How fast it was, for those who measure.
pub(super) fn print_figures(meter: &Meter) {
    let figures = meter.figures();
    let seconds = figures.seconds.max(1e-3);
    println!(
        "uploads={} repeated={} seconds={:.1} uploads_per_s={:.0} entries_per_s={:.0} accepted_p50_ms={:.1} \
         accepted_p99_ms={:.1} finalised_p50_ms={:.0} finalised_p99_ms={:.0}",
        figures.uploads,
        figures.repeated,
        figures.seconds,
        figures.uploads as f64 / seconds,
        figures.entries as f64 / seconds,
        figures.accepted_p50,
        figures.accepted_p99,
        figures.finalised_p50,
        figures.finalised_p99,
    );
}

/// A progress bar; hides itself when standard error is no terminal.
pub(super) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} [{bar:40}] {pos}/{len} {per_sec} {eta}")
        .expect("the template is valid; qed")
        .progress_chars("=> ");
    ProgressBar::new(length)
        .with_style(style)
        .with_message(what)
}

// SPDX-License-Identifier: Apache-2.0

//! `mhealth status`: the node, the consortium, a study and its devices, as of the latest final block, or of the best one.

use hashchain::StudyId;
use mhealth_chain_client::{AccountId32, ChainType, ChainView, Quota};
use serde_json::{json, Value};

use crate::failure::Failure;
use crate::member::digits;
use crate::proposals::{allowance_json, policy_name};
use crate::report::Report;
use crate::session::Global;

/// The chain and its people.
pub(crate) async fn chain(global: &Global) -> Result<Report, Failure> {
    let chain = global.chain().await?;
    let (seen, view) = global.view(&chain).await?;
    let last_final = match global.is_final() {
        true => seen,
        false => chain.finalised().await?,
    };
    let best = chain.best_block().await?;
    let behind = best.number.saturating_sub(last_final.number);
    let genesis = format!("{:#x}", chain.genesis_hash());
    let kind = match chain.chain_type().await? {
        ChainType::Development => "development".to_owned(),
        ChainType::Local => "local".to_owned(),
        ChainType::Live => "live".to_owned(),
        ChainType::Custom(word) => word,
    };
    let (members, validators) = (view.members().await?, view.validators().await?);
    let appointed = view.appointed_validators().await?;
    let motions = view.motions().await?.len();
    let mut report = Report::default()
        .line(format!("Chain:      {genesis} ({kind})"))
        .line(format!("Best block: {}", best.number))
        .line(format!(
            "Final:      {} ({behind} behind)",
            last_final.number
        ))
        .line(format!("Entries:    {}", view.journal_length().await?))
        .line(format!("Devices:    {}", view.devices().await?))
        .with("genesis", genesis)
        .with("chain_type", kind)
        .with("best_block", best.number)
        .with("final_block", last_final.number)
        .with("final_hash", format!("{:#x}", last_final.hash))
        .with("entries", view.journal_length().await?)
        .with("devices", view.devices().await?)
        .with("members", names(&members))
        .with("validators", names(&validators))
        .with("appointed_validators", names(&appointed))
        .with("open_motions", motions);
    for (what, accounts) in [("Member", &members), ("Validator", &validators)] {
        for account in accounts {
            report = report.line(format!("{:11} {account}", format!("{what}:")));
        }
    }
    let mut studies = Vec::new();
    for number in 0..view.studies().await? {
        let study = StudyId(number);
        let Some(shown) = view.study(study).await? else {
            continue;
        };
        let state = open_or_closed(shown.open);
        report = report.line(format!("Study {study}:    {} ({state})", shown.title));
        studies.push(json!({ "study": number, "title": shown.title, "state": state }));
    }
    if motions > 0 {
        report = report.line(format!("Open motions: {motions} (mhealth motions)"));
    }
    let report = report.with("studies", studies);
    Ok(report.block(seen.number, global.is_final()))
}

/// A study, and with its devices if so wanted.
pub(crate) async fn study(
    global: &Global,
    study: StudyId,
    devices: bool,
) -> Result<Report, Failure> {
    let chain = global.chain().await?;
    let (block, view) = global.view(&chain).await?;
    let Some(shown) = view.study(study).await? else {
        let message = format!("There is no study {study} on this chain.");
        return Err(Failure::wrong("unknown_study", message));
    };
    let (roster, quota) = (view.roster(study).await?, view.quota(study).await?);
    let state = open_or_closed(shown.open);
    let mut report = Report::default()
        .line(format!("Study {study}: {} ({state})", shown.title))
        .line(format!("Policy:      {}", policy_name(shown.policy)))
        .line(format!("Auditor key: {}", digits(&shown.auditor_key)))
        .line(format!("Sponsor:     {}", shown.sponsor))
        .with("study", study.0)
        .with("title", shown.title)
        .with("state", state)
        .with("policy", policy_name(shown.policy))
        .with("auditor_key", digits(&shown.auditor_key))
        .with("sponsor", shown.sponsor.to_string())
        .with(
            "authentication_servers",
            names(&roster.authentication_servers),
        )
        .with("relays", names(&roster.relays))
        .with("allowance", allowance_json(&quota.allowance))
        .with("used", used(&quota));
    for account in &roster.authentication_servers {
        report = report.line(format!("Server:      {account}"));
    }
    for account in &roster.relays {
        report = report.line(format!("Relay:       {account}"));
    }
    for (what, used, allowed) in [
        (
            "devices",
            u64::from(quota.devices),
            u64::from(quota.allowance.devices),
        ),
        ("entries", quota.entries, quota.allowance.entries),
        ("bytes", quota.bytes, quota.allowance.bytes),
        (
            "accounts",
            u64::from(quota.admissions),
            u64::from(quota.allowance.admissions),
        ),
    ] {
        report = report.line(format!("Used:        {used} of {allowed} {what}"));
    }
    if devices {
        report = with_devices(report, &view, study).await?;
    }
    Ok(report.block(block.number, global.is_final()))
}

async fn with_devices(
    mut report: Report,
    view: &ChainView,
    study: StudyId,
) -> Result<Report, Failure> {
    let mut list = Vec::new();
    for number in view.devices_of(study).await? {
        let Some(device) = view.device(number).await? else {
            continue;
        };
        let status = device.status.as_str();
        report = report.line(format!(
            "Device {number}: {status}, {} entries, head {}",
            device.length, device.head
        ));
        list.push(json!({
            "device": number.0,
            "key": digits(&device.key),
            "status": status,
            "entries": device.length,
            "head": digits(&device.head.0),
        }));
    }
    Ok(report.with("device_list", list))
}

fn used(quota: &Quota) -> Value {
    json!({
        "devices": quota.devices,
        "entries": quota.entries,
        "bytes": quota.bytes,
        "admissions": quota.admissions,
    })
}

fn open_or_closed(open: bool) -> &'static str {
    match open {
        true => "open",
        false => "closed",
    }
}

fn names(accounts: &[AccountId32]) -> Vec<String> {
    accounts.iter().map(ToString::to_string).collect()
}

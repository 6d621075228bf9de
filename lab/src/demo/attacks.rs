// SPDX-License-Identifier: Apache-2.0

//! The attacks of the paper's Figures 4, 5 and 6 on the trial, and the audit that finds them.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{Key, RunUpload};
use mhealth_chain_client::{calls, Account, ChainClient, Submitter};
use mhealth_testing::audit::{self, Entry, Party, Report};
use mhealth_testing::handset::{envelope, links, Handset};
use mhealth_testing::played_relay::{alter, PlayedRelay};
use mhealth_testing::topology::{Site, SIGNED_STUDY, SPONSOR};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::report::ReportKey;

/// The trial's study, whose policy is `DeviceSigned`.
pub(crate) const STUDY: StudyId = SIGNED_STUDY;

/// Who plays in the attacks, beside the trial's own servers.
pub(crate) struct Cast {
    /// Enrols the phones that are attacked.
    pub(crate) office: Submitter,
    /// An honest relay.
    pub(crate) relay: PlayedRelay,
    hacked: PlayedRelay,
}

impl Cast {
    /// The sponsor appoints them. They have accounts of their own: the servers' are in use.
    pub(crate) async fn appoint(chain: &ChainClient) -> Result<Self> {
        let office = Account::from_secret_uri("//Charlie//attacks")?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let appointment = calls::add_authentication_server(STUDY, office.id());
        let (relay, hacked, appointed) = tokio::join!(
            PlayedRelay::appoint(chain, STUDY, SPONSOR, "//Dave//attacks"),
            PlayedRelay::appoint(chain, STUDY, SPONSOR, "//Mallory"),
            sponsor.submit_and_wait(appointment),
        );
        appointed?.succeeded()?;
        Ok(Cast {
            office: chain.submitter(office),
            relay: relay?,
            hacked: hacked?,
        })
    }
}

/// An attack that was played, and what an audit has to say of it.
pub(crate) struct Attack {
    what: &'static str,
    device: DeviceId,
    entry: (u64, LinkHash),
    registered: bool,
    /// The verdict, the first ground, the kind of the party at fault, and its account.
    expected: (&'static str, &'static str, &'static str, Option<Key>),
}

/// An attack as the audit shows it.
pub(crate) struct Found<'a> {
    what: &'static str,
    device: DeviceId,
    entry: Option<&'a Entry>,
    pub(crate) held: bool,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.held {
            "found"
        } else {
            "NOT AS EXPECTED"
        };
        write!(f, "{verdict}: {}. Device {}, ", self.what, self.device)?;
        let Some(entry) = self.entry else {
            return f.write_str("of which the audit says nothing.");
        };
        write!(
            f,
            "entry {}: {} ({}); at fault: {}.",
            entry.sequence,
            entry.verdict,
            entry.grounds.join(", "),
            entry
                .parties
                .iter()
                .map(named)
                .collect::<Vec<_>>()
                .join(" or ")
        )
    }
}

fn named(party: &Party) -> String {
    match &party.account {
        Some(account) => format!("{} {account}", party.party),
        None => party.party.clone(),
    }
}

/// Plays all three at once, each on a phone that has registered two nights.
pub(crate) async fn play(cast: &Cast) -> Result<Vec<Attack>> {
    let (hacked, keys, secret) =
        tokio::try_join!(hacked_relay(cast), stolen_keys(cast), stolen_secret(cast))?;
    Ok(vec![hacked, keys, secret])
}

async fn phone(cast: &Cast, seed: u64) -> Result<Handset> {
    let mut phone = Handset::enrol_by_hand(&cast.office, STUDY, seed).await?;
    cast.relay.relay(&phone.record(2)).await?;
    Ok(phone)
}

fn first(run: &RunUpload) -> Result<(u64, LinkHash)> {
    links(run).first().copied().context("a run without entries")
}

/// Figure 4. The phone gets no receipt, and sends its run through another relay.
async fn hacked_relay(cast: &Cast) -> Result<Attack> {
    let mut phone = phone(cast, 4).await?;
    let genuine = phone.record(1);
    let mut forged = genuine.clone();
    alter(&mut forged, 0, envelope(&mut StdRng::seed_from_u64(4)));
    let brought = cast.hacked.relay(&forged).await?;
    cast.relay.relay(&genuine).await?;
    Ok(Attack {
        what: "a hacked relay altered an entry and relinked it (Figure 4); the chain refused it",
        device: phone.device(),
        entry: first(&forged)?,
        registered: brought.refused.is_none(),
        expected: (
            "unregistered",
            "attempt_refused",
            "relay",
            Some(cast.hacked.account),
        ),
    })
}

/// Figure 5, with the phone's own signing key stolen, too: without it nothing would be registered.
async fn stolen_keys(cast: &Cast) -> Result<Attack> {
    let mut phone = phone(cast, 5).await?;
    let forged = phone.with_another_secret().record(1);
    let brought = cast.relay.relay(&forged).await?;
    Ok(Attack {
        what: "a thief of the phone's keys, but not of its secret, wrote in its name (Figure 5)",
        device: phone.device(),
        entry: first(&forged)?,
        registered: brought.refused.is_none(),
        expected: ("forged", "tag_fails", "signing_key_holder", None),
    })
}

/// Figure 6. The thief is first; the phone's own run is the proof that there are two.
async fn stolen_secret(cast: &Cast) -> Result<Attack> {
    let mut phone = phone(cast, 6).await?;
    let stolen = phone.stolen_copy().record(1);
    let brought = cast.relay.relay(&stolen).await?;
    cast.relay.relay(&phone.record(1)).await?;
    Ok(Attack {
        what: "a thief of key and secret wrote before the phone did (Figure 6)",
        device: phone.device(),
        entry: first(&stolen)?,
        registered: brought.refused.is_none(),
        expected: ("disputed", "two_histories_by_secret", "secret_holder", None),
    })
}

/// Audits the trial with the real auditor, who signs the reports with this key.
pub(crate) async fn audit(
    site: &Site,
    cast: &Cast,
    key: &ReportKey,
    folder: &Path,
) -> Result<Report> {
    let mut options = site.audit();
    let played = [("hacked", &cast.hacked), ("other", &cast.relay)];
    for (name, relay) in played {
        let file = folder.join(format!("{name}.ndjson"));
        relay.export(&file).await?;
        options.exports.push((name.into(), file));
    }
    options.html = Some(folder.join("audit.html"));
    options.auditor = Some("the demo".into());
    options.sign_with = Some(key.file.clone());
    audit::run(&options, &folder.join("audit.json"))
}

/// What the audit says of each attack.
pub(crate) fn found<'a>(report: &'a Report, attacks: &[Attack]) -> Vec<Found<'a>> {
    let found = attacks.iter().map(|attack| {
        let device = report.device(attack.device);
        let entry = device.and_then(|device| device.entry(attack.entry.0, attack.entry.1));
        let (verdict, ground, party, account) = attack.expected;
        let is = |entry: &Entry| {
            entry.verdict == verdict
                && entry.registered == attack.registered
                && attack.registered == (verdict != "unregistered")
                && entry.grounds.first().is_some_and(|first| first == ground)
                && matches!(&entry.parties[..], [named] if named.party == party && named.account == account)
        };
        Found {
            what: attack.what,
            device: attack.device,
            entry,
            held: entry.is_some_and(is),
        }
    });
    found.collect()
}

/// What the audit finds wrong that nobody planted: entries that a phone made and that stood registered before the attacks.
pub(crate) fn false_alarms(report: &Report, attacks: &[Attack], tried: DeviceId) -> Vec<String> {
    let mut alarms = Vec::new();
    for device in &report.devices {
        let attack = attacks.iter().find(|attack| attack.device == device.device);
        let attacked = attack.is_some() || device.device == tried;
        for entry in device.entries.iter().filter(|entry| entry.registered) {
            // From there on it is the audit's task to find something.
            if attack.is_some_and(|attack| attack.registered && entry.sequence >= attack.entry.0) {
                continue;
            }
            // Phones that talk to the chain themselves leave their data with nobody.
            let right = ["valid", "not_covered"].contains(&entry.verdict.as_str());
            if !right || !entry.grounds.is_empty() {
                alarms.push(format!(
                    "device {} entry {}: {}",
                    device.device, entry.sequence, entry.verdict
                ));
            }
        }
        if !attacked && !device.findings.is_empty() {
            alarms.push(format!("device {}: {:?}", device.device, device.findings));
        }
    }
    alarms
}

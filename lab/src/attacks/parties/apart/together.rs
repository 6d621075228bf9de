// SPDX-License-Identifier: Apache-2.0

//! A phone and the authentication server that enrols it agree: the phone seals its data to a key that the server names, and the
//! participant's own key opens nothing. Neither compares. Whoever holds the participants' keys gives the auditor their list.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use hashchain::{DeviceId, OpeningKey};
use mhealth_testing::audit::{self, Report};
use mhealth_testing::enrolment::SealedTo;
use mhealth_testing::phone::{enrol_sealed_to, record};
use mhealth_testing::topology::SIGNED_STUDY;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::arena::aside;
use super::small::SmallStudy;
use crate::attack::Attack;
use crate::judge::{Fate, Named, Verdict};
use crate::play::Tried;

/// Phones of the study; one of them, by its turn, is not honest.
const PHONES: u32 = 3;
const RELAY: &str = "//Mallory//together";
/// What the auditor finds about a device that seals to another key than the list has.
const GROUND: &str = "another_participant_key";
/// Who did it, in the auditor's words.
const CULPRITS: [&str; 2] = ["authentication_server", "device"];

pub(super) async fn play(seed: u64, attempts: u32, folder: &Path) -> Result<Vec<Tried>> {
    let mut all = Vec::new();
    for number in 0..attempts {
        let random = StdRng::seed_from_u64((seed << 16) ^ u64::from(number) ^ (1 << 41));
        all.push(attempt(number, random, folder).await?);
    }
    Ok(all)
}

async fn attempt(number: u32, mut random: StdRng, folder: &Path) -> Result<Tried> {
    let study = SmallStudy::of(RELAY).await?;
    let (mut list, mut bad) = (String::new(), None);
    for place in 0..PHONES {
        let mut key = || OpeningKey::from_bytes(&random.random()).sealing_key().0;
        let (own, thiefs) = (key(), key());
        let is_bad = place == number % PHONES;
        let to = SealedTo {
            participant: Some(if is_bad { thiefs } else { own }),
            ..SealedTo::development()
        };
        let mut phone = enrol_sealed_to(&to, &study.office, SIGNED_STUDY, place as u8 + 1).await?;
        study.relay.relay(&record(&mut phone, 1, "a night")).await?;
        let digits: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        // The holder knows participants by their pseudonyms, or their devices by number.
        match number % 2 {
            0 => writeln!(list, "P-{place} {digits}")?,
            _ => writeln!(list, "{} {digits}", phone.device())?,
        }
        if is_bad {
            bad = Some(phone.device());
        }
    }
    let file = |end: &str| folder.join(format!("together-{number}.{end}"));
    std::fs::write(file("list"), list)?;
    study.relay.export(&file("ndjson")).await?;
    let options = audit::Options {
        participants: Some(file("list")),
        ..study.audit("together", file("ndjson"))
    };
    let json = file("json");
    let report = aside(move || audit::run(&options, &json)).await?;
    let bad = bad.context("no phone was bad")?;
    Ok(Tried {
        attack: Attack::PhoneAndServer,
        verdict: verdict(&report, bad),
        after: None,
        waited: None,
        about: format!("device {bad}: {:?}", report.devices),
    })
}

/// The audit has to say so of this phone and of no other.
fn verdict(report: &Report, bad: DeviceId) -> Verdict {
    let mut others = report.devices.iter().filter(|it| it.device != bad);
    let blames_others = others.any(|it| !it.findings.is_empty());
    let findings = report
        .device(bad)
        .map_or(&[][..], |device| &device.findings[..]);
    let mut found = findings.iter().filter(|it| it.ground == GROUND).peekable();
    if found.peek().is_none() {
        return Verdict {
            fate: Fate::Unseen,
            named: blames_others.then_some(Named::Wrong),
        };
    }
    let parties: Vec<&str> = found
        .flat_map(|it| it.parties.iter().map(|party| party.party.as_str()))
        .collect();
    let right = parties.iter().all(|party| CULPRITS.contains(party));
    let named = match parties.is_empty() {
        _ if blames_others => Named::Wrong,
        true => Named::Nobody,
        false if right => Named::Alone,
        false => Named::Among,
    };
    Verdict {
        fate: Fate::Detected,
        named: Some(named),
    }
}

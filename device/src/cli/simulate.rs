// SPDX-License-Identifier: Apache-2.0
//! `simulate`: terms, nights, seals, enrolments, uploads.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use indicatif::{ProgressBar, ProgressStyle};
use mhealth_chain_client::{Account, Patience};
use mhealth_device::{
    chain::{Chain, ChainFault},
    cohort::{
        csv::{CsvError, NightRows, Survey},
        generator::Trial,
        intake::{seal_nights, Intake, SourceNight},
        participants::ParticipantKeys,
    },
    direct::Direct,
    sync::{sync_all, SyncError},
    upload::{enrol_all, upload_all, Refused},
    Store, SystemClock, Terms,
};
use rand::{rngs::StdRng, SeedableRng};

use super::{failure::REFUSED, EnvelopeForm, Failure, SecretUri, Simulate};

/// Who enrols on a development chain when nobody is named.
const DEVELOPMENT_ENROLLER: &str = "//Charlie";

/// Refusals that are shown one by one.
const MOST_SHOWN: usize = 20;

/// How often to go on after a fault that may pass, when the node itself is there.
const ATTEMPTS: u32 = 5;

pub(super) async fn simulate(options: &Simulate) -> Result<ExitCode, Failure> {
    let survey = survey(options)?;
    let (store, chain) = prepare(options).await?;
    if let Some(chain) = &chain {
        // Compared before anything is sealed: a restored backup shows only to a device that has not sealed since.
        sync_all(&store, chain).await?;
    }
    let intake = seal(options, &store, survey.rows)?;
    let refused = if options.offline {
        Vec::new()
    } else {
        let chain = match chain {
            Some(chain) => chain,
            None => reconnect(options, &store).await?,
        };
        register(options, &store, chain).await?
    };
    report(options, &store, &survey, &intake, &refused)
}

/// What the source has to give, and everything that is wrong with it, before anything is sealed.
fn survey(options: &Simulate) -> Result<Survey, Failure> {
    let Some(path) = &options.csv else {
        return Ok(Survey::default());
    };
    let file = |failure: Failure| failure.and(&format!("({})", path.display()));
    let survey = Survey::of(NightRows::open(path).map_err(|e| file(e.into()))?);
    let mut wrong = survey.errors.iter();
    let Some(first) = wrong.next() else {
        return Ok(survey);
    };
    for error in wrong {
        eprintln!("error[{}]: {error}.", error.code());
    }
    Err(
        file(Failure::input(first.code(), format!("{first}."))).and(&format!(
            "{} of {} rows are wrong; nothing was sealed.",
            survey.wrong, survey.rows
        )),
    )
}

/// Opens the state file, or makes it with what the chain says. A node that is not there is no reason not to seal when
/// the file knows its terms already; `None` is given for it then.
async fn prepare(options: &Simulate) -> Result<(Store, Option<Direct>), Failure> {
    let clock = Arc::new(SystemClock);
    let known = match Store::open(&options.state, clock.clone()) {
        Ok(store) => Some(store),
        Err(mhealth_device::Error::Missing(_) | mhealth_device::Error::Unfinished(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(store) = &known {
        if let Some(genesis) = options.node.genesis {
            store.expect_chain(&genesis)?;
        }
        let found = store.terms().study;
        if found != options.study {
            return Err(mhealth_device::Error::OtherStudy {
                expected: options.study,
                found,
            }
            .into());
        }
    }
    if options.offline {
        let store = match known {
            Some(store) => store,
            None => {
                let terms = offline_terms(options)?;
                Store::open_or_create(&options.state, &terms, clock, &mut rng())?
            }
        };
        return Ok((store, None));
    }
    let genesis = known
        .as_ref()
        .map(|store| store.terms().chain)
        .or(options.node.genesis);
    let patience = match known {
        Some(_) => Patience::default(), // One attempt: there will be another after sealing.
        None => options.node.patience(),
    };
    let patience = Patience {
        connect: patience.connect,
        ..options.node.patience()
    };
    let chain = match (
        Direct::connect(&options.node.url, genesis, patience).await,
        known,
    ) {
        (Err(fault), Some(store)) if fault.code == "node_unreachable" => {
            tracing::warn!(error = %fault, "sealing first");
            return Ok((store, None));
        }
        (connected, Some(store)) => return Ok((store, Some(connected?))),
        (connected, None) => connected?,
    };
    let terms = terms(options, &chain).await?;
    let store = Store::open_or_create(&options.state, &terms, clock, &mut rng())?;
    Ok((store, Some(chain)))
}

fn offline_terms(options: &Simulate) -> Result<Terms, Failure> {
    match (options.node.genesis, options.auditor_key) {
        (Some(chain), Some(auditor_key)) => Ok(Terms {
            chain,
            study: options.study,
            auditor_key,
        }),
        _ => Err(Failure::input(
            "terms_unknown",
            "There is no state file yet: --offline needs --genesis and --auditor-key to make one.",
        )),
    }
}

async fn terms(options: &Simulate, chain: &Direct) -> Result<Terms, Failure> {
    let study = chain.study(options.study).await?.ok_or_else(|| {
        Failure::chain(
            "unknown_study",
            format!("The chain has no study {}.", options.study),
        )
    })?;
    Ok(Terms {
        chain: chain.genesis(),
        study: options.study,
        auditor_key: study.auditor_key,
    })
}

async fn reconnect(options: &Simulate, store: &Store) -> Result<Direct, Failure> {
    let genesis = Some(store.terms().chain);
    let connected = Direct::connect(&options.node.url, genesis, options.node.patience()).await;
    connected.map_err(|fault| Failure::from(fault).and(&kept(store)))
}

fn seal(options: &Simulate, store: &Store, rows: u64) -> Result<Intake, Failure> {
    let mut keys = match options.envelope {
        EnvelopeForm::Plain => None,
        EnvelopeForm::Hpke => Some(ParticipantKeys::open(&participant_keys(options))?),
    };
    let group = options.commit_every as usize;
    let nights: Box<dyn Iterator<Item = Result<SourceNight, CsvError>>> = match &options.csv {
        Some(path) => {
            let rows = NightRows::open(path)?;
            Box::new(rows.map(|row| row.map(|(_, row)| SourceNight::Measured(row))))
        }
        None => Box::new(made_up(options)),
    };
    let expected = match options.csv {
        Some(_) => rows,
        None => u64::from(options.devices) * u64::from(options.nights),
    };
    let bar = bar("sealing", expected);
    let intake = seal_nights(store, nights, group, keys.as_mut(), &mut rng(), || {
        bar.inc(1)
    });
    bar.finish_and_clear();
    Ok(intake?)
}

fn made_up(options: &Simulate) -> impl Iterator<Item = Result<SourceNight, CsvError>> {
    let trial = Trial {
        devices: options.devices,
        nights: options.nights,
        seed: options.seed,
        start: options.start,
    };
    trial.participants().flat_map(|diarist| {
        let id = diarist.id.clone();
        diarist.map(move |entry| Ok(SourceNight::MadeUp(id.clone(), entry)))
    })
}

fn participant_keys(options: &Simulate) -> PathBuf {
    options.participant_keys.clone().unwrap_or_else(|| {
        let mut name = options.state.clone().into_os_string();
        name.push(".participants");
        name.into()
    })
}

/// Enrols and uploads. Goes on after faults that may pass; the client itself waits for a node that went away.
async fn register(
    options: &Simulate,
    store: &Store,
    chain: Direct,
) -> Result<Vec<Refused>, Failure> {
    let chain = match enroller(options, &chain).await? {
        Some(account) => chain.enrolling_as(account),
        None => chain,
    };
    let mut attempt = 1;
    loop {
        match register_once(options, store, &chain).await {
            Err(SyncError::Chain(fault)) if may_pass(&fault) && attempt < ATTEMPTS => {
                tracing::warn!(error = %fault, attempt, "trying again");
                attempt += 1;
            }
            Err(error) => return Err(Failure::from(error).and(&kept(store))),
            Ok(refused) => return Ok(refused),
        }
    }
}

async fn register_once(
    options: &Simulate,
    store: &Store,
    chain: &Direct,
) -> Result<Vec<Refused>, SyncError> {
    let totals = store.totals()?;
    let enrolling = bar("enrolling", totals.devices - totals.enrolled);
    let mut refused = enrol_all(store, chain, |devices| enrolling.inc(devices as u64)).await?;
    enrolling.finish_and_clear();
    let registering = bar("registering", totals.entries);
    registering.set_position(totals.finalised);
    let uploaded = upload_all(store, chain, options.run_length, |entries| {
        registering.inc(entries)
    });
    refused.extend(uploaded.await?);
    registering.finish_and_clear();
    Ok(refused)
}

/// Faults that the client does not sit out itself.
fn may_pass(fault: &ChainFault) -> bool {
    fault.passing && !["node_unreachable", "chain_stalled"].contains(&fault.code.as_str())
}

async fn enroller(options: &Simulate, chain: &Direct) -> Result<Option<Account>, Failure> {
    if let Some(SecretUri(uri)) = &options.enrol_with {
        return Ok(Some(Account::from_secret_uri(uri)?));
    }
    let kind: serde_json::Value = chain.client().request("system_chainType", &[]).await?;
    Ok(match kind.as_str() {
        Some("Development" | "Local") => Some(Account::from_secret_uri(DEVELOPMENT_ENROLLER)?),
        _ => None,
    })
}

fn kept(store: &Store) -> String {
    match store.totals() {
        Ok(totals) => format!(
            "{} entries are sealed and kept in {}; run the same command again to send them.",
            totals.entries - totals.finalised,
            store.path().display()
        ),
        Err(error) => error.to_string(),
    }
}

fn report(
    options: &Simulate,
    store: &Store,
    survey: &Survey,
    intake: &Intake,
    refusals: &[Refused],
) -> Result<ExitCode, Failure> {
    let devices = store.devices()?;
    for device in devices.iter().filter(|device| device.frozen.is_some()) {
        if let Some(reason) = device.frozen {
            eprintln!("error[{}]: device {}: {reason}", reason.code(), device.key);
        }
    }
    for Refused {
        device,
        sequence,
        refusal,
    } in refusals.iter().take(MOST_SHOWN)
    {
        let what = match sequence {
            0 => "its enrolment".into(),
            first => format!("its run from entry {first} on"),
        };
        eprintln!(
            "error[{}]: device {device}: {what}: {}",
            refusal.code, refusal.message
        );
    }
    let totals = store.totals()?;
    let not_enrolled: u64 = devices
        .iter()
        .filter(|device| {
            refusals
                .iter()
                .any(|r| r.sequence == 0 && r.device == device.key)
        })
        .map(|device| device.queued())
        .sum();
    let refused = totals.refused + not_enrolled + intake.stopped;
    println!(
        "devices={} entries={} duplicates={} finalised={} refused={refused}",
        totals.devices, totals.entries, survey.duplicates, totals.finalised,
    );
    let complete = refused == 0 && (options.offline || totals.finalised == totals.entries);
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(REFUSED)
    })
}

/// A progress bar; hides itself when standard error is no terminal.
fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} [{bar:40}] {pos}/{len} {eta}")
        .expect("the template is valid; qed")
        .progress_chars("=> ");
    ProgressBar::new(length)
        .with_style(style)
        .with_message(what)
}

fn rng() -> StdRng {
    StdRng::from_os_rng()
}

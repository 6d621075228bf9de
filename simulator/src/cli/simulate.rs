// SPDX-License-Identifier: Apache-2.0

//! `simulate`: terms, nights, seals, enrolments, uploads.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use mhealth_chain_client::{Account as ChainAccount, ChainType, Patience};
use mhealth_device_host::{
    chain::Chain,
    fleet::{sync_all, Refused},
    servers::{authentication_server, Address},
    Error, Store, SyncError, SystemClock, Terms,
};
use mhealth_simulator::{
    cohort::{
        generator::Trial,
        intake::{seal_nights, Intake, Sealing},
        participants::ParticipantKeys,
        source::{SourceError, SourceNight},
        survey::Survey,
    },
    direct::Direct,
};
use rand::{rngs::StdRng, SeedableRng};

use super::{
    input::Source,
    register::{bar, kept, print_figures, provide_codes, register, report, Account},
    topology::{acquaint, Connection, Route},
    EnvelopeForm, Failure, Secret, Simulate,
};

/// Who enrols on a development chain when nobody is named.
const DEVELOPMENT_ENROLLER: &str = "//Charlie";

/// What the command line says or has in files. Read before anything is sealed: a wrong command line does nothing.
struct Secrets {
    credential: Option<Secret>,
    enroller: Option<Secret>,
}

impl Secrets {
    fn given(options: &Simulate) -> Result<Self, Failure> {
        Ok(Secrets {
            credential: Secret::given(
                options.admin_credential.as_ref(),
                options.admin_credential_file.as_deref(),
            )?,
            enroller: Secret::given(
                options.enrol_with.as_ref(),
                options.enrol_with_file.as_deref(),
            )?,
        })
    }
}

pub(super) async fn simulate(options: &Simulate) -> Result<ExitCode, Failure> {
    let secrets = Secrets::given(options)?;
    let source = options.input.open(&options.state)?;
    let survey = match &source {
        Some(source) => source.survey()?,
        None => Survey::default(),
    };
    let (store, chain) = prepare(options).await?;
    if let Some(source) = &source {
        source.review(&store, &survey)?;
    }
    if let Some(chain) = &chain {
        compare(&store, chain).await?;
    }
    let intake = seal(options, &store, source.as_ref(), &survey)?;
    if source.is_some() {
        println!(
            "rows={} blank={} corrections={}",
            survey.rows, survey.blank, intake.corrections
        );
    }
    let refusals = if options.offline {
        Vec::new()
    } else {
        let chain = match chain {
            Some(chain) => chain,
            None => reconnect(options, &store).await?,
        };
        send(options, &secrets, &store, chain).await?
    };
    let account = Account {
        duplicates: survey.duplicates,
        unsealed: intake.stopped,
        refusals: &refusals,
        offline: options.offline,
    };
    report(&store, &account)
}

/// Enrols and uploads.
async fn send(
    options: &Simulate,
    secrets: &Secrets,
    store: &Store,
    chain: Connection,
) -> Result<Vec<Refused>, Failure> {
    let chain = match chain {
        Connection::Direct(direct) => {
            Connection::Direct(match enroller(secrets, &direct).await? {
                Some(account) => direct.enrolling_as(account),
                None => direct,
            })
        }
        Connection::Servers(through) => {
            if let Some(credential) = &secrets.credential {
                let keys = match options.envelope {
                    EnvelopeForm::Plain => None,
                    EnvelopeForm::Hpke => Some(ParticipantKeys::read(&participant_keys(options))?),
                };
                let provided =
                    provide_codes(store, &through.servers, credential, keys.as_ref()).await;
                provided.map_err(|failure| failure.and(&kept(store)))?;
            }
            Connection::Servers(through)
        }
    };
    let registered = register(store, &chain, options.run_length, true).await;
    if let Connection::Servers(through) = &chain {
        print_figures(&through.meter);
    }
    registered
}

/// Opens the state file, or makes it with what the chain says. A node that is not there is no reason not to seal when
/// the file knows its terms already; `None` is given for it then.
async fn prepare(options: &Simulate) -> Result<(Store, Option<Connection>), Failure> {
    let clock = Arc::new(SystemClock);
    let known = match Store::open(&options.state, clock.clone()) {
        Ok(store) => Some(store),
        Err(Error::Missing(_) | Error::Unfinished(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(store) = &known {
        if let Some(genesis) = options.topology.genesis {
            store.expect_chain(&genesis)?;
        }
        let found = store.terms().study;
        if found != options.study {
            return Err(Error::OtherStudy {
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
    match options.topology.route(known.as_ref())? {
        Route::Direct(url) => prepare_direct(options, &url, known).await,
        Route::Servers(authentication, addresses) => {
            let store = match known {
                Some(store) => store,
                None => {
                    let terms = terms_by_server(options, authentication.clone()).await?;
                    Store::open_or_create(&options.state, &terms, clock, &mut rng())?
                }
            };
            store.set_servers(&addresses)?;
            let load = options.load;
            let servers = options
                .topology
                .servers(authentication, &addresses, &store, load)?;
            Ok((store, Some(Connection::Servers(servers))))
        }
    }
}

async fn prepare_direct(
    options: &Simulate,
    url: &str,
    known: Option<Store>,
) -> Result<(Store, Option<Connection>), Failure> {
    let genesis = known
        .as_ref()
        .map(|store| store.terms().chain)
        .or(options.topology.genesis);
    let patience = match known {
        Some(_) => Patience::default(), // One attempt: there will be another after sealing.
        None => options.topology.patience_with_node(),
    };
    let patience = Patience {
        connect: patience.connect,
        ..options.topology.patience_with_node()
    };
    let connected = Direct::connect(url, genesis, patience).await;
    let connected = connected.map(|direct| direct.trusting(options.topology.trust_relays));
    let direct = match (connected, known) {
        (Err(fault), Some(store)) if fault.code == "node_unreachable" => {
            tracing::warn!(error = %fault, "sealing first");
            return Ok((store, None));
        }
        (connected, Some(store)) => return Ok((store, Some(Connection::Direct(connected?)))),
        (connected, None) => connected?,
    };
    let study = direct
        .study(options.study)
        .await?
        .ok_or_else(|| unknown_study(options))?;
    let terms = Terms {
        chain: direct.genesis(),
        study: options.study,
        auditor_key: study.auditor_key,
        auditor_epoch: study.auditor_epoch,
    };
    let clock = Arc::new(SystemClock);
    let store = Store::open_or_create(&options.state, &terms, clock, &mut rng())?;
    Ok((store, Some(Connection::Direct(direct))))
}

fn offline_terms(options: &Simulate) -> Result<Terms, Failure> {
    match (options.topology.genesis, options.auditor_key) {
        (Some(chain), Some(auditor_key)) => Ok(Terms {
            chain,
            study: options.study,
            auditor_key,
            auditor_epoch: options.auditor_epoch,
        }),
        _ => Err(Failure::input(
            "terms_unknown",
            "There is no state file yet: --offline needs --genesis and --auditor-key to make one.",
        )),
    }
}

async fn terms_by_server(options: &Simulate, server: Address) -> Result<Terms, Failure> {
    let server = authentication_server(
        server,
        options.topology.patience(),
        &options.topology.certificates()?,
        Arc::new(SystemClock),
    )?;
    let study = server
        .study(options.study)
        .await?
        .ok_or_else(|| unknown_study(options))?;
    if options
        .topology
        .genesis
        .is_some_and(|genesis| genesis != study.chain.0)
    {
        return Err(Failure::chain(
            "wrong_chain",
            format!(
                "The authentication server serves the chain {}.",
                study.chain
            ),
        ));
    }
    Ok(Terms {
        chain: study.chain.0,
        study: options.study,
        auditor_key: study.auditor_key.0,
        auditor_epoch: study.auditor_epoch,
    })
}

fn unknown_study(options: &Simulate) -> Failure {
    let message = format!("The chain has no study {}.", options.study);
    Failure::chain("unknown_study", message)
}

/// Compared before anything is sealed: a restored backup shows only to a device that has not sealed since. Servers that
/// are away are no reason not to seal.
async fn compare(store: &Store, chain: &Connection) -> Result<(), Failure> {
    let compared = match chain {
        Connection::Direct(_) => sync_all(store, chain).await,
        Connection::Servers(through) => match acquaint(store, &through.servers).await {
            Ok(true) => sync_all(store, chain).await,
            Ok(false) => return Ok(()), // Nobody is enrolled.
            Err(error) => Err(error),
        },
    };
    match (compared, chain) {
        (Err(SyncError::Chain(fault)), Connection::Servers(_)) if fault.passing => {
            tracing::warn!(error = %fault, "sealing first");
            Ok(())
        }
        (compared, _) => Ok(compared.map(drop)?),
    }
}

async fn reconnect(options: &Simulate, store: &Store) -> Result<Connection, Failure> {
    let connected = options.topology.connect(store).await;
    connected.map_err(|failure| failure.and(&kept(store)))
}

fn seal(
    options: &Simulate,
    store: &Store,
    source: Option<&Source>,
    survey: &Survey,
) -> Result<Intake, Failure> {
    let mut keys = match options.envelope {
        EnvelopeForm::Plain => None,
        EnvelopeForm::Hpke => Some(ParticipantKeys::open(&participant_keys(options))?),
    };
    let how = Sealing {
        group: options.commit_every as usize,
        change: options.input.change(),
        keys: keys.as_mut(),
    };
    let (nights, expected): (Box<dyn Iterator<Item = _>>, u64) = match source {
        Some(source) => (Box::new(survey.placed(source.nights()?)), survey.rows),
        None => {
            let most = u64::from(options.devices) * u64::from(options.nights);
            (Box::new(made_up(options)), most)
        }
    };
    let bar = bar("sealing", expected);
    let intake = seal_nights(store, nights, how, &mut rng(), || bar.inc(1));
    bar.finish_and_clear();
    Ok(intake?)
}

fn made_up(options: &Simulate) -> impl Iterator<Item = Result<(u64, SourceNight), SourceError>> {
    let trial = Trial {
        devices: options.devices,
        nights: options.nights,
        seed: options.seed,
        start: options.start,
    };
    trial.participants().flat_map(|diarist| {
        let id = diarist.id.clone();
        diarist.map(move |entry| Ok((0, SourceNight::MadeUp(id.clone(), entry))))
    })
}

fn participant_keys(options: &Simulate) -> PathBuf {
    options.participant_keys.clone().unwrap_or_else(|| {
        let mut name = options.state.clone().into_os_string();
        name.push(".participants");
        name.into()
    })
}

async fn enroller(secrets: &Secrets, chain: &Direct) -> Result<Option<ChainAccount>, Failure> {
    if let Some(secret) = &secrets.enroller {
        return Ok(Some(ChainAccount::from_secret_uri(secret.expose())?));
    }
    Ok(match chain.client().chain_type().await? {
        ChainType::Development | ChainType::Local => {
            Some(ChainAccount::from_secret_uri(DEVELOPMENT_ENROLLER)?)
        }
        _ => None,
    })
}

fn rng() -> StdRng {
    StdRng::from_os_rng()
}

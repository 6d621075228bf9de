// SPDX-License-Identifier: Apache-2.0

//! Uploads and entries a second through a real relay to a real node, on this machine, generator included.
//!
//! `cargo bench --workspace --bench uploads -- [--quick] [--database=sqlite|postgresql] [--proofs] [--in-flight=TRANSACTIONS]`, after
//! `cargo build --release --workspace`. With `--proofs` every phone asks what became of its runs while it uploads, has the relay prove
//! it, and checks the proof. `--in-flight` is the relay's own option.

mod receipts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use axum::routing::get;
use axum::{Json, Router};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use futures::{stream, StreamExt, TryStreamExt};
use hashchain::StudyId;
use mhealth_api::{Claims, Confirmation, Hash, Jwk, JwkSet, Key, Thumbprint};
use mhealth_chain_client::{Account, ChainClient, Submitter, SubmitterOptions};
use mhealth_testing::handset::{self, Pass};
use mhealth_testing::node;
use mhealth_testing::phone::{enrol_after, upload, Phone};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::process;
use mhealth_testing::servers::{relay, RelayOptions, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;

use receipts::{Phones, Receipts, Sent};

const STUDY: StudyId = StudyId(0);
/// Bytes of an envelope: a night's record, sealed.
const ENVELOPE: usize = 600;
const PATIENCE: Duration = Duration::from_secs(600);
/// Connections at a time, each with one device's uploads.
const CONNECTIONS: usize = 200;
/// Enrolments on their way at a time.
const ENROLMENTS: usize = 1_000;

struct Plan {
    devices: usize,
    uploads: usize,
    entries: usize,
}

/// How the relay and its phones are to be.
struct How {
    proofs: bool,
    /// The relay's own number where none is told.
    in_flight: Option<String>,
}

/// What a phone uploads.
struct Upload {
    body: Vec<u8>,
    sent: Sent,
}

fn main() -> Result<()> {
    let told = |option: &str| std::env::args().any(|argument| argument == option);
    if !told("--bench") {
        // `cargo test --all-targets` runs this program, too; what it measures there means nothing.
        return Ok(());
    }
    let quick = told("--quick");
    let value = |option: &str| {
        let mut arguments = std::env::args();
        arguments.find_map(|argument| argument.strip_prefix(option).map(str::to_owned))
    };
    let only = value("--database=");
    let how = How {
        proofs: told("--proofs"),
        in_flight: value("--in-flight="),
    };
    mhealth_server::install_crypto();
    let runtime = tokio::runtime::Runtime::new()?;
    let scale = if quick { 20 } else { 1 };
    for database in ["sqlite", "postgresql"] {
        if only.as_deref().is_some_and(|only| only != database) {
            continue;
        }
        let plans = [
            (CONNECTIONS, 1, 400_000),
            (CONNECTIONS, 16, 10_000),
            (10_000, 1, 40_000),
        ];
        for (devices, entries, uploads) in plans {
            if quick && devices > CONNECTIONS {
                continue; // Enrolling so many takes longer than the rest.
            }
            let plan = Plan {
                devices,
                uploads: uploads / scale,
                entries,
            };
            runtime.block_on(measure(database, &plan, &how))?;
        }
    }
    Ok(())
}

async fn measure(database: &str, plan: &Plan, how: &How) -> Result<()> {
    let files = tempfile::tempdir()?;
    let postgres = match database {
        "postgresql" => Some(Postgres::start()?),
        _ => None,
    };
    let url = match &postgres {
        Some(postgres) => postgres.new_database()?,
        None => format!("sqlite:{}", files.path().join("relay.db").display()),
    };
    let node = node::Launch::consensus().start()?;
    let chain = ChainClient::connect(&node.url()).await?;
    let signer = SigningKey::from_bytes(&[7; 32]);
    let issuer = serve_keys(&signer).await?;
    let server = relay(&RelayOptions {
        study: STUDY,
        chain: node.url(),
        account: "//Dave",
        database: url,
        issuer: issuer.clone(),
    });
    let server = server
        .arg("--device-rate=100000")
        .arg("--device-burst=100000");
    let server = match &how.in_flight {
        Some(transactions) => server.arg(format!("--in-flight={transactions}")),
        None => server,
    };
    let server = server.start()?;

    let many = SubmitterOptions {
        in_flight: ENROLMENTS,
        ..SubmitterOptions::default()
    };
    let office = chain.submitter_with(Account::from_secret_uri("//Charlie")?, many);
    let mut phones = enrol(&office, plan.devices).await?;
    let genesis = Hash(chain.genesis_hash().0);
    let each = plan.uploads / plan.devices;
    let mut queues = Vec::new();
    for phone in &mut phones {
        let token = token(&signer, &issuer, &server.url(), genesis, phone)?;
        let pass = Pass {
            token,
            key: phone.key.clone(),
        };
        let uploads: Result<Vec<_>> = (0..each).map(|_| next(phone, plan.entries)).collect();
        queues.push((pass, phone.device(), uploads?));
    }

    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(CONNECTIONS)
        .build()?;
    let asking = match how.proofs {
        true => {
            let any = phones[0].device();
            let begun = Phones::begin(http.clone(), server.url(), genesis, any);
            let begun = tokio::time::timeout(PATIENCE, begun).await;
            Some(begun.context("no head was proved in time")??)
        }
        false => None,
    };
    let in_flight = Arc::new(AtomicU64::new(0));
    let watching = tokio::spawn(watch_flights(http.clone(), server.url(), in_flight.clone()));
    let mut askers = JoinSet::new();
    let began = Instant::now();
    let mut senders = stream::iter(queues)
        .map(|(pass, device, uploads)| {
            let (tell, hear) = watch::channel(None);
            if let Some(phones) = asking.clone() {
                askers.spawn(tokio::time::timeout(PATIENCE, phones.ask(device, hear)));
            }
            tokio::spawn(send(http.clone(), server.url(), pass, uploads, tell))
        })
        .buffer_unordered(CONNECTIONS);
    let mut latencies = Vec::new();
    while let Some(sender) = senders.next().await {
        latencies.extend(sender??);
    }
    drop(senders);
    let accepted = began.elapsed();
    let runs = latencies.len();
    let finalised = until_finalised(&http, &server, runs, began).await?;
    let mut receipts = Receipts::default();
    while let Some(asker) = askers.join_next().await {
        let of_one = asker?.context("not everything was proved in time")??;
        receipts.proofs += of_one.proofs;
        receipts.bytes += of_one.bytes;
    }
    let proved = began.elapsed();
    watching.abort();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((runs - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let metrics = metrics(&http, &server.url()).await?;
    let entries = runs * plan.entries;
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let proofs = match how.proofs {
        true => format!(
            " proofs={} proofs_per_s={:.0} proof_bytes={} proved_entries_per_s={:.0}",
            receipts.proofs,
            rate(receipts.proofs, proved),
            receipts.bytes / receipts.proofs.max(1),
            rate(entries, proved)
        ),
        false => String::new(),
    };
    let mut out = std::io::stdout();
    std::io::Write::write_fmt(
        &mut out,
        format_args!(
            "database={database} devices={} entries_per_run={} uploads={runs} uploads_per_s={:.0} entries_per_s={:.0} \
             p50_ms={:.1} p99_ms={:.1} finalised_entries_per_s={:.0} finalised_p50_s={} finalised_p99_s={} \
             relay_peak_mib={} in_flight_peak={}{proofs}\n",
            plan.devices,
            plan.entries,
            rate(runs, accepted),
            rate(entries, accepted),
            at(0.5),
            at(0.99),
            rate(entries, finalised),
            quantile(&metrics, 0.5),
            quantile(&metrics, 0.99),
            peak_memory(&server)?,
            in_flight.load(Ordering::Relaxed),
        ),
    )?;
    Ok(())
}

async fn enrol(office: &Submitter, devices: usize) -> Result<Vec<Phone>> {
    let seeds = (1..=u32::try_from(devices)?).map(|number| {
        let mut seed = [0x5a; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        seed
    });
    stream::iter(seeds)
        .map(|seed| async move { enrol_after(office, STUDY, &seed, None).await })
        .buffer_unordered(ENROLMENTS)
        .try_collect()
        .await
}

/// A phone's next run.
fn next(phone: &mut Phone, entries: usize) -> Result<Upload> {
    let data = "x".repeat(ENVELOPE);
    let run = upload(&phone.run_of(entries, &data), data.as_bytes());
    Ok(Upload {
        body: serde_json::to_vec(&run)?,
        sent: Sent {
            run: handset::name(&run),
            length: phone.length(),
            head: phone.head(),
        },
    })
}

/// Uploads one phone's runs, and tells which was acknowledged last.
async fn send(
    http: reqwest::Client,
    url: String,
    pass: Pass,
    uploads: Vec<Upload>,
    tell: watch::Sender<Option<Sent>>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(uploads.len());
    for Upload { body, sent } in uploads {
        let began = Instant::now();
        loop {
            let address = format!("{url}/v1/runs");
            let request = http.post(&address);
            let request = request.header("content-type", "application/json");
            let headers = pass.headers(&address).into_iter();
            let request = headers.fold(request, |request, (name, value)| {
                request.header(name, value)
            });
            let request = request.body(body.clone());
            let answer = request.send().await?;
            match answer.status().as_u16() {
                202 => {
                    answer.bytes().await?;
                    break;
                }
                503 => tokio::time::sleep(Duration::from_millis(100)).await,
                status => bail!("{status}: {}", answer.text().await?),
            }
        }
        latencies.push(began.elapsed());
        tell.send_replace(Some(sent));
    }
    Ok(latencies)
}

/// Keeps the most transactions that the relay had on their way at a time. It counts them each second.
async fn watch_flights(http: reqwest::Client, url: String, most: Arc<AtomicU64>) {
    loop {
        if let Ok(metrics) = metrics(&http, &url).await {
            let now = metrics.get("mhealth_relay_batches_in_flight");
            most.fetch_max(now.copied().unwrap_or(0.0) as u64, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn until_finalised(
    http: &reqwest::Client,
    server: &Server,
    runs: usize,
    began: Instant,
) -> Result<Duration> {
    loop {
        let metrics = metrics(http, &server.url()).await?;
        let settled = metrics.get("mhealth_relay_finalised_after_seconds_count");
        if settled.is_some_and(|settled| *settled as usize >= runs) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > PATIENCE {
            bail!("not everything was finalised in time:\n{}", server.log());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn metrics(http: &reqwest::Client, url: &str) -> Result<HashMap<String, f64>> {
    let text = http
        .get(format!("{url}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    Ok(pairs
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

/// The upper end of the histogram's bucket in which the quantile lies.
fn quantile(metrics: &HashMap<String, f64>, share: f64) -> String {
    let name = "mhealth_relay_finalised_after_seconds";
    let count = metrics
        .get(&format!("{name}_count"))
        .copied()
        .unwrap_or_default();
    let mut buckets: Vec<(f64, f64)> = metrics
        .iter()
        .filter_map(|(key, value)| {
            let bound = key
                .strip_prefix(&format!("{name}_bucket{{le=\""))?
                .strip_suffix("\"}")?;
            Some((bound.parse().ok()?, *value))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let bucket = buckets.iter().find(|(_, below)| *below >= count * share);
    bucket.map_or("?".into(), |(bound, _)| format!("<={bound}"))
}

fn peak_memory(server: &Server) -> Result<u64> {
    let id = server.process_id().context("the relay is gone")?;
    process::peak_memory(id).context("the relay is gone")
}

async fn serve_keys(signer: &SigningKey) -> Result<String> {
    let key = Key(signer.verifying_key().to_bytes());
    let set = JwkSet {
        keys: vec![Jwk::signing(&key, "one")],
    };
    let keys = get(move || {
        let set = set.clone();
        async move { Json(set) }
    });
    let router = Router::new().route("/.well-known/jwks.json", keys);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

fn token(
    signer: &SigningKey,
    issuer: &str,
    relay: &str,
    chain: Hash,
    phone: &Phone,
) -> Result<String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: vec![relay.to_owned()],
        sub: phone.device().to_string(),
        iat: now,
        nbf: now,
        exp: now + 3_600,
        jti: phone.device().to_string(),
        chain,
        study: STUDY,
        cnf: Confirmation {
            jkt: Thumbprint::of(&Key(phone.public_key())),
        },
    };
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT","kid":"one"}"#);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?);
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes()).to_bytes());
    Ok(format!("{message}.{signature}"))
}

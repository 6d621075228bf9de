// SPDX-License-Identifier: Apache-2.0

//! Looks at everything that a server needs, before it is needed, and changes nothing.

mod office;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hashchain::StudyId;
use mhealth_chain_client::{
    check_private, AccountId32, ChainClient, ChainType, ChainView, ConnectOptions, Patience, H256,
};
use prometheus::IntGauge;
use serde::Serialize;

pub use self::office::Office;
use crate::database::files_of;
use crate::readiness::{chain_clock, free_bytes};
use crate::{
    backup, identity, tls, ChainOptions, Clock, Database, Lease, ServerOptions, SystemClock,
};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// From when on a certificate that expires is worth a word.
const SOON: i64 = 14 * 86_400;

/// How to say what was found.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DoctorOptions {
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// As it should be.
    Good,
    /// It works, and somebody should look at it.
    Doubtful,
    /// The server cannot do its work with it.
    Bad,
}

/// What was found of a part.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The part.
    pub part: &'static str,
    /// How it is.
    pub condition: Condition,
    /// In a sentence.
    pub detail: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Doctor {
    findings: Vec<Finding>,
}

impl Doctor {
    /// Notes how a part is.
    pub fn note(&mut self, part: &'static str, condition: Condition, detail: impl Into<String>) {
        self.findings.push(Finding {
            part,
            condition,
            detail: detail.into(),
        });
    }

    /// Notes that a part is good, or why it is bad; gives back what there is of it.
    pub fn take<T>(
        &mut self,
        part: &'static str,
        found: anyhow::Result<T>,
        good: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match found {
            Ok(found) => {
                let detail = good(&found);
                self.note(part, Condition::Good, detail);
                Some(found)
            }
            Err(error) => {
                self.note(part, Condition::Bad, format!("{error:#}"));
                None
            }
        }
    }

    /// Looks at what every server needs, and whether its account has this office in these studies. Returns the chain, if it
    /// answers.
    pub async fn examine(
        &mut self,
        server: &ServerOptions,
        chain: &ChainOptions,
        office: Office,
        studies: &[StudyId],
    ) -> Option<ChainClient> {
        let account = self.take("account", chain.account(), |account| {
            format!("{} can sign.", account.id())
        });
        let bound_to = self.examine_database(server).await;
        self.examine_files(server, chain);
        self.examine_disk(server);
        self.examine_certificate(server);
        let client = self.examine_node(server, chain, bound_to).await?;
        let view = async {
            let (_, view) = client.at_finalised().await?;
            anyhow::Ok(view)
        };
        match view.await {
            Ok(view) => {
                let account = account.map(|account| account.id());
                for study in BTreeSet::from_iter(studies) {
                    self.examine_study(&view, *study, office, account.as_ref())
                        .await;
                }
            }
            Err(error) => self.note("study", Condition::Bad, error.to_string()),
        }
        Some(client)
    }

    /// Whether the study is there, and whether the account has this office in it.
    async fn examine_study(
        &mut self,
        view: &ChainView,
        study: StudyId,
        office: Office,
        account: Option<&AccountId32>,
    ) {
        match view.study(study).await {
            Ok(Some(found)) if found.open => {
                let detail = format!("Study {study} is open: {}", found.title);
                self.note("study", Condition::Good, detail);
            }
            Ok(Some(_)) => {
                let detail = format!("Study {study} is closed.");
                self.note("study", Condition::Doubtful, detail);
            }
            Ok(None) => {
                let detail = format!("The chain has no study {study}.");
                return self.note("study", Condition::Bad, detail);
            }
            Err(error) => return self.note("study", Condition::Bad, error.to_string()),
        }
        let Some(account) = account else { return };
        match view.roster(study).await {
            Ok(roster) => {
                let (condition, detail) = office.in_study(account, study, &roster);
                self.note("role", condition, detail);
            }
            Err(error) => self.note("role", Condition::Bad, error.to_string()),
        }
    }

    /// Opens the database without changing anything of it; none if there is none yet, or it cannot be opened.
    pub async fn open_database(&self, server: &ServerOptions) -> Option<Database> {
        let url = server.database_url().ok()?;
        if url.file().is_some_and(|file| !file.exists()) {
            return None;
        }
        Database::open_as_it_is(&url, 1).await.ok()
    }

    /// Returns the chain that the database is bound to.
    async fn examine_database(&mut self, server: &ServerOptions) -> Option<String> {
        let url = server.database_url();
        let url = self.take("database address", url, |url| format!("{url}"))?;
        if let Some(file) = url.file().filter(|file| !file.exists()) {
            let detail = format!("{} is not there yet; the server makes it.", file.display());
            self.note("database", Condition::Doubtful, detail);
            return None;
        }
        let looked = async {
            let database = Database::open_as_it_is(&url, 1).await?;
            let looked = look_into(&database).await;
            database.close().await;
            looked
        };
        let said = looked.await;
        let (chain, leads) = self.take("database", said, |(chain, _)| match chain {
            Some(chain) => format!("It answers, and belongs to chain {chain}."),
            None => "It answers, and is new.".to_owned(),
        })?;
        let lease = match leads {
            true => "A process holds the lease.",
            false => "No process holds the lease: none runs, or it has just begun.",
        };
        self.note("leadership", Condition::Good, lease);
        chain
    }

    fn examine_files(&mut self, server: &ServerOptions, chain: &ChainOptions) {
        let database = server.database_url().ok().and_then(|url| url.file());
        let of_database = database.iter().flat_map(|file| files_of(file));
        let of_secrets = [
            &chain.account_file,
            &server.tls_key,
            &server.database_url_file,
        ];
        let of_secrets = of_secrets.into_iter().flatten().cloned();
        let files: Vec<_> = of_database
            .chain(of_secrets)
            .filter(|file| file.exists())
            .collect();
        let open = files.iter().filter_map(|file| check_private(file).err());
        let open: Vec<String> = open.map(|error| error.to_string()).collect();
        match open.is_empty() {
            true => {
                let detail = format!("{} files are their owner's alone.", files.len());
                self.note("files", Condition::Good, detail);
            }
            false => self.note("files", Condition::Bad, open.join("; ")),
        }
    }

    fn examine_disk(&mut self, server: &ServerOptions) {
        let Ok(Some(folder)) = server.database_folder() else {
            return;
        };
        let condition = |free: u64| match free {
            free if free < server.ready_free_disk => Condition::Bad,
            free if free < server.ready_free_disk.saturating_mul(16) => Condition::Doubtful,
            _ => Condition::Good,
        };
        match free_bytes(&folder) {
            Ok(free) => {
                let detail = format!("{} MiB are left where the database is.", free >> 20);
                self.note("disk", condition(free), detail);
            }
            Err(error) => self.note("disk", Condition::Bad, error.to_string()),
        }
    }

    fn examine_certificate(&mut self, server: &ServerOptions) {
        let (Some(certificate), Some(key)) = (&server.tls_certificate, &server.tls_key) else {
            return;
        };
        let left = certificate_left(certificate, key);
        match left {
            Ok(left) if left > SOON => {
                let detail = format!("It is good for {} days.", left / 86_400);
                self.note("certificate", Condition::Good, detail);
            }
            Ok(left) if left > 0 => {
                let detail = format!("It expires in {} hours: renew it.", left / 3_600);
                self.note("certificate", Condition::Doubtful, detail);
            }
            Ok(left) => {
                let detail = format!("It expired {} hours ago.", -left / 3_600);
                self.note("certificate", Condition::Bad, detail);
            }
            Err(error) => self.note("certificate", Condition::Bad, format!("{error:#}")),
        }
    }

    async fn examine_node(
        &mut self,
        server: &ServerOptions,
        chain: &ChainOptions,
        bound_to: Option<String>,
    ) -> Option<ChainClient> {
        let bound_to = bound_to.and_then(|chain| chain.parse::<H256>().ok());
        let options = ConnectOptions {
            genesis: chain.genesis.or(bound_to),
            patience: Patience {
                reconnect: PATIENCE,
                request: PATIENCE,
                ..Patience::default()
            },
        };
        let connected = ChainClient::connect_with(&chain.node, options).await;
        let connected = connected.map_err(|error| anyhow::anyhow!("{error} ({})", error.code()));
        let client = self.take("node", connected, |client| {
            format!(
                "{} follows chain {:?}.",
                client.url(),
                client.genesis_hash()
            )
        })?;
        let seen = async {
            let kind = client.chain_type().await?;
            let block = client.finalised().await?;
            Ok::<_, mhealth_chain_client::Error>((kind, block, client.finalised_time().await?))
        };
        match seen.await {
            Ok((kind, block, time)) => {
                let age = IntGauge::new("age", "Age.").expect("the name is good; qed");
                let judged = chain_clock(time, SystemClock.now(), server.ready_head_age, &age);
                match (judged, kind) {
                    (Err(error), _) => {
                        let detail = error.problem().detail.clone();
                        self.note("clock", Condition::Bad, detail);
                    }
                    (Ok(()), ChainType::Development) => {
                        let detail = format!(
                            "Block {} is final. This is a development chain: well-known keys hold all roles, and clocks are not \
                             compared.",
                            block.number
                        );
                        self.note("clock", Condition::Doubtful, detail);
                    }
                    (Ok(()), _) => {
                        let detail = format!(
                            "Block {} is final, and {} seconds old by this machine's clock.",
                            block.number,
                            age.get()
                        );
                        self.note("clock", Condition::Good, detail);
                    }
                }
            }
            Err(error) => self.note("clock", Condition::Bad, error.to_string()),
        }
        Some(client)
    }

    /// Prints what was found. Fails when something is bad.
    pub fn print(self, options: DoctorOptions) -> anyhow::Result<()> {
        let count = |condition: Condition| {
            let findings = self.findings.iter();
            findings
                .filter(|finding| finding.condition == condition)
                .count()
        };
        let (good, doubtful, bad) = (
            count(Condition::Good),
            count(Condition::Doubtful),
            count(Condition::Bad),
        );
        let mut out = std::io::stdout().lock();
        if options.json {
            writeln!(out, "{}", serde_json::to_string(&self)?)?;
        } else {
            for finding in &self.findings {
                let condition = match finding.condition {
                    Condition::Good => "good    ",
                    Condition::Doubtful => "doubtful",
                    Condition::Bad => "BAD     ",
                };
                writeln!(out, "{condition}  {}: {}", finding.part, finding.detail)?;
            }
            writeln!(out, "good={good} doubtful={doubtful} bad={bad}")?;
        }
        out.flush()?;
        match bad {
            0 => Ok(()),
            bad => anyhow::bail!("{bad} parts are not as they should be"),
        }
    }
}

/// The chain that a database is bound to, and whether some process holds its lease.
async fn look_into(database: &Database) -> anyhow::Result<(Option<String>, bool)> {
    database
        .check()
        .await
        .map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
    // A database without tables is new.
    let tables = sqlx::query("SELECT what FROM identity LIMIT 1");
    if tables.fetch_optional(database.pool()).await.is_err() {
        return Ok((None, false));
    }
    backup::refuse_copies(database).await?;
    let chain = identity::claimed(database, "chain").await?;
    Ok((chain, Lease::is_held(database).await?))
}

/// Seconds that a certificate is still good; fails when the server could not use it.
fn certificate_left(certificate: &Path, key: &Path) -> anyhow::Result<i64> {
    let expires_at = tls::Identity::load(certificate, key)?.expires_at();
    Ok(expires_at - SystemClock.now() as i64)
}

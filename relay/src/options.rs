// SPDX-License-Identifier: Apache-2.0

//! The relay's command line.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use mhealth_api::{LONGEST_EXPORT_LINE, MAX_ENVELOPE_LENGTH};
use mhealth_server::backup::CopyCommand;
use mhealth_server::credentials::CredentialCommand;
use mhealth_server::doctor::DoctorOptions;
use mhealth_server::scopes::OneOrAll;
use mhealth_server::{
    BaseAddress, ChainOptions, Duty, FailureOptions, Scopes, ServerOptions, StudyOption,
    LIST_DELIMITER,
};

use crate::erasing::{HolderKey, Retention};
use crate::intake::IntakeLimits;
use crate::issuers::TrustedIssuer;
use crate::outbox::{OutboxOptions, MAX_BATCH_RUNS};
use crate::store::Quotas;

/// Most bytes that an upload may be allowed to have: a line of an export has its entries, and less than so much beside.
const LARGEST_BODY: u64 = LONGEST_EXPORT_LINE as u64 - 64 * 1024;

/// Fewest bytes that an upload must be allowed to have: a phone's run has 512 KiB of envelopes, here in base64.
const SMALLEST_BODY: u64 = 1024 * 1024;

/// The relay server of mHealth Chain: authenticates devices, keeps their envelopes and brings their runs to the chain.
///
/// Without a command it serves.
#[derive(Clone, Debug, Parser)]
#[command(name = "mhealth-relay", version)]
pub struct Options {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// As every server.
    #[command(flatten)]
    pub server: ServerOptions,

    /// The chain.
    #[command(flatten)]
    pub chain: ChainOptions,

    /// The relay.
    #[command(flatten)]
    pub relay: RelayOptions,
}

impl AsRef<ServerOptions> for Options {
    fn as_ref(&self) -> &ServerOptions {
        &self.server
    }
}

/// What the relay does beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Takes uploads and brings them to the chain; the same as no command.
    Serve,
    /// Credentials of auditors, who may export runs with their envelopes.
    #[command(subcommand)]
    Auditor(CredentialCommand<AuditorOptions>),
    /// Credentials of those who may bring orders of the holder of the participants' keys to erase envelopes.
    #[command(subcommand)]
    Eraser(CredentialCommand<EraserOptions>),
    /// Looks at everything that the relay needs, and says a line of each. Changes nothing; fails when something is bad.
    Doctor(DoctorOptions),
    /// Copies of the database.
    #[command(flatten)]
    Copy(CopyCommand),
}

/// What an auditor's credential is good for.
#[derive(Clone, Debug, Args)]
pub struct AuditorOptions {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub study: StudyOption,
}

impl From<&AuditorOptions> for Scopes {
    fn from(options: &AuditorOptions) -> Self {
        Scopes {
            studies: options.study.studies(),
            duties: [OneOrAll::One(Duty::Export)].into_iter().collect(),
        }
    }
}

/// What the credential of somebody is good for who brings orders to erase.
#[derive(Clone, Debug, Args)]
pub struct EraserOptions {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub study: StudyOption,
}

impl From<&EraserOptions> for Scopes {
    fn from(options: &EraserOptions) -> Self {
        Scopes {
            studies: options.study.studies(),
            duties: [OneOrAll::One(Duty::Erase)].into_iter().collect(),
        }
    }
}

/// Options of the relay alone.
#[derive(Clone, Debug, Args)]
pub struct RelayOptions {
    /// An authentication server whose tokens are good for one study: issuer=URL,study=NUMBER, and jwks=URL if its keys are
    /// not at /.well-known/jwks.json below that. May be given several times; in the environment separated by spaces.
    #[arg(
        long = "trusted-issuer",
        value_name = "ISSUER",
        env = "MHEALTH_TRUSTED_ISSUERS",
        value_delimiter = LIST_DELIMITER
    )]
    pub issuers: Vec<TrustedIssuer>,

    /// The holder of a study's participants' keys: study=NUMBER,key=0x…, the Ed25519 key that `mhealth-data keys list` prints.
    /// What this key orders is erased. May be given several times, also for one study; in the environment separated by spaces.
    #[arg(
        long = "holder",
        value_name = "HOLDER",
        env = "MHEALTH_HOLDERS",
        value_delimiter = LIST_DELIMITER
    )]
    pub holders: Vec<HolderKey>,

    /// How long a study's envelopes are kept: study=NUMBER,days=NUMBER. Those that are registered for longer are erased, and
    /// everything else of them stays. May be given several times, once for each study; in the environment separated by spaces.
    /// Default: for ever.
    #[arg(
        long = "retention",
        value_name = "RULE",
        env = "MHEALTH_RETENTION",
        value_delimiter = LIST_DELIMITER
    )]
    pub retentions: Vec<Retention>,

    /// With PostgreSQL: the hour of the day, in UTC, at which the bytes of what was erased by a rule of retention leave its files, if there
    /// are any. The table is written anew for that, and uploads and exports wait meanwhile.
    #[arg(long, value_name = "HOUR", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(0..=23))]
    pub retention_hour: u8,

    /// Base address by which devices reach this relay, such as `https://relay.example.org`. Tokens list it, and proofs of
    /// possession name it. May be given several times; in the environment separated by spaces. Default: the address that the
    /// relay listens on, if that is one of this machine.
    #[arg(
        long = "address",
        value_name = "URL",
        env = "MHEALTH_ADDRESSES",
        value_delimiter = LIST_DELIMITER
    )]
    pub addresses: Vec<BaseAddress>,

    /// Seconds that the clocks of the relay and an authentication server may differ, and that a device's clock may be off
    /// before the relay has to give it a nonce.
    #[arg(long, value_name = "SECONDS", default_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub clock_skew: u64,

    /// Take bare records and chain them on behalf of devices, as in Figures 2a and 2b of the paper. Nothing protects such
    /// data on its way; for comparison only.
    #[arg(long)]
    pub chain_for_devices: bool,

    /// Largest upload, in bytes. What is taken must fit into a line of an export.
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024,
        value_parser = RangedU64ValueParser::<usize>::new().range(SMALLEST_BODY..=LARGEST_BODY))]
    pub max_body: usize,

    /// Bytes of all uploads that are not answered yet, at most. Further uploads are answered with `overloaded`.
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024)]
    pub max_bodies: usize,

    /// Largest envelope, in bytes. Phones seal envelopes of up to 256 KiB and count on it that every relay takes them.
    #[arg(long, value_name = "BYTES", default_value_t = MAX_ENVELOPE_LENGTH,
        value_parser = RangedU64ValueParser::<usize>::new().range(MAX_ENVELOPE_LENGTH as u64..=LARGEST_BODY))]
    pub max_envelope: usize,

    /// Entries that wait for the chain, at most. Further uploads are answered with `overloaded`.
    #[arg(long, value_name = "ENTRIES", default_value_t = 1_000_000)]
    pub max_queued_entries: u64,

    /// Runs that contradict a device's history and are kept as evidence, at most, for each device.
    #[arg(long, value_name = "RUNS", default_value_t = 16)]
    pub max_conflicts: u32,

    /// Sustained uploads per second for one device.
    #[arg(long, value_name = "UPLOADS", default_value = "10")]
    pub device_rate: NonZeroU32,

    /// Uploads that one device may send in a burst.
    #[arg(long, value_name = "UPLOADS", default_value = "100")]
    pub device_burst: NonZeroU32,

    /// Uploads of one device that are under way at a time, at most.
    #[arg(long, value_name = "UPLOADS", default_value = "4")]
    pub device_at_once: NonZeroU32,

    /// Bytes that one device may send in a day, and at once. What it has sent counts less and less, as the day goes by; more is
    /// answered with `device_bytes_used`.
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024)]
    pub device_bytes_per_day: u64,

    /// Bytes of one device that are kept, at most. More is answered with `device_storage_full`, until you raise it.
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024 * 1024)]
    pub device_bytes: u64,

    /// Entries of one device that wait for the chain, at most, while nobody else's do. The fuller the queue, the fewer: when
    /// half of --max-queued-entries wait, half as many. More is answered with `device_queue_full`.
    #[arg(long, value_name = "ENTRIES", default_value_t = 16_384)]
    pub device_queued_entries: u64,

    /// Runs in one transaction, at most.
    #[arg(long, value_name = "RUNS", default_value_t = MAX_BATCH_RUNS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BATCH_RUNS)))]
    pub batch_runs: u32,

    /// Entries in one transaction, at most, unless a single run has more.
    #[arg(long, value_name = "ENTRIES", default_value_t = OutboxOptions::default().max_batch_entries,
        value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub batch_entries: u32,

    /// Milliseconds that a transaction may wait to be filled.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = OutboxOptions::default().gather.as_millis() as u64)]
    pub batch_delay: u64,

    /// Transactions that are on their way at a time, at most. With full ones of signed runs, 64 bring 16,000 runs a second where
    /// blocks become final after four seconds, and take 12 MB of the node's pool.
    #[arg(long, value_name = "TRANSACTIONS", default_value_t = OutboxOptions::default().in_flight,
        value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub in_flight: u16,

    /// Seconds after which another process on the same database takes over from one that does not answer.
    #[arg(long, value_name = "SECONDS", default_value_t = OutboxOptions::default().lease.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub lease: u64,

    /// Wrong credentials of auditors.
    #[command(flatten)]
    pub failures: FailureOptions,
}

impl RelayOptions {
    /// What a device may send.
    pub fn intake(&self) -> IntakeLimits {
        IntakeLimits {
            max_envelope: self.max_envelope.min(self.max_body),
            max_queued_entries: self.max_queued_entries,
            uploads_per_second: self.device_rate,
            burst: self.device_burst,
            at_once: self.device_at_once,
        }
    }

    /// How much of a device is kept.
    pub fn quotas(&self) -> Quotas {
        Quotas {
            rivals: self.max_conflicts,
            bytes_per_day: self.device_bytes_per_day,
            bytes: self.device_bytes,
            queued_entries: self.device_queued_entries,
        }
    }

    /// How the outbox behaves.
    pub fn outbox(&self) -> OutboxOptions {
        OutboxOptions {
            max_batch_entries: self.batch_entries,
            max_batch_runs: self.batch_runs,
            gather: Duration::from_millis(self.batch_delay),
            in_flight: self.in_flight,
            lease: Duration::from_secs(self.lease),
            ..OutboxOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use hashchain::StudyId;

    use super::*;

    #[test]
    fn lists_are_split_at_spaces() {
        let list = "issuer=https://a.example,study=0 issuer=https://b.example,study=1";
        let options = Options::try_parse_from(["mhealth-relay", "--trusted-issuer", list]).unwrap();
        let studies: Vec<_> = options
            .relay
            .issuers
            .iter()
            .map(|issuer| issuer.study)
            .collect();
        assert_eq!(studies, [StudyId(0), StudyId(1)]);
    }

    #[test]
    fn a_relay_that_is_told_nothing_submits_as_the_outbox_does_in_tests() {
        let issuer = "issuer=https://a.example,study=0";
        let options = Options::try_parse_from(["mhealth-relay", "--trusted-issuer", issuer]);
        let outbox = options.unwrap().relay.outbox();
        assert_eq!(outbox, OutboxOptions::default());
    }

    #[test]
    fn a_credential_says_for_which_studies_it_is() {
        let scopes = |studies: &[&str]| {
            let start = ["mhealth-relay", "auditor", "add", "eva"];
            let arguments = start.iter().chain(studies);
            match Options::try_parse_from(arguments)?.command {
                Some(Command::Auditor(CredentialCommand::Add { scopes, .. })) => {
                    Ok(Scopes::from(&scopes).to_string())
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(scopes(&[]).is_err_and(|error: clap::Error| error.to_string().contains("--study")));
        for (studies, text) in [
            (&["--study=7", "--study=0"][..], "study=0,7 may=export"),
            (&["--study=7,0"], "study=0,7 may=export"),
            (&["--study=all"], "study=all may=export"),
        ] {
            assert_eq!(scopes(studies).unwrap(), text);
        }
        assert!(scopes(&["--study=x"]).is_err());
    }

    #[test]
    fn the_configurations_of_the_documents_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let read = |document: &str, from: &str, to: &str| {
            let start = document.find(from).expect("it begins") + from.len();
            let length = document[start..].find(to).expect("it ends");
            let file = folder.path().join("relay.toml");
            std::fs::write(&file, &document[start..start + length]).unwrap();
            let file = format!("--config={}", file.display());
            mhealth_server::read_options_from::<Options>(["mhealth-relay", &file]).unwrap()
        };
        let document = include_str!("../../docs/operating/from-an-empty-debian.md");
        let options = read(document, "cat > /etc/mhealth/relay.toml <<'END'\n", "END\n");
        assert!(options.server.admin_listen.is_some());
        assert!(options.server.database_url_file.is_some());
        assert_eq!(options.relay.issuers[0].study, StudyId(0));
        let document = include_str!("../../docs/operating/behind-a-proxy.md");
        let options = read(document, "```toml\n# relay.toml\n", "```");
        assert!(options.server.behind_tls_proxy);
        let trusted = options.server.trusted_proxies.iter();
        let trusted: Vec<_> = trusted.map(ToString::to_string).collect();
        assert_eq!(trusted, ["10.0.0.7/32", "10.0.1.0/24"]);
        let options = read(document, "authentication server:\n\n```toml\n", "```");
        let origins = options.server.allowed_origins.iter();
        let origins: Vec<_> = origins.map(ToString::to_string).collect();
        assert_eq!(origins, ["https://diary.example"]);
    }

    #[test]
    fn the_commands_of_the_topologies_are_understood() {
        let document = include_str!("../../docs/operating/topologies.md");
        let commands = mhealth_testing::document::commands(document, "mhealth-relay");
        assert_eq!(commands.len(), 7);
        for command in commands {
            let options = Options::try_parse_from(&command)
                .unwrap_or_else(|error| panic!("{command:?}: {error}"));
            // Study 1 is that of the topologies in which phones do not chain.
            let unchained = options.relay.issuers[0].study == StudyId(1);
            assert_eq!(options.relay.chain_for_devices, unchained, "{command:?}");
        }
    }
    #[test]
    fn the_commands_of_story_and_runbooks_are_understood() {
        for (document, number) in [
            (include_str!("../../docs/operating/story.md"), 1),
            (include_str!("../../docs/operating/runbooks.md"), 4),
        ] {
            let commands = mhealth_testing::document::commands(document, "mhealth-relay");
            assert_eq!(commands.len(), number);
            for command in commands {
                let options = Options::try_parse_from(&command);
                options.unwrap_or_else(|error| panic!("{command:?}: {error}"));
            }
        }
    }
}

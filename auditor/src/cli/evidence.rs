// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auditor prove` and `mhealth-auditor verify`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use mhealth_auditor::evidence::{self, Claims, Evidence};
use mhealth_auditor::export;
use mhealth_auditor::prove::{self, Contents};
use mhealth_auditor::Trouble;
use mhealth_chain_client::{ChainClient, H256};

use super::inputs;

/// Exit status of evidence that was read and proves nothing.
const REFUSED: u8 = 1;

/// Writes evidence about one device: a file that anybody can check offline.
///
/// The node must have the state of the block and of the first block: one that runs with `--state-pruning archive`.
#[derive(Args)]
pub(crate) struct ProveArguments {
    /// WebSocket address of a node that keeps the chain.
    #[arg(long, env = "MHEALTH_NODE_URL", default_value = "ws://127.0.0.1:9944")]
    node: String,
    /// Genesis hash of the chain that the node must follow.
    #[arg(long, value_name = "HASH")]
    genesis: Option<H256>,
    /// The device's number.
    #[arg(long)]
    device: u32,
    /// The study, when a relay's export is read for the envelopes.
    #[arg(long, default_value_t = 0)]
    study: u32,
    /// A saved export to take the envelopes from; may be given several times. The file then holds them all.
    #[arg(long, value_name = "NAME=FILE")]
    export: Vec<String>,
    /// Puts the device's secret into the file, so that everybody can check the tags. Who has it can make tags, too.
    #[arg(long, requires = "auditor_key")]
    with_secret: bool,
    /// File with the study's auditor key, to open the escrow with.
    #[arg(long, value_name = "FILE")]
    auditor_key: Option<PathBuf>,
    /// Where to write the evidence.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Checks evidence offline: no node, no server, nothing but the file and the genesis hash.
#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The evidence.
    file: PathBuf,
    /// Genesis hash of the chain, from a source that you trust.
    #[arg(long, value_name = "HASH")]
    genesis: H256,
    /// Prints what is proved as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn prove(arguments: ProveArguments) -> Result<u8, Trouble> {
    let mut contents = Contents::default();
    if arguments.with_secret {
        contents.secret = inputs::auditor_key(arguments.auditor_key.as_deref())?;
    }
    for named in inputs::exports(&[], &arguments.export, &[])? {
        let mut take = |_: u64, run: mhealth_api::ExportedRun, _: &mut export::Intake| {
            if run.status.device == arguments.device {
                for entry in run.entries {
                    let digest = hashchain::data_digest::<hashchain::Native>(&entry.envelope.0);
                    contents.envelopes.insert(digest.0, entry.envelope.0);
                }
            }
            Ok::<_, Trouble>(())
        };
        export::read(&named.source, arguments.study, &mut take).await?;
    }
    let client = match arguments.genesis {
        Some(genesis) => ChainClient::connect_expecting(&arguments.node, genesis).await?,
        None => ChainClient::connect(&arguments.node).await?,
    };
    let bar = indicatif::ProgressBar::new(0);
    let evidence = prove::prove(&client, arguments.device, &contents, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    let bytes = evidence.to_bytes();
    std::fs::write(&arguments.out, &bytes)?;
    println!(
        "evidence={} bytes={} device={} entries={} block={}",
        arguments.out.display(),
        bytes.len(),
        evidence.device,
        evidence.entries.len(),
        evidence.block.number
    );
    Ok(0)
}

pub(super) fn verify(arguments: &VerifyArguments) -> Result<u8, Trouble> {
    let unreadable = |error: std::io::Error| Trouble::Input {
        file: arguments.file.display().to_string(),
        why: error.to_string(),
    };
    let file = std::fs::File::open(&arguments.file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(evidence::LARGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let evidence = Evidence::from_bytes(&bytes)?;
    match evidence::verify(&evidence, arguments.genesis.0) {
        Ok(claims) => {
            match arguments.json {
                true => println!("{}", serde_json::json!(claims)),
                false => tell(&claims),
            }
            println!(
                "verified=true device={} entries={} block={} signed={} tags={} envelopes={} conflicts={}",
                claims.device,
                claims.entries,
                claims.block,
                claims.signed,
                claims.tags,
                claims.envelopes,
                claims.conflicts.len()
            );
            Ok(0)
        }
        Err(refusal) => {
            eprintln!("mhealth-auditor: {refusal}");
            println!("verified=false");
            Ok(REFUSED)
        }
    }
}

/// What is proved, and what is not.
fn tell(claims: &Claims) {
    println!("This is proved, if the genesis hash given is the right one:");
    println!("- Block {} ({}) of chain {} is final: two thirds of its {} authorities signed for it (set {}, traced from the first).",
        claims.block, claims.block_hash, claims.chain, claims.authorities, claims.authority_set);
    println!(
        "- In it, device {} of study {} has the key {} and is {}.",
        claims.device, claims.study, claims.key, claims.status
    );
    println!(
        "- It has exactly {} registered entries, in the order of this file; the last link is {}.",
        claims.entries, claims.head
    );
    if let Some(predecessor) = claims.predecessor {
        println!("- It goes on from the last trusted entry of device {predecessor}.");
    }
    if let Some(trusted) = claims.trusted_length {
        println!("- The study retired it and trusts its first {trusted} entries.");
    }
    match claims.conflicts.len() {
        0 => println!("- No rival history of it is on record."),
        count => println!("- {count} rival histories of it are on record:"),
    }
    for conflict in &claims.conflicts {
        println!(
            "    from entry {} on: registered {}, rival {}{}, brought in block {} by {}",
            conflict.sequence,
            conflict.recorded,
            conflict.rival,
            if conflict.signed {
                ", signed by the device's key"
            } else {
                ""
            },
            conflict.block,
            conflict.submitter
        );
    }
    if claims.signed {
        println!("- The device's key signed the last link, and with it all entries.");
    }
    if claims.tags {
        println!("- Every entry was made with the device's secret.");
    }
    if claims.envelopes {
        println!("- The envelopes in this file are those that were registered.");
    }
    println!("This is not proved:");
    println!("- That what the phone recorded is true, and when it was recorded: the block says only not later than.");
    println!("- What happened after block {}.", claims.block);
    if !claims.signed {
        println!(
            "- That the device's key signed: no signature over the last link is in this file."
        );
    }
    if !claims.tags {
        println!("- That the device's secret made the entries: it is not in this file.");
    }
    if !claims.envelopes {
        println!("- What the data are: this file holds their digests only.");
    }
}

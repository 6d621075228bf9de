// SPDX-License-Identifier: Apache-2.0

//! Exports and evidence that are made to keep an auditor busy, or to fill its memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{ensure, Result};
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use hashchain::{Native, Sha256};
use mhealth_api::RunState;
use mhealth_testing::audit::{self, Watched};
use mhealth_testing::front::{conduct, Conduct, Front};
use mhealth_testing::handset::Handset;
use mhealth_testing::phone::exported;
use mhealth_testing::process::Program;
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::Value;

use super::arena::{aside, SharedArena};
use crate::attack::Attack;
use crate::judge::{Fate, Verdict};
use crate::play::Tried;

/// The rows of this file.
pub(crate) const ROWS: [Attack; 3] = [
    Attack::EndlessExport,
    Attack::ReasonBomb,
    Attack::HostileEvidence,
];

/// Until then the auditor's program has ended, whatever it was given.
const PATIENCE: Duration = Duration::from_secs(90);
/// For so long an auditor reads one export here, instead of hours.
const SECONDS: u64 = 8;
/// So much memory it may take for what is of no use, in MiB.
const MEMORY: u64 = 400;
/// The same for evidence.
const MEMORY_FOR_EVIDENCE: u64 = 200;
/// Largest report about a study without data, in bytes.
const REPORT: u64 = 16 << 20;
/// Bytes of a list that an evidence file goes on with.
const EVIDENCE: usize = 60 << 20;
/// Bytes of magic and version, which an evidence file begins with, and with the header of the first block after them.
const BEFORE_THE_HEADER: usize = 16 + 2;
const BEFORE_THE_PROOF: usize = BEFORE_THE_HEADER + 98;
/// Bytes of a word that has no end.
const WORD: usize = 20 << 20;

/// Makes one attempt.
pub(crate) async fn attempt(arena: &SharedArena, row: Attack, number: u32) -> Result<Tried> {
    let (watched, report) = match row {
        Attack::HostileEvidence => (evidence(arena, number).await?, None),
        _ => {
            let front = Front::open().await?;
            front.play(match row {
                Attack::EndlessExport => endless(number),
                _ => bomb(arena, number).await?,
            });
            let json = arena.folder.join(format!("{}-{number}.json", row.name()));
            let mut options = arena.audit(&[]);
            options.relays = vec![("hostile".into(), front.url(), "a.credential".into())];
            options.export_seconds = Some(SECONDS);
            let command = audit::command(&options, &json)?;
            (watch(command).await?, Some(json))
        }
    };
    let length = report.and_then(|json: PathBuf| Some(std::fs::metadata(json).ok()?.len()));
    let most = match row {
        Attack::HostileEvidence => MEMORY_FOR_EVIDENCE,
        _ => MEMORY,
    };
    let held = watched
        .status
        .is_some_and(|status| (1..=3).contains(&status))
        && watched.memory <= most
        && length.unwrap_or_default() <= REPORT;
    Ok(Tried {
        attack: row,
        verdict: Verdict {
            fate: match held {
                true => Fate::Prevented,
                false => Fate::Unseen,
            },
            named: None,
        },
        after: None,
        waited: Some(watched.took),
        about: format!("a report of {length:?} bytes, {watched:?}"),
    })
}

async fn watch(command: Command) -> Result<Watched> {
    aside(|| audit::watch(command, PATIENCE)).await
}

/// An export that never ends: of empty lines now and then, of a line without an end, or of lines as fast as they are read.
fn endless(number: u32) -> Conduct {
    conduct(move |_, _| async move {
        let (piece, pause): (Vec<u8>, _) = match number % 3 {
            0 => (b"\n".to_vec(), Duration::from_millis(100)),
            1 => (vec![b' '; 1 << 16], Duration::from_millis(1)),
            _ => (vec![b'\n'; 1 << 16], Duration::ZERO),
        };
        let pieces = stream::unfold(piece, move |piece| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(piece.clone())), piece))
        });
        Ok(Response::new(Body::from_stream(pieces)))
    })
}

/// An export of one run, with a reason that is very long.
async fn bomb(arena: &SharedArena, number: u32) -> Result<Conduct> {
    let random = StdRng::seed_from_u64(u64::from(number));
    let mut phone = Handset::enrol(&arena.door, random).await?;
    let run = phone.record(200);
    let line = exported(&run, 1, arena.column.study(), RunState::Refused);
    let mut line = serde_json::to_value(&line)?;
    line["status"]["reason"] = Value::String("a".repeat(WORD));
    let text = Bytes::from(format!("{line}\n"));
    Ok(conduct(move |_, _| {
        let text = text.clone();
        async move { Ok(Response::new(Body::from(text))) }
    }))
}

/// A file that begins as evidence of this chain does, and goes on with sixty million empty nodes, or with eight million devices.
async fn evidence(arena: &SharedArena, number: u32) -> Result<Watched> {
    // There must be something to prove.
    let mut random = StdRng::seed_from_u64(u64::from(number) | (1 << 32));
    arena.victim(&arena.honest[1], &mut random).await?;
    let genuine = arena.folder.join(format!("genuine-{number}.evidence"));
    let genesis = format!("{:?}", arena.chain.genesis_hash());
    let mut prove = Program::Auditor.command()?;
    prove
        .args(["prove", "--node", &arena.node.url(), "--genesis", &genesis])
        .arg(format!("--study={}", arena.column.study()))
        .arg("--out")
        .arg(&genuine);
    let proved = watch(prove).await?;
    ensure!(proved.status == Some(0), "no evidence: {}", proved.said);
    let hostile = arena.folder.join(format!("hostile-{number}.evidence"));
    let file = hostile.clone();
    aside(move || write_hostile(&genuine, &file, number)).await?;
    let mut verify = Program::Auditor.command()?;
    verify
        .arg("verify")
        .arg(&hostile)
        .args(["--genesis", &genesis]);
    let watched = watch(verify).await;
    std::fs::remove_file(hostile)?;
    watched
}

fn write_hostile(genuine: &Path, hostile: &Path, number: u32) -> Result<()> {
    let mut bytes = std::fs::read(genuine)?;
    bytes.truncate(BEFORE_THE_PROOF);
    let header = bytes[BEFORE_THE_HEADER..].to_vec();
    // The start is the first block.
    bytes.push(0);
    let item: &[u8] = match number % 2 {
        // The proof of its authorities has so many nodes.
        0 => &[0],
        // Nothing is proved, of the same block, and so many devices without entries follow.
        _ => {
            let nothing = 0u8;
            // No nodes, and no handovers.
            bytes.extend([nothing; 2]);
            bytes.extend(header);
            // No descendants, no justification, no nodes, and no study.
            bytes.extend([nothing; 4]);
            &[0; 8]
        }
    };
    let count = EVIDENCE / item.len();
    // A compact number of four bytes.
    bytes.extend((((count as u32) << 2) | 0b10).to_le_bytes());
    bytes.extend(item.repeat(count));
    bytes.extend(Native::sha256(&bytes));
    Ok(std::fs::write(hostile, bytes)?)
}

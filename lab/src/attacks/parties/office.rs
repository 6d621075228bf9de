// SPDX-License-Identifier: Apache-2.0

//! An authentication server that gives a phone another key for its payloads than the participant's.
//!
//! The phone is the real program. Staff made the code with the participant's key; the server's front puts the thief's in its
//! place, or none, so that payloads go as they are.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{ensure, Context, Result};
use axum::http::Method;
use axum::response::IntoResponse;
use hashchain::{open_envelope, OpeningKey};
use mhealth_api::{CodeTerms, Key, RunUpload};
use mhealth_testing::front::{conduct, Asked, Told};
use mhealth_testing::output::value;
use mhealth_testing::process::Program;
use rand::rngs::StdRng;
use rand::Rng;
use serde_json::json;

use super::arena::{aside, SharedArena};
use crate::attack::Attack;
use crate::judge::{Fate, Verdict};
use crate::play::Tried;

/// What the server says instead of the participant's key.
#[derive(Clone, Copy, Debug)]
enum Instead {
    /// A key of the thief's.
    Thiefs,
    /// A key that everybody has.
    Weak,
    /// No key: the study's payloads are plain.
    None,
}

/// Codes whose terms are changed.
pub(crate) type Changed = Arc<Mutex<Vec<Lie>>>;

/// What is said of a code.
pub(crate) struct Lie {
    /// Its letters and digits.
    code: String,
    /// The key that is named.
    key: Option<Key>,
    /// Whether a phone has heard it.
    told: bool,
}

/// A code as it is typed, or as it is handed out.
fn bare(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_uppercase()
}

/// From now on the server changes the terms of these codes.
pub(crate) fn turn(arena: &SharedArena, changed: &Changed) {
    let changed = changed.clone();
    arena.office.play(conduct(move |asked: Asked, behind| {
        let changed = changed.clone();
        async move {
            let mut told = behind.pass(&asked).await?;
            if asked.is(Method::POST, "/v1/code") {
                if let Ok(mut terms) = told.message::<CodeTerms>() {
                    let code: serde_json::Value = asked.message()?;
                    let code = bare(code["code"].as_str().unwrap_or_default());
                    let mut changed = changed.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(lie) = changed.iter_mut().find(|lie| lie.code == code) {
                        terms.participant_key = lie.key;
                        lie.told = true;
                        told = Told::message_of(200, &terms)?;
                    }
                }
            }
            Ok(told.into_response())
        }
    }));
}

/// Makes one attempt.
pub(crate) async fn attempt(
    arena: &SharedArena,
    changed: &Changed,
    number: u32,
    mut random: StdRng,
) -> Result<Tried> {
    let keys: [OpeningKey; 2] = [(); 2].map(|()| OpeningKey::from_bytes(&random.random()));
    let [participants, thiefs] = &keys;
    let instead = [Instead::Thiefs, Instead::Weak, Instead::None][random.random_range(0..3)];
    let named = match instead {
        Instead::Thiefs => Some(Key(thiefs.sealing_key().0)),
        Instead::Weak => Some(Key([0; 32])),
        Instead::None => None,
    };
    let request = json!({
        "participant": format!("K-{number}"),
        "participant_key": Key(participants.sealing_key().0),
    });
    let code = arena.door.code(&request).await?;
    {
        let mut changed = changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.push(Lie {
            code: bare(&code),
            key: named,
            told: false,
        });
    }
    let state = arena.folder.join(format!("participant-{number}.db"));
    let eve = arena.honest[1].url();
    let enrolled = device(
        &state,
        &["enrol", "--auth", &arena.door.url, "--relay", &eve],
        |enrol| {
            enrol.env("MHEALTH_CODE", &code);
        },
    )
    .await?;
    let said = String::from_utf8_lossy(&[enrolled.stdout, enrolled.stderr].concat()).into_owned();
    {
        let changed = changed.lock().unwrap_or_else(PoisonError::into_inner);
        let told = changed
            .iter()
            .any(|lie| lie.code == bare(&code) && lie.told);
        ensure!(told, "the phone was not lied to: {said}");
    }
    let mut fate = Fate::Prevented;
    if enrolled.status.success() {
        let night = arena.folder.join(format!("participant-{number}.json"));
        std::fs::write(&night, r#"{"minutes_asleep":412}"#)?;
        let night = night.display().to_string();
        device(&state, &["seal", "--source=night-1", &night], |_| ()).await?;
        device(&state, &["upload", "--patience=10"], |_| ()).await?;
        let key = value(&said, "key").context("no key")?;
        let readable = arena.honest[1].front.seen().iter().any(|asked| {
            let run = asked.message::<RunUpload>();
            run.is_ok_and(|run| is_read(&run, value(&said, "device"), key, thiefs))
        });
        if readable {
            fate = Fate::Unseen;
        }
    }
    Ok(Tried {
        attack: Attack::OtherParticipantKey,
        verdict: Verdict { fate, named: None },
        after: None,
        waited: None,
        about: format!("{instead:?}: {}", said.trim()),
    })
}

/// Whether somebody who is not the participant reads what the phone sent.
fn is_read(run: &RunUpload, device: Option<&str>, key: &str, thiefs: &OpeningKey) -> bool {
    if device != Some(&run.device.to_string()[..]) {
        return false;
    }
    let Ok(key) = key.parse::<Key>() else {
        return false;
    };
    let sequences = run.sequence..;
    run.entries.iter().zip(sequences).any(|(entry, sequence)| {
        let envelope = &entry.envelope.0;
        envelope.first() == Some(&0) || open_envelope(thiefs, &key.0, sequence, envelope).is_ok()
    })
}

async fn device(
    state: &Path,
    arguments: &[&str],
    with: impl FnOnce(&mut std::process::Command),
) -> Result<Output> {
    let mut command = Program::Device.command()?;
    command
        .args(arguments)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::null());
    with(&mut command);
    let output = aside(move || Ok(command.output()?)).await;
    output.context("cannot run mhealth-device")
}

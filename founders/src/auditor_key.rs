// SPDX-License-Identifier: Apache-2.0

//! `mhealth auditor-key`: the key pair of a study's auditor, to whose public half phones seal their secrets.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hashchain::{OpeningKey, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_chain_client::calls;
use mhealth_shares::{Scheme, ShareError};
use serde_json::{json, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;
use crate::keys::random;
use crate::report::Report;
use crate::session::Global;

/// The form of the file with the public half.
const FORMAT: &str = "mhealth-auditor-key/1";
/// The form of the private half's shares.
const SHARES: &str = "mhealth-auditor-key-share/1";

/// Makes, splits and changes the key of a study's auditor.
///
/// Whoever has the private half can check every entry of the study's phones, and forge entries of theirs that no check of the
/// hashchain finds. It belongs to the auditor alone, off the network, and best in shares.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditorKey {
    /// Makes a key pair. For the auditor.
    New {
        /// A new file for the private half, as `mhealth-auditor --auditor-key` takes it. The public half goes into the file of
        /// this name with .json at its end.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Whose it is, for people.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Writes the private half into shares, so that some of them together bring it back, and fewer say nothing about it.
    Split {
        /// The file with the private half. It is left as it is.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How many shares are needed.
        #[arg(long, value_name = "K")]
        threshold: u8,
        /// How many are made.
        #[arg(long, value_name = "N")]
        shares: u8,
        /// A new folder for the shares.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Brings the private half back from shares.
    Join {
        /// A new file for it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The shares.
        #[arg(value_name = "SHARE", required = true)]
        shares: Vec<PathBuf>,
    },
    /// Names another key of a study's auditor, to which phones seal that enrol from then on. For the study's sponsor.
    Rotate {
        /// Number of the study.
        #[arg(long, value_name = "N")]
        study: StudyId,
        /// The public half: 0x and 64 digits, or the file that the auditor handed out.
        #[arg(value_name = "KEY")]
        key: PublicKey,
    },
}

/// A public half on the command line: its digits, or a file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(String);

impl From<&str> for PublicKey {
    fn from(text: &str) -> Self {
        PublicKey(text.to_owned())
    }
}

impl PublicKey {
    /// The key.
    pub(crate) fn bytes(&self) -> Result<[u8; 32], Failure> {
        let PublicKey(text) = self;
        let wrong = |what: &str| {
            let message = format!("{text:?} is no key of an auditor: {what}.");
            Failure::input("not_an_auditor_key", message)
        };
        if text.starts_with("0x") {
            let key: Key = text
                .parse()
                .map_err(|_| wrong("a key is 0x and 64 digits"))?;
            return Ok(key.0);
        }
        let neither = "it is neither 0x and 64 digits nor a file with them";
        let file = files::read(Path::new(text)).map_err(|_| wrong(neither))?;
        let half: Value = serde_json::from_str(&file).map_err(|_| wrong(neither))?;
        if half["format"] != FORMAT {
            return Err(wrong("the file has another form"));
        }
        let key = half["auditor_key"].as_str().unwrap_or_default();
        let key: Key = key.parse().map_err(|_| wrong("the file has none"))?;
        Ok(key.0)
    }
}

pub(crate) async fn run(global: &Global, command: AuditorKey) -> Result<Report, Failure> {
    match command {
        AuditorKey::New { out, name } => new(&out, &name),
        AuditorKey::Split {
            file,
            threshold,
            shares,
            out,
        } => split(&file, threshold, shares, &out),
        AuditorKey::Join { out, shares } => join(&out, &shares),
        AuditorKey::Rotate { study, key } => rotate(global, study, &key).await,
    }
}

fn new(out: &Path, name: &str) -> Result<Report, Failure> {
    let key = OpeningKey::from_bytes(&random::<32>());
    let public = Key(key.sealing_key().0);
    let mut file = out.as_os_str().to_owned();
    file.push(".json");
    let file = PathBuf::from(file);
    let half = json!({ "format": FORMAT, "name": name, "auditor_key": public.to_string() });
    files::write_public_with(&file, &format!("{half}\n"), || write_private(out, &key))?;
    let kept = "Keep it off the network, split it (mhealth auditor-key split), and never lose it: without it no tag is checked.";
    Ok(Report::default()
        .line(format!("Auditor key of {name}: {public}"))
        .line(format!(
            "Its private half is in {}, its public half in {}.",
            out.display(),
            file.display()
        ))
        .line(kept)
        .with("auditor_key", public.to_string())
        .with("secret", out.display().to_string())
        .with("public", file.display().to_string()))
}

fn split(file: &Path, threshold: u8, shares: u8, out: &Path) -> Result<Report, Failure> {
    let scheme = Scheme::new(threshold, shares).map_err(shares_failure)?;
    let key = read_private(file)?;
    files::make_private_folder(out)?;
    let mut report = Report::default();
    let mut written = Vec::new();
    for share in mhealth_shares::split(SHARES, key.expose(), scheme, Hash(*random::<32>())) {
        let path = out.join(&share.name);
        files::write_secret(&path, &share.text)?;
        report = report.line(path.display().to_string());
        written.push(path.display().to_string());
    }
    // Not believed before it was seen: the private half is going to be destroyed on the strength of these files.
    let read: Vec<PathBuf> = written.iter().map(PathBuf::from).collect();
    if joined(&read)?.expose() != key.expose() {
        let message = "The shares that were written do not bring the key back. Keep the key, and throw the shares away.";
        return Err(Failure::wrong("shares_unreadable", message));
    }
    let public = Key(key.sealing_key().0);
    Ok(report
        .line(format!(
            "Any {threshold} of these {shares} bring the key {public} back. Give them to different people, and then destroy {}.",
            file.display()
        ))
        .with("auditor_key", public.to_string())
        .with("threshold", threshold)
        .with("shares", written))
}

fn join(out: &Path, shares: &[PathBuf]) -> Result<Report, Failure> {
    let key = joined(shares)?;
    let public = Key(key.sealing_key().0);
    write_private(out, &key)?;
    Ok(Report::default()
        .line(format!(
            "The key {public} is in {}. Destroy the file when the audit is over.",
            out.display()
        ))
        .with("auditor_key", public.to_string())
        .with("secret", out.display().to_string()))
}

fn joined(shares: &[PathBuf]) -> Result<OpeningKey, Failure> {
    let mut texts = Vec::new();
    for path in shares {
        texts.push((path.display().to_string(), files::read_secret(path)?));
    }
    let texts = texts.iter().map(|(file, text)| (file.clone(), &***text));
    let secret = mhealth_shares::join(SHARES, texts).map_err(shares_failure)?;
    let bytes = <&[u8; 32]>::try_from(secret.as_slice());
    let bytes = bytes.map_err(|_| shares_failure(ShareError::NotTogether))?;
    Ok(OpeningKey::from_bytes(bytes))
}

async fn rotate(global: &Global, study: StudyId, key: &PublicKey) -> Result<Report, Failure> {
    let key = key.bytes()?;
    let office = global.office().await?;
    let outcome = office.act(calls::set_auditor_key(study, key)).await?;
    let (_, view) = office.view().await?;
    // The chain has taken it, so the study is there; another rotation may have followed at once.
    let epoch = view.study(study).await?.and_then(|study| {
        (0..=study.auditor_epoch()).find(|&epoch| study.auditor_key_of(epoch) == Some(key))
    });
    Ok(Report::default()
        .line(format!(
            "Phones that enrol in study {study} from now on seal to {}.",
            Key(key)
        ))
        .line(
            "Phones that are enrolled keep the former key: keep its private half for their audits.",
        )
        .line("Make a new passport of the study, and issue enrolment codes anew.")
        .with("study", study.0)
        .with("auditor_key", Key(key).to_string())
        .with("epoch", epoch)
        .block(outcome.block_number, office.is_final()))
}

fn write_private(path: &Path, key: &OpeningKey) -> Result<(), Failure> {
    let digits = Zeroizing::new(hex::encode(key.expose()) + "\n");
    files::write_secret(path, &digits)
}

fn read_private(path: &Path) -> Result<OpeningKey, Failure> {
    let digits = files::read_secret(path)?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits.trim_start_matches("0x"), &mut *bytes).map_err(|_| {
        let message = format!(
            "{} does not hold the private half of one auditor key: 64 hexadecimal digits.",
            path.display()
        );
        Failure::input("not_an_auditor_key", message)
    })?;
    Ok(OpeningKey::from_bytes(&bytes))
}

fn shares_failure(error: ShareError) -> Failure {
    let code = match error {
        ShareError::BadScheme => "bad_scheme",
        ShareError::BadShare { .. } => "bad_share",
        ShareError::TooFew { .. } => "too_few_shares",
        ShareError::NotTogether => "shares_not_together",
    };
    Failure::input(code, format!("{error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_shares_and_its_public_half_is_read_from_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let private = place("auditor.key");
        new(&private, "Auditor").expect("made");
        let key = read_private(&private).expect("read");
        let public = place("auditor.key.json");
        let named = PublicKey(public.display().to_string());
        assert_eq!(named.bytes().expect("read"), key.sealing_key().0);
        split(&private, 2, 3, &place("shares")).expect("split");
        let share = |index: u8| place("shares").join(format!("share-{index}-of-3.json"));
        let few = join(&place("few.key"), &[share(2)]).expect_err("too few");
        assert_eq!(few.code(), "too_few_shares");
        assert!(!place("few.key").exists());
        join(&place("joined.key"), &[share(3), share(1)]).expect("joined");
        let joined = read_private(&place("joined.key")).expect("read");
        assert_eq!(joined.expose(), key.expose());
        let again = new(&private, "Auditor").expect_err("it is there");
        assert_eq!(again.code(), "file_exists");
        // There is no key whose public half nobody was told.
        std::fs::remove_file(&private).expect("it is there");
        let again = new(&private, "Auditor").expect_err("its public half is there");
        assert_eq!(again.code(), "file_exists");
        assert!(!private.exists());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let account = folder.path().join("account.json");
        files::write_public(&account, r#"{"format":"mhealth-account/1","account":"5…"}"#)
            .expect("written");
        for wrong in ["0x12", "nowhere", account.to_str().expect("ASCII")] {
            let refused = PublicKey::from(wrong).bytes().expect_err("no key");
            assert_eq!(refused.code(), "not_an_auditor_key", "{wrong}");
        }
        let bad = split(&account, 1, 3, &folder.path().join("shares")).expect_err("one of three");
        assert_eq!(bad.code(), "bad_scheme");
        let phrase = folder.path().join("account.secret");
        files::write_secret(&phrase, "bottom drive obey\n").expect("written");
        let bad = split(&phrase, 2, 3, &folder.path().join("shares")).expect_err("a phrase");
        assert_eq!(bad.code(), "not_an_auditor_key");
    }
}

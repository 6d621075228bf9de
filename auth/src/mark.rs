// SPDX-License-Identifier: Apache-2.0

//! How far the log has come, kept in a file beside the database, so that an older copy of the database does not pass for it.
//!
//! `backup` and `restore` tell copies apart by themselves. A file that somebody copied by hand and put back says nothing: a code
//! that was redeemed since is open in it, a key that was withdrawn signs again, a credential that was taken back is good. But
//! everything that staff and devices do ends with a line of the log, each line's hash covers the one before it, and so a
//! database that is not older than the mark has the line that the mark names. One that was put in place by `restore` since the mark
//! was written was mended, and is taken.
//!
//! It is compared at the start, and every time before the mark is written: a standby that lacks the last commits may take over
//! while the server runs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mhealth_api::Hash;
use mhealth_chain_client::{open_private, sync_folder};
use mhealth_server::{backup, CancellationToken, DatabaseUrl};

use crate::store::Store;

/// First word of the file.
const FORM: &str = "mhealth-auth-log-mark/1";
/// Longest file, in bytes.
const MOST_BYTES: u64 = 256;
/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is wrong with the database, or with the mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkFault {
    /// The database lacks a line that the log had.
    #[error(
        "the database is older than it was: line {line} of its log, which {} remembers, is not in it. It is a copy that was put \
         back by hand, or a standby that lacked it. Enrolment codes that were redeemed since, signing keys that were withdrawn, \
         sessions that were ended and credentials of staff that were taken back would be good again, so the server does not run on \
         it. Move the database away with all of its files, and put it in place with `mhealth-auth restore --raw FILE`, which takes \
         back what must not be believed, but for credentials of staff: take those back again (database_set_back)",
        mark.display()
    )]
    SetBack {
        /// The file.
        mark: PathBuf,
        /// The line.
        line: u64,
    },
    /// Nobody can say what the file says.
    #[error(
        "{} should say how far the log has come, and is damaged: if the database is not an old copy, move this file away \
         (log_mark_damaged)",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The file cannot be read or written.
    #[error("{} cannot be used: {why} (log_mark_unusable)", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

impl MarkFault {
    /// The fault as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SetBack { .. } => "database_set_back",
            Self::Damaged(_) => "log_mark_damaged",
            Self::Unusable { .. } => "log_mark_unusable",
        }
    }
}

/// How far a log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// When the database was put in place by `restore`, in seconds since 1970; 0: never.
    restored: u64,
    /// Its last line; 0: none.
    line: u64,
    /// Hash of that.
    hash: Hash,
}

impl Mark {
    async fn of(store: &Store) -> anyhow::Result<Self> {
        let (line, hash) = store.log_head().await?;
        let restored = backup::restored_at(store.database()).await?;
        Ok(Self {
            restored: restored.unwrap_or_default(),
            line,
            hash,
        })
    }

    /// Whether the other one says of the same database, or of one that was put in its place, that it came further.
    fn is_before(&self, other: &Self) -> bool {
        (self.restored, self.line) < (other.restored, other.line)
    }

    fn text(&self) -> String {
        format!("{FORM} {} {} {}\n", self.restored, self.line, self.hash)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let is_form = words.next() == Some(FORM);
        let mark = Self {
            restored: words.next()?.parse().ok()?,
            line: words.next()?.parse().ok()?,
            hash: words.next()?.parse().ok()?,
        };
        (is_form && words.next().is_none()).then_some(mark)
    }
}

/// The file.
pub struct LogMark {
    path: PathBuf,
}

impl LogMark {
    /// The file that was named, or one beside an SQLite database; none for PostgreSQL, where no place is beside it.
    pub fn place(named: Option<&Path>, database: &DatabaseUrl) -> Option<PathBuf> {
        let beside = || {
            let mut name = database.file()?.into_os_string();
            name.push(".mark");
            Some(name.into())
        };
        named.map(Path::to_owned).or_else(beside)
    }

    /// Says whether the database has what the mark names; then marks how far it has come by now. A file that is not there was
    /// never written.
    pub async fn check(path: &Path, store: &Store) -> anyhow::Result<Self> {
        let mark = Self {
            path: path.to_owned(),
        };
        mark.renew(store).await?;
        Ok(mark)
    }

    /// Marks how far the log has come, if it has. Fails when the database lacks what the mark names, which then stays.
    async fn renew(&self, store: &Store) -> anyhow::Result<()> {
        let now = Mark::of(store).await?;
        // After its head was read: what was read is not older than the mark then.
        let marked = look(&self.path, store).await?;
        if marked.is_none_or(|marked| marked.is_before(&now)) {
            let path = self.path.clone();
            let write = move || write(&path, &now.text()).map_err(|why| unusable(&path, why));
            tokio::task::spawn_blocking(write).await??;
        }
        Ok(())
    }

    /// Goes on marking until the server stops, and once more then. Ends before that when the database lacks what the mark
    /// names.
    pub async fn keep(self, store: Store, stop: CancellationToken) {
        let mut is_last = false;
        while !is_last {
            tokio::select! {
                () = stop.cancelled() => is_last = true,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(error) = self.renew(&store).await {
                tracing::error!(%error, "how far the log has come cannot be marked");
                if let Some(MarkFault::SetBack { .. }) = error.downcast_ref::<MarkFault>() {
                    return;
                }
            }
        }
    }
}

/// What the mark names, if there is one. Fails when the database lacks it, or when nobody can say what it is. Changes nothing.
async fn look(path: &Path, store: &Store) -> anyhow::Result<Option<Mark>> {
    let Some(mark) = read(path)? else {
        return Ok(None);
    };
    let restored = backup::restored_at(store.database()).await?;
    if restored.unwrap_or_default() > mark.restored || mark.line == 0 {
        return Ok(Some(mark));
    }
    let found = store.log_hash(mark.line).await?;
    match found == Some(mark.hash) {
        true => Ok(Some(mark)),
        false => Err(MarkFault::SetBack {
            mark: path.to_owned(),
            line: mark.line,
        }
        .into()),
    }
}

fn unusable(path: &Path, why: std::io::Error) -> MarkFault {
    MarkFault::Unusable {
        path: path.to_owned(),
        why,
    }
}

fn read(path: &Path) -> Result<Option<Mark>, MarkFault> {
    use std::io::Read;
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(MarkFault::Damaged(path.to_owned()))
        }
        Err(error) => return Err(unusable(path, error)),
    }
    let mark = Mark::parse(&text);
    mark.map(Some)
        .ok_or_else(|| MarkFault::Damaged(path.to_owned()))
}

/// Whole, or as it was before.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    // Processes that share a database on one machine do not write into each other's.
    part.push(format!(".{}.part", hex::encode(rand::random::<[u8; 8]>())));
    let part = PathBuf::from(part);
    let written = open_private(&part).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written?;
    sync_folder(path)
}

/// What an operator is told of a mark.
pub(crate) async fn described(place: &Path, store: &Store) -> anyhow::Result<String> {
    Ok(match look(place, store).await? {
        Some(mark) => format!(
            "{} remembers line {} of the log, and the database has it.",
            place.display(),
            mark.line
        ),
        None => format!("{} is not there yet; the server makes it.", place.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let mark = Mark {
            restored: 5,
            line: 7,
            hash: Hash([9; 32]),
        };
        let text = mark.text();
        assert_eq!(Mark::parse(&text), Some(mark));
        for bad in [
            "",
            "\n",
            &text[1..],
            text.trim_end(),
            &text[..text.len() - 2],
            &format!("{text}\n"),
            &text.replace(" 7 ", " -7 "),
            &text.replace(" 7 ", " "),
            &text.replace('\n', " 1\n"),
        ] {
            assert_eq!(Mark::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_is_told_apart_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        assert_eq!(read(&path).unwrap(), None);
        for damaged in [&b""[..], b"\xff\xfe", b"mhealth", &[b'x'; 10_000]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(&path).unwrap_err().code(), "log_mark_damaged");
        }
        let unusable = read(folder.path()).unwrap_err();
        assert_eq!(unusable.code(), "log_mark_unusable");
    }

    #[test]
    fn a_mark_is_beside_an_sqlite_database_or_where_it_is_said_to_be() {
        let url = |text: &str| text.parse::<DatabaseUrl>().unwrap();
        let place = |named: Option<&str>, database: &str| {
            LogMark::place(named.map(Path::new), &url(database))
        };
        let beside = place(None, "sqlite:/var/lib/auth.db").unwrap();
        assert_eq!(beside, Path::new("/var/lib/auth.db.mark"));
        assert_eq!(place(None, "postgres://a@127.0.0.1/d"), None);
        let named = place(Some("/srv/mark"), "postgres://a@127.0.0.1/d");
        assert_eq!(named.unwrap(), Path::new("/srv/mark"));
    }
}

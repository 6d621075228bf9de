// SPDX-License-Identifier: Apache-2.0

//! The runtime as it was compiled, kept for the next start.
//!
//! wasmtime names what it keeps by a hash of the code and of how it compiles it: for which processor, with which settings, by which
//! version. So what another runtime, processor or release has left is not found, and the node compiles. But wasmtime does
//! not ask whether a file still is what it has written, and the node executes what stands there: a node with damaged code makes
//! and accepts other blocks than everybody else. Therefore the folder has to be the node's own, closed to all others, in folders where
//! nobody else can put another in its place, and nothing is written before that is seen. A digest is noted of each file that is new. A file with another digest, or with none, is deleted before wasmtime sees it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use futures_timer::Delay;
use rustix::process::{getegid, geteuid};
use sp_runtime::traits::{BlakeTwo256, Hash};

/// Where the folder is, below that of the chain.
const NAME: &str = "runtime-cache";
/// What wasmtime has, and the digests of it.
const COMPILED: &str = "compiled";
const DIGESTS: &str = "digests";
/// How often the node looks for what is new: a runtime that the chain has gone over to, or the same packed more tightly.
const LOOK: Duration = Duration::from_secs(60);
/// Rights of others: to write, and any.
const WRITING: u32 = 0o022;
const ANY: u32 = 0o077;
/// Rights of the group.
const GROUP: u32 = 0o070;
/// What is in such a folder is renamed by its owner alone.
const STICKY: u32 = 0o1000;
/// The account that may do anything in any case.
const ROOT: u32 = 0;
const PRIVATE: u32 = 0o700;

/// Why a folder cannot keep what the node executes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Its owner could put code into it.
    #[error("{} belongs to another account, which could have the node execute anything (runtime_cache_of_another_account)", .0.display())]
    OfAnother(PathBuf),
    /// So could others.
    #[error(
        "others may write to {} (mode {mode:03o}), and could have the node execute anything: delete it, and the node makes it \
         anew (runtime_cache_open)",
        path.display()
    )]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// So could whoever may put another folder in its place.
    #[error(
        "others may write to {} (mode {mode:03o}), which the compiled runtime is in, and could put another in its place: take that \
         right away, or name a folder elsewhere (runtime_cache_open)",
        path.display()
    )]
    OpenAbove {
        /// A folder that it is in.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It cannot be read or written.
    #[error("{} cannot keep the compiled runtime: {why} (runtime_cache_unusable)", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// The folder, and what is known of its files.
pub(crate) struct RuntimeCache {
    folder: PathBuf,
    /// When each file was last changed and how long it was, when its digest was noted or found right.
    known: HashMap<PathBuf, State>,
}

impl RuntimeCache {
    /// Where it is unless the operator says otherwise.
    pub(crate) fn below(chain: &Path) -> PathBuf {
        chain.join(NAME)
    }

    /// Makes the folder, or sees that nobody else could write to it, and deletes what is not as it was noted.
    pub(crate) fn open(folder: &Path) -> Result<Self, Unfit> {
        let unusable = |why| Unfit::Unusable {
            path: folder.to_owned(),
            why,
        };
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(unusable)?;
        }
        make(folder).map_err(unusable)?;
        // wasmtime takes absolute paths only.
        let folder = fs::canonicalize(folder).map_err(unusable)?;
        let own = geteuid().as_raw();
        for above in folder.ancestors().skip(1) {
            let about = fs::metadata(above).map_err(unusable)?;
            refuse_open(above, &about, own)?;
        }
        for part in [folder.clone(), folder.join(COMPILED), folder.join(DIGESTS)] {
            make(&part).map_err(unusable)?;
            let about = fs::metadata(&part).map_err(unusable)?;
            let mode = about.mode() & 0o777;
            if about.uid() != own {
                return Err(Unfit::OfAnother(part));
            }
            if mode & WRITING != 0 {
                return Err(Unfit::Open { path: part, mode });
            }
            if mode & ANY != 0 {
                fs::set_permissions(&part, fs::Permissions::from_mode(PRIVATE))
                    .map_err(unusable)?;
            }
        }
        let mut cache = Self {
            folder,
            known: HashMap::new(),
        };
        cache.check().map_err(unusable)?;
        Ok(cache)
    }

    /// The folder that wasmtime has.
    pub(crate) fn compiled(&self) -> PathBuf {
        self.folder.join(COMPILED)
    }

    /// Deletes files that are damaged, or that nobody noted.
    fn check(&mut self) -> io::Result<()> {
        for file in self.files()? {
            let Some((state, found)) = there(look(&file))? else {
                continue;
            };
            let noted = there(fs::read(self.digest(&file)))?;
            if noted.is_some_and(|noted| noted == found) {
                self.known.insert(file, state);
                continue;
            }
            tracing::warn!(
                "{} is not the compiled runtime that was kept; it is deleted and made anew (runtime_cache_damaged)",
                file.display()
            );
            there(fs::remove_file(&file))?;
        }
        Ok(())
    }

    /// Notes digests of what is new since it was opened. Whoever writes there meanwhile is this account.
    pub(crate) fn note(&mut self) -> io::Result<()> {
        for file in self.files()? {
            let state = there(state(&file))?;
            if state.is_none() || state.as_ref() == self.known.get(&file) {
                continue;
            }
            let Some((state, found)) = there(look(&file))? else {
                continue;
            };
            let digest = self.digest(&file);
            let unfinished = digest.with_extension(process::id().to_string());
            fs::write(&unfinished, found)?;
            fs::rename(&unfinished, digest)?;
            tracing::info!("the compiled runtime is kept as {}", file.display());
            self.known.insert(file, state);
        }
        Ok(())
    }

    /// Does so from time to time.
    pub(crate) async fn watch(mut self) {
        loop {
            Delay::new(LOOK).await;
            if let Err(error) = self.note() {
                // The next start compiles what was not noted.
                tracing::warn!(%error, "the compiled runtime is not kept");
            }
        }
    }

    /// What wasmtime would execute. What has an extension it would not: statistics, and what is being written.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in entries(&self.compiled().join("modules"))? {
            files.extend(
                entries(&folder)?
                    .into_iter()
                    .filter(|file| file.extension().is_none()),
            );
        }
        Ok(files)
    }

    /// Where a file's digest stands.
    fn digest(&self, file: &Path) -> PathBuf {
        let names = file.iter().rev().take(2);
        let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
        self.folder.join(DIGESTS).join(names.join("-") + ".digest")
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = there(fs::read_dir(folder))?.into_iter().flatten();
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// When a file was last changed, and how long it is.
type State = (SystemTime, u64);

fn state(file: &Path) -> io::Result<State> {
    let about = fs::metadata(file)?;
    Ok((about.modified()?, about.len()))
}

/// A file's state and digest. What is written later has another state.
fn look(file: &Path) -> io::Result<(State, [u8; 32])> {
    Ok((state(file)?, BlakeTwo256::hash(&fs::read(file)?).0))
}

/// None of what is gone: another node that has the same folder may have deleted it.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(PRIVATE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Refuses a folder above the cache's in which others may rename what is in it. They may not where it is sticky. A group that may is the
/// account's own where that is how its files are made.
fn refuse_open(path: &Path, about: &fs::Metadata, own: u32) -> Result<(), Unfit> {
    if ![own, ROOT].contains(&about.uid()) {
        return Err(Unfit::OfAnother(path.to_owned()));
    }
    let mode = about.mode() & 0o7777;
    let rights = match about.gid() == getegid().as_raw() {
        true => WRITING & !GROUP,
        false => WRITING,
    };
    if mode & rights != 0 && mode & STICKY == 0 {
        let path = path.to_owned();
        return Err(Unfit::OpenAbove { path, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in which wasmtime has written a file, and that file.
    fn kept(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("there is room");
        let mut cache = RuntimeCache::open(&folder.path().join("cache")).expect("it is ours");
        let modules = cache.compiled().join("modules/wasmtime-36");
        fs::create_dir_all(&modules).expect("it is ours");
        let file = modules.join("a-hash");
        fs::write(&file, text).expect("it is ours");
        cache.note().expect("it is ours");
        (folder, file)
    }

    fn open_again(folder: &tempfile::TempDir) -> Result<RuntimeCache, Unfit> {
        RuntimeCache::open(&folder.path().join("cache"))
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let (folder, file) = kept("code");
        let statistics = file.with_extension("stats");
        fs::write(&statistics, "used = 1").expect("it is ours");
        for _ in 0..2 {
            open_again(&folder).expect("it is ours");
            assert_eq!(fs::read_to_string(&file).expect("it is there"), "code");
            assert!(statistics.exists());
        }
    }

    #[test]
    fn a_damaged_file_is_deleted() {
        for damage in ["c0de", "cod", "codecode", ""] {
            let (folder, file) = kept("code");
            fs::write(&file, damage).expect("it is ours");
            open_again(&folder).expect("it is ours");
            assert!(!file.exists(), "{damage:?}");
        }
    }

    #[test]
    fn a_file_that_the_node_did_not_make_is_deleted() {
        let (folder, file) = kept("code");
        let foreign = file.with_file_name("another-hash");
        fs::copy(&file, &foreign).expect("it is ours");
        open_again(&folder).expect("it is ours");
        assert!(file.exists() && !foreign.exists());
    }

    #[test]
    fn what_was_made_anew_since_is_noted() {
        let (folder, file) = kept("code");
        let mut cache = open_again(&folder).expect("it is ours");
        fs::write(&file, "the same, packed more tightly").expect("it is ours");
        cache.note().expect("it is ours");
        open_again(&folder).expect("it is ours");
        assert!(file.exists());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_and_one_that_they_may_read_is_closed() {
        for part in ["", COMPILED, DIGESTS] {
            let (folder, _) = kept("code");
            let part = folder.path().join("cache").join(part);
            let mode = |mode| fs::set_permissions(&part, fs::Permissions::from_mode(mode));
            mode(0o775).expect("it is ours");
            let refusal = open_again(&folder).err().expect("a group may write to it");
            assert!(
                matches!(refusal, Unfit::Open { mode: 0o775, .. }),
                "{refusal}"
            );
            assert!(
                refusal.to_string().contains("(runtime_cache_open)"),
                "{refusal}"
            );
            mode(0o755).expect("it is ours");
            open_again(&folder).expect("it is ours");
            let about = fs::metadata(&part).expect("it is there");
            assert_eq!(about.mode() & 0o777, PRIVATE);
        }
    }

    #[test]
    fn a_folder_that_others_can_replace_is_refused() {
        let (folder, _) = kept("code");
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
        mode(0o777).expect("it is ours");
        let refusal = open_again(&folder).err().expect("everybody may rename it");
        assert!(
            matches!(refusal, Unfit::OpenAbove { mode: 0o777, .. }),
            "{refusal}"
        );
        for safe in [0o1777, 0o755, 0o700] {
            mode(safe).expect("it is ours");
            open_again(&folder).expect("nobody else may rename it");
        }
    }

    #[test]
    fn nothing_is_written_through_links_that_others_left() {
        let folder = tempfile::tempdir().expect("there is room");
        let key = folder.path().join("session-key");
        fs::write(&key, "secret").expect("it is ours");
        let cache = folder.path().join("cache");
        make(&cache).expect("it is ours");
        let link = cache.join(format!("probe.{}", process::id()));
        std::os::unix::fs::symlink(&key, link).expect("it is ours");
        RuntimeCache::open(&cache).expect("it is ours");
        assert_eq!(fs::read_to_string(key).expect("it is there"), "secret");
    }

    #[test]
    fn a_file_in_its_place_is_no_folder() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("cache");
        fs::write(&path, "").expect("it is ours");
        let refusal = RuntimeCache::open(&path).err().expect("it is a file");
        assert!(
            refusal.to_string().contains("(runtime_cache_unusable)"),
            "{refusal}"
        );
    }
}

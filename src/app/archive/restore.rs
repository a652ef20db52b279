//! Bringing back a backup: verified first, then put in place.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{ArchiveError, failed};
use super::manifest::{Kind, Manifest, Name};
use super::read::Archive;
use super::write::{Aside, aside, create_private, sync_folder_of};
use crate::app::alone::{Alone, alone_with};
use crate::clock;
use crate::config::Config;
use crate::dod::content::ContentStore;
use crate::journal::Journal;
use crate::run::Run;
use crate::runner::files::Files;
use crate::store::{Store, whole};

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What the archive said of itself.
    pub manifest: Manifest,
    /// Where the database is that was there before, if there was one.
    pub kept: Option<PathBuf>,
    /// Output files that were there before with other bytes, under their new names.
    pub kept_output: Vec<PathBuf>,
    /// The runs that are back.
    pub runs: Vec<Run>,
}

/// Puts a backup where the settings say that database and state root are. The server must be stopped.
///
/// # Errors
/// A server works, there is a database and `replace` was not said, or the archive is damaged: nothing is changed then.
pub async fn restore(
    config: &Config,
    from: &Path,
    replace: bool,
) -> Result<Restored, ArchiveError> {
    let db = &config.db;
    let _alone = take(db).await?;
    let there = db.symlink_metadata().is_ok();
    if there && !replace {
        return Err(ArchiveError::DatabaseThere(db.clone()));
    }
    let mut archive = Archive::open(from, Kind::Backup)?;
    let staged = stage(&mut archive, from, db)?;
    let files = Files::below(config.state_root.clone());
    make_private(&config.state_root)?;
    let content = ContentStore::open(files.evidence())
        .map_err(|error| failed("make", &files.evidence())(io::Error::other(error)))?;
    let mut kept_output = Vec::new();
    archive.each(|name, bytes| {
        match name {
            Name::Payload(sha256) => put_payload(&content, &sha256, bytes)?,
            Name::Output(run) => {
                let run = files.of_run(run);
                run.make().map_err(failed("make", &run.output()))?;
                kept_output.extend(put_output(&run.output(), bytes)?);
            }
            Name::Database | Name::Events | Name::Runs => {}
        }
        Ok(())
    })?;
    let kept = put_in_place(staged, db)?;
    Ok(Restored {
        manifest: archive.manifest,
        kept,
        kept_output,
        runs: all_runs(db)?,
    })
}

/// The lock of the server.
pub(super) async fn take(db: &Path) -> Result<Alone, ArchiveError> {
    if let Some(folder) = db.parent() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
    }
    alone_with(db)
        .await
        .map_err(failed("lock", db))?
        .ok_or_else(|| ArchiveError::InUse(db.to_owned()))
}

/// The database of the archive, beside its place, looked at in every page.
fn stage(archive: &mut Archive, from: &Path, db: &Path) -> Result<Aside, ArchiveError> {
    let staged = Aside(whole::restoring(db));
    // Of a restore that was interrupted.
    drop(fs::remove_file(&staged.0));
    let mut file = create_private(&staged.0)?;
    archive.each(|name, bytes| {
        if name == Name::Database {
            io::copy(bytes, &mut file).map_err(failed("write", &staged.0))?;
        }
        Ok(())
    })?;
    file.sync_all().map_err(failed("sync", &staged.0))?;
    let holds = whole::verify_file(&staged.0)?;
    let said = &archive.manifest;
    if (holds.schema, holds.runs, holds.events) != (said.schema, said.runs, said.events) {
        return Err(ArchiveError::Damaged {
            path: from.to_owned(),
            why: "its database holds something else than its manifest says".to_owned(),
        });
    }
    Ok(staged)
}

/// Puts the new database in place; what was there goes beside it under a dated name.
///
/// Whatever moment this is interrupted in: a start refuses a place with no database where a restore was under way.
fn put_in_place(staged: Aside, db: &Path) -> Result<Option<PathBuf>, ArchiveError> {
    // From here on it stays where it is if something fails: it tells a start that no database is here yet.
    let staged = staged.keep();
    let stamp = clock::rfc3339(clock::now()).replace(':', "-");
    let beside = |suffix: &str| -> (PathBuf, PathBuf) {
        let name = |middle: &str| {
            let mut name = db.as_os_str().to_owned();
            name.push(middle);
            name.push(suffix);
            PathBuf::from(name)
        };
        (name(""), name(&format!(".before-{stamp}")))
    };
    let mut kept = None;
    // The database goes first and its log after it: a log without its database is refused at a start.
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = beside(suffix);
        match fs::rename(&from, &to) {
            Ok(()) if suffix.is_empty() => kept = Some(to),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("move aside", &from)(error)),
        }
    }
    sync_folder_of(db)?;
    fs::rename(&staged, db).map_err(failed("put in its place", db))?;
    sync_folder_of(db)?;
    Ok(kept)
}

pub(super) fn put_payload(
    content: &ContentStore,
    sha256: &str,
    bytes: &mut dyn Read,
) -> Result<(), ArchiveError> {
    let path = PathBuf::from(sha256);
    let wrote = failed("store the payload", &path);
    content
        .put(bytes, u64::MAX)
        .map(drop)
        .map_err(|error| wrote(io::Error::other(error)))
}

/// Puts an output in its place. One that is there and longer has only grown since; any other goes beside.
fn put_output(path: &Path, bytes: &mut dyn Read) -> Result<Option<PathBuf>, ArchiveError> {
    let staged = Aside(aside(path));
    let mut file = create_private(&staged.0)?;
    let size = io::copy(bytes, &mut file).map_err(failed("write", &staged.0))?;
    file.sync_all().map_err(failed("sync", &staged.0))?;
    let there = fs::metadata(path).map_or(0, |meta| meta.len());
    if there >= size && begins_with(path, &staged.0).map_err(failed("read", path))? {
        return Ok(None);
    }
    let mut kept = None;
    if there > 0 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(
            ".before-{}",
            clock::rfc3339(clock::now()).replace(':', "-")
        ));
        let name = PathBuf::from(name);
        fs::rename(path, &name).map_err(failed("move aside", path))?;
        kept = Some(name);
    }
    fs::rename(&staged.0, path).map_err(failed("put in its place", path))?;
    sync_folder_of(path)?;
    Ok(kept)
}

/// Whether a file begins with the bytes of another.
fn begins_with(long: &Path, short: &Path) -> io::Result<bool> {
    let mut long = io::BufReader::new(File::open(long)?).bytes();
    for byte in io::BufReader::new(File::open(short)?).bytes() {
        if long.next().transpose()? != Some(byte?) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn make_private(folder: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .map_err(failed("make", folder))
}

fn all_runs(db: &Path) -> Result<Vec<Run>, ArchiveError> {
    let journal = Journal::open(Store::open(db)?)?;
    Ok(journal.all()?)
}

//! Bringing back a backup: verified first, then put in place.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Tell;
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
    tell: Tell<'_>,
) -> Result<Restored, ArchiveError> {
    let db = &config.db;
    let _alone = take(db).await?;
    let there = db.symlink_metadata().is_ok();
    if there && !replace {
        return Err(ArchiveError::DatabaseThere(db.clone()));
    }
    tell("reading the archive");
    let mut archive = Archive::open(from, Kind::Backup)?;
    tell("looking at its database");
    let staged = stage(&mut archive, from, db)?;
    let files = Files::below(config.state_root.clone());
    make_private(&config.state_root)?;
    let content = ContentStore::open(files.evidence())
        .map_err(|error| failed("make", &files.evidence())(io::Error::other(error)))?;
    tell("bringing back payloads and output");
    let mut kept_output = Vec::new();
    archive.each(|name, bytes| {
        match name {
            Name::Payload(sha256) => put_payload(&content, &sha256, bytes)?,
            Name::Output(run) => {
                let run = files.of_run(run);
                run.make().map_err(failed("make", &run.output()))?;
                kept_output.extend(put_output(&run.output(), bytes)?);
            }
            Name::Database | Name::Events | Name::Runs | Name::Workflows | Name::Record(..) => {}
        }
        Ok(())
    })?;
    tell("putting the database in its place");
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
/// What was there is first made to stand without its log, so that one rename changes the one for the other: whatever
/// moment this is interrupted in, the place has the old one or the new one.
fn put_in_place(staged: Aside, db: &Path) -> Result<Option<PathBuf>, ArchiveError> {
    forget_second_names(db)?;
    let kept = name_beside(db);
    let there = db.symlink_metadata().is_ok();
    if there && (!whole::stands_alone(db) || fs::hard_link(db, &kept).is_err()) {
        return put_in_place_of_damaged(staged, db).map(Some);
    }
    if !there {
        // A log whose database is gone belongs to no other.
        move_log_aside(db, &kept)?;
    }
    sync_folder_of(db)?;
    fs::rename(staged.path(), db).map_err(failed("put in its place", db))?;
    sync_folder_of(db)?;
    Ok(there.then_some(kept))
}

/// The same where what is there is damaged, or the file system knows no second names: in between a start refuses a place
/// with no database where a restore was under way.
fn put_in_place_of_damaged(staged: Aside, db: &Path) -> Result<PathBuf, ArchiveError> {
    // From here on it stays where it is if something fails: it tells a start that no database is here yet.
    let staged = staged.keep();
    let kept = name_beside(db);
    // The database goes first and its log after it: a log without its database is refused at a start.
    fs::rename(db, &kept).map_err(failed("move aside", db))?;
    move_log_aside(db, &kept)?;
    sync_folder_of(db)?;
    fs::rename(&staged, db).map_err(failed("put in its place", db))?;
    sync_folder_of(db)?;
    Ok(kept)
}

/// Moves the log of a database to the dated name of the database.
fn move_log_aside(db: &Path, kept: &Path) -> Result<(), ArchiveError> {
    for of in [whole::wal_of, whole::shm_of] {
        let from = of(db);
        match fs::rename(&from, of(kept)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("move aside", &from)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The name under which something is kept that is replaced now.
fn name_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    let now = clock::rfc3339(clock::now()).replace(':', "-");
    name.push(format!(".before-{now}"));
    name.into()
}

/// Removes the second names that an interrupted restore has given to the database that is still in its place.
fn forget_second_names(db: &Path) -> Result<(), ArchiveError> {
    let (Ok(meta), Some(name)) = (db.metadata(), db.file_name()) else {
        return Ok(());
    };
    let folder = match db.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let beside = format!("{}.before-", name.to_string_lossy());
    for entry in fs::read_dir(folder)
        .map_err(failed("list", folder))?
        .flatten()
    {
        let same = |other: fs::Metadata| (other.dev(), other.ino()) == (meta.dev(), meta.ino());
        let named = entry.file_name().to_string_lossy().starts_with(&beside);
        if named && entry.metadata().is_ok_and(same) {
            fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    Ok(())
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
pub(super) fn put_output(
    path: &Path,
    bytes: &mut dyn Read,
) -> Result<Option<PathBuf>, ArchiveError> {
    let (staged, size) = put_aside(path, bytes)?;
    let there = fs::metadata(path).map_or(0, |meta| meta.len());
    if there >= size && begins_with(path, staged.path()).map_err(failed("read", path))? {
        return Ok(None);
    }
    let grown = begins_with(staged.path(), path).unwrap_or(false);
    let mut kept = None;
    if there > 0 && !grown {
        let name = name_beside(path);
        fs::rename(path, &name).map_err(failed("move aside", path))?;
        kept = Some(name);
    }
    fs::rename(staged.path(), path).map_err(failed("put in its place", path))?;
    sync_folder_of(path)?;
    Ok(kept)
}

/// Puts a file in its place, whatever is there.
pub(super) fn put_file(path: &Path, bytes: &mut dyn Read) -> Result<(), ArchiveError> {
    let (staged, _) = put_aside(path, bytes)?;
    fs::rename(staged.path(), path).map_err(failed("put in its place", path))?;
    sync_folder_of(path)
}

fn put_aside(path: &Path, bytes: &mut dyn Read) -> Result<(Aside, u64), ArchiveError> {
    let staged = Aside(aside(path));
    let mut file = create_private(staged.path())?;
    let size = io::copy(bytes, &mut file).map_err(failed("write", staged.path()))?;
    file.sync_all().map_err(failed("sync", staged.path()))?;
    Ok((staged, size))
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

//! Packed refs: read into memory, and read again when the file is another one.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::PoisonError;

use gix::ObjectId;
use rustix::fs::OFlags;

use super::{Inside, Odd};

/// The most that is held: two million refs.
const MOST: u64 = 128 << 20;

/// A file of packed refs. As long as it is held open, no other file can have its inode: a file in its place is seen to be
/// another one, also within one tick of the clock.
pub(super) struct Packed {
    file: File,
    seen: Seen,
    refs: gix::refs::packed::Buffer,
}

/// What is another if the file is, or was written to.
#[derive(PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Seen {
    fn of(meta: &Metadata) -> Seen {
        Seen {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

impl Packed {
    fn open(path: &Path) -> Result<Packed, Odd> {
        let mut file = plain_file(path)?;
        let meta = file.metadata()?;
        if meta.len() > MOST {
            return Err(Odd::because("too many packed refs"));
        }
        let mut bytes = Vec::new();
        (&mut file).take(MOST).read_to_end(&mut bytes)?;
        Ok(Packed {
            seen: Seen::of(&meta),
            file,
            refs: gix::refs::packed::Buffer::from_bytes(&bytes, gix::hash::Kind::Sha1)?,
        })
    }

    fn is_current(&self, path: &Path) -> bool {
        // Also of the open one: it could have been written to since.
        let same = |meta: std::io::Result<Metadata>| meta.is_ok_and(|m| Seen::of(&m) == self.seen);
        same(path.metadata()) && same(self.file.metadata())
    }
}

/// Opens a file to read it, if it is a file: a pipe in its place is not waited for.
pub(super) fn plain_file(path: &Path) -> Result<File, Odd> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits())?)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Odd::because("not a file"));
    }
    Ok(file)
}

impl Inside {
    /// What the packed refs have under this very name.
    pub(super) fn packed_ref(&self, name: &str) -> Result<Option<ObjectId>, Odd> {
        self.in_packed(|refs| {
            let exact = refs
                .try_find(name)?
                .filter(|found| found.name.as_bstr() == name);
            Ok(exact.map(|found| found.target()))
        })
        .map(Option::flatten)
    }

    /// Whether there are packed refs below this name.
    pub(super) fn packed_below(&self, name: &str) -> Result<bool, Odd> {
        let prefix = format!("{name}/");
        let below = self.in_packed(|refs| Ok(refs.iter_prefixed(prefix.into())?.next().is_some()));
        Ok(below?.unwrap_or(false))
    }

    /// Looks into the packed refs as they are now; nothing if there are none.
    fn in_packed<T>(
        &self,
        look: impl FnOnce(&gix::refs::packed::Buffer) -> Result<T, Odd>,
    ) -> Result<Option<T>, Odd> {
        let path = self.common_dir.join("packed-refs");
        let mut held = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.as_ref().is_some_and(|held| held.is_current(&path)) {
            *held = None;
            if let Err(error) = path.symlink_metadata()
                && error.kind() == ErrorKind::NotFound
            {
                return Ok(None);
            }
            *held = Some(Packed::open(&path)?);
        }
        held.as_ref().map(|held| look(&held.refs)).transpose()
    }
}

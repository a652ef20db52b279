//! A ref by its exact name.

use std::io::{ErrorKind, Read as _};

use gix::ObjectId;
use gix::objs::Kind;

use super::packed::plain_file;
use super::{Inside, Odd};
use crate::run::CommitId;

/// Longer than the file of any ref that is a hash.
const MOST: u64 = 256;

impl Inside {
    /// The commit that a ref is at; nothing if there is no such ref, or it is at something else.
    pub(in crate::git) fn resolve(&self, name: &str) -> Result<Option<CommitId>, Odd> {
        let Some(object) = self.object_at(name)? else {
            return Ok(None);
        };
        self.ask(|repository| match repository.find_header(object)?.kind() {
            Kind::Commit => Ok(Some(object.to_hex().to_string().parse()?)),
            _ => Ok(None),
        })
    }

    /// The object that a ref is at, there or not. A ref that is another name for one is odd.
    pub(super) fn object_at(&self, name: &str) -> Result<Option<ObjectId>, Odd> {
        // A ref may be packed between the two looks, and then it is packed; the other way there is no deletion without
        // the lock of the packed refs. Looked at twice, it is not missed.
        for _ in 0..2 {
            if let Some(object) = self.loose_ref(name)? {
                return Ok(Some(object));
            }
            if let Some(object) = self.packed_ref(name)? {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    pub(super) fn loose_ref(&self, name: &str) -> Result<Option<ObjectId>, Odd> {
        let path = self.common_dir.join(name);
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => return Ok(None),
            Ok(meta) if !meta.is_file() => return Err(Odd::because("not a file")),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let mut bytes = Vec::new();
        match plain_file(&path) {
            Ok(file) => file.take(MOST).read_to_end(&mut bytes)?,
            // It went this moment, or became something else.
            Err(odd) if path.symlink_metadata().is_ok() => return Err(odd),
            Err(_) => return Ok(None),
        };
        let (hash, rest) = bytes
            .split_at_checked(40)
            .ok_or_else(|| Odd::because("not a hash"))?;
        if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(Odd::because("more than a hash"));
        }
        Ok(Some(ObjectId::from_hex(hash)?))
    }
}

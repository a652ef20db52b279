//! What a patch says, whatever it is applied to: the same lines on another base have the same digest.
//!
//! Like `git patch-id --verbatim`, which does not tell two binary files apart: line numbers, the names of blobs and the
//! function that a hunk stands in are left out; white space and the content of binary files count.

use sha2::{Digest as _, Sha256};

use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

/// The longest patch that is looked at, in bytes.
const LONGEST: usize = 64 << 20;

impl Repository {
    /// The digest of what lies between two commits; nothing if it is too long to be compared.
    ///
    /// # Errors
    /// git failed.
    pub async fn patch_digest(
        &self,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Option<[u8; 32]>, Error> {
        let args = [
            "-p",
            "--binary",
            "--no-color",
            "--no-renames",
            "--unified=3",
        ];
        let output = self.diff_tree(&args, from, to, Some(LONGEST)).await?;
        if output.truncated() {
            return Ok(None);
        }
        Ok(Some(digest(output.stdout())))
    }
}

fn digest(patch: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"@@ ") {
            hash.update(b"@@\n");
        } else if !line.starts_with(b"index ") {
            // Lines of files begin with a space, a sign or a length: none looks like these two.
            hash.update(line);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::digest;

    const PATCH: &str =
        "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@ fn f\n-a\n+b\n";

    #[test]
    fn the_place_in_the_file_does_not_count_and_every_byte_of_a_line_does() {
        let moved = PATCH
            .replace("@@ -1 +1 @@ fn f", "@@ -9 +9 @@ fn g")
            .replace("1..2", "3..4");
        assert_eq!(digest(PATCH.as_bytes()), digest(moved.as_bytes()));
        for other in [
            PATCH.replace("+b", "+b "),
            PATCH.replace("b/a", "b/c"),
            PATCH.replace("-a", "-index a"),
        ] {
            assert_ne!(
                digest(PATCH.as_bytes()),
                digest(other.as_bytes()),
                "{other}"
            );
        }
    }
}

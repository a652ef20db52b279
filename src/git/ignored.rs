//! What git ignores in a checkout.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::Error;
use super::repository::Repository;

impl Repository {
    /// Those of these paths that are ignored in a checkout with this index: by its `.gitignore` files (also those that
    /// only the index has) and `info/exclude`. What the index tracks is not.
    pub(crate) async fn ignored(
        &self,
        folder: &Path,
        index: &Path,
        paths: &[Vec<u8>],
    ) -> Result<BTreeSet<Vec<u8>>, Error> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        // Begun so, no path is taken for a pattern: this subcommand takes none that are said to be literal.
        const HERE: &[u8] = b"./";
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(HERE);
            input.extend_from_slice(path);
            input.push(0);
        }
        let output = self
            .call("check-ignore")
            .env("GIT_LITERAL_PATHSPECS", "0")
            .checkout(folder, index)
            .args(["-z", "--stdin"])
            .stdin(input)
            .run_expecting(&[0, 1])
            .await?;
        let ignored = output.fields().filter_map(|path| path.strip_prefix(HERE));
        Ok(ignored.map(<[u8]>::to_vec).collect())
    }
}

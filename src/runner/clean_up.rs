//! Deleting what was taken away, beside everything else: the trash, and the agent's temporary files.

use std::path::Path;
use std::time::Duration;

use super::files::RunFiles;
use crate::worktree::{self, Place};

/// How long to wait before the trash is tried again: who still wrote there has ended by then, as a rule.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// Deletes what lies in the trash and the agent's temporary files. Nobody waits for it.
pub(super) fn clean_up_later(place: &Place, files: &RunFiles) {
    let (trash, files) = (place.trash(), files.clone());
    tokio::spawn(async move {
        // A panic in there has said so.
        let _ = tokio::task::spawn_blocking(move || files.clear_tmp()).await;
        for pause in AGAIN {
            if empty_trash(&trash).await {
                return;
            }
            tokio::time::sleep(pause).await;
        }
        empty_trash(&trash).await;
    });
}

/// Empties the trash; whether nothing is left. What is left is told in the log.
pub(super) async fn empty_trash(trash: &Path) -> bool {
    match worktree::empty_trash(trash).await {
        Ok(emptied) => {
            for left in &emptied.left {
                tracing::warn!(
                    left,
                    "it could not be deleted from the trash; it is tried again"
                );
            }
            emptied.left.is_empty()
        }
        Err(error) => {
            tracing::warn!(%error, "the trash could not be emptied; it is tried again");
            false
        }
    }
}

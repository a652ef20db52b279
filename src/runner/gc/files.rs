//! Files that nothing names: the trash, payloads without evidence, uploads that never ended.

use std::time::SystemTime;

use anyhow::Context as _;
use jiff::SignedDuration;

use super::{Look, item};
use crate::dod::content::Unnamed;
use crate::store::evidence;
use crate::worktree;

/// A payload is named by a row within seconds of its writing, an upload ends within minutes.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What removed worktrees left to be deleted.
pub(super) async fn trash(look: &mut Look<'_>) -> anyhow::Result<()> {
    let trash = worktree::trash_below(&look.context.config.worktrees_root);
    let (bytes, things) = worktree::weigh_trash(&trash).await?;
    if things == 0 {
        return Ok(());
    }
    let at = trash.display().to_string();
    let mut found = item("trash", &at, format!("{things} removed worktrees"));
    found.bytes = bytes;
    if look.dry_run {
        look.gone(found);
        return Ok(());
    }
    let emptied = worktree::empty_trash(&trash).await?;
    found.bytes = emptied.bytes;
    for left in &emptied.left {
        look.left(item("trash", &at, left));
    }
    if emptied.left.is_empty() || emptied.bytes > 0 {
        look.gone(found);
    }
    Ok(())
}

/// Payloads that no evidence names, and what was never finished.
pub(super) async fn payloads(look: &mut Look<'_>) -> anyhow::Result<()> {
    let before = SystemTime::from(look.now.saturating_sub(DAY)?);
    let (content, uploads) = (look.context.content.clone(), look.context.files.uploads());
    let (store, dry_run) = (look.context.journal.store().clone(), look.dry_run);
    let found = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        // The files first: a row that comes meanwhile names a file that was written anew, and is young.
        let mut files = content.payloads().context("list the payloads")?;
        let named = store.read(evidence::payloads)?;
        files.retain(|file| !named.contains(&file.name));
        let asides = content.unfinished().context("list unfinished payloads")?;
        let uploads = Unnamed::in_folder(&uploads).context("list unfinished uploads")?;
        let mut found = Vec::new();
        for (what, files) in [
            ("payload", files),
            ("unfinished_upload", asides),
            ("unfinished_upload", uploads),
        ] {
            for file in files.into_iter().filter(|file| file.modified < before) {
                let discarded = if dry_run {
                    Ok(true)
                } else {
                    content.discard(&file, before)
                };
                found.push((what, file, discarded));
            }
        }
        Ok(found)
    });
    for (what, file, discarded) in found.await?? {
        let mut told = item(
            what,
            file.path.display().to_string(),
            "no evidence names it",
        );
        told.bytes = file.bytes;
        match discarded {
            Ok(true) => look.gone(told),
            // It was written anew meanwhile.
            Ok(false) => {}
            Err(error) => {
                told.why = format!("it could not be deleted: {error}");
                look.left(told);
            }
        }
    }
    Ok(())
}

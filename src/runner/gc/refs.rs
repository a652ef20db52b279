//! Refs under `refs/agent_runner/`: preserved work of runs, and leftovers that nobody asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;

use super::{Look, item, of_run};
use crate::git::{RefEdit, RefName};
use crate::run::{CommitId, Phase, RunId};

/// Where preserved work of runs lies.
pub(super) const PRESERVED: &str = "refs/agent_runner/preserved/";
/// Below it: work that was in the way of something, or whose run nobody knew.
pub(super) const LEFTOVER: &str = "refs/agent_runner/preserved/leftover/";

/// Work of runs that ended long ago.
pub(super) async fn preserved(look: &mut Look<'_>) -> anyhow::Result<()> {
    let context = look.context;
    for (name, commit) in context.repository.refs_below(PRESERVED).await? {
        if name.starts_with(LEFTOVER) {
            continue;
        }
        let id = name.strip_prefix(PRESERVED).unwrap_or_default();
        let run = match id.parse::<RunId>() {
            Ok(id) => context.journal.run(id)?,
            Err(_) => None,
        };
        let Some(run) = run else {
            let why = "work of no run that this database knows: another service may know it";
            look.left(item("preserved", &name, why));
            continue;
        };
        let found = |why: String| of_run(item("preserved", &name, why), run.id);
        let ended = match run.phase {
            Phase::Aborted {
                preserving: true, ..
            } => {
                look.left(found("its work is still being preserved".to_owned()));
                continue;
            }
            Phase::Aborted { at, .. } | Phase::Merged { at, .. } => at,
            _ => {
                look.left(found("its run has not ended".to_owned()));
                continue;
            }
        };
        let until = ended.saturating_add(look.keep())?;
        if look.now <= until {
            look.left(found(format!("it is kept until {until:.0}")));
            continue;
        }
        let why = format!("it was kept until {until:.0}");
        let edit = RefEdit::Delete(RefName::preserved(run.id), commit);
        let failed = delete(look, edit).await;
        match failed {
            None => look.gone(found(why)),
            Some(failed) => look.left(found(failed)),
        }
    }
    Ok(())
}

/// Deletes the ref, unless it is a dry run; why not, if that failed.
async fn delete(look: &Look<'_>, edit: RefEdit) -> Option<String> {
    if look.dry_run {
        return None;
    }
    let edits = [edit];
    let deleted = look.context.repository.edit_refs(&edits, "past its time");
    deleted.await.err().map(|error| error.to_string())
}

/// Leftovers that the base has, and those that were here long enough. When they came is written nowhere in git, so
/// the moment at which they were first seen counts.
pub(super) async fn leftovers(look: &mut Look<'_>) -> anyhow::Result<()> {
    let context = look.context;
    let base = context
        .repository
        .resolve(&RefName::branch(&context.base)?)
        .await?;
    let before = Seen::load(look)?;
    let mut seen = Seen::default();
    for (name, commit) in context.repository.refs_below(LEFTOVER).await? {
        let key = format!("{name} {commit}");
        let since = before.0.get(&key).copied().unwrap_or(look.now);
        let until = since.saturating_add(look.keep())?;
        let why = if is_in(look, &commit, base.as_ref()).await? {
            format!("the base `{}` has it", context.base)
        } else if look.now > until {
            format!("it was kept until {until:.0}")
        } else {
            look.left(item(
                "leftover",
                &name,
                format!("it is kept until {until:.0}"),
            ));
            seen.0.insert(key, since);
            continue;
        };
        let failed = match RefName::below_leftover(&name) {
            Some(name) => delete(look, RefEdit::Delete(name, commit)).await,
            None => Some("it has no name of ours".to_owned()),
        };
        match failed {
            None => look.gone(item("leftover", &name, why)),
            Some(failed) => {
                seen.0.insert(key, since);
                look.left(item("leftover", &name, failed));
            }
        }
    }
    if look.dry_run || seen == before {
        return Ok(());
    }
    seen.store(look)
}

async fn is_in(
    look: &Look<'_>,
    commit: &CommitId,
    base: Option<&CommitId>,
) -> anyhow::Result<bool> {
    Ok(match base {
        Some(base) => look.context.repository.is_ancestor(commit, base).await?,
        None => false,
    })
}

/// When each leftover was first seen, by its name and commit.
#[derive(Debug, Default, PartialEq)]
struct Seen(BTreeMap<String, Timestamp>);

impl Seen {
    fn file(look: &Look<'_>) -> PathBuf {
        look.context.files.quarantine()
    }

    /// A file that is not there or not whole is as one that says nothing: everything is kept longer then.
    fn load(look: &Look<'_>) -> anyhow::Result<Seen> {
        let file = Seen::file(look);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(Seen(serde_json::from_slice(&bytes).unwrap_or_default())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Seen::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    fn store(&self, look: &Look<'_>) -> anyhow::Result<()> {
        let file = Seen::file(look);
        let aside = file.with_extension("new");
        let written = std::fs::write(&aside, serde_json::to_vec_pretty(&self.0)?)
            .and_then(|()| std::fs::rename(&aside, &file));
        written.with_context(|| format!("write {}", file.display()))
    }
}

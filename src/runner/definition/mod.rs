//! The Definition of Done of a run: put together from its sources at the base commit, and watched in the work.
//!
//! It is read when the run is asked for, at the tip of its base, so that the answer has its items, and again when its
//! base commit is fixed, if that is another one. From then on it does not change: what the agent changes in the files
//! that it came from shows as an item for a person to look at (`changed`).

mod changed;
mod known;
mod read;

use uuid::Uuid;

use super::Context;
use crate::dod::written::{BadText, scripts};
use crate::dod::{Definition, Item, ItemSpec, Source, SourceKind, definition, item};
use crate::git;
use crate::run::{CommitId, Event, ItemId, Run};

pub use changed::{changed_paths, changed_where_asked, definition_changed, with_what_follows};
pub use known::Known;

/// The most bytes of paths that git is asked for by their names; beyond that it is asked for all.
const NAMED_MAX: usize = 64 * 1024;

/// What a source of items wrote.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where.
    pub source: Source,
    /// What.
    pub items: Vec<ItemSpec>,
}

impl Part {
    /// The items of the workflow of this name.
    #[must_use]
    pub fn of_workflow(name: &str, items: Vec<ItemSpec>) -> Part {
        Part::of(SourceKind::Workflow, Some(name.to_owned()), items)
    }

    /// The items of the request.
    #[must_use]
    pub fn of_request(items: Vec<ItemSpec>) -> Part {
        Part::of(SourceKind::Request, None, items)
    }

    fn of(kind: SourceKind, name: Option<String>, items: Vec<ItemSpec>) -> Part {
        Part {
            source: Source::of(kind, name, &items),
            items,
        }
    }
}

/// A Definition of Done, with its items.
#[derive(Debug, Clone)]
pub struct Defined {
    /// What it was made of.
    pub definition: Definition,
    /// Its items, in their order.
    pub items: Vec<ItemSpec>,
}

/// Why a Definition of Done cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// Something in the repository cannot be taken.
    #[error("the Definition of Done cannot be read at commit {commit}: {}", sentences(.bad))]
    Bad {
        /// The commit.
        commit: CommitId,
        /// What, each with its place.
        bad: Vec<BadText>,
    },
    /// The sources together write too many items.
    #[error("its sources write {0} items together; a run has at most {max}", max = item::MAX_ITEMS)]
    TooMany(usize),
    /// git failed.
    #[error(transparent)]
    Git(#[from] git::Error),
}

fn sentences(bad: &[BadText]) -> String {
    let all: Vec<String> = bad.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// Puts a Definition of Done together: the workflow's items, those of the repository and of the app's page at this
/// commit, those of the request.
///
/// # Errors
/// As [`NotRead`] says.
pub async fn define(
    context: &Context,
    commit: &CommitId,
    app: Option<&str>,
    workflow: Part,
    request: Part,
) -> Result<Defined, NotRead> {
    let mut parts = vec![workflow];
    parts.extend(read_once(context, commit, app).await?);
    parts.push(request);
    parts.retain(|part| !part.items.is_empty());
    let (sources, items): (Vec<Source>, Vec<Vec<ItemSpec>>) = parts
        .into_iter()
        .map(|part| (part.source, part.items))
        .unzip();
    let mut items = items.into_iter().fold(Vec::new(), item::merged);
    if items.len() > item::MAX_ITEMS {
        return Err(NotRead::TooMany(items.len()));
    }
    protect_scripts(context, commit, &mut items).await?;
    let definition = Definition {
        digest: definition::digest(&items),
        commit: Some(commit.clone()),
        sources,
        read_again: false,
    };
    Ok(Defined { definition, items })
}

/// What the repository and the page of the app write at this commit: read, unless it was lately.
async fn read_once(
    context: &Context,
    commit: &CommitId,
    app: Option<&str>,
) -> Result<Vec<Part>, NotRead> {
    let asked = (commit.clone(), app.map(str::to_owned));
    if let Some(parts) = context.definitions.parts.find(&asked) {
        return Ok(parts);
    }
    let parts = read::parts(context, commit, app).await?;
    context.definitions.parts.keep(asked, parts.clone());
    Ok(parts)
}

/// What happens to the run's Definition of Done when its base commit is this one; nothing if it stays.
///
/// # Errors
/// As [`NotRead`] says.
pub async fn fixed_at(
    context: &Context,
    run: &Run,
    commit: &CommitId,
) -> Result<Option<Event>, NotRead> {
    let Some(before) = &run.definition else {
        return Ok(None);
    };
    if before.commit.as_ref() == Some(commit) {
        return Ok(None);
    }
    let written = |kind: SourceKind| {
        let of_kind = before.sources.iter().find(|source| source.kind == kind);
        let (name, items) = of_kind.map_or((None, Vec::new()), |source| {
            (source.name.clone(), source.items.clone())
        });
        Part::of(kind, name, items)
    };
    let app = run.spec.kanban_app.as_deref();
    let (workflow, request) = (written(SourceKind::Workflow), written(SourceKind::Request));
    let mut defined = define(context, commit, app, workflow, request).await?;
    if defined.definition.digest == before.digest {
        return Ok(None);
    }
    defined.definition.read_again = true;
    let mut items = items(defined.items, &run.items);
    // What somebody has added meanwhile stays.
    let written: Vec<&String> = before.sources.iter().flat_map(|s| &s.keys).collect();
    for known in &run.items {
        if !written.contains(&&known.spec.key) && !items.iter().any(|item| item.id == known.id) {
            items.push(known.clone());
        }
    }
    Ok(Some(Event::DefinitionFixed {
        definition: defined.definition,
        items,
    }))
}

/// These items as those of a run, with the ids of items of the same key that it has.
#[must_use]
pub fn items(specs: Vec<ItemSpec>, known: &[Item]) -> Vec<Item> {
    specs
        .into_iter()
        .map(|spec| Item {
            id: known
                .iter()
                .find(|item| item.spec.key == spec.key)
                .map_or_else(|| ItemId(Uuid::now_v7()), |item| item.id),
            spec,
        })
        .collect()
}

/// What an agent is told after its prompt if the Definition of Done in it is not the one in force.
#[must_use]
pub fn told_again(run: &Run) -> Option<String> {
    run.definition.as_ref().filter(|d| d.read_again)?;
    let lines = run.items.iter().map(|item| {
        let required = if item.spec.required {
            " (required)"
        } else {
            ""
        };
        format!("- {}: {}{required}\n", item.spec.key, item.spec.title)
    });
    Some(format!(
        "\n\nThe base has moved since this was written. This is the Definition of Done in force, in the place of any above:\n{}",
        lines.collect::<String>()
    ))
}

/// Each check's script that lies in the repository at this commit belongs to what its item protects.
async fn protect_scripts(
    context: &Context,
    commit: &CommitId,
    items: &mut [ItemSpec],
) -> Result<(), git::Error> {
    let named = |spec: &ItemSpec| {
        let check = spec.check.as_ref();
        check.map_or_else(Vec::new, |check| scripts::of_command(&check.cmd))
    };
    let mut all: Vec<String> = items.iter().flat_map(named).collect();
    all.sort();
    all.dedup();
    if all.is_empty() {
        return Ok(());
    }
    if all.iter().map(String::len).sum::<usize>() > NAMED_MAX {
        all.clear();
    }
    let asked = (commit.clone(), all);
    let there = match context.definitions.files.find(&asked) {
        Some(there) => there,
        None => {
            let found = context.repository.files_at(commit, &asked.1).await?;
            let there: Vec<String> = found.into_iter().map(|file| file.path).collect();
            // All of a repository is too much to keep.
            if !asked.1.is_empty() {
                context.definitions.files.keep(asked, there.clone());
            }
            there
        }
    };
    for spec in items {
        for path in named(spec) {
            let is_file = there.contains(&path);
            if is_file && !spec.protects.iter().any(|known| item::fits(known, &path)) {
                spec.protects.push(item::pattern_for(&path));
            }
        }
    }
    Ok(())
}

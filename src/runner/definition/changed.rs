//! What the work changes of that which decides whether it is done.
//!
//! The run's own Definition of Done was read at the base commit, so none of these changes weakens it. But a check's
//! script is run as the work has it, and what lands decides about the runs after this one. So a person looks at it:
//! there is an item for that, with the change as its evidence.

use uuid::Uuid;

use super::super::Context;
use super::read::{FILE_MAX, OURS, pages_of};
use crate::clock;
use crate::dod::content::sha256_hex;
use crate::dod::item::{self, DEFINITION_CHANGED};
use crate::dod::written::front_matter;
use crate::dod::{Author, Evidence, Head, Item, ItemSpec, Payload, Verdict, When};
use crate::git::{Error, RefName};
use crate::run::{CommitId, Event, EvidenceId, ItemId, Phase, Run, apply};

/// The most bytes of the change that evidence shows.
const PATCH_MAX: usize = 256 * 1024;
/// The most paths that evidence names.
const PATHS_MAX: usize = 200;

/// The paths that the work changes: those that differ between `head` and where it left the base. A rename is two of them.
/// Nothing while there is no head, if its commit is gone, and if they are more than can be listed: then nobody knows that
/// an item does not apply.
///
/// # Errors
/// git failed.
pub async fn changed_paths(
    context: &Context,
    run: &Run,
    head: Option<&Head>,
) -> Result<Option<Vec<String>>, Error> {
    let Some(head) = head else {
        return Ok(None);
    };
    // The work of a run that was taken away is kept for a while only.
    if !run.placed && !context.repository.has_commit(&head.commit).await? {
        return Ok(None);
    }
    let Some(fork) = fork_of(context, run, &head.commit).await? else {
        return Ok(None);
    };
    match context.repository.changed_paths(&fork, &head.commit).await {
        Ok(paths) => Ok(Some(paths)),
        Err(Error::TooMuch { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same, where an item of the run asks for it (`when`). Nothing, if none does: then all of them apply.
///
/// # Errors
/// git failed.
pub async fn changed_where_asked(
    context: &Context,
    run: &Run,
    head: Option<&Head>,
) -> Result<Option<Vec<String>>, Error> {
    if run.items.iter().all(|item| item.spec.when.is_none()) {
        return Ok(None);
    }
    changed_paths(context, run, head).await
}

/// Where the work left the base.
async fn fork_of(context: &Context, run: &Run, head: &CommitId) -> Result<Option<CommitId>, Error> {
    let repository = &context.repository;
    let base = match (&run.phase, RefName::branch(&run.spec.base)) {
        // The base contains the work: what it was before.
        (Phase::Merged { commit, .. }, _) if repository.has_commit(commit).await? => {
            repository.parents_of(commit).await?.into_iter().next()
        }
        (_, Ok(name)) => repository.resolve(&name).await?,
        (_, Err(_)) => None,
    };
    let Some(base) = base.or_else(|| run.base_commit.clone()) else {
        return Ok(None);
    };
    let fork = repository.merge_base(&base, head).await?;
    Ok(fork.or_else(|| run.base_commit.clone()))
}

/// The event that fixes or moves the head of `run`, and what follows from it for the Definition of Done: to be recorded
/// together.
///
/// # Errors
/// git failed, or the event cannot follow.
pub async fn with_what_follows(
    context: &Context,
    run: &Run,
    event: Event,
) -> anyhow::Result<Vec<Event>> {
    let head = match &event {
        Event::Settled { head, .. } | Event::HeadMoved { head, .. } => head.clone(),
        _ => return Ok(vec![event]),
    };
    let after = apply(run.clone(), clock::now(), &event)?;
    let mut events = vec![event];
    events.extend(definition_changed(context, &after, &head).await?);
    Ok(events)
}

/// What is recorded if the work at `head` changes something that decides whether it is done: the item for it, unless the
/// run has it, and the change as evidence, unless there is evidence that speaks of this tree.
///
/// # Errors
/// git failed.
pub async fn definition_changed(
    context: &Context,
    run: &Run,
    head: &Head,
) -> Result<Vec<Event>, Error> {
    let (Some(_), Some(base_commit)) = (&run.definition, run.base_commit.clone()) else {
        return Ok(Vec::new());
    };
    let known = run.item_by_key(DEFINITION_CHANGED);
    let told = |item: &Item| {
        let mut of_item = run.evidence.iter().filter(|e| e.item_id == item.id);
        of_item.any(|e| e.author == Author::Service && !e.is_stale(Some(head)))
    };
    if known.is_some_and(told) {
        return Ok(Vec::new());
    }
    let Some(fork) = fork_of(context, run, &head.commit).await? else {
        return Ok(Vec::new());
    };
    let watched = Watched::of(context, run);
    let text = match context.repository.changed_paths(&fork, &head.commit).await {
        Ok(changed) => {
            let touched = watched.touched(context, &fork, head, &changed).await?;
            if touched.is_empty() {
                return Ok(Vec::new());
            }
            told_of(context, &fork, head, &touched).await?
        }
        Err(Error::TooMuch { .. }) => {
            "The work changes more files than can be listed; nobody knows whether those are among them that decide \
             whether it is done."
                .to_owned()
        }
        Err(error) => return Err(error),
    };
    let mut events = Vec::new();
    let item_id = match known {
        Some(item) => item.id,
        None => {
            let item = watched.item();
            let id = item.id;
            events.push(Event::ItemAdded { item });
            id
        }
    };
    events.push(Event::EvidenceAttached {
        evidence: Evidence {
            id: EvidenceId(Uuid::now_v7()),
            item_id,
            sha256: sha256_hex(text.as_bytes()),
            size: text.len() as u64,
            payload: Payload::Text { text },
            head: head.clone(),
            base_commit,
            onto: None,
            check: None,
            candidate_of: None,
            carried_to: Vec::new(),
            author: Author::Service,
            author_name: None,
            created_at: clock::now(),
            verdict: Verdict::Open,
        },
    });
    Ok(events)
}

/// What decides whether the work is done.
struct Watched {
    /// Patterns of paths of which every change counts.
    patterns: Vec<String>,
    /// The pattern of the app's pages, of which the checks count.
    pages: Option<String>,
}

impl Watched {
    fn of(context: &Context, run: &Run) -> Watched {
        let mut patterns = vec![format!("{OURS}/**"), OURS.to_owned()];
        for pattern in run.items.iter().flat_map(|item| &item.spec.protects) {
            if !patterns.contains(pattern) {
                patterns.push(pattern.clone());
            }
        }
        let app = run.spec.kanban_app.as_deref();
        let pages = app.and_then(|app| pages_of(&context.config.app_pages, app));
        Watched { patterns, pages }
    }

    /// The item for a person. It applies as long as the work changes any of this, so that it need not be written anew
    /// when it changes more of it.
    fn item(&self) -> Item {
        let changed = self.patterns.iter().chain(&self.pages).cloned().collect();
        let title =
            "Somebody has looked at what the work changes of its Definition of Done and its checks";
        Item {
            id: ItemId(Uuid::now_v7()),
            spec: ItemSpec {
                when: Some(When { changed }),
                ..ItemSpec::of(DEFINITION_CHANGED, title)
            },
        }
    }

    /// Those of the changed paths that count.
    async fn touched(
        &self,
        context: &Context,
        fork: &CommitId,
        head: &Head,
        changed: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut touched = Vec::new();
        for path in changed {
            let fits = |pattern: &String| item::fits(pattern, path);
            let counts = self.patterns.iter().any(fits)
                || (self.pages.as_ref().is_some_and(fits)
                    && checks_differ(context, fork, &head.commit, path).await?);
            if counts {
                touched.push(path.clone());
            }
        }
        Ok(touched)
    }
}

/// Whether the checks in a page differ between two commits; prose does not count. Checks that cannot be read differ.
async fn checks_differ(
    context: &Context,
    a: &CommitId,
    b: &CommitId,
    path: &String,
) -> Result<bool, Error> {
    let mut checks = Vec::new();
    for commit in [a, b] {
        let files = context
            .repository
            .files_at(commit, std::slice::from_ref(path))
            .await?;
        let files: Vec<_> = files.iter().filter(|file| file.path == *path).collect();
        let bytes = context.repository.bytes_of(&files, FILE_MAX).await?;
        let text = match bytes.into_iter().next() {
            None => Some(String::new()),
            Some(bytes) => bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
        };
        checks.push(text.and_then(|text| front_matter::items(path, &text).ok()));
    }
    Ok(checks[1].is_none() || checks[0] != checks[1])
}

/// The words of the evidence: which files, and what becomes of them.
async fn told_of(
    context: &Context,
    fork: &CommitId,
    head: &Head,
    touched: &[String],
) -> Result<String, Error> {
    let named = &touched[..touched.len().min(PATHS_MAX)];
    let (patch, cut) = context
        .repository
        .patch_of(fork, &head.commit, named, PATCH_MAX)
        .await?;
    let mut text = String::from(
        "The work changes files that decide whether work is done. The Definition of Done of this run is as it was at its \
         base commit; what these files say counts once the work has landed, and scripts of checks count at once.\n\n",
    );
    for path in named {
        text.push_str(&format!("- {path}\n"));
    }
    if touched.len() > named.len() {
        let more = touched.len() - named.len();
        text.push_str(&format!("- and {more} more, which are not shown below\n"));
    }
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&patch));
    if cut {
        text.push_str("\n(the rest of the change is not shown)\n");
    }
    Ok(text)
}

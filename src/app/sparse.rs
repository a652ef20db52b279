//! Which folders a run's worktree has: those of its request, else those of its workflow.

use super::refused::{FieldProblem, Refused};
use crate::git::Repository;
use crate::run::cone::{self, Cone, FOLDERS_MAX};
use crate::run::{AgentSettings, CommitId};
use crate::shape::request::NewRun;

/// Stands for the run's app in the name of a folder.
const APP: &str = "{kanban_app}";

/// The folders that were asked for, each with where it was said.
#[derive(Debug)]
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    /// # Errors
    /// A folder cannot be one, or names the app of a run that has none.
    pub(super) fn of(request: &NewRun, settings: &AgentSettings) -> Result<Asked, FieldProblem> {
        let (folders, of_request) = match (&request.sparse, &settings.sparse) {
            (Some(folders), _) => (folders, true),
            (None, Some(folders)) => (folders, false),
            (None, None) => return Ok(Asked(Vec::new())),
        };
        if folders.len() > FOLDERS_MAX {
            return Err(FieldProblem::new("/sparse", too_many()));
        }
        let of_workflow = match request.workflow {
            Some(_) => "/workflow",
            None => "/mode",
        };
        let mut all = Vec::new();
        for (at, written) in folders.iter().enumerate() {
            let pointer = match (of_request, written.contains(APP)) {
                (true, _) => format!("/sparse/{at}"),
                (false, true) => "/kanban_app".to_owned(),
                (false, false) => of_workflow.to_owned(),
            };
            let folder = match (&request.kanban_app, written.contains(APP)) {
                (None, true) => {
                    let detail = format!("the sparse folder `{written}` needs a `kanban_app`");
                    return Err(FieldProblem::new("/kanban_app", detail));
                }
                (Some(app), true) => written.replace(APP, app),
                (_, false) => written.clone(),
            };
            let folder = folder.strip_suffix('/').unwrap_or(&folder).to_owned();
            if let Some(why) = cone::why_not(&folder) {
                return Err(FieldProblem::new(pointer, format!("`{folder}` {why}")));
            }
            all.push((folder, pointer));
        }
        Ok(Asked(all))
    }

    /// The cone of these folders, all of which the commit has.
    ///
    /// # Errors
    /// The commit lacks one: an agent would take it for one that is yet to be made.
    pub(super) async fn at(
        self,
        repository: &Repository,
        commit: &CommitId,
    ) -> Result<Cone, Refused> {
        let folders: Vec<String> = self.0.iter().map(|(folder, _)| folder.clone()).collect();
        let missing = repository.folders_missing_at(commit, &folders).await?;
        let bad: Vec<FieldProblem> = self
            .0
            .iter()
            .filter(|(folder, _)| missing.contains(folder))
            .map(|(folder, pointer)| {
                let detail = format!("the base branch has no folder `{folder}`");
                FieldProblem::new(pointer.clone(), detail)
            })
            .collect();
        if !bad.is_empty() {
            return Err(Refused::Invalid(bad));
        }
        Cone::new(&folders).map_err(|error| {
            Refused::Invalid(vec![FieldProblem::new("/sparse", error.to_string())])
        })
    }
}

/// What of a workflow's folders cannot be taken: those of its worktrees, and those that are seeded.
pub(super) fn bad_folders(settings: &AgentSettings) -> Vec<FieldProblem> {
    let mut bad = Vec::new();
    for (field, folders) in [("sparse", &settings.sparse), ("seed", &settings.seed)] {
        let folders = folders.as_deref().unwrap_or_default();
        let pointer = format!("/settings/{field}");
        if folders.len() > FOLDERS_MAX {
            bad.push(FieldProblem::new(pointer.clone(), too_many()));
        }
        for (at, folder) in folders.iter().enumerate() {
            let folder = match field {
                "sparse" => folder.replace(APP, "app"),
                _ => folder.clone(),
            };
            let folder = folder.strip_suffix('/').unwrap_or(&folder);
            if let Some(why) = cone::why_not(folder) {
                let detail = format!("`{folder}` {why}");
                bad.push(FieldProblem::new(format!("{pointer}/{at}"), detail));
            }
        }
    }
    bad
}

fn too_many() -> String {
    format!("at most {FOLDERS_MAX} folders")
}

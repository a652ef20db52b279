//! What the service finds when it looks at itself, each with what to do.

use std::path::Path;
use std::sync::Arc;

use super::{App, Refused};
use crate::git::RefName;
use crate::runner::Context;
use crate::shape::view::{DoctorView, FindingView, FixView};
use crate::store::{events, whole};
use crate::world::{self, CheckError, Depth, Extent, Finding, Level, check_world};

impl App {
    /// Looks at everything that runs need, and at what must always hold: in the newest of the history, or `deep`, in all
    /// of it.
    pub async fn doctor(&self, deep: bool) -> DoctorView {
        let depth = if deep { Depth::Whole } else { Depth::Newest };
        let context = self.context();
        let mut findings = vec![
            found(
                "git",
                Ok(format!(
                    "git {} at {}",
                    context.repository.program().version(),
                    context.repository.program().path().display()
                )),
            ),
            found(
                "repository",
                Ok(context.repository.common_dir().display().to_string()),
            ),
            found("base", self.base_is_there().await),
            found("database", self.database(deep).await),
            found("worktrees", writable(&context.config.worktrees_root)),
            found("state", writable(&context.config.state_root)),
        ];
        findings.push(match &context.claude {
            Ok(program) => found("agent", Ok(program.path.clone())),
            Err(why) => FindingView {
                what: "agent".to_owned(),
                level: "warning".to_owned(),
                detail: format!(
                    "{why}; runs are carried by the stub. Install Claude Code and start the service again"
                ),
                ..FindingView::default()
            },
        });
        let contained = &context.containment;
        let mut detail = contained.detail();
        for why in contained.passed_over() {
            detail.push_str("; ");
            detail.push_str(why);
        }
        let controllers = match contained.controllers() {
            none if none.is_empty() => "no limits can be held".to_owned(),
            some => format!("limits can be held on: {}", some.join(", ")),
        };
        findings.push(found("containment", Ok(format!("{detail}; {controllers}"))));
        findings.extend(self.warnings().into_iter().map(|detail| FindingView {
            what: "service".to_owned(),
            level: "warning".to_owned(),
            detail,
            ..FindingView::default()
        }));
        match check_world(context, depth).await {
            Ok(world) => {
                findings.push(found("world", Ok(extent(world.extent))));
                findings.extend(world.findings.iter().map(of_world));
            }
            Err(error) => findings.push(found("world", Err(error.to_string()))),
        }
        DoctorView {
            healthy: findings.iter().all(|finding| finding.level != "error"),
            findings,
        }
    }

    async fn base_is_there(&self) -> Result<String, String> {
        let base = &self.context().base;
        let name = RefName::branch(base).map_err(|error| error.to_string())?;
        match self.context().repository.resolve(&name).await {
            Ok(Some(commit)) => Ok(format!("{base} at {commit}")),
            Ok(None) => Err(format!(
                "the branch `{base}` is gone; make it again or name another with --base-branch"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn database(&self, deep: bool) -> Result<String, String> {
        let store = self.context().journal.store().clone();
        let looked = tokio::task::spawn_blocking(move || {
            store.read(|db| {
                if deep {
                    whole::structure(db)?;
                }
                events::last_seq(db)
            })
        });
        match looked.await {
            Ok(Ok(seq)) => Ok(format!("{seq} events in the journal")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Notes an answer that is the service's fault; the doctor tells of it until the next start.
    pub fn note_failure(&self, method: &str, path: &str, request_id: &str, status: u16) {
        let failures = &self.context().failures;
        failures.answered(method, path, request_id, status);
    }

    /// Mends what can be mended without a decision of a person; with `dry_run`, only says what that is.
    ///
    /// # Errors
    /// The world could not be looked at.
    pub async fn fix(&self, dry_run: bool) -> Result<FixView, Refused> {
        let world = check_world(self.context(), Depth::Newest).await;
        let world = world.map_err(|error| match error {
            CheckError::Store(error) => error.into(),
            error => Refused::failed(error.into()),
        })?;
        let (mut mended, mut left) = (Vec::new(), Vec::new());
        for finding in world.findings {
            let mut view = of_world(&finding);
            if !finding.is_mendable() {
                left.push(view);
            } else if dry_run {
                mended.push(view);
            } else {
                match world::mend(self.context(), &finding).await {
                    Ok(()) => {
                        tracing::info!(code = finding.code.as_str(), at = finding.at, "mended");
                        mended.push(view);
                    }
                    Err(error) => {
                        view.detail = format!("{}; mending it failed: {error}", view.detail);
                        left.push(view);
                    }
                }
            }
        }
        Ok(FixView {
            dry_run,
            mended,
            left,
        })
    }
}

/// Looks at the world after a start: tells what should not be, and mends what needs nobody's word.
pub(super) async fn mend_after_start(context: Arc<Context>) {
    let store = context.journal.store().clone();
    let structure = tokio::task::spawn_blocking(move || {
        store.read(|db| match whole::is_large(db)? {
            true => whole::structure(db),
            // The start has looked at it.
            false => Ok(()),
        })
    });
    if let Ok(Err(error)) = structure.await {
        tracing::error!(%error, "the database is to be brought back from a backup");
    }
    let found = match check_world(&context, Depth::Newest).await {
        Ok(world) => world.findings,
        Err(error) => {
            tracing::warn!(%error, "the world could not be looked at");
            return;
        }
    };
    let findings = found.len();
    for finding in found {
        let (code, at) = (finding.code.as_str(), &finding.at);
        tracing::warn!(code, at, mend = finding.mend, "{}", finding.detail);
        if finding.mends_itself() {
            match world::mend(&context, &finding).await {
                Ok(()) => tracing::info!(code, at, "mended"),
                Err(error) => tracing::warn!(code, at, %error, "it could not be mended"),
            }
        }
    }
    tracing::info!(findings, "looked at the world");
}

/// How much was looked at, in words.
fn extent(extent: Extent) -> String {
    let Extent {
        events,
        events_of,
        runs,
        runs_of,
        payloads,
        ..
    } = extent;
    match extent.depth {
        Depth::Whole => format!(
            "looked at all of it: {events} events, {runs} runs, every byte of {payloads} payloads"
        ),
        Depth::Newest => format!(
            "looked at the newest {events} of {events_of} events, {runs} of {runs_of} runs, the sizes of {payloads} payloads; \
             `doctor --deep` looks at all of it"
        ),
    }
}

fn of_world(finding: &Finding) -> FindingView {
    let level = match finding.code.level() {
        Level::Warning => "warning",
        Level::Error => "error",
    };
    FindingView {
        what: finding.code.what().to_owned(),
        level: level.to_owned(),
        detail: finding.detail.clone(),
        code: Some(finding.code.as_str().to_owned()),
        invariant: Some(finding.code.invariant().to_owned()),
        run_id: finding.run.map(|run| run.to_string()),
        at: Some(finding.at.clone()),
        mend: Some(finding.mend.clone()),
        mendable: Some(finding.is_mendable()),
    }
}

fn found(what: &str, seen: Result<String, String>) -> FindingView {
    let (level, detail) = match seen {
        Ok(detail) => ("ok", detail),
        Err(detail) => ("error", detail),
    };
    FindingView {
        what: what.to_owned(),
        level: level.to_owned(),
        detail,
        ..FindingView::default()
    }
}

fn writable(folder: &Path) -> Result<String, String> {
    let probe = folder.join(format!(".probe-{}", uuid::Uuid::now_v7().simple()));
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| format!("{} cannot be written to: {error}", folder.display()))?;
    Ok(folder.display().to_string())
}

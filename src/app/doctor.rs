//! What the service finds when it looks at itself, each with what to do.

use std::path::Path;

use super::App;
use crate::git::RefName;
use crate::shape::view::{DoctorView, FindingView};
use crate::store::events;

/// Under this much free space runs begin to fail.
const FREE_BYTES_MIN: u64 = 1 << 30;

impl App {
    /// Looks at everything that runs need.
    pub async fn doctor(&self) -> DoctorView {
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
            found("database", self.chain()),
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
            },
        });
        findings.extend(self.warnings().into_iter().map(|detail| FindingView {
            what: "service".to_owned(),
            level: "warning".to_owned(),
            detail,
        }));
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

    fn chain(&self) -> Result<String, String> {
        match self.read(events::first_broken_link) {
            Ok(None) => Ok("the journal's chain is whole".to_owned()),
            Ok(Some(seq)) => Err(format!(
                "event {seq} of the journal is not what was written; bring back a backup"
            )),
            Err(error) => Err(error.to_string()),
        }
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
    }
}

fn writable(folder: &Path) -> Result<String, String> {
    let probe = folder.join(format!(".probe-{}", uuid::Uuid::now_v7().simple()));
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| format!("{} cannot be written to: {error}", folder.display()))?;
    match rustix::fs::statvfs(folder) {
        Ok(space) if space.f_bavail.saturating_mul(space.f_frsize) < FREE_BYTES_MIN => Err(
            format!("{} has less than 1 GiB free; make room", folder.display()),
        ),
        _ => Ok(folder.display().to_string()),
    }
}

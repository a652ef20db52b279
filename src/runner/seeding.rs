//! What a run's fresh worktree gets of a checkout's caches, and what is known of how.

use super::Context;
use crate::run::Run;
use crate::worktree::{Seeded, Seeding, reflinks_between};

/// How seeds get into worktrees here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    /// The checkout that they come from; none if the repository has no main checkout and no other was named.
    pub source: Option<std::path::PathBuf>,
    /// Why their bytes cannot be shared; `None` if they are.
    pub why_not_reflink: Option<String>,
}

impl Seeds {
    /// Tries it.
    #[must_use]
    pub fn find(source: Option<&std::path::Path>, worktrees_root: &std::path::Path) -> Seeds {
        let tried = match source {
            Some(source) => reflinks_between(source, worktrees_root),
            None => Err("the repository has no main checkout".to_owned()),
        };
        Seeds {
            source: source.map(std::path::Path::to_owned),
            why_not_reflink: tried.err(),
        }
    }
}

impl Context {
    /// What the run's worktree is to be seeded with, if anything.
    #[must_use]
    pub fn seeding(&self, run: &Run) -> Option<Seeding> {
        let of_workflow = run.spec.settings.seed.as_ref();
        let paths = of_workflow.unwrap_or(&self.config.seed);
        let source = self.seeds.source.clone()?;
        let cone = &run.spec.sparse;
        let paths: Vec<String> = paths
            .iter()
            .filter(|path| cone.has(path.as_bytes()) || cone.folders().contains(path))
            .cloned()
            .collect();
        (!paths.is_empty()).then_some(Seeding {
            source,
            paths,
            copy: self.config.seed_copy,
        })
    }
}

/// Says in the log what was seeded.
pub(super) fn tell(run: &Run, seeded: &Seeded) {
    let (files, bytes) = (seeded.files, seeded.bytes);
    let ms = u64::try_from(seeded.took.as_millis()).unwrap_or(u64::MAX);
    let way = seeded.way.map_or("nothing", |way| way.as_str());
    tracing::info!(run = %run.id, way, files, bytes, ms, "seeded");
    for left_out in &seeded.left_out {
        tracing::warn!(run = %run.id, "not seeded: {left_out}");
    }
}

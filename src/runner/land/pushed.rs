//! A merge that is pushed: what its stops are called, and what becomes of one that was interrupted.
//!
//! The remote's branch moves before the base does. So an interruption in between leaves a remote that has the candidate and a
//! base that does not: then the base follows, or the run says that the two are apart.

use super::super::driver::Driver;
use crate::git::{NotPushed, RefName};
use crate::merge::{self, LandRefused};
use crate::run::CommitId;

/// Under which name a merge that is pushed has stopped; nothing if it was not the push.
pub(super) fn push_code(refused: &LandRefused) -> Option<&'static str> {
    match refused {
        LandRefused::NotPushed(NotPushed::Refused(_)) => Some("push_refused"),
        LandRefused::NotPushed(NotPushed::Failed(_)) => Some("push_failed"),
        LandRefused::PushedButBaseMoved { .. } => Some("pushed_but_base_moved"),
        _ => None,
    }
}

/// Why an interrupted landing is over without having landed.
pub(super) struct Stopped {
    pub(super) code: String,
    pub(super) detail: String,
}

impl Driver {
    /// A landing was interrupted, and the base does not have the candidate: if the remote has it, the base gets it now.
    /// Else this is why not; `otherwise`, if the remote does not have it either.
    pub(super) async fn land_what_was_pushed(
        &self,
        base: &RefName,
        onto: &CommitId,
        candidate: &CommitId,
        otherwise: Stopped,
    ) -> anyhow::Result<Option<Stopped>> {
        let repository = &self.context().repository;
        if !repository.pushes() {
            return Ok(Some(otherwise));
        }
        if repository.is_being_pushed(candidate)? {
            anyhow::bail!("a git may yet push {candidate}; it is looked at again");
        }
        match merge::land_pushed(repository, base, onto, candidate).await {
            Ok(Some(_)) => Ok(None),
            Ok(None) => Ok(Some(otherwise)),
            Err(LandRefused::Git(error)) => Err(error.into()),
            Err(refused) => Ok(Some(match push_code(&refused) {
                Some(code) => Stopped {
                    code: code.to_owned(),
                    detail: refused.to_string(),
                },
                None => Stopped {
                    code: "pushed_not_landed".to_owned(),
                    detail: format!(
                        "the remote has {candidate} on {base}, and the base of this repository does not: {refused}; \
                         bring the two together, for example by merging what the remote has"
                    ),
                },
            })),
        }
    }
}

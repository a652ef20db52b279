//! Where two histories meet.

use gix::ObjectId;
use gix::objs::{Data, Find};
use gix::revwalk::Graph;

use super::objects::{hash_of, id_of};
use super::{Inside, Odd};
use crate::run::CommitId;

/// How many bytes of objects are kept while a history is walked.
const CACHE: usize = 4 << 20;

/// Commits, each of which must be there: one that is missing is not the end of a history.
struct All<'a>(&'a gix::Repository);

impl Find for All<'_> {
    fn try_find<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> gix::Result<Option<Data<'a>>> {
        match self.0.objects.try_find(id, buffer)? {
            None => Err(gix::error::not_found(format!("{id} is missing")).into()),
            found => Ok(found),
        }
    }
}

impl Inside {
    /// The only best common ancestor; nothing if the histories have nothing in common. Which of several is the best is
    /// odd.
    pub(in crate::git) fn merge_base(
        &self,
        a: &CommitId,
        b: &CommitId,
    ) -> Result<Option<CommitId>, Odd> {
        match self.merge_bases(a, b)?.as_slice() {
            [] => Ok(None),
            [only] => hash_of(only).map(Some),
            _ => Err(Odd::because("several merge bases")),
        }
    }

    /// Whether `old` is in the history of `new`.
    pub(in crate::git) fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, Odd> {
        // Nothing is a better one than itself, so it is always among them.
        let bases = self.merge_bases(old, new)?;
        Ok(bases.contains(&id_of(old.as_str())?))
    }

    /// All best common ancestors. Where times are out of order, there may be some among them that are none: ancestors of
    /// another one.
    fn merge_bases(&self, a: &CommitId, b: &CommitId) -> Result<Vec<ObjectId>, Odd> {
        self.whole_history()?;
        let (a, b) = (id_of(a.as_str())?, id_of(b.as_str())?);
        self.ask(|repo| {
            let mut repo = repo.clone();
            repo.object_cache_size_if_unset(CACHE);
            let cache = repo.commit_graph_if_enabled()?;
            let mut graph = Graph::new(All(&repo), cache.as_ref());
            let bases = gix::revision::plumbing::merge_base(a, &[b], &mut graph)?;
            Ok(bases.into_iter().flatten().collect())
        })
    }
}

//! Passes that are known already: the same check on the same tree in the same environment is not run again.
//!
//! Only passes are reused, and only while nothing newer says otherwise: what failed may have failed for want of luck, and is
//! run again whenever it is asked about.
//! A pass of any run will do, also one that was itself reused; the record names the evidence of the run that ran it.

use std::sync::Arc;

use super::engine::{self, Order};
use crate::dod::check::CheckRecord;
use crate::dod::content::Stored;
use crate::run::TreeId;
use crate::runner::Context;
use crate::store::evidence;

/// A pass that is known.
pub(super) struct Pass {
    /// Its record, as it is for the new evidence.
    pub record: CheckRecord,
    /// Its log.
    pub log: Stored,
}

/// The known passes of all checks of the order, in its order; nothing if one of them is not known to pass.
pub(super) async fn all_passed(
    context: &Arc<Context>,
    tree: &TreeId,
    order: &Order,
) -> anyhow::Result<Option<Vec<Pass>>> {
    let specs: Vec<_> = order.list.iter().map(|ordered| &ordered.spec).collect();
    let environment = engine::environment(context, &order.commit, &specs).await?;
    let mut passes = Vec::new();
    for spec in specs {
        let key = environment.key(tree, &order.base, spec);
        let known = context
            .journal
            .store()
            .read(|db| evidence::passed(db, &key))?;
        let Some(known) = known else {
            return Ok(None);
        };
        // Its row is kept as long as its payload is; a payload that somebody took away proves nothing any more.
        if context.content.open_payload(&known.sha256).is_err() {
            return Ok(None);
        }
        let mut record = known.record;
        record.cached_from.get_or_insert(known.id);
        passes.push(Pass {
            record,
            log: Stored {
                sha256: known.sha256,
                size: known.size,
            },
        });
    }
    Ok(Some(passes))
}

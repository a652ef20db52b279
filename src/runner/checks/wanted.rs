//! Which checks a round has: those of the items that apply to the work.

use uuid::Uuid;

use crate::dod::{Head, Item};
use crate::git::Error;
use crate::run::{ItemId, Round, RoundId, RoundWhy, Run};
use crate::runner::{Context, changed_where_asked};

/// The items of a run that have a check and apply to this work, in their order.
///
/// # Errors
/// git failed.
pub async fn applicable<'a>(
    context: &Context,
    run: &'a Run,
    head: &Head,
) -> Result<Vec<&'a Item>, Error> {
    let changed = changed_where_asked(context, run, Some(head)).await?;
    // What is not known to be unaffected applies.
    let applies = |item: &&Item| {
        let changed = changed.as_ref();
        changed.is_none_or(|changed| item.spec.applies(changed))
    };
    let checked = run.items.iter().filter(|item| item.spec.check.is_some());
    Ok(checked.filter(applies).collect())
}

/// A round of all checks that apply to this work; nothing if there are none.
///
/// # Errors
/// git failed.
pub async fn round(
    context: &Context,
    run: &Run,
    head: &Head,
    why: RoundWhy,
) -> Result<Option<Round>, Error> {
    let items: Vec<ItemId> = applicable(context, run, head)
        .await?
        .iter()
        .map(|item| item.id)
        .collect();
    Ok((!items.is_empty()).then(|| Round {
        id: RoundId(Uuid::now_v7()),
        head: head.clone(),
        items,
        why,
        afresh: false,
    }))
}

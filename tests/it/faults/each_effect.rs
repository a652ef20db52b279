//! Every effect of the service, at every passage of it: the process ends there as by kill -9 (abort), or the effect
//! fails (error), or it takes 300 ms (delay). `src/effect/mod.rs` has the effects.
//!
//! A story is played once undisturbed, and each passage of an effect is counted. Then it is played once for each
//! passage and strike; a delay is at all passages of all effects of one kind. After an abort the service is started again, as
//! whoever watches over it does; after an answer of 5xx, or none, the client asks again. Then everything must come to
//! the same good end by itself, at which each thing that was answered is there and `check_world` finds nothing.
//!
//! `AGENT_RUNNER_ONLY='Error at refs.sync (2)'` plays the strikes whose names contain this.

mod client;
mod fault;
mod story;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use agent_runner_api::effect::Effect;
use rstest::rstest;

use fault::{Action, Fault};
use story::{Story, play};

/// How many stories are played at once.
const AT_ONCE: usize = 3;

/// The strikes at all that an undisturbed story passes, one passage each.
fn faults(story: Story, action: Action) -> Vec<Fault> {
    let passed = play(story, None);
    let can_fail: BTreeMap<&str, bool> = Effect::ALL
        .iter()
        .map(|effect| (effect.name(), effect.can_fail()))
        .collect();
    let mut faults = Vec::new();
    for (point, times) in passed {
        let name = point.rsplit(':').next().unwrap();
        if action == Action::Error && !can_fail[name] {
            continue;
        }
        faults.extend((1..=times).map(|passage| Fault {
            points: vec![point.clone()],
            action,
            passage,
        }));
    }
    faults
}

/// The delays of a story: the effects of one kind (`refs.…`) in one role at once, each at every passage.
fn delays(story: Story) -> Vec<Fault> {
    let mut by_kind: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for point in play(story, None).into_keys() {
        let kind = point.split('.').next().unwrap();
        by_kind.entry(kind.to_owned()).or_default().push(point);
    }
    let delay = |points| Fault {
        points,
        action: Action::Delay,
        passage: 1,
    };
    by_kind.into_values().map(delay).collect()
}

#[expect(clippy::disallowed_methods, reason = "set from outside, for one test")]
fn only() -> Option<String> {
    std::env::var("AGENT_RUNNER_ONLY").ok()
}

/// Seen red, among others:
/// - without the look at the queue after a failed step (`recover_one`): Create, error at `store.commit` (2): the run
///   waits for ever;
/// - without git's word after a failure of git (`landed_or_not`): Merge, error at `refs.sync` (2): the work is in the
///   base, and the run has not merged;
/// - without the refusal of a merge while a landing waits to be looked at again: Merge, error at `store.commit` (3): one
///   of 12 times the request waits for the lane, and the lane for the request;
/// - without the second try in `merge::land`: Merge, error at `checkout.bring`: the owner's checkout lacks the merge;
/// - without the `Merging` row of `take_up`: Merge, abort at `refs.sync` (2): the run is merging for ever;
/// - with an attempt that cannot be looked for taken as ended: Attach, error at `attach.look`: the run has failed while
///   its agent works;
/// - without `clear_aside` and `clear_uploads`: Prove, abort at `payload.sync`: half a file stays for ever;
/// - with `RestoreError::Create` as "gone": Abort, error at `place.register`: the client is told that the work is lost.
#[rstest]
fn a_story_ends_well_wherever_it_is_struck(
    #[values(
        Story::Create,
        Story::Prove,
        Story::Merge,
        Story::Abort,
        Story::Attach,
        Story::Message,
        Story::Expire,
        Story::Pool,
        Story::NeverStarted,
        Story::Lost
    )]
    story: Story,
    #[values(Action::Abort, Action::Error, Action::Delay)] action: Action,
) {
    let mut faults = match action {
        Action::Delay => delays(story),
        Action::Abort | Action::Error => faults(story, action),
    };
    faults.retain(|fault| only().is_none_or(|only| fault.to_string().contains(&only)));
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = catch_unwind(AssertUnwindSafe(|| play(story, Some(fault))));
                    if played.is_err() {
                        broken.lock().unwrap().push(fault.to_string());
                    }
                }
            });
        }
    });
    println!("{story:?}: {} strikes: {action:?}", faults.len());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{story:?}: {broken:#?}");
}

/// Seen red with an effect in the list that nothing passes. What is not passed here, no strike above has tried.
#[test]
fn every_effect_is_passed_by_some_story() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for story in Story::ALL {
        let passed = play(story, None);
        println!("{story:?}: {} {passed:?}", passed.values().sum::<usize>());
        for (point, times) in passed {
            let name = point.rsplit(':').next().unwrap();
            *counts.entry(name.to_owned()).or_default() += times;
        }
    }
    let missing = Effect::ALL
        .iter()
        .map(|effect| effect.name())
        .filter(|name| !counts.contains_key(*name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}

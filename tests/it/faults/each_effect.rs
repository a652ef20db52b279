//! Every effect of the service, at every passage: the process ends there, or the effect fails, or it takes long.

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
const AT_ONCE: usize = 4;

/// The strikes at all that an undisturbed story passes.
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
        let times = if action == Action::Delay { 1 } else { times };
        faults.extend((1..=times).map(|passage| Fault {
            point: point.clone(),
            action,
            passage,
        }));
    }
    faults
}

#[rstest]
fn a_story_ends_well_wherever_it_is_struck(
    #[values(
        Story::Create,
        Story::Prove,
        Story::Merge,
        Story::Abort,
        Story::Message,
        Story::Expire,
        Story::NeverStarted,
        Story::Lost
    )]
    story: Story,
    #[values(Action::Abort, Action::Error, Action::Delay)] action: Action,
) {
    let mut faults = faults(story, action);
    if let Ok(only) = std::env::var("ONLY") {
        faults.retain(|f| f.to_string().contains(&only));
    }
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
    println!("{story:?}: {} × {action:?}", faults.len());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{story:?}: {broken:#?}");
}

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

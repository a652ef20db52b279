//! The life of a run as a model that is searched through: every order of requests, steps of the driver, ends of the agent,
//! commits and crashes. What `decide`, `apply` and the gate answer is the product's own code; the model adds what they
//! speak of (git, the agent, whether the service lives) and bounds how often the world may do something.

use std::collections::HashMap;
use std::time::Instant;

use agent_runner_api::run::{Phase, Status};
use stateright::{Checker, HasDiscoveries, Model, Property};

mod life;
mod world;

use life::{Life, Step};

impl Model for Life {
    type State = world::State;
    type Action = Step;

    fn init_states(&self) -> Vec<world::State> {
        vec![world::State::new()]
    }

    fn actions(&self, state: &world::State, actions: &mut Vec<Step>) {
        actions.extend(Step::ALL.into_iter().filter(|step| step.can_happen(state)));
    }

    fn next_state(&self, state: &world::State, step: Step) -> Option<world::State> {
        step.happen(state, self)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("merged never changes", |_, state: &world::State| {
                !state.was_merged || state.run.status() == Status::Merged
            }),
            Property::always("what is decided can follow", |_, state: &world::State| {
                !state.illegal
            }),
            Property::always(
                "merged only with an open gate at that very head",
                |_, state: &world::State| {
                    state.landed.is_none_or(|(head, _)| state.is_proven(head))
                },
            ),
            Property::always(
                "what landed was checked on its very tree",
                |_, state: &world::State| {
                    state
                        .landed
                        .is_none_or(|(work, onto)| state.is_checked(work, onto))
                },
            ),
            Property::always(
                "what says merged is in the base, and only that",
                |_, state: &world::State| {
                    let merging = matches!(state.run.phase, Phase::Merging { .. });
                    merging || state.landed.is_some() == (state.run.status() == Status::Merged)
                },
            ),
            Property::always(
                "nothing is both merged and aborted",
                |_, state: &world::State| {
                    let aborted = matches!(
                        state.run.phase,
                        Phase::Aborting { .. } | Phase::Aborted { .. }
                    );
                    !(aborted && state.landed.is_some())
                },
            ),
            Property::always(
                "no agent works for a run that is over",
                |_, state: &world::State| {
                    let over = matches!(
                        state.run.phase,
                        Phase::Merged { .. } | Phase::Aborted { .. }
                    );
                    !(over && state.agent_works())
                },
            ),
            Property::sometimes(
                "a run that waited lands on a base that moved",
                |_, state: &world::State| {
                    let landed_on = state.landed.map(|(_, onto)| onto);
                    state.was_merged && landed_on.is_some_and(|onto| onto > 0)
                },
            ),
            Property::sometimes("a run merges", |_, state: &world::State| state.was_merged),
            Property::sometimes(
                "an aborted run comes back and merges",
                |_, state: &world::State| state.was_merged && state.was_aborted,
            ),
            Property::sometimes(
                "it has landed, and the service died before it could say so",
                |_, state: &world::State| {
                    let merging = matches!(state.run.phase, Phase::Merging { .. });
                    merging && state.landed.is_some() && !state.up
                },
            ),
        ]
    }
}

/// Every state that can be reached, with the steps out of it.
fn all_states(life: &Life) -> (Vec<world::State>, Vec<Vec<(Step, usize)>>) {
    let mut number = HashMap::new();
    let mut states = life.init_states();
    number.insert(states[0].clone(), 0);
    let mut edges = Vec::new();
    while edges.len() < states.len() {
        let state = states[edges.len()].clone();
        let mut steps = Vec::new();
        life.actions(&state, &mut steps);
        let mut out = Vec::new();
        for step in steps {
            let Some(next) = life.next_state(&state, step) else {
                continue;
            };
            let at = *number.entry(next).or_insert_with_key(|next| {
                states.push(next.clone());
                states.len() - 1
            });
            out.push((step, at));
        }
        edges.push(out);
    }
    (states, edges)
}

/// From where a state that is wanted can be reached by such steps.
fn reach(
    edges: &[Vec<(Step, usize)>],
    wanted: impl Fn(usize) -> bool,
    by: impl Fn(Step) -> bool,
) -> Vec<bool> {
    let mut into = vec![Vec::new(); edges.len()];
    for (from, out) in edges.iter().enumerate() {
        for (step, to) in out {
            if by(*step) {
                into[*to].push(from);
            }
        }
    }
    let mut reaches: Vec<bool> = (0..edges.len()).map(wanted).collect();
    let mut todo: Vec<usize> = (0..edges.len()).filter(|n| reaches[*n]).collect();
    while let Some(at) = todo.pop() {
        for from in std::mem::take(&mut into[at]) {
            if !reaches[from] {
                reaches[from] = true;
                todo.push(from);
            }
        }
    }
    reaches
}

/// Seen red: with each of [`life::Taken`] taken out, which the last test here does every time.
#[test]
fn what_must_always_hold_holds_in_every_state_of_a_runs_life() {
    let begun = Instant::now();
    let checker = Life::default().checker().spawn_bfs().join();
    checker.assert_properties();
    println!(
        "model: {} states, {} steps, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        begun.elapsed().as_secs_f64()
    );
}

/// Seen red: not tried; each of the two searches asks for states that the model must have, and names one that fails.
#[test]
fn a_run_goes_on_from_everywhere_and_an_abort_that_began_ends() {
    let begun = Instant::now();
    let (states, edges) = all_states(&Life::default());
    let at_rest = |n: usize| {
        matches!(
            states[n].run.phase,
            Phase::AtRest { .. } | Phase::Merged { .. } | Phase::Aborted { .. }
        )
    };
    // Nobody has to ask for anything: the service and the agent get there by themselves, from wherever a crash left it.
    let rests = reach(&edges, at_rest, Step::is_by_itself);
    let merges = reach(&edges, |n| states[n].was_merged, |_| true);
    let aborts = reach(
        &edges,
        |n| matches!(states[n].run.phase, Phase::Aborted { .. }),
        Step::is_by_itself,
    );
    for (n, state) in states.iter().enumerate() {
        assert!(rests[n], "never at rest: {state:?}");
        // Proof may have been turned down as often as the model lets it be brought.
        assert!(merges[n] || state.is_used_up(), "never merges: {state:?}");
        if matches!(state.run.phase, Phase::Aborting { .. }) {
            assert!(aborts[n], "never aborted: {state:?}");
            for (step, next) in &edges[n] {
                let next = &states[*next].run.phase;
                let only = matches!(next, Phase::Aborting { .. } | Phase::Aborted { .. });
                assert!(only, "{step:?} leads away from an abort: {state:?}");
            }
        }
    }
    let all: usize = edges.iter().map(Vec::len).sum();
    println!(
        "model: {} states and {all} steps looked at for progress, {:.1} s",
        states.len(),
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn the_model_sees_each_protection_taken_out() {
    for (taken, found) in life::Taken::ALL {
        let life = Life {
            without: Some(taken),
        };
        let enough = HasDiscoveries::AnyOf([found].into());
        let checker = life.checker().finish_when(enough).spawn_bfs().join();
        assert!(
            checker.discovery(found).is_some(),
            "{taken:?} taken out, and still: {found}"
        );
    }
}

//! Runs from request to end, over the real binary, real git and the scripted agent.

mod abort;
mod checks;
mod contained;
mod definition;
mod diff;
mod endings;
mod evidence;
mod follow_up;
mod gate;
mod gc;
mod happy;
mod leftovers;
mod locked;
mod merge;
mod once;
mod queue;
mod races;
mod redefined;
mod refusals;
mod start;
mod stopping;
mod streams;
mod stub;
mod validation;
mod vanished;
mod workflows;

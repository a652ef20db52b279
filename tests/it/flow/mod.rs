//! Runs from request to end, over the real binary, real git and the scripted agent.

mod abort;
mod happy;
mod leftovers;
mod start;

//! What goes wrong in numbers: kills by the dozen, many merges, many agents, few descriptors. docs/reliability.md has
//! what each test does and its last figures.

pub mod chance;
mod clock;
mod descriptors;
mod each_effect;
mod figures;
mod flat;
mod floor;
mod full_disk;
mod killed_git;
mod merge;
mod model;
mod power;
mod random;
mod readers;
mod removal;
mod restart;
mod silent;
mod start;
mod supervisor;
mod upgrade;

//! Crashes: the server is killed at the worst moments, and nothing is lost, doubled or guessed.

mod candidate;
mod damage;
mod fleet;
mod moments;
mod supervisor;

//! One file a part of a run's life; each goal by its number.

mod ending;
mod landing;
mod output;
mod requests;
mod service;
mod slots;
mod start;
mod streams;
mod supervision;

use crate::goal::Goal;
use crate::ground::Ground;

/// How a goal is measured.
pub type Measure = fn(&Ground) -> anyhow::Result<Goal>;

/// In the order of docs/performance.md.
pub const ALL: [(&str, Measure); 12] = [
    ("G1", start::from_the_pool),
    ("G2", start::without_a_pool),
    ("G3", slots::fresh),
    ("G4", landing::landing),
    ("G5", ending::ending),
    ("G6", start::among_many),
    ("G7", start::from_a_large_server),
    ("G8", supervision::supervision),
    ("G9", output::output),
    ("G10", streams::streams),
    ("G11", requests::requests),
    ("G12", service::service),
];

/// What a build machine measures.
pub const FAST: [&str; 7] = ["G1", "G2", "G4", "G5", "G8", "G11", "G12"];

/// How much further the bounds of a goal are on a build machine: few rounds, neighbours, and nobody who looks. Of a goal that
/// is missed it is what keeps it from becoming worse: three times what docs/performance.md shows.
pub fn slack(id: &str) -> f64 {
    match id {
        "G1" => 15.0,
        "G4" => 25.0,
        "G8" => 60.0,
        "G11" => 50.0,
        _ => 3.0,
    }
}

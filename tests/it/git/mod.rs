//! The only git, the place of a run, and the landing: on real repositories, away from the machine's own
//! configuration.

mod candidates;
mod hostile;
mod inside;
mod landing;
mod litter;
mod notes;
mod places;
mod planted;
mod reading;
mod scene;
mod seed;
mod settling;
mod sparse;
mod torn;

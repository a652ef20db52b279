//! Worktrees that stand ready for runs to come, so that a start does not wait for a checkout.
//!
//! ```text
//!            make                    claim
//! (nothing) ------> half made -> ready ------> the place of a run
//!                       |   \_______/ catch up
//!                       +-> given back (also from ready) -> trash
//! ```
//!
//! A slot is a folder `<root>/.pool/<repository>/<id>` and its git dir in the repository, detached at a commit. git's own
//! file `locked` says what it is, so that one look tells: half made, ready, or neither. Only what is ready is claimed, and
//! it says so until the claim is whole: at the run's own path it then counts as unfinished, and is made anew.
//!
//! What lies on the shelf at a start is taken up again if it is ready, since this boot of the machine, and exactly its
//! commit; and given back else.
//!
//! Deliberately absent: how many there should be, when they are made, and who gets which (the runner).

mod catch_up;
mod claim;
mod give_back;
mod make;
mod recover;
mod shelf;
mod slot;

pub use catch_up::catch_up;
pub use claim::claim;
pub use give_back::give_back;
pub use make::make;
pub use recover::recover;
pub use shelf::{Held, Shelf};
pub use slot::{Slot, Untouched};

//! What happened, in its order: appended with the state it leads to, followed by those who watch.

pub mod append;
mod at_hand;
pub mod carry;
pub mod cursor;
pub mod encode;
pub mod frame;
#[cfg(test)]
mod tests;

pub use append::{Answer, Creation, IdempotencyKey, Journal, NewRun, NotCreated};
pub use carry::NotCarried;
pub use cursor::{Cursor, NotACursor};
pub use frame::{Frame, FrameName, write_frame, write_frame_of};

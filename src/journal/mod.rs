//! What happened, in its order: appended with the state it leads to, followed by those who watch.

pub mod cursor;
pub mod frame;

pub use cursor::{Cursor, NotACursor};
pub use frame::{Frame, FrameName};

//! The database at a size that a history of years has.

mod counts;
mod list;
mod plans;
mod wal;

//! The shapes of the API: what can be asked for, and what is shown. Pure; the store and the doors share them.

mod object;
pub mod request;
pub mod schema;
pub mod view;

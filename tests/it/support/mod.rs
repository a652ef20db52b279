//! What the tests share: the faked model's API, real programs, and how to wait.

pub mod claude_program;
pub mod mock_api;

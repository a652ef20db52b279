//! What the tests share: the faked model's API, the scripted agent, real programs, and how to wait.

pub mod checked;
pub mod claude_program;
pub mod client;
pub mod fake_agent;
pub mod frames;
pub mod held;
pub mod mock_api;
pub mod mount;
pub mod own_run;
pub mod repo;
pub mod run;
pub mod server;
pub mod user_systemd;
pub mod wait;
pub mod yours;

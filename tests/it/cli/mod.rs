//! The door for people: the program itself, against a small server that answers what a test tells it to.

mod backup;
mod backup_killed;
mod checks;
mod commands;
mod demo;
mod doctor;
mod fake_server;
mod following;
mod help;
mod merging;
mod output;
mod problems;
mod program;
mod settings;
mod systemd;
pub mod verify;

//! Lists of checks over a real repository, with real supervisors, commands and networks.

mod background;
mod checkout;
mod ends;
mod environment;
mod life;
mod network;
mod red_green;
mod stage;

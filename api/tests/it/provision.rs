//! Databases on real servers, always with an admin account that has no more than `grants::needed`.

mod errors;
mod fence;
mod fixture;
mod foreign;
mod fresh;
mod hostile;
mod migration;
mod repair;
mod rotation;
mod subcommand;
mod training;
mod writes;

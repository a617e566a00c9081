//! Databases on real servers, always with an admin account that has no more than `grants::needed`.

mod fence;
mod fresh;
mod hostile;
mod migration;
mod others;
mod refused;
mod repair;
mod rotation;
mod scene;
mod subcommand;
mod training;
mod writes;

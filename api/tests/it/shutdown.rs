//! The end of the process: a rollout loses no answer, and the process always ends in time.

mod handover;
mod signals;
mod steady_clients;

//! Rows that others insert with plain SQL show in the answers of every process, without any call to the API.

mod commits;
mod faults;
mod fixture;
mod lag;
mod mapped;

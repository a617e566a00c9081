//! Rows that other programs insert with plain SQL appear in the answers of every process, without a call to the API.

mod commits;
mod faults;
mod fixture;
mod lag;
mod mapped;

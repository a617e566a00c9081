//! Requests that mean harm, clients that come to stay, and a server that is not the one it should be.

mod connections;
mod requests;
mod server;

//! Hostile requests, clients that keep connections open, and an impostor of the database server.

mod connections;
mod requests;
mod server;

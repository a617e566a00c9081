//! Ends of the process: nobody loses an answer to a rollout, and nothing keeps it from ending in time.

mod handover;
mod signals;
mod steady_clients;

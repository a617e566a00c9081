//! Requests that mean harm, and clients that come to stay.

mod crowd;
mod requests;

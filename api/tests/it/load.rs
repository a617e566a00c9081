//! Many requests at once: few statements, never more connections than promised, and no wrong answer.

mod cold;
mod many_clients;

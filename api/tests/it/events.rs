//! `POST /events` and `DELETE /users/{user_id}`: events are stored once, are in the next answer, and users are erased.

mod at_once;
mod chaos;
mod erasure;
mod fixture;
mod interrupted;
mod privileges;
mod rejected;
mod stored;

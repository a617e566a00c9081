//! `POST /events` and `DELETE /users/{user_id}`: what is stored once, what is in the next answer, and what is erased.

mod at_once;
mod chaos;
mod erasure;
mod fixture;
mod interrupted;
mod privileges;
mod rejected;
mod stored;

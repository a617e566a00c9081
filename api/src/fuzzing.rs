//! Private items for the fuzz targets (`fuzz/`) and the instruction counts (`counts/`): not a stable interface.

pub use crate::cache::shared::entry::{DecodeError, TOKEN_LENGTH, decode, encode};
pub use crate::http::parameters::{IdType, PathUser, QueryUsers};
pub use crate::http::server::{Client, Handler, http1};
pub use crate::http::{rejection::Rejection, route::Route};
pub use crate::import::columns::{Alphabet, Column, Ids, Length, TableLimits, Text, Times};
pub use crate::import::rows::{Error, Problem, Row, Rows};
pub use crate::import::time::Time;
pub use crate::rate_limit::client_ip::client_ip;
pub use crate::store::mysql::rows::add_row;
pub use reckon_contract::tables::Table;

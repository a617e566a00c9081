//! The original's unchanged tables on MariaDB and MySQL, with only the original's variables.

mod first_answer;
mod golden_vectors;
mod mapped;
mod odd_rows;
mod ties;
mod variables;

use crate::golden::Vector;
use crate::harness::original_tables::{History, insert};
use crate::harness::sql_server::{RECKON, SqlServer};
use reckon_api::store::mysql::{Address, Tls};

/// The address of a database of `server`, for the store in this process.
pub fn address(server: &SqlServer, database: &str) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        user: RECKON.name.to_owned(),
        password: RECKON.password.into(),
        database: database.to_owned(),
        tls: Tls::Preferred,
        tls_ca: None,
    }
}

/// Gives user 1000 + i the rows of the i-th vector.
pub async fn insert_vectors(server: &SqlServer, database: &str, vectors: &[Vector]) {
    let history = |(user, vector): (i64, &Vector)| {
        let searches: Vec<_> = vector.searches.iter().map(Option::as_deref).collect();
        let purchases: Vec<_> = vector.purchases.iter().map(Option::as_deref).collect();
        History::newest_first(user, &searches, &purchases)
    };
    let histories: Vec<_> = (1000..).zip(vectors).map(history).collect();
    insert(server, database, &histories).await;
}

//! What a new session costs before its first answer.

use super::address;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::OriginalTables;
use crate::harness::sql_server::Flavour;
use reckon_api::model::UserId;
use reckon_api::store::mysql::{MySql, Tls};
use reckon_api::store::{Connection as _, Store as _};
use reckon_contract::tables::Tables;
use std::time::{Duration, Instant};

/// Linux delays an acknowledgement by this time if there are no data to send with it.
const DELAYED_ACKNOWLEDGEMENT: Duration = Duration::from_millis(40);

async fn a_new_session_answers_without_waiting_for_an_acknowledgement(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let mut address = address(&server, "reckon");
    address.tls = Tls::Disabled;
    let store = MySql::new(&address, Duration::from_secs(10), &Tables::default());
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let mut connection = store.connect().await.unwrap();
        connection
            .histories(&[UserId::Integer(7)], 100)
            .await
            .unwrap();
        times.push(began.elapsed());
        connection.close().await;
    }
    println!("{flavour:?}: {times:.1?}");
    // A busy machine delays some of the sessions; a fault of the protocol would delay all.
    let fastest = times.iter().min().unwrap();
    assert!(*fastest < DELAYED_ACKNOWLEDGEMENT, "{times:?}");
}

on_each_flavour!(a_new_session_answers_without_waiting_for_an_acknowledgement);

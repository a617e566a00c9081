//! A connection is lost after COMMIT was sent, before its answer arrives.

use super::{Target, error_line, purchases, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROWS: usize = 30_000;

/// Forwards bytes between one client at a time and a server, until the `lost`th COMMIT. Its answer is read but not
/// forwarded, and the connection is closed.
async fn pass_until(lost: usize, listener: TcpListener, port: u16) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut commits = 0;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(length @ 1..) = read else { break };
                    server.write_all(&asked[..length]).await.unwrap();
                    commits += usize::from(asked[..length].ends_with(b"\x03COMMIT"));
                    if commits == lost {
                        let kept = server.read(&mut answered).await.unwrap();
                        assert!(kept > 0, "no answer");
                        return;
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(length @ 1..) = read else { break };
                    client.write_all(&answered[..length]).await.unwrap();
                }
            }
        }
    }
}

async fn is_reported_as_unknown(flavour: Flavour, table: &str, lost: usize, said_of_it: &[&str]) {
    let server = flavour.start().await;
    server
        .execute(format!(
            "USE reckon; CREATE TABLE purchase (id BIGINT, purchased_at DATETIME, product_category VARCHAR(60), product_name VARCHAR(60){table})"
        ))
        .await;
    let directory = scratch();
    let file = purchases(&directory, ROWS, "1,2025-03-01 00:00:00,books,a");
    let arguments = ["--purchases", file.as_str()];
    let target = Target::Server(&server, "reckon");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(pass_until(lost, listener, server.port()));
    let mut import = target
        .import(&arguments)
        .env("DB_PORT", port.to_string())
        .env("DB_TLS", "disabled")
        .spawn();
    let exit = import.process.exit(super::SOON).await;
    proxy.await.unwrap();
    let said = import.process.logs().join("\n");
    println!("{flavour:?}: {}", error_line(&said));
    assert!(!exit.status.success(), "{said}");
    for words in said_of_it {
        assert!(said.contains(words), "no {words:?}: {said}");
    }
    assert!(
        said.contains("; rerun the same command to resume, which finds out"),
        "{said}"
    );
    // The transaction was committed, and is not written again.
    let committed = if table.is_empty() {
        10_000 * lost
    } else {
        ROWS
    };
    assert_eq!(target.count("purchase").await, committed);
    target.succeed(&arguments).await;
    assert_eq!(target.count("purchase").await, ROWS);
}

async fn of_a_chunk_is_reported_as_unknown(flavour: Flavour) {
    let words = [
        "error: failed to commit rows 10,001 to 20,000 of purchase: whether these are in is unknown: ",
        "; purchase: 10,000 of 30,000 rows are in; ",
    ];
    is_reported_as_unknown(flavour, "", 2, &words).await;
}

async fn of_all_rows_is_reported_as_unknown(flavour: Flavour) {
    let words = [
        "error: failed to commit rows 1 to 30,000 of purchase: whether these are in is unknown: ",
        "; purchase: 0 of 30,000 rows are in; ",
    ];
    let unique = ", UNIQUE KEY one (product_name)";
    is_reported_as_unknown(flavour, unique, 1, &words).await;
}

on_each_flavour!(
    of_a_chunk_is_reported_as_unknown,
    of_all_rows_is_reported_as_unknown
);

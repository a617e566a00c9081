//! Encrypted connections to MariaDB and MySQL, with certificates made for the test.

mod authority;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::sql_server::{Flavour, SqlServer};
use authority::Authority;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// A server with a certificate of `authority` for the name `localhost`, and the tables with a user 7.
async fn encrypted(flavour: Flavour, authority: &Authority) -> SqlServer {
    // The paths are relative to the server's data directory.
    let mut server = flavour.reserve(&[
        "--ssl-ca=../ca.pem",
        "--ssl-cert=../server.pem",
        "--ssl-key=../server.key",
    ]);
    authority.issue(server.directory(), "DNS:localhost");
    server.start().await;
    with_tables(server).await
}

async fn with_tables(server: SqlServer) -> SqlServer {
    OriginalTables::default().create(&server, "reckon").await;
    let user = History::newest_first(7, &["books", "books"], &[]);
    insert(&server, "reckon", &[user]).await;
    server
}

fn command(server: &SqlServer, host: &str, mode: &str) -> ApiCommand {
    ApiCommand::new()
        .envs(server.environment("reckon"))
        .env("DB_HOST", host)
        .env("DB_TLS", mode)
}

async fn assert_answers(case: &str, command: ApiCommand) {
    let api = command.spawn();
    api.ready().await;
    let health = api.client().get("/health").await;
    assert_eq!(health.status, 200, "{case}: {}", health.body);
    let answer = api.client().get("/recommend/7").await;
    assert_eq!(answer.status, 200, "{case}: {}", answer.body);
    assert_eq!(
        answer.json()["recommendations"]["recommended_categories"][0],
        "books"
    );
    println!("{case}: answers");
}

/// Waits until `/health` says why the database cannot be asked, and the log what is wrong.
async fn assert_connection_fails(case: &str, command: ApiCommand, expected: &str, words: &str) {
    let api = command.spawn();
    api.live().await;
    let reason = eventually(SOON, async || reason(&api).await).await;
    assert_eq!(reason, expected, "{case}: {:#?}", api.process.logs());
    let line = eventually(SOON, async || {
        let logs = api.process.logs();
        logs.into_iter()
            .find(|line| line.contains("store unavailable"))
    })
    .await;
    println!("{case}: {line}");
    assert!(
        line.contains(&format!(r#""reason":"{expected}""#)),
        "{case}: {line}"
    );
    assert!(line.contains(words), "{case}: no {words:?}: {line}");
    let answer = api.client().get("/recommend/7").await;
    assert_eq!(answer.status, 503, "{case}: {}", answer.body);
}

async fn reason(api: &ApiProcess) -> Option<String> {
    let health = api.client().get("/health").await.json();
    assert_ne!(health["database"], "connected");
    let reason = health["database_error"].as_str()?.to_owned();
    (reason != "not connected yet").then_some(reason)
}

async fn each_mode_is_obeyed_with_a_server_that_has_a_certificate(flavour: Flavour) {
    let (ours, another) = (Authority::new(), Authority::new());
    let server = encrypted(flavour, &ours).await;
    let to = |host, mode| command(&server, host, mode);
    assert_answers("disabled", to("localhost", "disabled")).await;

    // All later connections are encrypted.
    server
        .execute("SET GLOBAL require_secure_transport = ON")
        .await;
    for mode in ["preferred", "required"] {
        assert_answers(mode, to("localhost", mode)).await;
    }
    let disabled = to("localhost", "disabled");
    match flavour {
        // It says no more than that.
        Flavour::MariaDb => {
            assert_connection_fails("disabled", disabled, "access denied", "1045").await;
        }
        Flavour::MySql9 => {
            assert_connection_fails("disabled", disabled, "tls", "insecure transport").await;
        }
    }

    let verified = |host, authority: &Authority| {
        to(host, "verify-full").env("DB_TLS_CA", authority.certificate())
    };
    assert_answers("by name", verified("localhost", &ours)).await;
    let by_authority = |authority: &Authority| {
        to("127.0.0.1", "verify-ca").env("DB_TLS_CA", authority.certificate())
    };
    assert_answers("by authority", by_authority(&ours)).await;
    assert_connection_fails(
        "another authority, whatever its name",
        by_authority(&another),
        "tls",
        "UnknownIssuer",
    )
    .await;
    assert_connection_fails(
        "another authority",
        verified("localhost", &another),
        "tls",
        "UnknownIssuer",
    )
    .await;
    assert_connection_fails(
        "the system's authorities",
        to("localhost", "verify-full"),
        "tls",
        "UnknownIssuer",
    )
    .await;
    assert_connection_fails(
        "another name",
        verified("127.0.0.1", &ours),
        "tls",
        "certificate not valid for name",
    )
    .await;

    ours.issue(server.directory(), "IP:127.0.0.1");
    server
        .execute(match flavour {
            Flavour::MariaDb => "FLUSH SSL",
            Flavour::MySql9 => "ALTER INSTANCE RELOAD TLS",
        })
        .await;
    assert_answers("by address", verified("127.0.0.1", &ours)).await;
}

async fn a_server_without_tls_is_rejected_if_tls_is_required(flavour: Flavour) {
    let server = flavour
        .start_with(match flavour {
            Flavour::MariaDb => &["--skip-ssl"],
            Flavour::MySql9 => &["--tls-version="],
        })
        .await;
    let server = with_tables(server).await;
    let authority = Authority::new();
    for mode in ["disabled", "preferred"] {
        assert_answers(mode, command(&server, "127.0.0.1", mode)).await;
    }
    for mode in ["required", "verify-ca", "verify-full"] {
        let refused = command(&server, "127.0.0.1", mode).env("DB_TLS_CA", authority.certificate());
        assert_connection_fails(mode, refused, "tls", "server does not support TLS").await;
    }
}

async fn any_password_works_with_and_without_encryption(flavour: Flavour) {
    let authority = Authority::new();
    let server = encrypted(flavour, &authority).await;
    for (n, password) in [
        r#"p@ss:w/o?r#d&%20'"\`$ {x} =;"#,
        "pässwörd 密码 🔑",
        "",
        " ",
        // Without encryption, MySQL accepts only a password that fits into one block of its RSA key.
        &"long".repeat(50),
    ]
    .into_iter()
    .enumerate()
    {
        let quoted = password.replace('\\', r"\\").replace('\'', r"\'");
        server
            .execute(format!(
                "CREATE USER odd{n}@'%' IDENTIFIED BY '{quoted}'; GRANT SELECT ON reckon.* TO odd{n}@'%'"
            ))
            .await;
        for mode in ["disabled", "required"] {
            let odd = command(&server, "localhost", mode)
                .env("DB_USER", format!("odd{n}"))
                .env("DB_PASSWORD", password);
            assert_answers(&format!("{password:?} {mode}"), odd).await;
        }
    }
}

on_each_flavour!(
    each_mode_is_obeyed_with_a_server_that_has_a_certificate,
    a_server_without_tls_is_rejected_if_tls_is_required,
    any_password_works_with_and_without_encryption,
);

#[tokio::test]
async fn an_invalid_ca_file_fails_the_start_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage.pem");
    fs::write(&garbage, "no certificate\n").unwrap();
    let broken = directory.path().join("broken.pem");
    fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let missing = directory.path().join("missing.pem");
    for (path, words) in [
        (missing.as_path(), "No such file or directory"),
        (directory.path(), "Is a directory"),
        (&garbage, "no certificate in it"),
        (&broken, "not a certificate"),
    ] {
        for arguments in [&[][..], &["migrate"], &["demo"]] {
            assert_ends(path, arguments, words).await;
        }
    }
}

async fn assert_ends(path: &Path, arguments: &[&str], words: &str) {
    let mut api = ApiCommand::new()
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", "1")
        .env("DB_TLS", "verify-full")
        .env("DB_TLS_CA", path)
        .args(arguments)
        .spawn();
    let exit = api.process.exit(SOON).await;
    assert_eq!(exit.status.code(), Some(1));
    let logs = api.process.logs();
    println!("{logs:?}");
    let [line] = logs.as_slice() else {
        panic!("{logs:#?}");
    };
    assert!(line.starts_with("error: "), "{line}");
    assert!(line.contains("DB_TLS_CA"), "{line}");
    assert!(line.contains(&path.display().to_string()), "{line}");
    assert!(line.contains(words), "{line}");
}

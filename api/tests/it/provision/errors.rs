//! Errors name the solution, and contain no password.

use super::fixture::{
    ADMIN_PASSWORD, DATABASE, PASSWORD, allow, fixture, provision, secret, server, wanted,
};
use crate::harness::authority::Authority;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::port::Port;
use crate::harness::sql_server::Flavour;
use crate::harness::tcp_proxy::{Mode, TcpProxy};
use reckon_api::provision::error::{Error, Unreachable};
use reckon_api::provision::{CONNECT_TIMEOUT, STATEMENT_TIMEOUT, ensure};
use reckon_api::store::mysql::{Address, Tls};
use reckon_contract::provisioning::Reason;
use secrecy::ExposeSecret as _;
use sqlx::Executor;
use std::time::{Duration, Instant};

/// The error, after it was looked at for passwords.
async fn connect_error(server: &Address) -> Error {
    let error = ensure(server, &wanted()).await.unwrap_err();
    println!("{}: {error}", error.reason());
    for text in [error.to_string(), format!("{error:?} {server:?}")] {
        for password in [ADMIN_PASSWORD, PASSWORD, server.password.expose_secret()] {
            assert!(!text.contains(password), "{text}");
        }
    }
    error
}

async fn a_wrong_password_is_access_denied(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    let wrong = Address {
        password: secret("wrong-password"),
        ..server.clone()
    };
    let nobody = Address {
        user: "nobody".to_owned(),
        ..server
    };
    for (server, name) in [(wrong, "provisioner"), (nobody, "nobody")] {
        let error = connect_error(&server).await;
        let Error::AccessDenied { user, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(user, name);
    }
}

async fn an_account_without_privileges_is_reported_with_the_missing_ones(flavour: Flavour) {
    let db = flavour.start().await;
    let create = format!("CREATE USER provisioner@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'");
    db.execute(create).await;
    let on = "ON `shop\\_a`.* TO provisioner@'%'";
    for (grant, expected) in [
        ("DO 0".to_owned(), "SELECT on `shop_a`.*"),
        (format!("GRANT SELECT {on}"), "CREATE on `shop_a`.*"),
        (format!("GRANT CREATE {on}"), "INSERT on `shop_a`.*"),
        (format!("GRANT INSERT, UPDATE {on}"), "CREATE USER on *.*"),
        (
            "GRANT CREATE USER ON *.* TO provisioner@'%'".to_owned(),
            "SELECT with GRANT OPTION on `shop_a`.*",
        ),
    ] {
        db.execute(grant.clone()).await;
        let error = connect_error(&server(&db)).await;
        let Error::InsufficientPrivilege {
            user,
            missing,
            needed,
            ..
        } = &error
        else {
            panic!("{grant}: {error}");
        };
        assert_eq!((user.as_str(), missing.as_str()), ("provisioner", expected));
        assert_eq!(needed.len(), 2);
    }
    // It continues as soon as the privileges in the message are granted.
    allow(&db, DATABASE).await;
    provision(&server(&db), &wanted()).await;
    provision(&server(&db), &wanted()).await;
}

async fn a_certificate_of_another_authority_is_rejected(flavour: Flavour) {
    let (ours, another) = (Authority::new(), Authority::new());
    let mut db = flavour.reserve(&[
        "--ssl-ca=../ca.pem",
        "--ssl-cert=../server.pem",
        "--ssl-key=../server.key",
    ]);
    ours.issue(db.directory(), "DNS:localhost");
    db.start().await;
    allow(&db, DATABASE).await;
    db.execute("SET GLOBAL require_secure_transport = ON").await;
    let verified = |host: &str, authority: Option<&Authority>| Address {
        host: host.to_owned(),
        tls: Tls::VerifyFull,
        tls_ca: authority.map(Authority::certificate),
        ..server(&db)
    };
    for (server, words) in [
        (verified("localhost", Some(&another)), "UnknownIssuer"),
        (verified("localhost", None), "UnknownIssuer"),
        (verified("127.0.0.1", Some(&ours)), "not valid for name"),
    ] {
        let error = connect_error(&server).await;
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    provision(&verified("localhost", Some(&ours)), &wanted()).await;
}

async fn a_server_without_tls_is_rejected_if_tls_is_required(flavour: Flavour) {
    let db = flavour
        .start_with(match flavour {
            Flavour::MariaDb => &["--skip-ssl"],
            Flavour::MySql9 => &["--tls-version="],
        })
        .await;
    allow(&db, DATABASE).await;
    let required = Address {
        tls: Tls::Required,
        ..server(&db)
    };
    let error = connect_error(&required).await;
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
    provision(&server(&db), &wanted()).await;
}

async fn a_server_that_stops_answering_is_reported_within_the_time_limit(flavour: Flavour) {
    let (db, _) = fixture(flavour).await;
    let proxy = TcpProxy::to(db.port()).await;
    let through = Address {
        port: proxy.port(),
        ..server(&db)
    };
    provision(&through, &wanted()).await;

    proxy.set_mode(Mode::Silent);
    let began = Instant::now();
    let error = connect_error(&through).await;
    let took = began.elapsed();
    assert_eq!(
        why(&error),
        &Unreachable::TimedOut(CONNECT_TIMEOUT.as_secs())
    );
    assert!(took < CONNECT_TIMEOUT + Duration::from_secs(2), "{took:?}");

    // In the middle: somebody keeps the row to himself, and the server gives up before we do.
    proxy.set_mode(Mode::Late(Duration::ZERO));
    let mut holder = db.admin().await;
    holder
        .execute("LOCK TABLES shop_a.reckon_owner WRITE")
        .await
        .unwrap();
    let began = Instant::now();
    let error = connect_error(&through).await;
    let took = began.elapsed();
    assert_eq!(error.reason(), Reason::ProvisioningFailed);
    assert!(took < STATEMENT_TIMEOUT, "{took:?}");
}

on_each_flavour!(
    a_wrong_password_is_access_denied,
    an_account_without_privileges_is_reported_with_the_missing_ones,
    a_certificate_of_another_authority_is_rejected,
    a_server_without_tls_is_rejected_if_tls_is_required,
    a_server_that_stops_answering_is_reported_within_the_time_limit,
);

fn why(error: &Error) -> &Unreachable {
    let Error::Unreachable { why, .. } = error else {
        panic!("{error}");
    };
    why
}

fn nowhere(host: &str, port: u16) -> Address {
    Address {
        host: host.to_owned(),
        port,
        user: "provisioner".to_owned(),
        password: secret(ADMIN_PASSWORD),
        tls: Tls::Preferred,
        database: DATABASE.to_owned(),
        tls_ca: None,
    }
}

#[tokio::test]
async fn a_closed_port_is_reported() {
    let port = Port::take();
    let error = connect_error(&nowhere("127.0.0.1", port.number())).await;
    assert_eq!(why(&error), &Unreachable::Refused);
}

#[tokio::test]
async fn a_name_without_an_address_is_reported() {
    let error = connect_error(&nowhere("database.invalid", 3306)).await;
    assert!(matches!(why(&error), Unreachable::Name(_)), "{error}");
}

#[tokio::test]
async fn an_invalid_ca_file_is_reported() {
    let db = Flavour::MariaDb.start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "no certificate").unwrap();
    let garbage = Address {
        tls: Tls::VerifyFull,
        tls_ca: Some(file.path().to_owned()),
        ..server(&db)
    };
    let error = connect_error(&garbage).await;
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
}

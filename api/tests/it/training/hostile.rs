//! An impostor answers at the database's address: the training ends, and the password is not sent.

use super::end;
use crate::harness::api_process::ApiCommand;
use crate::harness::authority::Authority;
use crate::harness::hostile_server::{HostileServer, Hostility};
use crate::harness::port::Port;

const PASSWORD: &str = "the-password-of-the-trainer";

fn train(port: u16) -> ApiCommand {
    ApiCommand::new()
        .args(["train", "--statement-timeout", "1s"])
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string())
        .env("DB_USER", "trainer")
        .env("DB_PASSWORD", PASSWORD)
}

#[tokio::test]
async fn every_kind_of_hostile_server_ends_a_training_and_gets_no_password() {
    for hostility in Hostility::ALL {
        let port = Port::take();
        let hostile = HostileServer::start(port.number(), hostility);
        let ran = end(train(port.number()).spawn()).await;
        let is_taken = hostile.has_received(PASSWORD);
        println!("{hostility:?}: {}, password taken: {is_taken}", ran.error());
        assert!(
            ran.error()
                .starts_with("failed to connect to the database: "),
            "{hostility:?}: {ran:#?}"
        );
        // `preferred` does not protect from an RSA key or a certificate of an impostor.
        let may_be_taken = matches!(hostility, Hostility::OwnKey | Hostility::OwnCertificate);
        assert_eq!(is_taken, may_be_taken, "{hostility:?}");
    }
}

#[tokio::test]
async fn an_unverified_server_gets_neither_name_nor_password() {
    let trusted = Authority::new();
    for hostility in Hostility::ALL {
        let port = Port::take();
        let hostile = HostileServer::start(port.number(), hostility);
        let training = train(port.number())
            .env("DB_TLS", "verify-full")
            .env("DB_TLS_CA", trusted.certificate());
        end(training.spawn()).await.error();
        for word in ["trainer", PASSWORD] {
            assert!(!hostile.has_received(word), "{hostility:?}: {word}");
        }
    }
}

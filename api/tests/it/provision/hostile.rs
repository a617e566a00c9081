//! Hostile servers: a report is written in time, and contains no password.

use super::fixture::{ADMIN_PASSWORD, PASSWORD, secret};
use super::subcommand::{Provision, Ran, failure};
use crate::harness::authority::Authority;
use crate::harness::hostile_server::{HostileServer, Hostility};
use crate::harness::port::Port;
use reckon_api::store::mysql::{Address, Tls};
use reckon_contract::provisioning::{Reason, Step};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const STEPS: [Step; 4] = [
    Step::Ensure {
        max_user_connections: NonZeroU32::MIN,
        writes: None,
    },
    Step::SetFence {
        max_user_connections: NonZeroU32::MIN,
    },
    Step::AddPassword,
    Step::DiscardPassword,
];

/// Time limit: at most 5 s for a connection, 10 s for a statement, and the delay of a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn at(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
        user: "provisioner".to_owned(),
        password: secret(ADMIN_PASSWORD),
        tls: Tls::Preferred,
        database: "shop_a".to_owned(),
        tls_ca: None,
    }
}

#[tokio::test]
async fn every_kind_of_hostile_server_is_reported_within_the_time_limit() {
    for (n, hostility) in Hostility::ALL.into_iter().enumerate() {
        let port = Port::take();
        let hostile = HostileServer::start(port.number(), hostility);
        let step = STEPS[n % STEPS.len()].clone();
        let ran = Provision::step(&at(port.number()), step).run().await;
        let took = ran.took;
        let (reason, message) = failure(ran);
        let is_taken = hostile.has_received(ADMIN_PASSWORD);
        println!("{hostility:?}: {took:?}, {reason}: {message}, password taken: {is_taken}");
        assert!(took < SOON, "{hostility:?}: {took:?}");
        let expected: &[Reason] = match hostility {
            Hostility::ClearPassword => &[Reason::CertificateRefused],
            Hostility::Tarpit | Hostility::Reset => &[Reason::Unreachable],
            Hostility::OwnKey | Hostility::OwnCertificate => {
                &[Reason::Unreachable, Reason::ProvisioningFailed]
            }
            _ => &[Reason::ProvisioningFailed],
        };
        assert!(
            expected.contains(&reason),
            "{hostility:?}: {reason}: {message}"
        );
        // `preferred` does not protect from an RSA key or a certificate of an impostor.
        let may_be_taken = matches!(hostility, Hostility::OwnKey | Hostility::OwnCertificate);
        assert_eq!(is_taken, may_be_taken, "{hostility:?}");
    }
}

#[tokio::test]
async fn an_unverified_server_gets_no_password() {
    let trusted = Authority::new();
    let certificate = trusted.certificate();
    for (n, hostility) in Hostility::ALL.into_iter().enumerate() {
        let port = Port::take();
        let hostile = HostileServer::start(port.number(), hostility);
        let provision = Provision::step(&at(port.number()), STEPS[n % STEPS.len()].clone())
            .env("DB_TLS", "verify-full")
            .env("DB_TLS_CA", certificate.to_str().unwrap());
        failure(provision.run().await);
        assert_eq!(hostile.connections(), 1, "{hostility:?}");
        for word in ["provisioner", ADMIN_PASSWORD] {
            assert!(!hostile.has_received(word), "{hostility:?}: {word}");
        }
    }
}

/// The greeting of a server without TLS.
const GREETING: &[u8] = b"\n5.5.5-10.4.7-MariaDB\0\x0b\0\0\0t6L\\j\"dS\0\xfe\xf7\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\x07\0\0\0U14Oph9\"<H5n\0mysql_native_password\0";

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// Refuses the login, or the first statement that is not the driver's own, with these words.
async fn reject(listener: TcpListener, number: u16, words: &[u8], lets_in: bool) {
    let (mut client, _) = listener.accept().await.unwrap();
    client.write_all(&packet(0, GREETING)).await.unwrap();
    assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
    let mut sequence = 2;
    if lets_in {
        for _ in 0..2 {
            let ok = packet(sequence, &[0, 0, 0, 2, 0, 0, 0]);
            client.write_all(&ok).await.unwrap();
            assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
            sequence = 1;
        }
    }
    let error = [b"\xff", &number.to_le_bytes()[..], b"#HY000", words].concat();
    client.write_all(&packet(sequence, &error)).await.unwrap();
    // Until the client disconnects.
    while client.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
}

async fn rejected(step: Step, number: u16, words: &[u8], lets_in: bool) -> Ran {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = at(listener.local_addr().unwrap().port());
    let (ran, ()) = tokio::join!(
        // This searches for passwords in the report and in the output.
        Provision::step(&server, step).run(),
        reject(listener, number, words, lets_in)
    );
    ran
}

#[tokio::test]
async fn passwords_that_a_server_repeats_in_its_messages_are_hidden() {
    let words = format!("{ADMIN_PASSWORD} and {PASSWORD}, and admin-pass\u{7}word: 'x'");
    for (lets_in, number, reason) in [
        (false, 1045, Reason::AccessDenied),
        (false, 9999, Reason::ProvisioningFailed),
        (true, 1227, Reason::InsufficientPrivilege),
        (true, 1040, Reason::TooManyConnections),
        (true, 1064, Reason::ProvisioningFailed),
    ] {
        let ran = rejected(STEPS[0].clone(), number, words.as_bytes(), lets_in).await;
        let (found, message) = failure(ran);
        assert_eq!(found, reason, "{message}");
        let expected = "(hidden) and (hidden), and admin-pass word: 'x'";
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn endless_messages_and_control_characters_are_still_reported() {
    let long = "\"\\\u{1b}[31m語".repeat(4000);
    let not_utf8 = vec![0xff; 20_000];
    for words in [long.as_bytes(), &not_utf8, b""] {
        for lets_in in [false, true] {
            let (_, message) = failure(rejected(STEPS[1].clone(), 9999, words, lets_in).await);
            assert!(message.starts_with("failed to "), "{message}");
            assert!(!message.chars().any(char::is_control), "{message}");
        }
    }
}

//! Our own objects are repaired; passwords of all kinds.

use super::fixture::{connect, fixture, provision, run, secret, wanted};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;
use reckon_api::provision::Wanted;
use reckon_contract::provisioning::{Change, generate_password};

async fn changes_by_others_are_repaired(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let user = wanted().owner.user_name();
    for (harm, changes) in [
        (
            format!("ALTER USER {user}@'%' IDENTIFIED BY 'another'"),
            &[Change::PasswordSet][..],
        ),
        (
            format!("ALTER USER {user}@'%' WITH MAX_USER_CONNECTIONS 99"),
            &[Change::FenceSet],
        ),
        (
            format!("REVOKE SELECT ON `shop\\_a`.* FROM {user}@'%'"),
            &[Change::ReadGranted],
        ),
        (
            format!("DROP USER {user}@'%'"),
            &[Change::UserMade, Change::ReadGranted],
        ),
    ] {
        db.execute(harm.clone()).await;
        assert_eq!(
            provision(&server, &wanted()).await.changes,
            changes,
            "{harm}"
        );
        assert_eq!(provision(&server, &wanted()).await.changes, [], "{harm}");
        let read = run(&server, &wanted(), "SELECT * FROM shop_a.reckon_owner").await;
        assert_eq!(read, Ok(()), "{harm}");
    }
}

async fn any_password_works(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    db.execute("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'")
        .await;
    let generated = generate_password(std::array::from_fn(|n| u8::try_from(n * 7).unwrap()));
    for password in [
        generated.as_str(),
        r#"p@ss:w/o?r#d&%20'"\`$ {x} =;-- "#,
        r"\",
        r"\'; DROP USER provisioner; -- ",
        "pässwörd 密码 🔑",
    ] {
        let wanted = Wanted {
            password: secret(password),
            ..wanted()
        };
        provision(&server, &wanted).await;
        assert!(connect(&server, &wanted, password).await.is_ok());
        assert_eq!(provision(&server, &wanted).await.changes, [], "{password}");
    }
}

on_each_flavour!(changes_by_others_are_repaired, any_password_works,);

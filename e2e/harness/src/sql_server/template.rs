//! A server's directory with Reckon's users in its data, created once and copied for each server.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::flavour::{Flavour, Installation};
use super::{RECKON, ROOT, User};
use crate::installed::{is_root, program};
use crate::watchdog::Scratch;

/// A new directory for one server: its data, its temporary files, its socket.
pub fn copy(installation: &Installation) -> Scratch {
    let template = ready(installation);
    let directory = Scratch::new(&installation.scratch, "reckon-sql-");
    run(Command::new("cp")
        .args(["--archive", "--reflink=auto"])
        .arg(template.join("."))
        .arg(directory.path()));
    directory
}

/// The template, created now if it is missing or has other users; one process creates it, the others wait.
fn ready(installation: &Installation) -> &Path {
    let template = installation.template.as_path();
    let home = template.parent().unwrap();
    fs::create_dir_all(home).unwrap();
    let lock = File::create(home.join("reckon-template.lock")).unwrap();
    lock.lock().unwrap();
    // Written last, so an incomplete template is never used.
    let made_with = home.join("reckon-template.sql");
    if fs::read_to_string(&made_with).is_ok_and(|sql| sql == users()) {
        return template;
    }
    let _ = fs::remove_file(&made_with);
    let _ = fs::remove_dir_all(template);
    fs::create_dir_all(template.join("data")).unwrap();
    match installation.flavour {
        Flavour::MariaDb => install_mariadb(installation),
        Flavour::MySql9 => install_mysql9(installation),
    }
    fs::write(made_with, users()).unwrap();
    template
}

fn install_mariadb(installation: &Installation) {
    let template = &installation.template;
    let mut install = Command::new(program("mariadb-install-db", "mariadb-server"));
    install
        .arg("--no-defaults")
        .args(installation.places(template))
        .args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]);
    if is_root() {
        install.arg("--user=root");
    }
    run(&mut install);

    let mut bootstrap = installation.command(template);
    bootstrap.arg("--bootstrap").stdin(Stdio::piped());
    let mut child = silent(&mut bootstrap).spawn().unwrap();
    // A bootstrap has no accounts until it reads the grant tables.
    let sql = format!("FLUSH PRIVILEGES;\n{}", users());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(sql.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{bootstrap:?}: {output:?}");
}

fn install_mysql9(installation: &Installation) {
    let init = installation.scratch.join("reckon-users.sql");
    fs::write(&init, users()).unwrap();
    let init = installation.seen_inside(&init);
    run(installation
        .command(&installation.template)
        .args(["--initialize-insecure", "--secure-file-priv="])
        .arg(format!("--init-file={}", init.display())));
}

/// One statement a line, for both flavours. Accounts that the installation created would shadow ours on 127.0.0.1.
fn users() -> String {
    let account = |user: User| format!("'{}'@'%' IDENTIFIED BY '{}'", user.name, user.password);
    format!(
        "DROP USER IF EXISTS ''@localhost, root@'127.0.0.1', root@'::1';\n\
         CREATE USER {root};\n\
         GRANT ALL ON *.* TO '{root_name}'@'%' WITH GRANT OPTION;\n\
         CREATE DATABASE reckon;\n\
         CREATE USER {reckon};\n\
         GRANT ALL ON `reckon%`.* TO '{reckon_name}'@'%';\n",
        root = account(ROOT),
        root_name = ROOT.name,
        reckon = account(RECKON),
        reckon_name = RECKON.name,
    )
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

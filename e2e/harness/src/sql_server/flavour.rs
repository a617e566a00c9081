//! The supported servers: where each is installed, and how it is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::installed::{cache_directory, is_root, program};

/// A kind of server that Reckon must support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Debian's `mariadb-server`, as installed on this machine.
    MariaDb,
    /// MySQL 9 from the root directory that `e2e/servers/mysql` creates.
    MySql9,
}

/// A flavour on this machine.
pub(super) struct Installation {
    pub flavour: Flavour,
    program: PathBuf,
    /// The server's root directory `/`; `None`: the machine's own.
    root: Option<PathBuf>,
    /// A directory to copy, with `data` in it, created by the first test that needs it.
    pub template: PathBuf,
    /// The parent of the directories of single servers.
    pub scratch: PathBuf,
}

impl Flavour {
    /// Both flavours.
    pub const ALL: [Self; 2] = [Self::MariaDb, Self::MySql9];

    pub(super) fn installation(self) -> Installation {
        match self {
            Self::MariaDb => mariadb(),
            Self::MySql9 => mysql9(),
        }
    }
}

fn mariadb() -> Installation {
    let program = program("mariadbd", "mariadb-server");
    let version = output(Command::new(&program).arg("--version"));
    // "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"
    let version = version.split_whitespace().nth(2).unwrap();
    Installation {
        flavour: Flavour::MariaDb,
        program,
        root: None,
        template: cache_directory().join(format!("mariadb-{version}/template")),
        scratch: std::env::temp_dir(),
    }
}

fn mysql9() -> Installation {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../servers/mysql");
    assert!(Path::new(script).exists(), "MySQL 9 not found: no {script}");
    let printed = output(&mut Command::new(script));
    let root = PathBuf::from(printed.lines().last().unwrap());
    let scratch = root.join("tmp");
    fs::create_dir_all(&scratch).unwrap();
    Installation {
        flavour: Flavour::MySql9,
        program: PathBuf::from("/usr/sbin/mysqld"),
        template: scratch.join("reckon-template"),
        scratch,
        root: Some(root),
    }
}

impl Installation {
    /// The server in `directory`, without a port yet.
    pub fn server(&self, directory: &Path) -> Command {
        let mut command = self.command(directory);
        let inside = self.seen_inside(directory);
        command
            .arg(format!("--socket={}", inside.join("socket").display()))
            .arg(format!("--pid-file={}", inside.join("pid").display()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            // Small, and without waiting for the disk: a power loss costs only a test.
            .args(["--innodb-buffer-pool-size=32M", "--key-buffer-size=1M"])
            .args(["--innodb-flush-method=nosync", "--innodb-doublewrite=0"])
            // 2, not 0: a committed transaction survives SIGKILL, since the kernel has it.
            .args(["--innodb-flush-log-at-trx-commit=2", "--skip-log-bin"])
            .arg("--innodb-buffer-pool-load-at-startup=OFF")
            .arg("--innodb-buffer-pool-dump-at-shutdown=OFF");
        if self.flavour == Flavour::MySql9 {
            command.args(["--mysqlx=OFF", "--secure-file-priv="]);
            // It takes 40 % of the processor time of a start, and is off in MariaDB by default.
            command.arg("--performance-schema=OFF");
        }
        command
    }

    /// The server's program with the arguments that both the template and its copies need.
    pub fn command(&self, directory: &Path) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.program),
            Some(root) => self.chroot(root),
        };
        command
            .arg("--no-defaults")
            .args(self.places(directory))
            .arg(self.redo_log());
        // The user that runs `unshare` is root inside, too.
        if is_root() || self.root.is_some() {
            command.arg("--user=root");
        }
        command
    }

    /// The arguments for data and temporary files.
    ///
    /// A server removes the temporary tables that it finds at startup. In a shared /tmp these belong to running servers,
    /// which then crash.
    pub fn places(&self, directory: &Path) -> [String; 2] {
        let inside = self.seen_inside(directory);
        [
            format!("--datadir={}", inside.join("data").display()),
            format!("--tmpdir={}", inside.display()),
        ]
    }

    /// The path of a file as the server sees it.
    pub fn seen_inside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap()),
        }
    }

    fn chroot(&self, root: &Path) -> Command {
        let mut command = if is_root() {
            Command::new("chroot")
        } else {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "chroot"]);
            command
        };
        command.arg(root).arg(&self.program);
        command
    }

    /// The minimum that each allows: it is copied for every server.
    fn redo_log(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "--innodb-log-file-size=8M",
            Flavour::MySql9 => "--innodb-redo-log-capacity=8M",
        }
    }
}

/// The standard output of a program that must succeed.
fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

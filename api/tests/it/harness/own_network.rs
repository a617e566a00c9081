//! A separate network for a test, in which packets can be lost: neither side is notified, and the kernel resends them
//! with growing pauses. A proxy that forwards nothing is different, because it still acknowledges received bytes. The
//! network can also have another address than those of the loopback interface. The test binary starts itself again in
//! namespaces of network and mounts (this needs root, or a kernel that allows users to create them).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use super::installed::{is_root, program};
use super::process::Process;
use super::watchdog::Scratch;

/// More time than any of these tests takes.
const TIMEOUT: Duration = Duration::from_mins(2);
/// A variable that is set inside the namespace.
const INSIDE: &str = "RECKON_TEST_OWN_NETWORK";
/// An address of the machine that is cut off when packets are lost. `127.0.0.1` is never cut off.
pub const LOSSY: &str = "127.0.0.2";

/// Runs an ignored test of this binary in a network with only a loopback interface, and shows its output.
pub async fn run_inside(test: &str) {
    for (name, package) in [("nft", "nftables"), ("ip", "iproute2")] {
        assert!(program(name, package).exists());
    }
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args([
            "--net",
            "--mount",
            "sh",
            "-c",
            "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec \"$@\"",
            "sh",
        ])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1");
    let mut process = Process::new(command);
    process.start();
    let exit = process.exit(TIMEOUT).await;
    let said = process.logs().join("\n");
    println!("{said}");
    assert!(exit.status.success(), "{test} failed inside");
    assert!(said.contains("test result: ok. 1 passed"), "no test {test}");
}

/// All packets from and to [`LOSSY`] are lost until this is dropped.
pub struct Loss(());

impl Loss {
    /// From now on.
    pub fn of_packets() -> Self {
        assert_inside();
        nft(
            "table ip reckon_test {\n chain in {\n type filter hook input priority 0;\n ip daddr 127.0.0.2 drop\n ip saddr 127.0.0.2 drop\n }\n}",
        );
        Self(())
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        nft("delete table ip reckon_test");
    }
}

/// An address that is not a loopback address, and a name that resolves to it and back.
pub struct NamedAddress {
    _hosts: Scratch,
}

impl NamedAddress {
    pub const NUMBER: &str = "192.0.2.1";

    /// Gives it to the loopback interface.
    pub fn add() -> Self {
        assert_inside();
        let directory = Scratch::new(&env::temp_dir(), "reckon-hosts-");
        let hosts = directory.path().join("hosts");
        let text = format!("127.0.0.1 localhost\n{} named.test\n", Self::NUMBER);
        fs::write(&hosts, text).unwrap();
        let mut ip = Command::new(program("ip", "iproute2"));
        succeeds(ip.args(["address", "add", Self::NUMBER, "dev", "lo"]));
        succeeds(
            Command::new("mount")
                .arg("--bind")
                .args([&*hosts, Path::new("/etc/hosts")]),
        );
        Self { _hosts: directory }
    }
}

fn succeeds(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn assert_inside() {
    assert!(
        env::var_os(INSIDE).is_some(),
        "this is the machine's own network: run the test that runs this one"
    );
}

fn nft(rules: &str) {
    let mut child = Command::new(program("nft", "nftables"))
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(rules.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{rules}");
}

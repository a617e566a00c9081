//! A separate network for a test, in which packets can be lost: neither side is notified, and the kernel resends them
//! with growing pauses. A proxy that forwards nothing is different, because it still acknowledges received bytes. The
//! test binary starts itself again in a network namespace (this needs root, or a kernel that allows users to create
//! one).

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::installed::{is_root, program};
use super::process::Process;

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
        assert!(
            env::var_os(INSIDE).is_some(),
            "this is the machine's own network: run the test that runs this one"
        );
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

//! The cluster that `make up` creates, in a separate directory.

use serde_json::Value;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two checks of a condition, unless [`Cluster::poll`] is changed.
const POLL: Duration = Duration::from_millis(300);

/// A cluster with Reckon on it. Dropping it ends it.
pub struct Cluster {
    /// What `make up` printed.
    pub output: String,
    /// Time between two checks of a condition. A check takes kubectl some tenths of a second of CPU time.
    pub poll: Duration,
    home: Home,
    kubeconfig: PathBuf,
    path: String,
}

/// The directory with a cluster's state.
enum Home {
    /// The cluster ends with this process.
    Own(tempfile::TempDir),
    /// The cluster stays for the next process.
    Kept(PathBuf),
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Cluster {
    /// Starts the cluster.
    pub fn up() -> Self {
        // In the directory of the cache, since a node has its own /tmp and /run.
        let base = root().join("target/e2e-cluster");
        std::fs::create_dir_all(&base).unwrap();
        Self::up_in(Home::Own(tempfile::tempdir_in(base).unwrap()))
    }

    /// Starts the cluster in a directory, or uses the one that runs there. It continues after this process.
    pub fn kept_in(home: &Path) -> Self {
        std::fs::create_dir_all(home).unwrap();
        Self::up_in(Home::Kept(home.canonicalize().unwrap()))
    }

    fn up_in(home: Home) -> Self {
        let owned = matches!(home, Home::Own(_));
        let output = make_up(home.path(), owned);
        let environment = shell(
            home.path(),
            owned,
            r#"eval "$(make -s env)" && printf '%s\n%s' "$KUBECONFIG" "$PATH""#,
        );
        let (kubeconfig, path) = environment.split_once('\n').unwrap();
        Self {
            output,
            poll: POLL,
            kubeconfig: kubeconfig.into(),
            path: path.to_owned(),
            home,
        }
    }

    /// The directory of its state.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Adds a second node, if there is none.
    pub fn add_node(&self) {
        output(self.script(&["add-node"]), "").unwrap();
    }

    /// Runs `make up` again; returns its output.
    pub fn make_up_again(&self) -> String {
        make_up(self.home(), true)
    }

    /// Runs `make down`, which must succeed.
    pub fn down(self) {
        shell(self.home(), true, "make --no-print-directory down");
        assert!(!self.kubeconfig.exists());
    }

    /// Runs kubectl with arguments without blanks; returns its output.
    pub fn kubectl(&self, arguments: &str) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|error| panic!("kubectl {arguments}: {error}"))
    }

    /// The same, but returns an error instead of a panic.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn try_kubectl(&self, arguments: &str) -> Result<String, String> {
        self.run(&arguments.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) {
        self.run(&["apply", "-f", "-"], manifest).unwrap();
    }

    /// Merges a patch into the resource.
    pub fn patch(&self, patch: &str) {
        self.patch_object("recsvc/shop", patch);
    }

    /// Merges a patch into an object.
    pub fn patch_object(&self, object: &str, patch: &str) {
        self.run(&["patch", object, "--type=merge", "-p", patch], "")
            .unwrap();
    }

    /// Runs helm with arguments without blanks; returns its output.
    pub fn helm(&self, arguments: &str) -> String {
        self.run_program(
            "helm",
            &arguments.split_whitespace().collect::<Vec<_>>(),
            "",
        )
        .unwrap_or_else(|error| panic!("helm {arguments}: {error}"))
    }

    /// The output of statements, run as the server's administrator.
    pub fn mysql(&self, statements: &str) -> String {
        let client =
            "exec $(command -v mysql || command -v mariadb) -uroot -p\"$MYSQL_ROOT_PASSWORD\" -N";
        self.run(
            &["exec", "-i", "mysql-0", "--", "sh", "-c", client],
            statements,
        )
        .unwrap()
    }

    /// Runs kubectl with `input` on its standard input.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.run_program("kubectl", arguments, input)
    }

    fn run_program(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(root())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", &self.path);
        output(command, input)
    }

    /// The output of `kubectl get` for an object, or for several.
    pub fn object(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {arguments} -o json"))).unwrap()
    }

    /// The resource `shop`.
    pub fn service(&self) -> Value {
        self.object("recsvc shop")
    }

    /// Waits for a condition of the resource `shop`.
    pub fn wait(&self, type_: &str, status: &str, patience: Duration) {
        self.wait_for("shop", &format!("{type_}={status} "), patience);
    }

    /// Waits until a line of [`conditions_text`] of a resource begins with `line`.
    pub fn wait_for(&self, service: &str, line: &str, patience: Duration) {
        self.eventually(patience, &format!("{service} is {line}"), || {
            let text = conditions_text(&self.object(&format!("recsvc {service}")));
            text.lines().any(|own| own.starts_with(line))
        });
    }

    /// Waits until this number of pods of `shop` is ready, and no change is in progress.
    pub fn settled(&self, pods: usize, patience: Duration) {
        self.settled_of("shop", pods, patience);
    }

    /// The same for a resource.
    pub fn settled_of(&self, name: &str, pods: usize, patience: Duration) {
        self.eventually(patience, &format!("{name} is settled"), || {
            let service = self.object(&format!("recsvc {name}"));
            let text = conditions_text(&service);
            service["status"]["observedGeneration"] == service["metadata"]["generation"]
                && service["status"]["readyReplicas"] == pods
                && text.contains("Progressing=False UpToDate")
                && self.pods_of(name).len() == pods
        });
    }

    /// Names of the API's pods of `shop`, terminating ones included.
    pub fn pods(&self) -> Vec<String> {
        self.pods_of("shop")
    }

    /// The same for a resource.
    pub fn pods_of(&self, name: &str) -> Vec<String> {
        let names = self.kubectl(&format!(
            "get pods -l app.kubernetes.io/component=api,app.kubernetes.io/instance={name} -o name"
        ));
        names
            .lines()
            .map(|name| name.trim_start_matches("pod/").to_owned())
            .collect()
    }

    /// `resourceVersion` of every object that a second `make up` could change.
    pub fn versions(&self) -> String {
        self.kubectl(
            "get deploy,sts,svc,cm,sa,job -A -l app.kubernetes.io/part-of!=none \
             -o jsonpath={range.items[*]}{.kind}/{.metadata.name}={.metadata.generation},{end}",
        )
    }

    /// Status code and body of a GET through the Service `shop`, from inside the cluster.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.get_from("shop", path)
    }

    /// The same through another Service.
    pub fn get_from(&self, service: &str, path: &str) -> (u16, String) {
        let address = self.address(service);
        let output = self.inside(
            &[
                "curl",
                "-s",
                "-m",
                "8",
                "-w",
                "\n%{http_code}",
                &format!("http://{address}{path}"),
            ],
            "",
        );
        let output = output.unwrap_or_default();
        let (body, code) = output.rsplit_once('\n').unwrap_or(("", "0"));
        (code.parse().unwrap_or(0), body.to_owned())
    }

    /// Asks a Service, by its name, from a pod of its own: a GET of `path` with each number. All have to be answered 200.
    pub fn get_from_a_pod(&self, service: &str, path: &str, numbers: Range<u32>) -> Vec<Value> {
        self.apply(include_str!("client.yaml"));
        self.kubectl("wait pod/client --for=condition=Ready --timeout=60s");
        let Range { start, end } = numbers;
        // An answer is a head, an empty line and one line of JSON.
        let script = format!(
            r#"for number in {{{start}..{last}}}; do
                exec 3<>/dev/tcp/{service}/80
                printf 'GET {path}%s HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\n\r\n' $number >&3
                answer=$(cat <&3)
                echo "${{answer%%$'\r'*}}|${{answer##*$'\n'}}"
            done"#,
            last = end - 1
        );
        let output = self
            .run(&["exec", "-i", "client", "--", "bash"], &script)
            .unwrap();
        let answers = output.lines().map(|line| {
            let (status, body) = line.split_once('|').unwrap();
            assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
            serde_json::from_str(body).unwrap()
        });
        answers.collect()
    }

    /// Address of a Service, inside the cluster.
    pub fn address(&self, service: &str) -> String {
        self.kubectl(&format!(
            "get service {service} -o jsonpath={{.spec.clusterIP}}"
        ))
    }

    /// Runs a command in the node's network.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn inside(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        output(self.command_inside(arguments), input)
    }

    /// The same as a command that is not started yet.
    pub fn command_inside(&self, arguments: &[&str]) -> Command {
        self.script(&[&["exec"], arguments].concat())
    }

    /// A command for the script `e2e/cluster/cluster` for this cluster, not started yet.
    pub fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(root().join("e2e/cluster/cluster"));
        command
            .args(arguments)
            .env("XDG_STATE_HOME", self.home())
            .env_remove("CLUSTER_STATE");
        command
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn eventually(&self, patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            if began.elapsed() > patience {
                let pods = self.kubectl("get pods -A -o wide");
                let operator =
                    self.try_kubectl("logs -n reckon-system deploy/reckon-operator --tail=30");
                let services = self.object("recsvc");
                let services = services["items"].as_array().unwrap();
                panic!(
                    "not within {patience:?}: {what}\n{}\n{pods}\n{}",
                    services.iter().map(conditions_text).collect::<String>(),
                    operator.unwrap_or_default()
                );
            }
            sleep(self.poll);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && matches!(self.home, Home::Own(_)) {
            Command::new("make")
                .args(["-s", "down"])
                .env("XDG_STATE_HOME", self.home())
                .current_dir(root())
                .status()
                .ok();
        }
    }
}

/// The conditions of a resource, one a line.
pub fn conditions_text(service: &Value) -> String {
    let conditions = service["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let line = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        format!(
            "{}={} {}: {}\n",
            text("type"),
            text("status"),
            text("reason"),
            text("message")
        )
    };
    conditions.iter().map(line).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn make_up(home: &Path, owned: bool) -> String {
    shell(home, owned, "make --no-print-directory up")
}

/// Runs a shell command. A cluster that it starts ends with this process if `owned`, otherwise it continues.
fn shell(home: &Path, owned: bool, line: &str) -> String {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(root())
        .env("CLUSTER", "local")
        .env("XDG_STATE_HOME", home)
        .env_remove("CLUSTER_STATE")
        .env_remove("CLUSTER_OWNER");
    if owned {
        command.env("CLUSTER_OWNER", std::process::id().to_string());
    }
    // The compiler settings of this test must not apply to the programs.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_") && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR"
            || name.starts_with("RUST_RECURSION")
        {
            command.env_remove(name);
        }
    }
    output(command, "").unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn output(mut command: Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let done = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(format!("{}{}", text(&done.stdout), text(&done.stderr)))
    }
}

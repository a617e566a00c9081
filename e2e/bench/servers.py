"""Starts the programs of the benchmark on free ports of 127.0.0.1, in a temporary directory, and stops them."""

import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 60
# The same body as an average answer of the API.
YARDSTICK_BODY_BYTES = 300
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A running program that is stopped at the end of a `with` block."""

    def __init__(self, name, command, directory, environment=None, counted=None):
        self.name = name
        self.log = pathlib.Path(directory) / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        self.counted = counted or (lambda: [self.process.pid])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait(self, ready):
        """Waits until `ready` returns true."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not run:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.005)
        return self

    def cpu_seconds(self):
        """User and system time of its processes so far."""
        return sum(cpu_seconds(process) for process in self.counted())

    def resident_bytes(self):
        return sum(resident_bytes(process) for process in self.counted())


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(process):
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def nginx(directory):
    """The yardstick: one worker that answers every request with the same body."""
    port = free_port()
    body = '{"user_id":7,' + "x" * (YARDSTICK_BODY_BYTES - 13)
    config = pathlib.Path(directory) / "nginx.conf"
    config.write_text(f"""
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{body}'; }}
  }}
}}
""")
    program = Program("nginx", [find("nginx"), "-c", config, "-e", f"{directory}/nginx-error.log"], directory)
    program.counted = lambda: children(program.process.pid)
    program.port = port
    return program.wait(lambda: answers(f"http://127.0.0.1:{port}/"))


def children(parent):
    text = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(each) for each in text.split()]


def redis(directory):
    port = free_port()
    command = [find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru", "--dir", str(directory)]
    program = Program("redis", command, directory)
    program.port = port
    return program.wait(lambda: listens(port))


def mariadb(directory):
    port, data = free_port(), pathlib.Path(directory) / "mariadb"
    subprocess.run([find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
                    "--skip-test-db"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    user = ["--user=root"] if os.geteuid() == 0 else []
    command = [find("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
               f"--socket={directory}/mariadb.sock", f"--pid-file={directory}/mariadb.pid", "--innodb-buffer-pool-size=2G",
               "--secure-file-priv=", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=1G", "--skip-log-bin",
               "--max-connections=200", *user]
    program = Program("mariadb", command, directory)
    program.port, program.socket = port, f"{directory}/mariadb.sock"
    program.wait(lambda: listens(port))
    sql(program, "CREATE USER reckon@'127.0.0.1' IDENTIFIED BY 'reckon'; GRANT ALL ON *.* TO reckon@'127.0.0.1'")
    return program


def sql(server, statements, database=""):
    command = [find("mariadb"), "--no-defaults", "--batch", "--skip-column-names", f"--socket={server.socket}", "--user=root", database]
    done = subprocess.run([part for part in command if part], input=statements, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"MariaDB rejects {statements[:100]!r}: {done.stderr}")
    return done.stdout.strip()


def database_environment(server, database):
    """How the API finds the database."""
    return {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_USER": "reckon", "DB_PASSWORD": "reckon",
            "DB_NAME": database, "DB_TLS": "disabled", "RUST_LOG": "warn"}


def api(binary, directory, tuning, environment):
    """Reckon. `started` is the time from its start to the first answer of `/recommend/1`, in seconds."""
    port, operations = free_port(), free_port()
    file = pathlib.Path(directory) / "tuning.yaml"
    file.write_text(tuning)
    environment = {**environment, "RECKON_LISTEN": f"127.0.0.1:{port}", "RECKON_OPS_LISTEN": f"127.0.0.1:{operations}",
                   "RECKON_TUNING": str(file)}
    began = time.monotonic()
    program = Program("reckon-api", [binary, "serve"], directory, environment)
    program.port = port
    program.wait(lambda: first_answer(port))
    program.started = time.monotonic() - began
    return program


def first_answer(port):
    """Whether /recommend/1 is answered. A bare socket: urllib costs milliseconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as stream:
            stream.sendall(b"GET /recommend/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return stream.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def find(program):
    """The path of a program, also of one in /usr/sbin."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise SystemExit(f"{program} is missing: run e2e/install mariadb redis nginx wrk python")
    return path

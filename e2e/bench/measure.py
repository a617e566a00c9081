"""Runs the workloads beside the yardstick and returns their figures."""

import contextlib
import dataclasses
import json
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import urllib.request

import servers

HERE = pathlib.Path(__file__).resolve().parent
COMPARE = HERE.parent / "complete_journey" / "compare"
WARM_AT_ONCE = 100  # users of a batch
CHECKED_USERS = 50
STARTS = 5
IDLE_CONNECTIONS = 1000
PAUSE_MILLISECONDS = 10  # on average

# What production has switched on. The limits are never reached.
EVERYTHING_ON = """
server: {{maxConnections: 4096}}
store: {{poolSize: 10}}
cache: {{memory: {{maxBytes: {memory}, ttlSeconds: 86400, emptyTtlSeconds: 86400}}}}
recommendation: {{algorithm: {algorithm}}}
rateLimit: {{requestsPerSecond: 1000000, burst: 1000000}}
"""
MEMORY_BYTES = 256 << 20


def start(binary, directory, workload, database, redis):
    environment = servers.database_environment(database, workload.data)
    if workload.redis:
        environment |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
    tuning = EVERYTHING_ON.format(memory=MEMORY_BYTES if workload.memory else 0, algorithm=workload.algorithm)
    return servers.api(binary, directory, tuning, environment)


def workload(workload, rounds, seconds, binary, directory, yardstick, database, redis):
    """Medians of the rounds, each of which measures the yardstick and then Reckon."""
    with start(binary, directory, workload, database, redis) as api:
        if workload.memory or workload.redis:
            warm(api.port, workload.users)
        taken = []
        for number in range(rounds):
            bare = run(yardstick, [yardstick], workload, seconds, number)
            own = run(api, [api, database, redis], workload, seconds, number)
            taken.append({"yardstick": bare, "reckon": own, "ratio": own["rate"] / bare["rate"]})
        check(api.port, database, workload)
        resident = api.resident_bytes()
    figures = {"name": workload.name, "target": workload.target, "p99_at_most": workload.p99_at_most, "resident": resident,
               "ratio": median(each["ratio"] for each in taken), "errors": sum(each["reckon"]["errors"] for each in taken),
               "ratios": [each["ratio"] for each in taken]}
    for who in ("yardstick", "reckon"):
        figures[who] = {key: median(each[who][key] for each in taken) for key in taken[0][who] if key != "cpu"}
        figures[who]["cpu"] = {name: median(each[who]["cpu"][name] for each in taken) for name in taken[0][who]["cpu"]}
    return figures


def warm(port, users):
    first, last = users
    for begin in range(first, last + 1, WARM_AT_ONCE):
        ids = ",".join(str(user) for user in range(begin, min(begin + WARM_AT_ONCE, last + 1)))
        body = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/batch-recommend?user_ids={ids}", timeout=30))
        if body["failed"]:
            raise SystemExit(f"failed to warm the cache: {body['errors'][:3]}")


def run(target, counted, workload, seconds, seed, longest_pause=0):
    before = [program.cpu_seconds() for program in counted]
    command = [servers.find("wrk"), "--threads", "1", "--connections", str(workload.connections), "--duration", f"{seconds}s",
               "--timeout", "5s", "--script", HERE / "client.lua", f"http://127.0.0.1:{target.port}", "--",
               *map(str, (*workload.users, workload.batch, seed + 1, longest_pause))]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search("^RESULT (.*)$", done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    result = json.loads(found[1])
    spent = [program.cpu_seconds() - earlier for program, earlier in zip(counted, before)]
    thousands = max(result["requests"], 1) / 1000
    cpu = {program.name: 1000 * used / thousands for program, used in zip(counted, spent)}
    return {"rate": result["requests"] / result["seconds"], "p50": result["p50"], "p95": result["p95"], "p99": result["p99"],
            "errors": result["errors"], "cpu": cpu}


def check(port, database, workload):
    """Compares the answers of some users with those worked out from the rows by another program."""
    url = f"mysql://reckon:reckon@127.0.0.1:{database.port}/{workload.data}"
    command = [sys.executable, COMPARE, "--mysql", url, "--api", f"http://127.0.0.1:{port}", "--algorithm", workload.algorithm]
    if workload.users[1] > workload.users[0]:
        step = (workload.users[1] - workload.users[0]) // CHECKED_USERS
        command += ["--ids", ",".join(str(user) for user in range(workload.users[0], workload.users[1], step))]
    else:
        command += ["--ids", str(workload.users[0])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{workload.name}: wrong answers: {done.stdout}{done.stderr}")


def with_pauses(workload, rate, seconds, binary, directory, yardstick, database, redis):
    """Latencies at about this rate from many clients, each of which pauses for a random time after an answer: medians of three rounds.

    A pause is ten times as long as an answer or more, so that requests arrive nearly independently of the answers to earlier ones.
    """
    pausing = dataclasses.replace(workload, connections=round(rate * PAUSE_MILLISECONDS / 1000))
    with start(binary, directory, workload, database, redis) as api:
        warm(api.port, workload.users)
        rounds = [tuple(run(target, [target], pausing, seconds, number, 2 * PAUSE_MILLISECONDS) for target in (yardstick, api))
                  for number in range(3)]
    return {"connections": pausing.connections} | {
        who: {key: median(each[number][key] for each in rounds) for key in ("rate", "p50", "p99", "errors")}
        for number, who in enumerate(("yardstick", "reckon"))}


def with_idle_connections(binary, directory, workload, database, redis):
    """Resident memory with this many idle connections, each of which got an answer."""
    with start(binary, directory, workload, database, redis) as api, contextlib.ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=5))
            stream.sendall(b"GET /recommend/1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            if not stream.recv(4096).startswith(b"HTTP/1.1 200"):
                raise SystemExit("an idle connection got no answer")
        return api.resident_bytes()


def starts(binary, directory, workload, database, redis):
    """Seconds from the start of the process to its first answer, and its resident memory then."""
    taken = []
    for _ in range(STARTS):
        with start(binary, directory, workload, database, redis) as api:
            taken.append((api.started, api.resident_bytes()))
    return median(first for first, _ in taken), median(second for _, second in taken)


def median(values):
    return statistics.median(list(values))

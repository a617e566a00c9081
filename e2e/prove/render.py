"""The document and the plots of what `make prove` and `make soak` have measured:   render.py RESULTS SOAK DOCS"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

MODES = {"Plan": "planned", "Server": "enforced by the server", "Kubernetes": "plain Deployment"}
# The scenarios that are plotted, and the caption.
PLOTS = {
    "rolling-update": "Rolling update of three pods",
    "pods-deleted": "All three pods are deleted at once",
    "budget-halved": "The budget is halved",
    "rollout-of-20": "Rolling update of 20 pods",
}
ROLLOUTS = ("rolling-update", "rollout-of-10", "rollout-of-20")

INTRO = """# Reliability

<!-- Written by e2e/prove/render from e2e/prove/results.json. -->

`make prove` measures what [the connection budget](kubernetes/connection-budget.md) promises. It starts a cluster, creates a service with its
database, sends requests at a constant rate, and then changes or breaks something. This page has the results.

- **Bound**: the budget; in a change of the budget, the greater one.
- **Connections**: the greatest number of connections of the pods' account that the database server listed (`information_schema.PROCESSLIST`),
  every 50 ms. A sample can miss a short excess. In planned mode the account therefore also has the bound as its `MAX_USER_CONNECTIONS` wherever
  that mode promises to stay within the bound: each connection above it would be refused, and counted under *refused*.
- **Pods**: the greatest number of processes of the API that existed at once. They include terminating pods, and pods that are being started.
  **P** is `status.tuning.maxPods` when the scenario had ended.
- **Refused**: connections that the server refused with error 1226. In planned mode there must be none. If the server enforces the budget, a
  refused connection is not an error: the pod tries again later.
- **Failed**: requests that were not answered with 200 within 8 s, of all requests.
- **Seconds**: from the change until the service has settled.
- **Load**: the machine's load average over one minute, at the beginning and at the end, the lower one first. The machine has two cores.

{clients} clients send requests, each one at a time. The caches are off, and each request runs a query that takes about 100 ms. So the clients of
a service with a budget of 20 could use more connections than it has.
"""

KILLS = {
    "ApiKilled": "The process of a pod is killed",
    "ApiDeleted": "`kubectl delete pod`",
    "RedisKilled": "Redis is killed",
    "DatabaseKilled": "The database server is killed",
    "OperatorKilled": "The operator is killed",
    "NodeDrained": "`kubectl drain` of the node with most pods",
}
REQUESTS = {
    "recommend": "`GET /recommend/{user_id}`",
    "batch": "`GET /batch-recommend` with 10 users",
    "session": "`POST /recommend`",
    "invalidate": "`POST /invalidate-cache/{user_id}`",
    "event": "`POST /events`",
    "own_user": "`GET /recommend/{user_id}` of a user whose events were sent before",
}

SOAK = """## Soak

`make soak` sends mixed requests to three pods on two nodes. Every 30 seconds, or as soon as the service has settled, something is killed: each kind
once in a random order, then again. The same seed gives the same order. The caches are on (5 s in memory, 10 s in a managed Redis).

Each answer is compared with one that an independent program works out from the same rows. The clients also send events for users of their own. An
answer for such a user must have each event from 2 s after its acknowledgement on (the promise is 1 s). While Redis is killed, 11 s are allowed (the
promise is 10 s), and answers that needed more than 2 s are counted as *older answers*. At the end, these users must have exactly the events that were
acknowledged.

`make soak` fails if an answer is wrong, or if a failure has no reason: a [documented](api.md#errors) 503 or 504 is allowed only while something is
killed, and a request without an answer only while the process of a pod is killed.
"""

HEAD = (
    "| scenario | mode | bound | connections | pods | P | refused | failed | seconds | load |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def main(results, soaks, docs):
    every = sorted(json.loads(results.read_text()).values(), key=lambda one: (one["number"], list(MODES).index(one["mode"])))
    current = [one for one in every if one["state"] == "now"]
    failed = [one for one in current if one["error"]]
    good = [one for one in current if not one["error"]]
    *fewer, most = sorted({one["clients"] for one in every})
    parts = [INTRO.format(clients=f"{', '.join(map(str, fewer))} or {most}" if fewer else most)]
    for server in dict.fromkeys(one["server"] for one in good):
        parts.append(f"## {server}\n\n{HEAD}" + "".join(row(one) for one in good if one["server"] == server))
    if any(not one["promised"] and one["mode"] == "Plan" for one in good):
        parts.append(
            "\\* Planned mode does not promise to stay within the bound when pods are deleted, and when the Deployment is changed directly.\n"
            "The account has no limit there, so that the excess is counted.\n"
        )
    parts.append(
        "While a table is locked, requests fail in every mode: the database does not answer in time. A process that ignores SIGTERM is stopped, so a\n"
        "request that it has begun is not answered.\n\n"
        "Nodes are drained in a cluster of two: the node with most of the pods is cordoned, and its pods of the API are evicted. In planned mode, evictions are\n"
        "refused until the rollout has ended.\n"
    )
    if failed:
        parts.append("Not measured, since the service did not settle: " + "; ".join(f"{one['scenario']} ({one['mode']}, {one['server']})" for one in failed) + ".\n")
    parts.append(rollouts([one for one in every if not one["error"]]))
    parts.append(plots(good, docs))
    if soaks.exists():
        parts += [SOAK, *map(soak, json.loads(soaks.read_text()).values())]
    parts.append(
        "## Measure it yourself\n\n```sh\nmake prove                                  # all scenarios, both modes, MariaDB and MySQL\n"
        "make prove SCENARIOS=rolling-update MODES=Server SERVERS=MariaDB\nmake prove KEEP=target/prove                # the cluster stays in this directory for the next time\n"
        "make soak SOAK_MINUTES=30 SEED=1\n```\n\n"
        "It needs what `make up` needs without Docker: root on Linux with cgroup v1. `make prove` and `make soak` fail if a promise\ndoes not hold.\n"
    )
    (docs / "reliability.md").write_text("\n".join(part for part in parts if part))


def row(one):
    star = "" if one["promised"] or one["mode"] != "Plan" else " \\*"
    bound = one["bound"] or "none"
    cells = [
        one["what"],
        MODES[one["mode"]] + star,
        bound,
        excess(one),
        one["greatest_pods"],
        one["max_pods"] or "",
        one["refused"],
        f"{one['failed']} of {one['answered'] + one['failed']:,}",
        round(one["seconds"]),
        load(one),
    ]
    return "| " + " | ".join(map(str, cells)) + " |\n"


def excess(one):
    greatest = one["greatest_connections"]
    return f"**{greatest}**" if one["bound"] and greatest > one["bound"] else greatest


def load(one):
    return " to ".join(f"{average:.0f}" for average in one["load_average"])


def rollouts(every):
    """The times of rollouts, with those of earlier states."""
    # A plain Deployment does not depend on the program's state: the newest figures of it are enough.
    newest = {one["scenario"] for one in every if one["mode"] == "Kubernetes" and one["state"] == "now"}
    old = lambda one: one["mode"] == "Kubernetes" and one["state"] != "now" and one["scenario"] in newest
    own = [one for one in every if one["scenario"] in ROLLOUTS and not old(one)]
    if not own:
        return ""
    text = (
        "## Duration of a rollout\n\nThe same pods with the same probes. The plain Deployment has the defaults of Kubernetes (`maxSurge` and `maxUnavailable` 25 %) and no\n"
        "operator; nothing limits its connections. *Before* is the program before the server could enforce the budget.\n\n"
        "| pods | mode | server | seconds | bound | connections | failed | load |\n|--:|---|---|--:|--:|--:|--:|--:|\n"
    )
    own.sort(key=lambda one: (one["replicas"], one["flavour"], one["state"] == "now", list(MODES).index(one["mode"])))
    for one in own:
        mode = MODES[one["mode"]] + ("" if one["state"] == "now" or one["mode"] == "Kubernetes" else f", {one['state']}")
        text += (
            f"| {one['replicas']} | {mode} | {one['server']} | {one['seconds']:.0f} | {one['bound'] or 'none'} | {excess(one)} "
            f"| {one['failed']} of {one['answered'] + one['failed']:,} | {load(one)} |\n"
        )
    return text


def plots(good, docs):
    text = ""
    for name, caption in PLOTS.items():
        flavour = next((one["flavour"] for one in good if one["scenario"] == name), None)
        own = [one for one in good if one["scenario"] == name and one["flavour"] == flavour]
        if own:
            plot(own, docs / "images" / f"reliability-{name}.png")
            text += f"\n![{caption}](images/reliability-{name}.png)\n\n*{caption} ({own[0]['server']}).*\n"
    return text and f"## Over time\n\nConnections above, pods below; the dashed line is the budget.\n{text}"


def plot(own, file):
    figure, axes = pyplot.subplots(2, len(own), figsize=(4.6 * len(own), 4.2), sharey="row", squeeze=False, gridspec_kw={"height_ratios": [2, 1]})
    for one, (above, below) in zip(own, axes.T):
        series = one["series"]
        seconds = [index * series["milliseconds"] / 1000 for index in range(len(series["connections"]))]
        above.step(seconds, series["connections"], where="post", color="#1f5fa8", linewidth=1.3)
        below.step(seconds, series["pods"], where="post", color="#2d7f4f", linewidth=1.3)
        if one["bound"]:
            above.axhline(one["bound"], color="#b3261e", linestyle="--", linewidth=1)
        for at, what in one["marks"]:
            for axis in (above, below):
                axis.axvline(at, color="#999999", linewidth=0.7)
            above.text(at, 0.3, f" {what}", rotation=90, fontsize=6, color="#555555", va="bottom", ha="left")
        above.set_title(f"{MODES[one['mode']]}, {one['seconds']:.0f} s", fontsize=9)
        below.set_xlabel("seconds", fontsize=8)
        for axis in (above, below):
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.25)
    for row, name in zip(axes, ("connections", "pods")):
        greatest = max(max(one["series"][name]) for one in own)
        row[0].set_ylim(0, 1.08 * max([greatest] + [one["bound"] for one in own if name == "connections"]))
    axes[0][0].set_ylabel("connections", fontsize=8)
    axes[1][0].set_ylabel("pods", fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def soak(one):
    """Mixed load and kills."""
    requests = sum(one["requests"].values())
    mebibytes = lambda figures: " | ".join(f"{figures[when] / 2**20:.0f}" for when in ("start", "end", "greatest"))
    text = (
        f"### {one['server']}, {MODES[one['mode']]}\n\n{one['minutes']:.0f} minutes, three pods, budget {one['bound']}, seed {one['seed']}, load of the machine {load(one)}.\n\n"
        "| what happened | times | longest time until settled, s | 503 or 504 | no answer | older answers |\n|---|--:|--:|--:|--:|--:|\n"
    )
    every = [(what, one["kills"][kind]) for kind, what in KILLS.items() if kind in one["kills"]]
    for what, kills in every:
        text += f"| {what} | {kills['number']} | {kills['seconds']:.0f} | {kills['unavailable']} | {kills['broken']} | {kills['old']} |\n"
    failed = sum(kills["unavailable"] + kills["broken"] + kills["old"] for _, kills in every)
    unexplained = one["unexplained_failures"]
    caches = ", ".join(f"{one['caches'].get(word, 0):,} `{word}`" for word in ("HIT", "MISS", "STALE"))
    kept = "" if unexplained else " None was lost, and none was stored twice."
    text += (
        f"\n- {failed:,} of {requests:,} requests had no complete answer because of what happened. Wrong answers, and failures without a reason: {unexplained}.\n"
        f"- {one['events']:,} events were acknowledged.{kept}\n"
        f"- Connections: at most {one['greatest_connections']}, in {one['samples']:,} samples. Pods: at most {one['greatest_pods']} at once.\n"
        f"- Answers by `X-Cache`: {caches}.\n"
        f"- Time to an answer: median {one['milliseconds']['median']} ms, 99 % within {one['milliseconds']['p99']:.0f} ms, greatest {one['milliseconds']['greatest']:,.0f} ms.\n\n"
        "| requests | number |\n|---|--:|\n"
    )
    for kind, what in REQUESTS.items():
        text += f"| {what} | {one['requests'].get(kind, 0):,} |\n"
    return text + (
        "\n| resident memory, MiB | start | end | greatest |\n|---|--:|--:|--:|\n"
        f"| pod of the API with most | {mebibytes(one['memory']['api'])} |\n| operator | {mebibytes(one['memory']['operator'])} |\n"
    )


main(*map(Path, sys.argv[1:]))

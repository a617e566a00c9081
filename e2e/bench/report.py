"""Writes the figures into docs/performance.md, between its markers."""

import os
import pathlib
import platform
import subprocess

import measure
import servers

BEGIN, END = "<!-- generated: benchmark -->", "<!-- end of generated -->"


def text(figures, first_answer, memory, half, binary):
    lines = [f"{environment(binary)}", "", start_and_memory(first_answer, memory), ""]
    for each in half:
        lines += [with_pauses(each), ""]
    lines += ["| workload | requests/s | yardstick | ratio | target | p50 / p95 / p99 ms | yardstick's | CPU ms per 1,000: Reckon, database, Redis, yardstick | memory MB | errors |",
              "|---|---|---|---|---|---|---|---|---|---|"]
    lines += [row(each) for each in figures]
    return "\n".join(lines)


def start_and_memory(first_answer, memory):
    idle, with_connections = memory
    return (f"Start to first answer {first_answer * 1000:.0f} ms (target 15). Resident memory then {idle / 1e6:.0f} MB (target 20), "
            f"with {measure.IDLE_CONNECTIONS:,} idle connections {with_connections / 1e6:.0f} MB (target 60).")


def with_pauses(figures):
    def latencies(who):
        return f"{figures[who]['p50']:.2f} / {figures[who]['p99']:.2f} ms"
    own = figures["reckon"]
    return (f"Memory hits at about half of the greatest rate ({own['rate']:,.0f} requests/s), from {figures['connections']:,} connections, each of "
            f"which pauses for 0 to {2 * measure.PAUSE_MILLISECONDS} ms after an answer: p50 / p99 {latencies('reckon')} (target: p99 1 ms), the yardstick's {latencies('yardstick')}, {own['errors']:.0f} errors.")


def row(figures):
    own, bare = figures["reckon"], figures["yardstick"]
    cpu = own["cpu"]
    quantiles = " / ".join(f"{own[name]:.2f}" for name in ("p50", "p95", "p99"))
    of_yardstick = " / ".join(f"{bare[name]:.2f}" for name in ("p50", "p95", "p99"))
    target = f"{figures['target']:.3g}"
    if figures["p99_at_most"]:
        target += f", p99 {figures['p99_at_most']:.0f} ms"
    return (f"| {figures['name']} | {own['rate']:,.0f} | {bare['rate']:,.0f} | {figures['ratio']:.3f} | {target} | {quantiles} | {of_yardstick} "
            f"| {cpu['reckon-api']:.1f}, {cpu['mariadb']:.1f}, {cpu['redis']:.1f}, {bare['cpu']['nginx']:.1f} "
            f"| {figures['resident'] / 1e6:.0f} | {figures['errors']} |")


def environment(binary):
    """Machine and versions, in one paragraph."""
    def version(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return (f"{version(binary, '--version')} on {os.cpu_count()} processors ({model}), {platform.system()} {platform.release()}. "
            f"{version(servers.find('mariadbd'), '--version').split('  ')[-1]}. {version(servers.find('redis-server'), '--version').split(' sha')[0]}. "
            f"{version(servers.find('nginx'), '-v')}.")


def write(file, generated):
    """Replaces what is between the markers."""
    page = file.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{file} has no markers {BEGIN} and {END}")
    file.write_text(f"{before}{BEGIN}\n\n{generated}\n\n{END}{after}")

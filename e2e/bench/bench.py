#!/usr/bin/env python3
"""Measures Reckon beside nginx, which answers the same requests with a fixed text, on this machine.

    bench.py --api target/release/reckon-api [--quick] [--only TEXT] [--write docs/performance.md]

Starts MariaDB, Redis, nginx and Reckon on free ports of 127.0.0.1, and stops them. Checks a sample of the answers.
"""

import argparse
import json
import pathlib
import tempfile

import data
import measure
import report
import servers
import workloads


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", required=True, type=pathlib.Path, metavar="PROGRAM", help="a release build of reckon-api")
    parser.add_argument("--quick", action="store_true", help="the main workloads, two short rounds: about two minutes")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the workloads whose name contains this")
    parser.add_argument("--rounds", type=int, help="rounds of each workload (3; quick: 2)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (10; quick: 3)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="write the table into this page")
    args = parser.parse_args()
    chosen = [each for each in workloads.ALL if (each.quick or not args.quick) and args.only in each.name]
    if not chosen:
        parser.error(f"no workload contains {args.only!r}")
    rounds, seconds = args.rounds or (2 if args.quick else 3), args.seconds or (3 if args.quick else 10)

    with tempfile.TemporaryDirectory(prefix="reckon-bench-") as directory, servers.mariadb(directory) as database, \
            servers.redis(directory) as redis, servers.nginx(directory) as yardstick:
        names = sorted({each.data for each in chosen} | {"demo"})
        print(f"making the databases {', '.join(names)}", flush=True)
        data.make(database, args.api, directory, names)
        first_answer, idle = measure.starts(args.api, directory, workloads.ALL[0], database, redis)
        figures = []
        for each in chosen:
            figures.append(measure.workload(each, rounds, seconds, args.api, directory, yardstick, database, redis))
            print(summary(figures[-1]), flush=True)
        memory = (idle, measure.with_idle_connections(args.api, directory, workloads.ALL[0], database, redis))
        greatest = [each["reckon"]["rate"] for each in figures if each["name"] == workloads.WITH_PAUSES.name]
        half = [measure.with_pauses(workloads.WITH_PAUSES, rate / 2, seconds, args.api, directory, yardstick, database, redis)
                for rate in greatest]
        table = report.text(figures, first_answer, memory, half, args.api)
    print(f"\n{table}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    if args.write:
        report.write(args.write, table)


def summary(figures):
    own = figures["reckon"]
    ratios = " ".join(f"{each:.3f}" for each in figures["ratios"])
    return f"{figures['name']:<55} {own['rate']:>9,.0f}/s  ratio {figures['ratio']:.3f} ({ratios}), target {figures['target']}, p99 {own['p99']:.1f} ms"


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Holds requests as the kernel told them (probe http) against a load's own log of them.

    agree.py LOG.jsonl RUN

LOG is of `hostprof load --out`, RUN the recording that it was made in. Needs duckdb. Exit status 1 where fewer than
99.9 % of the requests are found, or one is told that was not made.
"""

import json
import statistics
import sys

import duckdb

LIMIT_MS = 1.0


def rows(run):
    con = duckdb.connect()
    requests = con.sql(
        f"""SELECT request_id, arrival_mono_ns, end_mono_ns, status FROM '{run}/request/*.parquet'
            WHERE source = 'kernel' AND end_mono_ns IS NOT NULL ORDER BY arrival_mono_ns"""
    ).fetchall()
    tokens = {}
    for request, at in con.sql(
        f"""SELECT request_id, ts_mono_ns FROM '{run}/token/*.parquet'
            WHERE source = 'kernel' ORDER BY request_id, "index" """
    ).fetchall():
        tokens.setdefault(request, []).append(at)
    return requests, tokens


def distance(made, request, tokens):
    """How far apart two views of a request are: its tokens, where both have as many, and its ends."""
    mine, theirs = made["token_mono_ns"], tokens.get(request[0], [])
    if len(mine) != len(theirs):
        return None
    return abs(request[2] - made["end_mono_ns"]) + sum(abs(a - b) for a, b in zip(mine, theirs))


def told(name, differences):
    if not differences:
        return print(f"{name}: none")
    sizes = sorted(abs(ms) for ms in differences)
    at = lambda share: sizes[min(int(len(sizes) * share), len(sizes) - 1)]
    within = 100 * sum(ms <= LIMIT_MS for ms in sizes) / len(sizes)
    print(
        f"{name:24} n {len(sizes):7}  median {statistics.median(differences):7.3f} ms  apart p50 {at(0.5):.3f}"
        f"  p99 {at(0.99):.3f}  max {sizes[-1]:.3f} ms  within {LIMIT_MS:g} ms {within:.2f} %"
    )


def main(log, run):
    with open(log) as lines:
        made = [row for row in map(json.loads, lines) if "request_id" in row and row["send_mono_ns"]]
    requests, tokens = rows(run)
    first = min(row["send_mono_ns"] for row in made)
    last = max(row["end_mono_ns"] for row in made)
    told_then = [row for row in requests if first - 5_000_000 <= row[1] <= last]
    free, apart = dict.fromkeys(range(len(told_then))), {"arrival": [], "TTFT": [], "gap": [], "end to end": []}
    missed = 0
    for row in sorted(made, key=lambda row: row["send_mono_ns"]):
        near = [at for at in free if abs(told_then[at][1] - row["send_mono_ns"]) < 500_000_000]
        ranked = [(d, at) for at in near if (d := distance(row, told_then[at], tokens)) is not None]
        if not ranked:
            missed += 1
            continue
        at = min(ranked)[1]
        del free[at]
        request, arrival, end, _ = told_then[at]
        mine, theirs = row["token_mono_ns"], tokens.get(request, [])
        apart["arrival"].append((arrival - row["send_mono_ns"]) / 1e6)
        apart["end to end"].append(((row["end_mono_ns"] - row["send_mono_ns"]) - (end - arrival)) / 1e6)
        if mine:
            apart["TTFT"].append(((mine[0] - row["send_mono_ns"]) - (theirs[0] - arrival)) / 1e6)
        gaps = zip(zip(mine, mine[1:]), zip(theirs, theirs[1:]))
        apart["gap"] += [((b - a) - (d - c)) / 1e6 for (a, b), (c, d) in gaps]
    found = len(made) - missed
    print(f"{found} of {len(made)} requests found ({100 * found / len(made):.2f} %), {len(free)} told that were not made")
    for name, differences in apart.items():
        told(f"{name}, load - kernel" if name != "arrival" else "arrival, kernel - load", differences)
    return 0 if missed <= len(made) / 1000 and not free else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))

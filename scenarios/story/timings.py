#!/usr/bin/env python3
"""Are requests of llama.cpp told as the server itself tells them, and do their ledgers sum to their windows?

    timings.py HOSTPROF PID URL OUT [--requests N]     as root; PID, URL: a llama.cpp server with at least 8 slots

Records the server under `hostprof load` with 1, 4 and 8 streams. For each request the client's TTFT and the time from its first
to its last token are held against the response's `timings` (`prefill_ns`, `decode_ns`): within 2 ms or 2 %. TTFT has the request's
way to the server in it, and where several prompts are computed in one batch the wait for it; what is more than the limit is
counted and told. Windows' states are summed from the report's JSON. Exit status 3 where a limit is not kept. Needs duckdb.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import duckdb

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("hostprof")
arguments.add_argument("pid")
arguments.add_argument("url")
arguments.add_argument("out", type=Path)
arguments.add_argument("--requests", type=int, default=40)
arguments = arguments.parse_args()
failed = False


def record(streams):
    """The run folder of a recording under that many streams."""
    out = arguments.out / f"streams-{streams}"
    recorder = subprocess.Popen([arguments.hostprof, "record", "--probe", "auto,http", "--pid", arguments.pid, "-o", out],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while recorder.poll() is None and not (out / "run_001" / "config.json").exists():
        time.sleep(0.01)
    try:
        subprocess.run([arguments.hostprof, "load", "--url", arguments.url, "--concurrency", str(streams), "--warmup", "2",
                        "--requests", str(arguments.requests), "--input-tokens", "128", "--output-tokens", "64",
                        "--run", out / "run_001"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        recorder.terminate()
        recorder.wait()
    subprocess.run([arguments.hostprof, "check", out / "run_001"], check=True, stdout=subprocess.DEVNULL)
    return out / "run_001"


def held(what, pairs):
    """Says how far the client's times are from the server's; those beyond 2 ms and 2 %."""
    global failed
    off = [mine - theirs for mine, theirs in pairs]
    beyond = [d for d, (_, theirs) in zip(off, pairs) if abs(d) > max(2e6, 0.02 * theirs)]
    failed |= bool(beyond)
    print(f"  {what}: {len(pairs)} requests, client less server {statistics.median(off) / 1e6:+.3f} ms in the median, "
          f"{min(off) / 1e6:+.3f} to {max(off) / 1e6:+.3f} ms; beyond 2 ms or 2 %: {len(beyond)}")


def sums(run):
    """Says by how much windows' states differ from the lives of their threads."""
    global failed
    report = json.loads(subprocess.run([arguments.hostprof, "report", run, "--json"], check=True, capture_output=True).stdout)
    story = report["story"]
    windows = roles = worst = 0
    for request in story["ledger"]:
        whole, phases = request["windows"][0], request["windows"][1:]
        for window in request["windows"]:
            windows += 1
            for role in window["roles"]:
                roles += 1
                worst = max(worst, abs(sum(role["states_ns"].values()) - role["wall_ns"]))
        tiled = sum(phase["end_mono_ns"] - phase["start_mono_ns"] for phase in phases)
        if phases and tiled != whole["end_mono_ns"] - whole["start_mono_ns"]:
            print(f"  {request['request_id']}: its phases sum to {tiled} ns")
            failed = True
    failed |= worst > 0
    print(f"  {windows} windows, {roles} roles in them: states differ from the threads' lives by {worst} ns at most; "
          f"joined {story['join_tiers']}, error at most {story['join_error_max_ns']} ns")


for streams in (1, 4, 8):
    run = record(streams)
    rows = duckdb.sql(f"""
        select first_token_mono_ns - r.arrival_mono_ns, prefill_ns, last - first_token_mono_ns, decode_ns
        from read_parquet('{run}/request/*.parquet') r
        join (select request_id, max(ts_mono_ns) as last from read_parquet('{run}/token/*.parquet') where source = 'load' group by 1)
        using (request_id)
        where r.source = 'load' and prefill_ns is not null and first_token_mono_ns is not null""").fetchall()
    print(f"{streams} streams")
    if not rows:
        sys.exit("find requests with timings: none (is it llama.cpp?)")
    held("TTFT against prompt_ms", [(ttft, prefill) for ttft, prefill, _, _ in rows])
    held("first to last token against predicted_ms", [(tokens, decode) for _, _, tokens, decode in rows])
    sums(run)
sys.exit(3 if failed else 0)

"""Computes the bubble ledger of a run folder anew from its tables, another way, and sets it beside `hostprof report`.

    bubbles.py HOSTPROF RUN

Needs duckdb and numpy. Exit status 3 where the sums are more than 2 % of the GPU's idle time apart.
"""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

hostprof, run = sys.argv[1], Path(sys.argv[2])
report = json.loads(subprocess.run([hostprof, "report", run, "--json"], check=True, capture_output=True).stdout)
db = duckdb.connect()
failed = False


def table(name, sql):
    return db.execute(sql.format(name=f"'{run}/{name}/*.parquet'")).fetchnumpy()


def filled(column):
    return np.ma.filled(column, 0)


def union(starts, ends):
    """Spans that lie apart, sorted."""
    spans = []
    for start, end in sorted(zip(starts.tolist(), ends.tolist())):
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        elif start < end:
            spans.append([start, end])
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def cumulative(starts, ends, at):
    """How much of spans that lie apart lies before each instant."""
    lengths = np.concatenate([[0], np.cumsum(ends - starts)])
    place = np.searchsorted(ends, at, side="right")
    inside = np.zeros(len(at), dtype=np.int64)
    some = place < len(starts)
    inside[some] = np.clip(at[some] - starts[place[some]], 0, None)
    return lengths[place] + inside


for told in report["bubbles"]:
    gpu, tid, account = told["gpu"], told["launcher"]["tid"], told["account"]
    pm = table("gpu_pm", f"select ts_mono_ns::bigint t, dur_ns::bigint d, gr_active a from {{name}} where gpu = {gpu} order by 1")
    idle = (1 - np.clip(filled(pm["a"]), 0, 1)) * pm["d"]
    begin, end = pm["t"], pm["t"] + pm["d"]
    if told["scope"] == "requests":
        source = report["story"]["source"]
        config = json.load(open(run / "config.json"))
        last = config["ended"]["mono_ns"]
        requests = table("request", f"select arrival_mono_ns::bigint a, coalesce(end_mono_ns, {last})::bigint e from {{name}} where source = '{source}'")
        first = config["started"]["mono_ns"]
        spans = union(np.clip(requests["a"], first, last), np.clip(requests["e"], first, last))
    else:
        spans = np.array([[begin[0], end[-1]]])
    within = (cumulative(spans[:, 0], spans[:, 1], end) - cumulative(spans[:, 0], spans[:, 1], begin)) / pm["d"]
    in_flight = float((idle * within).sum())
    sums = account["blamed_ns"] + account["withheld_ns"] + account["not_recorded_ns"]
    print(f"GPU {gpu}, thread {tid}, {len(begin)} samples: idle {idle.sum() / 1e9:.4f} s here, {account['idle_ns'] / 1e9:.4f} s told; "
          f"in flight {in_flight / 1e9:.4f} s here, {sums / 1e9:.4f} s told ({abs(in_flight - sums) / max(idle.sum(), 1):.4%} apart)")
    failed |= abs(in_flight - sums) > 0.02 * idle.sum() or abs(idle.sum() - account["idle_ns"]) > 0.02 * idle.sum()
    # Each state of the thread over the samples, its share of the idle time as if that were spread evenly.
    rows = table("off_cpu", f"select ts_mono_ns::bigint t, blocked_ns::bigint b, runqueue_ns::bigint r, state::varchar s from {{name}} where tid = {tid} order by 1")
    runnable = np.isin(rows["s"], ["preempted", "yield", "throttled"])
    states = {}
    for state in sorted(set(rows["s"])):
        of = rows["s"] == state
        length = np.where(runnable, rows["r"], rows["b"])[of]
        states[state] = (rows["t"][of], rows["t"][of] + length)
    waited = ~runnable
    states["runqueue"] = ((rows["t"] + rows["b"])[waited], (rows["t"] + rows["b"] + rows["r"])[waited])
    blamed = {}
    for of in told["blame"]:
        blamed[of["state"]] = blamed.get(of["state"], 0) + of["idle_ns"]
    # Clipped to the scope by cutting stretches at its edges: sum over spans.
    off = 0.0
    for state, (start, stop) in states.items():
        total = 0.0
        for low, high in spans:
            near = (stop > low) & (start < high)
            from_, to = np.clip(start[near], low, high), np.clip(stop[near], low, high)
            overlap = cumulative(from_, to, end) - cumulative(from_, to, begin)
            total += float((idle * overlap / pm["d"]).sum())
        off += total
        apart = abs(total - blamed.get(state, 0)) / max(idle.sum(), 1)
        failed |= apart > 0.02
        print(f"  {state}: {total / 1e9:.4f} s here, {blamed.get(state, 0) / 1e9:.4f} s told ({apart:.4%} of idle apart)")
    on_cpu = in_flight - off
    told_on = blamed.get("on_cpu", 0) + blamed.get("gpu_sync", 0)
    print(f"  on_cpu and gpu_sync: {on_cpu / 1e9:.4f} s here, {told_on / 1e9:.4f} s told")
    failed |= abs(on_cpu - told_on - account["withheld_ns"] - account["not_recorded_ns"]) > 0.02 * idle.sum()
    sum_of = sum(of["idle_ns"] for of in told["blame"])
    failed |= sum_of != account["blamed_ns"]
print("DISAGREES" if failed else "agrees")
sys.exit(3 if failed else 0)

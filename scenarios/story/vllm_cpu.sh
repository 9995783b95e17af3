#!/usr/bin/env bash
# Records a running vLLM by its API server's pid under `hostprof load`, and judges the recording: the whole tree is there,
# each process and thread has its role, live as recorded, the waits of all are told, the engine was asked for its metrics,
# requests are those of the load, and `check` passes. Exit status 1 where one of these does not hold.
#
#   vllm_cpu.sh HOSTPROF PID URL OUT [load options…]      as root; by default 2 at a time, 60 requests of 64 → 32 tokens
# PYTHON: a python3 with duckdb. CHRT: how the load is started, as in scenarios/requests/run.sh.
set -eu
hostprof=$(realpath "$1") pid=$2 url=$3 out=$4 here=$(dirname "$(realpath "$0")")
shift 4
[ $# -gt 0 ] || set -- --concurrency 2 --requests 60 --input-tokens 64 --output-tokens 32
rm -rf "$out/load.jsonl" "$out/runs"
mkdir -p "$out"
"$hostprof" record -o "$out/runs" --pid "$pid" --probe auto,http,syscall_count >"$out/run" 2>"$out/record.txt" &
recorder=$!
trap 'kill -INT $(jobs -p) 2>/dev/null || true' EXIT
until grep -qs '"started"' "$out"/runs/*/config.json; do sleep 0.1; done
sleep 2
ps -e -o pid= -o ppid= >"$out/ps"
# shellcheck disable=SC2086 # words
${CHRT-chrt -f 2} "$hostprof" load --url "$url" -o "$out/load.jsonl" "$@" >"$out/load.txt" 2>&1
"$hostprof" live --pid "$pid" -o "$out/live" --once --json --window 2s >"$out/live.json" 2>"$out/live.txt"
kill -INT "$recorder"
wait "$recorder"
run=$(tail -n 1 "$out/run")
"$hostprof" check "$run"
"${PYTHON:-python3}" "$here/../requests/agree.py" "$out/load.jsonl" "$run"
"${PYTHON:-python3}" - "$run" "$out" "$pid" <<'P'
import json, sys, duckdb
run, out, root = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name in "thread", "off_cpu", "histogram", "engine_sample":
    duckdb.sql(f"CREATE VIEW {name} AS FROM '{run}/{name}/*.parquet'")
rows, failed = (lambda query: duckdb.sql(query).fetchall()), []
def judge(holds, what):
    failed.append(what) if not holds else None
    print("ok    " if holds else "FAILED", what)
MAINS = {"vllm": ("api_server", "poll"), "python3": ("resource_tracker", "read"),
         "VLLM::EngineCor": ("engine_core", "futex sched_yield"), "VLLM::Worker": ("worker", "poll sched_yield")}
NAMED = {"ZMQbg/": "messaging", "gloo_": "collective", "pt_gloo_": "collective"}
tree = {root}
for _, pid, parent in sorted((int(of[0]) < root, *map(int, of)) for of in map(str.split, open(f"{out}/ps"))):
    tree |= {pid} if parent in tree else set()
threads = rows("SELECT tgid, tid, comm, role FROM thread ORDER BY tid")
judge({of[0] for of in threads} == tree, f"{len(threads)} threads of all {len(tree)} processes")
live = {of["tid"]: of["role"] for of in json.load(open(f"{out}/live.json"))["threads"]}
for _, tid, comm, role in (of for of in threads if of[0] == of[1]):
    expected, waits = MAINS[comm]
    judge(expected == role == live[tid], f"{comm} {tid} is {role}, live {live[tid]}")
    told = {of[0] for of in rows(f"SELECT DISTINCT state FROM off_cpu WHERE tid = {tid}")}
    spins = rows(f"SELECT sum(count) FROM histogram WHERE key = '{tid}:24 sched_yield'")[0][0]
    told |= {"sched_yield"} if spins else set()  # as a state (yield) only where another thread got the CPU
    judge(told >= set(waits.split()), f"  waits in {', '.join(sorted(told))} ({spins or 0:,} × sched_yield)")
for name, role in NAMED.items():
    of = [of[3] for of in threads if of[2].startswith(name)]
    judge(set(of) == {role}, f"{len(of)} threads {name}… are {role}")
made = sum('"request_id"' in line for line in open(f"{out}/load.jsonl"))
engines = rows("SELECT engine, server, max(finished) - min(finished) FROM engine_sample GROUP BY ALL")
judge([of[0] for of in engines] == ["vLLM"] and engines[0][2] >= made, f"metrics: {engines}")
sys.exit(bool(failed))
P

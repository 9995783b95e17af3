#!/usr/bin/env bash
# Records a server under `hostprof load` with probe http, while /metrics and /health are asked too, and holds what the
# kernel told against what the load saw.
#
#   run.sh HOSTPROF PID URL OUT [load options…]      as root; by default 8 at a time, 200 requests of 64 → 32 tokens
#
# PYTHON: a python3 with duckdb. CHRT: how the load is started, `chrt -f 2` by default: on a machine that the server
# fills, a client of ordinary priority sees its own waits for a CPU.
set -eu
hostprof=$(realpath "$1") pid=$2 url=$3 out=$4
shift 4
[ $# -gt 0 ] || set -- --concurrency 8 --requests 200 --input-tokens 64 --output-tokens 32
here=$(dirname "$(realpath "$0")")
mkdir -p "$out"
log=$out/load.jsonl
rm -f "$log"

"$hostprof" record -o "$out/runs" --pid "$pid" --probe auto,http >"$out/run" 2>"$out/record.txt" &
recorder=$!
until ls "$out"/runs/*/config.json >/dev/null 2>&1; do sleep 0.1; done
sleep 1
while sleep 0.2; do curl -s -o "$out/bystander" "$url/metrics" -o "$out/bystander" "$url/health" || true; done &
bystander=$!
# shellcheck disable=SC2086 # words
${CHRT-chrt -f 2} "$hostprof" load --url "$url" -o "$log" "$@" | tee "$out/load.txt"
kill "$bystander"
sleep 1
kill -INT "$recorder"
wait "$recorder"
run=$(tail -n 1 "$out/run")
cat "$out/record.txt"
"${PYTHON:-python3}" - "$run" <<'P'
import json, sys
probes = json.load(open(sys.argv[1] + "/config.json"))["probes"]
print("http:", *next(probe["notes"] for probe in probes if probe["name"] == "http"), sep="\n  ")
P
"$hostprof" check "$run"
"${PYTHON:-python3}" "$here/agree.py" "$log" "$run"

#!/usr/bin/env bash
# Records a llama.cpp server with probe http and its page of metrics while load generators run against it, imports what
# they wrote, and holds the rows against the files and against what curl showed.
#
#   run.sh HOSTPROF PID URL OUT [FILE…]      as root; FILEs are what load generators write meanwhile, by GENERATORS
#
# GENERATORS: a script that runs them; it is given URL and OUT. PYTHON: a python3 with duckdb.
set -eu
hostprof=$(realpath "$1") pid=$2 url=$3 out=$4
shift 4
here=$(dirname "$(realpath "$0")")
mkdir -p "$out"
rm -f "$out"/load.jsonl "$out"/curl.txt

"$hostprof" record -o "$out/runs" --pid "$pid" --probe sched,http --sample-interval 200ms >"$out/run" 2>"$out/record.txt" &
recorder=$!
until ls "$out"/runs/*/config.json >/dev/null 2>&1; do sleep 0.1; done
sleep 1
# Quiet moments, at which two readings of the page must be the same.
look() { sleep 1; curl -s "$url/metrics" | sed "s/^/$(cut -d' ' -f1 /proc/uptime) /" >>"$out/curl.txt"; sleep 1; }
look
"$hostprof" load --url "$url" --requests 40 --concurrency 4 --input-tokens 60 --output-tokens 24 -o "$out/load.jsonl" >"$out/load.txt" 2>&1
look
if [ -n "${GENERATORS:-}" ]; then "$GENERATORS" "$url" "$out" >"$out/generators.txt" 2>&1; look; fi
curl -s "$url/v1/completions" -d '{"prompt":"once","max_tokens":32,"ignore_eos":true}' >"$out/llama_cpp.jsonl"
look
kill -INT "$recorder"
wait "$recorder"
run=$(tail -n 1 "$out/run")
cat "$out/record.txt"
"$hostprof" import "$run" "$out/load.jsonl" "$out/llama_cpp.jsonl" "$@"
"$hostprof" check "$run" || true
"${PYTHON:-python3}" "$here/agree.py" "$run" "$out" "$@"

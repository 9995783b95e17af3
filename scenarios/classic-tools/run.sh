#!/usr/bin/env bash
# strace, perf record with a flame graph, perf sched, bpftrace and hostprof on the four CPU patterns and, where a server
# is named, on llama.cpp: what each shows, for docs/what-each-tool-sees.md. What each costs, cost.py measures.
#
#   run.sh HOSTPROF OUT [PID URL]      as root; calibration must lie beside HOSTPROF
#
# In OUT/NAME: strace-c.txt, bpftrace.txt, report.txt and three runs: with strace, with both perfs, and alone. strace has a
# run of its own, since its stops would show in what the others see.
set -eu
hostprof=$(realpath "$1") out=$2 pid=${3-} url=${4-}
calibration=$(dirname "$hostprof")/calibration
here=$(dirname "$(realpath "$0")")
mkdir -p "$out"
out=$(realpath "$out")

record() { # name, what runs beside, then the target
  local name=$1 also=$2
  shift 2
  echo "$name: ${also:-hostprof alone}"
  "$hostprof" record -o "$out/$name/runs" ${also:+--also "$also"} "$@" >"$out/$name/stdout" 2>>"$out/$name/record.txt"
  "$hostprof" check "$(tail -n 1 "$out/$name/stdout")" >>"$out/$name/check.txt"
}

for pattern in compute-heavy launch-heavy sync-heavy alloc-heavy; do
  rm -rf "${out:?}/$pattern"
  mkdir -p "$out/$pattern"
  command=("$calibration" "$pattern" --seconds 2)
  strace -f -c -o "$out/$pattern/strace-c.txt" "${command[@]}" >"$out/$pattern/stdout"
  sed 's/TARGET/cpid/' "$here/offcpu.bt" >"$out/$pattern/offcpu.bt"
  bpftrace -o "$out/$pattern/bpftrace.txt" -c "${command[*]}" "$out/$pattern/offcpu.bt" >"$out/$pattern/stdout"
  record "$pattern" strace -- "${command[@]}"
  record "$pattern" perf,perf-sched -- "${command[@]}"
  record "$pattern" "" -- "${command[@]}"
  "$hostprof" report "$out/$pattern/runs/run_003" >"$out/$pattern/report.txt"
done

[ -n "$pid" ] || exit 0
name=llama.cpp
rm -rf "${out:?}/$name"
mkdir -p "$out/$name"
beside() { # a tool that runs until it is interrupted, while the server is loaded
  "$@" >"$out/$name/stdout" 2>>"$out/$name/record.txt" &
  local tool=$!
  sleep 3
  "$hostprof" load --url "$url" --concurrency 4 --requests 16 --input-tokens 64 --output-tokens 32 \
    -o "$out/$name/load.jsonl" --json >"$out/$name/load.json" 2>>"$out/$name/load.txt"
  rm -f "$out/$name/load.jsonl"
  kill -INT "$tool"
  wait "$tool" || true
}
echo "$name: strace -c, bpftrace"
beside strace -f -c -o "$out/$name/strace-c.txt" -p "$pid"
sed "s/TARGET/$pid/" "$here/offcpu.bt" >"$out/$name/offcpu.bt"
beside bpftrace -o "$out/$name/bpftrace.txt" "$out/$name/offcpu.bt"
for also in strace perf,perf-sched ""; do
  echo "$name: ${also:-hostprof alone}"
  beside "$hostprof" record -o "$out/$name/runs" --pid "$pid" ${also:+--also "$also"}
  "$hostprof" check "$(tail -n 1 "$out/$name/stdout")" >>"$out/$name/check.txt"
done
"$hostprof" report "$out/$name/runs/run_003" >"$out/$name/report.txt"

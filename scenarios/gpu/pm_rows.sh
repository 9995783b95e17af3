#!/usr/bin/env bash
# Sets probe gpu_pm beside what is known: planted gaps, an idle GPU, products in bf16, GPM and nvidia-smi dmon.
#
#   pm_rows.sh BIN OUT     BIN: a folder with hostprof and calibration; OUT: a folder for what comes of it
#
# PYTHON: a python with torch (default python3); ROUNDS: pairs that tell the cost (default 7). Needs: root, an NVIDIA GPU of
# Turing or later (GPM: Hopper). Takes about four minutes. pm_rows.py judges: exit status 0 where all agrees, 3 where not.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
python=${PYTHON:-python3}
hostprof=$bin/hostprof
cd "$out" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
say() { echo "$*" | tee -a summary.txt; }
record() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$hostprof" record -o runs "$@" > "$name.path" 2> "$name.err"
    local rc=$? run
    run=$(tail -1 "$name.path")
    "$hostprof" check "$run" > "$name.check" 2>&1
    say "$name: recorded $rc, check $?, $("$python" -c '
import json, sys
config = json.load(open(sys.argv[1] + "/config.json"))
probe = [probe for probe in config["probes"] if probe["name"] == "gpu_pm"][0]
totals = config["totals"]
length = config["ended"]["mono_ns"] - config["started"]["mono_ns"]
print("notes", probe["notes"], "own CPU", round(totals["own_cpu_ns"] / 1e9, 2), "s of", round(length / 1e9, 1),
      "s, memory", totals["own_max_rss_bytes"] >> 20, "MiB, dropped", totals["dropped"])' "$run")"
    "$hostprof" export --to csv -o "$name.csv" "$run" > /dev/null 2>> "$name.err"
    "$hostprof" report "$run" > "$name.report" 2>&1
    "$hostprof" report "$run" --json > "$name.report.json" 2> /dev/null
}
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee -a summary.txt
"$hostprof" doctor > doctor.txt 2>&1

say "== planted gaps of 1, 3 and 10 ms, at 100 µs and at 500 µs"
for interval in 100us 500us; do
    record "gaps-$interval" --probe auto,gpu_pm --gpu-pm-interval $interval -- \
        "$bin/calibration" gpu-gaps --busy-ms 5 --gap-ms 1,3,10 --repeat 50 --json "$out/gaps-$interval.json"
done

say "== idle"
record idle --probe auto,gpu_pm -- sleep 5

say "== products of 8192² in bf16, seen by gpu_pm, GPM and nvidia-smi dmon"
"$python" "$here/nvml_load.py" phases.json ready go > load.txt 2>&1 &
load=$!
for _ in $(seq 600); do [ -e ready ] && break; sleep 0.1; done
"$python" -c 'import time; print(time.time_ns() - time.monotonic_ns())' > wall_minus_mono.txt
stdbuf -oL nvidia-smi dmon -s pucvmet -d 1 -o DT > dmon.txt 2>&1 & dmon=$!
(sleep 2; touch go) &
record load --pid $load --duration 40s --sample-interval 500ms --probe auto,gpu_pm
kill $dmon
wait $load

say "== a minute at 100 µs beside a busy GPU"
"$bin/calibration" compute-heavy --backend cuda --ops 5000 > long.json 2>&1 & busy=$!
record long --duration 60s --probe auto,gpu_pm --gpu-pm-interval 100us -- sleep 60
kill $busy 2> /dev/null
wait $busy 2> /dev/null

say "== another has the counters"
"$hostprof" record -o runs --probe sched,gpu_pm -- sleep 4 > /dev/null 2>&1 & first=$!
sleep 2
"$hostprof" record -o runs --probe sched,gpu_pm -- true 2>&1 | tee -a summary.txt
wait $first
say "== no library"
HOSTPROF_CUPTI=/nonexistent "$hostprof" record -o runs --probe sched,gpu_pm -- true 2>&1 | tee -a summary.txt
say "== as another user"
if id nobody > /dev/null 2>&1; then
    SUDO_UID=$(id -u nobody) SUDO_GID=$(id -g nobody) SUDO_USER=nobody \
        "$hostprof" record --probe sched,gpu_pm -o /tmp/runs-pm-nobody -- sleep 2 2>&1 | tee -a summary.txt
fi

say "== what it costs"
for round in $(seq "${ROUNDS:-7}"); do
    for with in none default gpu_pm; do
        for work in "launch-heavy --ops 300000" "compute-heavy --ops 300" "sync-heavy --ops 50000"; do
            tracer=()
            [ $with = default ] && tracer=("$hostprof" record -o runs-cost --)
            [ $with = gpu_pm ] && tracer=("$hostprof" record -o runs-cost --probe auto,gpu_pm --)
            # shellcheck disable=SC2086 # words
            "${tracer[@]}" "$bin/calibration" $work --backend cuda --json "$out/cost.json" > /dev/null 2>> cost.err
            ns=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["run_ns"])' "$out/cost.json")
            rm -f "$out/cost.json"
            echo "$round $with ${work%% *} $ns" >> cost.txt
        done
    done
done
rm -rf runs-cost
"$python" "$here/pm_rows.py" . | tee -a summary.txt
agreed=${PIPESTATUS[0]}
rm -rf runs
exit "$agreed"

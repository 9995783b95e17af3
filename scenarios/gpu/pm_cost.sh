#!/usr/bin/env bash
# What reading PM samples costs, by which metrics are read and how often, beside an idle and a busy GPU: CUPTI's own calls, and
# what hostprof takes.
#
#   pm_cost.sh BIN OUT     BIN: a folder with hostprof; OUT: a folder for what comes of it. As root.
#
# PYTHON: a python with torch, for the load (default python3). ONLY=hostprof leaves CUPTI's own calls out. Needs a GPU of Turing
# or later. Takes four minutes.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
python=${PYTHON:-python3}
cupti=${CUPTI:-$(find /usr/local/cuda*/ -name 'libcupti.so.1[23]*' 2> /dev/null | head -1)}
[ -n "$cupti" ] || { echo "no libcupti: install the CUDA toolkit"; exit 1; }
LD_LIBRARY_PATH=$(dirname "$cupti")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
e=avg.pct_of_peak_sustained_elapsed
one=gr__cycles_active.$e
two=$one,sm__cycles_active.$e
three=$two,sm__pipe_tensor_cycles_active.$e
five=$three,dram__read_throughput.$e,dram__write_throughput.$e
cd "$out" || exit 1
for load in idle busy; do
    if [ $load = busy ]; then
        "$python" -c '
import torch
a = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
open("loaded", "w").close()
while True:
    a @ a
    torch.cuda.synchronize()' & loader=$!
        for _ in $(seq 600); do [ -e loaded ] && break; sleep 0.1; done
    fi
    for interval in 500us 100us; do
        for without in none tensor tensor,dram; do
            # shellcheck disable=SC2046 # words
            run=$("$bin/hostprof" record --probe sched,gpu_pm --gpu-pm-interval $interval -o runs \
                $([ $without = none ] || echo --gpu-pm-without $without) -- sleep 8 2> record.txt) || cat record.txt
            "$bin/hostprof" report "$run" --json > report.json
            "$python" - "$run" "$load $interval without $without" << 'PY'
import json, pathlib, sys
config = json.loads((pathlib.Path(sys.argv[1]) / "config.json").read_text())
of = json.load(open("report.json"))["gpus"]["timelines"][0]
told = {key: value for key, value in of.items() if not isinstance(value, (list, dict))}
print(f"hostprof {sys.argv[2]}: {config['totals']['own_cpu_ns'] / 8e9:.2f} of a CPU, {told}", flush=True)
PY
        done
    done
    [ "${ONLY-}" = hostprof ] && continue
    for interval in 100000 500000; do
        for metrics in one two three five; do
            "$python" "$here/pm.py" "$cupti" --interval $interval --seconds 6 --samples 8000 --metrics "${!metrics}" \
                > "$load-$interval-$metrics.json" 2> error.txt || cat error.txt
            "$python" - "$load-$interval-$metrics.json" << 'PY'
import json, sys
told = json.load(open(sys.argv[1]))
spent = {name.removeprefix("cuptiPmSampling").removeprefix("cuptiProfiler"): ms for name, (_, ms) in told["calls_and_ms"].items() if ms > 50}
print(f"{sys.argv[1]:24} CPU {told['own_cpu_s']:.2f} s, {told['samples']} samples, {told['overflows']} overflows, ms: {spent}", flush=True)
PY
        done
    done
done
kill $loader

#!/usr/bin/env bash
# Answers, on a GPU machine, what PM sampling from outside a process needs, costs and loses.
#
#   pm.sh BIN OUT     BIN: a folder with the program calibration; OUT: a folder for what comes of it
#
# CUPTI: libcupti.so.13 or .12 (default: the toolkit's, else what python's packages hold). PYTHON: a python, with torch for
# the full card (default python3). Needs: an NVIDIA GPU of Turing or later. Takes about five minutes.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
python=${PYTHON:-python3}
cd "$out" || exit 1
find_cupti() {
    find /usr/local/cuda*/ "$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')" /usr/lib \
        -name 'libcupti.so.1[23]*' 2> /dev/null
}
find_cupti > cupti.txt
cupti=${CUPTI:-$(head -1 cupti.txt)}
[ -n "$cupti" ] || { echo "no libcupti: install the CUDA toolkit or nvidia-cuda-cupti" | tee summary.txt; exit 1; }
cupti_dir=$(dirname "$cupti")
export LD_LIBRARY_PATH=$cupti_dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
say() { echo "$*" | tee -a summary.txt; }
pm() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$python" "$here/pm.py" "$cupti" "$@" > "$name.json" 2> "$name.err"
    say "$name: exit $?: $(head -c 1500 "$name.json")$(tail -1 "$name.err")"
}
say "$(nvidia-smi --query-gpu=name,driver_version,memory.used --format=csv,noheader), $cupti"

say "== does it need a context, and what of the GPU's memory does it take?"
for init in none cuinit context; do pm "init-$init" --init $init --seconds 1; done

say "== which clock is the interval of?"
for mode in time sysclk; do
    for interval in 50000 100000 500000; do pm "$mode-$interval" --mode $mode --interval $interval --seconds 1; done
done

say "== which metrics fit one pass?"
e=avg.pct_of_peak_sustained_elapsed
gr=gr__cycles_active.$e sm=sm__cycles_active.$e
tensor=sm__inst_executed_pipe_tensor.$e tensor_cycles=sm__pipe_tensor_cycles_active.$e
reads=dram__read_throughput.$e writes=dram__write_throughput.$e
pm metrics-tensor --seconds 1 --metrics $gr,$sm,$tensor
pm metrics-tensor-cycles --seconds 1 --metrics $gr,$sm,$tensor_cycles
pm metrics-dram --seconds 1 --metrics $gr,$sm,$reads,$writes
pm metrics-all --seconds 1 --metrics $gr,$sm,$tensor,$reads,$writes
pm metrics-all-cycles --seconds 1 --metrics $gr,$sm,$tensor_cycles,$reads,$writes
pm metrics-pcie --seconds 1 --metrics $gr,$sm,$tensor,$reads,$writes,pcie__read_bytes.sum,pcie__write_bytes.sum

say "== loss: 30 s at 60 µs and at 200 µs, and with a buffer that is too small"
pm long-60 --interval 60000 --seconds 30 --samples 60000
pm long-200 --interval 200000 --seconds 30
pm small-buffer --interval 50000 --seconds 10 --buffer $((1 << 20))

say "== a second profiler of the counters"
"$python" "$here/pm.py" "$cupti" --hold held --seconds 30 > first.json 2> first.err & first=$!
for _ in $(seq 100); do [ -e held ] && break; sleep 0.1; done
pm second --seconds 1
rm -f held
wait $first
say "the first: exit $?: $(head -c 600 first.json)"

say "== as another user"
if command -v setpriv > /dev/null && id nobody > /dev/null 2>&1; then
    setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$python" "$here/pm.py" "$cupti" --seconds 1 \
        > nobody.json 2> nobody.err
    say "nobody: exit $?: $(head -c 600 nobody.json)$(tail -1 nobody.err)"
fi

say "== beside a card that is full"
"$python" - <<'PY' > full.txt 2>&1 &
import os, time, torch
held, size = [], 1 << 30
while size >= 1 << 20:
    try:
        held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        size //= 2
print(torch.cuda.mem_get_info(), flush=True)
open("full", "w").close()
while os.path.exists("full"):
    time.sleep(0.1)
PY
filler=$!
for _ in $(seq 300); do [ -e full ] && break; sleep 0.1; done
say "free and in all: $(cat full.txt)"
for init in none cuinit context; do pm "full-$init" --init $init --seconds 1; done
rm -f full
wait $filler

say "== planted gaps of 1, 3 and 10 ms"
"$python" "$here/pm.py" "$cupti" --interval 100000 --hold gaps-held --seconds 60 --csv gaps.csv > gaps.json 2> gaps.err & pm=$!
for _ in $(seq 100); do [ -e gaps-held ] && break; sleep 0.1; done
"$bin/calibration" gpu-gaps --busy-ms 5 --gap-ms 1,3,10 --repeat 20 --json gaps-truth.json
rm -f gaps-held
wait $pm
"$python" - <<'PY' | tee -a summary.txt
import csv, json
truth, told = json.load(open("gaps-truth.json")), json.load(open("gaps.json"))
to_mono = told["start_mono_ns"] - told["start_wall_ns"]
rows = [(int(r[0]) + to_mono, int(r[1]) + to_mono, float(r[2])) for r in list(csv.reader(open("gaps.csv")))[1:]]
sample = told["length_ns"]["median"]
within = [r for r in rows if truth["start_mono_ns"] <= r[0] <= truth["end_mono_ns"]]
# What a sample is idle is what of it the graphics engine was not active.
idle, gaps = None, []
for begin, end, active in within:
    if active < 50:
        idle = idle or [begin, 0]
        idle[1] = end
    elif idle:
        gaps.append(idle)
        idle = None
right = 0
for planted in truth["gaps"]:
    near = [g for g in gaps if g[0] < planted["end_mono_ns"] and g[1] > planted["start_mono_ns"]]
    length = sum(end - begin for begin, end in near)
    right += len(near) == 1 and abs(length - planted["gpu_ns"]) <= 2 * sample
    if planted in truth["gaps"][:6]:
        print(f"    planted {planted['intended_ns'] / 1e6:.0f} ms, by the GPU's clock {planted['gpu_ns'] / 1e6:.3f} ms, seen {length / 1e6:.3f} ms in {len(near)}")
print(f"{right} of {len(truth['gaps'])} gaps are seen with their length, one sample ({sample / 1e3:.0f} µs) at each edge")
PY

say "== what it costs: launches of a program with and without, in turn"
for round in 1 2 3 4 5 6; do
    for with in no yes; do
        if [ $with = yes ]; then
            "$python" "$here/pm.py" "$cupti" --interval 100000 --hold cost-held --seconds 60 > cost.json 2> cost.err & pm=$!
            for _ in $(seq 100); do [ -e cost-held ] && break; sleep 0.1; done
        fi
        for work in "launch-heavy --ops 300000" "compute-heavy --ops 300" "sync-heavy --ops 50000"; do
            # shellcheck disable=SC2086 # words
            ns=$("$bin/calibration" $work --backend cuda | "$python" -c 'import json, sys; print(json.load(sys.stdin)["run_ns"])')
            echo "$round $with ${work%% *} $ns" >> cost.txt
        done
        if [ $with = yes ]; then rm -f cost-held; wait $pm; fi
    done
done
"$python" - <<'PY' | tee -a summary.txt
import collections, statistics
took = collections.defaultdict(dict)
for line in open("cost.txt"):
    round_, with_, work, ns = line.split()
    took[work].setdefault(round_, {})[with_] = int(ns)
for work, rounds in took.items():
    ratios = [pair["yes"] / pair["no"] for pair in rounds.values()]
    print(f"    {work}: with / without {statistics.mean(ratios):.4f}, least {min(ratios):.4f}, most {max(ratios):.4f}, n {len(ratios)}")
PY

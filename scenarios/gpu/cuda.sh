#!/usr/bin/env bash
# Records CUDA's calls on a GPU machine: are launches and waits counted exactly, is a spinning wait told as such, and what
# does it cost?
#
#   cuda.sh BIN OUT     BIN: a folder with the programs hostprof and calibration; OUT: a folder for what comes of it:
#                       summary.txt, details.tar.gz, runs.tar.gz
#
# PAIRS: how often the cost is measured, 7 by default. Needs: root, an NVIDIA GPU and its driver, python3; no CUDA toolkit.
# Takes about four minutes. Exit status 0 where all agrees, 3 where something does not; summary.txt is what to read first.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
pairs=${PAIRS-7}
cd "$out" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing 2> /dev/null
failed=0
say() { echo "$*" | tee -a summary.txt; }
say "$(uname -r), $(nproc) CPUs, $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
say "$("$bin/hostprof" --version)"
"$bin/hostprof" doctor 2> /dev/null | grep -A1 cuda > doctor.txt

# One pattern under the probes: its own account in NAME.truth.json, hostprof's in NAME.report.json.
record() { # NAME PROBES ARGUMENTS...
    local name=$1 probes=$2 run status checked
    shift 2
    "$bin/hostprof" record -o runs --probe "$probes" -- "$bin/calibration" "$@" --backend cuda --json "$out/$name.truth.json" \
        > "$name.path" 2> "$name.err"
    status=$?
    run=$(tail -1 "$name.path")
    "$bin/hostprof" check "$run" > "$name.check" 2>&1
    checked=$?
    "$bin/hostprof" report "$run" --json > "$name.report.json" 2>> "$name.err"
    "$bin/hostprof" report "$run" > "$name.report.txt" 2>&1
    cp "$run/config.json" "$name.config.json"
    say "$name: exit $status, check $checked, $(grep -E ' records ' "$name.err" | tail -1)"
    if [ $status != 0 ] || [ $checked != 0 ]; then
        failed=3
        tail -5 "$name.err" "$name.check" | tee -a summary.txt
    fi
}

"$bin/calibration" sync-heavy --backend cuda --ops 0 > /dev/null # the first use of the driver after boot does more
record launches auto,cuda launch-heavy --ops 200000
record graphs auto,cuda launch-heavy --ops 20000 --graph=16
record threads auto,cuda launch-heavy --ops 50000 --threads 4 --streams 2
record waits auto,cuda sync-heavy --ops 50000
record long-waits auto,cuda sync-heavy --ops 4000 --size 200000
record sleeping-waits auto,cuda sync-heavy --ops 20000 --sync blocking
record allocations auto,cuda alloc-heavy --ops 500
record launch-rows auto,cuda_launch launch-heavy --ops 200000

# A process that already runs, and its library with it.
"$bin/calibration" sync-heavy --backend cuda --seconds 8 > attached.truth.json & running=$!
sleep 2
"$bin/hostprof" record --pid $running --probe auto,cuda --duration 3s -o runs > attached.path 2> attached.err
"$bin/hostprof" check "$(tail -1 attached.path)" > attached.check 2>&1
say "attached: check $?, $(grep -E ' records ' attached.err | tail -1)"
"$bin/hostprof" report "$(tail -1 attached.path)" > attached.report.txt 2>&1
wait $running

python3 "$here/cuda.py" agree . | tee -a summary.txt
[ "${PIPESTATUS[0]}" = 0 ] || failed=3

# Cost: the same program alone, recorded as by default, with CUDA's calls, and with each launch a row; in turn.
cost() { # NAME ARGUMENTS...
    local name=$1 pair kind
    shift
    for pair in $(seq "$pairs"); do
        for kind in off default cuda cuda_launch; do
            case $kind in
                off) "$bin/calibration" "$@" --backend cuda --json "cost-$name-$kind-$pair.json" > /dev/null ;;
                *)
                    local probes=auto
                    [ $kind = default ] || probes=auto,$kind
                    "$bin/hostprof" record -o cost --probe $probes -- "$bin/calibration" "$@" --backend cuda \
                        --json "$out/cost-$name-$kind-$pair.json" > /dev/null 2>> cost.err
                    ;;
            esac
        done
        rm -rf cost
    done
}
cost launches launch-heavy --ops 200000
cost waits sync-heavy --ops 50000
python3 "$here/cuda.py" cost . | tee -a summary.txt
say "exit $failed"
# Few files: what is to be read, what it is from, and the recordings.
tar czf runs.tar.gz runs && rm -r runs
mkdir details && mv ./*.json ./*.txt ./*.err ./*.path ./*.check details/ && mv details/summary.txt .
tar czf details.tar.gz details && rm -r details
exit $failed

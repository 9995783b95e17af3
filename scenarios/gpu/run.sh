#!/usr/bin/env bash
# Records CUDA programs with known answers on a GPU machine and sets hostprof's counts beside an independent one.
#
#   run.sh HOSTPROF OUT     HOSTPROF: the binary; OUT: a folder for the runs (as runs.tar.gz) and summary.txt
#
# OPTIONS: what else hostprof record is told, the span probes by default.
# Needs: root, nvcc, gcc, an NVIDIA GPU. Takes about two minutes.
set -u
hostprof=$(realpath "$1")
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
options=${OPTIONS---probe auto,ioctl,memory,futex --futex-threshold 0}
work=$(mktemp -d)
cd "$work" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
"$nvcc" -O2 -o patterns "$here/patterns.cu" && gcc -O2 -shared -fPIC -o count_ioctl.so "$here/count_ioctl.c" || exit 1

say() { echo "$*" | tee -a "$out/summary.txt"; }
say "$(uname -r), $(nproc) CPUs, $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
say "$(. /etc/os-release; echo "$PRETTY_NAME"), $(ldd --version | head -1)"
"$hostprof" --version | tee -a "$out/summary.txt"
"$hostprof" doctor > "$out/doctor.txt" 2>&1
say "doctor: exit $?"
"$hostprof" doctor --json > "$out/doctor.json" 2>/dev/null

record() { # NAME ARGUMENTS...
    local name=$1
    shift
    # shellcheck disable=SC2086 # words
    "$hostprof" record -o runs $options -- \
        env COUNT_IOCTL="$work/$name.count" LD_PRELOAD="$work/count_ioctl.so" ./patterns "$@" \
        > "$name.path" 2> "$name.err"
    local status=$? run
    run=$(tail -1 "$name.path")
    "$hostprof" check "$run" > "$name.check" 2>&1
    local checked=$?
    say "$name: exit $status, check $checked, $run, counted apart: $(cat "$name.count"), $(grep -E ' records ' "$name.err" | tail -1)"
    [ $checked = 0 ] || tail -5 "$name.check" | tee -a "$out/summary.txt"
}

./patterns init # the first use of the driver after boot does more
for round in 1 2; do record "init-$round" init; done
record alloc alloc 100
record pinned pinned 50
record launch launch 20000
record sync-spinning sync 5000
record sync-blocking sync 5000 blocking

# A process that already runs.
./patterns sync 2000000 blocking & running=$!
sleep 1
"$hostprof" record --pid $running --duration 5s -o runs > attached.path 2> attached.err
"$hostprof" check "$(tail -1 attached.path)" > attached.check 2>&1
say "attached: check $?, $(grep -E ' records ' attached.err | tail -1)"
"$hostprof" report "$(tail -1 attached.path)" > "$out/report-attached.txt" 2>&1
kill $running

"$hostprof" report "$(tail -1 alloc.path)" > "$out/report-alloc.txt" 2>&1
tail -n +1 ./*.err > "$out/stderr.txt"
tar czf "$out/runs.tar.gz" runs

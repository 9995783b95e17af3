#!/usr/bin/env bash
# Records the CUDA patterns on a GPU machine and sets what was intended beside what was observed.
#
#   calibrate.sh BIN OUT     BIN: a folder with the programs hostprof and calibration; OUT: a folder for what comes of it
#
# Needs: root, an NVIDIA GPU and its driver; no CUDA toolkit. Takes about three minutes.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$out" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader > machine.txt
uname -r >> machine.txt

# Each pattern by itself first: a program that fails is told apart from a recorder that does.
calibration() {
    echo "calibration $*" >> programs.txt
    "$bin/calibration" "$@" >> programs.txt 2>&1 || echo "    exit $?" | tee -a programs.txt
}
calibration sync-heavy --backend cuda --ops 0
calibration compute-heavy --backend cuda --ops 100
calibration compute-heavy --backend cuda --seconds 2
calibration launch-heavy --backend cuda --ops 200000
calibration launch-heavy --backend cuda --ops 20000 --threads 4 --streams 2
calibration launch-heavy --backend cuda --ops 20000 --graph=16
for sync in spin yield blocking; do calibration sync-heavy --backend cuda --ops 20000 --sync $sync; done
calibration sync-heavy --backend cuda --ops 5000 --threads 4 --sync blocking
for alloc in device pool pinned vmm; do calibration alloc-heavy --backend cuda --ops 500 --alloc $alloc; done
calibration gpu-gaps --busy-ms 5 --gap-ms 1,3,10 --repeat 20
CUDA_VISIBLE_DEVICES='' "$bin/calibration" launch-heavy --backend cuda --ops 1 > no-gpu.txt 2>&1
echo "without a GPU: exit $?: $(cat no-gpu.txt)" | tee -a summary.txt

"$bin/hostprof" calibrate --backend cuda -o runs > calibrate.txt 2> calibrate.err
status=$?
tail -5 calibrate.err
cat calibrate.txt
"$bin/hostprof" calibrate --backend cuda -o runs --json > calibrate.json 2>> calibrate.err
again=$?
echo "calibrate: exit $status, a second time $again (0 as intended, 3 something is not)" | tee -a summary.txt

# What a report says of each.
for run in runs/run_*; do "$bin/hostprof" report "$run" > "report-$(basename "$run").txt" 2>&1; done
tar czf runs.tar.gz runs && rm -r runs
exit $status

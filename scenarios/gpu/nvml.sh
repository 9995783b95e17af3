#!/usr/bin/env bash
# Sets hostprof's samples of GPUs beside nvidia-smi dmon over the same seconds, under a load that is known.
#
#   nvml.sh BIN OUT     BIN: a folder with the programs hostprof and calibration; OUT: a folder for what comes of it
#
# PYTHON: a python with torch (default python3). Needs: root, an NVIDIA GPU with GPM (Hopper or later). Takes about two
# minutes. Phases of the load: idle, 8192² products in bf16, idle, copies to the GPU and back; the load writes down when
# each began and ended. nvml_compare.py judges: exit status 0 where all agrees, 3 where not.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
python=${PYTHON:-python3}
hostprof=$bin/hostprof
cd "$out" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing

nvidia-smi --query-gpu=name,driver_version,mig.mode.current,persistence_mode --format=csv > machine.txt
uname -r >> machine.txt
cat /proc/driver/nvidia/params > params.txt 2>/dev/null
"$hostprof" doctor --json > doctor.json 2> doctor.err
"$hostprof" doctor > doctor.txt 2>&1

# What each call of NVML costs, with the GPU idle and busy.
"$python" "$here/nvml_calls.py" > calls-idle.txt 2>&1

# The same seconds, seen three ways.
"$python" "$here/nvml_load.py" phases.json ready go > load.txt 2>&1 &
load=$!
for _ in $(seq 600); do [ -e ready ] && break; sleep 0.1; done
[ -e ready ] || { echo "the load did not start (torch?): see load.txt" >&2; tail -3 load.txt >&2; exit 1; }
"$python" -c 'import time; print(time.time_ns() - time.monotonic_ns())' > wall_minus_mono.txt
stdbuf -oL nvidia-smi dmon -s pucvmet -d 1 -o DT > dmon.txt 2>&1 & dmon=$!
"$hostprof" record --pid $load --duration 48s --sample-interval 500ms -o runs > record.path 2> record.err &
recorder=$!
sleep 2
touch go
sleep 15
"$python" "$here/nvml_calls.py" > calls-busy.txt 2>&1
wait $recorder
recorded=$?
kill $dmon
wait $load
run=$(tail -1 record.path)
"$hostprof" check "$run" > check.txt 2>&1
checked=$?
"$hostprof" report "$run" > report.txt 2>&1
"$hostprof" report "$run" --json > report.json 2>/dev/null
"$hostprof" export --to csv -o csv "$run" > export.txt 2>&1
cp "$run/config.json" config.json

# Not as root: what the driver lets anyone read.
if id nobody > /dev/null 2>&1; then
    SUDO_UID=$(id -u nobody) SUDO_GID=$(id -g nobody) SUDO_USER=nobody \
        "$hostprof" record --duration 3s --sample-interval 200ms -o /tmp/runs-nobody -- sleep 3 > nobody.path 2> nobody.err
    cp "$(tail -1 nobody.path)/config.json" config-nobody.json 2>/dev/null
    "$hostprof" report "$(tail -1 nobody.path)" > report-nobody.txt 2>&1
fi

# Costs: hostprof's own CPU time with and without samples, of a program that only sleeps.
for samples in "--no-samples" "--sample-interval 1s" "--sample-interval 100ms"; do
    # shellcheck disable=SC2086 # words
    "$hostprof" record $samples --duration 10s -o runs -- sleep 10 > cost.path 2> /dev/null
    "$python" - "$(tail -1 cost.path)" "$samples" >> cost.txt << 'PY'
import json, sys
totals = json.load(open(sys.argv[1] + "/config.json"))["totals"]
print(f"{sys.argv[2]:24} {totals['own_cpu_ns'] / 1e6:8.1f} ms of CPU in 10 s, {totals['own_max_rss_bytes'] >> 20} MiB")
PY
done

"$python" "$here/nvml_compare.py" . | tee summary.txt
agreed=${PIPESTATUS[0]}
echo "recorded: exit $recorded, check $checked, compare $agreed" | tee -a summary.txt
cat cost.txt | tee -a summary.txt
tar czf runs.tar.gz runs && rm -r runs
exit "$agreed"

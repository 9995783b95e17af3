#!/usr/bin/env bash
# Records a vLLM server on a GPU under five loads, attached to by the pid that nvidia-smi shows, and tells what was seen.
#
#   vllm.sh BIN URL OUT     BIN: a folder with hostprof; URL: of a server that runs here; OUT: a folder for what comes of it:
#                           summary.txt, a report and its JSON of each load, runs.tar.gz
#
# Loads: 100 requests of 512 tokens for 128, one and eight at a time; long prompts for one token; short ones for 512; and 8 at
# a time by a client that is not hostprof's, under way before hostprof is. Needs: root, python3, nvidia-smi, libcupti.
# Takes about four minutes. Exit status 0 where every recording passes its check and joins its requests, 3 where not.
set -u
bin=$(realpath "$1")
url=$2
mkdir -p "$3"
out=$(realpath "$3")
here=$(dirname "$(realpath "$0")")
hostprof=$bin/hostprof
cd "$out" || exit 1
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing 2> /dev/null
failed=0
say() { echo "$*" | tee -a summary.txt; }
say "$(uname -r), $(nproc) CPUs, $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader), $("$hostprof" --version)"
pid=$(nvidia-smi --query-compute-apps=pid --format=csv,noheader | head -1)
# In a container nvidia-smi may see no process: the engine core is then known by its name.
[ -n "$pid" ] && [ -d "/proc/$pid" ] || pid=$(pgrep -f 'VLLM::EngineCore' | head -1)
say "pid $pid, $(tr '\0' ' ' < "/proc/$pid/cmdline" | cut -c1-60)"

# One recording under a load, which begins when it does.
record() { # NAME PROBES LOAD...
    local name=$1 probes=$2 run recorder
    shift 2
    "$hostprof" record --pid "$pid" --probe "$probes" --gpu-pm-interval "${INTERVAL-200us}" --metrics "$url/metrics" \
        -o "$name" > "$name.path" 2> "$name.err" & recorder=$!
    for _ in $(seq 200); do [ -s "$name/run_001/config.json" ] && break; sleep 0.05; done
    sleep 2
    run=$name/run_001
    "$@" > "$name.load.txt" 2>&1 || say "$name: the load ended with $?: $(tail -1 "$name.load.txt")"
    sleep 1
    kill -INT $recorder
    wait $recorder || failed=3
    "$hostprof" check "$run" > "$name.check.txt" 2>&1 || failed=3
    say "$name: $(grep -E ' records ' "$name.err" | tail -1); check: $(tail -1 "$name.check.txt")"
    "$hostprof" report "$run" > "$name.report.txt" 2>> "$name.err"
    "$hostprof" report "$run" --json > "$name.report.json" 2>> "$name.err"
}
load() { # NAME ARGUMENTS...: into the recording of that name
    local name=$1
    shift
    "$hostprof" load --url "$url" --run "$name/run_001" "$@"
}

"$hostprof" load --url "$url" --concurrency 8 --requests 16 > warm.txt 2>&1 # what is compiled at the first request
record one auto,http,gpu_pm load one --concurrency 1 --requests 100
record eight auto,http,gpu_pm load eight --concurrency 8 --requests 100
record prefill auto,http,gpu_pm load prefill --concurrency 4 --requests 100 --input-tokens 2048 --output-tokens 1
record decode auto,http,gpu_pm load decode --concurrency 8 --requests 32 --input-tokens 16 --output-tokens 512
record calls auto,http,cuda,gpu_pm load calls --concurrency 8 --requests 100
record launches auto,http,cuda_launch,gpu_pm load launches --concurrency 8 --requests 50

# Somebody else's client, already at work.
python3 "$here/client.py" "$url" --concurrency 8 --seconds 14 > client.txt 2>&1 & client=$!
sleep 2
record stranger auto,http,gpu_pm sleep 8
wait $client
say "the other client: $(tail -1 client.txt)"

"$hostprof" live --pid "$pid" --once --json > live.json 2> live.err || say "live: $(tail -1 live.err)"
for name in one eight prefill decode calls launches stranger; do tar czf "$name.tar.gz" "$name" && rm -r "$name"; done
tar cf details.tar ./*.txt ./*.json ./*.err && gzip -f details.tar
say "exit $failed"
exit $failed

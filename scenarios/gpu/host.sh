#!/usr/bin/env bash
# What a host of many CPUs asks of the recorder: pairs that wake each other on every CPU, a ceiling below a storm, and a view.
#
#   host.sh BIN OUT     BIN: a folder with the programs hostprof and workload; OUT: a folder for what comes of it: host.txt
#
# SECONDS_EACH: how long the pairs run (default 60). PARTS: which to run (default "pairs ceiling view"). Needs: root, taskset, python3, script. The GPU is not used. Takes about
# three minutes. Exit status 0 where nothing was lost, every check passes and every ceiling was kept, 3 where not.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cpus=$(nproc)
failed=0
work=$(mktemp -d)
cd "$work" || exit 1
say() { echo "$*" | tee -a "$out/host.txt"; }
wanted() { [[ " ${PARTS-pairs ceiling view} " == *" $1 "* ]]; }
say "$(uname -r), $cpus CPUs, $("$bin/hostprof" --version)"

# What a recording says of itself; 3 where it lost records, its check does not pass or a ceiling was not kept.
judge() { # NAME [CEILING]
    local name=$1 ceiling=${2-}
    "$bin/hostprof" check runs/run_001 > check.txt 2>&1
    python3 - "$name" "$?" "$ceiling" << 'P' | tee -a "$out/host.txt"
import glob, json, os, sys
name, check, ceiling = sys.argv[1:]
config = json.load(open("runs/run_001/config.json"))
totals = config["totals"]
records, dropped = totals["records"], sum(of["records"] for of in totals["dropped"])
length = (config["ended"]["mono_ns"] - config["started"]["mono_ns"]) / 1e9
size = sum(os.path.getsize(file) for file in glob.glob("runs/run_001/*/*.parquet"))
kept = ""
bad = dropped > 0 or check != "0"
if ceiling:
    told = config["ceiling"]
    ratio = told["greatest_overhead_ratio"]
    bad = ratio > float(ceiling)
    kept = f", ceiling {float(ceiling):.0%}: worst second {ratio:.3%}, whole {(told['bpf_ns'] + told['own_ns']) / told['target_ns']:.3%}, programs {told['bpf_ns'] / 1e6:.1f} ms, own {told['own_ns'] / 1e6:.1f} ms"
print(f"{'FAILS' if bad else 'ok   '} {name}: {records / 1e6:.2f} M records in {length:.1f} s, {records / length / 1e6:.2f} M/s, lost {dropped}, "
      f"check {check}, {totals['own_cpu_ns'] / 1e3 / max(records, 1):.3f} CPU-s/M, {totals['own_max_rss_bytes'] >> 20} MiB, "
      f"{size / max(records, 1):.2f} bytes a record{kept}")
sys.exit(3 if bad else 0)
P
    [ "${PIPESTATUS[0]}" = 0 ] || failed=3
    rm -rf runs
}

if wanted pairs; then
    pairs="for cpu in \$(seq 0 $((cpus - 1))); do taskset -c \$cpu timeout ${SECONDS_EACH-60} $bin/workload pipe-ping --count 1000000000 & done; wait"
    "$bin/hostprof" record -o runs -- sh -c "$pairs" > /dev/null 2> record.err
    judge "pairs on all CPUs"
fi
if wanted ceiling; then
    for most in 1 2 5; do
        for threads in $((2 * cpus)) $((4 * cpus)); do
            "$bin/hostprof" record -o runs --max-overhead $most% -- "$bin/workload" storm --threads "$threads" --seconds 4 > /dev/null 2> record.err
            judge "storm of $threads threads" "0.0$most"
        done
        "$bin/hostprof" record -o runs --no-samples --max-overhead $most% -- "$bin/workload" storm --threads $((2 * cpus)) --seconds 4 > /dev/null 2> record.err
        judge "storm of $((2 * cpus)) threads, no samples" "0.0$most"
        "$bin/workload" storm --threads $((2 * cpus)) --seconds 6 > /dev/null & storm=$!
        sleep 0.5
        "$bin/hostprof" record -o runs --max-overhead $most% --pid $storm --duration 4s > /dev/null 2> record.err
        judge "storm that ran already" "0.0$most"
        kill $storm 2> /dev/null
        wait $storm 2> /dev/null
    done
fi
# Two hundred busy threads and 200,000 records a second, looked at ten times a second; and on a terminal that nobody reads.
if wanted view; then
    for terminal in read stopped; do
        "$bin/workload" sleeps --count 1000000000 --us 800 --more 199 > /dev/null & busy=$!
        sleep 0.5
        line="stty rows 40 cols 120; exec $bin/hostprof live --record --refresh 100ms --pid $busy --duration 10s -o $work/runs"
        if [ $terminal = read ]; then
            TERM=xterm-256color timeout 40 script -qec "$line" /dev/null > view.txt 2>&1 & view=$!
        else
            TERM=xterm-256color timeout 40 script -qec "$line" /dev/null 2>&1 | sleep 40 & view=$!
        fi
        for _ in $(seq 60); do
            grep -q '"totals": {' runs/run_001/config.json 2> /dev/null && break
            sleep 0.5
        done
        pkill -f "$bin/hostprof live"
        kill $view $busy 2> /dev/null
        wait 2> /dev/null
        judge "200 busy threads, viewed at 10 Hz on a terminal that is $terminal"
    done
fi
cd / && rm -rf "$work"
say "exit $failed"
exit $failed

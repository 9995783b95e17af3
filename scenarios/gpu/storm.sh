#!/usr/bin/env bash
# How many records a second the collector takes without loss, by CPUs and by folds: storms of context switches that
# leave no CPU for it.
#
#   storm.sh BIN OUT     BIN: a folder with the programs hostprof and workload; OUT: a folder for what comes of it
#
# SECONDS_EACH: how long a storm lasts (default 15). FOLDS: how many threads fold, auto for hostprof's own choice (default
# "auto 1 4 8"). Needs: root, taskset, python3. The GPU is not used: it is the CPUs of such a machine that matter.
# Writes storms.txt, a line for each storm, and check.txt. Ends with 1 where a check fails.
set -u
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
seconds=${SECONDS_EACH:-15}
cpus=$(nproc)
failed=0
cd "$out" || exit 1
{ uname -r; nproc; "$bin/hostprof" --version; } > machine.txt

storm() { # CPUS FOLDS NAME COMMAND...
    local count=$1 folds=$2 name=$3 run verdict option=()
    shift 3
    [ "$folds" = auto ] || option=(--folds "$folds")
    rm -rf runs
    "$bin/hostprof" record --no-samples "${option[@]}" -o runs -- "$@" > storm.out 2> storm.err
    run=$(ls -d runs/run_*)
    # Of records that are lost nothing can be checked: the verdict is then undecided, status 4.
    "$bin/hostprof" check "$run" > check.tmp 2>&1
    verdict=$?
    [ "$verdict" = 3 ] && failed=1
    { echo "## $name, $count CPUs, folds $folds"; tail -5 check.tmp; } >> check.txt
    python3 - "$run" "$count" "$folds" "$name" "$verdict" << 'P' | tee -a storms.txt
import glob, json, os, sys
run, cpus, folds, name, verdict = sys.argv[1:]
config = json.load(open(run + '/config.json'))
totals = config['totals']
records, dropped = totals['records'], sum(of['records'] for of in totals['dropped'])
length = (config['ended']['mono_ns'] - config['started']['mono_ns']) / 1e9
size = sum(os.path.getsize(file) for file in glob.glob(run + '/*/*.parquet'))
print(f"{name:6} {cpus:>3} CPUs  folds {folds:>4}  made {(records + dropped) / length / 1e6:5.2f} M/s  lost "
      f"{dropped / max(records + dropped, 1):7.3%}  {totals['own_cpu_ns'] / 1e3 / max(records, 1):.3f} CPU-s/M  "
      f"{totals['own_max_rss_bytes'] >> 20} MiB  {size / max(records, 1):.2f} bytes  check {verdict}", flush=True)
P
}

for count in 1 2 4 8 12 16 32 64; do
    [ "$count" -le "$cpus" ] || continue
    last=$((count - 1))
    for folds in ${FOLDS:-auto 1 4 8}; do
        storm "$count" "$folds" storm taskset -c "0-$last" "$bin/workload" storm --threads $((4 * count)) --seconds "$seconds"
    done
done
# A pair of processes on each CPU, which wake each other through pipes.
if command -v perf > /dev/null; then
    pairs="for cpu in \$(seq 0 $((cpus - 1))); do taskset -c \$cpu perf bench sched pipe -l 1500000 & done; wait"
    for folds in ${FOLDS:-auto 1 4 8}; do storm "$cpus" "$folds" pipe sh -c "$pairs"; done
fi
rm -rf runs check.tmp
exit $failed

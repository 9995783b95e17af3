"""Holds imported rows against the files they are from, against probe http, and samples of the engine against curl.

agree.py RUN OUT [FILE…]
"""
import json, sys
import duckdb

run, out = sys.argv[1], sys.argv[2]
sql = lambda text: duckdb.sql(text.replace("$", run + "/")).fetchall()
ok = True


def say(good, text):
    global ok
    ok &= good
    print("ok  " if good else "FAIL", text)


# 1. The log of hostprof load beside its imported rows.
log = {}
for line in open(f"{out}/load.jsonl").read().splitlines()[1:]:
    row = json.loads(line)
    log[row["request_id"]] = row
rows = {r[0]: r[1:] for r in sql("select request_id, arrival_mono_ns, first_token_mono_ns, end_mono_ns, output_tokens from '$request/*.parquet' where source = 'load'")}
worst = [0, 0]
for name, row in log.items():
    arrival, first, end, tokens = rows[name]
    own = row["first_token_mono_ns"] - row["arrival_mono_ns"], (row["end_mono_ns"] - row["first_token_mono_ns"]) / (row["output_tokens"] - 1)
    told = first - arrival, (end - first) / (tokens - 1)
    worst = [max(w, abs(a - b)) for w, a, b in zip(worst, own, told)]
say(len(rows) == len(log) and max(worst) < 2e6, f"load: {len(rows)} of {len(log)} rows, TTFT off by {worst[0]} ns, TPOT by {worst[1]:.0f} ns at most")

# 2. Each imported request beside the row of probe http.
for source, n, paired, tier, most, ttft, late in sql("""
    select i.source, count(*), count(k.request_id), string_agg(distinct i.join_tier), max(i.join_error_ns),
           quantile_cont(abs((i.first_token_mono_ns - i.arrival_mono_ns) - (k.first_token_mono_ns - k.arrival_mono_ns)), 0.5) / 1e6,
           quantile_cont(k.arrival_mono_ns - i.arrival_mono_ns, 0.5) / 1e6
    from '$request/*.parquet' i left join '$request/*.parquet' k on k.request_id = i.kernel_id and k.source = 'kernel'
    where i.source <> 'kernel' group by 1 order by 1"""):
    say(paired == n, f"{source}: {paired} of {n} seen by probe http too · {tier}, error {most} ns at most · TTFT differs by {ttft or 0:.2f} ms, arrival by {late:.2f} ms (medians)")
wrong = sql("select count(*) from '$request/*.parquet' i join '$request/*.parquet' k on k.request_id = i.kernel_id and k.source = 'kernel' where i.source <> 'kernel' and k.client_id is not null and i.join_tier <> 'exact' and i.source in ('load', 'aiperf')")[0][0]
say(wrong == 0, f"{wrong} requests whose id the client sent are joined otherwise")
twice = sql("select count(*) - count(distinct kernel_id) from '$request/*.parquet' where kernel_id is not null and source <> 'kernel' group by source")
say(all(n == 0 for (n,) in twice), "no request of probe http is joined twice by a source")

# 3. Samples of the engine beside what curl showed at quiet moments.
names = {"running": "requests_processing", "waiting": "requests_deferred", "output_tokens": "tokens_predicted_total", "prefill_ns": "prompt_seconds_total", "decode_ns": "tokens_predicted_seconds_total"}
seen = {}
for line in open(f"{out}/curl.txt"):
    at, name, value = line.split(" ", 2) if not line.split(" ", 1)[1].startswith("#") else (None, None, None)
    if at:
        seen.setdefault(float(at), {})[name.removeprefix("llamacpp:")] = float(value)
for at, page in seen.items():
    row = sql(f"select {', '.join(names)} from '$engine_sample/*.parquet' order by abs(ts_mono_ns::bigint - {int(at * 1e9)}) limit 1")[0]
    want = [round(page[name] * (1e9 if column.endswith('_ns') else 1)) for column, name in names.items()]
    say(list(row) == want, f"engine_sample at {at}: {dict(zip(names, row))}")
n, engine, read = sql("select count(*), any_value(engine), max(read_ns) / 1e6 from '$engine_sample/*.parquet'")[0]
print(f"     {n} samples of {engine}, read in {read:.1f} ms at most")
sys.exit(not ok)

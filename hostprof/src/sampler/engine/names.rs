//! Which metric of which engine fills which column.

use std::collections::HashMap;

use super::prometheus::{Sample, samples};
use crate::table::EngineSampleRow;

/// Labels that tell the parts of one core apart, each of which tells the whole core's number.
const RANKS: [&str; 4] = ["tp_rank", "pp_rank", "moe_ep_rank", "pid"];

/// The names of an engine's metrics, without the prefix; of a column the first that is there counts, each also with
/// `_total` behind it.
struct Names {
    engine: &'static str,
    prefix: &'static str,
    running: &'static [&'static str],
    waiting: &'static [&'static str],
    kv_used: &'static [&'static str],
    hits: &'static [&'static str],
    queries: &'static [&'static str],
    preemptions: &'static [&'static str],
    input: &'static [&'static str],
    output: &'static [&'static str],
    finished: &'static [&'static str],
    queue: &'static [&'static str],
    prefill: &'static [&'static str],
    decode: &'static [&'static str],
}

const ENGINES: &[Names] = &[
    Names {
        engine: "vLLM",
        prefix: "vllm:",
        running: &["num_requests_running"],
        waiting: &["num_requests_waiting"],
        kv_used: &["kv_cache_usage_perc", "gpu_cache_usage_perc"],
        hits: &["prefix_cache_hits", "gpu_prefix_cache_hits"],
        queries: &["prefix_cache_queries", "gpu_prefix_cache_queries"],
        preemptions: &["num_preemptions"],
        input: &["prompt_tokens"],
        output: &["generation_tokens"],
        finished: &["request_success"],
        queue: &["request_queue_time_seconds_sum"],
        prefill: &["request_prefill_time_seconds_sum"],
        decode: &["request_decode_time_seconds_sum"],
    },
    Names {
        engine: "SGLang",
        prefix: "sglang:",
        running: &["num_running_reqs"],
        waiting: &["num_queue_reqs"],
        kv_used: &["token_usage"],
        hits: &["cached_tokens"],
        queries: &["prompt_tokens"],
        preemptions: &["num_retracted_requests", "num_retracted_reqs"],
        input: &["prompt_tokens"],
        output: &["generation_tokens"],
        finished: &["num_requests"],
        queue: &["queue_time_seconds_sum"],
        prefill: &[],
        decode: &[],
    },
    Names {
        engine: "llama.cpp",
        prefix: "llamacpp:",
        running: &["requests_processing"],
        waiting: &["requests_deferred"],
        kv_used: &["kv_cache_usage_ratio"],
        hits: &["prompt_tokens_cached"],
        queries: &[],
        preemptions: &[],
        input: &["prompt_tokens"],
        output: &["tokens_predicted"],
        finished: &[],
        queue: &[],
        prefill: &["prompt_seconds"],
        decode: &["tokens_predicted_seconds"],
    },
];

/// The row of a page, its time and server left open. `None` for a page of something else.
pub fn row(text: &str) -> Option<EngineSampleRow> {
    let names =
        ENGINES.iter().find(|names| samples(text).any(|sample| sample.name.starts_with(names.prefix)))?;
    let metrics = Metrics::read(text, names.prefix);
    let mut row = EngineSampleRow {
        engine: names.engine.to_owned(),
        running: metrics.count(names.running),
        waiting: metrics.count(names.waiting),
        kv_used_ratio: metrics.most(names.kv_used),
        prefix_hits: metrics.count(names.hits),
        prefix_queries: metrics.count(names.queries),
        preemptions: metrics.count(names.preemptions),
        input_tokens: metrics.count(names.input),
        output_tokens: metrics.count(names.output),
        finished: metrics.count(names.finished),
        queue_ns: metrics.ns(names.queue),
        prefill_ns: metrics.ns(names.prefill),
        decode_ns: metrics.ns(names.decode),
        ..EngineSampleRow::default()
    };
    if names.engine == "llama.cpp"
        && let (Some(computed), Some(cached)) = (row.input_tokens, row.prefix_hits)
    {
        // Its tokens of prompts are those that were not in the cache.
        row.input_tokens = Some(computed + cached);
        row.prefix_queries = row.input_tokens;
    }
    Some(row)
}

/// A name with its labels.
type Series<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// Values by name, one for each core.
struct Metrics<'a>(HashMap<&'a str, Vec<f64>>);

impl<'a> Metrics<'a> {
    fn read(text: &'a str, prefix: &str) -> Self {
        let mut cores: HashMap<Series<'_>, f64> = HashMap::new();
        for Sample { name, mut labels, value } in samples(text) {
            let Some(name) = name.strip_prefix(prefix).filter(|_| value.is_finite()) else { continue };
            // Requests by priority are told beside all of them, which have none.
            if labels.iter().any(|&(label, value)| label == "priority" && !value.is_empty()) {
                continue;
            }
            labels.retain(|(label, _)| !RANKS.contains(label));
            labels.sort_unstable();
            let most = cores.entry((name, labels)).or_insert(value);
            *most = most.max(value);
        }
        let mut metrics: HashMap<&str, Vec<f64>> = HashMap::new();
        for ((name, _), value) in cores {
            metrics.entry(name).or_default().push(value);
        }
        Self(metrics)
    }

    fn find(&self, names: &[&str]) -> Option<&[f64]> {
        names
            .iter()
            .find_map(|name| self.0.get(*name).or_else(|| self.0.get(format!("{name}_total").as_str())))
            .map(Vec::as_slice)
    }

    fn sum(&self, names: &[&str]) -> Option<f64> {
        self.find(names).map(|values| values.iter().sum()).filter(|&sum: &f64| sum >= 0.0)
    }

    fn count(&self, names: &[&str]) -> Option<u64> {
        self.sum(names).map(|sum| sum.round() as u64)
    }

    fn ns(&self, names: &[&str]) -> Option<u64> {
        self.sum(names).map(|seconds| (seconds * 1e9).round() as u64)
    }

    fn most(&self, names: &[&str]) -> Option<f64> {
        self.find(names)?.iter().copied().reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vllm_tells_every_column_and_cores_are_summed() {
        let text = "\
vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0
vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4.0
vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 1.0
vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25
vllm:kv_cache_usage_perc{engine=\"1\",model_name=\"m\"} 0.5
vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"m\"} 100.0
vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"m\"} 40.0
vllm:num_preemptions_total{engine=\"0\",model_name=\"m\"} 2.0
vllm:request_success_total{engine=\"0\",finished_reason=\"stop\"} 5.0
vllm:request_success_total{engine=\"0\",finished_reason=\"length\"} 6.0
vllm:request_queue_time_seconds_sum{engine=\"0\"} 0.5
vllm:request_queue_time_seconds_bucket{engine=\"0\",le=\"0.3\"} 5
vllm:request_prefill_time_seconds_sum{engine=\"0\"} 1.25
vllm:prompt_tokens_total 100.0\n";
        let row = row(text).unwrap();
        assert_eq!((row.engine.as_str(), row.running, row.waiting), ("vLLM", Some(7), Some(1)));
        assert_eq!(
            (row.kv_used_ratio, row.prefix_hits, row.prefix_queries),
            (Some(0.5), Some(40), Some(100))
        );
        assert_eq!((row.preemptions, row.finished, row.queue_ns), (Some(2), Some(11), Some(500_000_000)));
        assert_eq!((row.prefill_ns, row.decode_ns, row.input_tokens), (Some(1_250_000_000), None, Some(100)));
    }

    #[test]
    fn older_names_are_found_and_what_is_absent_is_null() {
        let row = row("vllm:gpu_cache_usage_perc 0.125\nvllm:num_requests_running 0\n").unwrap();
        assert_eq!(
            (row.kv_used_ratio, row.running, row.waiting, row.prefix_hits),
            (Some(0.125), Some(0), None, None)
        );
    }

    #[test]
    fn ranks_of_one_core_and_priorities_are_not_counted_twice() {
        let text = "\
sglang:num_running_reqs{tp_rank=\"0\",priority=\"\"} 14.0
sglang:num_running_reqs{tp_rank=\"1\",priority=\"\"} 14.0
sglang:num_running_reqs{tp_rank=\"0\",priority=\"-1\"} 14.0
sglang:num_queue_reqs{dp_rank=\"0\"} 2.0
sglang:num_queue_reqs{dp_rank=\"1\"} 1.0
sglang:token_usage 0.74\n";
        let row = row(text).unwrap();
        assert_eq!(
            (row.engine.as_str(), row.running, row.waiting, row.kv_used_ratio),
            ("SGLang", Some(14), Some(3), Some(0.74))
        );
    }

    #[test]
    fn llama_cpp_tells_prompts_without_what_was_cached() {
        let text = "llamacpp:prompt_tokens_total 60\nllamacpp:prompt_tokens_cached_total 40\n\
            llamacpp:requests_processing 1\nllamacpp:prompt_seconds_total 0.5\n";
        let row = row(text).unwrap();
        assert_eq!(
            (row.engine.as_str(), row.input_tokens, row.prefix_queries, row.prefix_hits),
            ("llama.cpp", Some(100), Some(100), Some(40))
        );
        assert_eq!((row.prefill_ns, row.kv_used_ratio, row.finished), (Some(500_000_000), None, None));
        assert_eq!(
            super::row("llamacpp:prompt_tokens_total 60\n").unwrap().prefix_queries,
            None,
            "of older ones"
        );
    }

    #[test]
    fn a_page_of_something_else_is_none() {
        assert!(row("process_cpu_seconds_total 5\n").is_none());
        assert!(row("").is_none());
        assert_eq!(row("vllm:num_requests_running NaN\n").unwrap().running, None);
    }
}

use super::*;
use crate::{
    request::Latencies,
    table::{Endpoint, RequestError, RequestSource},
};

const VLLM: &[u8] = include_bytes!("../../tests/data/import/vllm_bench.json");
const AIPERF: &[u8] = include_bytes!("../../tests/data/import/aiperf.jsonl");
const GUIDELLM: &[u8] = include_bytes!("../../tests/data/import/guidellm.json");
const LLAMA: &[u8] = include_bytes!("../../tests/data/import/llama_cpp.jsonl");
const LLAMA_STREAM: &[u8] = include_bytes!("../../tests/data/import/llama_cpp_stream.txt");
const LOAD: &[u8] = include_bytes!("../../tests/data/import/load.jsonl");
const SGLANG_BENCH: &[u8] = include_bytes!("../../tests/data/import/sglang_bench.jsonl");
const SGLANG: &[u8] = include_bytes!("../../tests/data/import/sglang.log");
const OTLP: &[u8] = include_bytes!("../../tests/data/import/otlp.json");

fn told(text: &[u8], source: RequestSource) -> Found {
    let reading = read(text).unwrap_or_else(|tried| panic!("nothing: {tried:?}"));
    assert_eq!(reading.format.source, source);
    reading.found
}

fn ms(ns: Option<u64>) -> u64 {
    ns.unwrap() / 1_000_000
}

#[test]
fn vllm_bench_tells_starts_on_the_monotonic_clock_and_every_chunk() {
    let found = told(VLLM, RequestSource::VllmBench);
    assert_eq!((found.requests.len(), found.bad_count), (12, 0));
    let first = &found.requests[0];
    assert_eq!(
        (first.clock, first.row.arrival_mono_ns, first.rounding_ns),
        (Clock::Monotonic(None), 26_484_368_952_882, 1)
    );
    assert_eq!(
        (first.row.input_tokens, first.row.output_tokens, first.row.endpoint),
        (Some(60), Some(18), Endpoint::Completions)
    );
    let latencies = Latencies::of(&first.row);
    assert_eq!((ms(latencies.ttft_ns), ms(latencies.e2e_ns)), (111, 138));
    assert_eq!(first.token_ns.len(), first.row.chunks as usize);
    assert_eq!(Some(first.token_ns[0]), first.row.first_token_mono_ns);
}

#[test]
fn aiperf_tells_the_id_that_was_sent_and_what_the_server_counted() {
    let found = told(AIPERF, RequestSource::Aiperf);
    assert_eq!((found.requests.len(), found.bad_count), (5, 0));
    let Told { row, clock, token_ns, .. } = &found.requests[0];
    assert_eq!((row.request_id.as_str(), *clock), ("32ac9288-cff5-4892-9cc7-039ec4ce899d", Clock::Wall));
    assert_eq!((row.input_tokens, row.output_tokens, row.cached_tokens), (Some(84), Some(16), Some(0)));
    assert_eq!((ms(Latencies::of(row).ttft_ns), token_ns.len()), (64, 14));
}

#[test]
fn guidellm_tells_the_first_token_and_none_between() {
    let found = told(GUIDELLM, RequestSource::Guidellm);
    assert_eq!((found.requests.len(), found.bad_count), (4, 0));
    let Told { row, clock, token_ns, .. } = &found.requests[0];
    assert_eq!(
        (row.request_id.as_str(), *clock, token_ns.len()),
        ("07679d14-7784-4f89-b89e-5b07eb8bf431", Clock::Wall, 0)
    );
    let latencies = Latencies::of(row);
    assert_eq!((ms(latencies.ttft_ns), ms(latencies.e2e_ns), row.output_tokens), (242, 1508, Some(16)));
}

#[test]
fn llama_cpps_timings_are_phases_of_the_request() {
    let found = told(LLAMA, RequestSource::LlamaCpp);
    assert_eq!((found.requests.len(), found.bad_count), (3, 0));
    let [own, completion, _] = &found.requests[..] else { panic!("three") };
    assert_eq!(
        (own.clock, own.row.endpoint, own.row.output_tokens),
        (Clock::None, Endpoint::Native, Some(8))
    );
    assert_eq!(own.row.finish_reason.as_deref(), Some("limit"));
    assert!(own.row.prefill_ns.is_some_and(|ns| ns > 0) && own.row.decode_ns.is_some_and(|ns| ns > 0));
    assert_eq!((completion.clock, completion.rounding_ns), (Clock::Wall, 500_000_000), "a second's middle");
    assert_eq!(
        (completion.row.endpoint, completion.row.finish_reason.as_deref()),
        (Endpoint::Completions, Some("length"))
    );
    let stream = told(LLAMA_STREAM, RequestSource::LlamaCpp);
    assert_eq!((stream.requests.len(), stream.bad_count), (1, 0), "one request of many events");
    let row = &stream.requests[0].row;
    assert_eq!((row.endpoint, row.streamed, row.input_tokens), (Endpoint::Chat, true, Some(13)));
}

#[test]
fn the_own_log_tells_both_clocks() {
    let found = told(LOAD, RequestSource::Load);
    assert_eq!((found.requests.len(), found.bad_count), (6, 0));
    assert!(
        matches!(found.requests[0].clock, Clock::Monotonic(Some((mono, wall))) if mono > 0 && wall > mono)
    );
    assert!(found.requests.iter().all(|told| told.token_ns.len() == told.row.chunks as usize));
}

#[test]
fn sglang_bench_tells_durations_alone_and_a_failure_by_its_kind() {
    let found = told(SGLANG_BENCH, RequestSource::SglangBench);
    assert_eq!((found.requests.len(), found.bad_count), (4, 0), "Infinity in the same line is no harm");
    let Told { row, clock, token_ns, .. } = &found.requests[0];
    assert_eq!((*clock, row.arrival_mono_ns, row.first_token_mono_ns), (Clock::None, 0, Some(52_300_000)));
    assert_eq!((token_ns.len(), row.end_mono_ns), (8, token_ns.last().copied()));
    let failed = &found.requests[3].row;
    assert_eq!((failed.error, failed.first_token_mono_ns), (Some(RequestError::Timeout), None));
}

#[test]
fn sglangs_server_tells_queue_prefill_and_decode() {
    let found = told(SGLANG, RequestSource::Sglang);
    assert_eq!((found.requests.len(), found.bad_count), (3, 0));
    let Told { row, clock, .. } = &found.requests[1];
    assert_eq!((*clock, row.queue_ns, row.cached_tokens), (Clock::Wall, Some(40_500_000), Some(16)));
    assert_eq!((ms(row.prefill_ns), ms(row.decode_ns), ms(Latencies::of(row).e2e_ns)), (57, 201, 301));
    assert_eq!((found.requests[2].clock, found.requests[2].row.end_mono_ns), (Clock::None, Some(50_000_000)));
}

#[test]
fn spans_are_requests_where_no_span_of_a_request_is_below() {
    let found = told(OTLP, RequestSource::Otel);
    assert_eq!(
        (found.requests.len(), found.bad_count),
        (2, 0),
        "neither the client's, nor a tool's, nor /health"
    );
    let row = &found.requests[0].row;
    assert_eq!(
        (row.request_id.as_str(), row.queue_ns, ms(row.prefill_ns)),
        ("chatcmpl-r1", Some(1_000_000), 48)
    );
    assert_eq!(
        (ms(Latencies::of(row).ttft_ns), row.input_tokens, row.output_tokens),
        (50, Some(60), Some(8))
    );
}

#[test]
fn bad_lines_are_counted_and_named_and_the_rest_is_read() {
    let mut text = AIPERF.to_vec();
    let second = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    text.splice(second..second, *b"{\"metadata\":{\"request_start_ns\":\"soon\"}}\n{\"cut\":\n");
    let found = told(&text, RequestSource::Aiperf);
    assert_eq!((found.requests.len(), found.bad_count), (5, 2));
    assert_eq!(found.bad[0].0.to_string(), "2");
    assert!(found.bad[0].1.contains("invalid type"), "{:?}", found.bad);
    assert_eq!(
        (found.bad[1].0.to_string(), found.bad[1].1.starts_with("no JSON")),
        ("3".to_owned(), true),
        "{:?}",
        found.bad
    );
}

#[test]
fn one_bad_entry_costs_that_request_alone() {
    let text = String::from_utf8(SGLANG_BENCH.to_vec()).unwrap();
    let broken = text.replace("0.0731", "\"late\"").replace("0.0579", "-1");
    let found = told(broken.as_bytes(), RequestSource::SglangBench);
    assert_eq!((found.requests.len(), found.bad_count), (2, 2));
    assert_eq!(found.bad[0].0.to_string(), "1: request 2");
    assert_eq!(found.bad[0].1, "ttfts is missing, or no time");
}

#[test]
fn times_that_contradict_each_other_are_bad() {
    let line = r#"{"metadata":{"request_start_ns":1000,"request_end_ns":900},"metrics":{}}"#;
    let found = read_as(&FORMATS[4], line.as_bytes());
    assert_eq!((found.requests.len(), found.bad[0].1.as_str()), (0, "end precedes arrival"));
}

#[test]
fn a_file_cut_short_loses_what_is_cut_or_says_what_was_tried() {
    let cut = told(&AIPERF[..AIPERF.len() - 100], RequestSource::Aiperf);
    assert_eq!((cut.requests.len(), cut.bad_count), (4, 1));
    assert_eq!(cut.bad[0].1, "ends within a JSON object");
    let tried = read(&VLLM[..VLLM.len() - 100]).unwrap_err();
    assert_eq!(tried.len(), FORMATS.len());
    assert!(tried.iter().any(|(format, reason)| format.source == RequestSource::VllmBench
        && reason == "line 1: ends within a JSON object"));
    assert!(tried.iter().any(|(_, reason)| reason == "no \"request_start_ns\""));
}

#[test]
fn results_without_details_are_no_requests() {
    let text = r#"{"endpoint_type":"openai","input_lens":[],"ttfts":[],"itls":[],"mean_ttft_ms":5.0}"#;
    let tried = read(text.as_bytes()).unwrap_err();
    let (_, reason) = tried.iter().find(|(format, _)| format.source == RequestSource::VllmBench).unwrap();
    assert!(reason.contains("--save-detailed"), "{reason}");
}

#[test]
fn no_text_of_prompts_or_answers_is_in_what_was_read() {
    for text in [VLLM, AIPERF, GUIDELLM, LLAMA, LLAMA_STREAM, SGLANG_BENCH, SGLANG, OTLP] {
        let shown = format!("{:?}", read(text).unwrap().found);
        for words in ["planted", "hello", "answer", "energy", "second one"] {
            assert!(!shown.contains(words), "{words}");
        }
    }
}

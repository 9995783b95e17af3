//! `hostprof load`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;

use super::{
    record::duration,
    report::{print_json, print_text},
};
use crate::{
    load::{self, Arrivals, Lengths, Mix, Options, Pace, PromptForm, Secret, ServerUrl},
    request::{Goodput, Target},
    table::Endpoint,
    target::RUN_VARIABLE,
};

/// What to ask, of whom, and how often.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// The server: http://HOST:PORT, with /v1 or the path of an endpoint after it
    #[arg(long, env = "HOSTPROF_URL", hide_env_values = true, value_name = "URL")]
    url: ServerUrl,

    /// What to ask; else by the URL's path, else completions
    #[arg(long, value_enum, value_name = "ENDPOINT")]
    endpoint: Option<Asked>,

    /// The model; else the first that the server lists
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    #[command(flatten)]
    pace: PaceArgs,

    #[command(flatten)]
    end: EndArgs,

    #[command(flatten)]
    mix: MixArgs,

    /// How prompts are told
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    prompt: PromptForm,

    /// Gives the same requests and arrivals again
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,

    /// Requests before the first that is measured
    #[arg(long, default_value_t = 0, value_name = "N")]
    warmup: u64,

    /// The most time a request may take
    #[arg(long, value_parser = duration, default_value = "5min", value_name = "TIME")]
    timeout: Duration,

    /// Attempts after a failed one; latencies count from the arrival all the same
    #[arg(long, default_value_t = 0, value_name = "N")]
    retries: u32,

    /// A header of each request: 'NAME: VALUE'; may be given more than once
    #[arg(long, value_parser = header, value_name = "HEADER")]
    header: Vec<(String, Secret)>,

    /// Key of the server's API, sent as bearer token; better as OPENAI_API_KEY, since arguments are seen by
    /// all users. Never stored or printed
    #[arg(long, value_parser = secret, value_name = "KEY")]
    api_key: Option<Secret>,

    /// Ask for streams of events; this is so anyway
    #[arg(long, overrides_with = "no_stream")]
    stream: bool,

    /// Ask for whole responses: there is then no TTFT, ITL or TPOT
    #[arg(long)]
    no_stream: bool,

    /// Make a connection for each request
    #[arg(long)]
    no_keep_alive: bool,

    /// Targets: requests that meet all of them are the goodput. Of ttft, tpot, e2e
    #[arg(long, value_parser = goodput, value_name = "ttft:500ms,tpot:50ms,e2e:5s")]
    goodput: Option<Goodput>,

    /// Write a log: a line of JSON for each request, with the times of its tokens
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Add the requests to a recording of this machine that goes on, or is over; else to the one in
    /// HOSTPROF_RUN, which `hostprof record -- COMMAND` sets
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// When requests are sent.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct PaceArgs {
    /// Closed loop: so many requests at a time, each sent when one before has ended [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N")]
    concurrency: Option<u32>,

    /// Open loop: so many requests a second, whether or not the server keeps up
    #[arg(long, value_parser = rate, value_name = "R")]
    rate: Option<f64>,

    /// Replay a trace: JSON lines with at_ms, input_tokens, output_tokens (or timestamp, input_length,
    /// output_length)
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// How arrivals are spread, and when they end.
#[derive(Debug, clap::Args)]
struct EndArgs {
    /// How the arrivals of --rate are spread
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    arrivals: Arrivals,

    /// End after so many requests
    #[arg(
        long,
        required_unless_present_any = ["duration", "trace"],
        value_parser = clap::value_parser!(u64).range(1..),
        value_name = "N"
    )]
    requests: Option<u64>,

    /// Send no more after this long; those under way are waited for
    #[arg(long, value_parser = duration, value_name = "TIME")]
    duration: Option<Duration>,
}

/// What is asked for.
#[derive(Debug, clap::Args)]
struct MixArgs {
    /// Tokens of a prompt: 512, 100..400, normal:MEAN:SD, lognormal:MEDIAN:SIGMA
    #[arg(long, default_value = "512", value_name = "LENGTHS")]
    input_tokens: Lengths,

    /// Tokens of a response, as above
    #[arg(long, default_value = "128", value_name = "LENGTHS")]
    output_tokens: Lengths,

    /// Tokens of a prefix that prompts share, in front of --input-tokens
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16_777_216), value_name = "N")]
    prefix_tokens: u32,

    /// Different prefixes; each prompt has any of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "K")]
    prefixes: u32,

    /// Share of requests that repeat the prompt of one before: 0.2 or 20%
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    repeat: f64,
}

/// The endpoints that can be asked.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Asked {
    /// /v1/completions
    Completions,
    /// /v1/chat/completions
    Chat,
}

const AFTER_HELP: &str = "\
Examples:
  hostprof load --url http://127.0.0.1:8000 --concurrency 8 --requests 200
  hostprof load --url http://127.0.0.1:8000 --rate 4 --duration 1m --goodput ttft:500ms,tpot:50ms
  hostprof load --url http://127.0.0.1:8000/v1/chat/completions --requests 50 -o load.jsonl
  hostprof load --url http://127.0.0.1:8000 --trace trace.jsonl --run runs/run_001

Latencies count from the arrival: under an open loop that is when the request was due, even if it was sent late.
Before the load a trial request of 64 tokens for one finds out whether the server takes token ids (--prompt).
The summary is on stdout, how it goes on stderr. Ctrl-C ends the load: what is under way is cancelled, what was
measured is kept and summed up; a second one ends hostprof at once.

Exit status: 0 all requests succeeded; 1 a request failed, or nothing could be measured or stored; 2 bad usage;
130 ended by Ctrl-C, 143 by SIGTERM.";

/// Loads.
///
/// # Errors
///
/// The load could not begin, or its figures not be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    let json = args.json;
    let outcome = load::run(&args.options())?;
    if json {
        print_json(&outcome.summary)?;
    } else {
        print_text(&load::render(&outcome.summary))?;
    }
    if let Some(error) = outcome.store_error {
        return Err(error.into());
    }
    let summary = &outcome.summary;
    Ok(match outcome.signal {
        Some(number) => ExitCode::from(128 + number as u8),
        None if summary.succeeded > 0 && summary.failed == 0 => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

impl Args {
    fn options(self) -> Options {
        let endpoint = match self.endpoint {
            Some(Asked::Completions) => Endpoint::Completions,
            Some(Asked::Chat) => Endpoint::Chat,
            None => self.url.endpoint.unwrap_or(Endpoint::Completions),
        };
        let pace = match (self.pace.trace, self.pace.rate) {
            (Some(path), _) => Pace::Trace(path),
            (None, Some(rate)) => Pace::Open(rate, self.end.arrivals),
            (None, None) => Pace::Closed(self.pace.concurrency.unwrap_or(1)),
        };
        Options {
            url: self.url,
            endpoint,
            model: self.model,
            pace,
            requests: self.end.requests,
            duration: self.end.duration,
            mix: Mix {
                input: self.mix.input_tokens,
                output: self.mix.output_tokens,
                prefix_tokens: self.mix.prefix_tokens,
                prefixes: self.mix.prefixes,
                repeat: self.mix.repeat,
            },
            prompt: self.prompt,
            seed: self.seed,
            warmup: self.warmup,
            timeout: self.timeout,
            retries: self.retries,
            headers: self.header,
            // Not by clap, which would make it a setting and show it.
            api_key: self.api_key.or_else(|| variable("OPENAI_API_KEY").map(Secret)),
            stream: !self.no_stream || self.stream,
            keep_alive: !self.no_keep_alive,
            goodput: self.goodput.unwrap_or_default(),
            log: self.out,
            run: self.run.or_else(|| variable(RUN_VARIABLE).map(PathBuf::from)),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches("/s").parse().map_err(|_| format!("{text:?} is no number"))?;
    if number.is_finite() && number > 0.0 && number <= 1e6 {
        Ok(number)
    } else {
        Err("must be more than 0 and at most 1000000".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "must be from 0 to 1, or 0% to 100%".to_owned())
}

/// Neither it nor part of it is in the error: it may be a secret.
fn header(text: &str) -> Result<(String, Secret), String> {
    let (name, value) = text.split_once(':').ok_or("must be 'NAME: VALUE'")?;
    Ok((name.trim().to_ascii_lowercase(), Secret(value.trim().to_owned())))
}

#[allow(clippy::unnecessary_wraps, reason = "what clap asks of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret(text.to_owned()))
}

pub(super) fn goodput(text: &str) -> Result<Goodput, String> {
    let mut goodput = Goodput::default();
    for word in text.split(',') {
        let (name, most) = word.split_once(':').ok_or_else(|| format!("{word:?} is no NAME:TIME"))?;
        let target: Target =
            name.trim().parse().map_err(|error: crate::request::TargetError| error.to_string())?;
        goodput.set(target, duration(most)?);
    }
    Ok(goodput)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn options(words: &str) -> Result<Options, String> {
        let words = ["load"].into_iter().chain(words.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args.options()).map_err(|error| error.to_string())
    }

    #[test]
    fn targets_are_read_by_name() {
        let targets = goodput("ttft:500ms, tpot:50ms,e2e:5s").unwrap();
        let ms = |value| Some(Duration::from_millis(value));
        assert_eq!(targets, Goodput { ttft: ms(500), tpot: ms(50), e2e: ms(5_000) });
        for text in ["", "ttft", "ttft:", "ttft:0ms", "itl:5ms", "ttft:soon"] {
            assert!(goodput(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_urls_path_names_the_endpoint_unless_the_flag_does() {
        let endpoint = |words: &str| options(words).unwrap().endpoint;
        assert_eq!(endpoint("--url http://h --requests 1"), Endpoint::Completions);
        assert_eq!(endpoint("--url http://h/v1/chat/completions --requests 1"), Endpoint::Chat);
        assert_eq!(endpoint("--url http://h --endpoint chat --requests 1"), Endpoint::Chat);
    }

    #[test]
    fn one_pace_is_chosen_and_an_end_is_needed() {
        let pace = |words: &str| options(&format!("--url http://h {words}")).map(|options| options.pace);
        assert_eq!(pace("--requests 1"), Ok(Pace::Closed(1)));
        assert_eq!(pace("--rate 2.5 --duration 1s"), Ok(Pace::Open(2.5, Arrivals::Poisson)));
        assert_eq!(pace("--trace t"), Ok(Pace::Trace("t".into())));
        assert!(pace("").unwrap_err().contains("--requests"));
        for words in
            ["--rate 1 --concurrency 2 --requests 1", "--rate 0 --requests 1", "--rate nan --requests 1"]
        {
            assert!(pace(words).is_err(), "{words}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let options = options("--url http://h --requests 1 --api-key hush --header x-key:hush").unwrap();
        assert_eq!(options.headers[0].1.0, "hush");
        assert!(!format!("{options:?}").contains("hush"));
        assert!(!header("hush").unwrap_err().contains("hush"));
    }

    #[test]
    fn shares_and_rates_are_read() {
        assert_eq!((share("0.2"), share("20%")), (Ok(0.2), Ok(0.2)));
        assert!(share("1.5").is_err() && share("-1%").is_err() && share("x").is_err());
        assert_eq!((rate("4"), rate("4/s")), (Ok(4.0), Ok(4.0)));
        assert!(rate("inf").is_err());
    }
}

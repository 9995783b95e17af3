#!/usr/bin/env python3
"""A client that is not hostprof's: streams completions from an OpenAI-compatible server for some seconds; the standard library only."""

import argparse
import http.client
import json
import random
import threading
import time
import urllib.parse

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("url")
arguments.add_argument("--concurrency", type=int, default=8)
arguments.add_argument("--seconds", type=float, default=10)
arguments.add_argument("--prompt-tokens", type=int, default=512)
arguments.add_argument("--max-tokens", type=int, default=128)
arguments = arguments.parse_args()
server = urllib.parse.urlsplit(arguments.url).netloc
until = time.monotonic() + arguments.seconds
first_token_s = []


def ask(seed):
    draw = random.Random(seed)
    connection = http.client.HTTPConnection(server, timeout=60)
    connection.request("GET", "/v1/models")
    model = json.loads(connection.getresponse().read())["data"][0]["id"]
    while time.monotonic() < until:
        prompt = [draw.randrange(300, 600) for _ in range(arguments.prompt_tokens)]
        body = {"model": model, "prompt": prompt, "max_tokens": arguments.max_tokens, "stream": True, "ignore_eos": True}
        begun = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        first = None
        for line in response:
            if first is None and line.startswith(b"data:"):
                first = time.monotonic() - begun
        if response.status == 200 and first is not None:
            first_token_s.append(first)


threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(arguments.concurrency)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
median = sorted(first_token_s)[len(first_token_s) // 2] if first_token_s else float("nan")
print(f"{len(first_token_s)} requests, median TTFT {median * 1e3:.1f} ms")

"""What many entries cost: a hit, the start, and memory. They are stored by asking for them."""
import pathlib
import time

import stub
from rows import bodies, client
from rows.figures import cell, interleave, ratio, table
from rows.servers import Bench, Server, pinned
from lull import LULLD, clean_environment, free_port

COUNTS = (1_000, 100_000, 1_000_000)
SIZE = 4096
OPTIONS = {"CACHE_MAX_SIZE": "16GB", "TASK_TITLE_TTL": "30d"}


def folder(a, bench, count):
    return (pathlib.Path(a.data) if a.data else bench.work) / f"entries-{count}"


def stored(count):
    return f"{count:,} entries"


def fill(a, bench, count, body):
    """Asks for what is not there yet: with --data, folders are kept from run to run."""
    data = folder(a, bench, count)
    if (data / "filled").exists():
        return
    lull = bench.lull(f"fill-{count}", data, CACHE_DURABILITY="os", **OPTIONS)
    client.load(lull.port, body, count=count, connections=64)
    bench.stop(lull)
    (data / "filled").touch()


def first_hit_ms(bench, data, count):
    """From the start of the process to the answer of a stored request."""
    port = free_port()
    asked = stub.title(SIZE, count // 2)
    began = time.monotonic()
    server = Server(pinned(0, LULLD, "-c", "/dev/null", "--upstream", f"http://127.0.0.1:{bench.model.port}", "--listen", f"127.0.0.1:{port}",
                           "--data-dir", data, "--control", bench.work / "start.control"), port,
                    env=clean_environment(**{f"LULL_{key}": value for key, value in OPTIONS.items()}), stderr=open(bench.work / "start.log", "w"))
    asker = stub.Asker(port)
    answer = asker.ask(asked)
    took = time.monotonic() - began
    asker.close()
    server.stop()
    if b"lull; hit" not in answer:
        raise SystemExit(f"not stored: {answer!r}")
    return took * 1000


def measure(a, bench):
    body = bodies.titles(bench.work, SIZE)
    starts = interleave(a.rounds, {n: lambda n=n: first_hit_ms(bench, folder(a, bench, n), n) for n in COUNTS})
    lulls = {n: bench.lull(f"lull-{n}", folder(a, bench, n), **OPTIONS) for n in COUNTS}
    how = {"connections": 64, "seconds": a.seconds, "shuffled": 1, "expect": "lull; hit; ttl"}
    warm = {"connections": 64, "shuffled": 1}
    for n, lull in lulls.items():
        client.load(lull.port, body, count=n, distinct=n, **warm)
    hits = interleave(a.rounds, {n: lambda n=n: client.cpu(lulls[n], lulls[n].port, body, distinct=n, **how) for n in COUNTS})
    return starts, hits, {n: lull.rss_anon() for n, lull in lulls.items()}


def run(a):
    with Bench() as bench:
        body = bodies.titles(bench.work, SIZE)
        for n in COUNTS:
            fill(a, bench, n, body)
        if a.fill:
            return None
        starts, hits, memory = measure(a, bench)
    few, many, most = COUNTS
    heap = (memory[most] - memory[few]) / (most - few)
    lines = [
        ["hit, 4 KB, 64 connections (µs of CPU)", stored(many), cell(hits[many]), stored(few), cell(hits[few]), ratio(hits[many], hits[few]), "≤ 1.3"],
        ["the same", stored(most), cell(hits[most]), stored(few), cell(hits[few]), ratio(hits[most], hits[few]), "≤ 1.9"],
        ["start to the first hit (ms)", stored(most), cell(starts[most]), stored(few), cell(starts[few]), ratio(starts[most], starts[few]), "≤ 50 ms"],
        ["own memory after each was hit (MB)", stored(most), f"{memory[most] / 1048576:.2f}", stored(few), f"{memory[few] / 1048576:.2f}",
         f"{heap:.2f} B an entry", "≤ 8 B an entry"]]
    return table(["lull", "with", "", "beside", "", "ratio", "goal"], lines)

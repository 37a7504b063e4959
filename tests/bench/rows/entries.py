"""What many entries cost: a hit, the start, and memory. They are stored by asking for them."""
import pathlib
import time

import stub
from rows import bodies, client
from rows.figures import cell, interleave, ratio, table
from rows.latency import stats
from rows.servers import Bench

COUNTS = (1_000, 100_000, 1_000_000)
SIZE = 4096
OPTIONS = {"CACHE_MAX_SIZE": "16GB", "TASK_TITLE_TTL": "30d"}


def place(a, bench):
    return pathlib.Path(a.data).resolve() if a.data else bench.work


def folder(a, bench, count):
    return place(a, bench) / f"entries-{count}"


def stored(count):
    return f"{count:,} entries"


def set_upstream(a, bench):
    """The address of the server is part of every key: entries are found by the next run if it is the
    same then, which a port is not."""
    place(a, bench).mkdir(parents=True, exist_ok=True)
    bench.upstream = f"unix:{bench.bare_on_socket('model', 1, place(a, bench) / 'model.sock').path}"


def fill(a, bench, count, body):
    """Asks for what is not there yet: with --data, folders are kept from run to run."""
    data = folder(a, bench, count)
    if (data / "filled").exists():
        return
    lull = bench.lull(f"fill-{count}", data, CACHE_DURABILITY="os", **OPTIONS)
    while stats(lull)["cache"]["entries"] < count:  # what the writer cannot keep up with is not stored
        client.load(lull.port, body, count=count, connections=64)
        while stats(lull)["cache"]["pending_writes"]:
            time.sleep(0.1)
    bench.stop(lull)
    (data / "filled").touch()


def first_hit_ms(bench, data, count):
    """From the start of the process to the answer of a stored request."""
    asked = stub.title(SIZE, count // 2)
    began = time.monotonic()
    server = bench.lull("start", data, **OPTIONS)
    asker = stub.Asker(server.port)
    answer = asker.ask(asked)
    took = time.monotonic() - began
    asker.close()
    bench.stop(server)
    if b"lull; hit" not in answer:
        raise SystemExit(f"not stored: {answer!r}")
    return took * 1000


HOW = {"connections": 64, "shuffled": 1}
HIT = {**HOW, "expect": "lull; hit; ttl"}


def cold_us(bench, data, count, body):
    """The first hit of each entry after a start. The server, and CPU for each request."""
    lull = bench.lull(f"lull-{count}", data, **OPTIONS)
    return lull, client.cpu(lull, lull.port, body, count=count, distinct=count, **HIT)


def limit(bench, count, body):
    """The table in memory with as many entries: what the caches of the processor make of them."""
    bare = bench.bare("table", 0, 2 * count)
    client.load(bare.port, body, count=count, distinct=count, **HOW)
    return bare


def measure(a, bench):
    body = bodies.titles(bench.work, SIZE)
    starts = interleave(a.rounds, {n: lambda n=n: first_hit_ms(bench, folder(a, bench, n), n) for n in COUNTS})
    lulls, cold = {}, {}
    for n in COUNTS:
        lulls[n], us = cold_us(bench, folder(a, bench, n), n, body)
        cold[n] = [us]
    limits = {n: limit(bench, n, body) for n in COUNTS}

    def of(servers, n, how):
        return lambda: client.cpu(servers[n], servers[n].port, body, distinct=n, seconds=a.seconds, **how)
    figures = interleave(a.rounds, {(name, n): of(servers, n, how) for n in COUNTS for name, servers, how in (
        ("lull", lulls, HIT), ("limit", limits, HOW))})
    return starts, cold, figures, {n: lull.rss_anon() for n, lull in lulls.items()}


def run(a):
    with Bench() as bench:
        body = bodies.titles(bench.work, SIZE)
        set_upstream(a, bench)
        for n in COUNTS:
            fill(a, bench, n, body)
        if a.fill:
            return None
        starts, cold, figures, memory = measure(a, bench)
    few, many, most = COUNTS
    heap = (memory[most] - memory[few]) / (most - few)

    def row(what, of, n, goal):
        return [what, stored(n), cell(of(n)), stored(few), cell(of(few)), ratio(of(n), of(few)), goal]

    def hits(n):
        return figures["lull", n]

    def limits(n):
        return figures["limit", n]
    lines = [
        row("hit, 4 KB, 64 connections (µs of CPU)", hits, many, "≤ 1.3"),
        row("the same", hits, most, "≤ 1.9"),
        row("the same of the limit", limits, many, ""),
        row("the same of the limit", limits, most, ""),
        row("first hit of each entry after a start (µs of CPU)", cold.get, many, ""),
        row("the same", cold.get, most, ""),
        row("start to the first hit (ms)", starts.get, most, "≤ 50 ms"),
        ["own memory after each was hit (MB)", stored(most), f"{memory[most] / 1048576:.2f}", stored(few), f"{memory[few] / 1048576:.2f}",
         f"{heap:.2f} B an entry", "≤ 8 B an entry"]]
    return table(["lull", "with", "", "beside", "", "ratio", "goal"], lines)

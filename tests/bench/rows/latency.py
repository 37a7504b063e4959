"""What a client waits for: the first byte and the chunks of a chat, a hit, and a hit while others store."""
import json
import subprocess

from rows import bodies, client
from rows.figures import cell, interleave, ratio, table
from rows.servers import Bench
from lull import LULLCTL

DISTINCT = 10000


def chats(a):
    """By server, and by `direct` without one: first byte and age of chunks, medians of each run."""
    with Bench() as bench:
        body = bodies.chats(bench.work)
        targets = {"direct": bench.model.port}
        for name in ("nginx", "varnish", "haproxy", "lull"):
            targets[name] = bench.start(name).chats
        runs = interleave(a.rounds, {name: lambda p=port: client.load(p, body, seconds=a.seconds) for name, port in targets.items()})
    return {what: {name: [run[what]["p50"] for run in of] for name, of in runs.items()} for what in ("first", "chunk")}


def added(figures):
    """Of each round, what is more than without a server."""
    return {name: [f - d for f, d in zip(of, figures["direct"])] for name, of in figures.items() if name != "direct"}


def hits(a):
    with Bench() as bench:
        body = bodies.titles(bench.work, 2048)
        servers = {name: bench.start(name) for name in ("limit", "nginx", "varnish", "lull")}
        for server in servers.values():
            client.load(server.port, body, count=DISTINCT, distinct=DISTINCT)
        runs = interleave(a.rounds, {name: lambda s=server: client.load(s.port, body, distinct=DISTINCT, seconds=a.seconds)
                                     for name, server in servers.items()})
    return {name: [run["first"]["p50"] for run in of] for name, of in runs.items()}


def stats(lull):
    return json.loads(subprocess.run([LULLCTL, "--socket", lull.control, "--json", "stats"], capture_output=True, text=True, check=True).stdout)


class Stores:
    """A client beside the one that is measured, which has `rate` answers a second stored."""
    RATE = 500

    def __init__(self, lull, body, seconds):
        self.how = {"rate": self.RATE, "connections": 16, "seconds": seconds}
        self.lull, self.body, self.first = lull, body, 10_000_000

    def __enter__(self):
        self.process = subprocess.Popen(client.command(self.lull.port, self.body, **{"from": self.first}, **self.how),
                                        stdout=subprocess.PIPE, text=True)

    def __exit__(self, *exc):
        done = client.said(self.process.communicate()[0], self.how)
        self.first += done["requests"] + 64


def under_writes(a):
    """p99 of hits over one connection, without stores and with; and what commits took."""
    with Bench() as bench:
        body = bodies.titles(bench.work, 2048)
        lull = bench.lull()
        client.load(lull.port, body, count=DISTINCT, distinct=DISTINCT)
        stores = Stores(lull, body, a.seconds)

        def measure():
            return client.load(lull.port, body, distinct=DISTINCT, seconds=a.seconds)["whole"]

        def with_stores():
            with stores:
                return measure()
        runs = interleave(a.rounds, {"alone": measure, "stores": with_stores})
        s = stats(lull)
    p99 = {name: [run["p99"] for run in of] for name, of in runs.items()}
    return p99, s["cache"]["commit_ms"], s["process"]["loop_longest_turn_ms"]


def run(a):
    both = chats(a)
    head = ["µs, one connection", "limit", "nginx", "varnish", "haproxy", "lull", "lull / nginx", "goal"]
    lines = []
    for what, title in (("first", "chat: first byte, added"), ("chunk", "chat: each chunk, added")):
        f = added(both[what])
        lines.append([title, "–", *(cell(f[name]) for name in ("nginx", "varnish", "haproxy", "lull")), ratio(f["lull"], f["nginx"]), "≤ nginx"])
    f = hits(a)
    lines.append(["hit, 2 KB: first byte", cell(f["limit"]), cell(f["nginx"]), cell(f["varnish"]), "–", cell(f["lull"]),
                  ratio(f["lull"], f["nginx"]), "≤ nginx"])
    p99, commits, turn = under_writes(a)
    second = [[f"p99 of hits, 2 KB, with {Stores.RATE} stores a second (µs)", cell(p99["stores"]), "without stores", cell(p99["alone"]),
               ratio(p99["stores"], p99["alone"]), "≤ 1.5"],
              ["longest turn of the loop meanwhile (ms)", f"{turn:.2f}", "p99 of commits", f"{commits['p99']:.2f}",
               f"{turn / commits['p99']:.2f}", "commits do not stall it"]]
    return table(head, lines) + "\n\n" + table(["lull, one connection", "", "beside", "", "ratio", "goal"], second)

"""CPU for each request beside the peers and the limit: hits, misses, chats."""
import dataclasses
import time

import stub
from rows import client
from rows.figures import cell, ratio, table
from rows.servers import Bench

DISTINCT = 10000


@dataclasses.dataclass
class Row:
    title: str
    what: str
    size: int
    connections: int
    servers: tuple
    goal: str
    wall: bool = False


CACHES = ("limit", "nginx", "varnish", "lull")
PROXIES = ("nginx", "varnish", "haproxy", "lull")
ROWS = {
    "hit_2k": Row("hit, 2 KB", "hit", 2048, 64, CACHES, "≤ 1.25 × limit, ≤ 0.4 × nginx"),
    "hit_8k": Row("hit, 8 KB", "hit", 8192, 64, CACHES, "≤ 1.25 × limit, ≤ 0.23 × nginx, ≤ 0.2 × varnish"),
    "miss_2k": Row("miss, 2 KB", "miss", 2048, 64, PROXIES, "≤ 0.7 × nginx"),
    "miss_8k": Row("miss, 8 KB", "miss", 8192, 64, PROXIES, "≤ 0.5 × nginx"),
    "miss_one": Row("miss, 2 KB, one connection, whole round", "miss", 2048, 1, PROXIES, "≤ nginx", wall=True),
    "chat": Row("chat, 40 chunks", "chat", 1024, 16, PROXIES, "≤ 1.5 × nginx"),
}


def fill(server, size):
    asker = stub.Asker(server.port)
    for i in range(DISTINCT):
        asker.ask(stub.title(size, i))
    asker.close()


def once(server, row, lua, seconds, first):
    """One run: CPU, or time where row.wall, in microseconds a request; and how many requests."""
    before = server.cpu_us()
    n, took = client.wrk(server.chats if row.what == "chat" else server.port, row.connections, lua, seconds, first)
    return (took if row.wall else server.cpu_us() - before) / n, n


def measure(bench, row, rounds, seconds):
    """By server, the figures of all rounds."""
    body = stub.chat(row.size) if row.what == "chat" else stub.title(row.size)
    lua = client.script(body, bench.work, row.what, DISTINCT if row.what == "hit" else 0)
    servers = {name: bench.start(name) for name in row.servers}
    figures = {name: [] for name in servers}
    first = {name: int(time.time()) % 10000 * 1000 for name in servers}
    for server in servers.values():
        if row.what == "hit":
            fill(server, row.size)
    for _ in range(rounds):
        for name, server in servers.items():
            figure, n = once(server, row, lua, seconds, first[name])
            first[name] += n + row.connections
            figures[name].append(figure)
    return figures


def run(a):
    lines = []
    for name in a.row or ROWS:
        row = ROWS[name]
        with Bench() as bench:
            f = measure(bench, row, a.rounds, a.seconds)
        unit = " (µs)" if row.wall else f", {row.connections} connections"
        lines.append([row.title + unit, *(cell(f.get(s)) for s in ("limit", "nginx", "varnish", "haproxy", "lull")),
                      ratio(f["lull"], f.get("limit")), ratio(f["lull"], f.get("nginx")), row.goal])
    return table(["µs of CPU a request", "limit", "nginx", "varnish", "haproxy", "lull", "lull / limit", "lull / nginx", "goal"], lines)

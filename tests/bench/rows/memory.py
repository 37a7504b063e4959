"""Own memory (RssAnon): idle, under load, and with idle connections."""
import subprocess
import time

import stub
from rows import bodies, client
from rows.figures import table
from rows.servers import Bench

CONNECTIONS, ROUND = 4000, 20


def mb(size):
    return f"{size / 1048576:.2f}"


def idle(a):
    """After one task and one chat, and after `idle` seconds without a request."""
    with Bench() as bench:
        lull, nginx = bench.lull(), bench.nginx()
        for server in (lull, nginx):
            client.load(server.port, bodies.titles(bench.work, 2048), count=1)
            client.load(server.chats, bodies.chats(bench.work), count=1)
        first = lull.rss_anon()
        time.sleep(a.idle)
        return first, lull.rss_anon(), nginx.rss_anon()


def under_load(a):
    """Hits, misses and chats in turn: memory after each round of them."""
    with Bench() as bench:
        lull = bench.lull()
        title, chat = bodies.titles(bench.work, 2048), bodies.chats(bench.work)
        seen, first, end = [], 0, time.monotonic() + a.load
        while time.monotonic() < end:
            first += client.load(lull.port, title, connections=64, seconds=ROUND // 2, rate=500, **{"from": first})["requests"]
            client.load(lull.port, title, connections=64, seconds=ROUND // 4, distinct=1000)
            client.load(lull.chats, chat, connections=16, seconds=ROUND // 4)
            seen.append(lull.rss_anon())
        return seen


def connections():
    """Bytes for each idle kept-alive connection that had one answer: of lull, of nginx."""
    grown = []
    for name in ("lull", "nginx"):
        with Bench() as bench:
            server = bench.start(name) if name == "nginx" else bench.lull(SERVER_MAX_CONNECTIONS="8192")
            title = bodies.titles(bench.work, 2048)
            client.load(server.port, title, connections=64, count=1000, distinct=10)
            before = server.rss_anon()
            how = {"connections": CONNECTIONS, "count": CONNECTIONS, "distinct": 10, "hold": 1}
            held = subprocess.Popen(client.command(server.port, title, **how), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            client.said(held.stdout.readline(), how)
            time.sleep(1)
            grown.append((server.rss_anon() - before) / CONNECTIONS)
            stub.Asker(server.port).close()
            held.stdin.close()
            held.wait(30)
    return grown


def run(a):
    first, later, nginx = idle(a)
    seen = under_load(a)
    lull, peer = connections()
    half = len(seen) // 2
    before, after = max(seen[:half] or seen), max(seen[half:])
    lines = [
        ["idle, after a task and a chat", f"{mb(first)} MB", "nginx", f"{mb(nginx)} MB", f"{first / nginx:.2f}", "≤ 4 MB"],
        [f"idle {a.idle} s later", f"{mb(later)} MB", "before", f"{mb(first)} MB", f"{later / first:.2f}", "flat"],
        [f"under load, most in the second half of {a.load} s", f"{mb(after)} MB", "in the first half", f"{mb(before)} MB",
         f"{after / before:.2f}", "flat"],
        [f"each of {CONNECTIONS:,} idle connections", f"{lull:.0f} B", "nginx", f"{peer:.0f} B", f"{lull / peer:.2f}", "≤ 2,048 B"]]
    return table(["own memory", "lull", "beside", "", "ratio", "goal"], lines)

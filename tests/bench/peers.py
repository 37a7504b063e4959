#!/usr/bin/env python3
"""CPU per request of lulld, beside nginx and the limit, in one run.

usage: LULL_BIN_DIR=build tests/bench/peers.py [--rounds 5] [--seconds 2] [--only ROW] [--write]

Rows: hits of 10,000 distinct bodies; misses, each body once; chats of 40 chunks, one a millisecond;
one miss after another over one connection. Peers: nginx with proxy_cache keyed by the body, as lull's
key is, and with proxy_buffering off for chats; `bench_bare table` (bare.c) as the limit of a hit. The
server under test has one core, wrk and the model server the other. Rounds are interleaved, since
machines are shared; the figures are the median and, in brackets, the least and the most. CPU is that of
all processes and threads of a server. --write puts the table into docs/performance.md. Installs nginx
and wrk as Debian packages where they are missing. Asserts nothing.
"""
import argparse
import dataclasses
import datetime
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import page
import stub
from lull import BIN, LULLD, clean_environment, eventually, free_port

DISTINCT = 10000
BARE = pathlib.Path(BIN, "tests", "bench_bare")


@dataclasses.dataclass
class Row:
    title: str
    what: str
    size: int
    connections: int
    servers: tuple
    goal: str
    wall: bool = False


ROWS = {
    "hit_2k": Row("hit, 2 KB", "hit", 2048, 64, ("limit", "nginx", "lull"), "≤ 1.25 × limit, ≤ 0.4 × nginx"),
    "hit_8k": Row("hit, 8 KB", "hit", 8192, 64, ("limit", "nginx", "lull"), "≤ 1.25 × limit, ≤ 0.23 × nginx"),
    "miss_2k": Row("miss, 2 KB", "miss", 2048, 64, ("nginx", "lull"), "≤ 0.7 × nginx"),
    "miss_8k": Row("miss, 8 KB", "miss", 8192, 64, ("nginx", "lull"), "≤ 0.5 × nginx"),
    "miss_one": Row("miss, 2 KB, one connection, whole round", "miss", 2048, 1, ("nginx", "lull"), "≤ nginx", wall=True),
    "chat": Row("chat, 40 chunks", "chat", 1024, 16, ("nginx", "lull"), "≤ 1.5 × nginx"),
}
PATH = "/v1/chat/completions"
SCRIPT = """
local first, last = %s, %s
local i = tonumber(os.getenv("BENCH_FROM"))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer k"
wrk.headers["User-Agent"] = "Python/3.11 aiohttp/3.14.5"
function request()
  i = i + 1
  return wrk.format(nil, nil, nil, first .. string.format("%%08d", %s) .. last)
end
"""
NGINX = """
{user} daemon off; worker_processes 1; error_log {work}/error.log; pid {work}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; keepalive_requests 100000000; client_body_buffer_size 64k;
  proxy_cache_path {work}/cache keys_zone=z:50m levels=1:2;
  upstream model {{ server 127.0.0.1:{model}; keepalive 64; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://model; proxy_cache z; proxy_cache_methods POST;
    proxy_cache_valid 1h; proxy_cache_key $request_uri$http_authorization$request_body; }} }}
  server {{ listen 127.0.0.1:{chats}; location / {{ proxy_pass http://model; proxy_buffering off; }} }} }}
"""


def install():
    packages = [p for tool, p in (("nginx", "nginx-light"), ("wrk", "wrk"), ("taskset", "util-linux")) if not shutil.which(tool)]
    if packages:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], check=True)


def pinned(core, *command):
    return ["taskset", "-c", str(core), *map(str, command)]


class Server:
    """A process that answers on `port`, and on `chats` to chats."""

    def __init__(self, command, port, chats=None, **more):
        self.port, self.chats = port, chats or port
        self.process = subprocess.Popen(command, **more)
        eventually(self.answers, 10)

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"{self.process.args} ended with {self.process.returncode}")
        try:
            stub.Asker(self.port).close()
            return True
        except OSError:
            return False

    def cpu_us(self):
        """Of all threads of the process and of its children."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        ns = 0
        for pid in [self.process.pid, *children.stdout.split()]:
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
                ns += int((thread / "schedstat").read_text().split()[0])
        return ns / 1000

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def start_nginx(work, model):
    port, chats = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # its folders are ours
    (work / "nginx.conf").write_text(NGINX.format(user=user, work=work, model=model.port, port=port, chats=chats))
    return Server(pinned(0, "nginx", "-c", work / "nginx.conf", "-p", work), port, chats)


def start_lull(work, model):
    port = free_port()
    (work / "data").mkdir()
    return Server(pinned(0, LULLD, "-c", "/dev/null", "--upstream", f"http://127.0.0.1:{model.port}", "--listen",
                         f"127.0.0.1:{port}", "--data-dir", work / "data", "--control", work / "control.sock"), port,
                  env=clean_environment(LULL_UPSTREAM_DEFAULT_SLOTS="0"), stderr=open(work / "lulld.log", "w"))


def start_bare(role, core):
    port = free_port()
    return Server(pinned(core, BARE, role, port), port)


def script_of(row, work):
    """The script of wrk: the body's parts around its number as long strings."""
    body = stub.chat(row.size) if row.what == "chat" else stub.title(row.size)
    first, last = body.decode().split("00000000")
    number = f"i % {DISTINCT}" if row.what == "hit" else "i"
    path = work / f"{row.what}-{row.size}.lua"
    path.write_text(SCRIPT % (f"[==[{first}]==]", f"[==[{last}]==]", number))
    return path


def fill(server, size):
    asker = stub.Asker(server.port)
    for i in range(DISTINCT):
        asker.ask(stub.title(size, i))
    asker.close()


def run_wrk(server, row, script, seconds, first):
    """One run: CPU, or time where row.wall, in microseconds a request; and how many requests."""
    port = server.chats if row.what == "chat" else server.port
    before = server.cpu_us()
    out = subprocess.run(pinned(1, "wrk", "-t1", f"-c{row.connections}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}{PATH}"),
                         capture_output=True, text=True, check=True, env={**os.environ, "BENCH_FROM": str(first)}).stdout
    used = server.cpu_us() - before
    if "Non-2xx" in out:
        sys.exit(out)
    n, duration, unit = re.search(r"(\d+) requests in ([\d.]+)(\w+)", out).groups()
    took = float(duration) * {"s": 1, "ms": 0.001, "m": 60}[unit] * 1e6
    return (took if row.wall else used) / int(n), int(n)


def measure(row, servers, work, rounds, seconds):
    """By server, the figures of all rounds."""
    script = script_of(row, work)
    figures = {name: [] for name in row.servers}
    first = {name: int(time.time()) % 10000 * 1000 for name in row.servers}
    if row.what == "hit":
        for name in row.servers:
            fill(servers[name], row.size)
    for _ in range(rounds):
        for name in row.servers:
            figure, n = run_wrk(servers[name], row, script, seconds, first[name])
            first[name] += n + row.connections
            figures[name].append(figure)
    return figures


def cell(figures):
    if not figures:
        return "–"
    return f"{statistics.median(figures):.1f} ({min(figures):.1f}–{max(figures):.1f})"


def ratio(figures, other):
    if not figures.get(other):
        return "–"
    return f"{statistics.median(figures['lull']) / statistics.median(figures[other]):.2f}"


def table(results):
    lines = ["| µs of CPU a request | limit | nginx | lull | lull / limit | lull / nginx | goal |", "|---|---|---|---|---|---|---|"]
    for name, figures in results.items():
        row = ROWS[name]
        unit = " (µs)" if row.wall else f", {row.connections} connections"
        lines.append(f"| {row.title}{unit} | {cell(figures.get('limit'))} | {cell(figures['nginx'])} | {cell(figures['lull'])} "
                     f"| {ratio(figures, 'limit')} | {ratio(figures, 'nginx')} | {row.goal} |")
    return "\n".join(lines)


def where(rounds, seconds):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
    return (f"Measured {datetime.date.today()}, {os.cpu_count()} × {cpu.group(1) if cpu else platform.machine()}, Linux {platform.release()}, "
            f"{nginx.removeprefix('nginx version: ')}; {rounds} rounds of {seconds} s.")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=int, default=2)
    ap.add_argument("--only", choices=ROWS, action="append")
    ap.add_argument("--write", action="store_true")
    a = ap.parse_args()
    install()
    for needed in (BARE, pathlib.Path(LULLD)):
        if not os.access(needed, os.X_OK):
            sys.exit(f"there is no {needed}: ninja -C build lulld bench_bare")
    results = {}
    for name in a.only or ROWS:
        with tempfile.TemporaryDirectory(prefix="lull-peers-") as place:
            work = pathlib.Path(place)
            model = start_bare("model", 1)
            servers = {"limit": start_bare("table", 0), "nginx": start_nginx(work, model), "lull": start_lull(work, model)}
            try:
                results[name] = measure(ROWS[name], servers, work, a.rounds, a.seconds)
            finally:
                for server in (*servers.values(), model):
                    server.stop()
    text = f"{where(a.rounds, a.seconds)}\n\n{table(results)}"
    print(text)
    if a.write:
        page.write("peers", text)


if __name__ == "__main__":
    main()

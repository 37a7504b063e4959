#!/usr/bin/env python3
"""CPU of the daemon per GET /stats and GET /metrics, with 8 model servers, 10 kinds and N idle client
connections (half of the limit of descriptors at most), and without the connections.

usage: LULL_BIN_DIR=build tests/bench/control_cost.py [CONNECTIONS]
"""
import os
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import prompts
from lull import Lull
from upstream import Upstream

KINDS = ("title", "tags", "follow_up", "query", "emoji", "image_prompt", "autocomplete", "tool_selection",
         "memory_review", "context_compaction")
ROUNDS = 200
# In a process of its own: the client of the tests uses select(), which ends at 1,024 descriptors.
HOLDER = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print("held", flush=True)
sys.stdin.read()
"""


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(lull, path):
    before = cpu(lull.process.pid)
    for _ in range(ROUNDS):
        assert lull.control("GET", path).status == 200
    return 1000 * (cpu(lull.process.pid) - before) / ROUNDS


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(count, most - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    up = Upstream()
    more = "".join(f"[upstream s{i}]\nurl = http://127.0.0.1:{up.port}\n" for i in range(7))
    lull = Lull(up, server=f"max_connections = {count + 100}\nidle_timeout = 1h", more=more)
    with lull.client() as client:
        for kind in KINDS:
            client.post("/v1/chat/completions", prompts.body("title", kind), prompts.headers(kind=kind))
    for connections in (0, count):
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lull.port), str(connections)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdout.readline()
        for path in ("/healthz", "/stats", "/metrics"):
            print(f"{connections:6} connections  {path:9} {measure(lull, path):.3f} ms of CPU a request")
        holder.communicate()
    lull.cleanup()
    up.stop()


if __name__ == "__main__":
    main()

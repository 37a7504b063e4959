#!/usr/bin/env python3
"""What lulld costs, beside its peers, the limit and itself: every table of docs/performance.md but that
of the instructions.

usage: LULL_BIN_DIR=build tests/bench/peers.py [--only TABLE] [--rounds 5] [--seconds 2] [--write] ...

Tables, each from a module of tests/bench/rows:
  cpu       CPU for each request: hits, misses, chats; --row: only these
  hits      hits over a Unix socket, remainders of suggestions
  latency   first bytes and chunks, hits while others store
  entries   1,000 to 1 M entries of 4 KB: a hit, the start, memory. Stores them first (--fill: only that),
            6 GB and some minutes; --data FOLDER keeps them for the next run
  memory    idle (--idle seconds), under load (--load seconds), with idle connections
  turns     the scheduler's decisions and the longest turn of the loop (--load seconds)

Peers: nginx with proxy_cache keyed by the body, as lull's key is, and with proxy_buffering off for
chats; varnish with the body in its hash, and pass for chats; haproxy, which cannot cache a POST, as a
plain proxy; `bench_bare table` (bare.c) as the limit of a hit. The server under test has one core, the
clients (wrk and load.c) and the model server (bare.c) have the other. Rounds are interleaved, since
machines are shared; the figures are the median and, in brackets, the least and the most. CPU is that of
all processes and threads of a server. --write puts the tables into docs/performance.md. Installs the
peers and wrk as Debian packages where they are missing. Asserts nothing.
"""
import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
sys.path.insert(0, str(HERE))
import page
from rows import cpu, entries, figures, hits, latency, memory, servers, turns

TABLES = {"cpu": cpu, "hits": hits, "latency": latency, "entries": entries, "memory": memory, "turns": turns}


def arguments():
    ap = argparse.ArgumentParser()
    ap.add_argument("--only", choices=TABLES, action="append")
    ap.add_argument("--row", choices=cpu.ROWS, action="append")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=int, default=2)
    ap.add_argument("--data")
    ap.add_argument("--fill", action="store_true")
    ap.add_argument("--idle", type=int, default=60)
    ap.add_argument("--load", type=int, default=120)
    ap.add_argument("--write", action="store_true")
    return ap.parse_args()


def main():
    a = arguments()
    servers.install()
    for name in a.only or TABLES:
        text = TABLES[name].run(a)
        if text is None:
            continue
        text = f"{figures.where(f'{a.rounds} rounds of {a.seconds} s')}\n\n{text}"
        print(f"## {name}\n\n{text}\n")
        if a.write:
            page.write(name, text, "peers")


if __name__ == "__main__":
    main()

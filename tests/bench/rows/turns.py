"""The scheduler's decisions, and the longest turn of the loop under load."""
import subprocess
import time

from rows import bodies, client
from rows.figures import cell, interleave, table
from rows.latency import Stores, stats
from rows.servers import BARE, Bench, pinned

SCHEDULE = BARE.with_name("bench_schedule")
WAITING = 1000


def decisions(a):
    """Microseconds of a decision with so many waiting tasks, by event."""
    def once():
        out = subprocess.run(pinned(0, SCHEDULE, WAITING), capture_output=True, text=True, check=True).stdout
        return dict((name, float(value)) for name, value in (line.rsplit(" ", 1) for line in out.splitlines()))
    rounds = interleave(a.rounds, {"all": once})["all"]
    return {name: [r[name] for r in rounds] for name in rounds[0]}


def longest_turn(lull):
    """In time, which is more where the processor does something else, and the most CPU that one took."""
    process = stats(lull)["process"]
    return f"{process['loop_longest_turn_ms']:.2f}; CPU {process['loop_longest_turn_cpu_ms']:.2f}"


def hits_and_stores(server, title, seconds):
    client.load(server.port, title, count=1000, distinct=1000)
    with Stores(server, title, seconds):
        client.load(server.port, title, connections=32, distinct=1000, seconds=seconds, rate=2000)


def longest(a):
    """Hits, misses and chats at once, for a.load seconds."""
    with Bench() as bench:
        lull = bench.lull(alone=True)
        title, chat = bodies.titles(bench.work, 2048), bodies.chats(bench.work)
        how = {"connections": 16, "seconds": a.load}
        talk = subprocess.Popen(client.command(lull.chats, chat, **how), stdout=subprocess.PIPE, text=True)
        hits_and_stores(lull, title, a.load)
        client.said(talk.communicate()[0], how)
        return longest_turn(lull)


def of_the_machine(a):
    """The same hits and stores, by a loop that does next to nothing: what is not lull's."""
    with Bench() as bench:
        bare = bench.bare_turns()
        hits_and_stores(bare, bodies.titles(bench.work, 2048), a.load)
        bench.stop(bare)
        time_us, cpu_us = map(int, bare.process.stdout.read().split())
        return f"{time_us / 1000:.2f}; CPU {cpu_us / 1000:.2f}"


def behind_a_chat(a):
    """A thousand tasks wait for the one slot, behind chats; the longest turn since they came."""
    with Bench() as bench:
        lull = bench.lull(alone=True, UPSTREAM_DEFAULT_SLOTS="1", TASKS_QUEUE=str(2 * WAITING), SERVER_MAX_CONNECTIONS="8192")
        title, chat = bodies.titles(bench.work, 2048), bodies.chats(bench.work)
        how = {"connections": 4, "seconds": a.seconds + 8}
        talk = subprocess.Popen(client.command(lull.chats, chat, **how), stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        tasks = {"connections": WAITING, "count": WAITING}
        crowd = subprocess.Popen(client.command(lull.port, title, **tasks), stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        queued = stats(lull)["upstreams"]["default"]["queued"]
        client.said(talk.communicate()[0], how)
        client.said(crowd.communicate()[0], tasks)
        return queued, longest_turn(lull)


def run(a):
    lines = [[f"{name}, {WAITING:,} waiting tasks (µs)", cell(f, 2), "< 20"] for name, f in decisions(a).items()]
    queued, turn = behind_a_chat(a)
    lines.append([f"longest turn, {queued:.0f} tasks behind chats (ms)", turn, "≤ 2"])
    lines.append([f"longest turn, {a.load} s of hits, {Stores.RATE} stores a second and 16 chats (ms)", longest(a), "≤ 2"])
    lines.append(["the same without chats of the limit, which does next to nothing (ms)", of_the_machine(a), ""])
    return table(["lull", "", "goal"], lines)

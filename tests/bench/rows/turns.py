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


def longest(a):
    """Hits, misses and chats at once, for a.load seconds."""
    with Bench() as bench:
        lull = bench.lull(alone=True)
        title, chat = bodies.titles(bench.work, 2048), bodies.chats(bench.work)
        client.load(lull.port, title, count=1000, distinct=1000)
        with Stores(lull, title, a.load):
            how = {"connections": 16, "seconds": a.load}
            talk = subprocess.Popen(client.command(lull.chats, chat, **how), stdout=subprocess.PIPE, text=True)
            client.load(lull.port, title, connections=32, distinct=1000, seconds=a.load, rate=2000)
            client.said(talk.communicate()[0], how)
        return longest_turn(lull)


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
    return table(["lull", "", "goal"], lines)

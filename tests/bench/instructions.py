#!/usr/bin/env python3
"""User instructions of lulld per hit, miss, chat and chunk, by callgrind: figures that repeat.

usage: LULL_BIN_DIR=build tests/bench/instructions.py [--top N] [--only NAME] [--check | --write]

A figure is the difference between two runs, with COUNT and with 2 x COUNT requests over one kept-open
connection, or with so many chunks of one chat, divided by COUNT: start, stop and the first request fall
out. A chunk comes by itself; the answer of the other chats comes in one piece. The loop's thread and the
writer's thread are counted apart. Exact hits are of entries that are on disk; a type-through is the
rest of a suggestion for shorter text under 4 KB of context, word by word. --top prints the functions
that cost most. --write keeps the figures in instructions.json, and in the table of
docs/performance.md; --check compares with that file, and fails where the loop's thread needs over 3 %
more. Exit status 77: valgrind is missing, or the kept figures are of another compiler, library or
processor.
"""
import argparse
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import page
import stub
from rows import bodies
from lull import BIN, LULLD, clean_environment, eventually, free_port

KEPT = HERE / "instructions.json"
SLACK = 0.03
DELAY = 0.02  # of the model server, in seconds: an answer never comes in the turn of the loop that asks for it
BODIES = 16  # distinct entries that hits go round
TEXT = "On the last day of summer"
TYPED = bodies.typed(TEXT)
ROWS = {  # name: (what, bytes of the body or of its context, requests)
    "hit_2k": ("hit", 2048, 200),
    "hit_8k": ("hit", 8192, 200),
    "suggestion_4k": ("hit of a suggestion", 4096, 200),
    "through_4k": ("type-through", 4096, 8 * len(TYPED)),
    "miss_2k": ("miss", 2048, 60),
    "miss_8k": ("miss", 8192, 60),
    "chat_1k": ("chat", 1024, 30),
    "chunk": ("chunk", 1024, 100),  # chunks of one chat
}
THREADS = ("loop", "writer")


def asked_first(what, size):
    """What is answered before the requests that are counted."""
    if what in ("miss", "chat", "chunk"):
        return []
    return [stub.title(size, i) if what == "hit" else bodies.completion(size, i, TEXT) for i in range(BODIES)]


def counted(what, size, i):
    """Request `i` of a row, and what its answer says."""
    if what == "type-through":
        return bodies.completion(size, i % BODIES, TYPED[i % len(TYPED)]), b"detail=type-through"
    if what == "chat":
        return stub.chat(size, i), b"data: [DONE]"
    return (stub.title(size, i), b"lull; fwd") if what == "miss" else (asked_first(what, size)[i % BODIES], b"lull; hit")


def environment():
    """What the figures depend on besides the source."""
    cache = pathlib.Path(BIN, "CMakeCache.txt").read_text(encoding="utf-8")
    build = re.search(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", cache, re.M).group(1)
    build += re.search(r"^LULL_SANITIZE:\w+=(.*)$", cache, re.M).group(1)
    compiler = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache, re.M).group(1)
    first = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    curl = subprocess.run(["pkg-config", "--modversion", "libcurl"], capture_output=True, text=True, check=False)
    vectors = "avx2" if " avx2 " in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8") else ""
    # without its first word: gcc's is the name it was called by, cc or gcc
    return {"machine": platform.machine(), "vectors": vectors, "build": build, "compiler": first.partition(" ")[2],
            "libc": " ".join(platform.libc_ver()), "libcurl": curl.stdout.strip(), "valgrind": valgrind}


class Daemon:
    """lulld on a folder that outlives it, under callgrind or not."""

    def __init__(self, folder, model, out=None):
        self.port, self.out = free_port(), out
        command = [LULLD, "-c", "/dev/null", "--upstream", model.url, "--listen", f"127.0.0.1:{self.port}",
                   "--data-dir", str(folder / "data"), "--control", str(folder / "control.sock")]
        if out is not None:
            command = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}", *command]
        self.log = open(folder / "log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=clean_environment(LULL_UPSTREAM_DEFAULT_SLOTS="0", LULL_TASK_AUTOCOMPLETE_DEBOUNCE="off",
                                                              LULL_TASK_AUTOCOMPLETE_TTL="1h"))
        self.client = eventually(self.connect, 30)

    def connect(self):
        if self.process.poll() is not None:
            sys.exit(f"lulld ended with {self.process.returncode}")
        try:
            return stub.Asker(self.port)
        except OSError:
            return None

    def stop(self):
        self.client.close()
        self.process.terminate()
        status = self.process.wait(60)
        self.log.close()
        if status != 0:
            sys.exit(f"lulld ended with {status}")


class Profile:
    """The costs of one thread by function and by library, from a file of callgrind."""

    def __init__(self):
        self.total = 0
        self.own, self.inclusive, self.libraries = collections.Counter(), collections.Counter(), collections.Counter()

    def read(self, path):
        names, files, function, library, called = {}, {}, None, None, False
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("ob=", "cob=")):
                number, _, name = line.partition("=")[2].partition(" ")
                files.setdefault(number, pathlib.PurePath(name).name.partition(".so")[0])
                library = files[number] if line.startswith("ob=") else library
            elif line.startswith(("fn=", "cfn=")):
                number, _, name = line.partition("=")[2].partition(" ")
                names.setdefault(number, name)
                if line.startswith("fn="):
                    function = f"{library} {names[number]}" if names[number].startswith("0x") else names[number]
            elif line.startswith("calls="):
                called = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                _, _, cost = line.partition(" ")
                cost = int(cost or 0)
                self.inclusive[function] += cost
                if not called:
                    self.own[function] += cost
                    self.libraries[library] += cost
                    self.total += cost
                called = False
        return self

    def less(self, other, count):
        d = Profile()
        d.total = (self.total - other.total) / count
        for mine, theirs, out in ((self.own, other.own, d.own), (self.inclusive, other.inclusive, d.inclusive),
                                  (self.libraries, other.libraries, d.libraries)):
            for name in mine:
                out[name] = (mine[name] - theirs[name]) / count
        return d


def run(what, size, count, folder, model):
    """One daemon that answers `count` requests; the profile of each thread."""
    out = folder / "callgrind.out"
    for old in folder.glob("callgrind.out*"):
        old.unlink()
    daemon = Daemon(folder, model, out)
    for body in asked_first(what, size):  # a start holds no suggestions
        daemon.client.ask(body)
    if what == "chunk":
        daemon.client.chat(stub.chat(size, **{stub.CHUNKS: count}), count, model.wanted)
    for i in range(0 if what == "chunk" else count):
        body, mark = counted(what, size, i)
        answer = daemon.client.ask(body)
        if mark not in answer:
            sys.exit(f"not a {what}: {answer[:300]!r}")
    daemon.stop()
    return {name: Profile().read(pathlib.Path(f"{out}-{i:02d}")) for i, name in enumerate(THREADS, 1)}


def fill(what, size, folder, model):
    """Puts what is hit on the disk: the second request for a suggestion keeps its exact form, too."""
    daemon = Daemon(folder, model)
    for body in 2 * asked_first(what, size):
        daemon.client.ask(body)
    daemon.stop()


def measure(name, model):
    what, size, count = ROWS[name]
    profiles = []
    with tempfile.TemporaryDirectory(prefix="lull-instructions-") as place:
        for n in (count, 2 * count):
            folder = pathlib.Path(place, str(n))
            (folder / "data").mkdir(parents=True)
            if what != "miss":
                fill(what, size, folder, model)
            profiles.append(run(what, size, n, folder, model))
    return {thread: profiles[1][thread].less(profiles[0][thread], count) for thread in THREADS}


def report(name, profile, top):
    loop, writer = (profile[t] for t in THREADS)
    print(f"{name:13} {loop.total:>10,.0f} instructions in the loop's thread, {writer.total:>9,.0f} in the writer's", flush=True)
    for title, costs in (("by library", loop.libraries), ("own", loop.own), ("inclusive", loop.inclusive), ("own, writer", writer.own)):
        if top:
            print(f"  {title}")
        for function, cost in costs.most_common(top):
            if cost >= 1:
                print(f"  {cost:>10,.0f}  {function}")


def of_context(what):
    return " of context" if what in ("hit of a suggestion", "type-through") else ""


def table(found):
    lines = ["| request | loop's thread | writer's thread |", "|---|---|---|"]
    for name, figures in found.items():
        what, size, _ = ROWS[name]
        title = "chunk of a chat" if what == "chunk" else f"{what}, {size // 1024} KB{of_context(what)}"
        lines.append(f"| {title} | {figures['loop']:,} | {figures['writer']:,} |")
    return "\n".join(lines)


def least(name, first, most, model):
    """What is too much is measured twice more: a busy machine adds turns of the loop."""
    figures = [first]
    while min(figures) > most and len(figures) < 3:
        figures.append(round(measure(name, model)["loop"].total))
    return min(figures)


def check(found, kept, model):
    status = 0
    for name, figures in found.items():
        was = kept["rows"][name]["loop"]
        figures["loop"] = least(name, figures["loop"], was * (1 + SLACK), model)
        off = figures["loop"] / was - 1
        note = "  <- over 3 % more" if off > SLACK else "  (less: keep it with --write)" if off < -SLACK else ""
        status = 1 if off > SLACK else status
        print(f"{name:13} {figures['loop']:>8,} now, {was:>8,} kept, {100 * off:+.1f} %{note}")
    return status


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--top", type=int, default=0)
    ap.add_argument("--only", choices=ROWS)
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--write", action="store_true")
    a = ap.parse_args()
    if shutil.which("valgrind") is None or not os.access(LULLD, os.X_OK):
        print(f"skipped: valgrind is not installed, or there is no {LULLD}")
        return 77
    here = environment()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if a.check else None
    if a.check and kept["environment"] != here:
        print(f"skipped: the kept figures are of {kept['environment']}, this is {here}")
        return 77
    found = {}
    with stub.Model(DELAY, bodies.SUGGESTION) as model:
        for name in [a.only] if a.only else ROWS:
            profile = measure(name, model)
            found[name] = {t: round(profile[t].total) for t in THREADS}
            report(name, profile, a.top)
        status = check(found, kept, model) if a.check else 0
    if a.write:
        KEPT.write_text(json.dumps({"environment": here, "rows": found}, indent=2) + "\n", encoding="utf-8")
        page.write("instructions", table(found))
    return status


if __name__ == "__main__":
    sys.exit(main())

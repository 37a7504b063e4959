#!/usr/bin/env python3
"""The store under what can happen to it: kill -9 at random instants of a write load, damaged files, a
disk that is read-only, file systems without shared maps or locks (by fault.c).

    store.py [--long] [--only kill,damage,readonly,filesystem] [--rounds N] [--seed N]

What holds in every round: each answer is the one that the model gave for that text, from the cache or
not; what was reported as committed before a kill is still there; a daemon dies of a damaged file at
most once, and says that the file is set aside; the figures add up. The short form has 20 rounds of
kills and 20 damages, the long form 500 and 1,000. LULL_BIN_DIR as in integration/lull.py.
"""
import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from client import Client, Cut  # noqa: E402
from lull import BIN, SANITIZED, SANITIZER_SIGNS, Lull, eventually  # noqa: E402
from prompts import PATH, body, headers  # noqa: E402
from upstream import Upstream, good_content  # noqa: E402

PAGE = 4096


class Model(Upstream):
    """A model server that knows which answers it gave for a text."""

    def answers(self, text):
        return {good_content("title", e.serial) for e in self.matching(lambda e: text.encode() in e.body)}


class Bench:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.up = Model()
        self.folder = tempfile.mkdtemp(prefix="lull-store-")
        self.problems = []
        self.counts = collections.Counter()
        self.lull = Lull(self.up, folder=self.folder)
        self.data = os.path.join(self.lull.data_dir, "data.mdb")

    def close(self):
        self.lull.cleanup()
        self.up.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def problem(self, where, what):
        text = f"{where}: {what}"
        self.problems.append(text)
        print("PROBLEM", text, flush=True)

    def title(self, text, where):
        """Asks for a title: "hit" (from the disk), "pending" (a hit on what is still to be written), "miss",
        or None where the daemon has died."""
        try:
            with Client(self.lull.port, timeout=10) as client:
                response = client.post(PATH["openai"], body("title", text), headers())
        except (OSError, Cut):
            return None
        if response.status != 200:
            self.problem(where, f"{text}: {response}")
            return "error"
        if response.content not in self.up.answers(text):
            self.problem(where, f"{text} got {response.content!r}, the model said {self.up.answers(text)}")
        if "hit" not in response.cache_status:
            return "miss"
        return "hit" if "ttl=" in response.cache_status else "pending"

    def fill(self, count, words=0):
        texts = [f"{'word ' * self.random.choice((0, words))}entry {i} of {os.getpid()}.{time.monotonic_ns()}?"
                 for i in range(count)]
        for text in texts:
            self.title(text, "fill")
        self.lull.committed()
        return texts

    # ---- kill -9 ------------------------------------------------------------------------------------
    def kill_round(self, number, kept):
        """Writes until a random instant behind some commits, kills, starts, asks for what was there."""
        where = f"kill {number}"
        stop = threading.Event()
        asked, committed = [], []

        def load(worker):
            mine = []
            while not stop.is_set():
                text = f"round {number} worker {worker} text {len(mine)} of {os.getpid()}?"
                asked.append(text)
                mine.append(text)
                if self.title(text, where) is None:
                    return
                older = mine[len(mine) // 2]
                if self.title(older, where) == "hit":
                    committed.append(older)
        workers = [threading.Thread(target=load, args=(w,)) for w in range(3)]
        for worker in workers:
            worker.start()
        enough = self.random.randrange(8)
        eventually(lambda: len(committed) >= enough, message=f"{where}: {enough} answers are committed")
        time.sleep(self.random.random() * 0.03)
        self.lull.kill()
        stop.set()
        for worker in workers:
            worker.join()
        self.start(where)
        self.counts["kills"] += 1
        self.counts["written"] += len(asked)
        kept.extend(self.random.sample(committed, min(2, len(committed))))
        for text in self.random.sample(kept, min(6, len(kept))):
            if self.title(text, where) != "hit":
                self.problem(where, f"{text} was committed and is gone")
            else:
                self.counts["committed and found"] += 1
        for text in asked[-3:]:
            self.title(text, where)
        if "set aside" in self.lull.log_text():
            self.problem(where, self.lull.log_text()[-500:])

    def pending(self):
        """Answers on their way to the disk; all before a 0 are committed."""
        try:
            return self.lull.stats()["cache"]["pending_writes"]
        except (OSError, Cut):
            return -1

    def start(self, where):
        self.lull.log.close()
        os.unlink(self.lull.log_path)
        began = time.monotonic()
        self.lull.start()
        took = time.monotonic() - began
        if took > 5:
            self.problem(where, f"the start took {took:.1f} s")

    def kills(self, rounds):
        kept = []
        for number in range(rounds):
            self.kill_round(number, kept)
        if self.counts["committed and found"] == 0:
            self.problem("kill", "nothing that was committed was asked for again")

    # ---- damage -------------------------------------------------------------------------------------
    def damage(self, size):
        """One change of the file: (what, from, bytes); None as bytes: the file ends there."""
        pick = self.random
        place = pick.randrange(size)
        page = place // PAGE * PAGE
        kind = pick.choice(("meta", "page header", "bit", "bit", "byte", "truncated", "zeros", "noise", "page moved"))
        if kind == "meta":
            return kind, pick.randrange(2 * PAGE), bytes([pick.randrange(256)])
        if kind == "page header":
            return kind, page + pick.randrange(24), bytes([pick.randrange(256)])
        if kind == "truncated":
            return kind, place if pick.random() < 0.5 else page, None
        if kind == "zeros":
            return kind, place, bytes(min(pick.choice((16, 512, PAGE)), size - place))
        if kind == "noise":
            return kind, place, pick.randbytes(min(pick.choice((4, 64, PAGE)), size - place))
        if kind == "page moved":
            return kind, page, self.read(pick.randrange(size // PAGE) * PAGE, PAGE)
        old = self.read(place, 1)[0]
        return kind, place, bytes([old ^ (1 << pick.randrange(8))]) if kind == "bit" else bytes([pick.randrange(256)])

    def read(self, at, count):
        with open(self.data, "rb") as f:
            f.seek(at)
            return f.read(count)

    def apply(self, at, data):
        with open(self.data, "r+b") as f:
            if data is None:
                f.truncate(at)
            else:
                f.seek(at)
                f.write(data)

    def damage_round(self, number, texts, original):
        shutil.rmtree(self.lull.data_dir)
        shutil.copytree(original, self.lull.data_dir)
        what, at, data = self.damage(os.path.getsize(self.data))
        where = f"damage {number}: {what} at {at}"
        self.apply(at, data)
        damaged = os.path.join(self.folder, "damaged")
        shutil.copyfile(self.data, damaged)
        self.counts[what] += 1
        deaths = 0
        for _ in range(4):
            ready = self.try_start()
            if ready and self.ask_all(texts, where):
                break
            deaths += 1
            self.lull.wait()
        if deaths > 1:
            self.problem(where, f"died {deaths} times: {self.lull.log_text()[-600:]}")
        self.counts["deaths"] += deaths
        if not self.lull.running():
            self.problem(where, "does not serve")
            return
        log = self.lull.log_text()
        self.counts["set aside"] += "set aside" in log or ".bad" in log
        if SANITIZER_SIGNS.search(log) and "DEADLYSIGNAL" not in log:
            self.problem(where, log[-1500:])
        wrong = self.lull.unbalanced()
        if wrong:
            self.problem(where, wrong)
        self.stop(where, damaged)

    def stop(self, where, damaged):
        """Ends the daemon. A hang is a problem; what the file was is kept for it."""
        self.lull.signal(signal.SIGTERM)
        try:
            if self.lull.wait(15) != 0:
                self.counts["deaths at the end"] += 1
        except AssertionError as error:
            kept = tempfile.mktemp(prefix="lull-damaged-")
            shutil.copyfile(damaged, kept)
            self.problem(where, f"{error}; {kept}; {backtrace(self.lull.process.pid)}")
            self.lull.kill()

    def try_start(self):
        """False: it died before it was ready."""
        if self.lull.log is not None:
            self.lull.log.close()
        if os.path.exists(self.lull.log_path):
            os.unlink(self.lull.log_path)
        try:
            self.lull.start()
            return True
        except AssertionError:
            if self.lull.running():
                raise
            return False

    def ask_all(self, texts, where):
        """Half of what is stored, and something new. False: the daemon died."""
        results = [self.title(text, where) for text in self.random.sample(texts, len(texts) // 2)]
        results.append(self.title(f"new after {where}?", where))
        try:
            eventually(lambda: self.pending() == 0 or not self.lull.running(), 20, "writes stay pending")
        except AssertionError as error:
            self.problem(where, error)
        self.counts["hits"] += results.count("hit")
        self.counts["misses"] += results.count("miss")
        return None not in results and self.lull.running()

    def damages(self, rounds):
        texts = self.fill(40, 3000)
        self.lull.restart()
        texts += self.fill(8)
        if self.lull.stop() != 0:
            self.problem("damage", "no clean end")
        original = os.path.join(self.folder, "original")
        shutil.copytree(self.lull.data_dir, original)
        for number in range(rounds):
            self.damage_round(number, texts, original)

    # ---- file systems that lack something --------------------------------------------------------------
    def filesystems(self):
        """Without shared maps, or without locks: no cache, and the log says why, once. What was on the disk is
        there again on a file system that has them."""
        texts = self.fill(4)
        for lacking, word in (("maps", "shared memory maps"), ("flock", "cannot be locked"), ("records", "no locks")):
            self.lull.stop()
            self.lull.environment = {"LD_PRELOAD": preload(), "TORTURE_FILESYSTEM": lacking}
            self.start(f"without {lacking}")
            for text in texts:
                if self.title(text, f"without {lacking}") != "miss":
                    self.problem(lacking, "a hit, or no answer")
            state, log = self.lull.stats()["cache"]["state"], self.lull.log_text()
            if not state.startswith("off: ") or word not in state or "local file system" not in state:
                self.problem(lacking, f"the state is {state}")
            if log.count("the cache is off") != 1 or "set aside" in log:
                self.problem(lacking, f"the log: {log[-500:]}")
            self.counts[f"without {lacking}"] += 1
            self.lull.stop()
            self.lull.environment = {}
            self.start(f"after {lacking}")
            if [self.title(text, f"after {lacking}") for text in texts] != ["hit"] * len(texts):
                self.problem(lacking, "what was stored is gone")

    # ---- a read-only file system --------------------------------------------------------------------
    def readonly(self):
        self.lull.stop()
        data = self.lull.data_dir
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "lull-test", data], capture_output=True,
                           text=True, check=False)
        if p.returncode != 0:
            print("skipped: a tmpfs cannot be mounted here:", p.stderr.strip())
            return
        try:
            self.lull.start()
            texts = self.fill(4)
            # a file system in use for writing cannot become read-only: stop first, then start on it
            self.lull.stop()
            subprocess.run(["mount", "-o", "remount,ro", data], check=True)
            self.lull.start()
            for text in texts:
                if self.title(text, "readonly") is None:
                    self.problem("readonly", "died")
            state = self.lull.stats()["cache"]["state"]
            if not state.startswith("off: "):
                self.problem("readonly", f"the state is {state}")
            if "cache is off" not in self.lull.log_text() and "cache off" not in self.lull.log_text():
                self.problem("readonly", f"nothing in the log: {self.lull.log_text()[-400:]}")
            self.counts["read-only"] += 1
            self.lull.stop()
        finally:
            subprocess.run(["umount", "-l", data], check=False)


def preload():
    """fault.so, with the sanitizers' runtime where lulld needs it first."""
    library = os.environ.get("LULL_FAULT_LIBRARY", os.path.join(BIN, "tests", "libfault.so"))
    if not SANITIZED:
        return library
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True).stdout.strip()
    return f"{os.path.realpath(runtime)} {library}"


def backtrace(pid):
    """Where the threads of a process that hangs are, if gdb is there to say it."""
    if shutil.which("gdb") is None:
        return ""
    p = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 12"], capture_output=True,
                       text=True, check=False)
    return "\n".join(line for line in p.stdout.splitlines() if line.startswith(("#", "Thread")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", default="kill,damage,readonly,filesystem")
    parser.add_argument("--rounds", type=int, help="of each")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = False
    for part in options.only.split(","):
        bench = Bench(options.seed)
        began = time.monotonic()
        try:
            if part == "kill":
                bench.kills(options.rounds or (500 if options.long else 20))
            elif part == "damage":
                bench.damages(options.rounds or (1000 if options.long else 20))
            elif part == "filesystem":
                bench.filesystems()
            else:
                bench.readonly()
        finally:
            bench.close()
        print(f"{part}: {dict(bench.counts)}, {len(bench.problems)} problems, {time.monotonic() - began:.1f} s", flush=True)
        failed = failed or bool(bench.problems)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

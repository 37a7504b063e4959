#!/usr/bin/env python3
"""Mixed load on the real lulld for a long time: what Open WebUI sends, a model server that fails 1 % of the
calls in ten ways, clients that leave, a reload every minute, purges, a reader of /events.

    soak.py [--seconds N] [--rate N] [--out FOLDER] [--seed N] [--wrap "valgrind ..."] [--slow FACTOR] [--latency]

What holds: each answer is the one for its request; an error has a cause; the figures of lullctl are what was
counted outside; at the end memory, descriptors and threads are back; memory is flat. It prints what lull adds
to a chat, against the same chat asked directly at the same time. LULL_BIN_DIR as in integration/lull.py.
--latency: the load alone, without reloads and purges (the load and the daemon are what is measured).
"""
import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import memory
import mix  # noqa: F401  (puts integration/ on sys.path)
from load import Connection, Load
from lull import LULLCTL, LULLD, SANITIZED, SANITIZER_SIGNS, Lull, clean_environment, eventually

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1 << 20


class Daemon(Lull):
    """lulld, also under a program that watches it."""

    def __init__(self, ports, folder, wrap, slow):
        self.wrap = wrap.split()
        self.ports = ports
        self.ttl = 2
        upstreams = {name: {"url": f"http://127.0.0.1:{ports[port]}", "dialect": port, "slots": slots, "machine": name,
                            "keepalive": "1s",
                            "first_byte_timeout": f"{10 * slow}s", "stall_timeout": f"{10 * slow}s"}
                     for name, port, slots in (("default", "openai", 16), ("ollama", "ollama", 6))}
        super().__init__(upstreams, folder=folder, slots=None, cache="max_size = 32MB", more=self.kinds())

    def kinds(self):
        return f"[task tags]\nttl = {self.ttl}m\n"

    def start(self, wait=True):
        if not self.wrap:
            return super().start(wait)
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([*self.wrap, LULLD, "-c", self.config_path], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd=self.folder, env=clean_environment())
        eventually(lambda: os.path.exists(self.control_path) or self.process.poll() is not None, 60)
        self.wait_ready()
        return self

    def reload_other(self):
        self.ttl = 5 - self.ttl
        self.write_config(more=self.kinds())

    def idle_connections(self):
        """Those to the model server: libcurl closes an aged one when the next call asks for a connection."""
        remote = {f"0100007F:{port:04X}" for port in self.ports.values()}
        with open(f"/proc/{self.process.pid}/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f]
        inodes = {f"socket:[{row[9]}]" for row in rows if row[2] in remote}
        folder = f"/proc/{self.process.pid}/fd/"
        return sum(os.path.islink(folder + fd) and os.readlink(folder + fd) in inodes for fd in os.listdir(folder))

    def rest(self):
        """A sample of an idle daemon."""
        sample = self.sample()
        return {**sample, "used": self.stats()["process"]["heap_bytes"], "fds": sample["fds"] - self.idle_connections()}

    def sample(self):
        """RssAnon in bytes, descriptors, threads."""
        folder = f"/proc/{self.process.pid}"
        with open(folder + "/status", encoding="ascii") as f:
            status = f.read()
        return {"rss": int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) * 1024,
                "fds": len(os.listdir(folder + "/fd")),
                "threads": int(re.search(r"Threads:\s+(\d+)", status).group(1))}


class Soak:
    def __init__(self, options):
        self.options = options
        self.out = options.out or tempfile.mkdtemp(prefix="lull-soak-")
        os.makedirs(self.out, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="lull-soak-run-")
        self.problems = []
        self.samples = []
        self.turns = []
        self.reloads = self.purges = self.events = self.lost = 0
        self.model = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "model.py")], stdout=subprocess.PIPE)
        self.ports = json.loads(self.model.stdout.readline())
        self.lull = Daemon(self.ports, self.folder, options.wrap, options.slow)
        self.load = Load(self.lull.port, self.ports["direct"], options.rate, options.seed, options.slow)

    def say(self, text):
        print(text, flush=True)

    # ---- beside the load ---------------------------------------------------------------------------------
    async def ctl(self, *arguments):
        process = await asyncio.create_subprocess_exec(LULLCTL, "--socket", self.lull.control_path, *arguments,
                                                       stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        text, _ = await process.communicate()
        if process.returncode != 0:
            self.problems.append(f"lullctl {' '.join(arguments)}: {process.returncode} {text.decode()[:300]}")
        return text.decode()

    async def steer(self):
        """A reload every minute and a purge every 40 s; in short runs five of each."""
        every = min(60, self.options.seconds / 6)
        for turn in range(1, 1 << 30):
            await asyncio.sleep(every / 3)
            if turn % 3 == 0:
                self.lull.reload_other()
                await self.ctl("reload")
                self.reloads += 1
            elif turn % 2 == 0:
                await self.ctl("purge", ("kind=tags", "kind=autocomplete", "kind=title")[turn // 2 % 3])
                self.purges += 1

    async def watch(self):
        """A sample each five seconds, 20 in a short run; a line each minute, or five in a short run."""
        began, line = time.monotonic(), 0
        every = min(60, self.options.seconds / 5)
        while True:
            await asyncio.sleep(min(5, self.options.seconds / 20))
            process = (await asyncio.to_thread(self.lull.stats))["process"]
            sample = {"t": time.monotonic() - began, **self.lull.sample(), "used": process["heap_bytes"],
                      "open": len(self.load.open)}
            self.samples.append(sample)
            if sample["t"] >= line * every:
                line += 1
                self.turns.append(process["loop_recent_turn_ms"])
                self.say(f"{sample['t']:6.0f} s  {sum(self.load.sent.values()):7} asked, {len(self.load.open):3} open, RssAnon "
                         f"{sample['rss'] / MB:.2f} MB, in use {sample['used'] / MB:.2f} MB, {sample['fds']} fds, "
                         f"{sample['threads']} threads, {len(self.load.problems) + len(self.problems)} problems")

    async def listen(self):
        """Reads /events and counts."""
        reader, writer = await asyncio.open_unix_connection(self.lull.control_path)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            while line := await reader.readline():
                if line.startswith(b'data: {"lost":'):
                    self.lost += json.loads(line[6:])["lost"]
                elif line.startswith(b"data: "):
                    self.events += 1
        finally:
            writer.close()

    async def loaded(self):
        """Warms up, takes the memory of an idle daemon, then the load with everything beside it."""
        listener = asyncio.ensure_future(self.listen())
        await self.load.run(min(20, self.options.seconds / 5))
        await self.quiet()
        self.before = self.lull.rest()
        beside = [asyncio.ensure_future(self.watch())]
        if not self.options.latency:
            beside.append(asyncio.ensure_future(self.steer()))
        await self.load.run(self.options.seconds)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await self.quiet()
        for _ in range(200):  # a connection of lullctl may not be closed yet
            self.after = self.lull.rest()
            if self.after["fds"] <= self.before["fds"]:
                break
            await asyncio.sleep(0.05)
        self.stats = json.loads(await self.ctl("--json", "stats"))
        total = self.requests(self.stats)
        for _ in range(200):
            if self.events + self.lost >= total:
                break
            await asyncio.sleep(0.05)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        connection = await Connection.to(self.ports["direct"])
        answer = await connection.ask(b"GET /soak-counts HTTP/1.1\r\n\r\n")
        connection.close()
        self.counted = json.loads(answer.body)

    async def quiet(self):
        """Waits until no client, call or write is open."""
        for _ in range(int(2000 * self.options.slow)):
            stats = await asyncio.to_thread(self.lull.stats)
            running = sum(u["running"] + u["queued"] for u in stats["upstreams"].values())
            if stats["connections"]["open"] == 0 and running == 0 and stats["cache"]["pending_writes"] == 0:
                return
            await asyncio.sleep(0.05)
        self.problems.append(f"it does not come to rest: {json.dumps(stats)[:2000]}")

    # ---- the verdict -------------------------------------------------------------------------------------
    @staticmethod
    def requests(stats):
        return sum(t["requests"] for t in stats["tasks"].values()) + stats["chat"]["requests"] + stats["other"]["requests"]

    def check_figures(self):
        """lullctl's figures against what clients and model server counted. A client that leaves with a reset may
        never have been read: its request counts or does not."""
        load, stats = self.load, self.stats
        self.problems += self.lull.unbalanced(stats)
        have = {**{kind: figures["requests"] for kind, figures in stats["tasks"].items()},
                "chat": stats["chat"]["requests"], "other": stats["other"]["requests"]}
        for kind in set(have) | set(load.sent):
            low, high = load.sent[kind] - load.left[kind], load.sent[kind]
            if not low <= have.get(kind, 0) <= high:
                self.problems.append(f"{kind}: lullctl says {have.get(kind, 0)} requests, clients sent {low} to {high}")
        for kind, figures in stats["tasks"].items():
            for outcome, words in (("hits", ("hit", "pending")), ("type_through", ("type-through",)),
                                   ("superseded", ("superseded",)), ("busy", ("busy",)), ("collapsed", ("collapsed",))):
                seen = sum(load.saw[kind, w] for w in words)
                if not seen <= figures[outcome] <= seen + load.left[kind]:
                    self.problems.append(f"{kind}: lullctl says {figures[outcome]} {outcome}, clients saw {seen}")
        for name, port in (("default", "openai"), ("ollama", "ollama")):
            up, calls = stats["upstreams"][name], sum(self.counted["calls"][port].values())
            if not up["calls"] - up["aborted"] - up["failed"] <= calls <= up["calls"] + sum(self.counted["faults"].values()):
                self.problems.append(f"upstream {name}: lullctl says {up['calls']} calls ({up['aborted']} aborted, {up['failed']} "
                                     f"failed), the model server saw {calls}")
        total = self.requests(stats)
        if self.events + self.lost != total:
            self.problems.append(f"/events had {self.events} events and {self.lost} lost, of {total} exchanges")
        if self.counted["mixed_up"]:
            self.problems.append(f"requests with the marks of two: {self.counted['mixed_up'][:3]}")

    def check_memory(self):
        """Descriptors and threads are back; memory is back, and flat in a run of memory.SHORTEST minutes or more."""
        for what in ("fds", "threads"):
            if self.after[what] > self.before[what]:
                self.problems.append(f"{what}: {self.before[what]} before the load, {self.after[what]} after it")
        if SANITIZED or self.options.wrap:
            return
        if self.after["rss"] > self.before["rss"] + 16 * MB:
            self.problems.append(f"RssAnon: {self.before['rss']} before the load, {self.after['rss']} after it")
        self.problems += memory.problems(self.samples)

    def quarters(self, what):
        """The medians of the four quarters of the run."""
        return [statistics.median(s[what] for s in part) for part in self.parts()]

    def parts(self):
        n = len(self.samples)
        return [self.samples[n * q // 4:n * (q + 1) // 4] or self.samples for q in range(4)]

    def check_end(self):
        status = self.lull.stop()
        log = self.lull.log_text()
        if status != 0:
            self.problems.append(f"lulld ended with {status}: {log[-1000:]}")
        if SANITIZER_SIGNS.search(log):
            self.problems.append("a sanitizer spoke: " + log[max(0, SANITIZER_SIGNS.search(log).start() - 200):][:4000])
        valgrind = re.search(r"ERROR SUMMARY: (\d+) errors", log)
        if "valgrind" in self.options.wrap and (not valgrind or valgrind.group(1) != "0"):
            self.problems.append(f"Valgrind: {valgrind.group(0) if valgrind else 'no summary'}")

    def report(self):
        load = self.load
        hits = sum(n for (_, what), n in load.saw.items() if what in ("hit", "pending", "type-through"))
        self.say(f"\n{sum(load.sent.values())} requests in {self.options.seconds} s (and {load.direct} directly), at most "
                 f"{load.most_open} open; {hits} answered by the cache; {sum(load.left.values())} left; {load.resent} sent again; "
                 f"{self.reloads} reloads, {self.purges} purges, {self.events} events ({self.lost} lost)")
        self.say(f"faults of the model server: {dict(self.counted['faults'])}; errors at the clients: {dict(load.failed)}")
        if load.late:
            self.say(f"answers that took more than 10 s: {dict(load.late)}")
        kinds = sorted({k for k, _ in load.saw})
        for kind in kinds:
            self.say(f"  {kind:20} " + ", ".join(f"{w} {n}" for (k, w), n in sorted(load.saw.items()) if k == kind))
        for what in ("rss", "used", "fds", "threads"):
            unit = MB if what in ("rss", "used") else 1
            values = [s[what] / unit for s in self.samples]
            medians = ", ".join(f"{q / unit:.4g}" for q in self.quarters(what))
            self.say(f"{what}: idle before {self.before[what] / unit:.4g}, medians of the quarters {medians}, "
                     f"most {max(values):.4g}, idle after {self.after[what] / unit:.4g}")
        for name, values in (("added to the first byte of a chat", load.added_first), ("added to its last byte", load.added_last),
                             ("first byte through lull", load.chat_first), ("first byte directly", load.direct_first)):
            if values:
                self.say(f"{name}: p50 {1000 * rank(values, 50):.2f} ms, p90 {1000 * rank(values, 90):.2f}, "
                         f"p99 {1000 * rank(values, 99):.2f}, max {1000 * max(values):.2f} ({len(values)} pairs)")
        if (slope := memory.leak(self.samples)) is not None:
            self.say(f"in use: {slope:+.2f} MB an hour behind the first {memory.FILLED} minutes")
        turns = ", ".join(f"{turn:.1f}" for turn in self.turns)
        self.say(f"the loop's longest turn: {self.stats['process']['loop_longest_turn_ms']:.1f} ms, the most CPU of a turn: "
                 f"{self.stats['process']['loop_longest_turn_cpu_ms']:.1f} ms; of the last five minutes, at "
                 f"each line above: {turns}")

    def close(self):
        self.lull.cleanup()
        self.model.terminate()
        self.model.wait()
        shutil.copyfile(self.lull.log_path, os.path.join(self.out, "lulld.log"))
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self):
        try:
            asyncio.run(self.loaded())
            self.check_figures()
            self.check_memory()
            self.check_end()
            self.report()
            with open(os.path.join(self.out, "samples.json"), "w", encoding="ascii") as f:
                json.dump({"before": self.before, "after": self.after, "samples": self.samples, "stats": self.stats,
                           "model": self.counted}, f)
        finally:
            self.close()
        problems = self.problems + self.load.problems
        for problem in problems[:40]:
            self.say("PROBLEM " + problem[:1500])
        self.say(f"{len(problems)} problems; {self.out}")
        return 1 if problems else 0


def rank(values, percent):
    """A percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--out")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--wrap", default="")
    parser.add_argument("--slow", type=int, default=1)
    parser.add_argument("--latency", action="store_true")
    options = parser.parse_args()
    if not os.access(LULLD, os.X_OK):
        print(f"skipped: there is no {LULLD}")
        sys.exit(77)
    if os.geteuid() != 0:
        print("skipped: only root sees the memory map and the descriptors of lulld")
        sys.exit(77)
    print(f"seed {options.seed}", flush=True)
    sys.exit(Soak(options).run())

if __name__ == "__main__":
    main()

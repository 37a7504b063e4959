#!/usr/bin/env python3
"""Much of everything at once: slow readers and writers, heads that drip, heads and bodies that are large,
thousands of closes, typists, chats, a server that hangs, a full queue. After each, memory, descriptors and
threads are back where they were.

The short form runs in CI; LULL_FULL=1 (tests/soak/run) has the full numbers.
"""
import json
import os
import resource
import shutil
import tempfile
import threading
import time

from client import Client
from lull import SANITIZED, LullTest, eventually, free_port, main
from prompts import PATH, body, chat_body, follow_up, headers, history
from upstream import Gate, good, say

FULL = bool(os.environ.get("LULL_FULL"))
MB = 1 << 20


def sized(full, short):
    return full if FULL else short


def hang(exchange):
    """A rule: reads the request and never answers."""
    exchange.hold(Gate(), 3600)


def large_title(size):
    """A rule: a title of that size in one event, as a stream or whole."""
    content = json.dumps({"title": "t" * size})

    def rule(exchange):
        if not exchange.streaming:
            say(content)(exchange)
            return
        exchange.head(200, [("Content-Type", "text/event-stream")])
        for delta, finish in (({"content": content}, None), ({}, "stop")):
            exchange.piece("data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + "\n\n")
        exchange.piece("data: [DONE]\n\n")
        exchange.end()
    return rule


class Extremes(LullTest):
    def begin(self, up=None, rule=None, **more):
        """A daemon after one task and one chat; what it has then is what it must come back to."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.up = up or self.upstream()
        self.up.when("*", good())
        more.setdefault("server", "")
        self.daemon = self.lull({"default": {"url": self.up.url, "keepalive": "200ms",
                                             **more.pop("upstream", {})}}, **more)
        with Client(self.daemon.port) as c:
            for _ in range(2):
                c.post(PATH["openai"], body("title", "warm"), headers())
                c.post(PATH["openai"], chat_body("warm"), headers())
        self.rest()
        self.before = self.measure()
        self.up.clear()
        self.up.when("*", rule or good())

    def crowd(self, count, **more):
        """Connections that are closed at the end of the test, also of one that fails."""
        clients = [Client(self.daemon.port, timeout=120, **more) for _ in range(count)]
        self.addCleanup(self.close, clients)
        return clients

    def measure(self):
        pid = self.daemon.process.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            threads = next(int(line.split()[1]) for line in f if line.startswith("Threads:"))
        return self.daemon.rss_anon(), self.daemon.stats()["process"]["fds"], threads

    def cpu(self):
        with open(f"/proc/{self.daemon.process.pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9

    def rest(self):
        """Waits until nothing is open: no client, no call, no idle connection to the model server."""
        self.daemon.wait_stats(lambda s: s["connections"]["open"] == 0
                               and all(u["running"] + u["queued"] == 0 for u in s["upstreams"].values())
                               and s["cache"]["pending_writes"] == 0)
        eventually(lambda: not self.up.open_connections, message="connections to the model server stay")

    def is_back(self, name):
        """The held conversations (32 MB at most) and the entries are removed first."""
        self.rest()
        self.assertEqual(self.daemon.control("POST", "/purge?all=yes").status, 200)
        self.rest()
        eventually(lambda: self.measure()[1:] <= self.before[1:], message=f"{self.before[1:]} before")
        if FULL:  # what lies in holes between blocks in use goes back within a minute
            eventually(lambda: self.daemon.rss_anon() - self.before[0] < 12 * MB, 70, "memory is not back")
        grown = self.daemon.rss_anon() - self.before[0]
        print(f"\n{name}: RssAnon {self.before[0] / MB:.1f} MB before, {(self.before[0] + grown) / MB:.1f} after")
        if not SANITIZED:
            self.assertLess(grown, sized(12, 8) * MB)

    @staticmethod
    def close(clients):
        for c in clients:
            c.close()

    # ---- slow ones ---------------------------------------------------------------------------------------
    def test_slow_readers_and_slow_writers(self):
        n = sized(500, 60)
        words = "word " * 30000
        self.begin()
        self.up.when("chat", say(words))
        writers = self.crowd(n)
        bodies = []
        for i, c in enumerate(writers):
            data = body("title", f"slow writer {i} " + "word " * 100).encode()
            c.start("POST", PATH["openai"], headers() + [("Content-Length", str(len(data)))])
            bodies.append(data)
        readers = self.crowd(n, receive_buffer=4096)
        for i, c in enumerate(readers):
            c.start("POST", PATH["openai"], headers(), chat_body(f"slow reader {i}", stream=False).encode())
        self.daemon.wait_stats(lambda s: s["connections"]["open"] == 2 * n)
        for at in range(0, max(map(len, bodies)), 150):
            for c, data in zip(writers, bodies):
                if at < len(data):
                    c.send(data[at:at + 150])
            for c in readers[at // 150::7]:
                c.fill()
        peak = self.daemon.rss_anon()
        print(f"\n{2 * n} connections with slow readers and writers: RssAnon {peak / MB:.1f} MB")
        for c in readers:
            r = c.response()
            self.assertEqual((r.status, r.content), (200, words))
        for c in writers:
            self.assertEqual(c.response().status, 200)
        self.close(readers + writers)
        self.is_back(f"{2 * n} slow readers and writers")

    def test_slow_readers_of_a_large_answer(self):
        """What lull itself has for clients that do not read counts in max_buffered; who is over it is cut."""
        folder = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, folder, True)
        path, port = os.path.join(folder, "port.sock"), free_port()
        self.begin(server="max_buffered = 16MB", port=port, listen=f"127.0.0.1:{port} unix:{path}")
        self.up.clear()
        self.up.when("*", large_title(3 * MB))
        with Client(self.daemon.port, timeout=60) as c:
            self.assertEqual(c.post(PATH["openai"], body("title", "large"), headers()).status, 200)
            self.daemon.committed()
        clients = [Client(path) for _ in range(sized(100, 24))]
        for c in clients:
            c.start("POST", PATH["openai"], headers(), body("title", "large").encode())
        self.daemon.wait_task("title", requests=2 + 1 + len(clients))
        most = self.before[0] + (16 + len(clients) / 2 + 8) * MB
        if not SANITIZED:
            eventually(lambda: self.daemon.rss_anon() < most, message=f"more than {most / MB} MB")
        whole = 0
        for c in clients:
            try:
                whole += c.response().status == 200
            except Exception:
                pass  # cut
        self.assertGreaterEqual(whole, 3)
        self.close(clients)
        self.is_back("slow readers of a large answer")

    def test_heads_that_drip(self):
        n = sized(1000, 100)
        self.begin(server="header_timeout = 2s")
        clients = self.crowd(n)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"a" * 1000
        end = time.monotonic() + 60
        at, closed = 0, set()
        with Client(self.daemon.port) as other:
            while len(closed) < n and time.monotonic() < end:
                for i, c in enumerate(clients):
                    if i not in closed and c.readable():
                        self.assertEqual(c.response().status, 408)
                        self.assertTrue(c.at_end())
                        closed.add(i)
                    elif i not in closed:
                        try:
                            c.send(head[at:at + 1])
                        except OSError:
                            pass  # it is closed by now
                at += 1
                self.assertEqual(other.post(PATH["openai"], body("title", "in between"), headers()).status, 200)
        self.assertEqual(len(closed), n)
        self.close(clients)
        self.is_back(f"{n} heads that drip")

    def test_a_server_that_hangs(self):
        n = sized(300, 30)
        self.begin(rule=hang, upstream={"first_byte_timeout": "1s"})
        tasks, chats = self.crowd(n), self.crowd(n)
        for i, c in enumerate(chats):
            c.start("POST", PATH["openai"], headers(), chat_body(f"chat {i}").encode())
        for i, c in enumerate(tasks):
            c.start("POST", PATH["openai"], headers(), body("tags", f"task {i}").encode())
        for c in tasks:
            self.assertIn(c.response().status, (502, 504))  # 502: kept away from it by then
        self.daemon.wait_stats(lambda s: s["chat"]["open"] == n)
        self.close(tasks + chats)
        self.is_back(f"{2 * n} requests to a server that hangs")

    # ---- large ones --------------------------------------------------------------------------------------
    def test_large_heads(self):
        n = sized(1000, 60)
        self.begin()
        clients = self.crowd(n)
        for i, c in enumerate(clients):
            size = 31000 if i % 2 else 34000
            c.start("GET", "/v1/models", [("X-Filler", "a" * size)])
        for i, c in enumerate(clients):
            self.assertEqual(c.response().status, 200 if i % 2 else 431)
        self.close(clients)
        self.is_back(f"{n} large heads")

    def test_large_bodies(self):
        """All that is held of bodies, and made of them, stays within max_buffered; the others stream through."""
        size, bound, n = sized((63 * MB, 512, 12), (2 * MB, 24, 12))
        self.begin(up=self.upstream(keep_bodies=False), server=f"max_task_body = {min(size + MB, 64 * MB)}\nmax_buffered = {bound}MB")
        gate = Gate()
        self.up.clear()
        self.up.when("*", lambda e: (e.hold(gate, 300), say("x")(e)))
        words = "word " * (size // 5)
        statuses, most = [], [0]

        def ask(i):
            with Client(self.daemon.port, timeout=300) as c:
                statuses.append(c.post(PATH["openai"], body("title", f"{i} {words}"), headers()).status)
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(n)]
        for t in threads:
            t.start()
        end = time.monotonic() + 240
        while gate.arrived < n and time.monotonic() < end:
            most[0] = max(most[0], self.daemon.rss_anon())
            time.sleep(0.002)
        most[0] = max(most[0], self.daemon.rss_anon())
        self.assertEqual(gate.arrived, n)
        gate.open()
        for t in threads:
            t.join()
        print(f"\n{n} bodies of {size // MB} MB, max_buffered = {bound} MB: RssAnon {most[0] / MB:.0f} MB at most")
        self.assertEqual(statuses, [200] * n)
        if not SANITIZED:
            self.assertLess(most[0] - self.before[0], (bound * 1.25 + 8) * MB)
        self.is_back("large bodies")

    # ---- many of them ------------------------------------------------------------------------------------
    def test_connections_that_close_at_once(self):
        """A close costs the same, however many there are."""
        self.begin(server="max_connections = 8192")
        costs = {}
        for n in sized((1250, 2500, 5000), (200, 400, 800)):
            clients = self.crowd(n)
            self.daemon.wait_stats(lambda s, n=n: s["connections"]["open"] == n)
            began = self.cpu()
            self.close(clients)
            eventually(lambda: self.measure()[1] <= self.before[1] + 2)
            costs[n] = (self.cpu() - began) / n * 1e6
        print("\nCPU of a close: " + ", ".join(f"{cost:.0f} us of {n}" for n, cost in costs.items()))
        least, *_, most = costs.values()
        if not SANITIZED:
            self.assertLess(most, 3 * least + 30)
        self.is_back("connections that close at once")

    def test_typists(self):
        n = sized(10000, 600)
        self.begin()
        clients = self.crowd(sized(200, 40))
        asked = 0
        for text in ("The ferry leaves", "The ferry leaves at"):
            for first in range(0, n, len(clients)):
                batch = list(enumerate(clients, first))
                for i, c in batch:
                    c.start("POST", PATH["openai"], headers(user=f"typist {i}"), body("autocomplete", text).encode())
                for i, c in batch:
                    self.assertEqual(c.response().status, 200)
                asked += len(batch)
        self.assertEqual(self.daemon.task("autocomplete")["requests"], asked)
        self.close(clients)
        self.is_back(f"{n} typists")

    def test_chats_that_stream(self):
        n = sized(200, 40)
        gate = Gate()
        self.begin(rule=good(gate, hold_at=2))
        clients = self.crowd(n)
        for i, c in enumerate(clients):
            c.start("POST", PATH["openai"], headers(), chat_body(f"chat {i}").encode())
        heads = [c.response_head() for c in clients]
        self.daemon.wait_stats(lambda s: s["chat"]["open"] == n)
        print(f"\n{n} chats that stream: RssAnon {self.daemon.rss_anon() / MB:.1f} MB")
        gate.open()
        sent = {}
        for c, head in zip(clients, heads):
            c.read_body(head)
        for e in self.up.matching("chat"):
            sent[e.payload] = sent.get(e.payload, 0) + 1
        for head in heads:
            payload = bytes(head.body)
            self.assertGreater(sent.get(payload, 0), 0, "another's bytes, or twice")
            sent[payload] -= 1
        self.close(clients)
        self.is_back(f"{n} chats")

    def test_a_purge_gives_memory_back(self):
        """Conversations are held in memory beside the cache, 32 MB at most; a purge forgets them."""
        self.begin()
        held = 0
        with Client(self.daemon.port, timeout=60) as c:
            for i in range(14):
                data = chat_body(f"conversation {i} " + "word " * 180000, stream=False)
                held += len(data)
                self.assertEqual(c.post(PATH["openai"], data, headers()).status, 200)
        self.assertGreater(self.daemon.rss_anon() - self.before[0], held * 0.9)
        self.is_back(f"{held // MB} MB of conversations")

    def test_what_a_waiting_follow_up_takes(self):
        """A byte of its body counts six times in max_buffered. The conversation is kept beside that only where
        no chat id says when it has moved on."""
        n, taken = 24, {}
        for chats in True, False:
            gate = Gate()
            self.begin(rule=good(gate), server="max_buffered = 1GB", upstream={"slots": 1}, tasks="max_hold = 60s")
            clients, held = self.crowd(n), 0
            for i, c in enumerate(clients):
                turns = history(("user", f"Question {i}"), ("assistant", f"Answer {i} " + "word " * 60000))
                data = json.dumps({"model": "m", "stream": False, "messages": [{"role": "user", "content": follow_up(turns)}]})
                held += len(data)
                c.start("POST", PATH["openai"], headers(chat=f"c{i}" if chats else None, kind="follow_up"), data.encode())
            self.daemon.wait_stats(lambda s: sum(s["upstreams"]["default"][k] for k in ("queued", "running")) == n)
            taken[chats] = (self.daemon.rss_anon() - self.before[0]) / held
            gate.open()
            self.assertEqual([c.response().status for c in clients], [200] * n)
            self.close(clients)
        print(f"\na follow-up that waits: {taken[True]:.2f} bytes for each of its body, {taken[False]:.2f} without a chat id")
        if not SANITIZED:
            self.assertLess(taken[True], 5.8)
            self.assertLess(taken[False], 6.8)

    def test_a_full_queue(self):
        """Over `queue` the task that waits longest runs: none is lost, and no more than that wait."""
        n = sized(1000, 100)
        gate = Gate()
        self.begin(rule=good(gate), upstream={"slots": 1}, tasks="queue = 64\nmax_hold = 60s\nsettle = 0ms")
        clients = self.crowd(n)
        for i, c in enumerate(clients):  # each of a turn of its own: the waits of a turn add up to max_hold
            data = body("tags", f"waits {i}").replace("It depends.", f"It depends on {i}.")
            c.start("POST", PATH["openai"], headers(), data.encode())

        def full(stats):
            up = stats["upstreams"]["default"]
            return (up["queued"], up["running"]) == (64, n - 64)
        self.daemon.wait_stats(full)
        gate.open()
        self.assertEqual([c.response().status for c in clients], [200] * n)
        self.assertEqual(self.daemon.task("tags")["requests"], n)
        self.close(clients)
        self.is_back(f"a queue that {n} want to wait in")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Many of everything, on a small scale: connections, entries, descriptors that run out."""
import os
import resource
import threading
import time

import prompts
from client import Client
from lull import LullTest, SANITIZED, eventually, main
from prompts import PATH, body, headers
from upstream import Gate, good


class Scale(LullTest):
    def cpu(self, lull):
        with open(f"/proc/{lull.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_idle_memory(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.post(PATH["openai"], body("title", "warm"), headers())
        c.post(PATH["openai"], prompts.chat_body("warm"), headers())
        c.close()
        lull.wait_stats(lambda s: s["connections"]["open"] == 0)
        idle = lull.rss_anon()
        print(f"\nRssAnon idle, after one task and one chat: {idle / 1048576:.2f} MB")
        if not SANITIZED:
            self.assertLess(idle, 4 << 20)

    def test_idle_daemon_does_not_wake_up(self):
        lull = self.lull(self.upstream())
        before = self.cpu(lull)
        time.sleep(1)
        self.assertLess(self.cpu(lull) - before, 0.05)

    def test_many_idle_connections(self):
        up = self.upstream()
        lull = self.lull(up)
        n = 800
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < n + 100:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 200), hard))
        before = lull.rss_anon()
        clients = [self.connect(lull) for _ in range(n)]
        for c in clients:
            c.start("GET", "/v1/models")
            self.assertEqual(c.response().status, 200)
        self.assertEqual(lull.stats()["connections"]["open"], n)
        grown = (lull.rss_anon() - before) / n
        print(f"\n{n} idle connections: {grown:.0f} bytes each")
        if not SANITIZED:
            self.assertLess(grown, 24 * 1024)
        for c in clients:
            c.close()
        lull.wait_stats(lambda s: s["connections"]["open"] == 0)

    def test_many_entries_cost_little_memory(self):
        up = self.upstream()
        lull = self.lull(up)
        connection = [self.connect(lull)]

        def ask(i, want):
            r = connection[0].post(PATH["openai"], body("tags", f"entry {i}"), headers())
            self.assertIn(want, r.cache_status)
        for i in range(200):
            ask(i, "stored")
        lull.committed()
        before = lull.rss_anon()
        n = 500 if SANITIZED else 3000
        for i in range(200, n):
            ask(i, "stored")
            if i % 200 == 199:
                lull.committed()  # as in the measure: no more pending at once than before it
        lull.committed()
        if not SANITIZED:
            self.assertLess(lull.rss_anon() - before, 1 << 20)
        begin = time.monotonic()
        lull.restart()
        connection[0] = self.connect(lull)
        ask(n // 2, "hit")
        print(f"\nstart with {n} entries, to the first hit: {(time.monotonic() - begin) * 1000:.0f} ms "
              "(with the start of the process and the wait for readiness)")
        for i in range(0, n, 7):
            ask(i, "hit")
        stats = lull.stats()
        self.assertEqual((stats["cache"]["entries"] > 0, stats["cache"]["errors"]), (True, 0))
        self.assertEqual(up.count(), n)

    def a_crowd_is_too_much(self, lull, kept):
        """150 clients, for more than there are descriptors; kept is a client that has its own."""
        crowd = [Client(lull.port) for _ in range(150)]
        eventually(lambda: "no new connections for now" in lull.log_text())
        before, lines = self.cpu(lull), lull.log_text().count("\n")
        time.sleep(1)
        self.assertLess(self.cpu(lull) - before, 0.3, "spins")
        self.assertLess(lull.log_text().count("\n") - lines, 20, "floods the log")
        self.assertEqual(kept.get("/v1/models").status, 200)
        for c in crowd:
            c.close()
        eventually(lambda: lull.stats()["connections"]["open"] <= 1)
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)

    def test_descriptors_that_run_out(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        lull = self.lull(self.upstream(), preexec=few)
        self.assertIn("max_connections", lull.log_text(), "lowered with a warning")
        kept = self.connect(lull)
        self.assertEqual(kept.get("/v1/models").status, 200)
        self.a_crowd_is_too_much(lull, kept)

    def test_descriptors_that_run_out_before_max_connections(self):
        lull = self.lull(self.upstream())
        kept = self.connect(lull)
        self.assertEqual(kept.get("/v1/models").status, 200)
        lull.stats()
        used = max(int(fd) for fd in os.listdir(f"/proc/{lull.process.pid}/fd"))
        resource.prlimit(lull.process.pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
        self.a_crowd_is_too_much(lull, kept)

    def test_a_mixed_crowd(self):
        """Chats, tasks, lists, people who leave: at the end everything adds up."""
        up = self.upstream()
        slow = Gate()
        up.when(lambda e: b"hold me" in e.body, good(slow))
        lull = self.lull(up)
        problems = []

        def person(n):
            try:
                for i in range(25):
                    with Client(lull.port) as c:
                        what = (n + i) % 5
                        if what == 0:
                            r = c.post(PATH["openai"], prompts.chat_body(f"{n} {i}"), headers())
                        elif what == 1:
                            r = c.post(PATH["ollama"], body("title", f"{i}", "ollama"), headers("ollama"))
                        elif what == 2:
                            r = c.post(PATH["openai"], body("query", f"{i % 4}"), headers())
                        elif what == 3:
                            r = c.get("/v1/models")
                        else:
                            c.start("POST", PATH["openai"], headers(), body("tags", f"hold me {i}").encode())
                            continue  # leaves at once
                        if r.status != 200:
                            problems.append(repr(r))
            except Exception as e:
                problems.append(repr(e))
        people = [threading.Thread(target=person, args=(n,)) for n in range(10)]
        for p in people:
            p.start()
        for p in people:
            p.join()
        slow.open()
        self.assertEqual(problems, [])
        lull.wait_stats(lambda s: s["upstreams"]["default"]["running"] == 0 and s["connections"]["open"] == 0)
        stats = lull.stats()
        self.assertEqual(stats["chat"]["requests"], 50)
        self.assertEqual(stats["other"]["requests"], 50)
        self.assertEqual(lull.task("title", stats)["requests"], 50)
        self.assertEqual(lull.task("query", stats)["requests"], 50)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Flights: identical requests in progress share one call, and no client affects the others."""
import select
import time

import prompts
from client import Client
from lull import DEADLINE, LullTest, eventually, main
from prompts import PATH, body, headers
from upstream import Gate, cut_at, error_in_stream, good, good_content, status

PHASES = {"before the head": None, "after the head": 0, "after the first token": 2, "before the last byte": -1}


class FlightTest(LullTest):
    def start(self, lull, kind, text, dialect="openai", raw=None, extra=()):
        """A client of its own that has sent its task."""
        c = self.connect(lull)
        data = (raw if raw is not None else body(kind, text, dialect)).encode()
        c.start("POST", PATH[dialect], headers(dialect) + list(extra), data)
        return c

    def all_waiting(self, lull):
        """Everything sent so far has been read: requests are read in the order in which they came, and
        this one, which lull answers by itself, came after them."""
        for _ in range(2):
            with Client(lull.port) as c:
                self.assertEqual(c.get("/@no-such-upstream/").status, 404)


class Coalescing(FlightTest):
    def test_200_identical_cold_requests_make_one_call(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        n = 200
        clients = [Client(lull.port) for _ in range(n)]
        self._clients += clients
        data = body("title", "the same for all").encode()
        for c in clients:
            c.start("POST", PATH["openai"], headers(), data)
        up.wait_for(1)
        self.all_waiting(lull)
        # one thread reads all sockets; the clock is read when an answer is complete
        waiting = {c.sock.fileno(): c for c in clients}
        poller = select.epoll()
        for fd in waiting:
            poller.register(fd, select.EPOLLIN)
        gate.open()
        moments, answers = [], []
        end = time.monotonic() + 30
        while waiting and time.monotonic() < end:
            for fd, _ in poller.poll(1):
                c = waiting[fd]
                c.fill()
                head, mark, rest = c.buffer.partition(b"\r\n\r\n")
                if mark and f"Content-Length: {len(rest)}\r\n".encode() in head + mark:
                    moments.append(time.monotonic())
                    answers.append((head, rest))
                    poller.unregister(fd)
                    del waiting[fd]
        poller.close()
        self.assertEqual(len(answers), n)
        self.assertEqual(up.count(), 1)
        spread = (max(moments) - min(moments)) * 1000
        print(f"200 identical cold requests: {up.count()} upstream call, "
              f"{spread:.1f} ms from the first answer to the last (as one Python client sees it)")
        self.assertEqual(sum(b"HTTP/1.1 200 OK" in h for h, _ in answers), n)
        self.assertEqual(len({body for _, body in answers}), 1)
        self.assertEqual(sum(b"fwd=miss; collapsed" in h for h, _ in answers), n - 1)
        self.assertEqual(sum(b"fwd=miss; stored" in h for h, _ in answers), 1)
        lull.wait_task("title", requests=n, misses=1, collapsed=n - 1, upstream_calls=1, stored=1)
        self.assertGreater(lull.task("title")["saved_s"], 0)

    def test_written_differently_is_still_the_same_question(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        import json
        document = json.loads(body("tags", "shared"))
        forms = [json.dumps(document), json.dumps(document, separators=(",", ":")),
                 json.dumps(dict(reversed(document.items())), indent=1)]
        clients = [self.start(lull, "tags", "", raw=f) for f in forms]
        up.wait_for(1)
        self.all_waiting(lull)
        gate.open()
        for c in clients:
            self.assertEqual(c.response().content, good_content("tags", 1))
        self.assertEqual(up.count(), 1)

    def test_each_gets_the_model_name_it_asked_for(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up, tasks="model = tiny")
        clients = [(m, self.start(lull, "tags", "", raw=body("tags", "names", model=m))) for m in ("a", "b")]
        up.wait_for(1)
        self.all_waiting(lull)
        gate.open()
        for m, c in clients:
            self.assertEqual(c.response().json["model"], m)
        self.assertEqual(up.count(), 1)

    def test_different_scopes_do_not_share(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        clients = [self.start(lull, "tags", "scoped", extra=[("X-OpenWebUI-User-Id", f"u{i}")]) for i in range(3)]
        up.wait_for(3)
        gate.open()
        contents = {c.response().content for c in clients}
        self.assertEqual(len(contents), 3)

    def test_no_store_neither_joins_nor_is_joined(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        a = self.start(lull, "tags", "x", extra=[("Cache-Control", "no-store")])
        up.wait_for(1)
        b = self.start(lull, "tags", "x")
        up.wait_for(2)
        c = self.start(lull, "tags", "x", extra=[("Cache-Control", "no-store")])
        up.wait_for(3)
        gate.open()
        self.assertEqual(len({x.response().content for x in (a, b, c)}), 3)
        lull.wait_task("tags", bypassed=2, misses=1, stored=1)

    def test_no_cache_flies_alone_but_may_be_joined(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        a = self.start(lull, "tags", "x")
        up.wait_for(1)
        b = self.start(lull, "tags", "x", extra=[("Cache-Control", "no-cache")])
        up.wait_for(2)
        gate.open()
        self.assertEqual(len({x.response().content for x in (a, b)}), 2)
        self.assertEqual(up.count(), 2)

    def test_kinds_that_are_not_cached_still_answer_each(self):
        up = self.upstream()
        lull = self.lull(up)
        for _ in range(3):
            r = self.start(lull, "tool_selection", "x").response()
            self.assertEqual(r.status, 200)

    def test_the_same_again_right_after_the_answer(self):
        """Read-your-writes: nothing may be asked twice while the first answer is being written."""
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        for i in range(50):
            raw = body("query", f"pair {i}")
            a = c.post(PATH["openai"], raw, headers())
            b = c.post(PATH["openai"], raw, headers())
            self.assertIn("hit", b.cache_status)
            self.assertEqual(a.content, b.content)
        self.assertEqual(up.count(), 50)


class Leaving(FlightTest):
    def test_the_first_client_leaving_harms_no_other(self):
        for phase, hold_at in PHASES.items():
            for how in ("close", "reset"):
                for dialect in ("openai", "ollama"):
                    with self.subTest(f"{phase} {how} {dialect}"):
                        up = self.upstream()
                        gate = Gate()
                        up.when("*", good(gate, hold_at=hold_at))
                        lull = self.lull(up)
                        first = self.start(lull, "tags", "leaving", dialect)
                        up.wait_for(1)
                        eventually(lambda gate=gate: gate.arrived == 1)
                        second = self.start(lull, "tags", "leaving", dialect)
                        self.all_waiting(lull)
                        getattr(first, how)()
                        eventually(lambda lull=lull: lull.task("tags")["abandoned"] == 1)
                        self.assertFalse(up.records[0].gone.is_set())
                        gate.open()
                        r = second.response()
                        self.assertEqual((r.status, r.content), (200, good_content("tags", 1)))
                        lull.wait_task("tags", requests=2, abandoned=1, stored=1, cancelled=0)
                        self.assertEqual(up.count(), 1)
                        lull.check()

    def test_the_last_client_leaving_aborts_the_call(self):
        for phase, hold_at in PHASES.items():
            if phase == "before the last byte":
                continue  # nearly done: may be finished instead
            for dialect in ("openai", "ollama"):
                with self.subTest(f"{phase} {dialect}"):
                    up = self.upstream()
                    never = Gate()
                    up.when("*", good(never, hold_at=hold_at))
                    lull = self.lull(up)
                    clients = [self.start(lull, "tags", "leaving", dialect) for _ in range(3)]
                    up.wait_for(1)
                    eventually(lambda never=never: never.arrived == 1)
                    self.all_waiting(lull)
                    for c in clients:
                        c.close()
                    self.assertTrue(up.records[0].gone.wait(DEADLINE), "the call was not aborted")
                    lull.wait_task("tags", requests=3, abandoned=3, cancelled=1, stored=0)
                    lull.wait_stats(lambda s: s["upstreams"]["default"]["aborted"] == 1)
                    up.clear()
                    r = self.start(lull, "tags", "leaving", dialect).response()
                    self.assertEqual(r.cache_status, "lull; fwd=miss; stored")

    def test_leaving_in_a_debounce_window(self):
        up = self.upstream()
        lull = self.lull(up, more="[task autocomplete]\ndebounce = 400ms\n")
        a = self.start(lull, "autocomplete", "What is the best way to leave")
        self.all_waiting(lull)
        a.close()
        lull.wait_task("autocomplete", abandoned=1)
        b = self.start(lull, "autocomplete", "A quite different sentence here")
        self.assertEqual(b.response().status, 200)
        self.assertEqual([e.kind for e in up.records], ["autocomplete"])
        lull.wait_task("autocomplete", requests=2, abandoned=1, misses=1, upstream_calls=1)

    def test_while_the_model_server_does_not_accept(self):
        up = self.upstream()
        up.accepting.clear()
        lull = self.lull(up)
        first = self.start(lull, "tags", "connecting")
        second = self.start(lull, "tags", "connecting")
        self.all_waiting(lull)
        first.close()
        lull.wait_task("tags", abandoned=1)
        up.accepting.set()
        self.assertEqual(second.response().status, 200)
        self.assertEqual(up.count(), 1)


class Failing(FlightTest):
    def fail_all(self, rule, code, error=None, n=20, calls=1):
        for dialect in ("openai", "ollama"):
            with self.subTest(dialect):
                up = self.upstream()
                gate = Gate()

                def held(e, gate=gate):
                    e.hold(gate)
                    rule(e)
                up.when("*", held)
                lull = self.lull(up)
                clients = [self.start(lull, "tags", "failing", dialect) for _ in range(n)]
                up.wait_for(1)
                self.all_waiting(lull)
                gate.open()
                bodies = set()
                for c in clients:
                    r = c.response()
                    self.assertEqual((r.status, r.header("X-Lull-Error")), (code, error))
                    self.assertEqual(r.task, "tags")
                    bodies.add(r.body)
                self.assertEqual(len(bodies), 1, "all get the same")
                self.assertEqual(up.count(), calls)
                lull.wait_task("tags", requests=n, failed=n, misses=1, collapsed=n - 1, stored=0)
                up.clear()
                r = self.start(lull, "tags", "failing", dialect).response()
                self.assertEqual(r.cache_status, "lull; fwd=miss; stored", "a failure is not remembered")
                lull.check()

    def test_error_status(self):
        """Asked once more as the client wrote it, and not again."""
        self.fail_all(status(500, '{"error":"its own"}'), 500, calls=2)

    def test_rate_limit(self):
        self.fail_all(status(429, '{"error":"slow down"}', headers=[("Retry-After", "3600")]), 429)

    def test_cut(self):
        self.fail_all(cut_at(200), 502, "upstream_broke")

    def test_error_in_the_stream(self):
        up = self.upstream()
        gate = Gate()

        def held(e):
            e.hold(gate)
            error_in_stream()(e)
        up.when("*", held)
        lull = self.lull(up)
        clients = [self.start(lull, "tags", "failing") for _ in range(5)]
        up.wait_for(1)
        self.all_waiting(lull)
        gate.open()
        self.assertEqual(len({(c.response().status >= 500) for c in clients}), 1)
        lull.wait_task("tags", requests=5, failed=5)

    def test_no_server_listens(self):
        lull = self.lull("http://127.0.0.1:9")
        clients = [self.start(lull, "tags", "nobody") for _ in range(10)]
        for c in clients:
            self.assertEqual(c.response().header("X-Lull-Error"), "upstream_unreachable")
        lull.wait_task("tags", requests=10, failed=10)


class Beside(FlightTest):
    def test_a_chat_is_not_delayed_by_waiting_tasks(self):
        up = self.upstream()
        gate = Gate()
        up.when("tags", good(gate))
        lull = self.lull(up)
        waiting = [self.start(lull, "tags", f"task {i}") for i in range(10)]
        up.wait_for(10, "tags")
        r = self.connect(lull).post(PATH["openai"], prompts.chat_body("Hi"), headers())
        self.assertEqual(r.status, 200)
        gate.open()
        for c in waiting:
            self.assertEqual(c.response().status, 200)


if __name__ == "__main__":
    main()

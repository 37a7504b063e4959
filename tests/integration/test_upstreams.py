#!/usr/bin/env python3
"""Every sort of upstream: either dialect answered by either, https with a private authority, a proxy,
shaping, load options, whose headers go where, and what a client sees of each way to fail."""
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading

import prompts
from certificates import Authority
from lull import LullTest, eventually, free_port, main
from prompts import MODEL, PATH, body, headers
from upstream import Gate, cut_at, error_in_stream, good, good_content, say, status

SECRET = "sk-planted-secret-4711"
LLAMA = [lambda e: e.path.endswith("/api/version"), status(404)]


def only_openai(up):
    """llama.cpp: no /api/…, and slots in /props."""
    up.when(lambda e: e.path.startswith("/api/"), status(404))
    up.when(lambda e: e.path == "/props", lambda e: e.full(200, "application/json", '{"total_slots":4}'))
    return up


class UpstreamTest(LullTest):
    def ask(self, lull, kind="title", text="Bread", dialect="openai", path=None, key=SECRET, more=(), **members):
        head = headers(dialect, key, kind=kind) + list(more)
        if dialect == "ollama":
            head.append(("Authorization", "Bearer " + key))
        with lull.client() as c:
            return c.request("POST", path or PATH[dialect], head, body(kind, text, dialect, **members).encode())

    def task_model(self, up, other, keys="", upstream="", **more):
        """Titles are sent to `other`."""
        ups = {"default": up, "other": {"url": other, **({} if not upstream else dict(
            line.split(" = ") for line in upstream.splitlines()))}}
        return self.lull(ups, more=f"[task title]\nupstream = other\n{keys}\n", **more)


class Dialects(UpstreamTest):
    def test_ollama_asks_and_an_openai_type_answers(self):
        up, other = self.upstream(), only_openai(self.upstream())
        lull = self.task_model(up, other, "model = small\n")
        r = self.ask(lull, dialect="ollama")
        self.assertEqual((r.status, r.cache_status), (200, "lull; fwd=miss; stored"))
        self.assertEqual(r.json["message"], {"role": "assistant", "content": good_content("title", 1)})
        self.assertTrue(r.json["done"])
        self.assertEqual(r.json["model"], MODEL["ollama"])
        sent = other.wait_for(1)[0]
        self.assertEqual(sent.target, "/v1/chat/completions")
        self.assertEqual(sent.json["model"], "small")
        self.assertEqual(sent.json["max_tokens"], 1000)
        self.assertNotIn("options", sent.json)
        self.assertEqual(sent.json["chat_template_kwargs"], {"enable_thinking": False})
        self.assertEqual(up.count(), 0)
        # what was made in one dialect answers the other
        lull.committed()
        r = self.ask(lull, dialect="openai")
        self.assertIn("hit", r.cache_status)
        self.assertEqual(r.content, good_content("title", 1))

    def test_openai_asks_and_ollama_answers_in_its_own_dialect(self):
        up, other = self.upstream(), self.upstream()
        lull = self.task_model(up, other, upstream="dialect = ollama")
        r = self.ask(lull)
        self.assertEqual(r.content, good_content("title", 1))
        self.assertGreater(r.json["usage"]["completion_tokens"], 0)
        sent = other.wait_for(1)[0]
        self.assertEqual(sent.target, "/api/chat")
        self.assertEqual(sent.json["options"]["num_predict"], 1000)
        self.assertEqual(sent.json["think"], False)
        self.assertNotIn("max_tokens", sent.json)

    def test_an_unsaid_dialect_is_found_out_once(self):
        up, other = self.upstream(), self.upstream()  # Ollama: speaks both
        lull = self.task_model(up, other)
        for i in range(3):
            self.assertEqual(self.ask(lull, text=f"Bread {i}", dialect="ollama").status, 200)
        self.assertEqual({e.target for e in other.wait_for(3)}, {"/api/chat"})
        self.assertEqual([e.path for e in other.probes], ["/api/version"])

    def test_errors_cross_too(self):
        for asks, answers in (("ollama", "openai"), ("openai", "ollama")):
            up, other = self.upstream(), self.upstream()
            lull = self.task_model(up, other, upstream=f"dialect = {answers}")
            other.when("title", status(404))
            r = self.ask(lull, dialect=asks)
            self.assertEqual(r.status, 404)
            error = r.json["error"]
            self.assertIn("the model says no", error if asks == "ollama" else error["message"])

    def test_what_cannot_cross_stays_at_home(self):
        up, other = self.upstream(), only_openai(self.upstream())
        lull = self.task_model(up, other)
        r = self.ask(lull, dialect="ollama", options={"mirostat": 2})
        self.assertEqual((r.status, r.cache_status), (200, "lull; fwd=bypass; detail=dialect"))
        self.assertEqual((up.count("title"), other.count("title")), (1, 0))
        self.assertEqual(up.records[0].json["options"], {"mirostat": 2})

    def test_cut_at_every_byte_in_the_other_dialect(self):
        up, other = self.upstream(), only_openai(self.upstream())
        lull = self.task_model(up, other, upstream="breaker_failures = 1000")
        n, whole = 0, False
        while not whole:
            done = []

            def position(data, at, n=n, done=done):
                done.append(n >= len(data))
                return n
            other.when("title", cut_at(position, text='{"title": "T"}'))
            r = self.ask(lull, text=f"byte {n}", dialect="ollama")
            whole = done[0]
            if not whole:
                self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"), n)
                self.assertIsInstance(r.json["error"], str)
            n += 7 if n < 300 else 23
        self.assertEqual(r.content, '{"title": "T"}')


class Shaping(UpstreamTest):
    def test_what_the_configuration_adds(self):
        up = self.upstream()
        lull = self.lull(up, more="[task title]\nmax_tokens = 40\ntemperature = 0.2\njson_schema = yes\n"
                         "extra = {\"top_k\": 5, \"seed\": null}\n")
        self.assertEqual(self.ask(lull, seed=7).status, 200)
        sent = up.wait_for(1)[0].json
        self.assertEqual((sent["max_tokens"], sent["temperature"], sent["top_k"]), (40, 0.2, 5))
        self.assertNotIn("seed", sent)
        self.assertEqual(sent["reasoning_effort"], "none")  # Ollama's word for it
        self.assertEqual(sent["response_format"]["json_schema"]["schema"]["required"], ["title"])

    def test_refused_additions_are_left_out_for_an_hour(self):
        up = self.upstream()
        lull = self.lull(up)

        def strict(e):
            if "reasoning_effort" in e.json:
                status(400, '{"error":{"message":"unknown field reasoning_effort"}}')(e)
            else:
                good()(e)
        up.when("title", strict)
        self.assertEqual(self.ask(lull).status, 200)
        self.assertEqual(json.loads(up.records[1].body), json.loads(body("title", "Bread")))
        self.assertEqual(self.ask(lull, text="Cheese").status, 200)
        self.assertEqual(up.count("title"), 3)

    def test_tasks_are_sent_as_the_last_chat_had_it_loaded(self):
        up = self.upstream()
        lull = self.lull(up)
        chat = json.loads(prompts.chat_body("Hello", "ollama", tools=False))
        chat |= {"options": {"num_ctx": 16384, "temperature": 0.9}, "keep_alive": "30m"}
        c = self.connect(lull)
        self.assertEqual(c.request("POST", "/api/chat", headers("ollama"), json.dumps(chat).encode()).status, 200)
        self.assertEqual(self.ask(lull, dialect="ollama").status, 200)
        sent = up.matching("title")[0].json
        self.assertEqual(sent["options"], {"num_predict": 1000, "num_ctx": 16384})
        self.assertEqual(sent["keep_alive"], "30m")
        # it is no part of what the answer is found by
        del chat["options"]["num_ctx"]
        lull.committed()
        self.assertEqual(c.request("POST", "/api/chat", headers("ollama"), json.dumps(chat).encode()).status, 200)
        self.assertIn("hit", self.ask(lull, dialect="ollama").cache_status)
        self.assertEqual(self.ask(lull, text="Cheese", dialect="ollama").status, 200)
        self.assertNotIn("num_ctx", up.matching("title")[1].json["options"])

    def test_thinking_and_chatter_are_taken_off(self):
        up = self.upstream()
        lull = self.lull(up)
        up.when("title", say('<think>{maybe}</think>Sure:\n```json\n{"title": "Bread"}\n```\n{enjoy}'))
        r = self.ask(lull)
        self.assertEqual((r.content, r.cache_status), ('{"title": "Bread"}', "lull; fwd=miss; stored"))

    def test_money(self):
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "price_in": "1.5", "price_out": "10"}})
        self.assertEqual(self.ask(lull).status, 200)
        lull.committed()
        self.assertIn("hit", self.ask(lull).cache_status)
        t = lull.task("title")
        cost = t["tokens_in"] * 1.5e-6 + t["tokens_out"] * 10e-6
        self.assertAlmostEqual(t["cost"], cost, delta=2e-6)
        self.assertAlmostEqual(t["saved_cost"], cost, delta=2e-6)
        self.assertEqual(t["tokens_estimated"], 0)
        self.assertIn("lull_task_cost_total{kind=\"title\"}", lull.control("GET", "/metrics").body.decode())
        # a server that does not count
        up.when("tags", lambda e: e.full(200, "application/json", json.dumps({"choices": [
            {"index": 0, "message": {"content": '{"tags": ["a"]}'}, "finish_reason": "stop"}]})))
        self.assertEqual(self.ask(lull, "tags").status, 200)
        self.assertGreater(lull.task("tags")["tokens_estimated"], 0)


class Https(UpstreamTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="lull-ca-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.authority = Authority(self.folder)

    def hosted(self, name, **more):
        return self.upstream(tls=self.authority.context(name, **more))

    def through(self, other, keys=""):
        return self.task_model(self.upstream(), other, upstream=f"ca_file = {self.authority.ca}" + keys)

    def test_a_hosted_api_with_a_key_from_a_file(self):
        key = os.path.join(self.folder, "key")
        with open(key, "w", encoding="ascii") as f:
            f.write("sk-theirs\n")
        other = self.hosted("good")
        lull = self.through(other, f"\napi_key_file = {key}")
        r = self.ask(lull, dialect="ollama", more=[("Cookie", SECRET), ("X-OpenWebUI-User-Email", SECRET)])
        self.assertEqual((r.status, r.content), (200, good_content("title", 1)))
        sent = other.wait_for(1)[0]
        self.assertEqual(sent.header("Authorization"), "Bearer sk-theirs")
        self.assertNotIn(SECRET, sent.raw_head.decode() if isinstance(sent.raw_head, bytes) else str(sent.raw_head))
        self.assertFalse(sent.json.get("stream"))  # hosted: cannot be cancelled for money, so not streamed
        self.assertEqual(sent.json["reasoning_effort"], "low")
        self.assertEqual(other.probes, [])

    def test_certificates_that_are_not_good_are_refused(self):
        for name, more, word in (("wrong", {"names": "DNS:elsewhere.test"}, "certificate"),
                                 ("old", {"days": 0}, "expired"),
                                 ("own", {"self_signed": True}, "self")):
            with self.subTest(name):
                other = self.hosted(name, **more)
                lull = self.through(other)
                r = self.ask(lull)
                self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_unreachable"))
                self.assertIn(word, r.json["error"]["message"].lower())
                self.assertEqual(other.count(), 0)
                other.errors.clear()

    def test_an_authority_that_is_not_known_is_refused(self):
        other = self.hosted("good")
        lull = self.task_model(self.upstream(), other)
        r = self.ask(lull)
        self.assertEqual(r.header("X-Lull-Error"), "upstream_unreachable")
        other.errors.clear()

    def _end(self, lull):
        for up in self._upstreams:  # handshakes that were to fail
            up.errors[:] = [e for e in up.errors if "SSL" not in e]
        return super()._end(lull)


class Proxy(UpstreamTest):
    """A CONNECT proxy in a few lines; notes what it is asked."""

    def proxy(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        self.addCleanup(listener.close)
        self.seen = []

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(4096)
                self.seen.append(head.decode())
                host, port = head.split(b" ")[1].decode().rsplit(":", 1)
                server = socket.create_connection((host, int(port)))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[1]

    def test_it_is_sent_the_target_and_nothing_else(self):
        other = self.upstream()
        lull = self.task_model(self.upstream(), other, upstream=f"proxy = http://127.0.0.1:{self.proxy()}")
        r = self.ask(lull, more=[("Cookie", SECRET)])
        self.assertEqual((r.status, r.content), (200, good_content("title", 1)))
        self.assertTrue(all(h.startswith(f"CONNECT 127.0.0.1:{other.port} ") for h in self.seen))
        self.assertNotIn(SECRET, "".join(self.seen))
        self.assertEqual(other.wait_for(1)[0].target, "/v1/chat/completions")

    def test_a_proxy_that_is_not_there(self):
        lull = self.task_model(self.upstream(), self.upstream(), upstream=f"proxy = http://127.0.0.1:{free_port()}")
        self.assertEqual(self.ask(lull).header("X-Lull-Error"), "upstream_unreachable")


class Secrets(UpstreamTest):
    def test_the_clients_headers_stay_with_whom_it_addressed(self):
        planted = [(n, SECRET) for n in ("Cookie", "X-OpenWebUI-User-Id", "X-OpenWebUI-User-Email",
                                         "X-OpenWebUI-User-Jwt", "X-Api-Key", "X-Anything")]
        up, other = self.upstream(), self.upstream()
        lull = self.lull({"default": up, "other": {"url": other, "api_key": "sk-other"}},
                         more="[task title]\nupstream = other\n[task tags]\nfallback = other\n")
        up.when("tags", status(500))
        self.assertEqual(self.ask(lull, "title", more=planted).status, 200)
        self.assertEqual(self.ask(lull, "tags", more=planted).cache_status, "lull; fwd=bypass; detail=fallback")
        for e in other.wait_for(2):
            self.assertNotIn(SECRET, str(e.headers) + e.target)
            self.assertEqual(e.header("Authorization"), "Bearer sk-other")
        self.assertIn(SECRET, str(up.matching("tags")[0].headers))
        self.assertNotIn(SECRET, lull.log_text())


def html(e):
    e.full(200, "text/html", "<html><body>Welcome to nginx!</body></html>")


def drip(gate):
    def rule(e):
        e.head(200, [("Content-Type", "text/event-stream")])
        e.piece("data: {")
        e.hold(gate)
    return rule


def silent(gate):
    return lambda e: e.hold(gate)


def refused(e):
    e.reset()


class Failing(UpstreamTest):
    """Each way to fail against what was configured for it; the last line tells what the client saw."""

    def ways(self, never):
        return {"reset": refused, "silence before the head": silent(never), "silence within the answer": drip(never),
                "429": status(429, headers=[("Retry-After", "3600")]), "500": status(500),
                "error within a 200": error_in_stream(), "HTML": html, "cut": cut_at(120)}

    def one(self, way, rule, dialect, dead=False):
        up, other = self.upstream(), self.upstream()
        lull = self.lull({"default": f"http://127.0.0.1:{free_port()}" if dead else up, "other": other},
                         more="[task title]\nfallback = other\n[task tags]\nttl = 1s\n")
        saw = []
        if not dead:
            self.assertEqual(self.ask(lull, "tags", "stale", dialect).status, 200)
            lull.committed()
            done = lull.ctl("set", "upstream.default.first_byte_timeout=150ms", "upstream.default.stall_timeout=150ms")
            self.assertEqual(done.returncode, 0, done.stderr)
            for kind in ("title", "tags", "follow_up"):
                up.when(kind, rule)
        else:
            up.stop()
        r = self.ask(lull, "follow_up", "none", dialect)
        saw.append(f"{r.status} {r.header('X-Lull-Error') or 'its own'}")
        self.assertTrue(r.status >= 400 or way == "HTML", r)
        self.assertEqual(r.task, "follow_up")
        r = self.ask(lull, "title", "fallback", dialect)
        saw.append(r.cache_status.partition("; ")[2])
        self.assertEqual((r.status, r.cache_status), (200, "lull; fwd=bypass; detail=fallback"))
        self.assertEqual(r.content, good_content("title", 1))
        if not dead:
            r = eventually(lambda: self.stale(lull, dialect))
            saw.append(r.cache_status.partition("; ")[2])
        self.assertLessEqual(len(lull.control("GET", "/entries").json["entries"]), 1, "nothing bad is stored")
        print(f"  {dialect:7} {way:26} none: {saw[0]:28} fallback: {saw[1]:26} stale: {' '.join(saw[2:])}")

    def stale(self, lull, dialect):
        r = self.ask(lull, "tags", "stale", dialect)
        return r if "; ttl=-" in r.cache_status else None

    def test_matrix(self):
        for dialect in ("openai", "ollama"):
            never = Gate()
            for way, rule in self.ways(never).items():
                with self.subTest(f"{dialect} {way}"):
                    self.one(way, rule, dialect)
            with self.subTest(f"{dialect} refused"):
                self.one("refused", None, dialect, dead=True)
            never.open()

    def test_a_failing_task_model_never_touches_the_chat(self):
        up, other = self.upstream(), self.upstream()
        other.when("*", status(500))
        lull = self.task_model(up, other)
        for i in range(8):
            self.assertGreaterEqual(self.ask(lull, text=f"t {i}").status, 500)
        c = self.connect(lull)
        r = c.request("POST", PATH["openai"], headers(), prompts.chat_body("Hello").encode())
        self.assertEqual(r.status, 200)
        stats = lull.stats()
        self.assertEqual((stats["upstreams"]["other"]["state"], stats["upstreams"]["default"]["state"]), ("down", "up"))
        self.assertEqual(other.count("title"), 10, "five, each asked once more as the client wrote it")


if __name__ == "__main__":
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    main()

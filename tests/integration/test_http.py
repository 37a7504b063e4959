#!/usr/bin/env python3
"""The port as an HTTP server: what is refused and how, pipelining, deadlines, limits, who may speak."""
import ctypes
import os
import socket
import subprocess
import tempfile
import time
import unittest

import prompts
from client import Client, Cut
from lull import DEADLINE, SANITIZED, LullTest, eventually, free_port, main
from upstream import Gate

OK_HEAD = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
H = b"Host: localhost\r\n"


def post(extra, body=b"", target=b"/v1/x"):
    return b"POST " + target + b" HTTP/1.1\r\n" + H + extra + b"\r\n" + body


# what is sent → status, X-Lull-Error
REFUSED = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    "no version": (b"GET /\r\n\r\n", 400, "bad_request"),
    "two blanks": (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request"),
    "blank in the target": (b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request"),
    "control byte in the target": (b"GET /a\x01b HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + H + b"Host: localhost\r\n\r\n", 400, "bad_request"),
    "two different lengths": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"), 400, "bad_request"),
    "two equal lengths": (post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400, "bad_request"),
    "list of lengths": (post(b"Content-Length: 3, 3\r\n", b"abc"), 400, "bad_request"),
    "signed length": (post(b"Content-Length: +3\r\n", b"abc"), 400, "bad_request"),
    "negative length": (post(b"Content-Length: -3\r\n", b"abc"), 400, "bad_request"),
    "hexadecimal length": (post(b"Content-Length: 0x3\r\n", b"abc"), 400, "bad_request"),
    "empty length": (post(b"Content-Length:\r\n"), 400, "bad_request"),
    "length past 63 bits": (post(b"Content-Length: 99999999999999999999\r\n"), 400, "bad_request"),
    "NUL in a length": (post(b"Content-Length: 3\x00 5\r\n", b"abc"), 400, "bad_request"),
    "length and chunked": (post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400, "bad_request"),
    "unknown coding": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501, "not_supported"),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501, "not_supported"),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "blank before the colon": (b"GET / HTTP/1.1\r\n" + H + b"X-A : 1\r\n\r\n", 400, "bad_request"),
    "folded line": (b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r\n 2\r\n\r\n", 400, "bad_request"),
    "folded length": (post(b"X-A: 1\r\n Content-Length: 30\r\n"), 400, "bad_request"),
    "bare LF": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400, "bad_request"),
    "bare CR": (b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\r2\r\n\r\n", 400, "bad_request"),
    "NUL in a value": (b"GET / HTTP/1.1\r\n" + H + b"X-A: 1\x002\r\n\r\n", 400, "bad_request"),
    "no colon": (b"GET / HTTP/1.1\r\n" + H + b"X-A\r\n\r\n", 400, "bad_request"),
    "empty name": (b"GET / HTTP/1.1\r\n" + H + b": 1\r\n\r\n", 400, "bad_request"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505, "http_version"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version"),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n" + H + b"\r\n", 505, "http_version"),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 501, "not_supported"),
    "long target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414, "uri_too_long"),
    "large head": (b"GET / HTTP/1.1\r\n" + H + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1000) for i in range(40)) + b"\r\n", 431, "header_too_large"),
    "101 headers": (b"GET / HTTP/1.1\r\n" + H + b"".join(b"X-%d: v\r\n" % i for i in range(100)) + b"\r\n", 431, "header_too_large"),
}
# bodies that break: of a request that streams through, and of a task, which is held
BAD_CHUNKS = {
    "0x3": b"0x3\r\nabc\r\n0\r\n\r\n",
    "+3": b"+3\r\nabc\r\n0\r\n\r\n",
    "3 junk": b"3 junk\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "no CRLF after the data": b"3\r\nabcX0\r\n\r\n",
    "two other bytes after the data": b"3\r\nabcXX0\r\n\r\n",
    "CR and another byte after the data": b"3\r\nabc\rX0\r\n\r\n",
    "CR and another byte after the size": b"3\rXabc\r\n0\r\n\r\n",
    "CR and another byte at the end": b"3\r\nabc\r\n0\r\n\rX",
    "a trailer that is a request": b"0\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "a trailer without a name": b"0\r\n: a\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a blank before a trailer's colon": b"0\r\nX : a\r\n\r\n",
    "size of 17 digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "huge size": b"ffffffffffffffff\r\nabc",
    "bare LF": b"3\nabc\n0\n\n",
}


class Refusals(LullTest):
    def test_what_is_ambiguous_is_refused(self):
        up = self.upstream()
        lull = self.lull(up)
        before = lull.stats()["connections"]["bad_requests"]
        for name, (data, code, error) in REFUSED.items():
            with self.subTest(name):
                c = self.connect(lull)
                c.send(data)
                r = c.response()
                self.assertEqual((r.status, r.header("X-Lull-Error")), (code, error))
                self.assertIn("json", r.header("Content-Type"))
                self.assertEqual(r.json["error"]["code"], error)
                self.assertEqual(r.header("Connection", "").lower(), "close")
                self.assertTrue(c.at_end(), "the connection stays open")
        self.assertEqual(up.count(), 0, "nothing of it may reach the model server")
        after = lull.stats()["connections"]["bad_requests"]
        self.assertEqual(after - before, len(REFUSED))

    def test_bad_chunks_are_refused(self):
        up = self.upstream()
        lull = self.lull(up)
        for name, data in BAD_CHUNKS.items():
            for path in (b"/api/blobs/x", b"/v1/chat/completions"):
                with self.subTest(f"{name} {path.decode()}"):
                    c = self.connect(lull)
                    c.send(b"POST " + path + b" HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + data)
                    try:
                        r = c.response()
                        self.assertEqual((r.status, r.header("X-Lull-Error")), (400, "bad_request"))
                    except Cut:
                        self.fail("no answer")
                    self.assertTrue(c.at_end())
        self.assertEqual([e for e in up.records if e.body_done.is_set()], [],
                         "no complete request may reach the model server")

    def test_next_request_after_a_bad_one_is_not_served(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.send(b"GET / HTTP/1.1\r\n\r\n" + OK_HEAD)
        self.assertEqual(c.response().status, 400)
        self.assertTrue(c.at_end())
        self.assertEqual(up.count(), 0)

    def test_good_request_before_a_bad_one_is_served(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.send(OK_HEAD + b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(c.response().status, 200)
        self.assertEqual(c.response().status, 400)
        self.assertTrue(c.at_end())

    def test_error_form_follows_the_dialect(self):
        lull = self.lull("http://127.0.0.1:9")
        c = self.connect(lull)
        self.assertIsInstance(c.post("/api/chat", "{}").json["error"], str)
        e = c.post("/v1/chat/completions", "{}").json["error"]
        self.assertEqual(set(e), {"message", "type", "code"})


class Reading(LullTest):
    def test_pipelined_requests_are_answered_in_order(self):
        up = self.upstream()
        up.when("*", lambda e: e.full(200, "text/plain", e.target))
        lull = self.lull(up)
        c = self.connect(lull)
        n = 20
        c.send(b"".join(b"GET /n%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i for i in range(n)))
        for i in range(n):
            self.assertEqual(c.response().body, b"/n%d" % i)

    def test_pipelined_tasks_and_chats_are_answered_in_order(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        data = b""
        for i in range(4):
            for body in (prompts.body("tags", f"text {i}"), prompts.chat_body(f"chat {i}", stream=False)):
                b = body.encode()
                data += (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(b)) + b
        c.send(data)
        for i in range(4):
            self.assertEqual(c.response().task, "tags")
            r = c.response()
            self.assertIsNone(r.task)
            self.assertIn("Reply number", r.content)

    def test_heads_and_bodies_in_single_bytes(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        body = prompts.body("title", "drip").encode()
        data = (b"\r\nPOST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\n" + body[:5] + b"\r\n"
                b"%X\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n")
        for i in range(len(data)):
            c.send(data[i:i + 1])
        r = c.response()
        self.assertEqual((r.status, r.task), (200, "title"))
        self.assertEqual(c.get("/v1/models").status, 200)

    def test_expect_100_continue(self):
        up = self.upstream()
        up.when(lambda e: e.path.startswith("/api/blobs"), lambda e: e.full(201, "text/plain", e.body))
        lull = self.lull(up)
        title = prompts.body("title", "expected").encode()
        for path, body in (("/v1/chat/completions", title), ("/api/blobs/x", b"blob")):
            with self.subTest(path):
                c = self.connect(lull)
                c.start("POST", path, [("Expect", "100-continue"), ("Content-Length", str(len(body)))])
                self.assertEqual(c.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
                c.send(body)
                r = c.response()
                self.assertIn(r.status, (200, 201))
                self.assertEqual(r.informational, [])
        for e in up.records:
            self.assertIsNone(e.header("Expect"))
        c = self.connect(lull)  # the body comes without waiting: no 100 is needed, none may disturb
        c.start("POST", "/api/blobs/x", [("Expect", "100-continue"), ("Content-Length", "4")])
        c.send(b"blob")
        self.assertEqual(c.response().body, b"blob")
        self.assertEqual(c.get("/v1/models").status, 200)

    def test_absolute_form_is_taken_by_its_path(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.send(b"GET http://localhost:1/v1/models?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(c.response().status, 200)
        self.assertEqual(up.records[0].target, "/v1/models?x=1")

    def test_keep_alive_and_close(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        for _ in range(3):
            self.assertEqual(c.get("/v1/models").status, 200)
        r = c.get("/v1/models", [("Connection", "close")])
        self.assertEqual(r.header("Connection", "").lower(), "close")
        self.assertTrue(c.at_end())
        c = self.connect(lull)
        r = c.request("GET", "/v1/models", version="HTTP/1.0")
        self.assertTrue(c.at_end())
        c = self.connect(lull)
        r = c.request("GET", "/v1/models", [("Connection", "keep-alive")], version="HTTP/1.0")
        self.assertEqual(r.header("Connection", "").lower(), "keep-alive")
        self.assertEqual(c.request("GET", "/v1/models", version="HTTP/1.0").status, 200)


class Limits(LullTest):
    def test_max_body(self):
        up = self.upstream()
        lull = self.lull(up, server="max_body = 10KB\nmax_task_body = 4KB")
        c = self.connect(lull)
        r = c.request("POST", "/api/x", [], b"x" * 10241)
        self.assertEqual((r.status, r.header("X-Lull-Error")), (413, "too_large"))
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [("Content-Length", "20000")])
        self.assertEqual(c.response().status, 413)
        c = self.connect(lull)
        c.start("POST", "/api/x", [("Transfer-Encoding", "chunked")])
        c.chunk(b"y" * 8000)
        try:
            c.chunk(b"y" * 8000)
            c.last_chunk()
        except OSError:
            pass
        self.assertEqual(c.response().status, 413)
        c = self.connect(lull)
        self.assertEqual(c.request("POST", "/v1/models", [], b"x" * 10240).status, 200)

    def test_larger_than_max_task_body_streams_through(self):
        up = self.upstream()
        lull = self.lull(up, server="max_task_body = 8KB")
        c = self.connect(lull)
        big = prompts.body("title", "x" * 9000)
        r = c.post("/v1/chat/completions", big, prompts.headers(kind="title"))
        self.assertEqual((r.status, r.task), (200, "title"))
        self.assertEqual(r.cache_status, "lull; fwd=bypass; detail=too-large")
        lull.wait_task("title", requests=1, bypassed=1)
        r = c.post("/v1/chat/completions", big, prompts.headers())
        self.assertEqual(r.status, 200)
        self.assertIsNone(r.task, "without a header an unheld body is a chat")
        for e in up.matching("title"):
            self.assertEqual(e.body, big.encode())
        c.start("POST", "/v1/chat/completions", [("Transfer-Encoding", "chunked")] + prompts.headers(kind="title"))
        data = big.encode()
        for i in range(0, len(data), 1000):
            c.chunk(data[i:i + 1000])
        c.last_chunk()
        r = c.response()
        self.assertEqual(r.cache_status, "lull; fwd=bypass; detail=too-large")
        self.assertEqual(up.records[-1].body, data)
        self.assertEqual(lull.stats()["cache"]["entries"], 0)

    def test_above_max_buffered_a_task_streams_through_unheld(self):
        up = self.upstream()
        lull = self.lull(up, server="max_buffered = 384KB\nmax_task_body = 60KB")
        holder = self.connect(lull)  # holds 50 KB that do not end; each byte counts six times
        holder.start("POST", "/v1/chat/completions", [("Content-Length", "55000")] + prompts.headers())
        holder.send(b" " * 50000)
        c = self.connect(lull)
        body = prompts.body("title", "y" * 20000)

        def too_large():
            r = c.post("/v1/chat/completions", body, prompts.headers(kind="title"))
            self.assertEqual(r.status, 200)
            return "too-large" in r.cache_status
        eventually(too_large)
        holder.close()

        def held_again():
            r = c.post("/v1/chat/completions", body, prompts.headers(kind="title"))
            return "too-large" not in r.cache_status
        eventually(held_again)

    def test_header_timeout_is_for_the_whole_head(self):
        lull = self.lull(self.upstream(), server="header_timeout = 400ms\nidle_timeout = 20s")
        c = self.connect(lull)
        start = time.monotonic()
        data = b"GET / HTTP/1.1\r\n" + H + b"X-Drip: "
        c.send(data)
        while not c.readable(0.05):  # a byte every 50 ms must not stretch it
            try:
                c.send(b"x")
            except OSError:
                break
            self.assertLess(time.monotonic() - start, DEADLINE)
        r = c.response()
        self.assertEqual((r.status, r.header("X-Lull-Error")), (408, "request_timeout"))
        self.assertTrue(c.at_end())
        self.assertGreaterEqual(time.monotonic() - start, 0.35)

    def test_body_timeout(self):
        up = self.upstream()
        lull = self.lull(up, server="body_timeout = 400ms")
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [("Content-Length", "100")])
        c.send(b"{")
        r = c.response()
        self.assertEqual((r.status, r.header("X-Lull-Error")), (408, "request_timeout"))
        self.assertTrue(c.at_end())
        self.assertEqual(up.count(), 0)
        # a streamed body: between two pieces (scenario.test_deadlines)
        up.when("*", lambda e: e.full(201, "text/plain", "ok"))
        c = self.connect(lull)
        c.start("POST", "/api/blobs/x", [("Content-Length", "12")])
        c.send(b"x")
        record = up.wait_for(1)[0]
        try:
            self.assertEqual(c.response().status, 408)
        except Cut:
            pass
        self.assertTrue(c.eof or c.at_end())
        self.assertTrue(record.gone.wait(DEADLINE), "the model server's half request was left open")

    def test_idle_connections_are_closed(self):
        lull = self.lull(self.upstream(), server="idle_timeout = 300ms")
        c = self.connect(lull)
        self.assertTrue(c.at_end(), "never used, never closed")
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 200)
        self.assertTrue(c.at_end())
        eventually(lambda: lull.stats()["connections"]["open"] == 0)

    def test_max_connections_stops_accepting(self):
        up = self.upstream()
        lull = self.lull(up, server="max_connections = 3")
        first = [self.connect(lull) for _ in range(3)]
        for c in first:
            self.assertEqual(c.get("/v1/models").status, 200)
        waiting = self.connect(lull)
        waiting.start("GET", "/v1/models")
        eventually(lambda: lull.stats()["connections"]["refused"] >= 1)
        self.assertFalse(waiting.readable(0.2), "a fourth connection was served")
        first[0].close()
        self.assertEqual(waiting.response().status, 200, "served as soon as one has left")

    @unittest.skipIf(SANITIZED, "memory of a sanitizer")
    def test_a_connection_whose_client_still_sends_takes_little(self):
        """Its answer has ended, and what it sends is dropped for 30 s: it needs no room for a request."""
        lull = self.lull(self.upstream())
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)
        before = lull.rss_anon()
        for _ in range(200):
            c = self.connect(lull)
            c.start("POST", "/@unknown/x", [("Content-Length", "1000000000")])
            c.send(b"x" * 40000)
            self.assertEqual(c.response_head().status, 404)
        eventually(lambda: lull.rss_anon() - before < 200 * 16 * 1024, 10, "a slot of 48 KB for each")


class WhoMaySpeak(LullTest):
    def test_host_on_a_loopback_listener(self):
        up = self.upstream()
        lull = self.lull(up, server="hosts = ai.example.org model")
        good = ["127.0.0.1", f"127.0.0.1:{lull.port}", "localhost", "LOCALHOST:1", "a.localhost", "[::1]:99",
                "10.1.2.3", socket.gethostname(), "ai.example.org", "AI.Example.Org:80", "model:11435",
                "host.docker.internal:11435", "host.containers.internal", "macbook.local", "localhost.", "0.0.0.0:1"]
        bad = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost",
               "sub.ai.example.org"]
        for host in good + bad:
            with self.subTest(host):
                c = self.connect(lull)
                r = c.request("GET", "/v1/models", [("Host", host)])
                if host in good:
                    self.assertEqual(r.status, 200)
                else:
                    self.assertEqual((r.status, r.header("X-Lull-Error")), (403, "forbidden_host"))
        self.assertEqual(up.count(), len(good))

    def test_the_host_of_an_absolute_target_counts(self):
        """A Host that may pass must not cover a target that names another."""
        up = self.upstream()
        c = self.connect(self.lull(up))
        r = c.request("GET", "http://evil.example/v1/models", [("Host", "localhost")])
        self.assertEqual((r.status, r.header("X-Lull-Error")), (403, "forbidden_host"))
        self.assertEqual(c.request("GET", "http://localhost/v1/models", [("Host", "evil.example")]).status, 200)
        self.assertEqual(up.count(), 1)

    def test_a_key_of_lulls_does_not_work_for_other_sites(self):
        """A page cannot make a browser send a key that it does not have, but lull would add it."""
        up = self.upstream()
        lull = self.lull({"default": {"url": up.url, "api_key": "sk-lent"}, "open": up}, server="hosts = ui.example.org")
        c = self.connect(lull)
        chat, plain = prompts.chat_body("x"), [("Content-Type", "text/plain")]
        for origin in ("http://evil.example", "null", "https://localhost.evil.example"):
            for method, target, body in (("POST", "/v1/chat/completions", chat), ("GET", "/v1/models", None),
                                         ("POST", "/@default/v1/chat/completions", chat), ("POST", "/api/pull", "{}"),
                                         ("OPTIONS", "/v1/chat/completions", None)):
                r = c.request(method, target, plain + [("Origin", origin)], body)
                self.assertEqual((r.status, r.header("X-Lull-Error")), (403, "forbidden_origin"), (origin, target))
        self.assertEqual(up.count(), 0)
        for target, origin in (("/@open/v1/chat/completions", "http://evil.example"),
                               ("/v1/chat/completions", "https://ui.example.org"),
                               ("/v1/chat/completions", "http://localhost:3000")):
            self.assertEqual(c.post(target, chat, plain + [("Origin", origin)]).status, 200, target)

    def test_a_wildcard_listener_is_no_loopback_listener(self):
        up = self.upstream()
        port = free_port()
        self.lull(up, port=port, listen=f"0.0.0.0:{port}")
        c = self.connect(port)
        self.assertEqual(c.request("GET", "/v1/models", [("Host", "lull.example")]).status, 200)

    def test_origin_of_tasks(self):
        up = self.upstream()
        lull = self.lull(up, server="hosts = ui.example.org")
        c = self.connect(lull)
        headers = prompts.headers(kind="title")
        for origin in ("http://evil.example", "https://evil.example:8080", "null"):
            r = c.post("/v1/chat/completions", prompts.body("title", "o"), headers + [("Origin", origin)])
            self.assertEqual((r.status, r.header("X-Lull-Error")), (403, "forbidden_origin"), origin)
        lull.wait_task("title", requests=3, rejected=3)
        self.assertEqual(up.count(), 0)
        for origin in (f"http://127.0.0.1:{lull.port}", "http://localhost:3000", "https://ui.example.org"):
            r = c.post("/v1/chat/completions", prompts.body("title", "o"), headers + [("Origin", origin)])
            self.assertEqual(r.status, 200, origin)
        r = c.post("/v1/chat/completions", prompts.chat_body("x"), [("Origin", "http://evil.example")])
        self.assertEqual(r.status, 200, "a chat is the model server's business")
        self.assertEqual(up.records[-1].header("Origin"), "http://evil.example")

    def test_every_answer_to_an_allowed_origin_may_be_read(self):
        """By the page: with the model server's CORS headers where it answers, else with ours."""
        up = self.upstream()
        lull = self.lull(up, server="hosts = ui.example.org\nmax_body = 100KB", more="[task tags]\nenabled = no\n")
        dead = self.lull("http://127.0.0.1:9", server="hosts = ui.example.org")
        c = self.connect(lull)

        def ask(what, origin, body_text, client=c, path="/v1/chat/completions", kind=None, method="POST", more=()):
            r = client.request(method, path, prompts.headers(kind=kind) + [("Origin", origin), *more], body_text.encode())
            return what, r, [v for n, v in r.headers if n == "Access-Control-Allow-Origin"], [v for n, v in r.headers if n == "Vary"]

        for origin in ("https://ui.example.org", "http://localhost:3000"):
            title = prompts.body("title", "cors " + origin)
            answers = [ask("miss", origin, title, kind="title"), ask("hit", origin, title, kind="title"),
                       ask("hit by meaning", origin, title + " ", kind="title"),
                       ask("empty", origin, prompts.body("tags", "x"), kind="tags"),
                       ask("404", origin, "{}", path="/@unknown/x"),
                       ask("502", origin, prompts.chat_body("x"), client=self.connect(dead)),
                       ask("502 of a task", origin, title, client=self.connect(dead), kind="title"),
                       ask("413", origin, "x" * 200000, path="/api/blobs/x", client=self.connect(lull))]
            self.assertEqual([a[1].status for a in answers], [200, 200, 200, 200, 404, 502, 502, 413])
            for what, r, allowed, vary in answers:
                self.assertEqual((what, allowed, vary), (what, [origin], ["Origin"]))
        for origin in ("http://evil.example", "null"):
            self.assertEqual(ask("403", origin, prompts.body("title", "x"), kind="title")[2:], ([], []))
            self.assertEqual(ask("404", origin, "{}", path="/@unknown/x")[2:], ([], []))
        self.assertIsNone(c.post("/@unknown/x", "{}").header("Access-Control-Allow-Origin"))
        theirs = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "authorization")]
        up.when("*", lambda e: e.full(404, "application/json", '{"error": {"message": "no such model"}}', theirs))
        origin = "http://localhost:3000"
        for what, r, allowed, vary in (ask("chat", origin, prompts.chat_body("x")), ask("task", origin, prompts.body("title", "y"), kind="title"),
                                       ask("preflight", origin, "", method="OPTIONS", more=[("Access-Control-Request-Method", "POST")])):
            self.assertEqual((what, r.status, allowed, r.header("Access-Control-Allow-Headers")), (what, 404, ["*"], "authorization"))

    def test_a_preflight_needs_no_token(self):
        up = self.upstream()
        up.when("*", lambda e: e.full(204, "text/plain", "", [("Access-Control-Allow-Origin", "*")]))
        lull = self.lull(up, server="client_token = secret")
        c = self.connect(lull)
        asks = ("Access-Control-Request-Method", "POST")
        for headers, code in (([("Origin", "http://localhost:3000"), asks], 204), ([("Origin", "http://localhost:3000")], 401),
                              ([("Origin", "http://evil.example"), asks], 401)):
            self.assertEqual(c.request("OPTIONS", "/v1/chat/completions", headers).status, code, headers)

    def test_client_token(self):
        up = self.upstream()
        lull = self.lull(up, server="client_token = letmein")
        c = self.connect(lull)
        for headers in ([], [("Authorization", "Bearer wrong")], [("Authorization", "letmein")],
                        [("Authorization", "Bearer letmeinn")]):
            r = self.connect(lull).request("GET", "/v1/models", headers)
            self.assertEqual((r.status, r.header("X-Lull-Error")), (401, "unauthorized"), headers)
            r = self.connect(lull).post("/api/chat", prompts.body("title", "t", "ollama"), headers)
            self.assertEqual(r.status, 401)
        self.assertEqual(up.count(), 0)
        token = [("Authorization", "Bearer letmein")]
        self.assertEqual(c.get("/v1/models", token).status, 200)
        self.assertEqual(c.post("/v1/chat/completions", prompts.chat_body("x"), token).status, 200)
        r = c.post("/v1/chat/completions", prompts.body("title", "t"), token)
        self.assertEqual((r.status, r.task), (200, "title"))
        self.assertEqual(up.count(), 3)
        for e in up.records:
            self.assertNotIn(b"letmein", e.raw_head)
            self.assertIsNone(e.header("Authorization"))


class Listeners(LullTest):
    def test_unix_socket_and_several_addresses(self):
        up = self.upstream()
        a, b = free_port(), free_port()
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            path = os.path.join(folder, "port.sock")
            lull = self.lull(up, port=a, listen=f"127.0.0.1:{a} 127.0.0.1:{b} unix:{path}")
            for address in (a, b, path):
                c = self.connect(address)
                self.assertEqual(c.get("/v1/models").status, 200, address)
                r = c.post("/v1/chat/completions", prompts.body("title", "same"))
                self.assertEqual((r.status, r.task), (200, "title"), address)
            self.assertEqual(up.count("title"), 1, "one cache for all addresses")
            c = self.connect(path)
            self.assertEqual(c.request("GET", "/v1/models", [("Host", "any.name.example")]).status, 200,
                             "the Host rule is for loopback addresses")
            for address, status in ((path, 200), (a, 403), (path, 200)):
                r = self.connect(address).request("POST", "/v1/chat/completions", [("Host", "any.name.example")], prompts.body("title", "same"))
                self.assertEqual(r.status, status, "the same head at another listener")
            lull.check()
            self.assertEqual(lull.stop(), 0)
            self.assertFalse(os.path.exists(path), "the socket file is left behind")

    def test_ipv6(self):
        try:
            port = free_port("::1")
        except (AssertionError, OSError):
            self.skipTest("no IPv6 here")
        self.lull(self.upstream(), port=port, listen=f"[::1]:{port}")
        self.assertEqual(self.connect(("::1", port)).get("/v1/models").status, 200)

    def test_stale_socket_file_is_replaced_and_a_live_one_is_not(self):
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            path = os.path.join(folder, "port.sock")
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(path)
            stale.close()
            up = self.upstream()
            lull = self.lull(up, listen=f"unix:{path}")
            self.assertEqual(self.connect(path).get("/v1/models").status, 200)
            other = self.lull(up, listen=f"unix:{path}", wait=False)
            self.assertEqual(other.wait(), 1)
            self.assertEqual(self.connect(path).get("/v1/models").status, 200)
            self.assertTrue(lull.running())

    def test_each_family_of_a_name(self):
        """As localhost has on most machines: a client may take either."""
        try:
            port = free_port("::1")
        except (AssertionError, OSError):
            self.skipTest("no IPv6 here")
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            hosts = os.path.join(folder, "hosts")
            with open(hosts, "w", encoding="ascii") as f:
                f.write("127.0.0.1 two.families two.families.again\n::1 two.families\n127.0.0.2 two.families\n"
                        "192.0.2.1 one.family\n::1 one.family\n")

            def see_them():
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.unshare(0x20000) != 0 or libc.mount(b"none", b"/", None, 0x44000, None) != 0 or \
                        libc.mount(hosts.encode(), b"/etc/hosts", None, 0x1000, None) != 0:
                    raise OSError(ctypes.get_errno(), "no name space of mounts")
            try:
                lull = self.lull(self.upstream(), listen=f"two.families:{port}", preexec=see_them)
            except subprocess.SubprocessError:
                self.skipTest("a file system cannot be mounted here")
            for host in "127.0.0.1", "::1":
                self.assertEqual(self.connect((host, port)).get("/v1/models").status, 200, host)
            lull.listen = f"one.family:{free_port()}"  # this machine has no 192.0.2.1
            lull.write_config()
            self.assertEqual(lull.reload().status, 200)
            self.assertEqual(self.connect(("::1", int(lull.listen.split(":")[1]))).get("/v1/models").status, 200)
            for host in "127.0.0.1", "::1":
                with self.assertRaises(ConnectionRefusedError):
                    Client((host, port))

    def test_a_socket_of_another_kind_is_not_removed(self):
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            path = os.path.join(folder, "of.another")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.bind(path)
                lull = self.lull(self.upstream(), listen=f"unix:{path}", wait=False)
                self.assertEqual(lull.wait(), 1)
                self.assertIn("a socket is there", lull.log_text())
                self.assertTrue(os.path.exists(path))

    def test_the_socket_of_a_successor_stays(self):
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            path = os.path.join(folder, "port.sock")
            lull = self.lull(self.upstream(), listen=f"unix:{path}")
            for own in path, lull.control_path:
                os.unlink(own)
                with socket.socket(socket.AF_UNIX) as successor:
                    successor.bind(own)
            self.assertEqual(lull.stop(), 0)
            self.assertTrue(os.path.exists(path) and os.path.exists(lull.control_path))

    def test_vanished_clients_leave_no_connection_behind(self):
        up = self.upstream()
        lull = self.lull(up)
        never = Gate()
        up.when("*", lambda e: e.hold(never))
        clients = [Client(lull.port) for _ in range(30)]
        for i, c in enumerate(clients):
            c.start("GET", f"/x{i}")
        up.wait_for(30)
        for c in clients[:15]:
            c.close()
        for c in clients[15:]:
            c.reset()
        lull.wait_stats(lambda s: s["connections"]["open"] == 0
                        and s["upstreams"]["default"]["aborted"] == 30)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Pass-through: what is no task reaches the model server as it came, and so does the answer."""
import gzip
import json
import os
import re

import prompts
from client import DEADLINE, Cut
from lull import SANITIZED, LullTest, eventually, main
from upstream import Gate, say, status, stream_events

HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
       "proxy-authenticate", "proxy-authorization"}


def end_to_end(headers, drop=("host",)):
    """What must be equal on both sides, in order and case."""
    return [(n, v) for n, v in headers if n.lower() not in HOP and n.lower() not in drop]


COMPLETION_ID = re.compile(rb'"chatcmpl-[0-9]+"')  # the model server counts
ODD_HEADERS = [
    ("X-Zebra", "1"), ("content-type", "application/json"), ("AUTHORIZATION", "Bearer sk-Odd"),
    ("X-OpenWebUI-Task", ""), ("x-openwebui-user-id", "u-1"), ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate, br"), ("X-Double", "a"), ("X-Double", "b"), ("x-empty", ""),
    ("User-Agent", "Python/3.11 aiohttp/3.14.5"), ("Cookie", "a=b; c=d"), ("Referer", "http://x/"),
]


class Bytes(LullTest):
    def through_and_direct(self, up, lull, method, path, headers, body):
        """The same request direct and through lull: both answers, both records."""
        direct = self.connect(up.port)
        a = direct.request(method, path, headers, body)
        via = self.connect(lull)
        b = via.request(method, path, headers, body)
        records = up.matching(lambda e: e.path == path.split("?")[0])
        self.assertEqual(len(records), 2)
        return a, b, records[0], records[1]

    def check_equal(self, a, b, sent, passed):
        self.assertEqual(passed.method, sent.method)
        self.assertEqual(passed.target, sent.target)
        self.assertEqual(passed.version, "HTTP/1.1")
        self.assertEqual(end_to_end(passed.headers), end_to_end(sent.headers))
        self.assertEqual(passed.body, sent.body)
        self.assertEqual(passed.header("Host"), f"127.0.0.1:{sent.server.port}")
        self.assertEqual((b.status, b.reason), (a.status, a.reason))
        self.assertEqual(end_to_end(b.headers), end_to_end(a.headers))
        self.assertEqual(COMPLETION_ID.sub(b"", b.body), COMPLETION_ID.sub(b"", a.body))
        self.assertIsNone(b.task)
        self.assertIsNone(b.header("Cache-Status"))

    def test_chat_is_the_same_as_without_lull(self):
        for dialect in ("openai", "ollama"):
            with self.subTest(dialect):
                up = self.upstream()
                answer = [("Content-Type", "text/event-stream"), ("X-Request-ID", "r1"), ("date", "x"),
                          ("Server", "mock"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]

                def rule(e, answer=answer):
                    e.head(200, answer, reason="Very Fine")
                    for event in stream_events(e, "A reply \u00e4 in pieces."):
                        e.piece(event)
                    e.end()
                up.when("chat", rule)
                lull = self.lull(up)
                body = prompts.chat_body("Caf\u00e9 \U0001f680 \u2028?", dialect).encode()
                a, b, sent, passed = self.through_and_direct(
                    up, lull, "POST", prompts.PATH[dialect], ODD_HEADERS, body)
                # the serial number of the scripted answer differs
                b.body = b.body.replace(b'"chatcmpl-2"', b'"chatcmpl-1"')
                b.pieces = [p.replace(b'"chatcmpl-2"', b'"chatcmpl-1"') for p in b.pieces]
                self.check_equal(a, b, sent, passed)
                self.assertEqual(passed.body, body)
                self.assertEqual(b.pieces, a.pieces, "each piece is passed on as it came")

    def test_chat_with_content_length_answer(self):
        up = self.upstream()
        lull = self.lull(up)
        body = prompts.chat_body("Hello", stream=False).encode()
        a, b, sent, passed = self.through_and_direct(up, lull, "POST", "/v1/chat/completions",
                                                     ODD_HEADERS, body)
        # the serial number of the scripted answer differs
        b.body = b.body.replace(b'"chatcmpl-2"', b'"chatcmpl-1"').replace(b"number 2", b"number 1")
        self.check_equal(a, b, sent, passed)

    def test_a_chunked_body_goes_on_chunked(self):
        chat = prompts.chat_body("Hello", stream=False).encode()
        long_chat = prompts.chat_body("Hello" * 60000, stream=False).encode()
        for path, body in (("/v1/chat/completions", chat), ("/v1/chat/completions", long_chat), ("/v1/embeddings", b"{}"), ("/api/blobs/x", b"")):
            with self.subTest(path, size=len(body)):
                up = self.upstream()
                lull = self.lull(up)
                pieces = [body[:7], body[7:]] if body else []
                chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"
                headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
                _, b, sent, passed = self.through_and_direct(up, lull, "POST", path, headers, chunks)
                self.assertEqual((b.status, passed.body), (200 if "chat" in path else b.status, body))
                for record in (sent, passed):
                    self.assertEqual(record.header("Transfer-Encoding"), "chunked")
                    self.assertIsNone(record.header("Content-Length"))

    def test_other_methods_and_paths(self):
        up = self.upstream()
        up.when("*", lambda e: e.full(200, "text/plain", e.method + " " + e.target))
        lull = self.lull(up)
        for method, path, body in (("GET", "/v1/models?x=1&y=%20a", None), ("GET", "/", None),
                                   ("DELETE", "/api/delete", b'{"model":"m"}'),
                                   ("PUT", "/api/x", b"\x00\xff\r\n\r\nraw"),
                                   ("PATCH", "/x/y;z?", b""), ("OPTIONS", "/v1/options", None),
                                   ("PROPFIND", "/dav", b"<x/>"), ("POST", "/api/show", b"{}")):
            with self.subTest(f"{method} {path}"):
                a, b, sent, passed = self.through_and_direct(up, lull, method, path, ODD_HEADERS, body)
                self.check_equal(a, b, sent, passed)

    def test_no_header_is_added(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        r = c.request("GET", "/v1/models")
        self.assertEqual(r.status, 200)
        self.assertEqual([n.lower() for n, _ in end_to_end(up.records[0].headers)], [])

    def test_hop_by_hop_headers_are_dropped(self):
        up = self.upstream()
        up.when("*", lambda e: (e.head(200, [("Connection", "X-Mine"), ("X-Mine", "1"), ("Keep-Alive", "timeout=4"),
                                             ("Upgrade", "h2c"), ("X-Kept", "1")], length=2), e.piece("ok")))
        lull = self.lull(up)
        c = self.connect(lull)
        r = c.request("GET", "/x", [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"),
                                    ("TE", "trailers"), ("Proxy-Authorization", "Basic x"), ("X-Stays", "1")])
        seen = {n.lower() for n, _ in up.records[0].headers}
        self.assertFalse(seen & {"x-hop", "te", "proxy-authorization"}, seen)
        self.assertIn("x-stays", seen)
        got = {n.lower() for n, _ in r.headers}
        self.assertFalse(got & {"x-mine", "upgrade"}, got)
        self.assertIn("x-kept", got)
        self.assertEqual(r.body, b"ok")

    def test_every_connection_line_names_hop_by_hop_headers(self):
        up = self.upstream()
        answer = [("Connection", "close-me"), ("X-One", "1"), ("Connection", "X-One, X-Two"), ("X-Two", "2"), ("X-Kept", "1")]
        up.when("*", lambda e: (e.head(200, answer, length=2), e.piece("{}")))
        lull = self.lull(up)
        c = self.connect(lull)
        hops = [("Connection", "keep-alive"), ("X-Hop", "1"), ("Connection", "X-Other"), ("connection", "x-hop , X-Secret-Hop"),
                ("X-Secret-Hop", "1"), ("X-Stays", "1")]
        sent = {"chat": ("/v1/chat/completions", prompts.chat_body("Hi")),
                "task": ("/v1/chat/completions", prompts.body("title", "hops")),
                "other": ("/v1/embeddings", "{}")}
        for what, (path, body) in sent.items():
            with self.subTest(what):
                before = up.count()
                r = c.post(path, body, hops)
                for record in up.records[before:]:
                    seen = {n.lower() for n, _ in record.headers}
                    self.assertFalse(seen & {"x-hop", "x-secret-hop", "connection"}, seen)
                    self.assertTrue(record.method == "GET" or "x-stays" in seen, seen)
                self.assertFalse({n.lower() for n, _ in r.headers} & {"x-one", "x-two"}, r.headers)

    def test_an_upgrade_is_dropped_and_the_request_served(self):
        up = self.upstream()
        lull = self.lull(up)
        offers = {"h2c": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQ")],
                  "websocket": [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
                  "empty": [("Connection", "Upgrade"), ("Upgrade", "")],
                  "not named": [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQ")]}
        c = self.connect(lull)
        for name, headers in offers.items():
            for body in (prompts.chat_body("Hi " + name), prompts.body("title", name)):
                with self.subTest(name):
                    self.assertEqual(c.post("/v1/chat/completions", body, headers).status, 200)
        for record in up.matching("chat") + up.matching("title"):
            seen = {n.lower() for n, _ in record.headers}
            self.assertFalse(seen & {"upgrade", "http2-settings", "connection"}, seen)

    def test_compressed_answers_stay_compressed(self):
        up = self.upstream()
        packed = gzip.compress(b'{"a": "b"}' * 50)
        up.when("*", lambda e: e.full(200, "application/json", packed, [("Content-Encoding", "gzip")]))
        lull = self.lull(up)
        r = self.connect(lull).request("GET", "/v1/models", [("Accept-Encoding", "gzip")])
        self.assertEqual(r.header("Content-Encoding"), "gzip")
        self.assertEqual(r.body, packed)

    def test_errors_of_the_model_server_pass_untouched(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        for code in (400, 404, 429, 500, 503):
            up.when("*", status(code, "<h1>no</h1>", "text/html", [("Retry-After", "7")]))
            r = c.post("/v1/chat/completions", prompts.chat_body(f"fail {code}"))
            self.assertEqual((r.status, r.body, r.header("Retry-After")), (code, b"<h1>no</h1>", "7"))
            self.assertIsNone(r.header("X-Lull-Error"))
        lull.wait_stats(lambda s: s["chat"]["failed"] == 5 and s["chat"]["requests"] == 5)

    def test_head_and_bodiless_statuses(self):
        up = self.upstream()
        lull = self.lull(up)
        up.when(lambda e: e.method == "HEAD",
                lambda e: e.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n"))
        up.when(lambda e: e.path == "/204", lambda e: e.raw(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"))
        up.when(lambda e: e.path == "/304", lambda e: e.raw(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"))
        c = self.connect(lull)
        r = c.request("HEAD", "/api/blobs/sha256:00")
        self.assertEqual((r.status, r.header("Content-Length"), r.header("X-A")), (200, "1234", "b"))
        self.assertEqual(c.request("GET", "/204").status, 204)
        r = c.request("GET", "/304")
        self.assertEqual((r.status, r.header("ETag")), (304, "x"))
        self.assertEqual(c.request("GET", "/v1/models").status, 200, "the connection is still in step")

    def test_runs_of_slashes_are_merged(self):
        up = self.upstream()
        lull = self.lull(up)
        r = self.connect(lull).post("//v1///chat//completions", prompts.chat_body("Hi"))
        self.assertEqual(r.status, 200)
        self.assertEqual(up.records[0].target, "/v1/chat/completions")

    def test_embeddings_and_lists_are_other(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        r = c.post("/v1/embeddings", '{"model": "e", "input": ["a", "b"]}')
        self.assertEqual(len(r.json["data"]), 2)
        self.assertEqual(c.post("/api/embed", '{"model": "e", "input": "a"}').status, 200)
        self.assertEqual(c.get("/api/tags").status, 200)
        stats = lull.wait_stats(lambda s: s["other"]["requests"] == 3)
        self.assertEqual(stats["chat"]["requests"], 0)
        self.assertEqual(stats["tasks"], {})

    def test_http_1_0_is_served_and_never_chunked(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode(), version="HTTP/1.0")
        r = c.response()
        self.assertEqual(r.status, 200)
        self.assertIsNone(r.header("Transfer-Encoding"))
        self.assertTrue(r.body.endswith(b"data: [DONE]\n\n"))
        self.assertTrue(c.at_end())


class Trouble(LullTest):
    def test_cut_streams_reach_the_client_as_cut_streams(self):
        def chunked(e):
            e.head(200, [("Content-Type", "text/event-stream")])
            e.piece("data: 1\n\n")

        def sized(e):
            e.head(200, [("Content-Type", "application/json")], length=100)
            e.piece(b"0123456789")
        for name, begin in (("chunked", chunked), ("content-length", sized)):
            for how in ("cut", "reset"):
                with self.subTest(f"{name} {how}"):
                    up = self.upstream()
                    gate = Gate()

                    def rule(e, begin=begin, gate=gate, how=how):
                        begin(e)
                        e.hold(gate)
                        getattr(e, how)()
                    up.when("chat", rule)
                    lull = self.lull(up)
                    c = self.connect(lull)
                    c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode())
                    r = c.response_head()
                    self.assertEqual(r.status, 200)
                    if name == "chunked":
                        self.assertEqual(c.read_chunk(r), b"data: 1\n\n")
                    else:
                        self.assertEqual(c.read_exact(10), b"0123456789")
                    gate.open()
                    with self.assertRaises(Cut):
                        c.read_body(r)
                    stats = lull.wait_stats(lambda s: s["chat"]["failed"] == 1)
                    self.assertEqual(stats["upstreams"]["default"]["failed"], 1)

    def test_until_close_answer_to_http_1_0_is_reset_when_cut(self):
        up = self.upstream()
        gate = Gate()

        def rule(e):
            e.head(200, [("Content-Type", "text/event-stream")])
            e.piece("data: 1\n\n")
            e.hold(gate)
            e.cut()
        up.when("chat", rule)
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode(), version="HTTP/1.0")
        r = c.response_head()
        self.assertEqual(r.status, 200)
        c.read_exact(len("data: 1\n\n"))
        gate.open()
        with self.assertRaises(ConnectionResetError):
            while c.sock.recv(65536):
                pass
            self.fail("a clean end")

    def test_no_server_listens(self):
        lull = self.lull("http://127.0.0.1:9")
        c = self.connect(lull)
        r = c.post("/v1/chat/completions", prompts.chat_body("Hi"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_unreachable"))
        self.assertEqual(r.json["error"]["code"], "upstream_unreachable")
        r = c.post("/api/chat", prompts.chat_body("Hi", "ollama"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_unreachable"))
        self.assertIsInstance(r.json["error"], str)
        self.assertEqual(c.get("/v1/models").status, 502)
        stats = lull.wait_stats(lambda s: s["chat"]["failed"] == 2)
        self.assertEqual(stats["upstreams"]["default"]["failed"], 3)

    def test_closed_before_the_head_on_a_fresh_connection(self):
        up = self.upstream()
        up.when("chat", lambda e: e.cut())
        lull = self.lull(up)
        r = self.connect(lull).post("/v1/chat/completions", prompts.chat_body("Hi"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"))
        self.assertEqual(up.count("chat"), 1, "not asked twice: the connection was fresh")

    def test_closed_on_a_reused_connection_is_asked_again_once(self):
        body = prompts.chat_body("two").encode()
        for headers, sent in (([], body), ([("Transfer-Encoding", "chunked")], b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
            with self.subTest(headers):
                up = self.upstream()
                lull = self.lull(up)
                c = self.connect(lull)
                self.assertEqual(c.post("/v1/chat/completions", prompts.chat_body("one")).status, 200)
                self.assertEqual(up.records[0].nth, 0)
                up.when("chat", lambda e: e.cut(), times=1)
                r = c.post("/v1/chat/completions", sent, headers)
                self.assertEqual(r.status, 200)
                chats = up.matching("chat")
                self.assertEqual([e.nth for e in chats], [0, 1, 0], "reused, then fresh")
                self.assertEqual([e.body for e in chats[1:]], [body, body])

    def test_part_of_an_answer_on_a_reused_connection_is_not_asked_again(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        self.assertEqual(c.post("/v1/chat/completions", prompts.chat_body("one")).status, 200)

        def rule(e):
            e.raw(b"HTTP/1.1 200 OK\r\nContent-")
            e.cut()
        up.when("chat", rule)
        r = c.post("/v1/chat/completions", prompts.chat_body("two"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"))
        self.assertEqual(up.count("chat"), 2)

    def test_junk_instead_of_http(self):
        up = self.upstream()

        def rule(e):
            e.raw(b"this is not HTTP\r\n\r\n")
            e.cut()
        up.when("chat", rule)
        lull = self.lull(up)
        r = self.connect(lull).post("/v1/chat/completions", prompts.chat_body("Hi"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"))

    def test_client_leaving_closes_the_model_servers_connection_at_once(self):
        for phase in ("before the head", "after the head", "in the stream"):
            for how in ("close", "reset", "half-close"):
                with self.subTest(f"{phase}, {how}"):
                    up = self.upstream()
                    never = Gate()

                    def rule(e, phase=phase, never=never):
                        if phase != "before the head":
                            e.head(200, [("Content-Type", "text/event-stream")])
                        if phase == "in the stream":
                            e.piece("data: 1\n\n")
                        e.hold(never)
                    up.when("chat", rule)
                    lull = self.lull(up)
                    c = self.connect(lull)
                    c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode())
                    record = up.wait_for(1, "chat")[0]
                    if phase != "before the head":
                        r = c.response_head()
                        if phase == "in the stream":
                            c.read_chunk(r)
                    else:
                        eventually(lambda never=never: never.arrived == 1)
                    if how == "reset":
                        c.reset()
                    elif how == "half-close":
                        import socket
                        c.sock.shutdown(socket.SHUT_WR)
                    else:
                        c.close()
                    self.assertTrue(record.gone.wait(3 if not SANITIZED else 15),
                                    "the call to the model server is still open")
                    stats = lull.wait_stats(lambda s: s["chat"]["open"] == 0)
                    self.assertEqual(stats["upstreams"]["default"]["aborted"], 1)

    def test_client_leaving_in_mid_upload_closes_the_connection(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", "/api/blobs/sha256:1", [("Content-Length", "1000000")])
        c.send(b"x" * 5000)
        record = up.wait_for(1)[0]
        c.close()
        self.assertTrue(record.gone.wait(DEADLINE))

    def test_no_time_limit_of_ours_on_a_chat(self):
        up = self.upstream()
        head, token = Gate(), Gate()

        def rule(e):
            e.hold(head)
            e.head(200, [("Content-Type", "text/event-stream")])
            e.hold(token)
            e.piece("data: 1\n\n")
            e.end()
        up.when("chat", rule)
        lull = self.lull({"default": {"url": up, "first_byte_timeout": "200ms", "stall_timeout": "200ms",
                                      "connect_timeout": "200ms"}},
                         server="header_timeout = 200ms\nbody_timeout = 200ms\nidle_timeout = 200ms")
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode())
        record = up.wait_for(1, "chat")[0]
        self.assertFalse(record.gone.wait(1.0), "the chat was given up before its head")
        head.open()
        r = c.response_head()
        self.assertFalse(record.gone.wait(1.0), "the chat was given up in its stream")
        token.open()
        c.read_body(r)
        self.assertEqual(r.body, b"data: 1\n\n")


class Upstreams(LullTest):
    def test_named_upstreams(self):
        one, two = self.upstream(), self.upstream()
        lull = self.lull({"one": {"url": one}, "two": {"url": two.url + "/base/v1"}},
                         server="default_upstream = one")
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 200)
        self.assertEqual(one.records[0].target, "/v1/models")
        two.when("*", lambda e: e.full(200, "text/plain", "two"))
        r = c.request("GET", "/@two/v1/models?x=1")
        self.assertEqual(r.body, b"two")
        self.assertEqual(two.records[0].target, "/base/v1/models?x=1",
                         "a base path is kept, a trailing /v1 of the url dropped")
        self.assertEqual(two.records[0].header("Host"), f"127.0.0.1:{two.port}")
        self.assertEqual(c.request("GET", "/@two").status, 200)
        r = c.post("/@one/v1/chat/completions", prompts.chat_body("Hi"))
        self.assertEqual(r.status, 200)
        self.assertEqual(one.records[1].target, "/v1/chat/completions")
        self.assertEqual((one.count(), two.count()), (2, 2))

    def test_unknown_upstream_is_404(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        for path, form in (("/@nope/v1/models", dict), ("/@nope/v1/chat/completions", dict),
                           ("/@/x", dict), ("/@nope/api/chat", str)):
            r = c.post(path, "{}")
            self.assertEqual((r.status, r.header("X-Lull-Error")), (404, "no_such_upstream"), path)
            self.assertIsInstance(r.json["error"], form, path)
        self.assertEqual(up.count(), 0)
        self.assertEqual(c.get("/v1/models").status, 200)

    def test_upstream_on_a_unix_socket_and_api_key(self):
        import tempfile
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            up = self.upstream(unix=os.path.join(folder, "model.sock"))
            lull = self.lull({"default": {"url": up, "api_key": "sk-mine"}})
            c = self.connect(lull)
            r = c.post("/v1/chat/completions", prompts.chat_body("Hi"),
                       [("X-First", "1"), ("Authorization", "Bearer sk-client"), ("X-Last", "1")])
            self.assertEqual(r.status, 200)
            got = [(n, v) for n, v in up.records[0].headers if n.lower() == "authorization"]
            self.assertEqual([v for _, v in got], ["Bearer sk-mine"])
            self.assertNotIn(b"sk-client", up.records[0].raw_head)
            self.assertEqual(c.get("/v1/models").status, 200)
            self.assertEqual(up.records[1].header("Authorization"), "Bearer sk-mine")

    def test_many_chats_at_once(self):
        up = self.upstream()
        gate = Gate()
        up.when("chat", say(lambda e: "Reply to " + e.json["messages"][-1]["content"], gate=gate))
        lull = self.lull(up)
        n = 40
        clients = [self.connect(lull) for _ in range(n)]
        for i, c in enumerate(clients):
            c.start("POST", "/v1/chat/completions", [], prompts.chat_body(f"chat {i}").encode())
        up.wait_for(n, "chat")
        lull.wait_stats(lambda s: s["chat"]["open"] == n and s["upstreams"]["default"]["running"] == n)
        gate.open()
        for i, c in enumerate(clients):
            text = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                           for line in c.response().body.decode().splitlines()
                           if line.startswith("data: {"))
            self.assertEqual(text, f"Reply to chat {i}")


if __name__ == "__main__":
    main()

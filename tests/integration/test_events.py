#!/usr/bin/env python3
"""GET /events and the debug log: one event and one line for each finished exchange; filters; a reader
that does not read loses events, is shown how many, and slows nothing down."""
import json
import select
import signal
import socket
import subprocess
import unittest

import prompts
from client import Client
from lull import DEADLINE, LULLCTL, SANITIZED, LullTest, clean_environment, eventually
from upstream import Gate, good

SECRETS = ("pelican", "sk-planted", "user-planted", "chat-planted", "cookie-planted", "query-planted", "answer-planted")


class Stream:
    """A client of /events."""

    def __init__(self, lull, query=""):
        self.client = Client(lull.control_path)
        self.client.start("GET", "/events" + query)
        self.head = self.client.response_head()
        self.text = ""

    def events(self, count):
        """The next `count` events; a lost note is an event as well."""
        out = []
        while len(out) < count:
            while "\n\n" not in self.text:
                self.text += self.client.read_chunk(self.head).decode()
            block, self.text = self.text.split("\n\n", 1)
            lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if lines:
                event = json.loads(lines["data"])
                out.append({**event, "event": lines.get("event", "exchange")})
        return out

    def close(self):
        self.client.close()


class Events(LullTest):
    def stream(self, lull, query=""):
        stream = Stream(lull, query)
        self.addCleanup(stream.close)
        self.assertEqual(stream.head.status, 200)
        return stream

    def ask(self, client, kind, text, **more):
        return client.post("/v1/chat/completions", prompts.body(kind, text), prompts.headers(kind=kind, **more))

    def test_one_event_an_exchange(self):
        lull = self.lull(self.upstream())
        stream = self.stream(lull)
        client = self.connect(lull)
        answers = [self.ask(client, "title", "one"), self.ask(client, "title", "one"),
                   client.post("/v1/chat/completions", prompts.chat_body("hello"), prompts.headers()),
                   client.get("/v1/models?a=query-planted"), client.get("/@nowhere/v1/models")]
        miss, hit, chat, other, refused = stream.events(5)
        self.assertEqual([e["status"] for e in (miss, hit, chat, other, refused)], [a.status for a in answers])
        self.assertEqual((miss["what"], miss["kind"], miss["outcome"]), ("task", "title", "misses"))
        self.assertEqual((hit["what"], hit["kind"], hit["outcome"]), ("task", "title", "hits"))
        self.assertEqual(miss["cache_status"], answers[0].cache_status)
        self.assertEqual(hit["cache_status"], answers[1].cache_status)
        self.assertTrue(miss["why"] and hit["why"])
        self.assertEqual(miss["model"], prompts.MODEL["openai"])
        for name in ("ms", "held_ms", "model_ms", "tokens_in", "tokens_out"):
            self.assertGreaterEqual(miss[name], 0, name)
        self.assertGreaterEqual(miss["ms"] + 0.01, miss["held_ms"])
        self.assertNotIn("held_ms", hit)
        self.assertEqual(chat["what"], "chat")
        self.assertGreaterEqual(chat["ms"], chat["first_token_ms"])
        self.assertEqual((chat["outcome"], other["outcome"], refused["outcome"]), ("passed", "passed", "rejected"))
        self.assertEqual((other["what"], other["path"], other["method"]), ("other", "/v1/models", "GET"))
        self.assertEqual(refused["status"], 404)
        self.assertEqual([e["id"] for e in (miss, hit, chat, other, refused)], list(range(miss["id"], miss["id"] + 5)))

    def test_the_first_task_header_is_said_once(self):
        lull = self.lull(self.upstream())
        client = self.connect(lull)
        self.ask(client, "title", "one")
        self.ask(client, "title", "two")
        self.assertEqual(lull.log_text().count("name their task in X-OpenWebUI-Task"), 1)

    def test_a_head_request_ends(self):
        lull = self.lull(self.upstream())
        with Client(lull.control_path) as c:
            c.start("HEAD", "/events")
            r = c.response_head()
            self.assertEqual((r.status, r.header("Content-Type")), (200, "text/event-stream"))
            self.assertEqual(c.get("/healthz").status, 200, "the connection goes on")

    def test_request_ids(self):
        """A task's answer and its event carry the client's id; the call upstream does, too."""
        up = self.upstream()
        lull = self.lull(up)
        stream = self.stream(lull)
        client = self.connect(lull)
        for value, echoed in (("abc-1", "abc-1"), ("abc-2", "abc-2"), ("x" * 200, None)):
            with self.subTest(value):
                answer = client.post("/v1/chat/completions", prompts.body("title", "one"),
                                     [*prompts.headers(kind="title"), ("X-Request-Id", value)])
                self.assertEqual(answer.header("X-Request-Id"), echoed)
                self.assertEqual(stream.events(1)[0]["request_id"], value[:63])
        calls = [e for e in up.records if e.path.endswith("/chat/completions")]
        self.assertEqual(calls[0].header("X-Request-Id"), "abc-1")

    def test_filters(self):
        lull = self.lull(self.upstream())
        tags, hits, slow = (self.stream(lull, q) for q in ("?kind=tags", "?outcome=hits", "?slow=1h"))
        client = self.connect(lull)
        for kind in ("title", "title", "tags", "tags"):
            self.ask(client, kind, "one")
        self.assertEqual([e["outcome"] for e in tags.events(2)], ["misses", "hits"])
        self.assertEqual([e["kind"] for e in hits.events(2)], ["title", "tags"])
        self.assertEqual(slow.text, "")
        for query in ("?kind=titel", "?outcome=hit", "?slow=soon", "?color=red", "?kind"):
            with self.subTest(query):
                self.assertEqual(lull.control("GET", "/events" + query).status, 400)

    def test_a_reader_that_does_not_read(self):
        lull = self.lull(self.upstream())
        stream = self.stream(lull)
        other = self.stream(lull, "?kind=tags")
        stream.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = self.connect(lull)
        self.ask(client, "title", "one")
        asked, before = 1, lull.rss_anon()
        while asked < 6000:
            self.assertEqual(self.ask(client, "title", "one").status, 200)
            asked += 1
        self.ask(client, "tags", "one")
        self.assertEqual(other.events(1)[0]["kind"], "tags")
        seen, lost = 0, 0
        while seen + lost < asked + 1:
            event = stream.events(1)[0]
            if event["event"] == "lost":
                lost += event["lost"]
            else:
                seen += 1
                if lost == 0 and seen == 50:  # what was buffered is read: from here on nothing is blocked
                    eventually(lambda: self.ask(client, "tags", "one").status == 200)
                    asked += 1
        self.assertGreater(lost, 0)
        self.assert_small(lull.rss_anon() - before)

    def assert_small(self, grown):
        if not SANITIZED:  # sanitizers keep freed memory
            self.assertLess(grown, 4 << 20)

    def test_a_stop_sends_what_waits_and_cuts_the_stream(self):
        up, gate = self.upstream(), Gate()
        up.when("chat", good(gate))
        lull = self.lull(up)
        stream, client = self.stream(lull), self.connect(lull)
        tail = subprocess.Popen([LULLCTL, "--socket", lull.control_path, "tail"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=clean_environment())
        eventually(lambda: client.get("/v1/models").status == 200 and select.select([tail.stdout], [], [], 0.05)[0])
        client.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hello").encode())
        up.wait_for(1)
        lull.signal(signal.SIGTERM)
        gate.open()
        self.assertEqual(client.response().status, 200)
        eventually(lambda: stream.events(1)[0]["what"] == "chat")
        self.assertEqual(lull.wait(), 0)
        out, err = tail.communicate(timeout=DEADLINE)
        self.assertRegex(out, "chat .* 200 ")
        self.assertEqual((tail.returncode, err), (3, f"lullctl: lulld on {lull.control_path} has ended the connection\n"))

    def test_readers_have_a_maximum_and_leave(self):
        lull = self.lull(self.upstream())
        streams = [self.stream(lull) for _ in range(16)]
        self.assertEqual(lull.control("GET", "/events").status, 503)
        streams.pop().close()
        eventually(lambda: lull.stats()["pid"] and self.open_one(lull))

    def open_one(self, lull):
        stream = Stream(lull)
        self.addCleanup(stream.close)
        return stream.head.status == 200

    def test_no_secret_in_events_or_log(self):
        up = self.upstream()
        lull = self.lull(up, server="log_level = debug")
        stream = self.stream(lull)
        client = self.connect(lull)
        headers = prompts.headers(kind="title", key="sk-planted", user="user-planted", chat="chat-planted")
        headers += [("Cookie", "a=cookie-planted")]
        client.post("/v1/chat/completions?key=query-planted", prompts.body("title", "pelican"), headers)
        client.post("/v1/chat/completions?key=query-planted", prompts.chat_body("pelican"), headers[:-1])
        text = json.dumps(stream.events(2)) + lull.log_text()
        for secret in SECRETS:
            self.assertNotIn(secret, text)

    def test_debug_log(self):
        lull = self.lull(self.upstream(), server="log_level = debug")
        client = self.connect(lull)
        self.ask(client, "title", "one")
        client.get("/v1/models?x=1")
        self.assertRegex(lull.log_text(), r"debug\s+request: POST /v1/chat/completions kind=title outcome=misses status=200 ms=\d")
        eventually(lambda: "request: GET /v1/models kind=other outcome=passed status=200 " in lull.log_text())
        lull.write_config(server="log_level = info")
        self.assertEqual(lull.reload().status, 200)
        client.get("/v1/models")
        self.ask(client, "title", "one")
        self.assertEqual(lull.log_text().count("request: "), 2)


if __name__ == "__main__":
    unittest.main()

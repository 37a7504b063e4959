#!/usr/bin/env python3
"""A model server that means harm, or is broken: what it sends has no end, no sense or no bottom. Memory
stays bounded, the client gets an error or what there was, and the next request is served."""
import json

from client import Cut
from lull import SANITIZED, LullTest, main
from prompts import PATH, body, chat_body, headers
from upstream import good

MB = 1 << 20
DEEP = 100_000


def endless(first, piece):
    """A rule: sends `first`, then `piece` until the other side leaves."""
    def rule(exchange):
        exchange.keep = False
        exchange.raw(first)
        block = piece * max(1, 65536 // len(piece))
        while True:
            exchange.raw(block)
    return rule


def answer(text):
    """A rule: a whole answer with that text as the body."""
    def rule(exchange):
        exchange.full(200, "application/json", text)
    return rule


class Hostile(LullTest):
    def setUp(self):
        super().setUp()
        self.up = self.upstream()
        self.up.when("*", good())
        self.daemon = self.lull(self.up)
        self.assertEqual(self.ask("title", "warm").status, 200)
        self.before = self.daemon.rss_anon()

    def ask(self, kind, text):
        return self.connect(self.daemon).post(PATH["openai"], body(kind, text), headers())

    def survives(self, rule, statuses=(502,), most=24 * MB):
        """A task and a chat meet the rule; then all is as before."""
        self.up.when("*", rule)
        self.assertIn(self.ask("title", "the task that meets it").status, statuses)
        try:
            self.connect(self.daemon).post(PATH["openai"], chat_body("the chat that meets it", stream=False), headers())
        except Cut:
            pass  # of a chat that had begun
        self.up.clear()
        self.serves(most)

    def serves(self, most=24 * MB):
        self.up.when("*", good())
        self.assertEqual(self.ask("title", "the one after it").status, 200)
        grown = self.daemon.rss_anon() - self.before
        if not SANITIZED:
            self.assertLess(grown, most)

    def test_a_head_without_an_end(self):
        self.survives(endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"a" * 100 + b"\r\n"))

    def test_a_header_line_without_an_end(self):
        self.survives(endless(b"HTTP/1.1 200 OK\r\nX-Filler: ", b"a"))

    def test_interim_heads_without_an_end(self):
        self.survives(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))

    def test_a_switch_of_protocols(self):
        """What follows a 101 must not come to a client as the bytes of a reply."""
        def rule(exchange):
            exchange.keep = False
            exchange.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
                         b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        self.up.when("*", rule)
        for stream in (False, True):
            reply = self.connect(self.daemon).post(PATH["openai"], chat_body("a chat", stream=stream), headers())
            self.assertEqual((reply.status, b"evil" in reply.body), (502, False))
        self.survives(rule)

    def test_an_event_without_an_end(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "
        self.up.when("*", endless(head, b"a"))
        self.assertEqual(self.ask("title", "an event without an end").status, 502)
        self.serves(96 * MB)

    def test_events_without_an_end(self):
        event = json.dumps({"choices": [{"index": 0, "delta": {"content": "word " * 100}}]}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        self.up.when("*", endless(head, b"data: " + event + b"\n\n"))
        self.assertEqual(self.ask("title", "events without an end").status, 502)
        self.serves(96 * MB)

    def test_an_error_without_an_end(self):
        head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\r\n"
        self.up.when("*", endless(head, b"a"))
        self.assertEqual(self.ask("title", "an error without an end").status, 502)
        self.serves(96 * MB)

    def test_a_chunk_size_line_without_an_end(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5;"
        self.survives(endless(head, b"a"))

    def test_trailers_without_an_end(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        self.up.when("*", endless(head, b"X-Trailer: a\r\n"))
        self.ask("title", "trailers without an end")
        self.serves()

    def test_json_without_a_bottom(self):
        for text in ("[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP,
                     '{"choices":' + "[" * DEEP + "]" * DEEP + "}"):
            self.survives(answer(text), statuses=(200, 502))
        deep = '{"title": ' + "[" * DEEP + "]" * DEEP + "}"
        self.survives(answer(json.dumps({"choices": [{"index": 0, "finish_reason": "stop",
                                                      "message": {"role": "assistant", "content": deep}}]})),
                      statuses=(200, 502))

    def test_a_request_without_a_bottom(self):
        """The same from a client: forwarded as it is, or refused."""
        for text in ("[" * DEEP, '{"messages":' + "[" * DEEP + "]" * DEEP + "}"):
            r = self.connect(self.daemon).post(PATH["openai"], text, headers("openai", kind="title"))
            self.assertIn(r.status, (200, 400, 404, 502))  # 502: the scripted server cannot read it
        self.up.errors.clear()
        self.serves()

    def test_a_probe_without_an_end(self):
        other = self.upstream()
        other.when(lambda e: e.is_probe, endless(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b'{"a":'))
        daemon = self.lull(other.url, slots=None)
        r = self.connect(daemon).post(PATH["openai"], body("title", "a probe without an end"), headers())
        self.assertEqual(r.status, 200)
        if not SANITIZED:
            self.assertLess(daemon.rss_anon(), self.before + 24 * MB)


if __name__ == "__main__":
    main()

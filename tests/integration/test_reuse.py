#!/usr/bin/env python3
"""One request's bytes are never another's answer: late and surplus bytes of a model server, in each place where lull calls one,
plaintext and TLS; ten thousand requests through a server that misbehaves; answers that end without their end."""
import asyncio
import gzip
import json
import random
import shutil
import ssl
import tempfile
import threading

from certificates import Authority
from lull import SANITIZED, LullTest, main
from prompts import body, chat_body
from upstream import Gate, say

CHUNKED_MORE = b"5\r\nother\r\n0\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"id\": \"another\"}"
LATE = {"a 408": b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "a whole answer": WHOLE, "stray bytes": b"xyz", "half a trailer": b"X-Trailer: ", "a chunk": CHUNKED_MORE}


def echo(e):
    """Answers with the text that was asked, whole or as a stream."""
    if e.path.endswith("/embeddings"):
        e.full(200, "application/json", json.dumps({"id": e.json["input"]}))
    else:
        text = e.json["messages"][-1]["content"][-6:]
        say('{"title": "Bread"}' if e.kind == "title" else text)(e)


class Late(LullTest):
    ASKED = {"chat": lambda n: ("/v1/chat/completions", chat_body(f"chat {n:06}", stream=False)),
             "streamed chat": lambda n: ("/v1/chat/completions", chat_body(f"chat {n:06}")),
             "task": lambda n: ("/v1/chat/completions", body("title", f"task {n:06}")),
             "other": lambda n: ("/v1/embeddings", json.dumps({"input": f"{n:06}"}))}

    def setUp(self):
        super().setUp()
        self.n = 0

    def ask(self, client, what):
        self.n += 1
        path, text = self.ASKED[what](self.n)
        r = client.post(path, text)
        self.assertEqual(r.status, 200, r)
        self.assertNotIn(b"another", r.body)
        if what != "task":  # a title's prompt ends with the template's own words
            self.assertIn(f"{self.n:06}".encode(), r.body)

    def run_table(self, **tls):
        up = self.upstream(**({"tls": tls["context"]} if tls else {}))
        up.when("*", echo)
        lull = self.lull({"default": {"url": up, **({"ca_file": tls["ca"]} if tls else {})}})
        client = self.connect(lull)
        for name, late in LATE.items():
            for when in ("behind", "later"):
                for what in self.ASKED:
                    with self.subTest(f"{name} {when}, after a {what}"):
                        gate = Gate()

                        def rule(e, late=late, when=when, gate=gate):
                            if when == "behind":
                                raw, e.raw, kept = e.raw, None, []
                                e.raw = kept.append
                                echo(e)
                                raw(b"".join(kept) + late)
                            else:
                                echo(e)
                                e.hold(gate)
                                e.raw(late)
                        before = len(up.records)
                        up.when("*", rule, times=1)
                        self.ask(client, what)
                        gate.open()
                        first = up.records[before]
                        self.assertTrue(first.finished.wait(10))
                        for other in ("chat", "task", "other"):
                            self.ask(client, other)
                        self.assertFalse([e for e in up.records[before + 1:] if e.connection is first.connection],
                                         "the connection carried another request")
        self.assertEqual(lull.stats()["upstreams"]["default"]["failed"], 0)

    def test_plaintext(self):
        self.run_table()

    def test_tls(self):
        folder = tempfile.mkdtemp(prefix="lull-ca-")
        self.addCleanup(shutil.rmtree, folder, True)
        authority = Authority(folder)
        self.run_table(context=authority.context("good"), ca=authority.ca)

    def test_probes(self):
        """The answer of a probe, and the bytes behind it, stay the probe's."""
        for late in LATE.values():
            up = self.upstream()

            def rule(e, late=late):
                e.full(200, "application/json", '{"version": "0.6.0"}')
                e.raw(late)
            up.when(lambda e: e.is_probe, rule)
            up.when("*", echo)
            lull = self.lull(up)
            client = self.connect(lull)
            for _ in range(2):
                for what in self.ASKED:
                    self.ask(client, what)

    def test_a_whole_answer_that_comes_behind_the_request(self):
        """It looks like the answer to that request. The one that was asked for follows, and goes to no other request."""
        for unasked, status in ((WHOLE, 200), (WHOLE.replace(b"200 OK", b"503 Service Unavailable"), 503)):
            for what in ("chat", "task") if status != 200 else ("task",):
                with self.subTest(f"{status}, {what}"):
                    up = self.upstream()
                    up.when("*", echo)
                    client = self.connect(self.lull(up))
                    self.ask(client, "chat")
                    gate = Gate()

                    def rule(e, unasked=unasked, gate=gate):
                        e.raw(unasked)
                        e.hold(gate)
                        echo(e)
                    before = len(up.records)
                    up.when(lambda e, what=what: e.kind == {"task": "title", "chat": "chat"}[what], rule, times=1)
                    self.n += 1
                    path, text = self.ASKED[what](self.n)
                    r = client.post(path, text)
                    self.assertEqual(r.status, 200 if status == 200 else 503, r)
                    first = up.records[before]
                    self.ask(client, "chat")
                    gate.open()
                    self.assertTrue(first.finished.wait(10))
                    for other in ("chat", "task", "other"):
                        self.ask(client, other)
                    self.assertFalse([e for e in up.records[before + 1:] if e.connection is first.connection],
                                     "the connection carried another request")

    def test_good_connections_are_reused(self):
        up = self.upstream()
        up.when("*", echo)
        lull = self.lull(up)
        client = self.connect(lull)
        for what in list(self.ASKED) * 3:
            self.ask(client, what)
        carried = [(e.connection.number, e.target) for e in up.records + up.probes]
        used = {e.connection.number for e in up.records}
        self.assertLessEqual(len(used), 2, carried)
        probes = [e.connection.number for e in up.probes]
        self.assertGreater(len(probes), 0)
        self.assertEqual(len(set(probes) - used), len(probes), carried)  # each has a connection of its own

    def test_a_clients_surplus_bytes_are_its_own_next_request(self):
        up = self.upstream()
        up.when("*", echo)
        lull = self.lull(up)
        text = b'{"input": "mine"}'
        asked = {lull.port: b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n" + text,
                 lull.control_path: b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"}
        for address, request in asked.items():
            good, bad = self.connect(address), self.connect(address)
            bad.send(request + b"xyz\r\n\r\n")
            self.assertEqual(bad.response().status, 200)
            self.assertEqual(bad.response().status, 400)
            self.assertTrue(bad.at_end())
            good.send(request)
            self.assertEqual(good.response().status, 200)


class Cut(LullTest):
    """Where the connection's close is the only end, an answer may be cut."""

    WHOLE = {"text/event-stream": b'data: {"a": 1}\n\ndata: [DONE]\n\n', "application/x-ndjson": b'{"a": 1}\n{"done": true}\n',
             "application/json": b'{"choices": [{"index": 0}]}\n'}

    def test_a_cut_chat_has_no_clean_end(self):
        up = self.upstream()
        lull = self.lull(up)
        for kind, whole in self.WHOLE.items():
            for text, clean in ((whole, True), (whole.rstrip(), kind != "text/event-stream" or None),
                                (whole[:10], False), (whole[:-5], False), (b"", kind != "application/json")):
                if clean is None:
                    continue
                with self.subTest(f"{kind} {text!r}"):
                    def rule(e, kind=kind, text=text):
                        e.head(200, [("Content-Type", kind)], chunked=False)
                        e.raw(text)
                        e.cut()
                    up.when("chat", rule)
                    c = self.connect(lull)
                    c.start("POST", "/v1/chat/completions", [], chat_body("Hi").encode())
                    r = c.response_head()
                    try:
                        c.read_body(r)
                    except Exception as error:
                        self.assertFalse(clean, error)
                    self.assertEqual((bytes(r.body), r.whole), (text, clean))


class Encoded(LullTest):
    def test_a_task_is_asked_plain_and_decoded_all_the_same(self):
        up = self.upstream()
        whole = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": '{"title": "Packed"}'},
                                         "finish_reason": "stop"}]})
        lull = self.lull(up)
        c = self.connect(lull)
        for i, chunked in enumerate((False, True)):
            def rule(e, chunked=chunked):
                packed = gzip.compress(whole.encode())
                e.head(200, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
                       length=None if chunked else len(packed))
                e.piece(packed)
                e.end()
            up.when("title", rule)
            r = c.post("/v1/chat/completions", body("title", f"packed {i}", stream=False),
                       [("Accept-Encoding", "gzip, br")])
            self.assertEqual((r.status, r.content, r.header("Content-Encoding")), (200, '{"title": "Packed"}', None))
        self.assertEqual({e.header("Accept-Encoding") for e in up.matching("title")}, {"identity"})

    def test_an_error_that_came_packed_is_passed_on_plain(self):
        up = self.upstream()
        packed = gzip.compress(b'{"error": {"message": "no such model"}}')
        up.when("title", lambda e: e.full(404, "application/json", packed, [("Content-Encoding", "gzip")]))
        lull = self.lull(up)
        r = self.connect(lull).post("/v1/chat/completions", body("title", "packed"))
        self.assertEqual((r.status, r.header("Content-Encoding")), (404, None))
        self.assertEqual(r.json["error"]["message"], "no such model")
        self.assertEqual(r.header("Content-Length"), str(len(r.body)))

    def test_an_encoding_that_does_not_exist_is_none(self):
        up = self.upstream()
        whole = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": '{"title": "Plain"}'},
                                         "finish_reason": "stop"}]}).encode()
        up.when("title", lambda e: e.full(200, "application/json", whole, [("Content-Encoding", "utf-8")]))
        lull = self.lull(up)
        c = self.connect(lull)
        for i in (1, 2):
            r = c.post("/v1/chat/completions", body("title", f"plain {i}"))
            self.assertEqual((r.status, r.content, r.cache_status), (200, '{"title": "Plain"}', "lull; fwd=miss; stored"))
        self.assertEqual(len(up.matching("title")), 3)  # one more until it is known

    def test_a_charset_is_left_to_the_client(self):
        up = self.upstream()
        whole = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": '{"title": "Caf\u00e9"}'},
                                         "finish_reason": "stop"}]}, ensure_ascii=False).encode("latin-1")
        kind = "application/json;charset=ISO-8859-1"
        up.when("title", lambda e: e.full(200, kind, whole))
        lull = self.lull(up)
        for _ in (1, 2):
            r = self.connect(lull).post("/v1/chat/completions", body("title", "a place to sit"))
            self.assertEqual((r.status, r.header("Content-Type"), r.body), (200, kind, whole))

    def test_a_bomb_is_bounded(self):
        up = self.upstream()
        bomb = gzip.compress(b"\0" * (200 << 20), 9)
        up.when("title", lambda e: e.full(200, "application/json", bomb, [("Content-Encoding", "gzip")]))
        lull = self.lull(up)
        before = lull.rss_anon()
        r = self.connect(lull).post("/v1/chat/completions", body("title", "bomb"))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"))
        self.assertLess(lull.rss_anon() - before, (64 << 20) * (8 if SANITIZED else 1))


class Misbehaving:
    """A server that answers each request with its id, and with 1 % of its answers writes unrequested bytes."""

    def __init__(self, context=None):
        self.random = random.Random(7)
        self.context = context
        self.bad = self.connections = 0
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.ready.wait()

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def answer(self, number):
        text = json.dumps({"id": number, "choices": [{"index": 0, "message": {"role": "assistant", "content": number},
                                                      "finish_reason": "stop"}]}).encode()
        if int(number) % 2:
            return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                               if line.lower().startswith(b"content-length")), 0)
                text = await reader.readexactly(length)
                number = json.loads(text)["input"] if text else "0"
                out = self.answer(number)
                if self.random.random() < 0.01:
                    self.bad += 1
                    late = self.random.choice(list(LATE.values()))
                    if self.random.random() < 0.5:
                        out += late
                    else:
                        writer.write(out)
                        out = late
                writer.write(out)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


class Load(LullTest):
    REQUESTS, CLIENTS = (10000, 32) if not SANITIZED else (2000, 16)

    async def client(self, port, numbers, wrong):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            text = json.dumps({"input": str(number)}).encode()
            writer.write(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            head = await reader.readuntil(b"\r\n\r\n")
            if b"content-length" in head.lower():
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                got = await reader.readexactly(size)
            else:
                got = b""
                while True:
                    size = int(await reader.readline(), 16)
                    got += (await reader.readexactly(size + 2))[:-2]
                    if size == 0:
                        break
            if not head.startswith(b"HTTP/1.1 200 ") or json.loads(got).get("id") != str(number):
                wrong.append((number, head, got))
        writer.close()

    def drive(self, lull):
        wrong = []

        async def all_of_them():
            share = self.REQUESTS // self.CLIENTS
            await asyncio.gather(*(self.client(lull.port, range(i * share, (i + 1) * share), wrong)
                                   for i in range(self.CLIENTS)))
        asyncio.run(all_of_them())
        self.assertEqual(wrong, [], f"{len(wrong)} of {self.REQUESTS}")

    def test_no_answer_reaches_another_request(self):
        server = Misbehaving()
        self.addCleanup(server.stop)
        lull = self.lull(f"http://127.0.0.1:{server.port}")
        self.drive(lull)
        self.assertGreater(server.bad, self.REQUESTS // 200)
        self.assertEqual(lull.stats()["upstreams"]["default"]["failed"], 0)
        self.assertIn("sent bytes that no request asked for", lull.log_text())


if __name__ == "__main__":
    main()

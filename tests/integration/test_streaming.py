#!/usr/bin/env python3
"""Streams that pass through: each piece at once, answers before the upload ends, large bodies in constant memory, and
sides that stand still."""
import contextlib
import hashlib
import os
import select
import socket
import threading

import prompts
from lull import SANITIZED, LullTest, eventually, main, settled
from upstream import Gate, good_content

BIG = (48 if SANITIZED else 256) * 1024 * 1024
RSS_GROWTH = 12 * 1024 * 1024


def kernel_buffers():
    """The most that the kernel holds on the two connections of a stream that is not read."""
    most = 8 << 20
    with contextlib.suppress(OSError):
        most = 0
        for name in ("tcp_rmem", "tcp_wmem"):
            with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as f:
                most += int(f.read().split()[2])
    return 2 * most


class Streaming(LullTest):
    def test_head_and_every_piece_come_at_once(self):
        up = self.upstream()
        gates = [Gate() for _ in range(4)]

        def rule(e):
            e.head(200, [("Content-Type", "text/event-stream")])
            for i, gate in enumerate(gates):
                e.hold(gate)
                e.piece(f"data: {i}\n\n")
            e.end()
        up.when("chat", rule)
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode())
        r = c.response_head()  # before anything of the body was sent
        self.assertEqual(r.status, 200)
        for i, gate in enumerate(gates):
            gate.open()
            self.assertEqual(c.read_chunk(r), f"data: {i}\n\n".encode())
        self.assertEqual(c.read_chunk(r), b"")
        lull.wait_stats(lambda s: s["chat"]["open"] == 0 and s["chat"]["requests"] == 1)

    def test_large_chats_one_after_the_other(self):
        """A chat's body is used while it is there only: it is gone with the end of its reply."""
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        turns = [("user", "word " * 40_000)]
        for i in range(6):
            r = c.post(prompts.PATH["openai"], prompts.chat_body(f"and then {i}", turns=turns), prompts.headers())
            self.assertEqual((r.status, bytes(r.body)), (200, bytes(up.records[-1].payload)))
            turns += [("user", f"and then {i}"), ("assistant", good_content("chat", up.records[-1].serial))]
        self.assertEqual(lull.stats()["chat"]["requests"], 6)

    def test_chunked_upload_goes_on_chunked_and_at_once(self):
        up = self.upstream()
        up.when("*", lambda e: e.full(200, "text/plain", "got it"))
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", "/api/blobs/sha256:0", [("Transfer-Encoding", "chunked")])
        c.chunk(b"first")
        record = up.wait_for(1)[0]
        eventually(lambda: record.body == b"first", message="the first piece arrives before the last is sent")
        self.assertEqual((record.header("Transfer-Encoding") or "").lower(), "chunked")
        self.assertIsNone(record.header("Content-Length"))
        self.assertIsNone(record.header("Expect"))
        c.chunk(b"second")
        c.last_chunk()
        self.assertEqual(c.response().body, b"got it")
        self.assertEqual(record.body, b"firstsecond")

    def test_answer_before_the_upload_ended(self):
        up = self.upstream()
        lull = self.lull(up)
        refuse = self.early_answer()
        try:
            lull.write_config()
            lull.upstreams = f"http://127.0.0.1:{refuse.getsockname()[1]}"
            lull.write_config()
            self.assertEqual(lull.reload().status, 200)
            c = self.connect(lull)
            c.start("POST", "/api/blobs/sha256:0", [("Content-Length", "1000000")])
            c.send(b"x" * 1000)
            r = c.response()
            self.assertEqual((r.status, r.body), (409, b"no"))
        finally:
            refuse.close()

    def early_answer(self):
        """A server that answers as soon as the head is there."""
        import socket
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)

        def serve():
            try:
                sock, _ = listener.accept()
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(65536)
                sock.sendall(b"HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
                while sock.recv(65536):
                    pass
                sock.close()
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        return listener

    def early_servers(self):
        """Servers that answer as soon as the head is there: what they do with the rest, and the answer's status."""
        def then_close(sock):
            sock.close()  # with unread input: a reset

        def then_read(sock):
            while sock.recv(1 << 20):
                pass
            sock.close()

        def then_wait(sock):
            sock.recv(1)
            self.addCleanup(sock.close)

        for name, after in (("closes", then_close), ("reads on", then_read), ("stands", then_wait)):
            for code in (200, 409):
                yield f"{name} {code}", code, after

    def serve_early(self, code, after):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.addCleanup(listener.close)

        def one(sock):
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(65536)
                sock.sendall(b"HTTP/1.1 %d Early\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly" % code)
                after(sock)
            except OSError:
                pass

        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(sock,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def early_reply(self, lull, size, how, path="/api/blobs/sha256:0", headers=()):
        """Sends the whole body before it reads, as simple clients do, or stops where an answer comes, as others do."""
        c = self.connect(lull)
        framing = [("Transfer-Encoding", "chunked")] if how == "chunked" else [("Content-Length", str(size))]
        c.start("POST", path, framing + list(headers))
        block = b"x" * (1 << 16)
        for _ in range(size >> 16):
            if how == "stops" and select.select([c.sock], [], [], 0)[0]:
                break
            if how == "chunked":
                c.chunk(block)
            else:
                c.send(block)
        if how == "chunked":
            c.last_chunk()
        r = c.response()
        self.assertEqual(r.header("Connection"), "close")
        if how == "stops":
            self.assertTrue(c.at_end(), "our side is shut down once the answer is out")
        return r

    def test_clients_read_an_answer_that_came_before_their_upload_ended(self):
        up = self.upstream()
        lull = self.lull(up)
        size = 24 << 20
        for name, code, after in self.early_servers():
            with self.subTest(name):
                port = self.serve_early(code, after)
                lull.upstreams = f"http://127.0.0.1:{port}"
                lull.write_config()
                self.assertEqual(lull.reload().status, 200)
                for how in ("whole", "stops", "chunked") * 3:
                    r = self.early_reply(lull, size, how)
                    self.assertEqual((r.status, bytes(r.body)), (code, b"early"), how)

    def test_clients_read_our_own_errors_before_their_upload_ended(self):
        up = self.upstream()
        lull, bounded = self.lull(up), self.lull(up, server="max_body = 1MB")
        for how in ("whole", "stops", "chunked"):
            for at, path, headers, code in ((bounded, "/api/blobs/sha256:0", (), 413), (lull, "/@unknown/api/blobs/x", (), 404),
                                            (lull, "/api/blobs/x", (("Host", "evil.example"),), 403)):
                with self.subTest(f"{how} {code}"):
                    self.assertEqual(self.early_reply(at, 24 << 20, how, path, headers).status, code)

    def test_a_client_that_waits_for_continue_reads_the_answer_instead(self):
        port = self.serve_early(409, lambda sock: sock.recv(1))
        lull = self.lull(f"http://127.0.0.1:{port}")
        c = self.connect(lull)
        c.start("POST", "/@unknown/x", [("Content-Length", "50000000"), ("Expect", "100-continue")])
        r = c.response()
        self.assertEqual((r.status, r.informational, r.header("Connection")), (404, [], "close"))
        self.assertTrue(c.at_end())
        c = self.connect(lull)
        c.start("POST", "/api/blobs/x", [("Content-Length", "50000000"), ("Expect", "100-continue")])
        r = c.response()
        self.assertEqual((r.status, r.header("Connection")), (409, "close"))
        self.assertTrue(c.at_end())

    def test_a_second_head_that_stands_is_answered_408(self):
        up = self.upstream()
        lull = self.lull(up, server="header_timeout = 200ms")
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 200)
        c.send(b"GET / HT")
        self.assertEqual(c.response().status, 408)
        self.assertTrue(c.at_end())

    def test_big_upload_in_constant_memory(self):
        up = self.upstream(keep_bodies=False)
        up.when("*", lambda e: e.full(201, "text/plain", e.body_digest))
        lull = self.lull(up)
        before = lull.rss_anon()
        c = self.connect(lull)
        block = os.urandom(1 << 20)
        digest = hashlib.sha256()
        peak = 0
        c.start("POST", "/api/blobs/sha256:1", [("Content-Length", str(BIG))])
        for i in range(BIG >> 20):
            c.send(block)
            digest.update(block)
            if i % 16 == 0:
                peak = max(peak, lull.rss_anon())
        r = c.response(timeout=120)
        self.assertEqual((r.status, r.body.decode()), (201, digest.hexdigest()))
        if not SANITIZED:
            self.assertLess(peak - before, RSS_GROWTH)

    def test_big_download_in_constant_memory(self):
        up = self.upstream()
        block = os.urandom(1 << 20)

        def rule(e):
            e.head(200, [("Content-Type", "application/octet-stream")], length=BIG)
            for _ in range(BIG >> 20):
                e.raw(block)
        up.when("*", rule)
        lull = self.lull(up)
        before = lull.rss_anon()
        c = self.connect(lull)
        c.start("GET", "/big")
        r = c.response_head()
        self.assertEqual(r.header("Content-Length"), str(BIG))
        want, have, peak, left = hashlib.sha256(), hashlib.sha256(), 0, BIG
        for _ in range(BIG >> 20):
            want.update(block)
        while left:
            if not c.buffer:
                self.assertTrue(c.fill(), "cut")
            data, c.buffer = c.buffer, b""
            have.update(data)
            left -= len(data)
            peak = max(peak, lull.rss_anon())
        self.assertEqual(have.hexdigest(), want.hexdigest())
        if not SANITIZED:
            self.assertLess(peak - before, RSS_GROWTH)

    def test_stalled_reader_stops_the_model_server_and_loses_nothing(self):
        up = self.upstream()
        block = bytes(range(256)) * 4096
        bound = kernel_buffers() + (4 << 20)
        total = (bound >> 20) + 16

        def rule(e):
            e.head(200, [("Content-Type", "text/event-stream")])
            for _ in range(total):
                e.piece(block)
            e.end()
        up.when("chat", rule)
        lull = self.lull(up)
        before = lull.rss_anon()
        c = self.connect(lull, receive_buffer=65536)
        c.start("POST", "/v1/chat/completions", [], prompts.chat_body("Hi").encode())
        record = up.wait_for(1, "chat")[0]
        eventually(lambda: record.sent_bytes > 100000)
        stuck = settled(lambda: record.sent_bytes, quiet=0.5)
        self.assertLess(stuck, bound, "the model server was not slowed down")
        if not SANITIZED:
            self.assertLess(lull.rss_anon() - before, RSS_GROWTH)
        # others are served meanwhile
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)
        r = c.read_body(c.response_head())
        self.assertEqual(len(r.body), total * len(block))
        self.assertEqual(hashlib.sha256(r.body).digest(), hashlib.sha256(block * total).digest())

    def test_stalled_model_server_stops_the_upload(self):
        up = self.upstream(keep_bodies=False)
        lull = self.lull(up)
        up.accepting.clear()  # the kernel connects, but the server does not read
        before = lull.rss_anon()
        c = self.connect(lull)
        c.start("POST", "/api/blobs/sha256:1", [("Content-Length", str(BIG))])
        block = b"z" * (1 << 20)
        c.sock.settimeout(1.0)
        sent = 0
        try:
            while sent < BIG:
                sent += c.sock.send(block)
        except TimeoutError:
            pass
        self.assertLess(sent, kernel_buffers() + (4 << 20), "the client was not slowed down")
        if not SANITIZED:
            self.assertLess(lull.rss_anon() - before, RSS_GROWTH)
        up.when("*", lambda e: e.full(200, "text/plain", str(e.body_bytes)))
        up.accepting.set()
        c.sock.settimeout(c.timeout)
        rest = BIG - sent
        while rest:
            n = min(rest, len(block))
            c.send(block[:n])
            rest -= n
        self.assertEqual(c.response(timeout=120).body.decode(), str(BIG))


if __name__ == "__main__":
    main()

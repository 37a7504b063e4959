#!/usr/bin/env python3
"""Upstreams that lead back to the same lulld: over another lulld, over a port that is forwarded, by another name."""
import socket
import subprocess
import threading

from lull import DEADLINE, LULLD, LullTest, eventually, free_port, main
from prompts import PATH, body, chat_body, headers


class Forwarder:
    """A TCP port that forwards to another one; its address does not show that."""

    def __init__(self, port):
        self.to = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for s in self.sockets:
            s.close()


class Loops(LullTest):
    REQUESTS = (("GET", "/v1/models", None, []),
                ("POST", PATH["openai"], chat_body("hello"), []),
                ("POST", "/api/chat", chat_body("hello"), []),
                ("POST", "/v1/embeddings", '{"model": "m", "input": "x"}', []),
                ("POST", PATH["openai"], body("title", "in a circle"), headers(kind="title")),
                ("POST", "/v1/responses", '{"model": "m", "input": "x"}', headers(kind="tags")))

    def fds(self, lull):
        return lull.stats()["process"]["fds"]

    def all_are_answered(self, *lulls):
        for method, path, text, more in self.REQUESTS:
            with self.subTest(path=path, headers=more):
                r = self.connect(lulls[0]).request(method, path, [("Content-Type", "application/json")] + more, text)
                self.assertEqual((r.status, r.header("X-Lull-Error")), (508, "upstream_loop"))
                self.assertIn("error", r.json)
        for lull in lulls:
            eventually(lambda lull=lull: all(u["running"] == 0 for u in lull.stats()["upstreams"].values()))
            self.assertLess(self.fds(lull), 400)

    def back(self, lull):
        return [line for line in lull.log_text().splitlines() if "leads back to this lulld" in line]

    def ring(self, **keys):
        ports = free_port(), free_port()
        first, second = (self.lull({"default": {"url": f"http://127.0.0.1:{ports[1 - i]}", **keys}}, port=ports[i],
                                   slots=None) for i in (0, 1))
        return first, second

    def mirror(self, **keys):
        port = free_port()
        forwarder = Forwarder(port)
        self.addCleanup(forwarder.close)
        return self.lull({"default": {"url": forwarder.url, **keys}}, port=port, slots=None)

    def test_a_ring_of_two(self):
        first, second = self.ring()
        self.all_are_answered(first, second)
        self.assertGreater(len(self.back(first)) + len(self.back(second)), 0)
        for lull in (first, second):
            self.assertLessEqual(len(self.back(lull)), 1, "said once")
        self.assertIn("down", first.ctl("health").stdout + second.ctl("health").stdout)

    def test_a_forwarded_port(self):
        lull = self.mirror()
        self.all_are_answered(lull)
        self.assertEqual(len(self.back(lull)), 1)
        self.assertIn("upstream default down", lull.ctl("health").stdout)

    def test_where_nothing_is_probed(self):
        lull = self.mirror(dialect="openai", slots=4)
        self.all_are_answered(lull)
        self.assertEqual(len(self.back(lull)), 1)

    def test_a_ring_where_nothing_is_probed(self):
        first, second = self.ring(dialect="openai", slots=4)
        self.all_are_answered(first, second)

    def test_a_body_that_is_not_held(self):
        lull = self.mirror()
        c = self.connect(lull)
        r = c.post("/v1/files", b"x" * 300000)
        self.assertEqual((r.status, r.header("X-Lull-Error")), (508, "upstream_loop"))
        r = self.connect(lull).post(PATH["openai"], chat_body("x" * 2000000))
        self.assertEqual((r.status, r.header("X-Lull-Error")), (508, "upstream_loop"))

    def test_it_works_again_with_the_right_url(self):
        up = self.upstream()
        lull = self.mirror()
        self.assertEqual(self.connect(lull).get("/v1/models").status, 508)
        lull.upstreams = up
        lull.write_config()
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)
        self.assertEqual(self.connect(lull).post(PATH["openai"], body("title", "t"), headers(kind="title")).status, 200)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["state"] == "up")

    def test_the_mark_is_on_what_is_ours_only(self):
        up = self.upstream()
        lull = self.lull(up)
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)
        self.assertEqual(self.connect(lull).post(PATH["openai"], chat_body("hello")).status, 200)
        for record in up.records:
            if record.path in ("/v1/models", PATH["openai"]):
                self.assertNotIn("via", [name.lower() for name, _ in record.headers], "nothing is added")
        more = headers(kind="title") + [("Via", "1.1 lull-0123.0"), ("Via", "1.1 corporate")]
        self.assertEqual(self.connect(lull).post(PATH["openai"], body("title", "t"), more).status, 200)
        via = [value for name, value in up.records[-1].headers if name.lower() == "via"]
        self.assertEqual(via[:2], ["1.1 lull-0123.0", "1.1 corporate"], "another lulld's mark is no mark of ours")
        self.assertRegex(via[2], r"^1\.1 lull-[0-9a-f]{32}\.\d+$")

    def test_what_can_be_seen_is_refused(self):
        for url in ("http://127.0.0.1:11435", "http://localhost:11435/v1", "http://0.0.0.0:11435"):
            for option in ("--check", "--print-config"):
                done = subprocess.run([LULLD, "-c", "/dev/null", "--upstream", url, option], capture_output=True, text=True,
                                      timeout=DEADLINE, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn("lulld listens there itself", done.stderr)
        up = self.upstream()
        lull = self.lull(up)
        lull.upstreams = f"http://localhost:{lull.port}"
        lull.write_config()
        r = lull.reload()
        self.assertEqual(r.status, 409)
        self.assertIn("lulld listens there itself", r.body.decode())
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200, "all as it was")


class NotTried(LullTest):
    def test_health_of_what_was_not_used(self):
        lull = self.lull("http://127.0.0.1:9")
        self.assertEqual(lull.stats()["upstreams"]["default"]["state"], "untried")
        self.assertEqual(lull.control("GET", "/readyz").json["upstreams"], {"default": "untried"})
        done = lull.ctl("health")
        self.assertEqual((done.returncode, "upstream default not tried yet" in done.stdout), (0, True), done.stdout)
        self.assertEqual(self.connect(lull).get("/v1/models").status, 502)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["state"] == "down")
        self.assertEqual(lull.control("GET", "/readyz").json["upstreams"], {"default": "down"})
        self.assertIn("upstream default down", lull.ctl("health").stdout)


if __name__ == "__main__":
    main()

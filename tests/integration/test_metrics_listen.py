#!/usr/bin/env python3
"""metrics_listen: the read-only part of the control socket on TCP: which paths, which methods, for which
Host; and that neither texts, scopes nor ids are on it."""
import json
import unittest

import prompts
from client import Client
from lull import LullTest, free_port

PATHS = ("/", "/stats", "/metrics", "/history", "/flights", "/healthz", "/readyz")
SECRET = "pelican in the pantry"


class MetricsListen(LullTest):
    def open(self, **more):
        self.port = free_port()
        server = f"metrics_listen = 127.0.0.1:{self.port}\n" + more.pop("server", "")
        lull = self.lull(self.upstream(), server=server, **more)
        self.client = Client(("127.0.0.1", self.port))
        self.addCleanup(self.client.close)
        return lull

    def test_what_is_served(self):
        lull = self.open()
        for path in PATHS:
            with self.subTest(path):
                self.assertEqual(self.client.get(path).status, 200)
        for path in ("/entries", "/config", "/explain", "/entries/" + "0" * 32, "/nothing"):
            with self.subTest(path):
                self.assertEqual(self.client.get(path).status, 404)
        for method, path in (("POST", "/stats"), ("POST", "/reload"), ("POST", "/drain"), ("POST", "/purge?all=yes"),
                             ("DELETE", "/flights"), ("POST", "/")):
            with self.subTest(f"{method} {path}"):
                self.assertIn(self.client.request(method, path, body="").status, (404, 405))
        self.assertEqual(json.loads(self.client.get("/stats").body)["pid"], lull.stats()["pid"])

    def test_the_page_allows_itself_only(self):
        self.open()
        page = self.client.get("/")
        policy = page.header("Content-Security-Policy")
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(policy.count("'sha256-"), 2)
        self.assertNotIn(b"http://", page.body.replace(b"http://www.w3.org/2000/svg", b""))
        self.assertNotIn(b"https://", page.body)

    def test_no_text_scope_or_id(self):
        lull = self.open()
        task = self.connect(lull)
        answer = task.post("/v1/chat/completions", prompts.body("title", SECRET),
                           prompts.headers(kind="title", key="sk-planted", user="user-planted", chat="chat-planted"))
        self.assertEqual(answer.status, 200)
        listed = lull.control("GET", "/entries").json["entries"]
        planted = [SECRET, "sk-planted", "user-planted", "chat-planted"]
        planted += [entry[name] for entry in listed for name in ("id", "scope")]
        for path in PATHS:
            body = self.client.get(path).body.decode()
            for text in planted:
                self.assertNotIn(text, body, path)
        self.assertNotIn('"scope"', self.client.get("/flights").body.decode())

    def test_host_of_another_site(self):
        self.open(server="hosts = figures.example")
        for host, status in (("127.0.0.1", 200), ("localhost:1", 200), ("figures.example", 200), ("evil.example", 403)):
            with self.subTest(host):
                self.assertEqual(self.client.request("GET", "/stats", host=host).status, status)

    def test_the_control_socket_serves_the_page_too(self):
        lull = self.open()
        self.assertEqual(lull.control("GET", "/").status, 200)
        history = lull.control("GET", "/history").json
        self.assertEqual(history["minutes"], [])
        self.assertRegex(history["days"][0].pop("day"), r"^\d{4}-\d\d-\d\d$")
        self.assertEqual(history["days"], [{"saved_s": 0, "spent_s": 0, "requests": 0, "without_call": 0}])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""lullctl doctor: mistakes are planted one by one, and each is found, with what to change; a set-up without
one has nothing to change."""
import json
import os
import shutil
import tempfile
import unittest

import prompts
from lull import LullTest, eventually
from upstream import Gate, say


class Doctor(LullTest):
    def findings(self, lull, **more):
        done = lull.ctl("--json", "doctor", **more)
        found = json.loads(done.stdout)["findings"]
        worse = [f for f in found if f["severity"] != "note"]
        self.assertEqual(done.returncode, 1 if worse else 0, found)
        ranks = [("error", "warning", "note").index(f["severity"]) for f in found]
        self.assertEqual(ranks, sorted(ranks), "worst first")
        return found

    def finds(self, lull, text, severity, **more):
        found = [f for f in self.findings(lull, **more) if text in f["text"]]
        self.assertEqual(len(found), 1, self.findings(lull, **more))
        self.assertEqual(found[0]["severity"], severity)
        return found[0]

    def ask(self, lull, which, count, **headers):
        client = self.connect(lull)
        for i in range(count):
            client.post("/v1/chat/completions", prompts.body(which, f"text {i}"), prompts.headers(**headers))

    def test_nothing_to_change(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title", 12, kind="title", user="u")
        self.ask(lull, "tags", 12, kind="tags", user="u")
        self.connect(lull).post("/v1/chat/completions", prompts.chat_body("hi"), prompts.headers(kind="", user="u"))
        self.assertEqual(self.findings(lull), [])
        self.assertEqual(lull.ctl("doctor").stdout, "nothing to change\n")

    def test_a_wrong_port_in_the_connection(self):
        """A note at first, a warning once a minute is over: what is seen is that nothing comes."""
        lull = self.lull(self.upstream())
        found = self.finds(lull, "Nothing has connected to 127.0.0.1", "note")
        self.assertIn("URL of Open WebUI's connection", found["fix"])

    def test_no_daemon(self):
        lull = self.lull(self.upstream())
        done = lull.ctl("doctor", socket_path=os.path.join(lull.folder, "nothing.sock"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("No daemon", done.stdout)
        self.assertIn("Start lulld", done.stdout)

    def test_a_header_that_is_missing(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title", 4)
        found = self.finds(lull, "does not send the task header", "warning")
        self.assertIn("4 tasks were recognised by their text", found["text"])
        self.assertIn("Headers", found["fix"])

    def test_a_header_that_one_of_two_connections_lacks(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title", 6, kind="title", user="u")
        self.ask(lull, "tags", 6)
        self.finds(lull, "Some connections to default do not send the task header", "warning")

    def test_a_data_dir_that_cannot_be_used(self):
        folder = tempfile.mkdtemp(prefix="lull-doctor-")
        self.addCleanup(shutil.rmtree, folder)
        blocked = os.path.join(folder, "file")
        with open(blocked, "w", encoding="ascii"):
            pass
        lull = self.lull(self.upstream())
        lull.stop()
        lull.arguments += ["--data-dir", os.path.join(blocked, "below")]
        lull.start()
        self.finds(lull, "The cache is off", "error")

    def test_a_server_that_is_down(self):
        up = self.upstream()
        lull = self.lull(up)
        up.stop()
        self.ask(lull, "title", 1, kind="title", user="u")
        found = self.finds(lull, "Model server default", "error")
        self.assertIn(f"127.0.0.1:{up.port}", found["text"])

    def test_a_task_model_that_answers_prose(self):
        up = self.upstream()
        up.when("title", say("Certainly! Here is a title."))
        lull = self.lull(up, more="[task title]\nretry_shape = 0\n")
        self.ask(lull, "title", 12, kind="title", user="u")
        found = self.finds(lull, "wrong form", "warning")
        self.assertIn("json_schema", found["fix"])

    def test_people_who_share_a_connection_without_a_user_id(self):
        up, gate = self.upstream(), Gate()
        up.when("chat", say("hi", gate=gate))
        lull = self.lull(up)
        clients = [self.connect(lull) for _ in range(4)]
        for client in clients:
            client.start("POST", "/v1/chat/completions", prompts.headers(kind=""), prompts.chat_body("hi"))
        eventually(lambda: lull.stats()["chat"]["open"] == 4)
        self.finds(lull, "Several people seem to share the connection", "warning")
        gate.open()
        for client in clients:
            client.response()

    def test_lookalikes_and_their_texts(self):
        lull = self.lull(self.upstream())
        secret = "### Task:\nSchreibe einen Titel über den Pelikan. " + "x" * 200
        document = json.dumps({"model": "m", "stream": False, "messages": [{"role": "user", "content": secret}]})
        self.connect(lull).post("/v1/chat/completions", document, prompts.headers())
        if lull.stats()["unrecognised"] == 0:
            self.skipTest("this text does not look like a task")
        found = self.finds(lull, "look like a task", "warning")
        self.assertIn("match", found["fix"])
        text = self.finds(lull, "it begins: ", "note")["text"]
        self.assertIn("Schreibe einen Titel", text)
        self.assertNotIn("xxxxxxxxxxxxxxxxxxxx", text)
        facts = lull.control("GET", "/doctor").json
        self.assertEqual(len(facts["lookalikes"]), 1)
        self.assertLessEqual(len(facts["lookalikes"][0]["text"]), 60)

    def test_what_the_configuration_warns_of(self):
        lull = self.lull(self.upstream())
        lull.stop()
        lull.environment["LULL_PORT_80_TCP_ADDR"] = "10.0.0.1"  # a container platform's
        lull.start()
        self.finds(lull, "LULL_PORT_80_TCP_ADDR", "warning")

    def test_observe(self):
        lull = self.lull(self.upstream(), tasks="mode = observe")
        self.finds(lull, "mode = observe", "note")

    def test_usage(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.ctl("doctor", "x").returncode, 2)


if __name__ == "__main__":
    unittest.main()

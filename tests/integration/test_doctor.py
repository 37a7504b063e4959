#!/usr/bin/env python3
"""lullctl doctor: mistakes are planted one by one, and each is found, with what to change; a set-up without
one has nothing to change."""
import copy
import json
import os
import shutil
import socketserver
import tempfile
import threading
import unittest

import prompts
from lull import LullTest, eventually
from scripted_control import ScriptedControl
from upstream import Gate, say, status


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
        self.assertIn(f"127.0.0.1:{up.port}) cannot be reached: connection refused.", found["text"])

    def test_https_to_a_plain_server(self):
        class Plain(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(4096)
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lull = self.lull({"default": f"https://127.0.0.1:{server.server_address[1]}"})
        self.ask(lull, "title", 1, kind="title", user="u")
        self.assertIn("write http:// in the url", self.finds(lull, "Model server default", "error")["text"])

    def test_one_task_with_a_model_that_is_not_there(self):
        """Until that model answers a task: chats, and tasks with another model, say nothing of it."""
        up = self.upstream()
        up.when("title", status(404, '{"error": {"message": "model not found"}}'), times=2)  # once more without additions
        lull = self.lull(up, more="[task title]\nmodel = qwen3:0.6\n")
        self.ask(lull, "title", 1, kind="title", user="u")
        self.ask(lull, "tags", 1, kind="tags", user="u")
        found = self.finds(lull, "for the model qwen3:0.6 with 404", "warning")
        self.assertIn("Correct model in [tasks] or [task KIND]", found["fix"])
        self.assertIn("does it have the model qwen3:0.6?", lull.log_text())
        self.ask(lull, "title", 1, kind="title", user="another")
        self.assertEqual(self.findings(lull), [])

    def test_a_model_that_is_corrected(self):
        """It is asked for no more, so no answer of it ends the finding."""
        up = self.upstream()
        up.when("title", status(404, '{"error": {"message": "model not found"}}'), times=2)
        lull = self.lull(up, more="[task title]\nmodel = qwen3:0.6\n")
        self.ask(lull, "title", 1, kind="title", user="u")
        self.finds(lull, "for the model qwen3:0.6 with 404", "warning")
        lull.write_config(more="[task title]\nmodel = qwen3:0.6b\n")
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(self.findings(lull), [])

    def test_a_key_that_the_server_does_not_take(self):
        up = self.upstream()
        up.when("chat", status(401, '{"error": {"message": "no"}}'), times=1)
        lull = self.lull(up)
        client = self.connect(lull)
        client.post("/v1/chat/completions", prompts.chat_body("hi"), prompts.headers(kind="", user="u"))
        self.assertIn("api_key", self.finds(lull, "Model server default answered the last chat with 401", "warning")["fix"])
        client.post("/v1/chat/completions", prompts.chat_body("hi"), prompts.headers(kind="", user="u"))
        self.assertEqual(self.findings(lull), [])

    def test_a_client_token_that_the_client_does_not_send(self):
        lull = self.lull(self.upstream(), server="client_token = letmein")
        self.ask(lull, "title", 2, kind="title", user="u")
        found = self.finds(lull, "Refused: 2 requests without the client_token", "warning")
        self.assertIn("key of Open WebUI's connection", found["fix"])

    def test_a_task_of_a_web_page_of_another_host(self):
        lull = self.lull(self.upstream())
        headers = prompts.headers(kind="title", user="u") + [("Origin", "https://elsewhere.example")]
        answer = self.connect(lull).post(prompts.PATH["openai"], prompts.body("title", "hi"), headers)
        self.assertEqual(answer.status, 403)
        found = self.finds(lull, "Refused: 1 requests of a web page of another host", "warning")
        self.assertIn("[server] hosts", found["fix"])

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


GOOD = {
    "/stats": {
        "uptime_s": 900, "mode": "on", "connections": {"accepted": 5, "refused": 0},
        "cache": {"state": "on", "bytes": 50 << 20, "max_bytes": 256 << 20, "inserted": 2000, "evicted": 1000},
        "upstreams": {"chat": {"state": "up", "calls": 100, "failed": 10, "turn_tokens_after_tasks": 6000,
                               "turn_cached_after_tasks": 2700, "turn_tokens_alone": 6000, "turn_cached_alone": 5400}},
        "tasks": {"title": {"requests": 100, "stored": 90, "not_stored": 10, "failed": 10, "wait_s": 3000},
                  "autocomplete": {"requests": 100, "stored": 90, "superseded": 90, "busy": 5, "wait_s": 9000}},
    },
    "/readyz": {"ready": True},
    "/config": {"server.data_dir": {"value": "/srv/lull"}, "upstream.chat.url": {"value": "http://u:pw@h:1/v1"},
                "task.title.max_hold": {"value": "1m"}, "task.autocomplete.max_hold": {"value": "10s"}},
    "/flights": {"left_out": []},
    "/doctor": {"disk_free_bytes": 206 << 20, "time_s": 1800000000, "config_warnings": [], "lookalike_count": 0,
                "upstreams": {"chat": {"tasks_by_header": 100, "tasks_by_text": 25, "unknown_header": 0}},
                "servers": {"chat": {"unreached": "", "chat_refused": 0, "tasks_refused": []}},
                "refused": {"forbidden_host": {"count": 9, "ago_s": 600}, "request_timeout": {"count": 9, "ago_s": 1},
                            "no_such_upstream": {"count": 9, "ago_s": 1}}},  # as after contrib/open-webui/setup
}
# a change of one figure, and what is said then
RULES = [
    ("/readyz ready", False, "warning", "lulld is stopping."),
    ("/doctor disk_free_bytes", (206 << 20) - 1, "warning",
     "The disk of /srv/lull has 206 MB left, and the cache may still grow by 206 MB."),
    ("/stats cache state", "off", "error", "The cache is off. Every task is a call to the model."),
    ("/stats cache evicted", 1001, "note", "The cache removes answers for want of room: 1001 of 2000"),
    ("/stats connections refused", 2, "warning", "lulld stopped accepting connections 2 times"),
    ("/stats connections accepted", 0, "warning", "Nothing has connected to"),
    ("/stats mode", "off", "note", "mode = off: lull forwards every request and only counts."),
    ("/doctor time_s", 1000, "warning", "The clock of this machine is before 2023."),
    ("/doctor config_warnings", ["url: doubtful"], "warning", "url: doubtful"),
    ("/stats upstreams chat state", "down", "error", "Model server chat (h:1/v1) does not answer, or with errors only."),
    ("/stats upstreams chat state", "untried", "note", "Model server chat (h:1/v1) has not been asked"),
    ("/stats upstreams chat failed", 11, "warning", "11 of 100 calls to model server chat failed."),
    ("/stats upstreams chat turn_cached_after_tasks", 2699, "warning",
     "Tasks push the chat out of the prompt cache of chat: 45 % of the prompt is read from it after tasks, 90 %"),
    ("/flights left_out", [{"upstream": "chat", "addition": "think", "model": "m", "since": "noon"}], "note",
     'Model server chat refuses "think" for m; tasks are sent without it (since noon).'),
    ("/doctor upstreams chat unknown_header", 3, "note", "3 requests to chat had a task header of an unknown kind."),
    ("/doctor upstreams chat tasks_by_text", 26, "warning", "Some connections to chat do not send the task header"),
    ("/doctor servers chat chat_refused", 403, "warning", "Model server chat answered the last chat with 403."),
    ("/doctor servers chat tasks_refused", [{"model": "m", "status": 404}], "warning",
     "Model server chat answered the last task for the model m with 404."),
    ("/doctor refused forbidden_host ago_s", 599, "warning", "Refused: 9 requests for a host name that is not allowed"),
    ("/stats tasks title failed", 11, "warning", "11 of 100 title tasks failed."),
    ("/stats tasks title not_stored", 22, "warning", "12 of 112 answers to title tasks have the wrong form."),
    ("/stats tasks title wait_s", 3001, "warning", "A title task waits 30.0 s on average, of at most 60 s."),
    ("/stats tasks autocomplete busy", 6, "warning", "Autocomplete is on, but 96 of 100 requests ended without"),
]


class Rules(unittest.TestCase):
    """What a real daemon shows only after days: each rule speaks from its threshold on, and not below."""

    def findings(self, answers):
        control = ScriptedControl(answers)
        try:
            done = control.ctl("--json", "doctor")
            return json.loads(done.stdout)["findings"], done
        finally:
            control.close()

    def test_at_the_thresholds_nothing_is_said(self):
        found, done = self.findings(copy.deepcopy(GOOD))
        self.assertEqual(found, [])
        self.assertEqual(done.returncode, 0)

    def test_beyond_each_threshold_one_thing_is_said(self):
        for path, value, severity, text in RULES:
            with self.subTest(path):
                answers = copy.deepcopy(GOOD)
                target, *names, last = path.split()
                place = answers[target]
                for name in names:
                    place = place[name]
                place[last] = value
                found, done = self.findings(answers)
                self.assertEqual([f["severity"] for f in found], [severity], found)
                self.assertTrue(found[0]["text"].startswith(text), found)
                self.assertNotIn("pw", done.stdout)
                self.assertEqual(done.returncode, 0 if severity == "note" else 1)

    def test_few_requests_are_no_evidence(self):
        answers = copy.deepcopy(GOOD)
        answers["/stats"]["tasks"] = {"title": {"requests": 9, "failed": 9, "stored": 0, "not_stored": 9, "wait_s": 900},
                                      "autocomplete": {"requests": 19, "superseded": 19}}
        answers["/stats"]["upstreams"]["chat"].update(calls=19, failed=19, turn_tokens_alone=5000)
        answers["/stats"]["upstreams"]["chat"]["turn_cached_after_tasks"] = 0
        answers["/stats"]["cache"].update(inserted=1000, evicted=1000)
        self.assertEqual(self.findings(answers)[0], [])

    def test_worst_first_and_at_most_64(self):
        answers = copy.deepcopy(GOOD)
        answers["/stats"]["mode"] = "observe"
        answers["/doctor"]["config_warnings"] = [f"warning {i}" for i in range(70)]
        answers["/stats"]["upstreams"]["chat"]["state"] = "down"
        found, _ = self.findings(answers)
        self.assertEqual([f["severity"] for f in found], ["error"] + ["warning"] * 63)
        answers["/doctor"]["config_warnings"] = []
        self.assertEqual([f["severity"] for f in self.findings(answers)[0]], ["error", "note"])

    def test_answers_of_another_program(self):
        answers = {path: {name: [1] for name in ("tasks", "upstreams", "cache", "lookalikes", "left_out")} for path in GOOD}
        self.assertIn("error", [f["severity"] for f in self.findings(answers)[0]])

    def test_a_daemon_of_another_version(self):
        """What it does not say is not judged."""
        answers = copy.deepcopy(GOOD)
        del answers["/doctor"], answers["/stats"]["connections"]
        self.assertEqual(self.findings(answers)[0], [])

    def test_a_socket_of_another_program(self):
        control = ScriptedControl({"/stats": [b"SSH-2.0-OpenSSH_9.2\n"]})
        self.addCleanup(control.close)
        control.server.ended.set()  # the stream ends
        done = control.ctl("doctor")
        self.assertIn("does not answer as lulld does", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_a_path_that_is_no_socket(self):
        control = ScriptedControl({})
        control.close()
        folder = tempfile.mkdtemp(prefix="lull-doctor-")
        self.addCleanup(shutil.rmtree, folder)
        control.control_path = os.path.join(folder, "file")
        with open(control.control_path, "w", encoding="ascii"):
            pass
        self.assertIn("is no socket", control.ctl("doctor").stdout)
        os.unlink(control.control_path)
        socketserver.UnixStreamServer(control.control_path, None).server_close()
        self.assertIn("the socket is left over from one that has ended", control.ctl("doctor").stdout)


if __name__ == "__main__":
    unittest.main()

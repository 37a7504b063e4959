#!/usr/bin/env python3
"""What changes the running daemon: lullctl set, config --changed, pause, resume; and what a reload makes of
values that were set."""
import json
import os
import shutil
import tempfile
import unittest

import prompts
from lull import LullTest


class Set(LullTest):
    def value(self, lull, name):
        return lull.control("GET", "/config").json[name]

    def test_at_once_and_all_or_nothing(self):
        lull = self.lull(self.upstream())
        done = lull.ctl("set", "task.title.ttl=2d", "tasks.settle=3s")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith(
            "task.title.ttl: 7d -> 2d\ntasks.settle: set for every kind that has no value of its own\n"
            "  task.title.settle: 1s -> 3s\n"), done.stdout)
        again = lull.ctl("set", "tasks.settle=3s", "task.tags.max_hold=1s").stdout
        self.assertIn("tasks.settle: set for every kind that has no value of its own; none changes\ntask.tags.", again)
        kinds = lull.ctl("set", "tasks.max_hold=2s").stdout
        self.assertIn("\n  task.title.max_hold: 1m -> 2s\n", kinds)
        self.assertNotIn("task.tags", kinds, "it has a value of its own")
        self.assertEqual(self.value(lull, "task.title.ttl"), {"value": "2d", "origin": "control socket"})
        self.assertEqual(self.value(lull, "task.tags.settle")["value"], "3s")
        for lines, why in ((["task.title.ttl=1d", "task.tags.ttl=soon"], "task.tags.ttl"),
                           (["task.title.ttl=1d", "task.title.colour=red"], "colour"),
                           (["task.title.ttl=1d", "server.data_dir=/elsewhere"], "restart"),
                           (["task.title.ttl=1d", "nonsense.key=1"], "write SECTION.KEY=VALUE")):
            with self.subTest(lines):
                done = lull.ctl("set", *lines)
                self.assertEqual(done.returncode, 1)
                self.assertIn(why, done.stderr)
                self.assertEqual(self.value(lull, "task.title.ttl")["value"], "2d")
        self.assertIn("app: set; changed: ", lull.log_text())

    def test_a_value_has_no_control_character(self):
        """Else it would end before a NUL byte, and could not be pasted into the file."""
        lull = self.lull(self.upstream())
        for value, status in (b"a\0b", 400), (b"a\x1b[31m", 409), (b"a\x7f", 409), (b"a\rb", 409), (b"a\tb", 200):
            self.assertEqual(lull.control("POST", "/config", b"task.title.model=" + value).status, status, value)
        self.assertEqual(self.value(lull, "task.title.model")["value"], "a\tb")

    def test_an_edited_file_waits_for_a_reload(self):
        """A set neither applies what was written into it meanwhile, nor fails where that is wrong."""
        lull = self.lull(self.upstream())
        with open(lull.config_path, encoding="utf-8") as f:
            before = f.read()
        for edit in ("[task emoji]\nttl = 5d\n", "[task emoji]\nttl = soon\n"):
            with open(lull.config_path, "w", encoding="utf-8") as f:
                f.write(before + edit)
            for value in ("1d", "2d"):
                self.assertEqual(lull.ctl("set", f"task.title.ttl={value}").returncode, 0)
                self.assertEqual(self.value(lull, "task.title.ttl")["value"], value)
            self.assertEqual(self.value(lull, "task.emoji.ttl")["value"], "7d")
        os.remove(lull.config_path)
        self.assertEqual(lull.ctl("set", "task.title.ttl=3d").returncode, 0)
        self.assertTrue(self.value(lull, "upstream.default.url")["origin"].startswith(lull.config_path + ":"))
        with open(lull.config_path, "w", encoding="utf-8") as f:
            f.write(before + "[task emoji]\nttl = 5d\n")
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual((self.value(lull, "task.emoji.ttl")["value"], self.value(lull, "task.title.ttl")["value"]), ("5d", "7d"))

    def test_files_that_the_file_names_wait_for_a_reload(self):
        """Keys, and values that the environment has in files: a set neither takes a new one, nor fails where
        one is gone. A file that a set names is read."""
        up = self.upstream()
        folder = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, folder, True)
        paths = {name: os.path.join(folder, name) for name in ("key", "model", "other", "ca")}

        def write(key, model):
            for name, text in ("key", key), ("model", model), ("other", "key-other"), ("ca", "-----BEGIN CERTIFICATE-----"):
                with open(paths[name], "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                    f.write(text)
        write("key-one", "model-one")
        lull = self.lull({"default": {"url": up, "api_key_file": paths["key"]},
                          "tls": {"url": "https://127.0.0.1:1", "ca_file": paths["ca"]}},
                         environment={"LULL_TASKS_MODEL_FILE": paths["model"]})
        client = self.connect(lull)

        def asked(text):
            client.post("/v1/chat/completions", prompts.body("title", text), prompts.headers(kind="title"))
            return up.records[-1].header("Authorization"), up.records[-1].json["model"]
        write("key-two", "model-two")
        self.assertEqual(lull.ctl("set", "task.title.ttl=1d").returncode, 0)
        self.assertEqual(asked("a"), ("Bearer key-one", "model-one"))
        for name in "ca", "key", "model":
            os.remove(paths[name])
            done = lull.ctl("set", "task.title.ttl=2d")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(asked("b"), ("Bearer key-one", "model-one"))
        self.assertEqual(lull.ctl("set", "upstream.default.api_key_file=" + paths["other"]).returncode, 0)
        self.assertEqual(asked("c"), ("Bearer key-other", "model-one"))
        self.assertEqual(lull.reload().status, 409)
        write("key-two", "model-two")
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(asked("d"), ("Bearer key-two", "model-two"))

    def test_what_was_set_as_json(self):
        lull = self.lull(self.upstream())
        lull.ctl("set", "task.title.ttl=2d", "upstream.default.api_key=sk-planted")
        changed = json.loads(lull.ctl("--json", "config", "--changed").stdout)
        self.assertEqual(changed, {"task.title.ttl": {"value": "2d", "origin": "control socket"},
                                   "upstream.default.api_key": {"value": "***", "origin": "control socket"}})

    def test_a_duration_out_of_range_is_named(self):
        lull = self.lull(self.upstream())
        for duration in "0", "2d":
            done = lull.ctl("pause", duration)
            self.assertEqual((done.returncode, done.stderr), (1, "lullctl: pause: out of range: duration from 1ms to 1d\n"))

    def test_a_set_has_at_most_1000_lines(self):
        lull = self.lull(self.upstream())
        for count, status in ((1, 200), (1000, 200), (1001, 400), (0, 400)):
            with self.subTest(count):
                line = f"server.max_connections={2000 + count}\n"
                self.assertEqual(lull.control("POST", "/config", line * count).status, status)
                self.assertEqual(self.value(lull, "server.max_connections")["value"],
                                 str(2000 + min(count or 1000, 1000)))

    def test_a_name_may_be_of_any_length(self):
        """It is not known yet when the values before it are looked up, of each kind for [tasks]."""
        lull = self.lull(self.upstream())
        for section in "tasks.", "task.title.", "server.", "upstream.default.", "":
            for value in "=1", "":
                reply = lull.control("POST", "/config", section + 5000 * "k" + value)
                self.assertEqual(reply.status, 409, section)
        self.assertEqual(lull.control("GET", "/stats").status, 200)

    def test_a_set_that_is_refused_has_one_line_in_the_log(self):
        lull = self.lull(self.upstream())
        reply = lull.control("POST", "/config", "nonsense.key=1\n" * 1000)
        self.assertEqual((reply.status, reply.json["error"].count("nonsense.key")), (409, 1000))
        lines = [line for line in lull.log_text().splitlines() if "not set, the old configuration stays" in line]
        self.assertEqual(len(lines), 1)
        self.assertLess(len(lines[0]), 8000)

    def test_it_takes_effect_on_the_next_request(self):
        lull = self.lull(self.upstream())
        client = self.connect(lull)

        def ask():
            return client.post("/v1/chat/completions", prompts.body("title", "x"), prompts.headers(kind="title"))
        self.assertEqual(ask().cache_status, "lull; fwd=miss; stored")
        lull.ctl("set", "task.title.enabled=no")
        self.assertEqual(ask().cache_status, "lull; detail=switched-off")
        lull.ctl("set", "task.title.enabled=yes")
        self.assertIn("hit", ask().cache_status)

    def test_changed_can_be_pasted_and_a_reload_drops_it(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.ctl("config", "--changed").stdout, "")
        lull.ctl("set", "task.title.match=### Tarea: título\n".rstrip(), "server.log_level=debug")
        text = lull.ctl("config", "--changed").stdout
        self.assertEqual(text, '[server]\nlog_level = debug\n\n[task title]\nmatch = "### Tarea: título"\n')
        path = os.path.join(lull.folder, "pasted.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n[upstream default]\nurl = http://127.0.0.1:9\n")
        self.assertEqual(lull.ctl("set", "task.title.match=").returncode, 0)
        with open(lull.config_path, encoding="utf-8") as f:
            before = f.read()
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(lull.ctl("config", "--changed").stdout, "")
        self.assertIn("the reload dropped what was set live: server.log_level, task.title.match", lull.log_text())
        with open(lull.config_path, encoding="utf-8") as f:
            self.assertEqual(f.read(), before, "set writes nothing into the file")

    def test_secrets_are_masked(self):
        lull = self.lull(self.upstream())
        done = lull.ctl("set", "upstream.default.api_key=sk-planted")
        self.assertEqual(done.returncode, 0)
        text = done.stdout + lull.ctl("config", "--changed").stdout + lull.ctl("config").stdout + lull.log_text()
        self.assertNotIn("sk-planted", text)

    def test_other_users_may_not_set(self):
        """A member of the socket's group could else send the requests of all to a server of its own."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to be another user")
        lull = self.lull(self.upstream(), server="control_mode = 0666")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.chdir(lull.folder)  # the folders above it may be private
            lull.control_path = "c.sock"
            os.chmod(".", 0o755)
            os.setuid(65534)
            seen = [lull.control("POST", "/config", "task.title.ttl=1d").status, lull.control("GET", "/stats").status]
            os.write(write, repr(seen).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as f:
            self.assertEqual(f.read(), b"[403, 200]")
        os.waitpid(child, 0)
        self.assertEqual(self.value(lull, "task.title.ttl")["value"], "7d")

    def test_usage(self):
        lull = self.lull(self.upstream())
        for arguments in (("set",), ("set", "ttl"), ("set", "ttl=2d"), ("stats", "--changed"), ("pause", "soon"),
                          ("pause", "1s", "2s"), ("resume", "x")):
            with self.subTest(arguments):
                self.assertEqual(lull.ctl(*arguments).returncode, 2)
        for path, body in (("/config", ""), ("/pause?for=soon", ""), ("/pause?for=2d", ""), ("/pause?x=1", "")):
            with self.subTest(path):
                self.assertEqual(lull.control("POST", path, body).status, 400)


class Pause(LullTest):
    def test_background_tasks_are_answered_empty_and_all_else_goes_on(self):
        up = self.upstream()
        lull = self.lull(up)
        client = self.connect(lull)

        def ask(kind, text="x"):
            return client.post("/v1/chat/completions", prompts.body(kind, text), prompts.headers(kind=kind))
        self.assertEqual(ask("title", "known").status, 200)
        self.assertEqual(lull.ctl("pause", "60s").returncode, 0)
        for kind in ("title", "tags", "follow_up"):
            with self.subTest(kind):
                self.assertEqual(ask(kind).cache_status, "lull; detail=paused")
        self.assertIn("hit", ask("title", "known").cache_status)
        self.assertIn("fwd=miss", ask("query").cache_status)
        self.assertEqual(client.post("/v1/chat/completions", prompts.chat_body("hi"), prompts.headers()).status, 200)
        self.assertEqual(lull.task("tags")["switched_off"], 1)
        self.assertEqual(lull.ctl("resume").returncode, 0)
        self.assertIn("fwd=miss", ask("tags").cache_status)

    def test_it_ends_by_itself(self):
        lull = self.lull(self.upstream())
        client = self.connect(lull)
        self.assertEqual(lull.control("POST", "/pause?for=1ms").status, 200)
        answers = []
        while not answers or "paused" in answers[-1]:
            answers.append(client.post("/v1/chat/completions", prompts.body("tags", str(len(answers))),
                                       prompts.headers(kind="tags")).cache_status)
            self.assertLess(len(answers), 1000)


if __name__ == "__main__":
    unittest.main()

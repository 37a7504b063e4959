#!/usr/bin/env python3
"""--check, reloads, the log, and the exit statuses of lullctl."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile

from lull import DEADLINE, LULLCTL, LULLD, LullTest, clean_environment, eventually, free_port, main
from prompts import PATH, body, chat_body, headers
from upstream import Gate, good, status

LINE = re.compile(r"^\S+Z (error|warn|info|debug) +(\w+): (.*)$")


def lulld(*arguments, env=None, **more):
    return subprocess.run([LULLD, *arguments], capture_output=True, text=True, timeout=DEADLINE,
                          env=clean_environment(**(env or {})), check=False, **more)


class Folder(LullTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def write(self, text, name="lull.conf"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def tree(self):
        return sorted(os.path.join(where, name) for where, folders, files in os.walk(self.folder)
                      for name in folders + files)


class Check(Folder):
    def test_all_is_well(self):
        path = self.write(f"[server]\ndata_dir = {self.folder}/data\ndefault_upstream = one\n"
                          "[upstream one]\nurl = http://127.0.0.1:1/v1\napi_key = sk-hidden\n"
                          "[upstream two]\nurl = unix:/tmp/model.sock\n")
        p = lulld("--check", "-c", path)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertEqual(p.stdout, f"{path}: ok, upstream one http://127.0.0.1:1/v1, "
                                   "upstream two unix:/tmp/model.sock\n")
        p = lulld("-t", "--upstream", "http://127.0.0.1:1", "--data-dir", self.folder)
        self.assertEqual((p.returncode, p.stdout), (0, "lulld: ok, upstream default http://127.0.0.1:1\n"))

    def test_it_makes_nothing(self):
        path = self.write(f"[server]\ndata_dir = {self.folder}/a/b/data\ncontrol = {self.folder}/run/c.sock\n"
                          f"listen = unix:{self.folder}/l.sock\n[upstream default]\nurl = http://127.0.0.1:1\n")
        before = self.tree()
        self.assertEqual(lulld("--check", "-c", path, cwd=self.folder).returncode, 0)
        p = lulld("--check", "--upstream", "http://127.0.0.1:1", "--data-dir", "~/lull", cwd=self.folder)
        self.assertEqual(p.returncode, 2)
        self.assertEqual(lulld("--print-config", "-c", path, cwd=self.folder).returncode, 0)
        self.assertEqual(self.tree(), before)

    def test_while_it_runs_and_then_reload(self):
        lull = self.lull(self.upstream())
        self.connect(lull).post(PATH["openai"], body("title", "kept"), headers())
        lull.committed()
        lull.write_config(more="[task tags]\nenabled = no\n")
        command = f'"{LULLD}" --check -c "{lull.config_path}" && "{LULLCTL}" --socket "{lull.control_path}" reload'
        p = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=DEADLINE,
                           env=clean_environment(), check=False)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("changed: task.tags.enabled\n", p.stdout)
        self.assertTrue(lull.stats()["cache"]["state"] == "on")

    def test_a_data_dir_that_cannot_be_used_is_named_with_its_line(self):
        a_file = self.write("x", "file")
        for value, word in ((a_file, "is not a directory"), (a_file + "/below", "Not a directory"),
                            ("/proc/self/nothing", "cannot be made")):
            path = self.write(f"[server]\n# a comment\ndata_dir = {value}\n"
                              "[upstream default]\nurl = http://127.0.0.1:1\n")
            p = lulld("--check", "-c", path)
            self.assertEqual((p.returncode, p.stdout), (2, ""), value)
            self.assertRegex(p.stderr, rf"^{re.escape(path)}:3: data_dir: {re.escape(value)} .*{word}")
        p = lulld("--check", "--upstream", "http://127.0.0.1:1", "--data-dir", a_file)
        self.assertIn("argument --data-dir: data_dir: ", p.stderr)
        p = lulld("--check", "--upstream", "http://127.0.0.1:1", env={"LULL_SERVER_DATA_DIR": a_file})
        self.assertIn("environment LULL_SERVER_DATA_DIR: data_dir: ", p.stderr)

    def test_a_socket_that_cannot_be_made_is_named_with_its_line(self):
        a_file = self.write("x", "file")
        for line, more, word in (
                (f"control = {a_file}", "", "no socket"), (f"control = {a_file}/c.sock", "", "cannot be made"),
                ("control = /proc/self/nothing/c.sock", "", "cannot be made"),
                (f"control = {self.folder}/made/", "", "is a folder"),
                (f"listen = unix:{self.folder}/run/l.sock", f"control = {self.folder}/c.sock", "does not exist"),
                (f"metrics_listen = unix:{self.folder}/run/m.sock", f"control = {self.folder}/c.sock\nlisten = 127.0.0.1:0",
                 "does not exist"),
                (f"listen = 127.0.0.1:0 unix:{a_file}", f"control = {self.folder}/c.sock", "no socket")):
            path = self.write(f"[server]\n{line}\n{more}\ndata_dir = {self.folder}/data\n"
                              "[upstream default]\nurl = http://127.0.0.1:1\n")
            p = lulld("--check", "-c", path)
            self.assertEqual((p.returncode, p.stdout), (2, ""), line)
            self.assertRegex(p.stderr, rf"^{re.escape(path)}:2: {line.split()[0]}: .*{word}[^\n]*\n$")
            self.assertEqual(lulld("-c", path).returncode, 1, line)  # so a start fails

    def test_a_key_that_only_root_can_read(self):
        if os.geteuid() != 0:
            self.skipTest("only root sees this")
        self.folder = tempfile.mkdtemp(prefix="lull-", dir="/tmp")  # a folder above it may be closed elsewhere
        self.addCleanup(shutil.rmtree, self.folder, True)
        os.chmod(self.folder, 0o755)
        data = os.path.join(self.folder, "data")
        os.mkdir(data)
        key = self.write("sk-hidden", "key")
        path = self.write(f"[server]\ndata_dir = {data}\n[upstream default]\nurl = http://127.0.0.1:1\n"
                          f"api_key_file = {key}\n")
        for owner, mode, wanted in ((65534, 0o600, True), (65534, 0o644, False), (0, 0o600, False)):
            os.chown(data, owner, -1)
            os.chmod(key, mode)
            p = lulld("--check", "-c", path)
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(f"{path}:5: api_key_file: " in p.stderr, wanted, (owner, oct(mode), p.stderr))
            self.assertEqual(f"chown 65534 {key}" in p.stderr, wanted)
            self.assertNotIn("sk-hidden", p.stderr + p.stdout)
        os.chown(data, 65534, -1)
        os.chmod(key, 0o644)
        os.chmod(self.folder, stat.S_IRWXU)  # the folder above it
        self.assertIn("api_key_file", lulld("--check", "-c", path).stderr)

    def test_a_pipe_is_no_configuration(self):
        """Its text is there once, and perhaps late: without a writer it would be an empty file."""
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        upstream = ("--upstream", "http://127.0.0.1:1", "--data-dir", self.folder)
        p = lulld("--check", "-c", fifo, *upstream)
        self.assertEqual((p.returncode, p.stderr), (2, f"{fifo}: cannot be read: a pipe, which a reload could not read again\n"))
        p = lulld("--check", *upstream, env={"LULL_TASKS_MODEL_FILE": fifo})
        self.assertEqual(p.returncode, 2)
        self.assertIn("a pipe", p.stderr)
        self.assertEqual(lulld("--check", "-c", "/dev/null", *upstream).returncode, 0)

    def test_platform_variables_are_one_line_of_the_log(self):
        lull = self.lull(self.upstream(), environment={
            "LULL_PROXY_PORT": "tcp://10.0.0.1:1", "LULL_PROXY_SERVICE_HOST": "10.0.0.1", "LULL_TASKS_MODEL": ""})
        lull.reload()
        lines = [line for line in lull.log_text().splitlines() if "platform" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(LINE.match(lines[0]).group(1), "warn")


class ReloadLog(LullTest):
    def reloads(self, lull):
        return [line for line in lull.log_text().splitlines() if "reloaded" in line]

    def test_one_line_for_each_reload(self):
        lull = self.lull(self.upstream(), more="[upstream other]\nurl = http://127.0.0.1:1\n")
        self.assertEqual(lull.reload().json, {"changed": [], "restart": []})
        self.assertRegex(self.reloads(lull)[0], r" info  app: reloaded; nothing changed$")
        lull.write_config(tasks="ttl = 3h")
        p = lull.ctl("reload")
        self.assertEqual(p.stdout, "changed: tasks.ttl\n")
        self.assertRegex(self.reloads(lull)[1], r" info  app: reloaded; changed: tasks\.ttl = 3h$")
        lull.write_config(more="[upstream other]\nurl = http://127.0.0.1:1\napi_key = sk-planted\n"
                               "[task tags]\nmodel = small\n")
        lull.signal(signal.SIGHUP)
        eventually(lambda: len(self.reloads(lull)) == 3)
        self.assertRegex(self.reloads(lull)[2], r"reloaded; changed: upstream\.other\.api_key = \*\*\*, "
                                                r"task\.tags\.model = small$")
        lull.data_dir += "2"
        lull.write_config()
        self.assertEqual(lull.reload().json, {"changed": [], "restart": ["server.data_dir"]})
        self.assertRegex(self.reloads(lull)[3], r" warn  app: reloaded; after a restart: server\.data_dir = /")
        # until then the old value is in force, is shown so, and each reload says so
        self.assertEqual(lull.reload().json, {"changed": [], "restart": ["server.data_dir"]})
        self.assertRegex(self.reloads(lull)[4], r" warn  app: reloaded; after a restart: server\.data_dir = /")
        self.assertEqual(lull.control("GET", "/config").json["server.data_dir"]["value"], lull.data_dir[:-1])
        self.assertEqual(lull.control("POST", "/config", b"tasks.ttl=4h").status, 200)
        refused = lull.control("POST", "/config", f"server.data_dir={lull.data_dir}3".encode())
        self.assertEqual(refused.status, 409)
        self.assertIn("only a restart changes this", refused.json["error"])
        lull.data_dir = lull.data_dir[:-1]
        lull.write_config()
        self.assertEqual(lull.reload().json["restart"], [])
        lull.write_config(tasks="ttl = soon\nscope = all")
        for way in (lull.reload, lambda: lull.signal(signal.SIGHUP)):
            n = len(self.reloads(lull))
            way()
            eventually(lambda n=n: len(self.reloads(lull)) == n + 1)
            line = self.reloads(lull)[-1]
            self.assertRegex(line, r" error app: not reloaded, the old configuration stays: ")
            self.assertEqual(line.count("ttl: a duration"), 1, line)
            self.assertNotIn("\\n", line)


    def test_a_long_list_is_whole(self):
        lull = self.lull(self.upstream())
        names = [f"kind_{i:03}_{'x' * 55}" for i in range(64)]
        kinds = "".join(f'[task {name}]\nmatch = "{name}"\n' for name in names)
        lull.write_config(more=kinds)
        lull.signal(signal.SIGHUP)
        eventually(lambda: self.reloads(lull))
        self.assertEqual(self.reloads(lull)[0].partition("changed: ")[2].split(", "),
                         [f"task.{name} added" for name in names])
        text = "".join(f"task.{name}.priority=2\n" for name in names).encode()
        self.assertEqual(lull.control("POST", "/config", text).status, 200)
        lull.reload()
        line = next(line for line in lull.log_text().splitlines() if "dropped what was set live: " in line)
        self.assertEqual(line.partition("set live: ")[2].split(", "), [f"task.{name}.priority" for name in names])


class DebugLog(LullTest):
    LINE = re.compile(r" debug request: (\S+) (\S+) kind=(\S+) outcome=(\S+) status=(\d+) ms=(\d+\.\d)$")

    def lines(self, lull):
        return [m.groups() for m in map(self.LINE.search, lull.log_text().splitlines()) if m]

    def test_one_line_for_each_exchange(self):
        up = self.upstream()
        lull = self.lull(up, server="log_level = debug", more="[task tags]\nenabled = no\n")
        c = self.connect(lull)
        c.post(PATH["openai"], body("title", "logged"), headers())
        lull.committed()
        c.post(PATH["openai"] + "?key=planted", body("title", "logged"), headers())
        c.post(PATH["openai"], body("tags", "logged"), headers())
        c.post(PATH["openai"], chat_body("logged"), headers())
        c.request("GET", "/v1/models?key=planted", headers(), None)
        c.request("GET", "/@nowhere/v1/models", headers(), None)
        eventually(lambda: len(self.lines(lull)) >= 6)
        lines = self.lines(lull)
        self.assertEqual([line[:5] for line in lines], [
            ("POST", PATH["openai"], "title", "misses", "200"), ("POST", PATH["openai"], "title", "misses", "200"),
            ("POST", PATH["openai"], "tags", "switched_off", "200"), ("POST", PATH["openai"], "chat", "passed", "200"),
            ("GET", "/v1/models", "other", "passed", "200"),
            ("GET", "/@nowhere/v1/models", "other", "rejected", "404")])
        c.post(PATH["openai"], body("title", "logged"), headers())
        eventually(lambda: len(self.lines(lull)) == 7)
        self.assertEqual(self.lines(lull)[6][:5], ("POST", PATH["openai"], "title", "hits", "200"))
        self.assertNotIn("planted", lull.log_text())
        bad = self.connect(lull)
        bad.send(b"GET /a b c HTTP/1.1\r\n\r\n")
        self.assertEqual(bad.response().status, 400)
        eventually(lambda: "outcome=rejected status=400 error=bad_request" in lull.log_text())

    def test_a_client_that_leaves(self):
        up = self.upstream()
        gate = Gate()
        up.when("title", good(gate))
        up.when("chat", good(gate, hold_at=1))
        lull = self.lull(up, server="log_level = debug")
        for text, name in ((body("title", "left"), "title"), (chat_body("left"), "chat")):
            n = len(self.lines(lull))
            c = self.connect(lull)
            c.start("POST", PATH["openai"], headers(), text.encode())
            up.wait_for(1, name)
            c.close()
            eventually(lambda n=n: len(self.lines(lull)) == n + 1)
            self.assertEqual(self.lines(lull)[-1][2:4], (name, "abandoned"))
        gate.open()

    def test_no_lines_otherwise(self):
        lull = self.lull(self.upstream())
        self.connect(lull).post(PATH["openai"], body("title", "quiet"), headers())
        lull.stop()
        self.assertNotIn("request:", lull.log_text())


class UpstreamLog(LullTest):
    def upstream_lines(self, lull):
        return [line.partition(" upstream: ")[2] for line in lull.log_text().splitlines() if " upstream: " in line]

    def test_each_change_once(self):
        up = self.upstream()
        port = up.port
        lull = self.lull({"default": {"url": f"http://127.0.0.1:{port}", "breaker_failures": 2, "breaker_open": "1ms",
                                      "slots": 0}})
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 200)
        self.assertEqual(self.upstream_lines(lull), [])
        up.stop()
        for i in range(5):
            c.post(PATH["openai"], body("title", f"down {i}"), headers())
        for _ in range(3):
            c.post(PATH["openai"], chat_body("down"), headers())
        lines = self.upstream_lines(lull)
        self.assertEqual(len(lines), 2, lines)
        self.assertRegex(lines[0], r"^default is down: .*refused")
        self.assertRegex(lines[1], r"^default failed 2 times in a row: the breaker opens")
        back = self.upstream(port=port)
        self.assertEqual(c.post(PATH["openai"], chat_body("up"), headers()).status, 200)
        self.assertEqual(c.post(PATH["openai"], chat_body("up"), headers()).status, 200)
        self.assertEqual(len(back.matching("chat")), 2)
        eventually(lambda: len(self.upstream_lines(lull)) == 4)
        self.assertEqual(sorted(self.upstream_lines(lull)[2:]), [
            "default answers again: the breaker closes, tasks are sent there", "default is up again"])


    def test_why_tasks_and_chats_fail(self):
        """Once a minute, whatever the answer, while it is no change of the server's state."""
        page = (lambda e: e.full(200, "text/html", "<html>"), "default failed a task: a page, or no answer of its API")
        for answer, line in ((status(401), "default answered a task with status 401: does it take this key?"),
                             (status(404),
                              "default answered a task with status 404: does it have the model qwen3-8b?"),
                             (status(500), "default answered a task with status 500"), page):
            with self.subTest(line):
                up = self.upstream()
                up.when("title", answer)
                lull = self.lull({"default": {"url": up, "breaker_failures": 1000}})
                for i in range(3):
                    self.connect(lull).post(PATH["openai"], body("title", f"fails {i}"), headers())
                self.assertEqual(self.upstream_lines(lull), [line])
        up = self.upstream()
        up.when("chat", status(404))
        lull = self.lull(up)
        for _ in range(2):
            self.assertEqual(self.connect(lull).post(PATH["openai"], chat_body("Hi"), headers()).status, 404)
        eventually(lambda: self.upstream_lines(lull))
        self.assertEqual(self.upstream_lines(lull), ["default answered a chat with status 404: does it have this model?"])


class Signal(LullTest):
    def test_figures_are_whole(self):
        ups = {f"u{i}": "http://127.0.0.1:1" for i in range(60)}
        lull = self.lull(ups, server="default_upstream = u0")
        eventually(lambda: lull.stats()["uptime_s"] > 0)
        before = lull.stats()["uptime_s"]
        lull.signal(signal.SIGUSR1)
        eventually(lambda: any(" stats: {" in line and line.endswith("}") for line in lull.log_text().splitlines()))
        line = [line for line in lull.log_text().splitlines() if " stats: {" in line][0]
        figures = json.loads(line.partition(" stats: ")[2])
        self.assertGreater(len(line), 8192)
        self.assertGreaterEqual(figures["uptime_s"], before)
        self.assertEqual(len(figures["upstreams"]), 60)


class Ctl(LullTest):
    def test_exit_statuses(self):
        lull = self.lull(self.upstream())
        for socket_path in (None, "/nonexistent/c.sock"):
            for wrong in (["ls", "kind=title", "y"], ["ls", "colour=red"], ["ls", "limit=x"], ["ls", "kind="],
                          ["ls", "older=7"], ["ls", "all=yes"], ["purge"], ["purge", "limit=4"], ["purge", "all=no"],
                          ["purge", "title"], ["get"], ["get", "a", "b"], ["rm"], ["stats", "x"], ["explain"],
                          ["explain", "/nonexistent"], ["nonsense"], [], ["reload", "now"], ["--wrong"],
                          ["compare", "--kind", "title", "--model", "m", "--last", "x"], ["ls", "--kind", "title"]):
                p = lull.ctl(*wrong, socket_path=socket_path)
                self.assertEqual(p.returncode, 2, (wrong, p.stderr))
                self.assertNotEqual(p.stderr, "", wrong)
        for refused in (["get", "0" * 32], ["rm", "nonsense"], ["ls", "kind=titel"], ["purge", "kind=titel"]):
            p = lull.ctl(*refused)
            self.assertEqual(p.returncode, 1, (refused, p.stderr))
        for verb in (["ls"], ["stats"], ["purge", "all=yes"], ["reload"]):
            self.assertEqual(lull.ctl(*verb, socket_path="/nonexistent/c.sock").returncode, 3, verb)

    def test_an_unknown_kind_is_no_empty_answer(self):
        lull = self.lull(self.upstream(), more="[task recipe]\nmatch = Write a recipe\n")
        for method, target in (("GET", "/entries?kind={}"), ("POST", "/purge?kind={}"),
                               ("POST", "/compare?kind={}")):
            for kind, word in (("titel", "did you mean 'title'?"), ("follow-up", "did you mean 'follow_up'?"),
                               ("recipes", "did you mean 'recipe'?"), ("zebra", "there are title, tags,")):
                r = lull.control(method, target.format(kind), body=b"m\n" if "compare" in target else None)
                self.assertEqual(r.status, 400, (target, kind, r))
                self.assertIn(word, r.json["error"])
        self.assertEqual(lull.control("GET", "/entries?kind=recipe").status, 200)
        self.assertEqual(lull.control("POST", "/purge?kind=title&limit=3").status, 400)
        self.assertEqual(lull.control("GET", "/entries?all=yes").status, 400)

    def test_explain_says_where_the_json_breaks(self):
        lull = self.lull(self.upstream())
        for text, line, column in (('{"model": "m",\n "messages": [}', 2, 15), ("nonsense", 1, 1),
                                   ('{"a": "título", x}', 1, 17), ('{"a": 1}\nmore', 2, 1), ('{"a": 1,}', 1, 9),
                                   ("{'a': 1}", 1, 2), ("[1,2x]", 1, 5), ('{"a" 1}', 1, 6), ("", 1, 1),
                                   (" \n ", 2, 1)):
            p = lull.ctl("explain", "-", stdin=text)
            self.assertEqual(p.returncode, 2, p.stdout)
            self.assertIn(f"is not JSON: line {line}, column {column}", p.stdout + p.stderr)
            self.assertNotIn("was not held", p.stdout)
        p = lull.ctl("explain", "-", stdin=body("title", "x"))
        self.assertEqual((p.returncode, "JSON" in p.stdout), (0, False))


class Secrets(LullTest):
    def test_no_key_reaches_the_log(self):
        folder = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, folder, True)
        with open(os.path.join(folder, "key"), "w", encoding="ascii") as f:
            f.write("planted-file-key")
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "api_key": "planted-key"},
                          "other": {"url": f"http://127.0.0.1:{free_port()}", "api_key_file": f"{folder}/key"}},
                         server="client_token = planted-token\nlog_level = debug",
                         environment={"LULL_UPSTREAM_THIRD_URL": "http://127.0.0.1:1",
                                      "LULL_UPSTREAM_THIRD_API_KEY": "planted-environment-key"},
                         arguments=["--set", "upstream.fourth.url=http://127.0.0.1:1",
                                    "--set", "upstream.fourth.api_key=planted-argument-key"])
        planted = [("Cookie", "planted-cookie"), ("X-Api-Key", "planted-header"),
                   ("X-OpenWebUI-User-Email", "planted@email")]
        more = headers(key="planted-token") + planted
        c = self.connect(lull)
        for prefix in ("", "/@other"):
            for text in (body("title", "planted-text"), chat_body("planted-chat", stream=False)):
                c.request("POST", prefix + PATH["openai"] + "?key=planted-query", more, text.encode())
        c.request("GET", "/v1/models?key=planted-query", more, None)
        lull.signal(signal.SIGUSR1)
        for more_text in ("[task tags]\nenabled = no\n", "[task tags]\nenabled = planted-value\n"):
            lull.write_config(more=more_text)
            lull.reload()
        eventually(lambda: " stats: {" in lull.log_text())
        lull.stop()
        log = lull.log_text()
        self.assertIn("reloaded", log)
        self.assertNotIn("planted", log)


class OllamaValues(LullTest):
    def test_keep_alive_and_num_ctx_reach_the_server(self):
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "dialect": "ollama"}}, tasks="keep_alive = 7d\nnum_ctx = 8192",
                         more="[task tags]\nkeep_alive = -1\nnum_ctx = as-asked\n")
        c = self.connect(lull)
        for dialect in ("ollama", "openai"):
            for kind in ("title", "tags"):
                r = c.post(PATH[dialect], body(kind, f"Bread by {dialect}", dialect), headers(dialect))
                self.assertEqual(r.status, 200, r)
        for sent in up.matching("title"):
            self.assertEqual(sent.json["keep_alive"], "168h")
            self.assertEqual(sent.json["options"]["num_ctx"], 8192)
        for sent in up.matching("tags"):
            self.assertEqual(sent.json["keep_alive"], -1)
            self.assertNotIn("num_ctx", sent.json.get("options", {}))
        self.assertEqual((len(up.matching("title")), len(up.matching("tags"))), (2, 2))


if __name__ == "__main__":
    main()

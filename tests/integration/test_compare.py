#!/usr/bin/env python3
"""lullctl compare: models tried on stored requests, with the real daemon and two model servers; what
each is sent, who may ask, and that nothing is left of it but calls."""
import json
import os
import signal
import subprocess

import prompts
from client import Client
from lull import LULLCTL, LullTest, clean_environment, eventually, main, settled
from prompts import PATH, headers
from upstream import BEHIND, Gate, good, say, status, whole_document

SECRET = "TOP-SECRET-4711"
SMALL, LARGE = "qwen3-0.6b", "gemma3-4b"
PLANTED = [("Authorization", f"Bearer sk-{SECRET}"), ("Cookie", f"session={SECRET}"),
           ("X-OpenWebUI-User-Name", SECRET), ("X-OpenWebUI-User-Email", f"{SECRET}@example.org"),
           ("X-OpenWebUI-User-Role", SECRET), ("X-OpenWebUI-Chat-Id", SECRET),
           ("X-OpenWebUI-Message-Id", SECRET), ("X-Forwarded-For", SECRET), ("X-Anything", SECRET)]


def as_user(user):
    return [("Content-Type", "application/json"), ("X-OpenWebUI-Task", "title_generation"),
            ("X-OpenWebUI-User-Id", f"{user}-{SECRET}")] + PLANTED


class CompareTest(LullTest):
    def two(self, **more):
        """Two servers, the second one with a key and prices."""
        self.here, self.there = self.upstream(), self.upstream()
        keys = {"default": {"url": self.here},
                "hosted": {"url": self.there, "api_key": "sk-of-hosted", "price_in": 2, "price_out": 10}}
        return self.lull(keys, **{"tasks": "settle = 0", **more})

    def fill(self, lull, n=3, users=("ann",), kind="title", dialect="openai"):
        c = self.connect(lull)
        for user in users:
            for i in range(n):
                r = c.post(PATH[dialect], prompts.body(kind, f"Question {i}", dialect), as_user(user))
                self.assertEqual(r.status, 200)
        lull.committed()

    def ask(self, lull, *models, kind="title", more=""):
        r = lull.control("POST", f"/compare?kind={kind}{more}", "".join(m + "\n" for m in models))
        lines = [json.loads(line) for line in r.body.decode().splitlines()]
        return r, lines

    def state(self, lull):
        """What must not change: the entries, with their answers, and the figures of the kinds."""
        lull.committed()
        listed = lull.control("GET", "/entries").json["entries"]
        texts = [lull.control("GET", "/entries/" + e["id"]).json for e in listed]
        cache = lull.stats()["cache"]
        return texts, lull.stats()["tasks"], (cache["entries"], cache["inserted"], cache["bytes"])


class WhatItSays(CompareTest):
    def test_each_model_on_each_request(self):
        lull = self.two()
        self.here.when(lambda e: e.json and e.json.get("model") == LARGE, say("Here is no title"))
        self.fill(lull, 3)
        before, calls = self.state(lull), lull.stats()["upstreams"]["default"]["calls"]
        r, lines = self.ask(lull, SMALL, LARGE + "@default")
        self.assertEqual((r.status, r.header("Content-Type")), (200, "application/x-ndjson"))
        self.assertEqual(len(lines), 7)
        ids = [e["id"] for e in lull.control("GET", "/entries").json["entries"]]
        for i, line in enumerate(lines[:6]):
            self.assertEqual(line["id"], ids[i % 3], "newest first, one model after the other")
            self.assertEqual(line["candidate"], SMALL if i < 3 else LARGE + "@default")
            self.assertEqual(line["model"], SMALL if i < 3 else LARGE)
            self.assertEqual((line["upstream"], line["ok"], line["shape"]), ("default", True, i < 3))
            self.assertGreaterEqual(line["latency_ms"], 0)
            self.assertGreater(line["tokens_in"] + line["tokens_out"], 0)
            self.assertFalse(line["estimated"])
            self.assertEqual((line["done"], line["of"]), (i + 1, 6))
            self.assertEqual(json.loads(line["stored"]), {"title": f"Title {3 - i % 3}"})
            self.assertEqual(line["answer"] == "Here is no title", i >= 3)
        small, large = lines[6]["summary"]
        self.assertEqual((small["calls"], small["failed"], small["shape"], large["shape"]), (3, 0, 1, 0))
        self.assertLessEqual(small["latency_ms"]["p50"], small["latency_ms"]["p95"])
        self.assertEqual(small["cost_per_1000"], 0)
        self.assertEqual(self.state(lull), before)
        stats = lull.stats()
        self.assertEqual(stats["upstreams"]["default"]["calls"], calls + 6)
        self.assertEqual(stats["cache"]["entries"], 3)
        self.assertEqual(self.here.records[-1].json["model"], LARGE)

    def test_lullctl(self):
        lull = self.two()
        self.here.when(lambda e: e.json and e.json.get("model") == LARGE, status(404, '{"error":"no such model"}'))
        self.fill(lull, 3)
        p = lull.ctl("compare", "--kind", "title", "--model", SMALL, "--model", LARGE, "--last", "2")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        lines = p.stdout.splitlines()
        self.assertRegex(lines[0], r"^candidate +calls +failed +shape +p50 ms +p95 ms +tokens in +out +cost/1000$")
        self.assertRegex(lines[1], rf"^{SMALL} +2 +0 +100 % +\d+ +\d+ +\d+ +\d+ +0$")
        self.assertRegex(lines[2], rf"^{LARGE} +2 +2 +- +- +- +0 +0 +-$")
        self.assertIn("the model server answered 404", lines[3])
        p = lull.ctl("compare", "--kind", "title", "--model", SMALL, "--last", "2", "--show")
        self.assertEqual(p.returncode, 0, p.stderr)
        shown = p.stdout.splitlines()
        self.assertRegex(shown[1], r'^  \(stored\) +\{"title": "Title 3"\}$')
        self.assertRegex(shown[2], rf'^  {SMALL} +\{{"title": "Title \d+"\}}$')
        self.assertEqual(shown[3], "")
        p = lull.ctl("--json", "compare", "--kind", "title", "--model", SMALL)
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        self.assertEqual((p.returncode, len(lines), lines[-1]["summary"][0]["calls"]), (0, 4, 3))

    def test_usage(self):
        lull = self.two()
        self.fill(lull, 1)
        for wrong in (["compare"], ["compare", "--kind", "title"], ["compare", "--model", "a"],
                      ["compare", "--kind", "title", "--model", "a", "more"],
                      ["compare", "--kind", "title", *["--model", "a"] * 17],
                      ["stats", "--kind", "title"], ["compare", "--kind", "title", "--model", "a", "--wrong"]):
            p = lull.ctl(*wrong)
            self.assertEqual(p.returncode, 2, wrong)
            self.assertNotEqual(p.stderr, "", wrong)
        p = lull.ctl("compare", "--kind", "titel", "--model", "a")
        self.assertEqual(p.returncode, 1)
        self.assertIn("titel", p.stderr)
        p = lull.ctl("compare", "--kind", "title", "--model", "a", socket_path="/nonexistent/c.sock")
        self.assertEqual(p.returncode, 3)
        self.assertIn("--model", lull.ctl("--help").stdout)

    def test_both_dialects(self):
        lull = self.two()
        self.fill(lull, 1, dialect="ollama")
        r, lines = self.ask(lull, "a")
        self.assertEqual((r.status, lines[0]["ok"], lines[0]["shape"]), (200, True, True))
        self.assertEqual(self.here.records[-1].path, "/api/chat")
        self.assertEqual(self.here.records[-1].json["model"], "a")


class WhatIsSent(CompareTest):
    def test_nothing_of_the_client_goes_elsewhere(self):
        lull = self.two()
        self.fill(lull, 2, users=("ann", "bob"))
        self.assertTrue(any(SECRET.encode() in e.raw_head for e in self.here.records), "the planting failed")
        seen = len(self.here.records)
        r, lines = self.ask(lull, "a@hosted", "b", more="&yes=1")
        self.assertEqual((r.status, len(lines)), (200, 9))
        sent = self.there.matching(lambda e: not e.is_probe)
        self.assertEqual(len(sent), 4)
        for e in sent + self.here.records[seen:] + self.there.probes:
            self.assertNotIn(SECRET.encode(), e.raw_head + e.raw_body)
            self.assertFalse([n for n, _ in e.headers if n.lower().startswith(("x-openwebui", "cookie", "x-any"))])
        for e in sent:
            self.assertEqual(e.header("Authorization"), "Bearer sk-of-hosted")
            self.assertEqual(e.json["model"], "a")
        self.assertEqual([e.header("Authorization") for e in self.here.records[seen:]], [None] * 4)
        hosted, here = lines[-1]["summary"]
        price = (hosted["tokens_in"] * 2 + hosted["tokens_out"] * 10) / 1e6 / 4 * 1000
        self.assertAlmostEqual(hosted["cost_per_1000"], price, places=9)
        self.assertEqual(here["cost_per_1000"], 0)
        stats = lull.stats()["upstreams"]["hosted"]
        self.assertEqual((stats["calls"], stats["cost"], stats["tokens_in"]), (4, 0, 0))

    def test_it_asks_before_requests_leave_their_upstream(self):
        lull = self.two()
        self.fill(lull, 3, users=("ann", "bob"))
        r = lull.control("POST", "/compare?kind=title&last=4", "a@hosted\nb\n")
        host = f"127.0.0.1:{self.there.port}"
        self.assertEqual(r.status, 409)
        self.assertEqual(r.json, {
            "error": f"would send 4 stored requests of 2 users to {host} (upstream hosted); "
                     "--yes-send-stored-requests does it",
            "requests": 4, "users": 2, "upstream": "hosted", "host": host})
        p = lull.ctl("compare", "--kind", "title", "--model", "a@hosted", "--last", "3")
        self.assertEqual(p.returncode, 1)
        self.assertIn(f"would send 3 stored requests of 1 user to {host}", p.stderr)
        self.assertEqual(self.there.count(), 0)
        p = lull.ctl("compare", "--kind", "title", "--model", "a@hosted", "--yes-send-stored-requests")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.there.count("title"), 6)

    def test_nothing_to_send(self):
        lull = self.two(cache="keep_requests = no")
        self.fill(lull, 2)
        r, lines = self.ask(lull, "a")
        self.assertEqual((r.status, lines[0]["error"]), (409, "nothing to send: [cache] keep_requests = no"))
        p = lull.ctl("compare", "--kind", "title", "--model", "a")
        self.assertEqual(p.returncode, 1)
        self.assertIn("nothing to send", p.stderr)
        lull = self.two()
        r, lines = self.ask(lull, "a", kind="tags")
        self.assertEqual((r.status, lines[0]["error"]), (409, "nothing to send: no requests of that kind are stored"))


class BothForms(CompareTest):
    """--prefix: as asked, and behind the conversation."""

    def played(self, users=("ann",)):
        """One chat of each user, and its title as it was asked."""
        lull = self.two(tasks="settle = 0\nprefix = as-asked\n[task tags]\nprefix = chat\n")
        self.here.when(lambda e: e.kind == "chat", say("It rises for an hour."))
        turns = prompts.history(("user", "How long?"), ("assistant", "It rises for an hour."))
        title = json.dumps({"model": "m", "stream": False, "messages": [{"role": "user", "content": prompts.title(turns)}]})
        chat = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "How long?"}]})
        c = self.connect(lull)
        for user in users:
            ours = [(n, v) for n, v in as_user(user) if n != "X-OpenWebUI-Task"]
            self.assertEqual(c.post(PATH["openai"], chat, ours).status, 200)
            self.assertEqual(c.post(PATH["openai"], title, as_user(user)).status, 200)
        lull.committed()
        return lull

    def test_both_forms_of_each_request(self):
        lull = self.played(("ann", "bob"))
        before, seen = self.state(lull), self.here.count()
        r, lines = self.ask(lull, more="&prefix=1")
        self.assertEqual((r.status, len(lines)), (200, 5))
        self.assertEqual([line["candidate"] for line in lines[:4]], ["as asked", "behind the chat"] * 2)
        self.assertEqual({(line["ok"], line["model"], line["upstream"], line["of"]) for line in lines[:4]},
                         {(True, "m", "default", 4)})
        self.assertEqual([row["calls"] for row in lines[4]["summary"]], [2, 2])
        self.assertEqual(lines[4]["prefix_not"], {})
        sent = [e for e in self.here.records[seen:] if not e.is_probe]
        self.assertEqual([e.json["messages"][-1]["content"].startswith(BEHIND) for e in sent], [False, False, True] * 2)
        self.assertEqual([len(e.json["messages"]) for e in sent], [1, 2, 3] * 2)
        self.assertEqual(sent[1].json["max_tokens"], 1)
        self.assertEqual([e.header("Authorization") for e in sent], [None] * 6)
        self.assertFalse([e for e in sent if SECRET.encode() in e.raw_head + e.raw_body])
        self.assertEqual(self.there.count(), 0)
        self.assertEqual(self.state(lull), before)

    def test_lullctl_prints_both(self):
        lull = self.played()
        self.fill(lull, 1)
        p = lull.ctl("compare", "--prefix", "--kind", "title")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        lines = p.stdout.splitlines()
        self.assertRegex(lines[1], r"^  \(stored\) +\{")
        self.assertRegex(lines[2], r"^  as asked +\{")
        self.assertRegex(lines[3], r"^  behind the chat  \{")
        self.assertRegex(lines[5], r"^asked +calls +failed +shape +tokens read +reading s +p50 s +p90 s$")
        self.assertRegex(lines[6], r"^as asked +1 +0 +100 % +(-|\d+) +(-|\d+\.\d\d) +\d+\.\d\d +\d+\.\d\d$")
        self.assertRegex(lines[7], r"^behind the chat +1 +0 +100 % ")
        self.assertEqual(lines[8], "left out: 1 not_held")

    def test_none_is_held(self):
        lull = self.two()
        self.fill(lull, 2)
        p = lull.ctl("compare", "--prefix", "--kind", "title")
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertIn("none of the 2 stored requests behind its conversation (not_held 2)", p.stderr)
        self.assertEqual(self.ask(lull, more="&prefix=1")[0].status, 409)
        r, lines = self.ask(lull, "a", more="&prefix=1")
        self.assertEqual((r.status, lines[0]["error"]), (400, "line 1: prefix=1 takes no models"))


class WhoAndWhat(CompareTest):
    def test_wrong_questions(self):
        lull = self.two()
        self.fill(lull, 1)
        for query, body, part in (
                ("", "a", "kind"), ("?kind=nope", "a", "nope"), ("?kind=title&last=0", "a", "last"),
                ("?kind=title&last=1001", "a", "1000"), ("?kind=title&last=x", "a", "last"),
                ("?kind=title&yes=no", "a", "yes"), ("?kind=title&more=1", "a", "kind, last"),
                ("?kind=title&x", "a", "NAME=VALUE"), ("?kind=title", "", "line 1"),
                ("?kind=title", "a\n\nb\n", "line 2"), ("?kind=title", "a\nb@nowhere\n", "line 2: there is no upstream named nowhere"),
                ("?kind=title", "@hosted", "line 1"), ("?kind=title", "a@", "line 1"), ("?kind=title", "a\nb\na\n", "line 3"),
                ("?kind=title", "a\0b", "line 1"), ("?kind=title", "m" * 256, "line 1"),
                ("?kind=title", "".join(f"m{i}\n" for i in range(17)), "line 17")):
            r = lull.control("POST", "/compare" + query, body)
            self.assertEqual(r.status, 400, (query, body, r))
            self.assertIn(part, r.json["error"], (query, body))
        self.assertEqual(lull.control("POST", "/compare?kind=title", "x" * 20000).status, 413)
        self.assertEqual(lull.control("GET", "/compare?kind=title").status, 405)
        r, lines = self.ask(lull, "claude-3@20240620", "a\r")
        self.assertEqual([line["model"] for line in lines[:2]], ["claude-3@20240620", "a"])
        self.assertEqual(self.there.count(), 0)

    def test_only_root_and_the_daemons_own_user(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to run as another user")
        lull = self.two(server="control_mode = 0666\ncontrol_private = no")
        self.fill(lull, 1)
        os.chmod(lull.folder, 0o755)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            out = b"failed"
            try:
                os.setgid(65534)
                os.setuid(65534)
                with Client(lull.control_path) as c:
                    seen = c.request("GET", "/stats")
                    r = c.request("POST", "/compare?kind=title", body="a\n")
                    out = json.dumps([seen.status, r.status, r.json]).encode()
            finally:
                os.write(write, out)
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        reported = os.read(read, 65536)
        os.close(read)
        seen, code, answer = json.loads(reported)
        self.assertEqual((seen, code), (200, 403))
        self.assertIn("root", answer["error"])
        self.assertEqual(self.here.count(), 1)
        self.assertEqual(self.ask(lull, "a")[0].status, 200)

    def test_a_chat_goes_first(self):
        up, chat_gate, gate = self.upstream(), Gate(), Gate()
        lull = self.lull(up, slots=None, tasks="settle = 0")
        self.here = up
        self.fill(lull, 1)
        before = lull.task("title")
        up.when("title", good(gate=gate, hold_at=1), times=1)
        up.when("chat", good(gate=chat_gate, hold_at=-1))
        asking = self.connect(lull.control_path)
        asking.start("POST", "/compare?kind=title", body=b"a\n")
        aborted = up.wait_for(2, "title")[1]
        chat = self.connect(lull)
        chat.start("POST", PATH["openai"], headers(), prompts.chat_body("Hello", tools=False).encode())
        up.wait_for(1, "chat")
        eventually(aborted.gone.is_set)
        flight = eventually(lambda: lull.control("GET", "/flights").json["flights"])[0]
        self.assertEqual((flight["kind"], flight["state"], flight["why"], flight["scope"], flight["priority"]),
                         ("title", "waiting", "chat", "compare", 10))
        chat_gate.open()
        self.assertEqual(chat.response().status, 200)
        lines = [json.loads(line) for line in asking.response().body.decode().splitlines()]
        self.assertEqual((len(lines), lines[0]["ok"]), (2, True))
        self.assertEqual(lull.task("title"), before)

    def test_it_ends_with_its_client_and_runs_once(self):
        lull, gate = self.two(), Gate()
        self.fill(lull, 3)
        self.here.when("title", good(gate=gate, hold_at=1))
        asking = self.connect(lull.control_path)
        asking.start("POST", "/compare?kind=title", body=b"a\n")
        call = self.here.wait_for(4, "title")[3]
        r, lines = self.ask(lull, "b")
        self.assertEqual((r.status, lines[0]["error"]), (409, "another comparison is under way"))
        self.assertEqual(lull.reload().status, 200)
        asking.close()
        eventually(call.gone.is_set)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["running"] == 0)
        gate.open()
        r, lines = self.ask(lull, "b")
        self.assertEqual((r.status, len(lines)), (200, 4))
        self.assertEqual(self.here.count("title"), 7)

    def test_it_waits_for_a_client_that_is_slow_to_read(self):
        lull = self.two()
        text = json.dumps({"title": "x" * 400000})
        self.here.when("title", lambda e: e.full(200, "application/json", json.dumps(whole_document(e, text))))
        self.fill(lull, 4)
        asking = self.connect(lull.control_path)
        asking.start("POST", "/compare?kind=title", body=b"a\n")
        self.here.wait_for(5, "title")
        self.assertEqual(settled(lambda: self.here.count("title")), 5)
        lines = [json.loads(line) for line in asking.response().body.decode().splitlines()]
        self.assertEqual(len(lines), 5)
        self.assertEqual({len(line["answer"]) for line in lines[:4]}, {400013})

    def test_it_ends_when_the_daemon_stops(self):
        lull, gate = self.two(), Gate()
        self.fill(lull, 3)
        self.here.when("title", good(gate=gate, hold_at=1))
        p = subprocess.Popen([LULLCTL, "--socket", lull.control_path, "compare", "--kind", "title", "--model", "a"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment())
        call = self.here.wait_for(4, "title")[3]
        lull.signal(signal.SIGTERM)
        out, err = p.communicate(timeout=30)
        self.assertEqual((p.returncode, err), (1, "lullctl: not finished: the daemon is stopping\n"))
        self.assertRegex(out, r"\na +0 +0 +- ")
        eventually(call.gone.is_set)
        self.assertEqual(lull.wait(), 0)


if __name__ == "__main__":
    main()

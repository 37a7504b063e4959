#!/usr/bin/env python3
"""explain: what would be done with a request, over the control socket and by lullctl: it tells the
truth, and changes nothing."""
import json
import os
import tempfile

import prompts
from lull import LullTest, main
from prompts import MODEL, PATH, headers
from upstream import Gate, good, say

TEXT = "What is the best way to store small records in a file?"


def completion(text, model=None):
    return json.dumps({"model": model or MODEL["openai"], "stream": False, "messages": [
        {"role": "user", "content": prompts.autocomplete(text)}]}).encode()


class ExplainTest(LullTest):
    def explain(self, lull, body, path="", **more):
        lines = [("X-Explain-" + name, value) for name, value in headers(**more)]
        r = lull.control("POST", "/explain" + path, body, lines)
        self.assertEqual(r.status, 200, r)
        return r.json

    def ask(self, lull, body, **more):
        c = self.connect(lull)
        return c.request("POST", PATH["openai"], headers(**more), body)

    def test_tasks_chats_and_the_rest(self):
        lull = self.lull(self.upstream())
        title = prompts.body("title", "Bread").encode()
        e = self.explain(lull, title, kind="title")
        self.assertEqual((e["class"], e["kind"], e["decision"]), ("task", "title", "miss"))
        self.assertEqual(len(e["fingerprint"]), 32)
        self.assertEqual(len(e["scope"]), 8)
        self.assertEqual((e["upstream"], e["model"]), ("default", MODEL["openai"]))
        self.assertNotIn("window_ms", e)
        e = self.explain(lull, title)  # by its text
        self.assertEqual((e["class"], e["kind"]), ("task", "title"))
        chat = prompts.chat_body("Hello").encode()
        e = self.explain(lull, chat)
        self.assertEqual((e["class"], e["kind"], e["decision"]), ("chat", None, "pass"))
        self.assertNotIn("policy", e)
        self.assertEqual(self.explain(lull, b"{}", "/v1/models")["class"], "other")
        self.assertEqual(self.explain(lull, title, "/@unknown/v1/chat/completions")["refused"], "no_such_upstream")
        streamed = json.dumps({**json.loads(title), "stream": True}).encode()
        e = self.explain(lull, streamed, kind="title")
        self.assertEqual((e["decision"], e["detail"]), ("bypass", "stream"))
        twice = title[:-1] + b',"seed":1,"seed":2}'
        e = self.explain(lull, twice, kind="title")
        self.assertEqual((e["decision"], e["detail"], e["fingerprint"]), ("bypass", "ambiguous-json", None))
        self.assertEqual(lull.stats()["tasks"], {})
        self.assertEqual(lull.stats()["chat"]["requests"], 0)

    def test_a_page_of_another_site(self):
        up = self.upstream()
        lull = self.lull({"default": up, "lent": {"url": up.url, "api_key": "sk-lent"}})
        title, chat = prompts.body("title", "Bread").encode(), prompts.chat_body("Hello").encode()
        for origin, host, path, body, refused in (
                ("http://evil.example", "", "", title, "forbidden_origin"),
                ("http://evil.example", "", "", chat, None),
                ("http://evil.example", "", "/@lent/v1/chat/completions", chat, "forbidden_origin"),
                ("http://ui.local", "ui.local", "", title, None),
                ("http://localhost:3000", "", "", title, None)):
            lines = [("X-Explain-Origin", origin)] + ([("X-Explain-Host", host)] if host else [])
            e = lull.control("POST", "/explain" + path, body, lines).json
            self.assertEqual(e["refused"], refused, (origin, host, path))
            c = self.connect(lull)
            r = c.request("POST", path or PATH["openai"], [("Origin", origin), ("Host", host or "localhost")], body)
            self.assertEqual(r.header("X-Lull-Error"), refused, (origin, host, path))

    def test_it_tells_hits_and_type_through_and_uses_none(self):
        up = self.upstream()
        up.when("autocomplete", say('{"text": " that grows?"}'))
        lull = self.lull(up)
        body = completion(TEXT[:-1])
        who = {"kind": "autocomplete", "user": "u1"}
        e = self.explain(lull, body, **who)
        self.assertEqual((e["decision"], e["window_ms"], e["joins"]), ("miss", 0, False))
        r = self.ask(lull, body, **who)
        self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
        lull.committed()
        e = self.explain(lull, body, **who)
        self.assertEqual(e["decision"], "hit")
        self.assertGreater(e["ttl_s"], 590)
        self.assertEqual(self.explain(lull, completion(TEXT[:-1] + " that"), **who)["decision"], "type-through")
        self.assertEqual(self.explain(lull, completion(TEXT[:-1] + " this"), **who)["decision"], "miss")
        self.assertEqual(self.explain(lull, body, kind="autocomplete", user="u2")["decision"], "miss")
        t = lull.task("autocomplete")
        self.assertEqual((t["requests"], t["hits"], t["type_through"]), (1, 0, 0))
        entries = lull.control("GET", "/entries").json["entries"]
        self.assertEqual([x["hits"] for x in entries], [0])
        self.assertEqual(entries[0]["id"], e["fingerprint"])
        self.assertEqual(up.count(), 1)

    def test_a_call_under_way_is_seen(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        c = self.connect(lull)
        who = {"kind": "autocomplete", "user": "u1"}
        c.start("POST", PATH["openai"], headers(**who), completion(TEXT[:30]))
        up.wait_for(1)
        self.assertTrue(self.explain(lull, completion(TEXT[:30]), **who)["joins"])
        e = self.explain(lull, completion(TEXT[:34]), **who)
        self.assertEqual((e["decision"], e["joins"], e["follows"]), ("miss", False, True))
        gate.open()
        self.assertEqual(c.response().status, 200)

    def test_a_fixed_window_and_where_it_was_said(self):
        lull = self.lull(self.upstream(), more="[task autocomplete]\ndebounce = 321ms\n")
        e = self.explain(lull, completion(TEXT), kind="autocomplete")
        self.assertEqual(e["window_ms"], 321)
        self.assertEqual(e["policy"]["debounce"]["value"], "321ms")
        self.assertRegex(e["policy"]["debounce"]["origin"], r":\d+$")
        self.assertEqual(e["policy"]["max_hold"], {"value": "300ms", "origin": "default"})
        self.assertEqual(lull.control("GET", "/explain").status, 405)
        self.assertEqual(lull.control("POST", "/explained").status, 404)

    def test_lullctl(self):
        lull = self.lull(self.upstream(), more="[task title]\nenabled = no\n")
        title = prompts.body("title", "Bread")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "request.json")
            with open(path, "w", encoding="utf-8") as f:
                f.write(title)
            p = lull.ctl("explain", path)
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertRegex(p.stdout, r"(?m)^kind +title$")
            self.assertRegex(p.stdout, r"(?m)^decision +switched-off$")
            self.assertRegex(p.stdout, r"(?m)^  enabled +no  \(.*:\d+\)$")
            p = lull.ctl("explain", path, "X-OpenWebUI-Task: tags_generation")
            self.assertRegex(p.stdout, r"(?m)^kind +tags$")
        streams = title.replace(',"stream":false', "")  # the default of Ollama's API
        http = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-OpenWebUI-Task: query_generation\r\n\r\n{streams}"
        p = lull.ctl("--json", "explain", "-", stdin=http)
        e = json.loads(p.stdout)
        self.assertEqual((e["kind"], e["decision"], e["detail"]), ("query", "bypass", "stream"))
        self.assertEqual(lull.ctl("explain").returncode, 2)
        self.assertEqual(lull.ctl("explain", "/nonexistent").returncode, 2)
        self.assertEqual(lull.ctl("explain", "-", "nonsense", stdin="{}").returncode, 2)
        self.assertEqual(lull.ctl("explain", "-", stdin="POST /x\r\n").returncode, 2)
        for target in ("/v1/chat/completions", "http://lull:11435/v1/chat/completions"):
            p = lull.ctl("explain", "-", stdin=f"POST {target} HTTP/1.1\r\nHost: lull\r\n\r\n{title}")
            self.assertEqual((p.returncode, p.stderr), (0, ""), target)
            self.assertRegex(p.stdout, r"(?m)^decision +switched-off$")
        p = lull.ctl("explain", "-", "A name: x", stdin="{}")
        self.assertEqual((p.returncode, p.stderr), (1, "lullctl: the request could not be understood\n"))


class NearestTest(LullTest):
    """Of a miss: the nearest stored request, and where it differs."""

    def begin(self, more=""):
        lull = self.lull(self.upstream(), more=more)
        self.connection = self.connect(lull)
        return lull

    def ask(self, body, kind="title", **more):
        r = self.connection.request("POST", PATH["openai"], headers(kind=kind, **more), json.dumps(body).encode())
        self.assertEqual(r.status, 200, r)
        return r

    def explain(self, lull, body, kind="title", **more):
        lines = [("X-Explain-" + name, value) for name, value in headers(kind=kind, **more)]
        r = lull.control("POST", "/explain", json.dumps(body).encode(), lines)
        self.assertEqual(r.status, 200, r)
        return r.json

    @staticmethod
    def title(text, **more):
        return {**json.loads(prompts.body("title", text)), **more}

    def test_one_changed_word(self):
        lull = self.begin()
        stored = self.title("How long do I knead bread with dry yeast?")
        self.ask(self.title("What is the capital of Australia, and since when?"))
        self.ask(stored)
        self.ask(self.title("A third question, about something else"))
        for wait in (lambda: None, lull.committed):  # waiting to be written, and written
            wait()
            mine = self.title("How long do I knead bread with wet yeast?")
            e = self.explain(lull, mine)
            self.assertEqual(e["decision"], "miss")
            (line,) = e["nearest"]["differences"]
            self.assertEqual(line["path"], "messages[0].content")
            self.assertEqual(line["position"], mine["messages"][0]["content"].index("wet yeast"))
            self.assertIn("with wet yeast?", line["mine"])
            self.assertIn("with dry yeast?", line["stored"])
            self.assertLessEqual(max(len(line["mine"]), len(line["stored"])), 60)
            self.assertEqual(e["nearest"]["different"], 1)
            self.assertFalse(e["nearest"]["expired"])
        same = self.explain(lull, stored)
        self.assertEqual(same["decision"], "hit")
        self.assertEqual(same["fingerprint"], e["nearest"]["id"])
        self.assertNotIn("nearest", same)

    def test_other_values_and_another_model(self):
        lull = self.begin()
        body = self.title("How long do I knead bread?", temperature=0.2)
        self.ask(body)
        e = self.explain(lull, {**body, "temperature": 0.7, "stream": False, "metadata": {"x": 1}})
        self.assertEqual(e["nearest"]["differences"],
                         [{"path": "temperature", "position": 0, "mine": "0.7", "stored": "0.2"}])
        e = self.explain(lull, {**body, "seed": 1})
        self.assertEqual(e["nearest"]["differences"],
                         [{"path": "seed", "position": 0, "mine": "1", "stored": None, "only": "mine"}])
        e = self.explain(lull, {**body, "model": "qwen3-4b"})
        self.assertEqual(e["nearest"]["differences"],
                         [{"path": "model", "position": 6, "mine": "qwen3-4b", "stored": "qwen3-8b"}])

    def test_an_equal_text_is_found_behind_many_others(self):
        lull = self.begin()
        body = self.title("How long do I knead bread?", temperature=0.2)
        self.ask(body)
        for i in range(20):
            self.ask(self.title(f"Question {i} " + "and so on " * 2000, temperature=0.2))
        lull.committed()
        e = self.explain(lull, {**body, "temperature": 0.7})
        self.assertEqual([x["path"] for x in e["nearest"]["differences"]], ["temperature"])

    def test_more_equal_values_count_before_a_likelier_text(self):
        lull = self.begin()
        self.ask(self.title("How long do I knead bread with dry yeast?", temperature=0.2))
        self.ask(self.title("Something else", temperature=0.7))
        e = self.explain(lull, self.title("How long do I knead bread with wet yeast?", temperature=0.7))
        self.assertEqual([x["path"] for x in e["nearest"]["differences"]], ["messages[0].content"])
        self.assertIn("Something", e["nearest"]["differences"][0]["stored"])

    def test_the_newest_is_nearest_among_equals_of_its_kind_and_scope(self):
        lull = self.begin()
        body = self.title("How long do I knead bread?")
        self.ask(body, user="u1")
        self.ask(self.title("How long do I bake bread?"), kind="tags", user="u2")
        e = self.explain(lull, body, user="u2")
        self.assertEqual((e["decision"], e["nearest"]), ("miss", None))
        self.assertIsNotNone(self.explain(lull, self.title("Another"), user="u1")["nearest"])

    def test_without_stored_requests_there_is_none(self):
        lull = self.begin(more="[cache]\nkeep_requests = no\n")
        self.ask(self.title("Bread"))
        e = self.explain(lull, self.title("Bred"))
        self.assertEqual((e["nearest"], e["not_compared"]), (None, "keep_requests = no"))
        r = lull.control("POST", "/explain?last-miss=title")
        self.assertEqual(r.status, 404)
        self.assertIn("keep_requests = no", r.json["error"])

    def test_a_date_in_a_template_is_shown(self):
        """Every request is new where the template has the current time in it."""
        lull = self.begin(more="[task digest]\nmatch = Sum up in one line\nanswer = -\nshape = text\n"
                               "class = background\ncache = yes\nttl = 1h\n")

        def digest(time):
            return {"model": MODEL["openai"], "stream": False, "messages": [
                {"role": "user", "content": f"Sum up in one line. It is {time}.\nThe text: bread."}]}
        self.ask(digest("2026-11-28 21:00"), kind=None)
        lull.committed()
        self.ask(digest("2026-11-28 21:01"), kind=None)
        lull.committed()
        p = lull.ctl("explain", "--last-miss", "digest")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stdout, r"\Adecision +miss\nnow +hit\n")
        self.assertRegex(p.stdout, r"(?m)^  messages\[0\]\.content: from character 42\n"
                                   r"    missed  .*21:01\.\\x0aThe text: bread\.$")
        self.assertRegex(p.stdout, r"(?m)^    stored  .*21:00\.\\x0aThe text: bread\.$")

    def test_the_last_miss(self):
        lull = self.begin()
        r = lull.ctl("explain", "--last-miss", "title")
        self.assertEqual(r.returncode, 1)
        self.assertIn("no missed request of kind title is kept", r.stderr)
        first, second = self.title("How long do I knead bread?"), self.title("How long do I bake bread?")
        self.ask(first, user="u1")
        lull.committed()
        e = lull.control("POST", "/explain?last-miss=title").json
        self.assertEqual((e["decision"], e["now"], e["nearest"]), ("miss", "hit", None))
        scope = self.explain(lull, first, user="u1")["scope"]
        self.ask(second, user="u1")
        self.ask(first, user="u1")  # a hit: not the last miss
        self.ask(first, kind="tags", user="u1")
        lull.committed()
        e = lull.control("POST", "/explain?last-miss=title").json
        self.assertEqual((e["kind"], e["scope"], e["upstream"]), ("title", scope, "default"))
        self.assertRegex(e["last_miss"]["at"], r"^20\d\d-.*Z$")
        self.assertNotIn("expired", e["last_miss"])
        self.assertEqual(e["nearest"]["id"], self.explain(lull, first, user="u1")["fingerprint"])
        self.assertEqual(e["fingerprint"], self.explain(lull, second, user="u1")["fingerprint"])
        self.assertEqual([x["path"] for x in e["nearest"]["differences"]], ["messages[0].content"])
        self.assertEqual(lull.control("POST", "/explain?last-miss=titel").status, 400)
        self.assertEqual(lull.control("POST", "/explain?first-miss=title").status, 400)
        self.assertEqual(lull.ctl("explain", "--last-miss", "title", "-").returncode, 2)
        # texts that were to be removed are not kept here either
        self.assertEqual(lull.control("POST", "/purge?kind=tags").status, 200)
        self.assertEqual(lull.control("POST", "/explain?last-miss=title").status, 404)

    def test_other_users_see_paths_and_places_only(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to be another user")
        lull = self.lull(self.upstream(), server="control_mode = 0666")
        self.connection = self.connect(lull)
        self.ask(self.title("How long do I knead bread with dry yeast?"))
        mine = self.title("How long do I knead bread with wet yeast?", model="other")
        os.chmod(lull.folder, 0o755)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            out = b"failed"
            try:
                os.chdir(lull.folder)  # the folders above it may be private
                lull.control_path = os.path.relpath(lull.control_path, lull.folder)
                os.setgid(65534)
                os.setuid(65534)
                out = json.dumps([self.explain(lull, mine),
                                  lull.control("POST", "/explain?last-miss=title").status]).encode()
            finally:
                os.write(write, out)
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as f:
            e, status = json.loads(f.read())
        os.waitpid(child, 0)
        self.assertEqual(status, 403)
        self.assertEqual([x["path"] for x in e["nearest"]["differences"]], ["model", "messages[0].content"])
        for line in e["nearest"]["differences"]:
            self.assertEqual((line["position"], line["mine"], line["stored"]), (None, None, None))
        self.assertIn("dry yeast", self.explain(lull, mine)["nearest"]["differences"][1]["stored"])

    def test_large_misses_are_not_kept(self):
        lull = self.begin()
        self.ask(self.title("Bread"))
        self.ask(self.title("Bread " * 45000))
        self.assertEqual(lull.control("POST", "/explain?last-miss=title").status, 404)
        e = self.explain(lull, self.title("Bread " * 45000 + "?"))
        self.assertEqual((e["nearest"], e["not_compared"]), (None, "the request is larger than 256 KB"))

    def test_a_quote_inside_the_other_text_is_no_end_of_it(self):
        lull = self.begin()
        self.ask(self.title('He said "x", and so on'))
        self.ask({**self.title("He said so on"), "messages": [
            {"role": "user", "content": prompts.title("He said")}, {"role": "user", "content": "so on"}]})
        e = self.explain(lull, self.title("He said, and so on"))
        self.assertEqual([x["path"] for x in e["nearest"]["differences"]], ["messages[0].content"])
        self.assertIn('"x"', e["nearest"]["differences"][0]["stored"])

    def test_the_other_api(self):
        lull = self.begin()
        body = self.title("How long do I knead bread?")
        self.ask(body)
        ollama = {"model": MODEL["openai"], "stream": False, "options": {"num_predict": 1000, "temperature": 0.5},
                  "messages": body["messages"]}
        lines = [("X-Explain-" + name, value) for name, value in headers(kind="title")]
        e = lull.control("POST", "/explain/api/chat", json.dumps(ollama).encode(), lines).json
        paths = [x["path"] for x in e["nearest"]["differences"]]
        self.assertIn("temperature", " ".join(paths))
        self.assertNotIn("messages[0].content", paths)

    def test_a_reload_to_keep_no_requests_forgets_them(self):
        lull = self.begin()
        self.ask(self.title("Bread"))
        self.assertEqual(lull.control("POST", "/config", b"cache.keep_requests=no\n").status, 200)
        self.assertEqual(lull.control("POST", "/config", b"cache.keep_requests=yes\n").status, 200)
        self.assertEqual(lull.control("POST", "/explain?last-miss=title").status, 404)

    def test_an_expired_answer_is_its_own_nearest(self):
        lull = self.begin(more="[task title]\nttl = 1s\n")
        body = self.title("Bread")
        self.ask(body)
        lull.committed()
        e = self.explain(lull, body)
        while e["decision"] == "hit":
            e = self.explain(lull, body)
        self.assertEqual((e["nearest"]["id"], e["nearest"]["expired"], e["nearest"]["differences"]),
                         (e["fingerprint"], True, []))
        self.ask(body)
        e = lull.control("POST", "/explain?last-miss=title").json
        self.assertEqual((e["decision"], e["nearest"]), ("miss", None))
        self.assertRegex(e["last_miss"]["expired"], r"^20\d\d-.*Z$")

    def test_only_values_that_decided_are_printed(self):
        lull = self.begin(more="[task title]\nmodel = small\n[task tags]\nenabled = no\n")

        def values(kind, *options):
            p = lull.ctl("explain", *options, "-", f"X-OpenWebUI-Task: {kind}_generation",
                         "Authorization: Bearer sk-test",
                         stdin=json.dumps(self.title("Bread")))
            self.assertEqual(p.returncode, 0, p.stderr)
            return [line.split()[0] for line in p.stdout.splitlines() if line.startswith("  ") and "(" in line]
        self.assertEqual(sorted(values("title")), ["cache", "model", "scope"])
        self.assertEqual(values("tags"), ["enabled"])
        self.assertEqual(sorted(values("autocomplete")), ["cache", "deadline", "debounce", "scope"])
        self.assertGreater(len(values("title", "--all")), 20)
        self.ask(self.title("Bread"))
        self.assertEqual(sorted(values("title")), ["cache", "scope", "ttl"])


if __name__ == "__main__":
    main()

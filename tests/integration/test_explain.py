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
        self.assertEqual(self.explain(lull, title, "/@nobody/v1/chat/completions")["refused"], "no_such_upstream")
        streamed = json.dumps({**json.loads(title), "stream": True}).encode()
        e = self.explain(lull, streamed, kind="title")
        self.assertEqual((e["decision"], e["detail"]), ("bypass", "stream"))
        twice = title[:-1] + b',"seed":1,"seed":2}'
        e = self.explain(lull, twice, kind="title")
        self.assertEqual((e["decision"], e["detail"], e["fingerprint"]), ("bypass", "ambiguous-json", None))
        self.assertEqual(lull.stats()["tasks"], {})
        self.assertEqual(lull.stats()["chat"]["requests"], 0)

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
        streams = title.replace(',"stream":false', "")  # which is what Ollama does unless told otherwise
        http = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-OpenWebUI-Task: query_generation\r\n\r\n{streams}"
        p = lull.ctl("--json", "explain", "-", stdin=http)
        e = json.loads(p.stdout)
        self.assertEqual((e["kind"], e["decision"], e["detail"]), ("query", "bypass", "stream"))
        self.assertEqual(lull.ctl("explain").returncode, 2)
        self.assertEqual(lull.ctl("explain", "/nonexistent").returncode, 2)
        self.assertEqual(lull.ctl("explain", "-", "nonsense", stdin="{}").returncode, 2)
        self.assertEqual(lull.ctl("explain", "-", stdin="POST /x\r\n").returncode, 2)


if __name__ == "__main__":
    main()

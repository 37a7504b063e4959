#!/usr/bin/env python3
"""Against real model servers, if these variables name running ones:

    LULL_TEST_LLAMA=http://127.0.0.1:18080 LULL_TEST_OLLAMA=http://127.0.0.1:11500 LULL_TEST_MODEL=gemma3-270m

Tasks of either dialect are answered by either server; the schema makes a small model answer in form."""
import json
import os
import sys

import prompts
from lull import LullTest, main
from prompts import PATH, headers

LLAMA, OLLAMA = os.environ.get("LULL_TEST_LLAMA"), os.environ.get("LULL_TEST_OLLAMA")
MODEL = os.environ.get("LULL_TEST_MODEL", "gemma3-270m")
HISTORY = prompts.history(("user", "How do I bake bread without yeast?"),
                          ("assistant", "Use a sourdough starter, or soda and buttermilk."))
MEMBERS = {"title": "title", "tags": "tags", "follow_up": "follow_ups", "query": "queries"}
TIMEOUT = 120


class RealServers(LullTest):
    def ask(self, lull, kind, dialect):
        text = {"title": prompts.title, "tags": prompts.tags, "follow_up": prompts.follow_up,
                "query": prompts.query}[kind](HISTORY)
        document = {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": False}
        with lull.client(timeout=TIMEOUT) as c:
            return c.request("POST", PATH[dialect], headers(dialect, kind=kind), json.dumps(document).encode())

    def answers(self, url, sort):
        lull = self.lull({"default": {"url": url, "first_byte_timeout": "120s"}}, slots=None,
                         tasks="json_schema = yes\nmax_tokens = 120\ntemperature = 0\nsettle = 0")
        # the server's own dialect, and the other one where it has to be crossed
        for kind, member in MEMBERS.items():
            first = self.ask(lull, kind, "openai")
            self.assertEqual(first.status, 200, first)
            self.assertIn(member, json.loads(first.content))
            self.assertEqual(first.cache_status, "lull; fwd=miss; stored")
        lull.committed()
        for kind, member in MEMBERS.items():
            again = self.ask(lull, kind, "ollama")  # a scope of its own: no Authorization
            self.assertEqual((again.status, again.json["done"]), (200, True), again)
            self.assertIn(member, json.loads(again.content))
        stats = lull.stats()
        self.assertEqual(stats["upstreams"]["default"]["failed"], 0)
        print(f"  {sort}: " + ", ".join(f"{k} {v['upstream_s']:.1f} s" for k, v in stats["tasks"].items()))

    def test_llama_cpp(self):
        if not LLAMA:
            self.skipTest("LULL_TEST_LLAMA is not set")
        self.answers(LLAMA, "llama.cpp")

    def test_ollama(self):
        if not OLLAMA:
            self.skipTest("LULL_TEST_OLLAMA is not set")
        self.answers(OLLAMA, "Ollama")


if __name__ == "__main__":
    if not LLAMA and not OLLAMA:
        print("skipped: no real model server: LULL_TEST_LLAMA and LULL_TEST_OLLAMA are not set")
        sys.exit(77)
    main()

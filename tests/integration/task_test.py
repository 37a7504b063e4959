"""TaskTest: asks for tasks as Open WebUI does, and says what became of them: a hit, a miss, a bypass."""
import re

import prompts
from lull import LullTest
from prompts import PATH, body, headers

DIALECTS = ("openai", "ollama")
MISS = "lull; fwd=miss; stored"
NOT_STORED = "lull; fwd=miss"


class TaskTest(LullTest):
    def ask(self, lull, kind, text, dialect="openai", path=None, connection=None, raw=None, head=None,
            extra=(), **more):
        """One task, as Open WebUI sends it without custom headers."""
        c = connection or self.connect(lull)
        given = raw if raw is not None else body(kind, text, dialect, **more)
        return c.post(path or PATH[dialect], given,
                      (headers(dialect) if head is None else head) + list(extra))

    def hit(self, r, kind, ttl=None):
        """A hit: from the disk with its time to live, or from what is still being written."""
        self.assertEqual((r.status, r.task), (200, kind), r)
        m = re.fullmatch(r"lull; hit; (?:ttl=(\d+)|detail=pending)", r.cache_status)
        self.assertTrue(m, r.cache_status)
        if ttl is not None and m.group(1) is not None:
            self.assertLessEqual(int(m.group(1)), ttl)
            self.assertGreaterEqual(int(m.group(1)), ttl - 60)
        return r

    def missed(self, r, kind, stored=True):
        self.assertEqual((r.status, r.task), (200, kind), r)
        self.assertEqual(r.cache_status, MISS if stored else NOT_STORED)
        return r

    def bypass(self, r, kind, reason, code=200):
        self.assertEqual((r.status, r.task), (code, kind), r)
        self.assertEqual(r.cache_status, f"lull; fwd=bypass; detail={reason}")
        return r

    def well_formed(self, r, dialect, model=None, generate=False):
        """The answer as Open WebUI needs it."""
        self.assertEqual(r.status, 200)
        self.assertTrue(r.header("Content-Type").startswith("application/json"))
        self.assertIsNone(r.header("Content-Encoding"))
        self.assertEqual(r.header("Content-Length"), str(len(r.body)))
        document = r.json
        self.assertEqual(document["model"], model or prompts.MODEL[dialect])
        if dialect == "openai":
            self.assertEqual(document["object"], "chat.completion")
            self.assertEqual(len(document["choices"]), 1)
            choice = document["choices"][0]
            self.assertEqual((choice["index"], choice["finish_reason"]), (0, "stop"))
            self.assertEqual(choice["message"]["role"], "assistant")
        else:
            self.assertIs(document["done"], True)
            if not generate:
                self.assertEqual(document["message"]["role"], "assistant")
        self.assertIsInstance(r.content, str)

#!/usr/bin/env python3
"""What waits says why: GET /flights, POST /explain and lullctl, of a machine with one slot."""
import json

import prompts
from lull import LullTest, eventually, main
from prompts import PATH, headers
from upstream import Gate, good


class WaitsTest(LullTest):
    def post(self, lull, body, **more):
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(**more), body)
        return c

    def test_a_task_behind_a_chat(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up, slots=1)
        self.assertEqual(lull.control("GET", "/flights").json["flights"], [])
        chat = self.post(lull, prompts.chat_body("Hello").encode())
        up.wait_for(1)
        tags = prompts.body("tags", "Bread").encode()
        task = self.post(lull, tags, kind="tags")
        seen = eventually(lambda: (lambda s: s if s["flights"] else None)(lull.control("GET", "/flights").json))
        flight, = seen["flights"]
        self.assertEqual((flight["kind"], flight["state"], flight["why"], flight["waiters"], flight["requeued"]),
                         ("tags", "waiting", "chat", 1, 0))
        machine, = seen["machines"]
        self.assertEqual((machine["chats"], machine["running"], machine["waiting"], machine["quiet_s"]),
                         (1, 0, 1, None))
        e = lull.control("POST", "/explain", tags, [("X-Explain-" + n, v) for n, v in headers(kind="tags")]).json
        self.assertEqual((e["decision"], e["waits"]), ("miss", "chat"))
        p = lull.ctl("flights")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stdout, r"(?m)^tags +waiting +chat +[\d.]+ +[\d.]+ +1 +default +\S+$")
        self.assertRegex(p.stdout, r"(?m)^localhost +1 +0 +0 +1 ")
        p = lull.ctl("--json", "explain", "-", "X-OpenWebUI-Task: tags_generation", stdin=tags.decode())
        self.assertEqual(json.loads(p.stdout)["waits"], "chat")
        gate.open()
        self.assertEqual(chat.response().status, 200)
        self.assertEqual(task.response().status, 200)
        self.assertEqual(lull.control("GET", "/flights").json["flights"], [])


if __name__ == "__main__":
    main()

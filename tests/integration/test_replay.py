#!/usr/bin/env python3
"""Replays captured traffic: what unmodified Open WebUI releases sent. Every task must be recognised as
what it is, no chat may be touched, and the second pass must answer every task of a cached kind from
the cache. Without captures beside the checkout (../shared/traffic) the small set of requests in
tests/fixtures/requests is replayed alone.

The table of kinds, requests, recognised, hits goes to standard output.
"""
import collections
import glob
import json
import os
import re

import upstream as scripted
from client import Client
from lull import SOURCE, LullTest, main
from prompts import CACHED
from upstream import say, stream_events, good_content

TRAFFIC = os.path.join(os.path.dirname(SOURCE), "shared", "traffic")
FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "requests", "open-webui.jsonl")
NAMES = {"function_calling": "tool_selection", "moa": "chat"}
TASKS = set(CACHED) | {"tool_selection", "memory_review", "context_compaction"}
CONFIG = "[task autocomplete]\ndebounce = off\n"


class Record:
    """One captured request."""

    def __init__(self, raw, source, number):
        self.where = f"{source}:{number}"
        self.source = source
        self.method, self.target = raw["method"], raw["path"]
        self.headers = [tuple(h) for h in raw["headers"]]
        self.body = (raw.get("body") or "").encode()
        kind = raw["kind"]
        self.kind = NAMES.get(kind, kind)
        try:
            self.document = json.loads(self.body)
        except ValueError:
            self.document = None
        self.is_task = self.kind in TASKS

    @property
    def header(self):
        """Value of the task header; None where it is absent."""
        for n, v in self.headers:
            if n.lower() == "x-openwebui-task":
                return v
        return None

    @property
    def assembled(self):
        return self.target.split("?")[0].endswith(("/chat/completions", "/api/chat", "/api/generate"))

    @property
    def title_with_reply(self):
        if self.kind != "title" or not self.document:
            return False
        text = scripted.last_user_text(self.document) or json.dumps(self.document)
        turns = text[text.rfind("<chat_history>"):]
        return re.search(r"^ASSISTANT:[ \t]*\S", turns, re.M) is not None

    def without_task_header(self):
        return [(n, v) for n, v in self.headers if n.lower() != "x-openwebui-task"]

    def send(self, client, headers=None):
        # Host is the only header whose value was changed in the captures (its port is gone)
        client.start(self.method, self.target, headers or self.headers, self.body or None)
        return client.response()


def load(path):
    source = os.path.basename(path)
    with open(path, encoding="utf-8") as f:
        return [Record(json.loads(line), source, n) for n, line in enumerate(f, 1) if line.strip()]


def captures():
    """{file: records} of the captured traffic, then of the committed set."""
    files = sorted(glob.glob(os.path.join(TRAFFIC, "*.jsonl")))
    if os.path.exists(FIXTURES):
        files.append(FIXTURES)
    return {os.path.basename(f): load(f) for f in files}


def chat_answer(exchange):
    """A chat's reply: streamed or whole as asked, the same for the same request."""
    text = f"A reply to a request of {len(exchange.body)} bytes, \u00e4\u00f6\u00fc."
    if exchange.path.endswith("/responses"):
        say(text)(exchange)
    elif exchange.streaming:
        exchange.head(200, [("Content-Type", scripted.STREAM_TYPE[exchange.dialect])])
        for event in stream_events(exchange, text):
            exchange.piece(event)
        exchange.end()
    else:
        say(text)(exchange)


def task_answer(exchange):
    """A good answer for the task that the current record is."""
    kind = exchange.server.expected
    say(good_content(kind, exchange.serial))(exchange)


class Table:
    def __init__(self):
        self.rows = collections.defaultdict(collections.Counter)

    def text(self):
        order = [k for k in list(CACHED) + ["tool_selection", "memory_review", "context_compaction", "chat"]
                 if k in self.rows]
        order += sorted(k for k in self.rows if k not in order)
        lines = [f"{'kind':20} {'requests':>9} {'recognised':>11} {'bypassed':>9} {'hits on the 2nd pass':>21} {'to be hit':>10}"]
        for kind in order:
            r = self.rows[kind]
            task = kind in TASKS
            lines.append(f"{kind:20} {r['requests']:>9} {r['recognised'] if task else '-':>11} "
                         f"{r['bypassed'] if task else '-':>9} {r['hits'] if kind in CACHED else '-':>21} "
                         f"{r['due'] if kind in CACHED else '-':>10}")
        return "\n".join(lines)


class Replay(LullTest):
    def setUp(self):
        super().setUp()
        self.files = captures()
        if not self.files:
            self.skipTest("there is neither ../shared/traffic nor tests/fixtures/requests/open-webui.jsonl")
        self.table = Table()
        self.wrong = []

    def prepared(self):
        up = self.upstream()
        up.expected = "chat"
        up.when(lambda e: e.server.expected in TASKS, task_answer)
        up.when(lambda e: e.server.expected == "chat", chat_answer)
        return up, self.lull(up, more=CONFIG)

    def note(self, record, what):
        self.wrong.append(f"{record.where} ({record.kind}): {what}")

    def one(self, up, client, record, second, headers=None):
        """Replays one record and looks at everything that can be seen of it."""
        up.expected = record.kind
        before = up.count()
        r = record.send(client, headers)
        calls = up.count() - before
        row = self.table.rows[record.kind]
        if not second:
            row["requests"] += 1
        if record.is_task:
            self.task(up, record, r, calls, second, row)
        else:
            self.untouched(up, record, r, calls)

    def untouched(self, up, record, r, calls):
        if r.task is not None or r.header("Cache-Status") is not None:
            self.note(record, f"taken for a task: {r.task}, {r.cache_status}")
            return
        if calls != 1:
            self.note(record, f"{calls} calls")
            return
        e = up.records[-1]
        if e.body != record.body:
            self.note(record, "the body was changed")
        if e.method != record.method or e.target != record.target.replace("//", "/"):
            self.note(record, f"became {e.method} {e.target}")
        want = end_to_end(record.headers)
        have = [h for h in end_to_end(e.headers)  # the captures leave it out
                if h[0] != "Content-Length" or any(w[0].lower() == "content-length" for w in want)]
        if have != want:
            self.note(record, f"headers changed: {have} from {want}")
        if r.body != e.payload:
            self.note(record, "the answer was changed")

    def task(self, up, record, r, calls, second, row):
        if r.task != record.kind:
            self.note(record, f"seen as {r.task}")
            return
        if not second:
            row["recognised"] += 1
        if not record.assembled:
            row["bypassed"] += not second
            if "fwd=bypass" not in r.cache_status or calls != 1:
                self.note(record, f"not bypassed: {r.cache_status}, {calls} calls")
            return
        hit = "; hit" in r.cache_status
        if record.kind in CACHED and second and not record.title_with_reply:
            row["due"] += 1
            row["hits"] += hit
            if not hit or calls:
                self.note(record, f"second pass: {r.cache_status}, {calls} calls")
        if record.kind not in CACHED and (hit or calls != 1):
            self.note(record, f"is not cached, but {r.cache_status}, {calls} calls")
        if r.status != 200:
            self.note(record, f"status {r.status}")

    def replay(self, up, lull, second=False):
        for records in self.files.values():
            with Client(lull.port) as client:
                for record in records:
                    self.one(up, client, record, second)

    def check_all(self):
        print("\n" + self.table.text())
        if self.wrong:
            self.fail(f"{len(self.wrong)} of the requests:\n" + "\n".join(self.wrong[:40]))

    def test_two_passes(self):
        up, lull = self.prepared()
        self.replay(up, lull)
        lull.check()
        stats = lull.stats()
        want = collections.Counter(r.kind for rs in self.files.values() for r in rs if r.is_task)
        self.assertEqual({k: t["requests"] for k, t in stats["tasks"].items()}, dict(want))
        lull.committed()
        self.replay(up, lull, second=True)
        print(f"\nreplay of {sum(map(len, self.files.values()))} requests in {len(self.files)} files, twice:", end="")
        self.check_all()

    def test_second_pass_after_a_restart(self):
        up, lull = self.prepared()
        self.replay(up, lull)
        lull.restart()
        self.replay(up, lull, second=True)
        if self.wrong:
            self.fail(f"{len(self.wrong)} of the requests:\n" + "\n".join(self.wrong[:40]))

    def test_by_text_alone(self):
        """Without the task header: the prompts' texts must say the same. A person's pasted prompt whose
        answer is not streamed is the known exception that only the header can tell."""
        up, lull = self.prepared()
        n = 0
        for name, records in self.files.items():
            if "pasted-prompts-nostream" in name:
                continue
            with Client(lull.port) as client:
                for record in records:
                    if not record.assembled or record.header is None:
                        continue
                    n += 1
                    up.expected = record.kind
                    r = record.send(client, record.without_task_header())
                    want = record.kind if record.is_task else None
                    if r.task != want:
                        self.note(record, f"by its text alone: {r.task}")
        if n == 0:
            self.skipTest("no captured request carries the task header")
        print(f"\n{n} requests with a task header, asked without it")
        if self.wrong:
            self.fail("\n".join(self.wrong[:40]))

    def test_pasted_prompts_that_are_not_streamed(self):
        """The ending tells them apart even without the header: they go on after the template."""
        up, lull = self.prepared()
        n = 0
        for name, records in self.files.items():
            if "pasted-prompts" not in name:
                continue
            with Client(lull.port) as client:
                for record in records:
                    if record.kind != "chat":
                        continue
                    n += 1
                    up.expected = "chat"
                    r = record.send(client, record.without_task_header())
                    if r.task is not None:
                        self.note(record, f"a person's chat seen as {r.task}")
        if n == 0:
            self.skipTest("no pasted prompts among the captures")
        if self.wrong:
            self.fail("\n".join(self.wrong[:40]))


def end_to_end(headers):
    """Headers but Host and hop-by-hop ones, in order and case."""
    drop = {"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
    return [(n, v) for n, v in headers if n.lower() not in drop]


if __name__ == "__main__":
    main()

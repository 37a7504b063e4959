"""Model servers of the features pass, whose answers depend on nothing but what they are asked: two Open
WebUIs, one with lulld between, must show the same. A task behind a conversation and the same task as
Open WebUI wrote it get one answer, made from the user's last message.

What a chat is answered is said in its text: [[slow]], [[stall]], [[cut]], [[think]], [[code]],
[[error N]], [[tool NAME JSON]].
"""
import hashlib
import json
import re
import time

from stage import TASKS
from upstream import BEHIND, STREAM_TYPE, Gone, Upstream, message_text, say, stream_events

KINDS = (*TASKS, "emoji", "image_prompt", "tool_selection", "memory_review", "context_compaction")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CHANGING = [(re.compile(p), by) for p, by in (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)?)?", "TIME"), (r"\b1[789]\d{8}\b", "TIME"),
    (r"127\.0\.0\.1:\d+(/@\w+)?", "HOST"))]


def steady(value):
    """As text, without what differs between two runs: ids, times, ports."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    for pattern, by in CHANGING:
        text = pattern.sub(by, text)
    return text


def digest(*values):
    return hashlib.sha1(" ".join(map(steady, map(str, values))).encode()).hexdigest()[:6]


def subject(e):
    """What a task is about: the user's last message where it has a history, else its whole text."""
    messages = e.json["messages"]
    text = message_text(messages[-1])
    if text.startswith(BEHIND):
        return [message_text(m) for m in messages[:-1] if m["role"] == "user"][-1].strip()[:400]
    history = text.rfind("USER: ")
    if e.kind in ("title", "tags", "follow_up", "query") and history >= 0:
        return re.split(r"\nASSISTANT:|\n</chat_history>", text[history + 6:])[0].strip()[:400]
    return text


def task_content(kind, about):
    d = digest(kind, about)
    return {"title": json.dumps({"title": f"Title {d} \u00e9\U0001f680"}),
            "tags": json.dumps({"tags": ["Technology", f"Tag {d}"]}),
            "follow_up": json.dumps({"follow_ups": [f"What next, {d}?", "\u0648\u0627\u0644\u0622\u0646\u061f"]}),
            "query": json.dumps({"queries": [f"latency {d}", "percentiles"]}),
            "autocomplete": json.dumps({"text": f" and so on, {d}"}), "emoji": "\U0001f60a",
            "image_prompt": json.dumps({"prompt": f"A lighthouse, {d}"}),
            "tool_selection": json.dumps({"tool_calls": [{"name": "add", "parameters": {"a": 2, "b": 40}}]}),
            "memory_review": json.dumps({"operations": []}), "context_compaction": f"Summary {d}."}[kind]


def tool_call(e, name, arguments):
    """One tool call, streamed."""
    model = e.json["model"]
    e.head(200, [("Content-Type", STREAM_TYPE[e.dialect])])
    if e.dialect == "ollama":
        message = {"role": "assistant", "content": "",
                   "tool_calls": [{"function": {"name": name, "arguments": json.loads(arguments)}}]}
        e.piece(json.dumps({"model": model, "message": message, "done": False}) + "\n")
        e.piece(json.dumps({"model": model, "message": {"role": "assistant", "content": ""}, "done": True,
                            "done_reason": "stop"}) + "\n")
    else:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        for delta, finish in (({"role": "assistant", "tool_calls": [call]}, None), ({}, "tool_calls")):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            e.piece("data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": model,
                                           "choices": [choice]}) + "\n\n")
        e.piece("data: [DONE]\n\n")
    e.end()


class Mirror(Upstream):
    """models: their names. key: if set, any other Authorization is 401."""

    def __init__(self, models):
        super().__init__()
        self.names, self.key = models, None
        self.when(lambda e: e.kind in KINDS, self.task)
        self.when(lambda e: e.kind in ("chat", "moa"), self.chat)
        self.when(lambda e: e.path.endswith(("/v1/models", "/api/tags")), self.list)
        self.when(lambda e: "/images/" in e.path,
                  lambda e: e.full(200, "application/json", json.dumps({"data": [{"b64_json": PIXEL}]})))
        self.when(lambda e: self.key and e.header("Authorization") != "Bearer " + self.key and not e.is_probe,
                  lambda e: e.full(401, "application/json", '{"error":{"message":"Incorrect API key","type":"auth"}}'))

    def list(self, e):
        if e.dialect == "ollama":
            body = {"models": [{"name": n, "model": n, "size": 1, "digest": "0" * 64, "details": {"family": "llama"},
                                "modified_at": "2026-01-02T03:04:05Z"} for n in self.names]}
        else:
            body = {"object": "list", "data": [{"id": n, "object": "model", "owned_by": "x"} for n in self.names]}
        e.full(200, "application/json", json.dumps(body))

    @staticmethod
    def task(e):
        e.pause(0.1)
        say(task_content(e.kind, subject(e)))(e)

    @staticmethod
    def chat(e):
        messages = e.json.get("messages") or [{"role": "user", "content": str(e.json.get("prompt"))}]
        asked = [message_text(m) for m in messages if m["role"] == "user"][-1]
        found = re.search(r"\[\[(\w+) ?(\w*) ?(\{.*?\})?\]\]", asked)
        sign, name, arguments = found.groups() if found else (None, None, None)
        e.pause(0.15)
        if sign == "error":
            e.full(int(name), "application/json", '{"error":{"message":"not now"}}', [("Retry-After", "3")])
        elif sign == "tool" and messages[-1]["role"] == "user" and e.json.get("tools"):
            tool_call(e, name, arguments)
        else:
            Mirror.reply(e, messages, asked, sign)

    @staticmethod
    def reply(e, messages, asked, sign):
        e.answer = f"Reply {digest(asked, len(messages), e.json['model'])}: " + \
            " ".join(f"w{i}" for i in range(1500 if sign == "slow" else 12)) + " \u00fc\U0001f680 \u0633\u0644\u0627\u0645."
        if messages[-1]["role"] == "tool":
            e.answer = "The tool said " + message_text(messages[-1])
        elif sign == "think":
            e.answer = "<think>\nhmm {x}\n</think>\n\n" + e.answer
        elif sign == "code" and not any(m["role"] == "assistant" for m in messages):
            e.answer = '<code_interpreter type="code" lang="python">\nprint(1)\n</code_interpreter>'
        if not e.streaming:
            say(e.answer)(e)
            return
        e.head(200, [("Content-Type", STREAM_TYPE[e.dialect])])
        try:
            for i, event in enumerate(stream_events(e, e.answer)):
                if i == 6 and sign == "cut":
                    e.cut()
                e.pause(2 if i == 6 and sign == "stall" else 0.03)
                e.piece(event)
            e.end()
        except Gone:
            e.left = time.monotonic()
            raise

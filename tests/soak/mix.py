"""What the soak test asks and what the model server answers, as functions of a number.

A captured request becomes a template: its bytes with one place for a mark, "[soak 00001234] ". Requests
with the same template and number are equal. The model server finds the mark in what reaches it and answers
from the number, so that the load can say of every answer whether it belongs to its request.
"""
import glob
import json
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from prompts import CACHED  # noqa: E402
from upstream import kind_of  # noqa: E402

CAPTURES = os.path.join(os.path.dirname(ROOT), "shared", "traffic")
FIXTURES = os.path.join(ROOT, "tests", "fixtures", "requests", "open-webui.jsonl")
MARK = re.compile(r"\[soak (\d{8})\]")
KINDS = {"function_calling": "tool_selection", "moa": "chat", "embed": "other", "models": "other", "ps": "other",
         "version": "other"}
TASKS = (*CACHED, "tool_selection", "memory_review", "context_compaction")
ASKED_ONCE = ("chat", "tool_selection", "memory_review", "context_compaction")  # kinds that no cache answers
HARMLESS = {"title": '{"title": ""}', "tags": '{"tags": []}', "follow_up": '{"follow_ups": []}',
            "autocomplete": '{"text": ""}', "emoji": ""}
FAULTS = ("reset", "close", "500", "503", "garbage", "page", "cut", "cut by a reset", "hang", "hang inside")
WORDS = ("harbour lighthouse morning ferry signal copper ladder window garden letter river bridge evening market "
         "paper lantern winter orchard engine valley").split()


# ---- answers ------------------------------------------------------------------------------------------
def mark(number):
    return f"[soak {number:08d}] "


def number_in(text):
    """The number of the marks in a request; None without one, -1 where two requests were mixed up."""
    found = set(MARK.findall(text))
    if len(found) > 1:
        return -1
    return int(found.pop()) if found else None


def typed_in(body):
    """The text that the request of an autocomplete has typed; the phrases need no escape in JSON."""
    end = body.rindex("</text>")
    return body[body.rindex("<text>", 0, end) + len("<text>"):end]


def fault_of(number, kind):
    """The fault that the first call for this number and kind meets: 1 % of them."""
    drawn = zlib.crc32(f"{kind} {number}".encode())
    return FAULTS[drawn // 100 % len(FAULTS)] if drawn % 100 == 0 else None


def phrase(number):
    """The text that a user types, key by key."""
    return mark(number) + " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(40))


def suggestion(text, number):
    """The model's continuation of a text that is typed: some words of the phrase."""
    whole = phrase(number)
    if not whole.startswith(text):
        return None
    end = whole.find(" ", min(len(whole), len(text) + 20))
    return whole[len(text):end if end > 0 else len(whole)]


def content(kind, number, text=""):
    """The model's answer to a request of that kind; text: what was typed."""
    if kind == "autocomplete":
        return json.dumps({"text": suggestion(text, number) or ""})
    return {
        "title": json.dumps({"title": f"Title {number}"}),
        "tags": json.dumps({"tags": ["Technology", f"Tag {number}"]}),
        "follow_up": json.dumps({"follow_ups": [f"What next, {number}?", "And then?"]}),
        "query": json.dumps({"queries": [f"query {number}", "second query"]}),
        "emoji": "\U0001f60a",
        "image_prompt": json.dumps({"prompt": f"A lighthouse at dawn, {number}"}),
        "tool_selection": json.dumps({"tool_calls": []}),
        "memory_review": json.dumps({"operations": []}),
        "context_compaction": f"Summary {number} of the conversation so far.",
    }.get(kind) or f"Reply {number}. " + " ".join(WORDS[(number + i) % len(WORDS)] for i in range(12))


def form_of(path):
    path = path.split("?")[0]
    for end, form in (("/responses", "responses"), ("/chat/completions", "openai"), ("/completions", "completion"),
                      ("/api/chat", "ollama"), ("/api/generate", "generate"), ("/messages", "messages")):
        if path.endswith(end):
            return form
    return None


def whole(form, model, text):
    """A whole answer in one of the forms."""
    if form == "openai":
        return {"id": "c", "object": "chat.completion", "model": model, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 9, "total_tokens": 99}}
    if form == "completion":
        return {"id": "c", "object": "text_completion", "model": model, "choices": [
            {"index": 0, "text": text, "finish_reason": "stop"}]}
    if form == "responses":
        return {"id": "r", "object": "response", "status": "completed", "model": model, "output": [
            {"type": "message", "id": "m", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": text, "annotations": []}]}]}
    if form == "messages":
        return {"id": "m", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
                "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 90, "output_tokens": 9}}
    end = {"model": model, "created_at": "2026-01-02T03:04:05Z", "done": True, "done_reason": "stop",
           "prompt_eval_count": 90, "prompt_eval_duration": 1000000, "eval_count": 9, "eval_duration": 20000000,
           "total_duration": 25000000}
    return {**end, "response": text} if form == "generate" else {**end, "message": {"role": "assistant", "content": text}}


def pieces(form, model, text):
    """A streamed answer: the text in pieces of eight characters, and the end mark of the form."""
    cut = [text[i:i + 8] for i in range(0, len(text), 8)]
    if form in ("ollama", "generate"):
        out = []
        for piece in cut:
            line = whole(form, model, piece)
            out.append(json.dumps({k: line[k] for k in ("model", "created_at", "message", "response") if k in line}
                                  | {"done": False}) + "\n")
        return [*out, json.dumps(whole(form, model, "")) + "\n"]
    if form == "responses":
        out = [{"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": p} for p in cut]
        return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in
                [*out, {"type": "response.completed", "response": whole(form, model, text)}]]
    base = {"id": "c", "object": "chat.completion.chunk", "model": model}
    out = [{**base, "choices": [{"index": 0, "delta": {"content": p}, "finish_reason": None}]} for p in cut]
    out.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [f"data: {json.dumps(e)}\n\n" for e in out] + ["data: [DONE]\n\n"]


def content_of(body):
    """The text of a whole answer in any of the forms."""
    document = json.loads(body)
    if "choices" in document:
        choice = document["choices"][0]
        return choice["text"] if "text" in choice else choice["message"]["content"]
    if "output" in document:
        return document["output"][0]["content"][0]["text"]
    if isinstance(document.get("content"), list):
        return document["content"][0]["text"]
    return document["response"] if "response" in document else document["message"]["content"]


# ---- requests -----------------------------------------------------------------------------------------
USER_TURN = re.compile(r'"role": ?"user", ?"content": ?(?:"|\[\{"type": ?"(?:input_)?text", ?"text": ?")')
END_OF_TURN = re.compile(r'(?<!\\)"(?:\}\])?\}')
INPUT = re.compile(r'"input": ?\[?"')


class Template:
    """A captured request with a place for the mark."""

    def __init__(self, raw, source):
        self.source = source
        self.kind = KINDS.get(raw["kind"], raw["kind"])
        self.captured_kind = raw["kind"]
        self.method, self.target = raw["method"], raw["path"]
        self.headers = [(n, v) for n, v in raw["headers"] if n.lower() not in ("host", "content-length", "authorization",
                                                                              "x-openwebui-user-id")]
        names = {n.lower() for n, _ in raw["headers"]}
        self.with_key, self.with_user = "authorization" in names, "x-openwebui-user-id" in names
        self.form = form_of(self.target)
        self.ollama = "/api/" in self.target
        body = raw.get("body") or ""
        self.before, self.after = self.split(body)
        self.empty = not body
        document = json.loads(body) if body else {}
        self.model = document.get("model", "m")
        self.stream = bool(document.get("stream", self.form in ("ollama", "generate")))

    def split(self, body):
        """The body before and behind the mark; for an autocomplete the typed text stands there."""
        if not body:
            return "", ""
        if self.kind == "autocomplete":
            end = body.rindex("</text>")
            return body[:body.rindex("<text>", 0, end) + len("<text>")], body[end:]
        at = self.place(body)
        if at is None:
            raise ValueError(f"{self.source}: no place for a mark")
        return body[:at], body[at:]

    def place(self, body):
        if self.captured_kind == "embed":
            found = INPUT.search(body)
            return found.end() if found else None
        if self.kind == "emoji" and "Message: ```" in body:
            return body.rindex("Message: ```") + len("Message: ```")
        history = "<chat_history>\\nUSER: "
        if self.kind != "chat" and history in body:
            return body.rindex(history) + len(history)
        turns = list(USER_TURN.finditer(body))
        if self.kind == "chat":
            return turns[0].end() if turns else None
        end = END_OF_TURN.search(body, turns[-1].end()) if turns else None
        return end.start() if end else None

    def body(self, number, typed=0):
        """The bytes of a request; typed: how many characters of the phrase, for an autocomplete."""
        if self.empty:
            return b""
        text = phrase(number)[:typed] if self.kind == "autocomplete" else mark(number)
        return (self.before + text + self.after).encode()

    def head(self, number, length, authority):
        """The head, with the number's own key and user."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{n}: {v}" for n, v in self.headers]
        if self.with_key:
            lines.append(f"Authorization: Bearer sk-soak-{number % 5}")
        if self.with_user:
            lines.append(f"X-OpenWebUI-User-Id: user-{number % 40}")
        if not self.empty:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def is_known(self):
        """Whether the model server takes it for the kind that it is: not all prompts of older versions."""
        document = json.loads(self.before + self.after) if self.before else {}
        seen = kind_of(self.target, document)
        return self.form is None or KINDS.get(seen, seen) == self.kind

    def usable(self):
        """Whether the model server of this test answers it, and the answer has the number in it."""
        if self.method == "GET":
            return True
        return self.captured_kind == "embed" or self.kind == "other" or self.form is not None


def templates():
    """Templates of the captured traffic; of the committed requests where there is none beside the checkout."""
    files = sorted(glob.glob(os.path.join(CAPTURES, "*.jsonl"))) or [FIXTURES]
    out, left = [], 0
    for path in files:
        with open(path, encoding="utf-8") as f:
            for line in f:
                raw = json.loads(line)
                try:
                    template = Template(raw, os.path.basename(path))
                except ValueError:
                    left += 1
                    continue
                if template.usable() and template.is_known():
                    out.append(template)
                else:
                    left += 1
    return out, left

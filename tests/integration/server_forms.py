"""Answers as model servers write them: one thing said, in the forms of llama.cpp, vLLM, LM Studio, LiteLLM,
OpenRouter, hosted APIs and Ollama, streamed and whole. What a server puts around the text is chosen at random."""
import json
import random

from upstream import STREAM_TYPE

OPENAI_ERRORS = [
    lambda code: {"error": {"message": "out of memory", "type": "server_error", "code": code}},
    lambda code: {"error": {"message": "out of memory", "code": str(code)}},
    lambda code: {"error": "out of memory", "status": code},
    lambda code: {"object": "error", "message": "out of memory", "type": "InternalServerError", "code": code},
    lambda code: {"id": "g-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error",
                                            "error": {"code": code, "message": "Provider returned error"}}]},
    lambda code: {"error": {"message": "out of memory"}},
]


def pieces_of(text, rng):
    """Tokens, of one to nine characters."""
    out, at = [], 0
    while at < len(text):
        n = rng.randint(1, 9)
        out.append(text[at:at + n])
        at += n
    return out


class Said:
    """What the model says, and how its server puts it. fault: None, "error", "late error", "cut", "tools",
    "choices", "plain", "streams" (whatever was asked), "page", "refuses" (what lull adds)."""

    def __init__(self, content, thinking="", finish="stop", fault=None, seed=0):
        self.content, self.thinking, self.finish, self.fault, self.seed = content, thinking, finish, fault, seed
        self.rng = random.Random(seed)
        pick = self.rng.choice
        self.counts = {"prompt_tokens": self.rng.randint(1, 900), "completion_tokens": self.rng.randint(1, 90)}
        self.code = pick([400, 404, 422, 500, 500, 502, 503])
        self.error = pick(OPENAI_ERRORS)
        self.thought_in = pick(["reasoning_content", "reasoning_content", "reasoning", "both"])
        self.newline = pick(["\n\n", "\n\n", "\r\n\r\n"])
        self.data = pick(["data: ", "data: ", "data:"])
        self.ascii = pick([True, False])
        self.compact = pick([(",", ":"), (", ", ": ")])
        self.usage_in = pick(["own, empty", "own, empty", "own, null", "own, none", "last", "every", "never"])
        self.last = pick(["empty delta", "empty text", "null text", "with the text", "no delta"])
        self.first = pick(["role, empty", "role, null", "role, token", "none"])
        self.extras = pick([{}, {}, {"logprobs": None}, {"logprobs": {"content": []}}, {"native_finish_reason": None}])
        self.delta_extras = pick([{}, {}, {"tool_calls": []}, {"refusal": None, "function_call": None},
                                  {"role": "assistant"}, {"tool_calls": None, "reasoning_content": None}])
        self.root_extras = pick([{}, {}, {"system_fingerprint": None}, {"error": None}, {"provider": "P", "obfuscation": "x"}])
        self.comments = pick([None, None, ": keep-alive", ": OPENROUTER PROCESSING", "event: message", "id: 7"])
        self.pings = pick([None, None, None, {}, {"type": "ping"}, {"choices": [], "prompt_filter_results": []}])
        self.end = pick(["[DONE]", "[DONE]", "[DONE]", "none"]) if fault != "streams" else "[DONE]"
        self.stops = pick([False, False, False, False, True])  # every event has the finish reason: gateways before Gemini
        self.marked = pick([False, False, False, False, True])  # a byte order mark
        self.framing = pick(["chunked", "chunked", "length", "close"])
        self.parts = pick([False, False, False, False, True])  # the content as a list of parts
        self.nulls = pick([False, False, True])  # null in place of an empty text
        self.whole_last = pick([False, False, False, False, True])  # the last event repeats the whole message

    # -- OpenAI ----------------------------------------------------------------------------------
    def _thought(self, text):
        names = ["reasoning", "reasoning_content"] if self.thought_in == "both" else [self.thought_in]
        return {name: text for name in names}

    def _text(self, text):
        return [{"type": "text", "text": text}] if self.parts else text

    def usage(self):
        return {**self.counts, "total_tokens": sum(self.counts.values()), "prompt_tokens_details": None}

    def _chunk(self, delta, finish=None, **more):
        choice = {"index": 0, "delta": {**self.delta_extras, **delta}, "finish_reason": finish, **self.extras}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000, "model": "served",
                "choices": [choice], **self.root_extras, **more}

    def _ending(self, events):
        finish = self.finish
        usage = {"usage": self.usage()} if self.usage_in == "last" else {}
        if self.last == "with the text" and events and events[-1]["choices"]:
            events[-1]["choices"][0]["finish_reason"] = finish
            events[-1].update(usage)
        elif self.last == "no delta":
            events.append({**self._chunk({}, finish, **usage), "choices": [{"index": 0, "finish_reason": finish}]})
        else:
            delta = {"empty text": {"content": ""}, "null text": {"content": None}}.get(self.last, {})
            events.append(self._chunk(delta, finish, **usage))
        if self.whole_last:
            events[-1]["choices"][0]["message"] = {"role": "assistant", "content": self.content}

    def openai_events(self, wants_usage):
        rng = random.Random(self.seed)
        events = []
        if self.first == "role, empty":
            events.append(self._chunk({"role": "assistant", "content": ""}))
        elif self.first == "role, null":
            events.append(self._chunk({"role": "assistant", "content": None}))
        events += [self._chunk({"content": rng.choice([None, ""]), **self._thought(p)}) for p in pieces_of(self.thinking, rng)]
        if self.thinking and rng.random() < .5:
            events.append(self._chunk({"content": "", **self._thought("")}))
        events += [self._chunk({"content": self._text(p)}) for p in pieces_of(self.content, rng)]
        if self.fault == "tools":
            events.append(self._chunk({"tool_calls": [{"index": 0, "id": "c", "type": "function",
                                                       "function": {"name": "f", "arguments": "{}"}}]}))
        if self.fault == "choices":
            events.append({**self._chunk({"content": "other"}), "choices": [
                {"index": 1, "delta": {"content": "other"}, "finish_reason": None}]})
        if self.first == "role, token" and events:
            events[0]["choices"][0]["delta"] = {"role": "assistant", **events[0]["choices"][0]["delta"]}
        self._ending(events)
        for event in events if self.stops else []:
            event["choices"][0]["finish_reason"] = self.finish
        if self.usage_in == "every":
            for i, event in enumerate(events):
                event["usage"] = {"prompt_tokens": self.counts["prompt_tokens"], "completion_tokens": i}
            events[-1]["usage"] = self.usage()
        elif self.usage_in.startswith("own") and wants_usage:
            choices = {"own, empty": {"choices": []}, "own, null": {"choices": None}, "own, none": {}}[self.usage_in]
            own = {k: v for k, v in self._chunk({}).items() if k != "choices"}
            events.append({**own, **choices, "usage": self.usage()})
        return events

    def _sse(self, events):
        rng = random.Random(self.seed)
        out = []
        for event in events:
            if self.comments and rng.random() < .3:
                out.append(self.comments + self.newline)
            if self.pings is not None and rng.random() < .2:
                out.append(self.data + json.dumps(self.pings) + self.newline)
            out.append(self.data + json.dumps(event, ensure_ascii=self.ascii, separators=self.compact) + self.newline)
        if self.end == "[DONE]":
            out.append(self.data + "[DONE]" + self.newline)
        return out

    def openai_whole(self):
        message = {"role": "assistant", "content": self._text(self.content), **self.delta_extras}
        if self.thinking:
            message.update(self._thought(self.thinking))
        if self.content == "" and self.nulls:
            message["content"] = None
        if self.fault == "tools":
            message["tool_calls"] = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        choices = [{"index": 0, "message": message, "finish_reason": self.finish, **self.extras}]
        if self.fault == "choices":
            choices.append({"index": 1, "message": {"role": "assistant", "content": "other"}, "finish_reason": "stop"})
        whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": "served",
                 "choices": choices, **self.root_extras}
        if self.usage_in != "never":
            whole["usage"] = self.usage()
        return whole

    # -- Ollama ----------------------------------------------------------------------------------
    def _line(self, body, **more):
        return {"model": "served", "created_at": f"2026-01-02T03:04:05.{self.rng.randint(0, 10 ** 9 - 1):09d}Z", **body, **more}

    def _message(self, content, more, generate):
        if generate:
            return {"response": content or "", **more}
        return {"message": {"role": "assistant", "content": content, **more}}

    def _figures(self):
        return {"done": True, "done_reason": self.finish, "total_duration": 25_000_000, "load_duration": 1_000_000,
                "prompt_eval_count": self.counts["prompt_tokens"], "prompt_eval_duration": 4_000_000,
                "eval_count": self.counts["completion_tokens"], "eval_duration": 20_000_000}

    def ollama_events(self, generate):
        rng = random.Random(self.seed)

        def message(content, **more):
            return self._message(content, more, generate)
        empty = None if self.nulls else ""
        events = [self._line(message(empty, thinking=p), done=False) for p in pieces_of(self.thinking, rng)]
        events += [self._line(message(p), done=False) for p in pieces_of(self.content, rng)]
        if self.fault in ("tools", "choices") and not generate:
            events.append(self._line(message("", tool_calls=[{"function": {"name": "f", "arguments": {}}}]), done=False))
        if self.last == "with the text" and events:
            events[-1].update(self._figures())
        else:
            events.append(self._line(message(empty), **self._figures()))
        return events

    def ollama_whole(self, generate):
        more = {"thinking": self.thinking} if self.thinking else {}
        if self.fault in ("tools", "choices") and not generate:
            more["tool_calls"] = [{"function": {"name": "f", "arguments": {}}}]
        return self._line(self._message(self.content or (None if self.nulls else ""), more, generate), **self._figures())

    # -- on the wire -----------------------------------------------------------------------------
    def body(self, dialect, streamed, wants_usage=False, generate=False):
        """(status, content type, body), as bytes. A fault may put another one in its place."""
        error = self.error(self.code) if dialect == "openai" else {"error": "out of memory"}
        if self.fault == "page":
            return 200, "text/html", b"<html><body>Bad gateway</body></html>"
        if self.fault in ("error", "late error") and not streamed:
            return self.code, "application/json", json.dumps(error).encode()
        if self.fault == "refuses" and (streamed or wants_usage):
            return 400, "application/json", json.dumps({"error": {"message": "unknown field stream"}}).encode()
        if self.fault == "plain" or not streamed and self.fault != "streams":
            whole = self.openai_whole() if dialect == "openai" else self.ollama_whole(generate)
            text = json.dumps(whole, ensure_ascii=self.ascii, separators=self.compact)
            return 200, "application/json", text.encode()
        events = self.openai_events(wants_usage) if dialect == "openai" else self.ollama_events(generate)
        if self.fault == "error":
            events = [error]
        elif self.fault == "late error":
            events = events[:random.Random(self.seed).randint(1, len(events) - 1)] + [error] if len(events) > 1 else [error]
        if dialect == "openai":
            text = ("\ufeff" if self.marked else "") + "".join(self._sse(events))
        else:
            text = "".join(json.dumps(e, ensure_ascii=self.ascii, separators=self.compact) + "\n" for e in events)
        return 200, STREAM_TYPE[dialect], text.encode()

    def rule(self, exchange):
        """A rule of the scripted model server (upstream.py)."""
        rng = random.Random(self.seed)
        wants = bool((exchange.json.get("stream_options") or {}).get("include_usage"))
        generate = exchange.path.endswith("/api/generate")
        status, kind, body = self.body(exchange.dialect, exchange.streaming, wants, generate)
        if self.fault == "cut":
            exchange.head(status, [("Content-Type", kind)], length=len(body))
            exchange.piece(body[:rng.randint(0, len(body) - 1)])
            exchange.cut()
        if self.framing == "close":
            exchange.head(status, [("Content-Type", kind), ("Connection", "close")], chunked=False)
        else:
            exchange.head(status, [("Content-Type", kind)], length=len(body) if self.framing == "length" else None)
        at = 0
        while at < len(body):
            n = rng.choice([1, 7, 40, 200, 1000, len(body)])
            exchange.piece(body[at:at + n])
            at += n
        exchange.end()
        if self.framing == "close":
            exchange.cut()

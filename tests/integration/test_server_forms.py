#!/usr/bin/env python3
"""What Open WebUI reads from lull's answer to a task is what it reads from the server's own.

Random answers, in the forms of all model servers (server_forms.py), to random kinds of tasks: asked in both APIs, of
servers of both, a second time (a hit, where it was stored), and by two at once (who share a call). The models below do
what utils/middleware.py, utils/response.py and src/lib/apis/index.ts of Open WebUI 0.11 and 0.12 do. Where Open WebUI
reads nothing from the server's own answer, lull may serve what the model meant (it mends answers), and nothing else.

LULL_FORMS: how many answers for each test; LULL_FORMS_SEED: others than those of the test."""
import json
import os
import random

import prompts
from lull import SANITIZED, LullTest, main
from server_forms import Said

CASES = int(os.environ.get("LULL_FORMS", 500 if SANITIZED else 1500))
SEED = int(os.environ.get("LULL_FORMS_SEED", 20261130))
KINDS = ("title", "tags", "follow_up", "query", "autocomplete", "image_prompt", "emoji", "tool_selection",
         "memory_review", "context_compaction")
MEMBERS = {"title": "title", "tags": "tags", "follow_up": "follow_ups", "query": "queries", "image_prompt": "prompt",
           "autocomplete": "text", "tool_selection": "tool_calls", "memory_review": "operations"}
NOTHING = "nothing"


def as_openai(dialect, document):
    """convert_response_ollama_to_openai() of an answer of Ollama's; any other as it is."""
    if dialect == "openai":
        return document
    message = document.get("message", {"content": document.get("response"), "thinking": document.get("thinking")})
    out = {"role": "assistant", "content": message.get("content", "")}
    if message.get("thinking"):
        out["reasoning_content"] = message["thinking"]
    if message.get("tool_calls"):
        out["tool_calls"] = message["tool_calls"]
    return {"choices": [{"index": 0, "message": out}]}


def value_of(kind, content, thinking):
    """What the kind's parser makes of a content; NOTHING: the person sees none."""
    if kind == "context_compaction":
        return content.strip() or NOTHING
    if kind == "emoji":
        return next((c for c in content if c in "\U0001f600\U0001f680\u2764"), NOTHING)
    text = content or (thinking if kind in ("title", "tags", "follow_up", "memory_review") else "")
    start = text.rfind("{") if kind in ("query", "image_prompt") else text.find("{")
    piece = text[start:text.rfind("}") + 1]
    try:
        value = json.loads(piece).get(MEMBERS[kind])
    except ValueError:
        value = None
        if kind in ("query", "autocomplete") and text:
            return ["raw", text]  # searched for, or shown as it is
    if kind == "follow_up" and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        return NOTHING
    return NOTHING if value in (None, "", []) else value


def read(kind, dialect, status, content_type, body):
    """What Open WebUI makes of an answer. "error": it has none, and says so where the kind has a message."""
    if status >= 400:
        return "error"
    if "json" not in content_type:
        return NOTHING
    try:
        document = as_openai(dialect, json.loads(body))
    except ValueError:
        return NOTHING
    if len(document.get("choices") or []) != 1:
        return NOTHING
    message = document["choices"][0].get("message", {})
    content, thinking = message.get("content"), message.get("reasoning_content")
    if isinstance(content, list):  # the parser fails: what it would read if it took parts
        content = "".join(part["text"] for part in content)
    return value_of(kind, content or "", thinking or "")


class Model:
    """Random things that a model says to a kind of task."""
    WORDS = ["Route", "trip", "Caf\u00e9", "\u65c5\u884c", "\U0001f680", "it's", "\"q\"", "back\\slash", "a\nb", "\u2028", "tab\t", "<b>",
             "x" * 50, "\u00ff", "\x7f", "1.5", "null"]

    def __init__(self, rng):
        self.rng = rng

    def words(self):
        return " ".join(self.rng.choice(self.WORDS) for _ in range(self.rng.randint(1, 4)))

    def meant(self, kind):
        r = self.rng
        if kind in ("title", "autocomplete", "image_prompt"):
            return {MEMBERS[kind]: self.words()}
        if kind == "tool_selection":
            return {"tool_calls": [{"name": self.words(), "parameters": {}} for _ in range(r.randint(1, 2))]}
        if kind == "memory_review":
            return {"operations": [{"op": "add", "text": self.words()}]}
        return {MEMBERS[kind]: [self.words() for _ in range(r.randint(0, 3))]}

    def content(self, kind):
        """(content, what was meant)"""
        r = self.rng
        if kind == "context_compaction":
            text = r.choice(["", "  ", "\n"]) + self.words() + r.choice(["", "\n"])
            return text, text.strip()
        if kind == "emoji":
            text = r.choice(["", "Feeling: "]) + r.choice(["\U0001f600", "\U0001f680", "\u2764\ufe0f", "happy", ""])
            return text, value_of(kind, text, "")
        meant = self.meant(kind)
        text = json.dumps(meant, ensure_ascii=r.random() < .5, indent=r.choice([None, None, 2]))
        around = r.random()
        if around < .15:
            text = f"Sure! ```json\n{text}\n```"
        elif around < .3:
            text = f"<think>hm {r.choice(['', '{', '{x}'])}</think>\n{text}"
        elif around < .35:
            text = f"{text} and {text}"
        elif around < .4:
            text = text[:r.randint(0, len(text))]
        elif around < .45:
            text = self.words()
        return text, meant[MEMBERS[kind]]

    def said(self, kind):
        """(Said, what was meant)"""
        r = self.rng
        content, meant = self.content(kind)
        thinking = r.choice(["", "", "hm", f"So {self.words()}"])
        if r.random() < .08:
            content, thinking = "", content
        fault = r.choices([None, "error", "late error", "cut", "tools", "choices", "plain", "streams", "refuses", "page"],
                          [70, 3, 4, 4, 3, 3, 4, 4, 4, 1])[0]
        finish = r.choices(["stop", "length", "eos", None, "content_filter"], [80, 10, 3, 3, 3])[0]
        return Said(content, thinking, finish, fault, seed=r.getrandbits(40)), meant


class ServerForms(LullTest):
    check_figures = True

    def lull_before(self, dialect, retries):
        up = self.upstream()
        keys = {"url": up, "breaker_failures": 1000, "dialect": dialect}
        return up, self.lull({"default": keys}, tasks=f"retry_shape = {retries}\nscope = shared",
                             more="[task autocomplete]\ndebounce = off\n[task title]\nfirst_turn_wait = 0")

    def request(self, kind, dialect, n, model):
        """(path, body)"""
        text = prompts.body(kind, f"case {n}", dialect, model=model)
        document = json.loads(text)
        if dialect == "ollama" and len(document["messages"]) == 1 and n % 4 == 0:
            document["prompt"] = document.pop("messages")[0]["content"]
            return "/api/generate", json.dumps(document)
        return prompts.PATH[dialect], text

    def is_right(self, kind, direct, meant, via, said, crosses):
        """Whether via may stand in for direct. A thought is not mended; what cannot cross is an error, where
        the other API has it too."""
        shown = direct not in (NOTHING, "error") and direct[0] != "raw"
        mended = not shown and said.content != "" and via == (meant or NOTHING)
        return direct == via or mended or (crosses and via in ("error", value_of(kind, said.content, said.thinking)))

    def well_formed(self, r, dialect, said):
        """The members of an answer that is lull's own."""
        self.assertEqual(r.header("Content-Length"), str(len(r.body)))
        if r.status >= 400 or "json" not in r.header("Content-Type", "") or r.json.get("model") == "served":
            return  # an error, or an answer that is passed on as it came
        document = r.json
        if dialect == "openai":
            self.assertEqual([c["index"] for c in document["choices"]], [0])
            self.assertIsInstance(document["choices"][0]["message"]["content"], str)
            finish = document["choices"][0]["finish_reason"]
        else:
            self.assertIs(document["done"], True)
            finish = document["done_reason"]
        self.assertEqual(finish, "length" if said.finish == "length" else "stop")
        self.assertIn(document.get("usage", {}).get("prompt_tokens"), (None, said.counts["prompt_tokens"]))

    def ask(self, lull, requests):
        """The answers to requests that are sent at once, each (dialect, path, body)."""
        clients = [self.connect(lull) for _ in requests]
        for client, (dialect, path, text) in zip(clients, requests):
            client.start("POST", path, prompts.headers(dialect), text)
        answers = [client.response() for client in clients]
        for client in clients:
            client.close()
            self._clients.remove(client)
        return answers

    def one(self, n, rng, lull, up, server_dialect, counts):
        """One answer, to two requests at once and to a third behind them, of either API; what is wrong."""
        kind, model = rng.choice(KINDS), f"model {rng.randint(0, 9)}"
        said, meant = Model(rng).said(kind)
        if server_dialect != "openai":
            said.thought_in = "reasoning_content"  # as Open WebUI has what Ollama's own API says
        up.clear()
        up.when("*", said.rule)
        wrong = []
        for at_once in (2, 1):
            dialects = [rng.choice(("openai", "ollama", server_dialect.replace("auto", "openai"))) for _ in range(at_once)]
            requests = [(d, *self.request(kind, d, n, model)) for d in dialects]
            for (dialect, path, _), r in zip(requests, self.ask(lull, requests)):
                direct = self.direct(kind, dialect, path, said)
                via = read(kind, dialect, r.status, r.header("Content-Type", ""), bytes(r.body))
                how = "hit" if "hit" in r.cache_status else "shared" if "collapsed" in r.cache_status else "own"
                how += " of both" if len(set(dialects)) > 1 else ""
                counts[how] = counts.get(how, 0) + 1
                self.well_formed(r, dialect, said)
                # an answer with calls or several choices, or a page, stays in its API
                crosses = said.fault in ("tools", "choices", "page") and (server_dialect != dialect or len(set(dialects)) > 1)
                if not self.is_right(kind, direct, meant, via, said, crosses):
                    wrong.append(f"{n} {kind} {dialect} of {server_dialect} {how}, {said.fault}: {direct!r} became {via!r} "
                                 f"({r.status} {r.cache_status}): {said.__dict__}\n{bytes(r.body)[:300]!r}")
        return wrong

    def run_cases(self, server_dialect, retries):
        rng = random.Random(f"{SEED} {server_dialect}")
        up, lull = self.lull_before(server_dialect, retries)
        wrong, counts = [], {}
        for n in range(CASES):
            wrong += self.one(n, rng, lull, up, server_dialect, counts)
        if wrong:
            self.fail("\n\n".join([f"{len(wrong)} of {CASES}"] + wrong[:6]))
        for how, least in (("hit", CASES // 4), ("shared", CASES // 4), ("own", CASES // 4), ("shared of both", CASES // 10)):
            self.assertGreater(counts.get(how, 0), least, counts)

    def direct(self, kind, dialect, path, said):
        """What Open WebUI reads from the server's own answer; of one that always streams, from what it says."""
        if said.fault == "cut":
            return "error"
        generate = path == "/api/generate"
        if said.fault == "streams":
            whole = said.openai_whole() if dialect == "openai" else said.ollama_whole(generate)
            return read(kind, dialect, 200, "application/json", json.dumps(whole))
        return read(kind, dialect, *said.body(dialect, False, generate=generate))

    def test_a_server_of_the_clients_api(self):
        self.run_cases("auto", 1)

    def test_a_server_of_openais_api(self):
        self.run_cases("openai", 0)

    def test_a_server_of_ollamas_api(self):
        self.run_cases("ollama", 0)


if __name__ == "__main__":
    main()

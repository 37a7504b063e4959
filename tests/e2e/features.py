"""The features pass: what else Open WebUI does with models, driven over its own HTTP API as its pages do,
on two of them at once, one with lulld and its defaults between. Both must show the same texts, titles,
tags, follow-ups and errors, and send the models the same chats. More features: one function each.
"""
import collections
import json
import os
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid

from mirror import KINDS, Mirror, steady
from stage import WebUI, fresh
from lull import Lull
from upstream import Upstream

OPENAI, OLLAMA, PREFIXED = "qwen3-8b", "llama3.2:3b", "two.other-7b"
EACH = (OPENAI, OLLAMA, PREFIXED)
LEGACY = {"function_calling": "legacy"}
MODELS = {"openai": [OPENAI, "gemma3-4b", "qwen3-0.6b"], "ollama": [OLLAMA, "qwen3:0.6b"], "second": [OPENAI, "other-7b"]}
TOOL = '''class Tools:
    def add(self, a: int, b: int) -> str:
        """
        Add two numbers.
        :param a: the first
        :param b: the second
        """
        return str(a + b)
'''


class Side:
    """One Open WebUI with three model servers; the second OpenAI connection has a prefix and a tag."""

    def __init__(self, work, name, with_lull):
        self.models = {n: Mirror(names) for n, names in MODELS.items()}
        self.control, self.searches, self.tokens = Upstream(), [], {}
        self.control.when("*", self.search)
        self.lull = Lull(self.models, server="default_upstream = openai", slots=None) if with_lull else None
        self.urls = {n: f"http://127.0.0.1:{self.lull.port}/@{n}" if with_lull else m.url for n, m in self.models.items()}
        openai = self.urls["openai"] + "/v1"
        self.webui = WebUI(
            work, fresh(os.path.join(work, "run", "features-" + name)), self.urls, self, False,
            ENABLE_PERSISTENT_CONFIG="True", OPENAI_API_BASE_URLS=f"{openai};{self.urls['second']}/v1",
            OPENAI_API_KEYS="sk-e2e;sk-two", ENABLE_CHANNELS="True", ENABLE_IMAGE_GENERATION="True",
            OPENAI_API_CONFIGS=json.dumps({"1": {"prefix_id": "two", "tags": [{"name": "second"}]}}),
            IMAGE_GENERATION_ENGINE="openai", IMAGE_GENERATION_MODEL="image", ENABLE_IMAGE_PROMPT_GENERATION="True",
            IMAGES_OPENAI_API_BASE_URL=openai, IMAGES_OPENAI_API_KEY="sk-image")

    def search(self, e):
        self.searches.append(urllib.request.unquote(e.target.replace("+", " ")))
        e.full(200, "application/json", json.dumps({"query": "x", "results": [
            {"url": "http://127.0.0.1:9/a", "title": "Latency", "score": 1.0, "content": "p50, p95, p99."}]}))

    def raw(self, path, body=None, user="ada", method=None, kind="application/json"):
        """(status, type, text)"""
        headers = {"Content-Type": kind, "Authorization": "Bearer " + (self.token(user) if user else "")}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.webui.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as r:
                return r.status, r.headers.get("Content-Type"), r.read().decode(errors="replace")
        except urllib.error.HTTPError as e:
            return e.code, e.headers.get("Content-Type"), e.read().decode(errors="replace")

    def api(self, path, body=None, user="ada", **more):
        status, _, text = self.raw(path, body, user, **more)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def token(self, name):
        if name not in self.tokens:
            who = {"name": name, "email": name + "@example.org", "password": "e2e-pass-1", "profile_image_url": "", "role": "user"}
            if name == "ada":
                self.api("/api/v1/auths/signup", who, None)
            else:
                self.api("/api/v1/auths/add", who)
            self.tokens[name] = self.api("/api/v1/auths/signin", who, None)[1]["token"]
        return self.tokens[name]

    def upload(self, name, text):
        body = (f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain'
                f"\r\n\r\n{text}\r\n--x--\r\n").encode()
        return self.api("/api/v1/files/?process=true&process_in_background=false", body, kind="multipart/form-data; boundary=x")[1]

    def calls(self):
        return sorted(((n, r) for n, m in self.models.items() for r in m.matching() if r.method == "POST"),
                      key=lambda c: c[1].arrived)

    def idle(self, quiet=1.2):
        """Waits until no model call is under way, or waits in lulld, for `quiet` seconds."""
        last, since, end = None, time.monotonic(), time.monotonic() + 90
        while time.monotonic() - since < quiet:
            calls = self.calls()
            waiting = json.loads(self.lull.control("GET", "/flights").body)["flights"] if self.lull else []
            now = (len(calls), sum(not r.finished.is_set() for _, r in calls), len(waiting))
            if now != last or now[1] or now[2]:
                last, since = now, time.monotonic()
            if time.monotonic() > end:
                raise AssertionError(f"never idle: {now}")
            time.sleep(0.05)

    def stop(self):
        self.webui.stop()
        if self.lull:
            self.lull.cleanup()
        for server in (*self.models.values(), self.control):
            server.stop()


class Talk:
    """One saved chat. `more` of a message: members of the request, as the page sends them."""

    def __init__(self, side, *models, user="ada", **more):
        self.side, self.models, self.user, self.more = side, models or (OPENAI,), user, more
        self.id, self.last, self.session = None, None, uuid.uuid4().hex[:20]

    def post(self, message, ids, more):
        tasks = {"follow_up_generation": True}
        if not self.id:
            tasks.update(title_generation=True, tags_generation=True)
        body = {"stream": True, "model": self.models[0], "params": {}, "features": {}, "variables": {}, "messages": [],
                "session_id": self.session, "background_tasks": tasks, "user_message": message,
                "parent_id": message["parentId"], **self.more, **more,
                "message_ids": [{"model_id": m, "message_id": i, "modelIdx": n} for n, (m, i) in enumerate(zip(self.models, ids))]}
        if self.id:
            body["chat_id"] = self.id
        status, answer = self.side.api("/api/chat/completions", body, self.user)
        if status == 200:
            self.id, self.last = answer["chat_id"], ids[0]
        return status

    def say(self, text, wait=True, parent="last", **more):
        """The next message, or, with parent=None, an edited first one."""
        message = {"id": str(uuid.uuid4()), "parentId": self.last if parent == "last" else parent, "childrenIds": [],
                   "role": "user", "content": text, "timestamp": int(time.time()), "models": list(self.models)}
        if "files" in more:
            message["files"] = more["files"]
        status = self.post(message, [str(uuid.uuid4()) for _ in self.models], more)
        if wait:
            self.side.idle()
        return status

    def messages(self):
        return self.side.api("/api/v1/chats/" + self.id, user=self.user)[1]["chat"]["history"]["messages"]

    def again(self, go_on=False):
        """Regenerates the last reply, or continues it."""
        all_ = self.messages()
        question = {k: v for k, v in all_[all_[self.last]["parentId"]].items() if k != "user"}
        ids = [self.last] if go_on else [str(uuid.uuid4()) for _ in self.models]
        status = self.post(question, ids, {"assistant_message_id" if go_on else "regeneration_message_id": self.last})
        self.side.idle()
        return status

    def replied(self):
        """Waits until the last reply is whole."""
        end = time.monotonic() + 30
        while not self.messages()[self.last].get("done") and time.monotonic() < end:
            time.sleep(0.05)

    def seen(self):
        """What a person sees of it, messages in the order of their tree."""
        chat = self.side.api("/api/v1/chats/" + self.id, user=self.user)[1]
        all_, out = chat["chat"]["history"]["messages"], []

        def walk(m):
            out.append([m["role"], m.get("content"), m.get("followUps"), m.get("error"), m.get("done"), len(m.get("files") or []),
                        [(s.get("document"), (s.get("source") or {}).get("name")) for s in m.get("sources") or []],
                        [(h.get("action"), h.get("description")) for h in m.get("statusHistory") or []]])
            for child in m.get("childrenIds", []):
                walk(all_[child])
        for m in all_.values():
            if m.get("parentId") not in all_:
                walk(m)
        return {"title": chat["title"], "tags": (chat.get("meta") or {}).get("tags"), "messages": out}


def talks(side, texts, models=EACH, **more):
    """A new chat with each model, these messages in it."""
    out = []
    for model in models:
        talk = Talk(side, model, **more)
        out += [talk.say(f"{text} ({model})") for text in texts] + [talk.seen()]
    return out


def under_way(side, model, text):
    """Waits until the reply to that text streams; its call."""
    def streams(e):
        return e.kind == "chat" and e.json["model"] == model.removeprefix("two.") and text in e.body.decode() and e.sent_bytes > 900
    server = {OPENAI: "openai", OLLAMA: "ollama", PREFIXED: "second"}[model]
    for _ in range(600):
        if found := side.models[server].matching(streams):
            return found[-1]
        time.sleep(0.02)
    raise AssertionError("no reply: " + text)


# ---- the features ----

def branches(side):
    out = []
    for model in EACH:
        talk = Talk(side, model)
        out += [talk.say("How do I measure latency?"), talk.say("And compare two versions?"), talk.again(), talk.again(go_on=True),
                talk.say("How do I measure throughput?", parent=None), talk.say("Go on."), talk.seen()]
    return out


def stop_in_the_middle(side):
    out = []
    for model in (OPENAI, OLLAMA):
        talk = Talk(side, model)
        talk.say("At length, please. [[slow]]", wait=False)
        chat = under_way(side, model, "[[slow]]")
        stopped = time.monotonic()
        out.append(side.api(f"/api/tasks/chat/{talk.id}/stop", {})[0])
        side.idle()
        seen = talk.seen()
        seen["messages"][1][1] = seen["messages"][1][1][:12]
        out += [getattr(chat, "left", stopped + 9) - stopped < 0.5, seen]
    return out


def several_models(side):
    out = []
    for models in ((OPENAI, "gemma3-4b"), (OPENAI, OPENAI), EACH):
        talk = Talk(side, *models)
        out += [talk.say("Several at once"), talk.again(), talk.seen()]
        replies = [m[1] for m in out[-1]["messages"] if m[0] == "assistant"]
        out.append(side.raw("/api/v1/tasks/moa/completions", {"model": models[0], "prompt": "Several", "responses": replies, "stream": True}))
    return out


def several_people(side):
    all_ = [Talk(side, model, user=user) for user, model in zip(("ada", "bea", "carl", "dora"), (OPENAI, OPENAI, OLLAMA, PREFIXED))]

    def one(talk):
        for text in ("How do I measure latency?", "And compare two versions?", "Thanks, says " + talk.user):
            talk.say(text, wait=False)
            talk.replied()
            side.api("/api/v1/tasks/auto/completions", {"model": talk.models[0], "prompt": "And what about " + talk.user, "type": "general"}, talk.user)
    for user in ("bea", "carl", "dora"):
        side.token(user)
    threads = [threading.Thread(target=one, args=(t,)) for t in all_]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    side.idle()
    seen = [t.seen() for t in all_]
    for s in seen:
        for m in s["messages"][:-1]:
            m[2] = None  # follow-ups that nothing shows any more may be missing
    return seen


def folders_and_channels(side):
    folder = side.api("/api/v1/folders/", {"name": "F", "data": {"system_prompt": "Be brief."}})[1]
    out = talks(side, ["In a folder", "Still there"], (OPENAI,), folder_id=folder["id"])
    for model in EACH:
        channel = side.api("/api/v1/channels/create", {"name": "c-" + model.replace(":", "-").replace(".", "-")})[1]
        for text in ("What is up?", "And now, \u0645\u0631\u062d\u0628\u0627?"):
            post = side.api(f"/api/v1/channels/{channel['id']}/messages/post", {"content": f"<@M:{model}|{model}> {text}"})[1]
            side.idle()
            out += [m["content"] for m in side.api(f"/api/v1/channels/{channel['id']}/messages/{post['id']}/thread")[1]]
    return out


def notes(side):
    title = ("### Task:\nGenerate a concise title summarizing the content in the content's primary language.\n"
             "### Output:\nJSON format: { \"title\": \"your concise title here\" }\n### Content:\n<content>\nCats.\n</content>")
    return [side.api("/api/chat/completions", {"model": m, "stream": stream, "messages": [{"role": "user", "content": text}]})[0]
            for m in EACH for stream, text in ((False, title), (True, "Enhance: <notes>Cats.</notes>"))]


def web_search(side):
    begun = len(side.searches)
    return [talks(side, ["Which tools show percentiles?", "Which is free?"], params=LEGACY, features={"web_search": True}),
            sorted(side.searches[begun:])]


def files(side):
    out = []
    for model in EACH:
        file = side.upload(f"{model}.txt", f"The p50 was 12 ms with {model}, the worst 90 ms.\n")
        base = side.api("/api/v1/knowledge/create", {"name": "K " + model, "description": "d"})[1]
        side.api(f"/api/v1/knowledge/{base['id']}/file/add", {"file_id": file["id"]})
        given = ({"type": "file", "id": file["id"], "name": file["filename"], "file": file, "collection_name": "file-" + file["id"]},
                 {"type": "collection", "id": base["id"], "name": base["name"]})
        for item in given:
            for params in (LEGACY, {}):
                out += talks(side, ["What was the p50?"], (model,), files=[item], params=params)
    return out


def tools(side):
    side.api("/api/v1/tools/create", {"id": "adder", "name": "Adder", "content": TOOL, "access_grants": [],
                                      "meta": {"description": "adds", "manifest": {}}})
    texts = ['What is 2 plus 40? [[tool add {"a": 2, "b": 40}]]', "And then?"]
    return [talks(side, texts, tool_ids=["adder"], params=p) for p in (LEGACY, {})]


def code_images_memory(side):
    side.api("/api/v1/memories/add", {"content": "I like C."})
    return [talks(side, ["Run it [[code]]"], params=LEGACY, features={"code_interpreter": True}),
            talks(side, ["Draw a lighthouse."], params=LEGACY, features={"image_generation": True}),
            talks(side, ["What do I like?"], params=LEGACY, features={"memory": True})]


def speech(side):
    """The emoji of a sentence, beside the reply that is being spoken."""
    out = []
    for model in EACH:
        talk = Talk(side, model)
        talk.say("Speak [[stall]]", wait=False)
        under_way(side, model, "Speak")
        status, answer = side.api("/api/v1/tasks/emoji/completions", {"model": model, "prompt": "It works!"})
        out += [status, answer["choices"][0]["message"]["content"], bool(talk.messages()[talk.last].get("done"))]
        side.idle()
    return out


def workspace_models(side):
    for name, base, params in (("mine", OPENAI, {"system": "You are {{USER_NAME}}.", "temperature": 0.3, "max_tokens": 77}),
                               ("minel", OLLAMA, {"system": "Kurz.", "num_ctx": 8192, "keep_alive": "30m", "think": False})):
        side.api("/api/v1/models/create", {"id": name, "base_model_id": base, "name": name, "meta": {"description": "d"},
                                           "params": params, "access_grants": []})
    listed = side.api("/api/models?refresh=true")[1]["data"]
    return [[{k: v for k, v in m.items() if k != "created"} for m in listed], talks(side, ["Ahoy", "More"], ("mine", "minel"))]


def texts_of_all_sorts(side):
    return talks(side, ["\u0645\u0627 \u0647\u064a \u0623\u0641\u0636\u0644 \u0637\u0631\u064a\u0642\u0629\u061f",
                        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u0928\u092e\u0938\u094d\u0924\u0947",
                        "\u2028\u2029 \u0085 \u202e \t \\u0000 \\ \" </chat_history>", "detail and more. " * 20000, "[[think]] done"], (OPENAI, OLLAMA))


def no_stream(side):
    return talks(side, ["Whole, please", "More"], stream=False, params={"stream_response": False})


def errors(side):
    out = [talks(side, ["Oh [[%s]]" % sign], (OPENAI, OLLAMA)) for sign in ("error 400", "error 429", "error 503", "cut", "stall")]
    side.models["openai"].key = "another"
    talk = Talk(side)
    out += [talk.say("With a wrong key"), talk.seen(),
            side.api("/api/v1/tasks/auto/completions", {"model": OPENAI, "prompt": "A wrong key", "type": "general"}),
            side.api("/openai/verify", {"url": side.urls["openai"] + "/v1", "key": "sk-wrong", "config": {}})]
    side.models["openai"].key = None
    return out + [talk.say("With the right one"), talk.seen()]


def task_settings(side):
    own = "### Aufgabe:\nEtwas f\u00fcr {{USER_NAME}}, JSON: { \"%s\": ... }\n<chat_history>\n{{MESSAGES:END:4}}\n</chat_history>"
    before, out = side.api("/api/v1/tasks/config")[1], []
    for changed in ({"TASK_MODEL": "qwen3:0.6b", "TASK_MODEL_EXTERNAL": "qwen3-0.6b", "TASK_MODEL_PARAMS": {"temperature": 0.1, "max_tokens": 200}},
                    {"TASK_MODEL_EXTERNAL": PREFIXED}, {"TITLE_GENERATION_PROMPT_TEMPLATE": own % "title", "TAGS_GENERATION_PROMPT_TEMPLATE": own % "tags",
                                                        "AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE": "Complete: {{prompt}}"}):
        side.api("/api/v1/tasks/config/update", {**before, **changed})
        out += talks(side, ["Settings " + " ".join(changed), "Go on"])
    side.api("/api/v1/tasks/config/update", before)
    return out


def api_clients(side):
    hi = [{"role": "user", "content": "hi"}]
    bodies = [("/api/chat/completions", {"model": m, "messages": hi, "stream": s}) for m in EACH for s in (True, False)]
    bodies += [("/ollama/api/generate", {"model": OLLAMA, "prompt": "hi", "stream": False}), ("/ollama/api/chat", {"model": OLLAMA, "messages": hi}),
               ("/ollama/v1/chat/completions", {"model": OLLAMA, "messages": hi}), ("/api/embeddings", {"model": OPENAI, "input": ["a", "b"]}),
               ("/api/v1/messages", {"model": OPENAI, "max_tokens": 20, "messages": hi}), ("/ollama/api/version", None), ("/ollama/api/ps", None)]
    return [(path, side.raw(path, body)[:2]) for path, body in bodies]


FEATURES = (branches, stop_in_the_middle, several_models, several_people, folders_and_channels, notes, web_search, files, tools,
            code_images_memory, speech, workspace_models, texts_of_all_sorts, no_stream, errors, task_settings, api_clients)


# ---- the comparison ----

def chats(calls):
    return collections.Counter((name, r.path, steady(r.json) if r.json is not None else len(r.body))
                               for name, r in calls if r.kind not in KINDS)


def first_difference(a, b, where=""):
    if type(a) is type(b) and isinstance(a, (list, tuple)) and len(a) == len(b):
        return next((d for i, pair in enumerate(zip(a, b)) if (d := first_difference(*pair, f"{where}[{i}]"))), None)
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next((d for k in a if (d := first_difference(a[k], b[k], f"{where}.{k}"))), None)
    return None if steady(a) == steady(b) else f"{where}: direct {str(a)[:300]!r}, with lulld {str(b)[:300]!r}"


def compare(j, feature, sides):
    seen, begun = {}, {s: len(s.calls()) for s in sides}

    def one(side):
        try:
            seen[side] = feature(side)
        except Exception:  # a drive that breaks is a difference
            seen[side] = traceback.format_exc()[-600:]
    threads = [threading.Thread(target=one, args=(s,)) for s in sides]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    direct, through = sides
    name = "features: " + feature.__name__.replace("_", " ")
    difference = first_difference(seen[direct], seen[through])
    j.check(f"{name}: could be driven", not isinstance(seen[through], str), seen[through])
    j.check(f"{name}: a person sees the same", difference is None, difference)
    a, b = (chats(s.calls()[begun[s]:]) for s in sides)
    j.check(f"{name}: the models get the same chats", a == b, [k[:2] + (k[2][:300],) for k in ((a - b) | (b - a))][:2])


def run(j, work):
    sides = []
    try:
        sides = [Side(work, "direct", False), Side(work, "lull", True)]
        for side in sides:
            side.webui.wait()
            side.token("ada")
        for feature in FEATURES:
            compare(j, feature, sides)
        lull = sides[1].lull
        lull.check()
        j.equal("features: nothing was taken for an unknown task but edited templates", lull.stats()["unrecognised"], 0)
        j.equal("features: mistakes of the model servers", [e for s in sides for m in s.models.values() for e in m.errors], [])
    finally:
        for side in sides:
            side.stop()

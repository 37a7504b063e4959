"""What the end-to-end test checks: what the person saw (reported by drive.js), what reached the model
servers (recorded by stage.py), and the figures of lulld. Every expectation is taken from the call that
made the answer, never from a constant that two calls could share.
"""
from stage import MODELS, TASKS

TASK_HEADER = {"chat": "", "title": "title_generation", "tags": "tags_generation",
               "follow_up": "follow_up_generation", "query": "query_generation",
               "autocomplete": "autocomplete_generation"}
TASK_MODEL = "qwen3:0.6b"  # of the tuned configuration


class Judge:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, ok, detail=""):
        if ok:
            self.passed += 1
            print(f"  ok      {what}")
        else:
            self.failed += 1
            print(f"  FAILED  {what}: {str(detail)[:800]}")

    def equal(self, what, have, want):
        self.check(what, have == want, f"want {want!r}, have {have!r}")


def generations(records):
    return [r for r in records if r.method == "POST" and r.kind != "embed"]


def count(records):
    out = {}
    for r in generations(records):
        out[r.kind] = out.get(r.kind, 0) + 1
    return out


class Look:
    """One connection in one pass: steps that were driven, and the calls that were made in them."""

    def __init__(self, j, label, seen, stage, how):
        self.j, self.label, self.seen, self.stage, self.how = j, label, seen, stage, how

    def name(self, what):
        return f"{self.how.name}, {self.label}: {what}"

    def check(self, what, ok, detail=""):
        self.j.check(self.name(what), ok, detail)

    def equal(self, what, have, want):
        self.j.equal(self.name(what), have, want)

    def step(self, name):
        """What was seen in that step; an empty dict, and a failure, where it could not be driven."""
        s = self.seen.get(name, {"broke": "the step did not run"})
        self.check(f"{name} could be driven", "broke" not in s, s.get("broke"))
        if "broke" in s:
            return {}
        if "toasts" in s:
            self.equal(f"{name}: no message of trouble", s["toasts"], [])
        return s

    def calls(self, step, kind=None):
        """The generations of that step, over all model servers, in the order of their arrival."""
        servers = self.stage.between(f"{self.label} {step}").values()
        records = [r for records in servers for r in generations(records)]
        return sorted((r for r in records if kind in (None, r.kind)), key=lambda r: r.arrived)

    def answer(self, step, kind):
        """The answer to the last call of that kind in that step."""
        records = [r for r in self.calls(step, kind) if hasattr(r, "answer")]
        return records[-1].answer if records else None


def person_in_chat(look):
    """The new chat, the rating, the second turn and the regenerated reply."""
    s = look.step("new chat")
    if s:
        chat = s["chat"] or {"title": None, "tags": [], "replies": []}
        title = (look.answer("new chat", "title") or {}).get("title")
        tags = (look.answer("new chat", "tags") or {}).get("tags", ["?"])
        look.check("the reply is shown", look.answer("new chat", "chat") in s["text"], s["text"][-300:])
        look.equal("the chat has the model's title", chat["title"], title)
        look.check("it is shown in the tab", title and s["tab"].startswith(title + " / "), s["tab"])
        look.equal("it is shown in the sidebar", s["side"][:1], [title])
        look.equal("the chat has the model's tags", sorted(chat["tags"]),
                   sorted(t.replace(" ", "_").lower() for t in tags))
        look.check("they are shown in the chat's menu", all(t.lower() in s["menu"].lower() for t in tags),
                   (tags, s["menu"]))
        follow_ups_shown(look, "new chat", s)
        after = look.step("rating")
        if after and look.how.lull:
            look.equal("rating leaves the tags as they were", after["chat"]["tags"], chat["tags"])
    s = look.step("second turn")
    if s:
        look.check("both replies are shown", all(look.answer(n, "chat") in s["text"]
                                                 for n in ("new chat", "second turn")), s["text"][-400:])
        follow_ups_shown(look, "second turn", s)
    s = look.step("regenerate")
    if s:
        old, new = (look.answer(n, "chat") for n in ("second turn", "regenerate"))
        look.check("the new reply is shown in place of the old", new in s["text"] and old not in s["text"],
                   s["text"][-400:])
        look.equal("the chat has all three", [r["content"] for r in s["chat"]["replies"]],
                   [look.answer(n, "chat") for n in ("new chat", "second turn", "regenerate")])
        follow_ups_shown(look, "regenerate", s)


def follow_ups_shown(look, step, s):
    want = (look.answer(step, "follow_up") or {}).get("follow_ups", ["?"])
    look.check(f"{step}: the follow-ups are shown", all("\n" + f in s["text"] for f in want),
               (want, s["text"][-300:]))
    last = s["chat"]["replies"][-1] if s["chat"] and s["chat"]["replies"] else {}
    look.equal(f"{step}: the reply has them", last.get("followUps"), want)


def person_elsewhere(look):
    """The new title, the ghost text, the web search and the stopped reply."""
    s = look.step("new title")
    if s:
        titles = [(look.answer(n, "title") or {}).get("title") for n in ("new title", "another title")]
        look.equal("a new title is the model's", s["first"], titles[0])
        look.equal("asked once more it is another one", s["second"], titles[1])
        look.check("not the one of before", s["first"] != s["second"], s)
        look.equal("it is shown in the sidebar", s["side"][:1], [titles[1]])
    s = look.step("autocomplete")
    if s:
        text = (look.answer("autocomplete", "autocomplete") or {}).get("text")
        look.equal("the ghost text is the model's", s["first"], text)
        look.check("Escape clears it", s["cleared"])
        again = look.answer("autocomplete again", "autocomplete")
        look.equal("it comes again", s["again"], again["text"] if again else text)
        look.check("Tab takes it", s["again"] and s["again"].strip() in s["input"], s["input"])
    s = look.step("typing")
    if s:
        whole, shorter = ((look.answer(n, "autocomplete") or {}).get("text") for n in ("typing", "taking back"))
        again = look.answer("typing again", "autocomplete")
        look.equal("ghost text at the end of the sentence", s["whole"], whole)
        look.equal("ghost text for the shortened sentence", s["shorter"], shorter)
        look.equal("and for the whole one again", s["again"], again["text"] if again else whole)
    s = look.step("web search")
    if s:
        reply = look.answer("web search", "chat")
        words = [r.answer["queries"][0] for r in look.calls("web search", "query")]
        look.check("the reply to a web search is shown", reply and reply in s["text"], s["text"][-300:])
        look.check("with what was found", "Retrieved 1 source" in s["text"], s["text"][:400])
        look.check("the model's words were searched for",
                   any(f"q={w}&" in t for w in words for t in look.stage.searches), look.stage.searches)
    s = look.step("stop")
    if s:
        look.check("stop was clicked", s["clicked"])
        look.check("the reply stays as far as it was",
                   "word 3 " in s["text"] and "word 99" not in s["text"] and s["later"] == s["text"],
                   (s["text"][-200:], s["later"][-200:]))
        look.equal("the title beside it is shown", s["side"][:1], [(look.answer("stop", "title") or {}).get("title")])
    s = look.step("browser")
    if s:
        look.equal("every call of the browser was answered 200, the page had no error", s["trouble"], [])


def model_counts(look):
    """How many calls of which kind reached the model in each step."""
    once = {} if look.how.lull else {"autocomplete": 1}  # asked before: only a direct model is asked again
    chat = {"chat": 1, "follow_up": 1}
    want = {"new chat": {**chat, "title": 1, "tags": 1}, "rating": {} if look.how.lull else {"tags": 1},
            "second turn": chat, "regenerate": chat, "new title": {"title": 1},
            "another title": {"title": 1}, "autocomplete": {"autocomplete": 1},
            "autocomplete again": once, "accepted": {}, "taking back": {"autocomplete": 1},
            "typing again": once, "typed": {},
            "web search": {**chat, "title": 1, "tags": 1, "query": 1 if look.how.lull else 2},
            "stop": {"chat": 1, "title": 1}, "stopped": {}}
    for step, kinds in want.items():
        look.equal(f"{step}: calls that reached the model", count(look.calls(step)), kinds)
    n = count(look.calls("typing"))
    look.check("typing a sentence: only autocompletes, and fewer than words",
               set(n) == {"autocomplete"} and n["autocomplete"] < 12, n)
    if look.how.lull:
        for step, kind, figure in (("rating", "tags", "hits"), ("autocomplete again", "autocomplete", "hits"),
                                   ("typing again", "autocomplete", "hits"), ("web search", "query", "hits"),
                                   ("another title", "title", "regenerated")):
            look.equal(f"{step}: {figure} of {kind}", look.stage.counted(f"{look.label} {step}", kind, figure), 1)
        s = look.seen.get("typing", {})
        asked = sum(look.stage.counted(f"{look.label} {n}", "autocomplete", "requests") or 0
                    for n in ("typing", "taking back", "typing again"))
        made = sum(len(look.calls(n)) for n in ("typing", "taking back", "typing again"))
        print(f"  typing: {s.get('keys', 0) + 6} keys, {asked} requests, {made} upstream calls")


def model_requests(look):
    """Where each call went, whose headers it carried, and what lulld made of it."""
    names = [n.split(" ", 1)[1] for n, *_ in look.stage.steps if n.startswith(look.label + " ")]
    by_server = {}
    for name in names:
        for server, records in look.stage.between(f"{look.label} {name}").items():
            by_server.setdefault(server, []).extend(generations(records))
    small = ("follow_up",) if look.how.tuned else ()
    own = by_server[look.label]
    every = [r for records in by_server.values() for r in records]
    look.check("chats and tasks were seen", {r.kind for r in every} == {"chat", *TASKS}, count(every))
    for server, records in by_server.items():
        kinds = {r.kind for r in records}
        allowed = set(small) if server == "small" else \
            {"chat", *TASKS} - set(small) if server == look.label else set()
        look.check(f"{server} was sent what it should be", kinds == allowed, (kinds, allowed))
    look.check("chats were streamed, by the model that was chosen",
               all(r.json["stream"] is True and r.json["model"] == MODELS[look.label]
                   for r in every if r.kind == "chat"))
    tasks = [r for r in every if r.kind in TASKS]
    look.equal("tasks went to the model", {r.json["model"] for r in tasks},
               {TASK_MODEL if look.how.tuned else MODELS[look.label]})
    if look.how.lull:
        look.check("tasks were asked for as streams, uncompressed",
                   all(r.json["stream"] is True and (r.header("Accept-Encoding") or "identity") == "identity"
                       for r in tasks), [r.headers for r in tasks][:1])
    look.check("no header of lull's", not [n for r in every for n, _ in r.headers if "lull" in n.lower()])
    headers(look, own, by_server["small"])
    chats = look.calls("stop", "chat")
    left = getattr(chats[-1], "left", None) if chats else None
    stopped = look.stage.when(f"{look.label} stopped")
    look.check("stop closed the model's connection at once", left is not None and left - stopped < 2,
               left and left - stopped)


def headers(look, own, small):
    if look.label == "openai":
        look.equal("the connection's key reaches its server", {r.header("Authorization") for r in own},
                   {"Bearer sk-e2e"})
    for kind, value in TASK_HEADER.items():
        records = [r for r in own if r.kind == kind]
        if records:
            look.equal(f"task header of {kind}", {r.header("X-OpenWebUI-Task") for r in records},
                       {value if look.how.headers else None})
    users = {r.header("X-OpenWebUI-User-Id") for r in own}
    look.check("user header", len(users) == 1 and (bool(users.pop()) == look.how.headers), users)
    if look.how.tuned:
        look.equal("the other server gets its own key", {r.header("Authorization") for r in small},
                   {"Bearer sk-small"})
        look.equal("and none of the client's headers",
                   [n for r in small for n, _ in r.headers if n.lower().startswith("x-openwebui") or n.lower() == "cookie"], [])


def figures(j, how, lull, stage):
    """The equations of /stats, and every figure that the model servers can confirm."""
    lull.check()
    s = lull.stats()
    for kind, t in s["tasks"].items():
        print(f"  {kind}: " + ", ".join(f"{k} {v}" for k, v in t.items() if isinstance(v, int) and v))
    made = {}
    for model in stage.models.values():
        for kind, n in count(model.matching()).items():
            made[kind] = made.get(kind, 0) + n
    j.equal(f"{how.name}: kinds that were recognised", sorted(s["tasks"]), sorted(TASKS))
    j.equal(f"{how.name}: chats counted", s["chat"]["requests"], made["chat"])
    j.equal(f"{how.name}: chats still open", s["chat"]["open"], 0)
    for kind in TASKS:
        t = lull.task(kind, s)
        j.equal(f"{how.name}: {kind}: upstream calls", t["upstream_calls"], made[kind])
        j.equal(f"{how.name}: {kind}: failed", t["failed"], 0)
        j.equal(f"{how.name}: {kind}: requests", t["requests"],
                sum(t[o] for o in ("hits", "misses", "collapsed", "superseded", "bypassed")))
    j.equal(f"{how.name}: nothing looked like a task and was not one", s["unrecognised"], 0)
    for name, model in stage.models.items():
        if name in s["upstreams"]:
            up = s["upstreams"][name]
            j.equal(f"{how.name}: {name}: calls counted", up["calls"], model.count())
            j.equal(f"{how.name}: {name}: aborted", up["aborted"], 1 if name in MODELS else 0)
            j.equal(f"{how.name}: {name}: failed and running", up["failed"] + up["running"], 0)
    j.equal(f"{how.name}: exit status after SIGTERM", lull.stop(), 0)


def compare(j, direct, through):
    """Chats byte for byte and header for header as without lulld; tasks but for the stream's members."""
    def header_list(r):
        return [(n, v) for n, v in r.headers if n.lower() != "host"]
    for label in MODELS:
        pairs = list(zip(direct.models[label].matching("chat"), through.models[label].matching("chat")))
        j.equal(f"{label}: chats compared with a direct connection", len(pairs), 5)
        j.check(f"{label}: chats have the same bytes", all(a.body == b.body for a, b in pairs),
                [(a.body[-300:], b.body[-300:]) for a, b in pairs if a.body != b.body][:1])
        j.check(f"{label}: chats have the same headers", all(header_list(a) == header_list(b) for a, b in pairs),
                [(a.headers, b.headers) for a, b in pairs if header_list(a) != header_list(b)][:1])
        differ, seen = [], 0
        for step in ("new chat", "second turn", "regenerate", "new title", "autocomplete", "web search", "stop"):
            for kind in TASKS:
                a, b = ([r for r in s.between(f"{label} {step}")[label] if r.kind == kind][:1]
                        for s in (direct, through))
                if a and b:
                    seen += 1
                    a, b = ({k: v for k, v in r.json.items() if k not in ("stream", "stream_options")}
                            for r in (a[0], b[0]))
                    if a != b:
                        differ.append((step, kind, a, b))
        j.check(f"{label}: {seen} tasks ask the same as without lulld", seen >= 11 and not differ, differ[:1])

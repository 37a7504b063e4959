"""What is tortured: each scene is one thing that a client, the control socket or the disk does to lull.

A scene's `run` asks everything with a fresh text (`world.text()`), so that it can be repeated. Each
answer that says it is whole is checked byte by byte against what the model server sent for that text;
the number of generations for each text is bounded.
"""
import json
import os
import threading
import time

from client import Client, Cut
from prompts import PATH, body, chat_body, headers
from upstream import Gate, good, good_content, status

PATIENCE = float(os.environ.get("LULL_TORTURE_PATIENCE", "8"))
ANY = 1 << 30  # without a key, or without the cache, the model is asked
REFUSALS = (409, 429, 500, 502, 503, 504)


class Wrong(Exception):
    """An answer that may not be given, whatever failed."""


class Refused(Exception):
    """An error of lull's own, or a connection that ended without a whole answer."""

    def __init__(self, why, cut=False):
        super().__init__(why)
        self.cut = cut


def check_error(response):
    if response.status not in REFUSALS:
        raise Wrong(f"status {response.status}: {bytes(response.body[:200])!r}")
    try:
        json.loads(response.body)
    except ValueError:
        raise Wrong(f"an error without JSON: {bytes(response.body[:200])!r}") from None
    raise Refused(f"status {response.status}: {bytes(response.body[:160])!r}")


class Session:
    """One client connection. Answers are read with a deadline: none is a hang."""

    def __init__(self, world, path=None):
        try:
            self.client = Client(path or world.lull.port, timeout=PATIENCE)
        except OSError as error:
            raise Refused(f"connect: {error}", cut=True) from None
        world.sessions.append(self.client)

    def start(self, method, target, head=(), data=None):
        """Sends a request. That the connection ends meanwhile is seen by answer()."""
        try:
            self.client.start(method, target, head, data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, method, target, head=(), data=None):
        self.start(method, target, head, data)
        return self.answer()

    def answer(self):
        try:
            response = self.client.response(PATIENCE)
        except Cut as error:
            raise Refused(f"cut: {error}", cut=True) from None
        except ConnectionResetError as error:
            raise Refused(f"reset: {error}", cut=True) from None
        except TimeoutError as error:
            raise Wrong(f"a hang: {error}") from None
        if response.status >= 400:
            check_error(response)
        return response

    def silent(self):
        """No byte behind the answer."""
        if self.client.buffer or (self.client.readable(0) and self.client.fill()):
            raise Wrong(f"bytes behind the answer: {self.client.buffer[:200]!r}")


def generations(world, text):
    """The requests that reached the model server whole."""
    return [e for e in world.up.matching() if text.encode() in e.body and e.body_done.is_set()]


def check_calls(world, text, most):
    calls = len(generations(world, text))
    if calls > most:
        raise Wrong(f"{calls} generations for one request")


def check_content(world, kind, text, response, most=2):
    """The answer is one that the model gave to this text."""
    try:
        content = response.content
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Wrong(f"not an answer: {error!r}: {bytes(response.body[:300])!r}") from None
    given = {good_content(kind, e.serial) for e in generations(world, text)}
    if content not in given and content != "":
        raise Wrong(f"{kind}: {content!r} is none of {given}")
    if content == "" and "busy" not in response.cache_status and "deadline" not in response.cache_status:
        raise Wrong(f"{kind}: an empty answer: {response.cache_status}")
    check_calls(world, text, most)


def task(world, kind, text, session=None, dialect="openai", most=4, **more):  # max_requeue, and a retry
    session = session or Session(world)
    response = session.ask("POST", PATH[dialect], headers(dialect, kind=kind), body(kind, text, dialect, **more))
    check_content(world, kind, text, response, most)
    session.silent()
    return response


def chat(world, text, session=None, dialect="openai"):
    """A streamed chat: the body is what the model server sent, byte by byte."""
    session = session or Session(world)
    response = session.ask("POST", PATH[dialect], headers(dialect), chat_body(text, dialect))
    sent = [bytes(e.payload) for e in generations(world, text)]
    if bytes(response.body) not in sent:
        raise Wrong(f"a chat's bytes differ: {bytes(response.body[:200])!r}")
    check_calls(world, text, world.calls)
    session.silent()
    return response


# ---- scenes -----------------------------------------------------------------------------------------
def chat_new_connection(world):
    world.up.drop_connections()
    chat(world, world.text())


def chat_pooled(world):
    chat(world, world.text())


def chat_two_on_one_connection(world):
    session = Session(world)
    chat(world, world.text(), session)
    chat(world, world.text(), session)


def chat_ollama(world):
    chat(world, world.text(), dialect="ollama")


def large_upload(world):
    """A body that is streamed through, in chunks."""
    text = world.text()
    session = Session(world)
    document = json.loads(chat_body(text))
    document["padding"] = "x" * 200_000
    raw = json.dumps(document).encode()
    try:
        session.start("POST", PATH["openai"], headers("openai") + [("Transfer-Encoding", "chunked")])
        for at in range(0, len(raw), 65536):
            session.client.chunk(raw[at:at + 65536])
        session.client.last_chunk()
    except (BrokenPipeError, ConnectionResetError):
        pass
    response = session.answer()
    if bytes(response.body) not in [bytes(e.payload) for e in generations(world, text)]:
        raise Wrong("a large chat's bytes differ")
    if any(e.body != raw for e in generations(world, text) if e.body_done.is_set()):
        raise Wrong("the model server read another body")
    check_calls(world, text, world.calls)


def task_miss(world):
    task(world, "title", world.text())


def task_miss_ollama(world):
    task(world, "tags", world.text(), dialect="ollama")


def task_exact_hit(world):
    response = task(world, "title", world.primed, most=ANY)
    if not response.cache_status.startswith("lull; hit"):
        raise Refused(f"no hit: {response.cache_status}")


def task_normalized_hit(world):
    """The same request, written another way."""
    document = dict(reversed(json.loads(body("title", world.primed)).items()))
    raw = json.dumps(document, indent=world.number() % 7 + 1)
    session = Session(world)
    response = session.ask("POST", PATH["openai"], headers("openai", kind="title"), raw)
    check_content(world, "title", world.primed, response, ANY)
    session.silent()


def autocomplete_type_through(world):
    text = world.text()
    first = task(world, "autocomplete", text)
    whole = json.loads(first.content)["text"]
    typed = text + whole[:4]
    session = Session(world)
    second = session.ask("POST", PATH["openai"], headers("openai", kind="autocomplete"),
                         body("autocomplete", typed))
    rest = json.loads(second.content)["text"] if second.content else ""
    mine = {json.loads(good_content("autocomplete", e.serial))["text"]
            for e in generations(world, typed)}
    if typed + rest != text + whole and rest not in mine:
        raise Wrong(f"type-through gave {rest!r} after {typed!r} of {whole!r}")


def shared_call(world):
    """Three clients, one request: one generation, one answer."""
    text, gate = world.text(), Gate()
    world.up.when(lambda e: text.encode() in e.body, good(gate=gate))
    sessions = [Session(world) for _ in range(3)]
    for session in sessions:
        session.start("POST", PATH["openai"], headers("openai", kind="follow_up"),
                             body("follow_up", text))
    try:
        world.up.wait_for(1, lambda e: text.encode() in e.body, timeout=1)
    except AssertionError:
        pass  # the fault kept it from the model server
    gate.open()
    failures = []
    for session in sessions:
        try:
            check_content(world, "follow_up", text, session.answer(), 4)
        except Refused as error:
            failures.append(error)
    world.up.clear()
    if failures:
        raise failures[0]


def task_behind_chat(world):
    """A chat aborts a task that runs; the task is asked again afterwards."""
    text, other, gate, chat_gate = world.text(), world.text(), Gate(), Gate()
    world.up.when(lambda e: other.encode() in e.body, good(gate=chat_gate, hold_at=2))
    world.up.when(lambda e: text.encode() in e.body, good(gate=gate), times=1)
    first, second = Session(world), Session(world)
    first.start("POST", PATH["openai"], headers("openai", kind="tags"), body("tags", text))
    try:
        world.up.wait_for(1, lambda e: text.encode() in e.body, timeout=1)
    except AssertionError:
        pass
    second.start("POST", PATH["openai"], headers("openai"),
                        chat_body(other))
    try:
        world.up.wait_for(1, lambda e: other.encode() in e.body, timeout=1)
    except AssertionError:
        pass
    chat_gate.open()
    gate.open()
    failures = []
    for session, check in ((second, lambda r: _chat_bytes(world, other, r)),
                           (first, lambda r: check_content(world, "tags", text, r, 3))):
        try:
            check(session.answer())
        except Refused as error:
            failures.append(error)
    world.up.clear()
    if failures:
        raise failures[0]


def _chat_bytes(world, text, response):
    if bytes(response.body) not in [bytes(e.payload) for e in generations(world, text)]:
        raise Wrong("a chat's bytes differ")


def client_leaves(world):
    """A client that resets in the middle of its answer leaves nothing behind."""
    text, gate = world.text(), Gate()
    world.up.when(lambda e: text.encode() in e.body, good(gate=gate, hold_at=3))
    session = Session(world)
    session.start("POST", PATH["openai"], headers("openai"), chat_body(text))
    try:
        world.up.wait_for(1, lambda e: text.encode() in e.body, timeout=1)
    except AssertionError:
        pass
    session.client.reset()
    gate.open()
    world.up.clear()
    chat(world, world.text())


def failing_server(world):
    """An error of the model server's own goes on to the client; the next request is served."""
    text = world.text()
    world.up.when(lambda e: text.encode() in e.body, status(500))
    try:
        task(world, "query", text)
    except Refused as error:
        if error.cut:
            raise
    finally:
        world.up.clear()
    check_calls(world, text, 3)
    chat(world, world.text())


def fallback(world):
    """The upstream `broken` refuses every connection; its tasks go to the fallback."""
    text = world.text()
    session = Session(world)
    response = session.ask("POST", "/@broken" + PATH["openai"], headers("openai", kind="title"),
                           body("title", text))
    check_content(world, "title", text, response)


def other_dialect(world):
    """A task of an Ollama client that the configuration sends to an OpenAI server."""
    text = world.text()
    task(world, "emoji", text, dialect="ollama")


def stored(world):
    """A miss whose answer reaches the disk."""
    task(world, "image_prompt", world.text())
    end = time.monotonic() + PATIENCE
    while True:
        figures = control(world, "GET", "/stats")["cache"]
        if figures.get("pending_writes", 0) == 0:
            break
        if time.monotonic() > end:
            raise Wrong(f"writes stay pending: {figures}")
        time.sleep(0.1)  # few polls: each of their calls fails in turn, too


def control(world, method, target, data=None, text=False):
    session = Session(world, world.lull.control_path)
    response = session.ask(method, target, (), data)
    if text:
        return bytes(response.body)
    try:
        return json.loads(response.body)
    except ValueError:
        raise Wrong(f"{target}: not JSON: {bytes(response.body[:200])!r}") from None


def control_stats(world):
    control(world, "GET", "/stats")


def control_lists(world):
    control(world, "GET", "/entries?limit=5", text=True)
    control(world, "GET", "/config", text=True)
    control(world, "GET", "/metrics", text=True)
    control(world, "GET", "/flights", text=True)
    control(world, "GET", "/report", text=True)
    control(world, "GET", "/healthz", text=True)
    control(world, "GET", "/history", text=True)
    control(world, "GET", "/doctor", text=True)


def control_explain(world):
    """With a body that does not come with its head."""
    given = body("title", world.text() + " word" * 20_000)
    control(world, "POST", "/explain" + PATH["openai"], given, text=True)


def control_set(world):
    """A body of 60 KB that sets one value: what it needs must not grow with it beyond what is small."""
    line = f"server.max_connections={900 + world.number() % 50}"
    control(world, "POST", "/config", line + "\n" * 60_000, text=True)


def purge(world):
    task(world, "tags", world.text())
    control(world, "POST", "/purge?kind=tags", text=True)


def reload(world):
    control(world, "POST", "/reload", text=True)
    chat(world, world.text())


def pipelined(world):
    """Two requests in one write are answered in order."""
    first, second = world.text(), world.text()
    session = Session(world)
    session.start("POST", PATH["openai"], headers("openai", kind="title"), body("title", first))
    session.start("POST", PATH["openai"], headers("openai", kind="title"), body("title", second))
    for text in (first, second):
        check_content(world, "title", text, session.answer())
    session.silent()


def concurrent_mix(world):
    """Six clients at once."""
    problems, failures = [], []

    def one(fn):
        try:
            fn(world)
        except Refused as error:
            failures.append(error)
        except Wrong as error:
            problems.append(error)
    threads = [threading.Thread(target=one, args=(fn,)) for fn in
               (chat_pooled, task_miss, task_exact_hit, chat_ollama, task_miss_ollama, control_stats)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    if failures:
        raise failures[0]


SCENES = [chat_new_connection, chat_pooled, chat_two_on_one_connection, chat_ollama, large_upload,
          task_miss, task_miss_ollama, task_exact_hit, task_normalized_hit, autocomplete_type_through,
          shared_call, task_behind_chat, client_leaves, failing_server, fallback, other_dialect,
          stored, pipelined, control_stats, control_lists, control_explain, control_set, purge, reload,
          concurrent_mix]

#!/usr/bin/env python3
"""One run: one mode, so many people, one variant. usage: cell.py JSON. Starts the model, and what stands in
front of it, plays, prints what was seen as one JSON object, and stops all it started."""
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "integration"))
if "LULL_BIN_DIR" in os.environ:
    os.environ["LULL_BIN_DIR"] = os.path.abspath(os.environ["LULL_BIN_DIR"])
from lull import Lull, free_port  # noqa: E402
from oracle import Oracle  # noqa: E402
from person import Person, World  # noqa: E402
from physics import Clock, Physics, run  # noqa: E402
from script import sessions  # noqa: E402
from wire import Port, get  # noqa: E402

SCALED = {"tasks": {"settle": 1.0, "max_hold": 20.0}, "task title": {"max_hold": 60.0, "first_turn_wait": 2.0},
          "task autocomplete": {"max_hold": 0.3, "max_expected": 6.0}}
PLAIN = {"task autocomplete": "debounce = off"}  # what auto comes to where one is out at a time, at the wall's pace
SWAP_AFTER = 60.0
LULL = ("lull", "as-asked", "chat", "rewarm")
NGINX = """{user} daemon off; worker_processes 1; error_log {work}/error.log; pid {work}/nginx.pid;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; client_body_buffer_size 256k; keepalive_timeout 75;
{blocks} }}
"""
BLOCK = """  upstream model{n} {{ server 127.0.0.1:{port}; keepalive 16; }}
  server {{ listen 127.0.0.1:{listen}; location / {{ proxy_pass http://model{n}; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; }} }}
"""


class Model:
    def __init__(self, asked, zero):
        options = {"scale": asked["scale"], "physics": asked["physics"], "servers": 2 if asked["second"] else 1,
                   "props": asked["physics"]["notice"] == "batch", "zero": zero}
        self.process = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "model.py"), json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ports = json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nginx:
    def __init__(self, ports):
        self.folder = tempfile.mkdtemp(prefix="lull-contend-")
        self.ports = [free_port() for _ in ports]
        blocks = "".join(BLOCK.format(n=n, port=p, listen=l) for n, (p, l) in enumerate(zip(ports, self.ports)))
        user = "user root;" if os.geteuid() == 0 else ""  # its folders are ours
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(NGINX.format(user=user, work=self.folder, blocks=blocks))
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        self.process = subprocess.Popen([program, "-c", path, "-p", self.folder], stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_lull(asked, ports):
    """The real one, with the durations of its own configuration scaled as everything is."""
    SCALED["tasks"]["settle"] = asked["settle"]
    text = {section: "\n".join(f"{key} = {int(1000 * seconds / asked['scale'])}ms" for key, seconds in keys.items())
            for section, keys in SCALED.items()}
    text = {section: lines + "\n" + PLAIN.get(section, "") for section, lines in text.items()}
    more = {}
    if asked["physics"]["swap"] > 0:
        more = {"one_model": "yes", "swap_after": f"{int(1000 * SWAP_AFTER / asked['scale'])}ms"}
    if asked["mode"] == "rewarm":
        more["rewarm"] = "on"
    if asked["mode"] in ("as-asked", "chat"):
        text["tasks"] += f"\nprefix = {asked['mode']}"
    ups = {"default": {"url": f"http://127.0.0.1:{ports[0]}", **more}}
    if len(ports) > 1:
        ups["small"] = {"url": f"http://127.0.0.1:{ports[1]}"}
    sections = "".join(f"[{name}]\n{lines}\n\n" for name, lines in text.items() if name != "tasks")
    return Lull(ups, tasks=text["tasks"], more=sections, slots=None)


async def lag(seen):
    """How late timers are here: the noise under every figure. In milliseconds of the wall."""
    while True:
        at = time.monotonic()
        await asyncio.sleep(0.02)
        seen.append(1000 * (time.monotonic() - at - 0.02))


def shifted(record, by, scale):
    """A record of the model's, in the time of the people's clock."""
    for name in ("arrived", "started", "ended"):
        if record[name] is not None:
            record[name] -= by * scale
    return record


async def play(asked, clock, zero, chat_port, task_port, model_port):
    physics, people = Physics(**asked["physics"]), asked["people"]
    oracle = Oracle(clock, physics, people, asked["second"]) if asked["mode"] == "idle" else None
    model = "small" if asked["second"] or physics.swap > 0 else "big"
    tasks = () if asked["mode"] == "none" else asked["tasks"]
    world = World(clock, chat_port, task_port, oracle, tasks, model, asked["shared"])
    script_physics = Physics()  # the plan is the same in every variant
    late = []
    watcher = asyncio.ensure_future(lag(late))
    begun = clock.now()
    await asyncio.gather(*(Person(world, n, sessions(asked["seed"], n, script_physics, asked["rounds"])).play()
                           for n in range(people)))
    played = clock.now()
    while world.background:
        await asyncio.wait(list(world.background))
    await clock.until(clock.now() + 2.0)
    watcher.cancel()
    seen = await get(model_port, "/bench/records")
    late.sort()
    return {"mode": asked["mode"], "begun": begun, "played": played, "ended": clock.now(), "chats": world.chats,
            "tasks": world.done, "records": [shifted(r, clock.zero - zero, clock.scale) for r in seen["records"]],
            "lag_ms": [late[-(-len(late) * p // 100) - 1] for p in (50, 99)] if late else [0, 0]}


def on_stop_signal(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what was started is being stopped
    sys.exit(143)


def main():
    asked = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, on_stop_signal)
    zero = time.monotonic()
    clock = Clock(asked["scale"])
    clock.zero = zero
    model, front = Model(asked, zero), None
    try:
        ports, prefixes = model.ports, ["/v1", "/v1"]
        if asked["mode"] == "nginx":
            front = Nginx(model.ports)
            ports = front.ports
        elif asked["mode"] in LULL:
            front = start_lull(asked, model.ports)
            ports, prefixes = [front.port] * len(model.ports), ["/v1", "/@small/v1"]
            time.sleep(0.3)  # it asks the servers what they are
        clock.zero = time.monotonic()
        chat_port = Port(ports[0], prefixes[0])
        task_port = Port(ports[-1], prefixes[1]) if len(ports) > 1 else chat_port
        limit = asyncio.wait_for(play(asked, clock, zero, chat_port, task_port, Port(model.ports[0])), asked["limit"])
        out = run(limit)
        if isinstance(front, Lull):
            front.check()
            out["stats"], out["log"] = front.stats(), front.log_text()[-2000:]
            out["learnt"] = front.control("GET", "/flights").json.get("prefix", [])
        print(json.dumps(out))
    finally:
        if isinstance(front, Lull):
            front.stop()
            front.cleanup()
        elif front is not None:
            front.stop()
        model.stop()


if __name__ == "__main__":
    main()

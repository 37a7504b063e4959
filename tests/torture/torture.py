#!/usr/bin/env python3
"""Makes every call on lulld's path fail once, in turn, and checks what clients get.

    torture.py [--long] [--only CALL,...] [--scene NAME,...] [--seed N]

A daemon with fault.so preloaded serves the scenes of scenes.py. First each scene runs without a fault
and its calls are counted. Then, for each wrapped call and each way in which it can fail, the first call
in the scene fails, then the second, and so on; the short form takes a sample. What may happen:

  EINTR, EAGAIN, a short read or write   nothing: the answer is the same as without
  an error                               the same answer, or an error of lull's own (JSON, 5xx), or, where
                                         the client's own connection failed or the answer had begun, its end
  no memory for a small, fixed object    the daemon may abort (mem_new() in base/err.h says so); the next
                                         one serves from the same files

Never: another byte, a second answer, a second generation, no answer, a crash, figures that do not add
up, a descriptor or a flight that stays. A fault of the data file switches the cache off for a while: the
daemon starts again then, so that the next fault reaches the disk, too. Then the start and the stop are
tortured in the same way.

LULL_BIN_DIR, LULL_SANITIZE: see integration/lull.py. LULL_FAULT_LIBRARY: fault.so.
"""
import argparse
import collections
import ctypes
import errno
import itertools
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from client import Client, Cut  # noqa: E402
from lull import BIN, LULLD, SANITIZED, SANITIZER_SIGNS, Lull, eventually  # noqa: E402
from upstream import Upstream  # noqa: E402
import scenes  # noqa: E402
from scenes import Refused, Wrong  # noqa: E402

LIBRARY = os.environ.get("LULL_FAULT_LIBRARY", os.path.join(BIN, "tests", "libfault.so"))
SHORT = -1
CALLS = ("malloc recv read send write accept4 epoll_ctl epoll_wait connect open sync pwrite mmap "
         "pthread_create socket close ftruncate").split()
NETWORK = (errno.EINTR, errno.EAGAIN, SHORT, errno.ECONNRESET)
WAYS = {
    "malloc": (errno.ENOMEM,),
    "recv": NETWORK,
    "read": (errno.EINTR, errno.EAGAIN, SHORT),
    "send": (*NETWORK, errno.EPIPE),
    "write": (errno.EINTR, SHORT),
    "accept4": (errno.EINTR, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "connect": (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAGAIN),
    "open": (errno.EMFILE, errno.EACCES, errno.EIO, errno.ENOSPC),
    "sync": (errno.EIO, errno.ENOSPC),
    "pwrite": (errno.ENOSPC, errno.EIO, SHORT),
    "mmap": (errno.ENOMEM,),
    "pthread_create": (errno.EAGAIN,),
    "socket": (errno.EMFILE, errno.ENOMEM),
    "close": (errno.EIO,),
    "ftruncate": (errno.ENOSPC, errno.EIO),
}
SOFT = (errno.EINTR, errno.EAGAIN, SHORT)
SOFT_CALLS = ("recv", "read", "send", "write", "accept4", "epoll_wait")
NEEDED = "malloc recv send accept4 epoll_ctl connect open sync pwrite mmap pthread_create".split()
REACHED = 1 / 4  # of the faults of a call: fewer, and what failed before keeps the scene from it
SMALL = 64 * 1024
ADDR_NO_RANDOMIZE = 0x40000  # every daemon has its code in the same places: names for one that dies while it starts
CONFIG = {"server": "body_timeout = 5s\nheader_timeout = 5s\ndrain_timeout = 5s",
          "tasks": "settle = 0s",
          "more": "[task autocomplete]\ndebounce = off\n[task title]\nfallback = default\nfirst_turn_wait = 0s\n[task emoji]\nupstream = crossed\nmodel = qwen3-8b\n"}


class Page(ctypes.Structure):
    """The page that is shared with fault.c."""
    _fields_ = [("armed", ctypes.c_int32), ("how", ctypes.c_int32), ("skip", ctypes.c_int64),
                ("hits", ctypes.c_int32), ("watching", ctypes.c_int32),
                ("counts", ctypes.c_int64 * len(CALLS)), ("size", ctypes.c_int64),
                ("local_port", ctypes.c_int32), ("peer_port", ctypes.c_int32),
                ("callers", ctypes.c_int32), ("unused", ctypes.c_int32),
                ("caller", ctypes.c_uint64 * 24)]


class Fault:
    def __init__(self, folder):
        self.path = os.path.join(folder, "fault")
        with open(self.path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.page = Page.from_buffer(self.map)
        self.disarm()

    def arm(self, call, how, skip):
        self.page.hits, self.page.how, self.page.skip = 0, how, skip
        self.page.callers = 0
        self.page.armed = CALLS.index(call)

    def disarm(self):
        self.page.armed = -1
        self.page.watching = 0

    def count(self):
        for i in range(len(CALLS)):
            self.page.counts[i] = 0
        self.page.watching = 1

    def counted(self):
        self.page.watching = 0
        return dict(zip(CALLS, self.page.counts))

    def callers(self):
        return list(self.page.caller[:self.page.callers])


def name_of(how):
    return "short" if how == SHORT else errno.errorcode[how]


class Modules:
    """Where the code of a process lies, read while it lives: the names of return addresses."""

    def __init__(self, pid):
        self.spans = []
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as f:
            for line in f:
                m = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+\s+(/\S+)", line)
                if m:
                    start, end, offset = (int(m.group(i), 16) for i in (1, 2, 3))
                    self.spans.append((start, end, offset, m.group(4)))
        self.base = {}
        for start, _, offset, path in self.spans:
            self.base.setdefault(path, start - offset)

    def place(self, address):
        for start, end, _, path in self.spans:
            if start <= address < end:
                return path, address - self.base[path]
        return "?", address

    def chain(self, addresses):
        return tuple((os.path.basename(p), a) for p, a in map(self.place, addresses)
                     if "fault" not in p and "libasan" not in p)

    def names(self, addresses):
        places = [(path, offset) for path, offset in map(self.place, addresses) if "fault" not in path]
        lines = code_lines([offset for path, offset in places if path == os.path.realpath(LULLD)])
        out = []
        for path, offset in places:
            text = lines[offset] if path == os.path.realpath(LULLD) else os.path.basename(path)
            if text != "libc.so.6" and (not out or out[-1] != text):
                out.append(text)
        return " | ".join(out[:10])


CODE_LINES = {}


def code_lines(offsets):
    """For each of these return addresses in lulld the function and its line; lulld's file is read once for those that
    are new."""
    fresh = [offset for offset in dict.fromkeys(offsets) if offset not in CODE_LINES]
    if fresh:
        found = subprocess.run(["addr2line", "-afsipe", LULLD, *(hex(offset - 1) for offset in fresh)], check=False,
                               capture_output=True, text=True).stdout
        texts = re.split(r"^0x[0-9a-f]+: ", found, flags=re.M)[1:]
        CODE_LINES.update((offset, text.strip().replace("\n", " < ")) for offset, text in zip(fresh, texts, strict=True))
    return CODE_LINES


class World:
    """What the scenes act on: a daemon, a model server, fresh texts."""

    def __init__(self, environment, folder):
        self.environment, self.folder = environment, folder
        self.serial = itertools.count(1)
        self.sessions = []
        self.up = Upstream()
        self.lull = None
        self.primed = f"primed {os.getpid()}"
        self.calls = 1  # generations that a chat may cost: 2 where a pooled connection may break

    def text(self):
        return f"Question {next(self.serial):06d} of {os.getpid()}?"

    def number(self):
        return next(self.serial)

    def start(self):
        ups = {"default": {"url": self.up.url, "slots": 1, "breaker_failures": 1000},
               "broken": {"url": "http://127.0.0.1:1", "slots": 1, "connect_timeout": "1s"},
               "crossed": {"url": self.up.url.replace("127.0.0.1", "localhost"), "dialect": "openai", "slots": 1}}
        if self.lull is None:
            self.lull = Lull(ups, folder=self.folder, environment=self.environment, **CONFIG)
        else:
            self.lull.start()
        scenes.task(self, "title", self.primed, most=scenes.ANY)
        self.settle()
        self.modules = Modules(self.lull.process.pid)

    def close_sessions(self):
        for client in self.sessions:
            client.close()
        self.sessions.clear()

    def forget(self):
        """The model server keeps what it was asked for this long."""
        with self.up.lock:
            keep = [e for e in self.up.records if self.primed.encode() in e.body]
            self.up.records[:] = keep

    def settle(self):
        """Waits until nothing runs, waits or is written; what stays is a leak."""
        self.close_sessions()

        def quiet():
            try:
                s = self.lull.stats()
            except (OSError, Cut, TimeoutError):
                return None
            up = s["upstreams"].values()
            busy = (s["chat"].get("running", 0) or any(u["running"] for u in up)
                    or s["cache"].get("pending_writes", 0))
            return None if busy or self.lull.unbalanced(s) else s
        return eventually(quiet, 30, "lulld never comes to rest")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.lull.process.pid}/fd"))


class Torture:
    def __init__(self, options, world, fault):
        self.options, self.world, self.fault = options, world, fault
        self.random = random.Random(options.seed)
        self.armed = collections.Counter()    # per call: faults that lay ahead
        self.failed = collections.Counter()   # per call: faults injected
        self.places = collections.defaultdict(set)
        self.seen = collections.Counter()
        self.outcomes = collections.Counter()
        self.aborts = collections.Counter()
        self.problems = []
        self.slow = []
        self.restarts = 0  # since the cache was off

    # ---- one fault ----------------------------------------------------------------------------------
    def problem(self, where, what):
        callers = self.fault.callers()
        text = f"{where}: {what}"
        if callers:
            text += f"\n    failed at {self.world.modules.names(callers)}"
        self.problems.append(text)
        print("PROBLEM", text, flush=True)

    def died(self, where):
        """The daemon has ended: allowed where a small, fixed object got no memory."""
        status = self.world.lull.process.wait()
        log = self.world.lull.log_text()
        size = self.fault.page.size
        last = log.strip().splitlines()[-1:] or [""]
        small = "memory for a small allocation" in last[0] and size <= SMALL
        if small and status == -signal.SIGABRT:
            self.aborts[self.world.modules.names(self.fault.callers())] += 1
        else:
            self.problem(where, f"lulld ended with {status}, {size} bytes: {log[-600:]}")
        self.fault.disarm()
        self.start_again()

    def start_again(self):
        self.world.lull.log.close()
        os.replace(self.world.lull.log_path, self.world.lull.log_path + ".old")
        self.world.start()

    def recover(self, where):
        """A file that failed switches the cache off for a while: no call behind it would reach the disk."""
        try:
            if self.world.lull.stats()["cache"]["state"] == "on":
                return
        except (OSError, Cut, TimeoutError) as error:
            self.problem(where, f"afterwards: {error!r}")
        self.restarts += 1
        status = self.world.lull.stop()
        if status != 0:
            self.problem(where, f"ended with {status} after SIGTERM: {self.world.lull.log_text()[-400:]}")
        self.start_again()

    def alive(self):
        return self.world.lull.running()

    def run(self, scene):
        """Runs a scene; how it ended."""
        began = time.monotonic()
        try:
            scene(self.world)
            return "served"
        except Refused as error:
            return error
        finally:
            self.world.close_sessions()
            self.took = time.monotonic() - began

    def one(self, scene, call, how, skip):
        """One fault; False when the scene ended before it."""
        where = f"{scene.__name__} {call} {name_of(how)} #{skip}"
        self.armed[call] += 1
        self.world.calls = 1 if call in SOFT_CALLS and how in SOFT else 2
        self.fault.arm(call, how, skip)
        try:
            end = self.run(scene)
        except Wrong as error:
            end = None
            if self.alive():
                self.problem(where, error)
        self.fault.disarm()
        self.world.calls = 1
        hit = self.fault.page.hits > 0
        if self.took > 2:
            self.slow.append((self.took, where, self.world.modules.names(self.fault.callers())))
        if hit:
            chain = self.world.modules.chain(self.fault.callers())
            self.failed[call] += 1
            self.places[call].add(chain)
        if not self.alive() or (isinstance(end, Refused) and end.cut and self.gone()):
            self.died(where)
            return hit
        if isinstance(end, Refused):
            self.judge(where, call, how, end, hit)
        else:
            self.outcomes["served"] += end == "served"
        if hit:
            self.recover(where)
        return hit

    def gone(self):
        """A client saw its connection end: whether the daemon ends just now."""
        try:
            return Client(self.world.lull.control_path).request("GET", "/healthz").status is None
        except (OSError, Cut, TimeoutError):
            try:
                self.world.lull.process.wait(2)
            except subprocess.TimeoutExpired:
                return False
            return True

    def judge(self, where, call, how, end, hit):
        """Whether a refusal was right."""
        page = self.fault.page
        own = page.local_port in (0, self.world.lull.port) or call in ("accept4", "epoll_ctl", "malloc")
        if not hit:
            self.problem(where, f"without a fault: {end}")
        elif call in SOFT_CALLS and how in SOFT:
            self.problem(where, f"after what should change nothing: {end}")
        elif end.cut and not own and page.peer_port != self.world.up.port:
            self.problem(where, f"no answer: {end}")
        self.outcomes["cut" if end.cut else "refused"] += 1

    # ---- all faults ---------------------------------------------------------------------------------
    def sample(self, count):
        """Which of `count` calls fail: all, or some with the first and the last."""
        most = self.options.most
        if count <= most:
            return list(range(count))
        some = self.random.sample(range(count), most)
        return sorted({0, count - 1, *some})

    def torture(self, scene):
        counts = collections.Counter()
        for _ in range(2):
            self.fault.count()
            self.run_clean(scene)
            for call, n in self.fault.counted().items():
                counts[call] = max(counts[call], n)
        before = self.world.descriptors()
        for call in self.options.calls:
            self.seen[call] += counts[call]
            for how in self.ways(call):
                for skip in self.sample(counts[call]):
                    self.one(scene, call, how, skip)
        self.rest(scene.__name__, before)

    def ways(self, call):
        ways = WAYS[call]
        return ways if self.options.long or len(ways) == 1 else self.random.sample(ways, 2)

    def run_clean(self, scene):
        end = self.run(scene)
        if end != "served":
            raise AssertionError(f"{scene.__name__} fails without a fault: {end}")

    def rest(self, where, before):
        """After a scene: all at rest, all served, nothing kept."""
        try:
            self.world.settle()
            self.run_clean(scenes.chat_pooled)
            self.run_clean(scenes.task_miss)
            self.world.settle()
        except (AssertionError, Wrong) as error:
            self.problem(where, f"afterwards: {error}")
        more = self.world.descriptors() - before
        if more > 12:  # pooled connections come and go
            self.problem(where, f"{more} descriptors more than before")
        self.world.forget()

    # ---- start and stop -----------------------------------------------------------------------------
    def start_once(self, call, how, skip):
        """Starts a daemon with a fault ahead. It serves, or it ends with a message."""
        where = f"start {call} {name_of(how)} #{skip}"
        self.armed[call] += 1
        world = self.world
        world.lull.process = None
        self.fault.arm(call, how, skip)
        world.lull.start(wait=False)
        end = time.monotonic() + 20
        serving = False
        while time.monotonic() < end and world.lull.running() and not serving:
            try:
                serving = world.lull.control("GET", "/readyz").status == 200
            except (OSError, Cut, TimeoutError):
                time.sleep(0.002)
        hit = self.fault.page.hits > 0
        if hit:
            self.failed[call] += 1
            self.places[call].add(world.modules.chain(self.fault.callers()))
        self.fault.disarm()
        if serving:
            try:
                self.run_clean(scenes.chat_pooled)
                status = world.lull.stop()
                # what ASan's own start of a thread does not get is not lulld's
                if status != 0 and "__asan::AsanThread::Init" not in world.lull.log_text():
                    self.problem(where, f"ended with {status} after SIGTERM: {world.lull.log_text()[-400:]}")
            except (AssertionError, Wrong) as error:
                self.problem(where, error)
                world.lull.kill()
        elif world.lull.running():
            self.problem(where, f"neither ready nor ended: {world.lull.log_text()[-400:]}")
            world.lull.kill()
        else:
            self.check_refusal(where, world.lull.wait())
        world.lull.log.close()
        os.replace(world.lull.log_path, world.lull.log_path + ".old")
        return hit

    def check_refusal(self, where, status):
        log = self.world.lull.log_text().strip()
        if status == -signal.SIGABRT and "broken invariant" in log:
            self.aborts[self.world.modules.names(self.fault.callers())] += 1
        elif status <= 0 or not log:
            self.problem(where, f"ended with {status}, log {log[-300:]!r}")
        else:
            self.outcomes["start refused"] += 1

    def torture_start(self):
        self.world.lull.stop()
        self.fault.count()
        self.start_once(CALLS[0], errno.ENOMEM, 1 << 40)
        counts = self.fault.counted()
        for call in self.options.calls:
            self.seen[call] += counts[call]
            for how in self.ways(call):
                for skip in self.sample(counts[call]):
                    self.start_once(call, how, skip)
        self.lose_the_loop()

    def lose_the_loop(self):
        """The kernel watches no descriptor any more: lulld ends, and its status has it started again."""
        lull = self.world.lull
        lull.start()
        self.fault.arm("epoll_wait", errno.EBADF, 0)
        try:
            lull.control("GET", "/healthz")  # it may be answered before
        except (OSError, Cut):
            pass
        status = lull.wait()
        self.fault.disarm()
        if status != 1 or "the event loop failed" not in lull.log_text():
            self.problem("epoll_wait EBADF", f"ended with {status}: {lull.log_text()[-400:]}")

    # ---- the result ---------------------------------------------------------------------------------
    def report(self):
        print(f"{'call':15}{'calls':>8}{'armed':>8}{'failed':>8}{'places':>8}")
        for call in self.options.calls:
            print(f"{call:15}{self.seen[call]:8}{self.armed[call]:8}{self.failed[call]:8}{len(self.places[call]):8}")
            least = max(1, self.armed[call] * REACHED) if self.options.long else 1
            if call in NEEDED and self.failed[call] < least:
                self.problems.append(f"{call}: {self.failed[call]} of {self.armed[call]} faults were reached")
        print(f"{sum(self.failed.values())} faults; "
              + ", ".join(f"{n} {what}" for what, n in self.outcomes.items())
              + f"; {sum(self.aborts.values())} aborts for want of a small object at {len(self.aborts)} places"
              + f"; {self.restarts} starts since the cache was off")
        if self.options.long:
            for names, n in self.aborts.most_common():
                print(f"  {n:5} {names}")
        for took, where, names in sorted(self.slow, reverse=True)[:20]:
            print(f"  {took:4.1f} s {where} {names}")
        for text in self.problems:
            print("PROBLEM", text)
        print(f"{len(self.problems)} problems")
        return 1 if self.problems else 0


def environment(fault):
    preload = LIBRARY
    if not os.path.exists(preload):
        sys.exit(f"{preload} is missing: build it, or set LULL_FAULT_LIBRARY")
    more = {"TORTURE_PAGE": fault.path}
    if SANITIZED:
        runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True,
                                 text=True).stdout.strip()
        preload += " " + os.path.realpath(runtime)
        suppressions = os.path.join(os.path.dirname(fault.path), "leaks")
        with open(suppressions, "w", encoding="ascii") as f:
            f.write("leak:evsig_set_handler_\n"  # libevent's own, where a signal is refused at the start
                    "leak:libcrypto.so\n")  # OpenSSL's own, where memory is gone while it reads its configuration
        more["LSAN_OPTIONS"] = f"suppressions={suppressions}:print_suppressions=0"
        more["ASAN_OPTIONS"] = "detect_leaks=1:verify_asan_link_order=0:allocator_may_return_null=1"
    return {**more, "LD_PRELOAD": preload}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true", help="every call and every way, not a sample")
    parser.add_argument("--most", type=int, help="calls that fail per scene, call and way")
    parser.add_argument("--only", help="these calls only")
    parser.add_argument("--scene", help="these scenes only; start is one")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    options.most = options.most or (100_000 if options.long else 2)
    options.calls = options.only.split(",") if options.only else CALLS
    return options


def main():
    options = arguments()
    chosen = options.scene.split(",") if options.scene else None
    print(f"seed {options.seed}", flush=True)
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
    with tempfile.TemporaryDirectory(prefix="lull-torture-") as folder:
        fault = Fault(folder)
        world = World(environment(fault), folder)
        world.start()
        torture = Torture(options, world, fault)
        for scene in scenes.SCENES:
            if chosen is None or scene.__name__ in chosen:
                began, faults = time.monotonic(), sum(torture.failed.values())
                torture.torture(scene)
                print(f"{scene.__name__:28} {sum(torture.failed.values()) - faults:6} faults "
                      f"{time.monotonic() - began:7.1f} s", flush=True)
        if chosen is None or "start" in chosen:
            torture.torture_start()
        elif world.lull.running():
            world.lull.stop()
        log = world.lull.log_text()
        if SANITIZER_SIGNS.search(log):
            torture.problem("sanitizer", log[-6000:])
        if options.only or options.scene:
            NEEDED.clear()
        result = torture.report()
        world.up.stop()
    sys.exit(result)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The control socket and lullctl."""
import json
import os
import re
import stat
import subprocess

import prompts
from client import Client
from lull import LULLCTL, OUTCOMES, SANITIZED, LullTest, eventually, main
from prompts import PATH, body, headers
from upstream import Gate, good, good_content


class ControlTest(LullTest):
    def fill(self, lull, n=3, kinds=("title", "tags"), **head):
        c = self.connect(lull)
        for kind in kinds:
            for i in range(n):
                r = c.post(PATH["openai"], body(kind, f"{kind} {i}"), headers(**head))
                self.assertEqual(r.status, 200)
        lull.committed()
        return c

    def entries(self, lull, query=""):
        r = lull.control("GET", "/entries" + query)
        self.assertEqual(r.status, 200, r)
        return r.json


class Figures(ControlTest):
    def test_stats_have_the_shape_of_the_interface(self):
        up = self.upstream()
        lull = self.lull(up)
        self.fill(lull)
        s = lull.stats()
        self.assertEqual(s["pid"], lull.process.pid)
        self.assertIsInstance(s["version"], str)
        self.assertGreaterEqual(s["uptime_s"], 0)
        self.assertEqual(s["mode"], "on")
        self.assertLessEqual({"open", "accepted", "refused", "bad_requests"}, set(s["connections"]))
        self.assertLessEqual({"requests", "open", "failed", "ttft_ms"}, set(s["chat"]))
        self.assertEqual(set(s["other"]), {"requests"})
        self.assertEqual(set(s["tasks"]), {"title", "tags"}, "kinds never seen are absent")
        for t in s["tasks"].values():
            self.assertLessEqual({"requests", "hits", "misses", "failed", "stored", "not_stored",
                                  "upstream_calls", "upstream_s", "saved_s", "wasted_s", "latency_ms"}, set(t))
            self.assertLessEqual({"p50", "p90", "p99"}, set(t["latency_ms"]))
        u = s["upstreams"]["default"]
        self.assertEqual((u["state"], u["calls"], u["finished"], u["running"]), ("up", 6, 6, 0))
        c = s["cache"]
        self.assertEqual((c["state"], c["entries"], c["inserted"], c["errors"], c["pending_writes"]),
                         ("on", 6, 6, 0, 0))
        self.assertEqual(c["max_bytes"], 256 << 20)
        self.assertGreater(c["bytes"], 0)
        p = s["process"]
        self.assertGreater(p["rss_anon_bytes"], 100000)
        self.assertTrue(SANITIZED or p["heap_bytes"] > 50000, p)
        self.assertGreater(p["fds"], 5)
        self.assertGreaterEqual(p["loop_longest_turn_ms"], p["loop_recent_turn_ms"])
        self.assertGreater(p["loop_recent_turn_ms"], 0)
        self.assertGreaterEqual(p["loop_longest_turn_ms"], p["loop_longest_turn_cpu_ms"])

    def test_upstream_state_goes_down_and_up(self):
        up = self.upstream()
        lull = self.lull("http://127.0.0.1:9")
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 502)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["state"] == "down")
        lull.upstreams = up
        lull.write_config()
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(c.get("/v1/models").status, 200)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["state"] == "up")

    def test_metrics_say_what_stats_say(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.fill(lull)
        c.post(PATH["openai"], body("title", "title 0"), headers())
        c.post(PATH["openai"], prompts.chat_body("Hi"), headers())
        lull.wait_task("title", requests=4, hits=1, misses=3)
        r = lull.control("GET", "/metrics")
        self.assertEqual(r.status, 200)
        self.assertIn("text/plain", r.header("Content-Type"))
        text = r.body.decode()
        values = {}
        declared = set()
        for line in text.splitlines():
            if line.startswith("# TYPE"):
                declared.add(line.split()[2])
            elif line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, values, "twice")
                values[name] = float(value)
        self.assertTrue(all(n.startswith("lull_") for n in values), sorted(values)[:5])
        for name in values:
            base = name.split("{")[0]
            for suffix in ("_bucket", "_sum", "_count"):
                if base.endswith(suffix) and base[:-len(suffix)] in declared:
                    base = base[:-len(suffix)]
            self.assertIn(base, declared, "has no TYPE")

        def one(*parts):
            found = [v for n, v in values.items() if all(p in n for p in parts)]
            self.assertEqual(len(found), 1, (parts, sorted(values)))
            return found[0]
        self.assertEqual(one('kind="title"', 'outcome="hits"'), 1)
        self.assertEqual(one('kind="title"', 'outcome="misses"'), 3)
        self.assertEqual(one("lull_chat_requests_total"), 1)
        self.assertEqual(one("lull_upstream_calls_total", 'upstream="default"'), 7)
        self.assertTrue(any("_bucket{" in n and 'le="+Inf"' in n for n in values), "no histogram")

    def test_every_number_of_stats_is_a_metric(self):
        lull = self.lull(self.upstream(), slots=3)
        self.connect(lull).post(PATH["openai"], body("title", "counted"), headers())

        def both():
            """The two, with nothing counted in between."""
            before, metrics = lull.stats(), lull.control("GET", "/metrics").body.decode()
            after = lull.stats()
            same = all(before[part] == after[part] for part in ("tasks", "upstreams"))
            return same and (before, dict(re.findall(r"^(\S+) (\S+)$", metrics, re.M)))

        stats, metrics = eventually(both)
        for name, group in (("task", stats["tasks"]), ("upstream", stats["upstreams"])):
            label = {"task": "kind"}.get(name, name)
            for of, figures in group.items():
                for figure, value in figures.items():
                    if isinstance(value, (dict, str)):  # percentiles are histograms, texts are none
                        continue
                    wanted = f'lull_{name}_{re.sub("_s$", "_seconds", figure)}'
                    labels = f'{{{label}="{of}"}}'
                    if figure in OUTCOMES:
                        wanted, labels = "lull_task_outcomes", f'{{kind="{of}",outcome="{figure}"}}'
                    found = [metrics[n] for n in (wanted + labels, wanted + "_total" + labels) if n in metrics]
                    self.assertEqual([float(v) for v in found], [value], (of, figure))

    def test_health(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.control("GET", "/healthz").status, 200)
        r = lull.control("GET", "/readyz")
        self.assertEqual(r.status, 200)
        self.assertIn(b"cache", r.body)
        self.assertIn(b"default", r.body)


    def test_a_long_name_is_cut_and_stays_text(self):
        up = self.upstream()
        up.when("title", lambda e: e.full(400, "application/json", b'{"error": "no stream"}')
                if e.json.get("stream") else good()(e))
        lull = self.lull(up)
        c = self.connect(lull)
        name = "\u00e9" * 200  # of two bytes each, and 255 are shown
        for i in range(2):
            asked = json.loads(body("title", f"long {i}"))
            r = c.post(PATH["openai"], json.dumps({**asked, "model": name}), headers())
            self.assertEqual(r.status, 200)
        text = lull.control("GET", "/flights").body.decode()  # strict
        self.assertIn(name[:127], json.loads(text)["left_out"][0]["model"])
        self.assertEqual(lull.ctl("flights").returncode, 0)


class Entries(ControlTest):
    def test_list_filter_and_page(self):
        up = self.upstream()
        lull = self.lull(up)
        self.fill(lull, 4)
        everything = self.entries(lull)["entries"]
        self.assertEqual(len(everything), 8)
        self.assertEqual(len({e["id"] for e in everything}), 8)
        for e in everything:
            self.assertLessEqual({"id", "kind", "scope", "model", "upstream", "created", "expires", "bytes", "hits"}, set(e))
            self.assertNotIn("request", e)
            self.assertEqual((e["upstream"], e["model"]), ("default", prompts.MODEL["openai"]))
        self.assertEqual([e["kind"] for e in everything], ["tags"] * 4 + ["title"] * 4, "newest first")
        self.assertEqual([e["kind"] for e in self.entries(lull, "?kind=title")["entries"]], ["title"] * 4)
        seen, after = [], ""
        for _ in range(10):
            page = self.entries(lull, f"?limit=3{after}")
            self.assertLessEqual(len(page["entries"]), 3)
            seen += [e["id"] for e in page["entries"]]
            if not page.get("next"):
                break
            after = f"&after={page['next']}"
        self.assertEqual(seen, [e["id"] for e in everything])
        self.assertEqual(self.entries(lull, "?kind=emoji")["entries"], [])

    def test_get_and_delete_one(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.fill(lull, 1)
        entry = self.entries(lull, "?kind=title")["entries"][0]
        r = lull.control("GET", "/entries/" + entry["id"])
        self.assertEqual(r.status, 200)
        self.assertEqual(r.json["id"], entry["id"])
        self.assertIn("title 0", r.json["request"])
        self.assertIn("Title 1", r.json["answer"])
        self.assertEqual(lull.control("DELETE", "/entries/" + entry["id"]).status, 204)
        self.assertEqual(lull.control("GET", "/entries/" + entry["id"]).status, 404)
        self.assertEqual(lull.control("DELETE", "/entries/" + entry["id"]).status, 404)
        self.assertEqual(lull.control("GET", "/entries/zzz").status, 404)
        r = c.post(PATH["openai"], body("title", "title 0"), headers())
        self.assertEqual((r.cache_status, r.content), ("lull; fwd=miss; stored", good_content("title", 2)))

    def test_purge(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.fill(lull, 3)
        self.fill(lull, 1, key="sk-other")
        self.assertEqual(lull.control("POST", "/purge").status, 400)
        r = lull.control("POST", "/purge?kind=title")
        self.assertEqual((r.status, r.json["purged"]), (200, 4))
        self.assertEqual({e["kind"] for e in self.entries(lull)["entries"]}, {"tags"})
        r = c.post(PATH["openai"], body("title", "title 1"), headers())
        self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
        self.assertIn("hit", c.post(PATH["openai"], body("tags", "tags 1"), headers()).cache_status)
        self.assertEqual(lull.control("POST", "/purge?model=nothing-like-it").json["purged"], 0)
        self.assertEqual(lull.control("POST", "/purge?older=1h").json["purged"], 0)
        self.assertEqual(lull.control("POST", "/purge?all=yes").json["purged"], 5)
        self.assertEqual(self.entries(lull)["entries"], [])
        self.assertEqual(lull.control("POST", "/purge?nonsense=1").status, 400)

    def test_a_flight_begun_before_a_purge_is_answered_and_not_stored(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(), body("title", "in flight").encode())
        up.wait_for(1)
        self.assertEqual(lull.control("POST", "/purge?all=yes").status, 200)
        gate.open()
        r = c.response()
        self.assertEqual((r.status, r.content), (200, good_content("title", 1)))
        r = c.post(PATH["openai"], body("title", "in flight"), headers())
        self.assertNotIn("hit", r.cache_status)
        self.assertEqual(up.count(), 2)

    def test_size_cap_evicts(self):
        up = self.upstream()
        lull = self.lull(up, cache="max_size = 4MB")
        c = self.connect(lull)
        text = "x" * 20000
        for i in range(400):
            self.assertEqual(c.post(PATH["openai"], body("tags", f"{i} {text}"), headers()).status, 200)
        s = lull.committed()
        self.assertGreater(s["cache"]["evicted"], 50)
        self.assertLessEqual(s["cache"]["bytes"], 4 << 20)
        self.assertEqual(s["cache"]["errors"], 0)
        size = sum(os.path.getsize(os.path.join(lull.data_dir, f)) for f in os.listdir(lull.data_dir))
        self.assertLessEqual(size, (4 << 20) * 5 // 4 + (4 << 20) + 65536, "a quarter and 4 MB")
        self.assertIn("hit", c.post(PATH["openai"], body("tags", f"399 {text}"), headers()).cache_status)


class WhoMayAsk(ControlTest):
    def test_modes_and_origin(self):
        lull = self.lull(self.upstream(), server="control_mode = 0600")
        self.assertEqual(stat.S_IMODE(os.stat(lull.control_path).st_mode), 0o600)
        r = lull.control("GET", "/stats", headers=[("Origin", "http://evil.example")])
        self.assertEqual(r.status, 403)
        r = lull.control("POST", "/purge?all=yes", headers=[("Origin", "http://evil.example")])
        self.assertEqual(r.status, 403)

    def test_host_of_a_site(self):
        """A browser reaches the socket where it is forwarded to a port; a page whose name resolves to that port
        (DNS rebinding) would be of the same origin."""
        lull = self.lull(self.upstream(), server="hosts = status.example.org")
        for host, status in (("evil.example", 403), ("evil.example:8080", 403), ("localhost.evil.example", 403),
                             ("lull", 200), ("localhost:9", 200), ("127.0.0.1:9", 200), ("[::1]:9", 200), ("", 200),
                             ("box.local", 200), ("status.example.org", 200)):
            with self.subTest(host):
                own = [("Host", host), ("Origin", f"http://{host}")] if host else [("Host", "")]
                self.assertEqual(lull.control("GET", "/stats", headers=own).status, status)
                self.assertEqual(lull.control("POST", "/purge?kind=title", headers=own).status, status)

    def test_unknown_paths_and_methods(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.control("GET", "/nope").status, 404)
        for method, path, allowed in (("POST", "/stats", "GET, HEAD"), ("GET", "/purge", "POST"),
                                      ("PUT", "/entries/0123", "GET, HEAD, DELETE"), ("DELETE", "/config", "GET, HEAD, POST")):
            r = lull.control(method, path)
            self.assertEqual((r.status, r.header("Allow")), (405, allowed), path)
        with Client(lull.control_path) as c:
            c.send(b"nonsense\r\n\r\n")
            self.assertEqual(c.response().status, 400)

    def test_control_does_not_answer_on_the_port(self):
        up = self.upstream()
        lull = self.lull(up)
        r = self.connect(lull).get("/stats")
        self.assertEqual(up.records[-1].path, "/stats", "the port belongs to the model server")
        self.assertEqual(r.status, 404)

    def test_config(self):
        lull = self.lull({"default": {"url": self.upstream(), "api_key": "sk-hidden"}})
        r = lull.control("GET", "/config")
        self.assertEqual(r.status, 200)
        self.assertNotIn(b"sk-hidden", r.body)
        self.assertEqual(r.json["server.idle_timeout"]["value"], "75s")
        self.assertEqual(r.json["server.idle_timeout"]["origin"], "default")
        self.assertIn("lull.conf:", r.json["upstream.default.url"]["origin"])


class Ctl(ControlTest):
    def test_verbs_for_people_and_for_programs(self):
        up = self.upstream()
        lull = self.lull(up)
        self.fill(lull, 2)
        p = lull.ctl("stats")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("title", p.stdout)
        self.assertNotIn("\x1b[", p.stdout, "colour although this is no terminal")
        self.assertEqual(json.loads(lull.ctl("--json", "stats").stdout)["tasks"]["title"]["requests"], 2)
        p = lull.ctl("ls")
        self.assertEqual(p.returncode, 0, p.stderr)
        listed = json.loads(lull.ctl("--json", "ls").stdout)["entries"]
        self.assertEqual(len(listed), 4)
        for e in listed:
            self.assertIn(e["kind"], p.stdout)
        one = listed[0]["id"]
        p = lull.ctl("get", one)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("tags", p.stdout)
        self.assertEqual(json.loads(lull.ctl("--json", "get", one).stdout)["id"], one)
        self.assertEqual(lull.ctl("rm", one).returncode, 0)
        self.assertEqual(lull.ctl("get", one).returncode, 1)
        self.assertEqual(lull.ctl("rm", one).returncode, 1)
        p = lull.ctl("config")
        self.assertEqual(p.returncode, 0)
        self.assertIn("server.idle_timeout", p.stdout)
        p = lull.ctl("reload")
        self.assertEqual(p.returncode, 0, p.stderr)
        lull.write_config(more="[task titel]\nttl = 1d\n")
        p = lull.ctl("reload")
        self.assertEqual(p.returncode, 1)
        self.assertIn("titel", p.stdout + p.stderr)

    def test_purge(self):
        lull = self.lull(self.upstream())
        self.fill(lull, 2)
        self.assertIn(lull.ctl("purge").returncode, (1, 2), "without a condition")
        self.assertEqual(len(self.entries(lull)["entries"]), 4)
        p = lull.ctl("purge", "kind=title")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("2", p.stdout)
        p = lull.ctl("--json", "purge", "all=yes")
        self.assertEqual(json.loads(p.stdout)["purged"], 2)

    def test_a_condition_that_is_given_twice(self):
        """Neither the first nor the last alone is meant."""
        lull = self.lull(self.upstream())
        self.fill(lull, 1)
        p = lull.ctl("purge", "kind=title", "kind=tags")
        self.assertEqual((p.returncode, p.stderr), (1, "lullctl: given twice: kind\n"))
        self.assertEqual(lull.control("POST", "/purge?older=1s&older=0").status, 400)
        self.assertEqual(len(self.entries(lull)["entries"]), 2)

    def test_standard_output_is_closed(self):
        lull = self.lull(self.upstream())
        for verb in ["stats"], ["--json", "stats"], ["tail"]:
            p = subprocess.Popen([LULLCTL, "--socket", lull.control_path, *verb], preexec_fn=lambda: os.close(1),
                                 stderr=subprocess.PIPE, text=True)
            while p.poll() is None:
                self.connect(lull).get("/v1/models")
            self.assertEqual((p.returncode, p.stderr.read()), (1, "lullctl: the output cannot be written\n"), verb)
            p.stderr.close()

    def test_exit_statuses(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.ctl("nonsense").returncode, 2)
        self.assertEqual(lull.ctl().returncode, 2)
        self.assertEqual(lull.ctl("get").returncode, 2)
        p = lull.ctl("stats", socket_path="/nonexistent/c.sock")
        self.assertEqual(p.returncode, 3)
        self.assertIn("/nonexistent/c.sock", p.stderr)
        self.assertEqual(lull.ctl("--help").returncode, 0)


if __name__ == "__main__":
    main()

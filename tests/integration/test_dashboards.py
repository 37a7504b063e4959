#!/usr/bin/env python3
"""contrib/grafana and contrib/prometheus against the daemon's own /metrics: every metric and label that
they name exists, and promtool, where it is installed, accepts metrics, configuration, rules and cases."""
import json
import os
import re
import shutil
import subprocess
import unittest

import prompts
from lull import SOURCE, LullTest

PROMETHEUS = os.path.join(SOURCE, "contrib", "prometheus")
DASHBOARD = os.path.join(SOURCE, "contrib", "grafana", "lull.json")
METRIC = re.compile(r"\blull_[a-z0-9_]+")
SELECTOR = re.compile(r"\b(lull_[a-z0-9_]+)\{([^}]*)\}")
SAMPLE = re.compile(r"^(lull_[a-z0-9_]+)(?:\{(.*)\})? ", re.M)
LABEL = re.compile(r'([a-z]\w*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
FROM_PROMETHEUS = {"instance", "job"}


def expressions():
    with open(DASHBOARD, encoding="utf-8") as f:
        dashboard = json.load(f)
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    with open(os.path.join(PROMETHEUS, "rules.yaml"), encoding="utf-8") as f:
        rules = f.read()
    for number, line in enumerate(rules.split("\n"), 1):
        if "lull_" in line:
            yield f"rules.yaml:{number}", line


class Dashboards(LullTest):
    def metrics(self):
        up = self.upstream()
        lull = self.lull(up)
        client = self.connect(lull)
        for kind in ("title", "tags", "follow_up"):
            client.post("/v1/chat/completions", prompts.body(kind, "x"), prompts.headers(kind=kind))
        client.post("/v1/chat/completions", prompts.chat_body("hello"), prompts.headers())
        client.post("/v1/chat/completions", prompts.body("autocomplete", "a text of more than 12 characters"),
                    prompts.headers(kind="autocomplete"))
        lull.committed()
        return lull.control("GET", "/metrics").body.decode()

    def test_every_name_exists(self):
        labels, values = {}, {}
        for name, text in SAMPLE.findall(self.metrics()):
            for label, value in LABEL.findall(text):
                labels.setdefault(name, set()).add(label)
                values.setdefault((name, label), set()).add(value)
            labels.setdefault(name, set())
        seen = 0
        for where, expression in expressions():
            for name in METRIC.findall(expression):
                self.assertIn(name, labels, f"{where}: {expression}")
                seen += 1
            for name, selector in SELECTOR.findall(expression):
                for label, value in LABEL.findall(selector):
                    if label in FROM_PROMETHEUS:
                        continue
                    self.assertIn(label, labels[name], f"{where}: {expression}")
                    for one in value.split("|"):
                        self.assertIn(one, values[name, label], f"{where}: {expression}")
        self.assertGreater(seen, 30)

    def test_every_duration_of_stats_has_a_histogram(self):
        text = self.metrics()
        for name in ("lull_task_latency_seconds", "lull_task_window_seconds", "lull_chat_ttft_seconds",
                     "lull_upstream_latency_seconds", "lull_upstream_abort_cost_seconds", "lull_upstream_turn_ttft_seconds",
                     "lull_cache_commit_seconds"):
            self.assertIn(f"# TYPE {name} histogram", text)
        self.assertRegex(text, r"lull_cache_commit_seconds_count [1-9]")
        self.assertRegex(text, r'lull_task_window_seconds_count\{kind="autocomplete"\} 1')
        self.assertIn('lull_upstream_turn_ttft_seconds_count{upstream="default",after="tasks"}', text)

    def test_promtool(self):
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("promtool is not installed (Debian package prometheus)")
        for arguments, text in ((["check", "metrics"], self.metrics()), (["check", "config", "prometheus.yaml"], ""),
                                (["check", "rules", "rules.yaml"], ""), (["test", "rules", "test.yaml"], "")):
            with self.subTest(" ".join(arguments)):
                done = subprocess.run([promtool, *arguments], input=text, cwd=PROMETHEUS, text=True, timeout=120,
                                      capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()

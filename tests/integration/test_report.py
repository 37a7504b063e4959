#!/usr/bin/env python3
"""lullctl report and GET /report: savings per day, by kind and by user; what a restart keeps; what is shown to whom."""
import csv
import io
import re
import unittest

import prompts
from client import Client
from lull import LullTest, free_port
from upstream import after, default_rule

FIGURES = ["requests", "without_call", "saved_s", "spent_s", "wasted_s", "wait_s", "saved_tokens", "cost", "saved_cost"]


class Report(LullTest):
    def ask(self, lull, kind, text, user):
        headers = prompts.headers(kind=kind, user=user)
        response = self.connect(lull).post("/v1/chat/completions", prompts.body(kind, text), headers)
        self.assertEqual(response.status, 200)
        return response

    def report(self, lull, query=""):
        return lull.control("GET", "/report" + query).json["days"]

    def work(self, lull):
        for user, text in (("ann", "a"), ("ann", "a"), ("bob", "a"), ("ann", "b"), (None, "c")):
            self.ask(lull, "title", text, user)
        self.ask(lull, "tags", "a", "bob")

    def test_by_kind_and_by_user_have_the_same_sums(self):
        up = self.upstream()
        lull = self.lull(up, more="price_in = 1000\nprice_out = 1000\n")
        up.when("*", after(0.005, default_rule))
        self.work(lull)
        day, = self.report(lull)
        by_user, = self.report(lull, "?days=1&by=user")
        self.assertEqual(list(day["total"]), FIGURES)
        self.assertEqual((day["total"]["requests"], day["total"]["without_call"]), (6, 1))
        self.assertEqual({kind: row["requests"] for kind, row in day["kinds"].items()}, {"title": 5, "tags": 1})
        self.assertEqual(sorted(row["requests"] for row in by_user["users"].values()), [1, 2, 3])
        self.assertEqual(by_user["users"]["none"]["requests"], 1)
        self.assertGreaterEqual(day["total"]["spent_s"], 0.025)  # five calls
        self.assertGreater(day["total"]["cost"], 0)
        for rows in day["kinds"], by_user["users"]:
            for figure in FIGURES:
                self.assertAlmostEqual(sum(row[figure] for row in rows.values()), day["total"][figure], 5, figure)
        scopes = {e["scope"] for e in lull.control("GET", "/entries").json["entries"]}
        self.assertLessEqual(set(by_user["users"]) - {"none"}, scopes)

    def test_a_restart_keeps_the_day(self):
        lull = self.lull(self.upstream())
        self.work(lull)
        before = self.report(lull, "?by=user")
        lull.restart()
        self.assertEqual(self.report(lull, "?by=user"), before)
        self.ask(lull, "title", "a", "ann")
        self.assertEqual(self.report(lull)[-1]["total"]["requests"], before[-1]["total"]["requests"] + 1)
        self.assertEqual(lull.control("GET", "/history").json["days"][-1]["requests"], 7)

    def test_a_purge_leaves_it(self):
        lull = self.lull(self.upstream())
        self.work(lull)
        lull.restart()
        self.assertEqual(lull.ctl("purge", "all=yes").returncode, 0)
        lull.restart()
        self.assertEqual(self.report(lull)[-1]["total"]["requests"], 6)

    def test_no_user_id_is_shown_or_kept(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title", "a", "secret-user-id")
        lull.restart()
        for target in ("/report", "/report?by=user"):
            self.assertNotIn(b"secret-user-id", lull.control("GET", target).body)
        name, = self.report(lull, "?by=user")[0]["users"]
        self.assertRegex(name, r"^[0-9a-f]{8}$")

    def test_csv(self):
        lull = self.lull(self.upstream())
        self.work(lull)
        for query, column in (("", "kind"), ("?by=user", "user")):
            response = lull.control("GET", "/report" + query, headers=[("Accept", "text/csv")])
            self.assertTrue(response.header("Content-Type").startswith("text/csv"))
            rows = list(csv.reader(io.StringIO(response.body.decode())))
            self.assertEqual(rows[0], ["day", column] + FIGURES)
            self.assertEqual(sum(int(row[2]) for row in rows[1:]), 6)
        done = lull.ctl("report", "--csv", "--by", "user")
        self.assertEqual((done.returncode, done.stdout), (0, response.body.decode().replace("\r\n", "\n")))

    def test_lullctl(self):
        lull = self.lull(self.upstream())
        self.work(lull)
        text = lull.ctl("report", "--days", "7").stdout
        self.assertRegex(text, r"^day +requests +without call +saved s")
        self.assertRegex(text, r"\n\d{4}-\d\d-\d\d +6 +1 ")
        self.assertRegex(text, r"\nall days +6 +1 ")
        self.assertRegex(text, r"\nkind +requests.*\ntitle +5 .*\ntags +1 ")
        self.assertNotIn("cost", text)
        self.assertRegex(lull.ctl("report", "--by", "user").stdout, r"\nuser +requests.*\n[0-9a-f]{8} +3 ")
        self.assertEqual(lull.ctl("--json", "report").stdout.rstrip("\n").encode(),
                         lull.control("GET", "/report?days=35&by=kind").body)
        self.assertEqual(lull.ctl("report", "--days", "36").returncode, 2)

    def test_wrong_queries(self):
        lull = self.lull(self.upstream())
        for query in ("days=0", "days=36", "days=x", "by=day", "colour=red", "days"):
            with self.subTest(query):
                response = lull.control("GET", "/report?" + query)
                self.assertEqual(response.status, 400)
                self.assertTrue(response.json["error"])

    def test_it_is_not_on_metrics_listen(self):
        port = free_port()
        lull = self.lull(self.upstream(), server=f"metrics_listen = 127.0.0.1:{port}")
        self.work(lull)
        with Client(("127.0.0.1", port)) as client:
            self.assertEqual(client.get("/report?by=user").status, 404)
            page = client.get("/history")
        self.assertEqual(page.json["days"][-1]["requests"], 6)
        self.assertIsNone(re.search(rb"users|[0-9a-f]{8}", page.body))


if __name__ == "__main__":
    unittest.main()

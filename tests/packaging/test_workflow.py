#!/usr/bin/env python3
"""The GitHub workflow: by its schema, and that the commands in it are there and can be run."""
import os
import re
import unittest

from common import load_yaml, main, schema_findings, source, tool_folder

WORKFLOW = source(".github", "workflows", "ci.yml")


class Workflow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = tool_folder()
        cls.jobs = load_yaml(cls.tools, WORKFLOW)["jobs"]

    def test_schema(self):
        self.assertEqual(schema_findings(self.tools, "vendor.github-workflows", WORKFLOW), "")

    def test_scripts_are_there(self):
        commands = "\n".join(step.get("run", "") for job in self.jobs.values() for step in job["steps"])
        scripts = set(re.findall(r"(?<![\w/*-])((?:contrib|tests|\.ci)/[\w/.-]+)", commands))
        self.assertIn(".ci/run", scripts)
        for script in scripts:
            self.assertTrue(os.access(source(script), os.X_OK), script)

    def test_both_processors(self):
        for job in ("deb", "image"):
            self.assertEqual(self.jobs[job]["strategy"]["matrix"]["runner"], ["ubuntu-24.04", "ubuntu-24.04-arm"])
        build = next(s for s in self.jobs["publish"]["steps"] if "build-push" in s.get("uses", ""))
        self.assertEqual(build["with"]["platforms"], "linux/amd64,linux/arm64")

    def test_only_publish_may_write_and_only_on_a_tag(self):
        for name, job in self.jobs.items():
            writes = "write" in job.get("permissions", {}).values()
            self.assertEqual(writes, name == "publish")
        self.assertIn("refs/tags/v", self.jobs["publish"]["if"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0
"""The metrics, read by python3-prometheus-client, which knows the format and not kmheap."""
import json
import os
import re
import shutil
import threading
import unittest
import urllib.error
import urllib.request
from unittest import mock

from prometheus_client.parser import text_string_to_metric_families

from common import HEAPS, ODD_NAMES, RECORDED, TOP, Case, plain_figures
from kmheap_insight import figures, main, serve
from kmheap_insight.verbs import metrics


def samples(text):
    """{(name, labels): value}; checks what holds of every family."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == family.name + "_total", sample
            else:
                assert not sample.name.endswith("_total"), sample
            assert family.type in ("counter", "gauge", "unknown"), family
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def of_heap(found, heap):
    return {name: value for (name, labels), value in found.items()
            if dict(labels).get("heap") == heap}


def types(text):
    """{name: type}, from the text itself: the parser takes counters without _total, too."""
    return dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))


class Recorded(Case):
    def test_names_of_counters(self):
        found = types(self.tool("metrics"))
        self.assertEqual(set(found.values()), {"counter", "gauge"})
        for name, kind in found.items():
            self.assertEqual(name.endswith("_total"), kind == "counter", name)
            self.assertNotIn("_ns", name)

    def test_every_figure_of_every_heap(self):
        found = samples(self.tool("metrics"))
        for heap in HEAPS:
            plain = plain_figures(os.path.join(RECORDED, "heaps", heap, "stats"))
            mine = of_heap(found, heap)
            for name, value in plain.items():
                stem, _, context = name.rpartition("_")
                if name in ("owner", "frees") or name in figures.LIMITS and value == "0":
                    continue
                if stem in figures.BY_CONTEXT:
                    key = "kmheap_%s_total" % stem, tuple(sorted(
                        {"heap": heap, "owner": plain["owner"], "context": context}.items()))
                    self.assertEqual(found.pop(key), int(value))
                    continue
                names = ["kmheap_%s%s" % (name.removesuffix("_ns"), end)
                         for end in ("", "_total", "_seconds")]
                values = [mine[n] for n in names if n in mine]
                self.assertEqual(len(values), 1, name)
                scale = 1e9 if name.endswith("_ns") else 1
                self.assertAlmostEqual(values[0] * scale, int(value), 3, name)

    def test_nothing_is_unknown(self):
        self.assertNotIn("unknown", self.tool("metrics"))

    def test_the_module(self):
        found = samples(self.tool("metrics"))
        plain = plain_figures(os.path.join(RECORDED, "stats"))
        self.assertEqual(found["kmheap_module_footprint_bytes", ()], int(plain["footprint_bytes"]))
        self.assertEqual(found["kmheap_module_heaps", ()], 5)
        self.assertEqual(found["kmheap_module_double_frees_total", ()], 0)
        self.assertNotIn(("kmheap_module_limit_bytes", ()), found)
        # Figures that fall when a heap is destroyed would look like counters that begin anew.
        self.assertNotIn(("kmheap_module_allocs_total", ()), found)

    def test_json(self):
        all_ = json.loads(self.tool("metrics", "--json"))
        self.assertEqual(sorted(all_["heaps"]), HEAPS)
        self.assertEqual(all_["heaps"]["demo"]["live_objects"], 577)
        self.assertEqual(all_["heaps"]["demo"]["owner"], "heap_client")
        self.assertEqual(all_["module"]["heaps"], 5)

    def test_every_metric_is_documented(self):
        with open(os.path.join(TOP, "Documentation/insight.rst"), encoding="utf-8") as file:
            words = set(file.read().replace("``", " ").split())
        for name, _ in samples(self.tool("metrics")):
            self.assertIn(name, words)

    def test_file_is_replaced_at_once(self):
        path = os.path.join(self.folder, "kmheap.prom")
        with open(path, "w", encoding="ascii") as file:
            file.write("old\n")
        reader = open(path, encoding="ascii")
        self.addCleanup(reader.close)
        self.assertEqual(self.tool("metrics", "-o", path), "")
        self.assertEqual(reader.read(), "old\n")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), self.tool("metrics"))
        self.assertEqual(os.listdir(self.folder), ["kmheap.prom"])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)

    def test_file_that_cannot_be_written(self):
        self.refused("/nowhere/x: |No such file", "metrics", "-o", "/nowhere/x")


class Served(Case):
    def setUp(self):
        super().setUp()
        self.root = self.copy()
        made, started, real = [], threading.Event(), serve.server

        def server(where, page):
            made.append(real(where, page))
            started.set()
            return made[0]

        patch = mock.patch.object(serve, "server", server)
        patch.start()
        self.addCleanup(patch.stop)
        thread = threading.Thread(target=main.main, args=(
            ["metrics", "--listen", "127.0.0.1:0", "--root", self.root],), daemon=True)
        thread.start()
        self.assertTrue(started.wait(10))
        self.addCleanup(thread.join)
        self.addCleanup(made[0].shutdown)
        self.port = made[0].server_address[1]

    def get(self, path="/metrics"):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path),
                                        timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def test_page(self):
        status, kind, text = self.get()
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertEqual(text, self.tool("metrics", root=self.root))
        self.assertEqual(self.get("/other")[0], 404)

    def test_the_module_goes_and_comes(self):
        shutil.rmtree(self.root)
        status, _, text = self.get()
        self.assertEqual(status, 503)
        self.assertRegex(text, r"\Akmheap: .* is no copy of")
        shutil.copytree(RECORDED, self.root)
        self.assertEqual(self.get()[0], 200)

    def test_counters_do_not_fall(self):
        stats = os.path.join(self.root, "heaps/demo/stats")

        def allocs():
            return of_heap(samples(self.get()[2]), "demo")["kmheap_allocs_total"]

        self.assertEqual(allocs(), 668)
        self.change(stats, r"\nallocs \d+", "\nallocs 650")
        self.change(stats, r"\nlive_objects \d+", "\nlive_objects 5")
        self.assertEqual(allocs(), 668)
        self.assertEqual(of_heap(samples(self.get()[2]), "demo")["kmheap_live_objects"], 5)
        self.change(stats, r"\nallocs \d+", "\nallocs 700")
        self.assertEqual(allocs(), 700)
        # Another heap of that name begins anew.
        shutil.move(os.path.join(self.root, "heaps/demo"), os.path.join(self.folder, "old"))
        shutil.copytree(os.path.join(RECORDED, "heaps/demo"), os.path.join(self.root, "heaps/demo"))
        self.assertEqual(allocs(), 668)

    def test_addresses(self):
        self.assertEqual(serve.address("127.0.0.1:9913"), ("127.0.0.1", 9913))
        self.assertEqual(serve.address("[::1]:9913"), ("::1", 9913))
        for word in ("9913", ":9913", "host", "host:x", "host:99999", "h:1/x", "a@b:1", ""):
            self.refused("invalid address value|expected one argument", "metrics", "--listen", word)
        self.refused(r"127.0.0.1:\d+: Address already in use", "metrics", "--listen",
                     "127.0.0.1:%d" % self.port)
        self.refused("neither -o nor --json", "metrics", "--json", "--listen", "127.0.0.1:1")


class Hostile(Case):
    def test_odd_names(self):
        root = self.copy()
        for name in ODD_NAMES:
            shutil.copytree(os.path.join(root, "heaps/demo"), os.path.join(root, "heaps", name))
        found = samples(self.tool("metrics", root=root))
        heaps = {dict(labels)["heap"] for _, labels in found if labels}
        self.assertEqual(heaps, set(HEAPS + ODD_NAMES))
        for name in ODD_NAMES:
            self.assertEqual(of_heap(found, name)["kmheap_live_objects"], 577)

    def test_huge_numbers(self):
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), r"\nallocs \d+",
                    "\nallocs %d" % (2**64 - 1))
        text = self.tool("metrics", root=root)
        self.assertIn("} 18446744073709551615\n", text)
        self.assertEqual(of_heap(samples(text), "demo")["kmheap_allocs_total"], float(2**64 - 1))

    def test_lines_of_later_versions(self):
        root = self.copy()
        with open(os.path.join(root, "heaps/demo/stats"), "a", encoding="ascii") as file:
            file.write("new_bytes 7\nwhat-is-this 8\n9lives 9\n")
        found = samples(self.tool("metrics", root=root))
        self.assertEqual(of_heap(found, "demo")["kmheap_unknown_new_bytes"], 7)
        self.assertEqual(len([name for name, _ in found if "unknown" in name]), 1)

    def test_limits(self):
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), r"\nlimit_bytes 0",
                    "\nlimit_bytes 524288")
        found = samples(self.tool("metrics", root=root))
        self.assertEqual(of_heap(found, "demo")["kmheap_limit_bytes"], 524288)
        self.assertNotIn("kmheap_limit_bytes", of_heap(found, "strtab"))

    def test_older_stats(self):
        """A figure that a module does not have has no sample."""
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), r"\nidle_drains \d+", "")
        found = samples(self.tool("metrics", root=root))
        self.assertNotIn("kmheap_idle_drains_total", of_heap(found, "demo"))
        self.assertIn("kmheap_idle_drains_total", of_heap(found, "strtab"))

    def test_escapes(self):
        self.assertEqual(metrics.labels([("a", "x\\y\"z\n")]), "{a=\"x\\\\y\\\"z\\n\"}")
        self.assertEqual(metrics.labels([]), "")


if __name__ == "__main__":
    unittest.main()

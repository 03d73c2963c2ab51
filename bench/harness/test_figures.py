# SPDX-License-Identifier: Apache-2.0
"""The arithmetic behind tables and drawings: (cd bench && python3 -B -m unittest harness.test_figures)"""

import json
import os
import unittest

from . import growth, growth_plot, load, record, report, throughput

BEACONS = os.path.join(os.path.dirname(record.HERE), "examples/beacons")


def run(cpu_us, failed=()):
    return dict({key: 1.0 for key in throughput.MEDIANS + throughput.FIRST_ROUND}, cpu_us=cpu_us, failed=list(failed))


class Ratios(unittest.TestCase):
    samples = {"small gzip": {"raw": [run(10), run(20), run(40)], "include": [run(20), run(60), run(44)]}}

    def test_ratio__is_taken_within_each_round(self):
        results, failures = throughput.summarise(self.samples)
        self.assertEqual(results["small gzip"]["include"]["cpu_us_to_raw"], {"median": 2.0, "min": 1.1, "max": 3.0})
        self.assertEqual(results["small gzip"]["include"]["cpu_us"], 44)
        self.assertEqual(failures, [])

    def test_ratio__to_what_was_not_measured__none(self):
        results, _ = throughput.summarise(self.samples)
        self.assertIsNone(results["small gzip"]["include"]["cpu_us_to_floor"])
        self.assertEqual(report.spread(None), "-")

    def test_summarise__a_wrong_count_in_one_round__named(self):
        _, failures = throughput.summarise({"small gzip": {"raw": [run(1), run(1, ["2 error statuses"])]}})
        self.assertEqual(failures, ["raw, small gzip: 2 error statuses"])

    def test_goals__the_median_decides(self):
        for median, reached in ((2.0, True), (2.01, False)):
            ratio = {"median": median, "min": 1.0, "max": 3.0}
            rows = report.goals({"small gzip": {"include": {"cpu_us_to_raw": ratio, "beacons_per_s_to_raw": None}}})
            self.assertEqual([row["reached"] for row in rows], [reached])


class Bodies(unittest.TestCase):
    def test_inflated__the_plain_beacon_of_the_same_size(self):
        body = load.Body(BEACONS, "medium", "gzip").inflated()
        self.assertEqual((body.coding, body.bytes), load_plain("medium"))

    def test_beacon__has_about_the_size_asked_for_and_all_kinds(self):
        for size in (4000, 64000, 1000000):
            made = growth.beacon(os.path.join(BEACONS, "bench-large.json"), size)
            self.assertLess(abs(len(made) - size), 0.05 * size)
        self.assertIn("traces", json.loads(made))


def load_plain(size):
    with open(os.path.join(BEACONS, f"bench-{size}.json"), "rb") as file:
        return "plain", file.read()


class Drawing(unittest.TestCase):
    def test_positions__zero_is_one_step_before_the_first(self):
        places = growth_plot.positions([0, 1, 4, 16])
        self.assertEqual([round(place, 6) for place in places.values()], [0, 0.333333, 0.666667, 1])

    def test_around__all_values_are_within_the_ticks(self):
        for least, most in ((1, 1), (3, 900), (52.5, 77.7), (20, 20572)):
            ticks = growth_plot.around(least, most)
            self.assertLessEqual(ticks[0], least)
            self.assertGreaterEqual(ticks[-1], most)
            self.assertLessEqual(len(ticks), 6)


class Results(unittest.TestCase):
    def test_replaced__only_what_is_between_the_marks(self):
        text = "a\n<!-- measured: x -->\nold\n<!-- end -->\nb\n"
        self.assertEqual(record.replaced(text, "x", "new"), text.replace("old", "new"))
        with self.assertRaises(ValueError):
            record.replaced(text, "y", "new")

    def test_made__what_stands_in_the_repository(self):
        for path, text in record.made().items():
            with open(path) as file:
                self.assertEqual(file.read(), text, f"{path}: bench/run --render makes it anew")


if __name__ == "__main__":
    unittest.main()

"""What a run that is kept takes of pytest's report."""

from __future__ import annotations

from scripts.kept_run import outcomes

REPORT = """<testsuites><testsuite>
<testcase classname="tests.e2e.test_soak" name="test_churn" time="600.04">
<properties><property name="requests" value="1234"/><property name="rss" value="1.5"/>
<property name="mode" value="fast"/>
</properties></testcase>
<testcase classname="tests.e2e.test_soak" name="test_leak" time="3"><failure message="leaked"/></testcase>
<testcase classname="tests.e2e.test_soak" name="test_gpu" time="0"><skipped message="gpu: none here"/></testcase>
</testsuite></testsuites>"""


def test_outcomes_carry_what_the_tests_counted() -> None:
    churn, leak, gpu = outcomes(REPORT)
    name = "tests.e2e.test_soak::test_churn"
    passed = {"test": name, "outcome": "passed", "seconds": 600.0}
    assert churn == {**passed, "requests": 1234, "rss": 1.5, "mode": "fast"}
    assert (leak["outcome"], gpu["outcome"]) == ("failed", "skipped")

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs
from tests.report.test_dataset import LOADS, screened
from tests.study.made import journal

from dyno.errors import DynoError
from dyno.report.figures import charts
from dyno.report.folder import LOG_TAIL_LINES, log_tails, write_report
from dyno.report.html import render_html
from dyno.report.matrix import matrix_table
from dyno.report.tables import limits_table
from dyno.report.wording import verdict_sentence
from dyno.study.outcome import judge
from dyno.workload import Objective

LOG = "logs/007.log"


class Page(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._hidden = [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden and data.strip():
            self.text.append(data.strip())


@pytest.fixture
def page(outcome):
    return Page(render_html(outcome, {LOG: "the end </pre><script>alert(1)</script>"}))


def test_the_page_loads_nothing(page):
    loading = {"src", "srcset", "href", "data", "action", "poster"}
    assert [tag for tag, attrs in page.tags if loading & attrs.keys()] == []
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_plotly_is_in_the_page_once_and_the_rest_is_small(outcome):
    html = render_html(outcome, {})
    assert html.count(get_plotlyjs()) == 1
    assert len(html) - len(get_plotlyjs()) < 60_000


def test_nothing_measured_can_become_markup(page):
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    assert "<script>alert('x')</script>|*`" in page.text
    assert "the end </pre><script>alert(1)</script>" in page.text


def test_names_stay_text_inside_scripts_and_charts(outcome):
    data = render_html(outcome, {}).rpartition("const figures = ")[2]
    assert data.count("</script>") == 1
    labels = [label for chart in charts(outcome) for label in chart.figure["layout"]["yaxis"]["ticktext"]]
    assert not [label for label in labels if "<" in label]


def test_the_first_screen_is_verdict_command_and_matrix(page, outcome):
    text = page.text
    places = [text.index(verdict_sentence(outcome)),
              text.index(outcome.recommended.candidate.args.command()),
              text.index("Matrix"), text.index("Every launch")]  # fmt: skip
    assert places == sorted(places)
    headers, rows = matrix_table(outcome)
    assert set(headers) <= set(text)
    assert {cell for cells in rows for cell in cells[:-2]} <= set(text)


def test_limits_and_states_are_coloured_and_said(outcome):
    html = render_html(outcome, {})
    for style, words in (("missed", "missed: ttft_p95 2,310 ms"), ("kept", "kept"),
                         ("failed", "failed: KV cache too small"), ("recommended", "recommended"),
                         ("untested", "accuracy not tested")):  # fmt: skip
        assert f'<span class="badge {style}">{words}</span>' in html


def test_what_was_measured_of_every_limit_stands_below_the_matrix(outcome):
    made = limits_table(outcome)
    assert made.headers == ("Candidate", "ttft_p95, at most 2,000 ms", "ram, at most 4 GiB")
    assert made.rows[0] == ("baseline", "992 ms", "3.1 GiB")
    assert made.title in render_html(outcome, {})
    assert limits_table(replace(outcome, rows=())).rows == ()


def test_failures_come_with_cause_remedy_and_log(outcome, page):
    text = " ".join(page.text)
    assert "KV cache too small: ValueError: Available memory 7.1 GiB < 40.0 GiB <requested>" in text
    assert "Lower VLLM_CPU_KVCACHE_SPACE." in text
    assert "ValueError: <b>Available</b> memory" in " ".join(Page(render_html(outcome, {})).text)


def test_every_configuration_shows_its_command_and_the_facts_of_its_start(outcome, page):
    assert {row.candidate.args.command() for row in outcome.rows} <= set(page.text)
    facts = page.text[page.text.index("Facts of the first start") :]
    assert {"31.2 s", "94 MiB", "58,368", "28.5"} <= set(facts)


def test_equal_studies_give_equal_pages(outcome):
    assert render_html(outcome, {}) == render_html(replace(outcome), {})


def test_every_launch_is_a_point_by_phase(outcome):
    throughput = next(chart for chart in charts(outcome) if chart.title == "Throughput")
    points = {trace["name"]: len(trace["x"]) for trace in throughput.figure["data"]}
    assert points == {"screening": 6, "confirmation": 8, "void, proves nothing": 1}


def test_the_confirmation_shows_every_pair_and_the_interval(outcome):
    pairs, mean = charts(outcome)[0].figure["data"]
    assert pairs["x"] == pytest.approx([512 / 336, 521 / 333.5, 505 / 337.2, 515.5 / 334.1])
    assert mean["x"][0] + mean["error_x"]["array"][0] == pytest.approx(outcome.verdict.high)


def test_rounds_of_three_show_both_candidates_over_all_workloads():
    steps = [*screened(0, "baseline", 100.0, 50.0), *screened(1, "eager", 100.0, 50.0),
             *screened(2, "fast", 121.0, 50.0)]  # fmt: skip
    for number in range(3):
        for place, (name, chat) in enumerate((("baseline", 100.0), ("eager", 101.0), ("fast", 120.0 + number))):
            steps += screened(3 + 3 * number + place, name, chat, 50.0, phase="confirm", pair=number)
    made, spec = journal(steps, workloads=LOADS, altering=("fast",), confirm=("eager", 3, "fast"))
    eager, fast, ratios, *_ = charts(judge(made, spec, "s"))
    assert (eager.title, fast.title) == ("Pair by pair: eager, output_throughput",
                                         "Pair by pair: fast, output_throughput")  # fmt: skip
    assert fast.figure["data"][0]["x"] == pytest.approx([math.sqrt(1.2), math.sqrt(1.21), math.sqrt(1.22)])
    drawn = {trace["name"]: len(trace["x"]) for trace in ratios.figure["data"]}
    assert drawn["pair"] == 6


def test_another_objective_has_a_chart_of_its_own(outcome):
    steps = tuple(replace(step, figures=step.figures | {"e2el_ms.p99": 9.0}) for step in outcome.steps)
    drawn = charts(replace(outcome, objective=Objective("e2el_p99"), steps=steps))
    assert drawn[-1].title == "Objective: e2el_p99"
    assert drawn[-1].caption == "ms, less is better"


def test_a_study_without_figures_still_has_a_page(unproven):
    html = render_html(unproven, {})
    assert get_plotlyjs() not in html
    assert re.search(r"No verdict", html)


def test_log_tails_are_short_and_a_lost_log_is_no_error(outcome, tmp_path):
    assert log_tails(outcome, tmp_path) == {}
    (tmp_path / "logs").mkdir()
    (tmp_path / LOG).write_bytes(b"\xff first\n" + b"line\n" * 100 + b"last\n")
    (tail,) = log_tails(outcome, tmp_path).values()
    assert len(tail.splitlines()) == LOG_TAIL_LINES
    assert tail.endswith("last")


def test_a_page_that_cannot_be_written_says_what_to_do(outcome, tmp_path):
    assert write_report(tmp_path, outcome).read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(DynoError, match=r"report.html: cannot be written .* dyno report --study"):
        write_report(tmp_path / "gone", outcome)

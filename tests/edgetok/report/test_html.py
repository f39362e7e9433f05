import re
from html.parser import HTMLParser

import pytest

from edgetok.report.evidence import Refusal, Rewritten
from edgetok.report.html import render_html
from edgetok.report.schema import ModelInfo, PluginInfo, Report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "hr"}


class Reader(HTMLParser):
    """Elements, attributes and text of a page; complains of tags that do not nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


def test_every_state_is_well_formed_and_self_contained(any_report):
    page = render_html(any_report)
    found = Reader(page)
    assert page.startswith("<!doctype html>")
    assert found.count("script") == found.count("link") == found.count("img") == found.count("iframe") == 0
    assert not [attributes for _, attributes in found.elements if {"src", "style"} & set(attributes)]
    assert "url(" not in page
    assert "@import" not in page
    addresses = [attributes["href"] for _, attributes in found.elements if "href" in attributes]
    assert all(address.startswith("https://arxiv.org/") for address in addresses)


def test_the_page_forbids_scripts_and_requests(make_report):
    metas = [attributes for name, attributes in Reader(render_html(make_report())).elements if name == "meta"]
    policy = next(m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_it_is_rendered_from_the_json_alone(any_report):
    assert render_html(Report.from_json(any_report.to_json())) == render_html(any_report)


def test_names_from_outside_are_escaped_wherever_they_appear(make_report):
    report = make_report(
        model=ModelInfo(name=HOSTILE, source=HOSTILE, licence=HOSTILE),
        plugins=(PluginInfo(name=HOSTILE, options={HOSTILE: HOSTILE}, summary=HOSTILE, paper=HOSTILE),),
        refusals=(Refusal(site=HOSTILE, plugin=HOSTILE, reason=HOSTILE),) * 2,
        rewrites=(Rewritten(site=HOSTILE, plugin=HOSTILE, what=HOSTILE),),
        notes=(HOSTILE,),
        versions={HOSTILE: HOSTILE},
        recipe={HOSTILE: HOSTILE},
        plan_digest=HOSTILE,
    )
    page = render_html(report)
    found = Reader(page)
    assert found.count("script") == found.count("img") == 0
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    assert found.text.count(HOSTILE) > 8


def test_only_web_addresses_become_links(make_report):
    plugin = PluginInfo(name="p", paper="A paper", paper_url="javascript:alert(1)")
    found = Reader(render_html(make_report(plugins=(plugin,))))
    assert found.count("a") == 0
    assert "A paper" in found.text


def test_charts_are_described_and_drawn_for_two_widths(make_report):
    found = Reader(render_html(make_report()))
    charts = [attributes for name, attributes in found.elements if name == "svg"]
    assert len(charts) == 2 * 4
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert {chart["viewbox"].split()[2] for chart in charts} == {"328", "720"}


def test_failed_parity_is_loud(make_state):
    found = Reader(render_html(make_state("parity-failed")))
    alerts = [attributes for _, attributes in found.elements if attributes.get("role") == "alert"]
    assert [alert["class"] for alert in alerts] == ["verdict fail"]
    assert found.text.index("Parity failed") < found.text.index("Tokens per layer")
    assert "FAILED" in found.text
    assert "vit.layers.3.attention" in found.text


def test_slower_is_said_plainly(make_state):
    assert "Slower than the dense model" in Reader(render_html(make_state("slower"))).text


def test_what_was_not_measured_is_said(make_state):
    text = Reader(render_html(make_state("no-evaluation"))).text
    assert "Not evaluated in this run." in text
    assert "Not measured in this run." in text
    assert "--eval" in text


def test_forty_refusals_with_one_reason_are_one_entry(make_state):
    text = Reader(render_html(make_state("deep-and-refused"))).text
    assert "49 places left alone" in text
    assert len(re.findall("its batch contains a window factor", text)) == 1
    assert "40 places" in text


@pytest.mark.parametrize("name", ["tokens", "flops", "size_bytes", "parity", "accuracy", "latency", "memory"])
def test_how_is_shown_beside_the_figures(make_report, name):
    report = make_report()
    assert getattr(report, name).how in Reader(render_html(report)).text

import io

from rich.console import Console

from edgetok.report.schema import ModelInfo
from edgetok.report.terminal import render_table


def shown(report, width=100):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(render_table(report))
    return console.file.getvalue()


def lines(report, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(render_table(report))
    return console.file.getvalue().splitlines()


def test_before_and_after(make_report):
    (row,) = [line for line in lines(make_report()) if line.startswith("latency, batch 32")]
    figures = ["402", "ms", "247", "ms", "1.63\u00d7", "(1.61\u20131.66)"]
    assert row.split() == ["latency,", "batch", "32,", "1", "thread", *figures]
    (row,) = [line for line in lines(make_report()) if line.startswith("top-1")]
    assert "82.46" in row
    assert "82.31" in row
    assert "drop 0.15" in row


def test_nothing_is_cut_at_eighty_columns(any_report):
    found = lines(any_report, 80)
    assert all(len(line) <= 80 for line in found)
    assert not [line for line in found if "\u2026" in line]


def test_failed_parity_stands_out(make_state):
    assert "Parity failed" in shown(make_state("parity-failed"))
    assert "\x1b[1;37;41m" in shown(make_state("parity-failed"))
    assert "41m" not in shown(make_state("slower"))


def test_names_are_neither_markup_nor_control_sequences(make_report):
    name = "[bold red]x[/] \x1b[2J"
    text = "\n".join(lines(make_report(model=ModelInfo(name=name))))
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text

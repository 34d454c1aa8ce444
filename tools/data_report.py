"""make data-report: what the walk made of your data, as a page: metrics/data_report.html.

The same section as in metrics/report.html, before anything is trained.
"""

from pathlib import Path

from parley.files import publish
from parley.params import read_value
from parley.reporting.data_facts import data_facts
from stages.report import page
from tools import told


def write(root: Path) -> Path:
    """Writes the page and says where it is."""
    path = root / "metrics/data_report.html"
    text = page("data.html").render(data=data_facts(root), recipe=read_value(root, "recipe", str))
    with publish(path) as made:
        made.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    with told("data-report"):
        print(f"data-report: {write(Path())}")

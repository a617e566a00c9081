"""Draws each panel of a dashboard with Matplotlib, at its place and with its queries, titles and thresholds."""

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.dates import DateFormatter
from matplotlib.ticker import FuncFormatter

GREEN, ORANGE, RED, INK, PAPER, PANEL = "#3c9d4e", "#e08a1e", "#cf3a45", "#d5d8de", "#111217", "#181b1f"
COLOURS = {"green": GREEN, "orange": ORANGE, "red": RED}
# Inches of one cell of Grafana's grid of 24 columns.
CELL = (0.75, 0.36)
# Seconds between two points of a line.
STEP = 2


def main(dashboard, picture, minutes="10", url="http://localhost:9090"):
    with open(dashboard, encoding="utf-8") as file:
        board = json.load(file)
    end = time.time()
    source = Source(url, end - 60 * float(minutes), end)
    panels = board["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * CELL[0], height * CELL[1]), facecolor=PAPER)
    plt.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "font.size": 7})
    for panel in panels:
        place = panel["gridPos"]
        box = (place["x"] / 24, 1 - (place["y"] + place["h"]) / height, place["w"] / 24, place["h"] / height)
        draw = {"row": heading, "stat": number, "table": table, "timeseries": lines}[panel["type"]]
        draw(figure, box, panel, source)
    figure.savefig(picture, dpi=80, facecolor=PAPER)


class Source:
    """A Prometheus, over a range of time."""

    def __init__(self, url, start, end):
        self.url, self.start, self.end = url, start, end

    def query(self, expression, instant=False):
        expression = expression.replace("$__rate_interval", "15s")
        expression = re.sub(r"\$(cluster|namespace|service)", ".*", expression)
        if instant:
            path, arguments = "query", {"query": expression, "time": self.end}
        else:
            path, arguments = "query_range", {"query": expression, "start": self.start, "end": self.end, "step": STEP}
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}") as answer:
            return json.load(answer)["data"]["result"]


def axes(figure, box, title):
    x, y, width, height = box
    frame = figure.add_axes((x + 0.002, y + height * 0.02, width - 0.004, height * 0.96), facecolor=PANEL)
    frame.set_xticks([])
    frame.set_yticks([])
    frame.text(0.02, 0.97, title, transform=frame.transAxes, va="top", fontsize=8.5, fontweight="bold")
    return frame


def heading(figure, box, panel, _):
    figure.text(box[0] + 0.004, box[1] + box[3] / 2, panel["title"], va="center", fontsize=11, fontweight="bold", color=INK)


def number(figure, box, panel, source):
    frame = axes(figure, box, panel["title"])
    result = source.query(panel["targets"][0]["expr"])
    value = float(result[0]["values"][-1][1]) if result else None
    defaults = panel["fieldConfig"]["defaults"]
    colour = "#44474d"
    if value is not None:
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or value >= step["value"]:
                colour = COLOURS[step["color"]]
    frame.set_facecolor(colour)
    text = defaults["noValue"] if value is None else spoken(value, defaults["unit"])
    frame.text(0.5, 0.4, text, transform=frame.transAxes, ha="center", va="center", fontsize=17, color="white")


def table(figure, box, panel, source):
    frame = axes(figure, box, panel["title"])
    result = source.query(panel["targets"][0]["expr"], instant=True)
    hidden = {"__name__", "alertstate"}
    rows = ["   ".join(f"{k}={v}" for k, v in sorted(series["metric"].items()) if k not in hidden) for series in result]
    text = "\n".join(rows[:14]) or panel["fieldConfig"]["defaults"]["noValue"]
    frame.text(0.02, 0.85, text, transform=frame.transAxes, va="top", fontsize=7.5)


def lines(figure, box, panel, source):
    axes(figure, box, panel["title"])
    x, y, width, height = box
    plot = figure.add_axes((x + width * 0.12, y + height * 0.24, width * 0.85, height * 0.6), facecolor=PANEL)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    is_stacked = panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal"
    drawn, below = 0, {}
    for target in panel["targets"]:
        for series in source.query(target["expr"]):
            samples = with_gaps(series["values"])
            times = [datetime.fromtimestamp(moment, timezone.utc) for moment, _ in samples]
            values = [float(value) for _, value in samples]
            if is_stacked:
                values = [value + below.get(moment, 0) for moment, value in zip(times, values)]
                below.update(zip(times, values))
            name = re.sub(r"\{\{(\w+)\}\}", lambda label: series["metric"].get(label[1], ""), target["legendFormat"]).strip()
            plot.plot(times, values, linewidth=1, label=name)
            drawn += 1
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    plot.grid(color="#2c3036", linewidth=0.5)
    if not drawn:
        plot.text(0.5, 0.5, "no data", transform=plot.transAxes, ha="center")
        plot.set_xticks([])
        return
    plot.set_ylim(bottom=0)
    plot.set_xlim(datetime.fromtimestamp(source.start, timezone.utc), datetime.fromtimestamp(source.end, timezone.utc))
    plot.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: spoken(value, unit)))
    small = drawn > 12
    plot.legend(loc="upper center", bbox_to_anchor=(0.45, -0.12), ncol=5 if small else 4, fontsize=5 if small else 6.5, labelspacing=0.2, columnspacing=1, frameon=False)


def with_gaps(samples):
    """A line must not cross a time without data."""
    found = []
    for moment, value in samples:
        if found and moment - found[-1][0] > STEP:
            found.append((moment - STEP, "nan"))
        found.append((moment, value))
    return found


def spoken(value, unit):
    if math.isnan(value):
        return "NaN"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    suffix = {"reqps": "/s", "ops": "/s"}.get(unit, "")
    return f"{value:.3g}{suffix}"


main(*sys.argv[1:])

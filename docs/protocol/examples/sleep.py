#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a dataset's Parquet file and draws how long each participant slept, night by night.

    pip install pyarrow
    python3 sleep.py DATASET/nights.parquet sleep.svg

Run `mhealth-data verify-dataset DATASET …` before: it says whether the file is what the data manager signed, and whether each
row stands on the chain.
"""

import sys
from collections import defaultdict
from xml.sax.saxutils import escape, quoteattr

import pyarrow.compute as compute
import pyarrow.parquet as parquet

WIDTH, ROW, LEFT, TOP = 900, 90, 160, 50
COLOURS = ["#1b4f72", "#b9770e", "#1e8449", "#76448a", "#922b21", "#117a65"]


def load(path):
    """One row of each night: its main sleep, valid, readable, and not corrected. Gives {participant: [(day, minutes asleep)]}."""
    names = ["participant", "night", "total_sleep_time_min", "main"]
    table = parquet.read_table(path, columns=names)
    table = table.filter(compute.and_(table["main"], compute.is_valid(table["total_sleep_time_min"])))
    nights = defaultdict(list)
    for row in table.to_pylist():
        nights[row["participant"]].append((row["night"], row["total_sleep_time_min"]))
    return {who: sorted(nights[who]) for who in sorted(nights)}


def draw(nights):
    """A row for each participant, from 0 to 12 hours, with a line at 8 hours."""
    days = [day for series in nights.values() for day, _ in series]
    first, last = min(days), max(days)
    span = max((last - first).days, 1)
    height = TOP + ROW * len(nights) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20">Sleep per participant, {first} to {last}; dashed: 8 hours</text>',
    ]

    def place(day, minutes, row):
        x = LEFT + (WIDTH - LEFT - 20) * (day - first).days / span
        return round(x, 1), round(TOP + ROW * (row + 1) - 10 - (ROW - 20) * min(minutes, 720) / 720, 1)

    for row, (who, series) in enumerate(nights.items()):
        colour = COLOURS[row % len(COLOURS)]
        _, eight = place(first, 480, row)
        mean = sum(minutes for _, minutes in series) / len(series)
        lines.append(f'<text x="10" y="{eight}">{escape(who)}: {mean:.0f} min</text>')
        lines.append(f'<path d="M{LEFT} {eight}H{WIDTH - 20}" stroke="#bbb" stroke-dasharray="4"/>')
        points = " ".join(f"{x},{y}" for x, y in (place(day, minutes, row) for day, minutes in series))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        for day, minutes in series:
            x, y = place(day, minutes, row)
            about = f"data-night={quoteattr(str(day))} data-minutes={quoteattr(str(minutes))}"
            lines.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}" {about}/>')
    return "\n".join(lines + ["</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: sleep.py DATASET/nights.parquet PICTURE.svg")
    nights = load(sys.argv[1])
    if not nights:
        sys.exit("sleep.py: no night counts in this file")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(draw(nights))
    print(f"participants={len(nights)} nights={sum(map(len, nights.values()))} picture={sys.argv[2]}")


if __name__ == "__main__":
    main()

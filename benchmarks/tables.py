"""Tables in Markdown and reStructuredText."""

import csv
import io


def markdown_table(header, rows):
    """Lines of cells as a Markdown table, all columns but the first aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rst_table(header, rows):
    """The same as a csv-table directive."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([header, *rows])
    body = "\n".join("   " + line for line in text.getvalue().splitlines())
    return f".. csv-table::\n   :header-rows: 1\n\n{body}"


def rst_title(title, mark):
    """An underlined heading."""
    return f"{title}\n{mark * len(title)}"

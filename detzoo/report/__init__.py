"""Self-contained HTML pages of tables, charts and pictures."""

from detzoo.report.charts import Drawing, bar_chart, heat_map, histogram, line_chart, scatter_plot
from detzoo.report.page import (
    Chart,
    Charts,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
    write_page,
)

__all__ = [
    "Chart",
    "Charts",
    "Drawing",
    "Gallery",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Text",
    "bar_chart",
    "heat_map",
    "histogram",
    "line_chart",
    "scatter_plot",
    "write_page",
]

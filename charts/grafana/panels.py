"""Panels of weft's look: one source of data, legends below, units of Prometheus' base units."""

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
HOME = "http://localhost:50750"
"""Where `weft viz dashboard` brings weft's own dashboard to; the chart puts `viz.web.url` in its place."""

Query = tuple[str, str]
"""Legend and expression."""


def queries(*pairs: Query, instant: bool = False) -> list[prometheus.Dataquery]:
    """Targets A, B, …"""
    found = []
    for number, (legend, expression) in enumerate(pairs):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend)
        found.append(target.instant().format(PromQueryFormat.TABLE) if instant else target.range())
    return found


def graph(title: str, unit: str, *pairs: Query, span: int = 8) -> timeseries.Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(span)
        .height(8)
        .line_width(1)
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for target in queries(*pairs):
        panel = panel.with_target(target)
    return panel


def number(title: str, unit: str, expression: str, *, limits: tuple[float, float] | None = None) -> stat.Panel:
    """One number; with limits it is red below the first and orange below the second."""
    panel = stat.Panel().title(title).datasource(SOURCE).unit(unit).span(4).height(4)
    steps = [Threshold(value=None, color="green")]
    if limits:
        steps = [
            Threshold(value=None, color="red"),
            Threshold(value=limits[0], color="orange"),
            Threshold(value=limits[1], color="green"),
        ]
    panel = panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return panel.with_target(queries(("", expression))[0])


def list_of(title: str, *columns: Query, hidden: tuple[str, ...] = ("Time",)) -> table.Panel:
    """A table: expressions joined by their labels, each a column."""
    panel = table.Panel().title(title).datasource(SOURCE).span(WIDTH).height(9)
    names = {f"Value #{chr(ord('A') + index)}": legend for index, (legend, _) in enumerate(columns)}
    if len(columns) == 1:
        names = {"Value": columns[0][0]}
    for target in queries(*columns, instant=True):
        panel = panel.with_target(target)
    options = {"excludeByName": dict.fromkeys(hidden, True), "renameByName": names}
    return panel.with_transformation(DataTransformerConfig(id_val="merge", options={})).with_transformation(
        DataTransformerConfig(id_val="organize", options=options)
    )


def board(uid: str, title: str, description: str, path: str = "/") -> Dashboard:
    """A dashboard, refreshed as often as proxies are scraped twice; `path` is weft's own page about the same."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["weft"])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30m", "now")
        .refresh("10s")
        .timezone("browser")
        .link(
            DashboardLink("weft").type(DashboardLinkType.DASHBOARDS).tags(["weft"]).include_vars(True).keep_time(True)
        )
        .link(DashboardLink("weft's dashboard").type(DashboardLinkType.LINK).url(HOME + path).target_blank(True))
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def variable(name: str, label: str, metric: str, of: str) -> QueryVariable:
    """A variable filled with a label's values."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(f"label_values({metric}, {of})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )

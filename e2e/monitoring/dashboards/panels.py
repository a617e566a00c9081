"""Building blocks of both dashboards: variables, panels and rows, as types of the Grafana Foundation SDK."""

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Of the series of instances and operators.
INSTANCES = 'cluster=~"$cluster",namespace=~"$namespace",service=~"$service"'
# Of the series about resources, which the operator reports.
RESOURCES = 'cluster=~"$cluster",namespace=~"$namespace",name=~"$service"'


def board(title: str, uid: str, tag: str) -> dashboard.Dashboard:
    """An empty dashboard with a link to the other one."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["reckon", tag])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Reckon")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["reckon"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Values of a label. "All" also matches series without the label."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )


def target(expression: str, legend: str = "", letter: str = "A") -> prometheus.Dataquery:
    """A query over the time range; the letter is its name in the panel."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).range()


def steps(warning: float | None, critical: float | None) -> dashboard.ThresholdsConfig:
    """Green, orange from `warning` on, red from `critical` on."""
    found = [models.Threshold(value=None, color="green")]
    if warning is not None:
        found.append(models.Threshold(value=warning, color="orange"))
    if critical is not None:
        found.append(models.Threshold(value=critical, color="red"))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def at_least(value: float) -> dashboard.ThresholdsConfig:
    """Red, green from `value` on."""
    found = [models.Threshold(value=None, color="red"), models.Threshold(value=value, color="green")]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def figure(
    title: str,
    description: str,
    expression: str,
    unit: str = "short",
    warning: float | None = None,
    critical: float | None = None,
    width: int = 4,
    least: float | None = None,
    decimals: int | None = None,
) -> stat.Panel:
    """One number, whose colour says whether it is the trouble; red below `least`."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target(expression))
        .unit(unit)
        .thresholds(steps(warning, critical) if least is None else at_least(least))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
        .span(width)
        .height(4)
    )
    return panel if decimals is None else panel.decimals(decimals)


def graph(
    title: str,
    description: str,
    queries: list[tuple[str, str]],
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
    most: float | None = None,
    decimals: int | None = None,
) -> timeseries.Panel:
    """Lines over time; each query has an expression and a legend."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(20 if stacked else 5)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .placement(common_models.LegendPlacement.BOTTOM)
            .display_mode(common_models.LegendDisplayMode.LIST)
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING))
        .span(width)
        .height(8)
    )
    if most is not None:
        panel = panel.max(most)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(target(expression, legend, letter))
    return panel


def rows(title: str, description: str, expression: str, width: int = 12) -> table.Panel:
    """The present series of a query, one a row, with their labels as columns."""
    query = prometheus.Dataquery().expr(expression).instant().format("table").ref_id("A")
    hidden = {"Time": True, "Value": True, "__name__": True}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(query)
        .with_transformation(models.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden}))
        .show_header(True)
        .no_value("none")
        .span(width)
        .height(8)
    )


def wrong_conditions(positive: str) -> str:
    """Conditions that report a problem, with their reasons; of those in `positive`, the status True is the problem."""
    series = f"reckon_recommendationservice_condition_reason{{{RESOURCES},"
    negative = "Ready|DatabaseReachable|CacheReachable|IndexesReady|ModelReady|BudgetFeasible"
    return (
        f'max by (namespace, name, type, status, reason) ({series}type=~"{negative}",status="false"}}'
        f' or {series}type=~"{positive}",status="true"}})'
    )


def with_sections(made: dashboard.Dashboard, sections) -> dashboard.Dashboard:
    """Adds headings with their panels, numbered."""
    number = 0
    for heading, panels in sections:
        number += 1
        made = made.with_row(dashboard.Row(heading).id(number))
        for panel in panels():
            number += 1
            made = made.with_panel(panel.id(number))
    return made

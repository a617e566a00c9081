"""The dashboard of the operator: does it act, is it in time, and what is wrong with its resources?"""

from grafana_foundation_sdk.builders import dashboard

from panels import INSTANCES, RESOURCES, board, figure, graph, rows, variable, with_sections, wrong_conditions

RATE = "[$__rate_interval]"
# Operators are in namespaces of their own; $namespace and $service choose resources.
OPERATORS = 'cluster=~"$cluster",job="reckon-operator"'
CONTROLLER = 'cluster=~"$cluster",controller="recommendationservice"'


def build() -> dashboard.Dashboard:
    """The whole dashboard."""
    resources = "reckon_recommendationservice_generation"
    made = (
        board("Reckon / Operator", "reckon-operator", "operator")
        .description("Namespace and service choose resources; the panels of the operator itself show all operators of the cluster.")
        .with_variable(variable("cluster", "Cluster", "label_values(reckon_operator_build_info, cluster)"))
        .with_variable(variable("namespace", "Namespace", f'label_values({resources}{{cluster=~"$cluster"}}, namespace)'))
        .with_variable(variable("service", "Service", f'label_values({resources}{{cluster=~"$cluster",namespace=~"$namespace"}}, name)'))
    )
    return with_sections(made, SECTIONS)


def rate(metric: str, labels: str, by: str = "") -> str:
    """A sum of rates, by labels."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{labels}}}{RATE}))"


def of_each(metric: str, more: str = "") -> str:
    """A value of each resource; two operators report the same one while the leader changes."""
    labels = ",".join(filter(None, [RESOURCES, more]))
    return f"max by (namespace, name) (reckon_recommendationservice_{metric}{{{labels}}})"


def condition(kind: str, status: str) -> str:
    """1 for each resource whose condition has the status, 0 for the others."""
    return of_each("condition", f'type="{kind}",status="{status}"')


def how_many(values: str, which: str) -> str:
    """The number of resources with such a value; no data, instead of 0, while no leader reports them."""
    return f"count({values} {which}) or 0 * count({values})"


def replicas(state: str) -> str:
    """The pods of each resource that are in a state."""
    return of_each("replicas", f'state="{state}"')


def trouble():
    """One number for each way to fail."""
    return [
        figure(
            "Leader",
            "Operators that act. Exactly one for each installation. Runbooks: ReckonOperatorAbsent, ReckonOperatorWithoutLeader.",
            f"sum(leader_election_master_status{{{OPERATORS}}})",
            least=1,
        ),
        figure("Resources", "RecommendationServices that the operators watch.", f"max(reckon_operator_resources{{{OPERATORS}}})"),
        figure(
            "Since the last reconcile",
            "Up to 5 minutes are normal while nothing changes: then each resource is only checked again. Runbook: ReckonOperatorStuck.",
            f"min(time() - (reckon_operator_last_reconcile_timestamp_seconds{{{OPERATORS}}} > 0))",
            "s", 330, 900,
        ),
        figure(
            "Failed reconciles in 15 minutes",
            "Runbook: ReckonReconcileErrors.",
            f"round(sum(increase(controller_runtime_reconcile_errors_total{{{CONTROLLER}}}[15m]))) or 0 * count(leader_election_master_status{{{OPERATORS}}})",
            "short", 1, 6, decimals=0,
        ),
        figure(
            "Services without a ready pod",
            "All requests to them fail. Runbook: ReckonServiceNotReady.",
            how_many(condition("Ready", "true"), "== 0"),
            "short", None, 1,
        ),
        figure(
            "Budgets that do not fit",
            "Runbook: ReckonBudgetInfeasible.",
            how_many(condition("BudgetFeasible", "false"), "== 1"),
            "short", 1, None,
        ),
        rows(
            "Alerts that fire",
            "Each has a runbook of its name.",
            'ALERTS{alertname=~"Reckon.+",alertstate="firing",cluster=~"$cluster"}',
        ),
        rows(
            "Conditions that are wrong",
            "With the reason. kubectl describe recsvc NAME has a sentence about each. docs/troubleshooting.md explains the reasons.",
            wrong_conditions("Degraded|Paused"),
        ),
    ]


def reconciles():
    """The controller's work."""
    seconds = "controller_runtime_reconcile_time_seconds"
    return [
        graph("Reconciles by result", "Reconciles a second.", [(rate("controller_runtime_reconcile_total", CONTROLLER, "result"), "{{result}}")], "ops"),
        graph(
            "Time of a reconcile",
            "One that has nothing to do takes about a millisecond; the deadline is a minute.",
            [(f"histogram_quantile({q}, {rate(seconds + '_bucket', CONTROLLER, 'le')})", name) for q, name in QUANTILES],
            "s",
        ),
        graph(
            "Queue and workers",
            "Resources that wait, and reconciles that run. A queue that stays long: the API server is slow.",
            [
                (f"sum(workqueue_depth{{{OPERATORS}}})", "waiting"),
                (f"sum(controller_runtime_active_workers{{{CONTROLLER}}})", "running"),
                (f"max(controller_runtime_max_concurrent_reconciles{{{CONTROLLER}}})", "limit"),
            ],
        ),
        graph("Writes by kind and verb", "Requests to the API server a second. In a steady state there are none.", [(rate("reckon_operator_writes_total", OPERATORS, "kind, verb"), "{{verb}} {{kind}}")], "ops"),
        graph("Actions for the budget", "Writes that the connection budget depends on, a second.", [(rate("reckon_operator_budget_actions_total", OPERATORS, "action"), "{{action}}")], "ops"),
        graph("Leader", "1: this operator acts.", [(f"leader_election_master_status{{{OPERATORS}}}", "{{pod}} {{instance}}")], most=1),
    ]


def resources():
    """What the resources are like."""
    return [
        graph(
            "Resources by condition",
            "How many have the condition, by its status and reason. NotConfigured, NotManaged: the resource does not use it.",
            [
                (
                    f"sum by (type, status, reason) (max by (namespace, name, type, status, reason) (reckon_recommendationservice_condition_reason{{{RESOURCES}}}))",
                    "{{type}} {{status}}: {{reason}}",
                )
            ],
        ),
        graph(
            "Provisioning and migration",
            "Resources whose database or indexes are not as wanted or not known, by reason. IndexesReady, not used: the operator does not create indexes "
            "for these resources.",
            [
                (
                    'sum by (type, status, reason) (max by (namespace, name, type, status, reason) (reckon_recommendationservice_condition_reason'
                    f'{{{RESOURCES},type=~"DatabaseReachable|IndexesReady",status=~"false|unknown",reason!="NotManaged"}}))',
                    "{{type}} {{status}}: {{reason}}",
                ),
                (
                    'count(max by (namespace, name) (reckon_recommendationservice_condition_reason'
                    f'{{{RESOURCES},type="IndexesReady",reason="NotManaged"}}))',
                    "IndexesReady: not used",
                ),
            ],
        ),
        graph("Changes not yet observed", "Generations of the resource that its status does not cover yet.", [(f"{of_each('generation')} - {of_each('observed_generation')}", "{{namespace}}/{{name}}")]),
        graph(
            "Connections reserved for the worst case / budget",
            "The most connections that the pods can open before the operator acts again, as a share of the budget. Must not exceed 100 %. High values are normal.",
            [(f"{of_each('worst_case_connections')} / {of_each('budget_connections')}", "{{namespace}}/{{name}}")],
            "percentunit",
        ),
        graph(
            "Budget",
            "Connections of each budget, those that pods do not get (reservedConnections), and those of one pod.",
            [
                (of_each("budget_connections"), "{{namespace}}/{{name}} budget"),
                (of_each("reserved_connections"), "{{namespace}}/{{name}} connections kept free"),
                (of_each("pool_connections"), "{{namespace}}/{{name}} connections per pod"),
            ],
        ),
        graph(
            "Budget kept by",
            "Services whose budget the database server keeps by a limit of their account, and services whose budget the operator keeps by planning.",
            [
                (f"sum({of_each('server_enforces_budget')})", "the server"),
                (f"count({of_each('server_enforces_budget')}) - sum({of_each('server_enforces_budget')})", "the plan"),
            ],
            decimals=0,
        ),
        graph(
            "Pods that are missing",
            "Desired pods that are not ready, and pods that have an older template.",
            [
                (f"clamp_min({replicas('desired')} - {replicas('ready')}, 0)", "{{namespace}}/{{name}} not ready"),
                (f"clamp_min({replicas('current')} - {replicas('updated')}, 0)", "{{namespace}}/{{name}} not updated"),
            ],
        ),
    ]


def process():
    """The program."""
    by_pod = "{{pod}} {{instance}}"
    return [
        graph("CPU", "Processors in use.", [(f"rate(process_cpu_seconds_total{{{OPERATORS}}}{RATE})", by_pod)]),
        graph("Memory", "Resident memory.", [(f"process_resident_memory_bytes{{{OPERATORS}}}", by_pod)], "bytes"),
        graph(
            "Restarts",
            "Starts of processes, and panics, in 15 minutes.",
            [
                (f"sum(changes(process_start_time_seconds{{{OPERATORS}}}[15m]))", "processes"),
                (f"round(sum by (task) (increase(reckon_operator_panics_total{{{OPERATORS}}}[15m])))", "panics: {{task}}"),
            ],
            decimals=0,
        ),
        graph("Versions", "Operators by version.", [(f"sum by (version) (reckon_operator_build_info{{{OPERATORS}}})", "{{version}}")]),
        graph("Open files", "File descriptors in use, as a share of the limit.", [(f"process_open_fds{{{OPERATORS}}} / process_max_fds{{{OPERATORS}}}", by_pod)], "percentunit"),
        graph("Pods of the API", "Pods whose metrics Prometheus can read.", [(f'sum by (namespace, service) (up{{{INSTANCES},job="reckon-api"}})', "{{namespace}}/{{service}}")]),
    ]


QUANTILES = [("0.5", "50 %"), ("0.95", "95 %"), ("0.99", "99 %")]
SECTIONS = [
    ("What is the trouble?", trouble),
    ("Reconciles", reconciles),
    ("Resources", resources),
    ("Process", process),
]

"""The dashboard of services: is the service, the database, the cache or the budget the trouble?"""

from grafana_foundation_sdk.builders import dashboard

from panels import INSTANCES, RESOURCES, board, figure, graph, rows, variable, with_sections, wrong_conditions

ROUTES = 'route=~"/recommend(/.+)?|/related/.+|/popular|/batch-recommend|/invalidate-cache|/warm-cache"'
RECOMMEND = 'route="/recommend/{user_id}"'
RATE = "[$__rate_interval]"


def build() -> dashboard.Dashboard:
    """The whole dashboard."""
    made = (
        board("Reckon / Service", "reckon-service", "service")
        .description("Start in the first row: the red number is the trouble. Runbooks are named after the alerts.")
        .with_variable(variable("cluster", "Cluster", "label_values(reckon_build_info, cluster)"))
        .with_variable(variable("namespace", "Namespace", 'label_values(reckon_build_info{cluster=~"$cluster"}, namespace)'))
        .with_variable(
            variable("service", "Service", 'label_values(reckon_build_info{cluster=~"$cluster",namespace=~"$namespace"}, service)')
        )
    )
    return with_sections(made, SECTIONS)


def rate(metric: str, more: str = "", by: str = "") -> str:
    """A sum of rates, by labels."""
    labels = ",".join(filter(None, [INSTANCES, more]))
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{labels}}}{RATE}))"


def quantile(share: str, metric: str, more: str = "") -> str:
    """A quantile of a histogram over all instances."""
    return f"histogram_quantile({share}, {rate(metric + '_bucket', more, 'le')})"


def trouble():
    """One number for each of the four, and the alerts."""
    # A request that is rejected because of a limit has the route `unmatched`.
    rejected = rate("reckon_http_requests_total", 'route="unmatched",code=~"5.."')
    errors = f"(({rate('reckon_http_requests_total', ROUTES + ',code=~' + chr(34) + '5..' + chr(34))} or vector(0)) + ({rejected} or vector(0)))"
    ready = f'max by (cluster, namespace, name) (reckon_recommendationservice_condition{{{RESOURCES},type="Ready",status="true"}})'
    requests = f"({rate('reckon_http_requests_total', ROUTES)} + ({rejected} or vector(0)))"
    return [
        figure(
            "Service: errors",
            "Share of requests answered with a 5xx, with those rejected because of a limit. Requests that reach no pod are not counted: "
            "see Services without a ready pod. Objective: 0.1 %. Runbook: ReckonErrorBudgetBurn.",
            f"{errors} / ({requests} > 0)",
            "percentunit", 0.001, 0.0144, width=3,
        ),
        figure(
            "Service: slow answers",
            "Share of /recommend above 204.8 ms. Objective: 1 %. Runbook: ReckonLatencyBudgetBurn.",
            f"1 - {rate('reckon_http_request_duration_seconds_bucket', RECOMMEND + ',le=' + chr(34) + '0.2048' + chr(34))}"
            f" / ({rate('reckon_http_request_duration_seconds_count', RECOMMEND)} > 0)",
            "percentunit", 0.01, 0.144, width=3,
        ),
        figure(
            "Services without a ready pod",
            "All requests to them fail, and no other number here counts these requests. Runbook: ReckonServiceNotReady.",
            f"count({ready} == 0) or 0 * count({ready})",
            "short", None, 1, width=3,
        ),
        figure(
            "Pods that cannot use the database",
            "Their last check of the database failed: it is unreachable, hangs, or refuses them. Runbooks: ReckonStoreUnreachable, ReckonStoreRefused.",
            f"count(reckon_store_up{{{INSTANCES}}} == 0) or 0 * count(reckon_store_up{{{INSTANCES}}})",
            "short", None, 1, width=3,
        ),
        figure(
            "Pods without Redis",
            "Pods that are disconnected from Redis. Runbook: ReckonSharedCacheDown.",
            f"count(reckon_shared_cache_connected{{{INSTANCES}}} == 0) or 0 * count(reckon_store_up{{{INSTANCES}}})",
            "short", 1, None, width=3,
        ),
        figure(
            "Budget: connections in use",
            "Open database connections, as a share of the connection budgets. In normal operation at most about 80 %. Above 100 %: "
            "ReckonConnectionsAboveBudget.",
            f'sum(reckon_store_connections{{{INSTANCES},state=~"open|prober|writer"}})'
            f" / sum(max by (cluster, namespace, name) (reckon_recommendationservice_budget_connections{{{RESOURCES}}}))",
            "percentunit", 0.95, 1.0001, width=5,
        ),
        figure(
            "Pods that are not ready",
            "Desired pods that are not ready. Runbook: ReckonPodsNotReady.",
            # A rollout has more ready pods than desired: they must not hide the missing pods of another service.
            f'sum(clamp_min(max by (cluster, namespace, name) (reckon_recommendationservice_replicas{{{RESOURCES},state="desired"}})'
            f' - max by (cluster, namespace, name) (reckon_recommendationservice_replicas{{{RESOURCES},state="ready"}}), 0))',
            "short", 1, None, width=4,
        ),
        rows(
            "Alerts that fire",
            "Each has a runbook of its name.",
            'ALERTS{alertname=~"Reckon.+",alertstate="firing",cluster=~"$cluster",namespace=~"$namespace"}',
        ),
        rows(
            "Conditions that are wrong",
            "With the reason. kubectl describe recsvc NAME has a sentence about each. docs/troubleshooting.md explains the reasons.",
            wrong_conditions("Degraded"),
        ),
    ]


def traffic():
    """Requests and answers."""
    return [
        graph("Requests by route", "Answered requests a second. unmatched: rejected before routing (a limit), or an unknown URL.", [(rate("reckon_http_requests_total", by="route"), "{{route}}")], "reqps", stacked=True),
        graph(
            "Errors by status",
            "Answers 4xx and 5xx a second. 429: a rate limit; 503: unavailable or overloaded; 504: too slow; 500: a bug.",
            [(rate("reckon_http_requests_total", 'code=~"[45].."', "code"), "{{code}}")],
            "reqps",
        ),
        graph(
            "Rejections by reason",
            "Requests and connections that were turned away a second: keys, rate limits, and the limits of the instance (in_flight, connections).",
            [(rate("reckon_http_rejections_total", by="reason"), "{{reason}}")],
            "reqps",
        ),
        graph(
            "Latency of /recommend",
            "Time from the request's head to the finished answer.",
            [(quantile(q, "reckon_http_request_duration_seconds", RECOMMEND), name) for q, name in QUANTILES],
            "s",
        ),
        graph(
            "99th percentile by route",
            "Time from the request's head to the finished answer.",
            [(f"histogram_quantile(0.99, {rate('reckon_http_request_duration_seconds_bucket', by='route, le')})", "{{route}}")],
            "s",
        ),
        graph(
            "Requests in flight",
            "Of each pod: the most that a scrape found in the interval. Short peaks between two scrapes are not seen. "
            "At the limit, requests are rejected. Runbook: ReckonLoadShedding.",
            [
                (f"max by (pod, instance) (max_over_time(reckon_http_requests_in_flight{{{INSTANCES}}}{RATE}))", "{{pod}} {{instance}}"),
                (f"min(reckon_http_requests_in_flight_limit{{{INSTANCES}}})", "lowest limit of a pod"),
            ],
        ),
        graph(
            "Client connections",
            "Of each pod: the most that a scrape found in the interval. At the limit, connections are rejected. Runbook: ReckonLoadShedding.",
            [
                (f"max by (pod, instance) (max_over_time(reckon_http_connections{{{INSTANCES}}}{RATE}))", "{{pod}} {{instance}}"),
                (f"min(reckon_http_connections_limit{{{INSTANCES}}})", "lowest limit of a pod"),
            ],
        ),
    ]


def caches():
    """Memory cache and shared cache."""
    hits = rate("reckon_cache_lookups_total", 'result="hit"', "tier")
    return [
        graph("Recommendations by source", "Where answers came from. stale: the database did not answer.", [(rate("reckon_recommendations_total", by="source"), "{{source}}")], "reqps", stacked=True),
        graph("Hit ratio by tier", "Share of lookups that found a fresh entry.", [(f"{hits} / ({rate('reckon_cache_lookups_total', by='tier')} > 0)", "{{tier}}")], "percentunit", most=1),
        graph(
            "Memory cache: fill",
            "Bytes of the memory cache, as a share of its limit, of the fullest instance.",
            [(f"max(reckon_memory_cache_bytes{{{INSTANCES}}} / (reckon_memory_cache_limit_bytes{{{INSTANCES}}} > 0))", "fullest instance")],
            "percentunit", most=1,
        ),
        graph("Memory cache: evictions", "Entries removed a second. Many by size: the cache is too small.", [(rate("reckon_memory_cache_evictions_total", by="cause"), "{{cause}}")], "ops"),
        graph("Redis: operations", "Operations a second by outcome.", [(rate("reckon_shared_cache_operations_total", by="operation, outcome"), "{{operation}} {{outcome}}")], "ops"),
        graph("Redis: 99th percentile", "Time of a read or a fill.", [(quantile("0.99", "reckon_shared_cache_operation_duration_seconds"), "99 %")], "s"),
        graph(
            "Invalidation lag",
            "Of the slowest pod: age of the last confirmation that all invalidations were received. About 0.3 s; 1 s is promised. "
            "Runbook: ReckonInvalidationLag.",
            [(f"max(reckon_shared_cache_invalidation_lag_seconds{{{INSTANCES}}})", "slowest pod")],
            "s",
        ),
        graph(
            "Age of the last poll for new rows",
            "Of the slowest pod, by table; at most a little more than `freshness.pollSeconds`. Empty unless that is set. Runbook: "
            "ReckonFreshnessStalled.",
            [
                (
                    f"max by (table) (time() - (reckon_freshness_last_poll_timestamp_seconds{{{INSTANCES}}} > 0))",
                    "{{table}}",
                )
            ],
            "s",
        ),
        graph(
            "Invalidations",
            "Calls a second, and invalidations that instances received.",
            [
                (rate("reckon_invalidations_total", by="scope"), "calls: {{scope}}"),
                (rate("reckon_shared_cache_invalidations_received_total"), "received"),
            ],
            "ops",
        ),
        graph("Redis: connected pods", "Pods with a connection.", [(f"sum(reckon_shared_cache_connected{{{INSTANCES}}})", "connected"), (f"count(reckon_shared_cache_connected{{{INSTANCES}}})", "all")]),
    ]


def quality():
    """What the newest published model says about the answers, and the experiment."""
    def by_list(name: str, more: str, by: str) -> str:
        return f"max by ({by}) (reckon_quality_{name}{{{INSTANCES}{more}}})"

    recommended, explore = ',list="recommended"', ',list="explore"'
    return [
        graph(
            "Recommended: NDCG@10",
            "What each algorithm would have answered at the cut-off, compared with the purchases of the next 14 days. 1 is the best possible. "
            "Measured by each training. Runbook: ReckonQualityLow.",
            [(by_list("ndcg", recommended, "service, algorithm"), "{{service}} {{algorithm}}")],
        ),
        graph(
            "Explore: NDCG@5",
            "The same for the categories to explore, compared with purchases in categories that are new to the user.",
            [(by_list("ndcg", explore, "service, algorithm"), "{{service}} {{algorithm}}")],
        ),
        graph(
            "Hit rate",
            "Part of the evaluated users who bought at least one category of the list.",
            [(by_list("hit_rate", "", "service, list, algorithm"), "{{service}} {{list}} {{algorithm}}")],
            "percentunit", most=1,
        ),
        graph(
            "Coverage",
            "Of the categories that were bought, the part that is in the list of at least one user.",
            [(by_list("coverage", "", "service, list, algorithm"), "{{service}} {{list}} {{algorithm}}")],
            "percentunit", most=1,
        ),
        graph(
            "Age of the cut-off",
            "14 days or more: the purchases of 14 days are needed. It grows if no training publishes new figures. Runbook: ReckonModelNotReady.",
            [(f"time() - max by (service) (reckon_quality_cut_off_timestamp_seconds{{{INSTANCES}}})", "{{service}}")],
            "s",
        ),
        graph(
            "Experiment: answers by group",
            "Answered users a second, while recommendation.experiment is set.",
            [(rate("reckon_recommendation_exposures_total", by="group, algorithm"), "{{group}} {{algorithm}}")],
            "reqps", stacked=True,
        ),
    ]


def database():
    """Connections, the queue for them, and statements."""
    connections = f"reckon_store_connections{{{INSTANCES}"
    budget = "max by (namespace, name) (reckon_recommendationservice_{}_connections{{" + RESOURCES + "}})"
    return [
        graph(
            "Connections against the budget",
            "Open connections of all pods, the most that they can open before the operator acts again (reserved for the worst case), and the budget. "
            "The first two must not exceed the third.",
            [
                (f'sum({connections},state=~"open|prober|writer"}})', "open"),
                (f"sum({budget.format('worst_case')})", "reserved for the worst case"),
                (f"sum({budget.format('budget')})", "budget"),
            ],
        ),
        graph("Connections by state", "open: all connections for requests; busy and quarantined are parts of it. busy: a statement runs. quarantined: its statement timed out, so its state "
            "is unknown, and it waits until the server has answered. prober: the connection of the health check, beside open. writer: the connection for events, beside open. "
            "limit: of open, prober and writer together.", [(f"sum by (state) ({connections}}})", "{{state}}"), (f"sum(reckon_store_connections_limit{{{INSTANCES}}})", "limit")]),
        graph(
            "Connections refused by the server",
            "Attempts in 5 minutes that the server refused because the account or the server has no more connections. The pod goes on with those that it has. "
            "limit of the account: what the server allows it, lowest of all pods; it is missing if the account has no limit.",
            [
                (f"round(sum(increase(reckon_store_connections_refused_total{{{INSTANCES}}}[5m])))", "refused"),
                (f"min(reckon_store_account_connections_limit{{{INSTANCES}}} > 0)", "limit of the account"),
            ],
            decimals=0,
        ),
        graph("Statements: time", "Time that the database took.", [(quantile(q, "reckon_store_statement_duration_seconds"), name) for q, name in QUANTILES], "s"),
        graph("Waiting for a connection: time", "Above 0.1 s the connections are the bottleneck. Runbook: ReckonConnectionsSaturated.", [(quantile(q, "reckon_loader_wait_seconds"), name) for q, name in QUANTILES], "s"),
        graph(
            "Waiting for a connection: users",
            "Users in the queue, and how many the fullest queue may have.",
            [(f"max(reckon_loader_queue_users{{{INSTANCES}}})", "fullest queue"), (f"max(reckon_loader_queue_limit_users{{{INSTANCES}}})", "limit")],
        ),
        graph(
            "Errors of the database: causes",
            "Failed statements and connections in 5 minutes, by cause. Runbooks: ReckonStoreUnreachable, ReckonStoreRefused.",
            [(f"round(sum by (reason) (increase(reckon_store_errors_total{{{INSTANCES}}}[5m])))", "{{reason}}")],
            decimals=0,
        ),
        graph(
            "Recommendations that could not be loaded",
            "In 5 minutes. unavailable: the database; timeout: too slow; overloaded: the queue is full. Users got an older answer or 503.",
            [(f"round(sum by (reason) (increase(reckon_loader_failures_total{{{INSTANCES}}}[5m])))", "{{reason}}")],
            decimals=0,
        ),
        graph("Users read by one statement", "Average size of a batch. It grows with the load.", [(f"{rate('reckon_loader_batch_users_sum')} / ({rate('reckon_loader_batch_users_count')} > 0)", "users")]),
        graph("Joined loads", "Requests a second that joined a load under way for the same user.", [(rate("reckon_loader_joined_total"), "joined")], "reqps"),
        graph("Pods that can use the database", "Pods whose last check of the database succeeded.", [(f"sum(reckon_store_up{{{INSTANCES}}})", "can use it"), (f"count(reckon_store_up{{{INSTANCES}}})", "all")]),
    ]


def pods():
    """Replicas and rollout, restarts, processes."""
    by_pod = "{{pod}} {{instance}}"
    process = INSTANCES + ',job="reckon-api"'
    return [
        graph("Replicas", "A rollout is under way while updated is below desired.", [(f"sum by (state) (max by (namespace, name, state) (reckon_recommendationservice_replicas{{{RESOURCES}}}))", "{{state}}")]),
        graph("Versions", "Instances by version of the program.", [(f"sum by (version) (reckon_build_info{{{INSTANCES}}})", "{{version}}")]),
        graph(
            "Restarts",
            "Starts of processes, and restarts of tasks after a panic, in 15 minutes. Runbooks: ReckonRestarting, ReckonTaskPanics.",
            [
                (f"sum(changes(process_start_time_seconds{{{process}}}[15m]))", "processes"),
                (f"round(sum by (task) (increase(reckon_task_restarts_total{{{INSTANCES}}}[15m])))", "task {{task}}"),
            ],
            decimals=0,
        ),
        graph("CPU", "Processors in use.", [(f"rate(process_cpu_seconds_total{{{process}}}{RATE})", by_pod)]),
        graph("Memory", "Resident memory.", [(f"process_resident_memory_bytes{{{process}}}", by_pod)], "bytes"),
        graph("Open files", "File descriptors in use, as a share of the limit.", [(f"process_open_fds{{{process}}} / process_max_fds{{{process}}}", by_pod)], "percentunit"),
    ]


QUANTILES = [("0.5", "50 %"), ("0.95", "95 %"), ("0.99", "99 %")]
SECTIONS = [
    ("What is the trouble?", trouble),
    ("Service", traffic),
    ("Cache", caches),
    ("Quality of recommendations", quality),
    ("Database and budget", database),
    ("Pods and processes", pods),
]

"""PromQL from questions."""

import re
from typing import Any

import pytest
from weft_kube.workloads import KINDS, label_value
from weft_web import promql
from weft_web.promql import (
    REQUESTS,
    WORKLOADS,
    age,
    client_key,
    edge_series,
    narrower,
    plain_series,
    route_series,
    server_key,
    stat_key,
    stat_series,
    up_series,
)
from weft_web.question import parse
from weft_web.table import Labels

LONG = "n" * 70


def now(**query: str) -> str:
    """The simplest expression of a question: its matchers and groups."""
    return stat_series(parse(query)).now(REQUESTS)


def test_server_side_is_the_inbound_traffic_of_the_own_proxies() -> None:
    """A workload's numbers come from its own proxies, by the labels of the scrape."""
    assert now(kind="deploy", namespace="teahouse") == (
        'sum by (namespace, workload_kind, workload) (weft_requests_total{direction="inbound",namespace="teahouse",'
        'workload_kind=~"deployment|statefulset|daemonset|cronjob",route!="[probe]"})'
    )


def test_pods_and_namespaces_have_labels_of_their_own() -> None:
    """Pods are told apart by the target's pod, namespaces by its namespace."""
    assert now(kind="po", name="web-1") == (
        'sum by (namespace, pod) (weft_requests_total{direction="inbound",pod="web-1",route!="[probe]"})'
    )
    assert (
        now(kind="ns") == 'sum by (namespace) (weft_requests_total{direction="inbound",namespace!="",route!="[probe]"})'
    )


def test_services_are_seen_by_their_clients() -> None:
    """A Service has no proxy: its numbers are what clients sent to it."""
    assert now(kind="svc", namespace="shop", name="web") == (
        "sum by (dst_namespace, dst_service) "
        '(weft_requests_total{direction="outbound",dst_namespace="shop",dst_service="web",route!="[probe]"})'
    )


def test_a_long_name_is_asked_for_as_the_label_holds_it() -> None:
    """Labels of pods hold 63 characters, those of a workload's own name are cut alike; pods' names are not."""
    label = label_value(LONG)
    assert f'workload="{label}"' in now(kind="deploy", name=LONG)
    assert f'dst_workload="{label}"' in now(kind="deploy", to=f"deploy/{LONG}")
    assert f'workload="{label}"' in now(**{"kind": "deploy", "from": f"deploy/{LONG}"})
    assert f'pod="{LONG}"' in now(kind="pod", name=LONG)


def test_to_asks_the_clients_proxies() -> None:
    """With `to`, rows are clients, and their proxies' outbound traffic counts."""
    assert now(kind="deploy", namespace="a", to="deploy/db") == (
        'sum by (namespace, workload_kind, workload) (weft_requests_total{direction="outbound",dst_namespace="a",'
        'dst_workload_kind="deployment",dst_workload="db",namespace="a",'
        'workload_kind=~"deployment|statefulset|daemonset|cronjob",route!="[probe]"})'
    )


def test_from_groups_by_destination() -> None:
    """With `from`, rows are destinations as that client's proxies recorded them."""
    question = parse({"kind": "deploy", "namespace": "a", "from": "deploy/web", "from_namespace": "b"})
    assert stat_key(question).name == "dst_workload"
    assert stat_series(question).now(REQUESTS) == (
        'sum by (dst_namespace, dst_workload_kind, dst_workload) (weft_requests_total{direction="outbound",'
        'namespace="b",workload_kind="deployment",workload="web",dst_namespace="a",'
        'dst_workload_kind=~"deployment|statefulset|daemonset|cronjob",route!="[probe]"})'
    )


def test_a_namespace_as_a_peer_is_in_no_other() -> None:
    """Whichever namespace the rows are of."""
    assert now(kind="ns", namespace="a", **{"from": "ns/b"}) == (
        'sum by (dst_namespace) (weft_requests_total{direction="outbound",namespace="b",'
        'dst_namespace="a",dst_namespace!="",route!="[probe]"})'
    )


def test_replicasets_are_what_made_their_pods() -> None:
    """The scrape says so, whatever Kubernetes has cut off the pods' names."""
    assert now(kind="rs", namespace="a", name="web-" + "x" * 70) == (
        'sum by (namespace, owner) (weft_requests_total{direction="inbound",namespace="a",'
        f'owner_kind="replicaset",owner="web-{"x" * 70}",route!="[probe]"}})'
    )


def test_cronjobs_are_workloads() -> None:
    """The injector looks up who made a Job: a run's pods have the CronJob's label."""
    assert now(kind="cj", namespace="a", name="audit") == (
        'sum by (namespace, workload_kind, workload) (weft_requests_total{direction="inbound",namespace="a",'
        'workload_kind="cronjob",workload="audit",route!="[probe]"})'
    )


def test_kinds_of_workloads_share_their_questions() -> None:
    """A page that shows all kinds asks Prometheus once."""
    assert len({now(kind=kind, namespace="a") for kind in WORKLOADS}) == 1


def test_pods_of_an_object_are_found_by_its_labels() -> None:
    """Or, where no label names it, by their names."""
    assert now(kind="pod", namespace="a", of="deploy/web") == (
        'sum by (namespace, pod) (weft_requests_total{direction="inbound",namespace="a",'
        'workload_kind="deployment",workload="web",pod!="",route!="[probe]"})'
    )
    assert 'owner_kind="replicaset",owner="web-5d4",pod!=""' in now(kind="pod", namespace="a", of="rs/web-5d4")
    assert 'pod=~"audit-29(-[0-9]+)?-[^-]+",pod!=""' in now(kind="pod", namespace="a", of="job/audit-29")


@pytest.mark.parametrize(
    ("made", "job"),
    [
        ("job/migrate/migrate-x2x7q", "migrate"),
        ("job/migrate/migrate-0-x2x7q", "migrate"),
        ("job/backup-20261122-01/backup-20261122-01-x2x7q", "backup-20261122-01"),
        ("cronjob/audit/audit-29000000-x2x7q", "audit-29000000"),
        ("cronjob/audit/audit-29000000-11-x2x7q", "audit-29000000"),
        ("cronjob/audit/by-hand-x2x7q", "by-hand"),
    ],
)
def test_jobs_are_workloads_or_runs_of_cronjobs(made: str, job: str) -> None:
    """The workload's label names them, or for a CronJob's runs the pods' names; Indexed Jobs' have an index more."""
    expression = now(kind="job", namespace="a")
    found = re.fullmatch(
        r'sum by \(namespace, owner\) \(label_replace\(label_join\(weft_requests_total{direction="inbound",'
        r'namespace="a",workload_kind=~"job\|cronjob",route!="\[probe\]"}, "made", "/", "workload_kind", "workload", '
        r'"pod"\), "owner", "\$1\$2\$3", "made", "(.+)"\)\)',
        expression,
    )
    assert found
    owner = re.fullmatch(found[1], made)
    assert owner
    assert "".join(owner.groups(default="")) == job


def test_growth_counts_series_born_in_the_window() -> None:
    """A new series counts whole when its proxy was scraped before or is itself new; increase() misses its start."""
    assert stat_series(parse({"kind": "pod", "name": "p"})).grown("m", 60, "result") == (
        'sum by (namespace, pod, result) ((m{direction="inbound",pod="p"} unless m{direction="inbound",pod="p"} '
        'offset 60s and on (namespace, pod) (up{job="weft-proxy"} offset 60s == 1 '
        'or process_start_time_seconds{job="weft-proxy"} > time() - 60)) '
        'or increase(m{direction="inbound",pod="p"}[60s]))'
    )


def test_the_age_of_what_is_known_is_asked_in_steps() -> None:
    """Of the control plane's scrapes; nothing is answered when the window is known whole."""
    assert age(3600) == ('time() - min(min_over_time(timestamp(up{job="weft-control-plane"})[3660s:60s])) < 3600')


def test_up_tells_whether_a_row_was_scraped() -> None:
    """The scrapes of the same rows, whatever peer is asked for; who began within 30 s counts once it was scraped."""
    question = parse({"kind": "pod", "name": "p", "to": "deploy/db"})
    up = 'up{job="weft-proxy",pod="p"}'
    lately = f"(max_over_time({up}[30s]) and {up} or {up})"
    assert up_series(question).up() == (f"avg by (namespace, pod) ({lately} == 1 or {lately} and {up} offset 30s)")


def test_routes_are_told_apart_by_route_and_service() -> None:
    """Client side, by route; Jobs are found by their pods' names, and not those whose names only begin alike."""
    assert route_series(parse({"kind": "job", "name": "audit.x"})).now(REQUESTS) == (
        'sum by (route, dst_namespace, dst_service) (weft_requests_total{direction="outbound",'
        'workload_kind=~"job|cronjob",pod=~"audit[.]x(-[0-9]+)?-[^-]+",route!="[probe]"})'
    )


def test_routes_to_a_peer() -> None:
    """Only what goes there."""
    series = route_series(parse({"kind": "deployment", "namespace": "shop", "name": "web", "to": "svc/db"}))
    assert {'dst_namespace="shop"', 'dst_service="db"', 'workload="web"'} <= set(series.matchers)


def test_edges_of_pods_start_at_pods() -> None:
    """The source of an edge is the kind asked for."""
    assert [series.by[:2] for series in edge_series(parse({"kind": "pod"}))] == [("namespace", "pod")]


OUT, IN = 'direction="outbound"', 'direction="inbound"'
PLAIN = 'tls!~"true|loopback"'
SOURCE = ('namespace="shop"', 'workload_kind="deployment"', 'workload="web"')


@pytest.mark.parametrize(
    ("query", "sent", "received"),
    [
        ({}, [(OUT,)], [(IN, PLAIN)]),
        (
            {"namespace": "shop"},
            [(OUT, 'namespace="shop"'), (OUT, 'dst_namespace="shop"')],
            [(IN, PLAIN, 'namespace="shop"')],
        ),
        (
            {"namespace": "shop", "name": "web"},
            [(OUT, *SOURCE), (OUT, *(f"dst_{one}" for one in SOURCE))],
            [(IN, PLAIN, *SOURCE)],
        ),
        (
            {"kind": "pod", "namespace": "shop", "name": "web-1"},
            [
                (OUT, 'namespace="shop"', 'pod="web-1"'),
                (OUT, 'dst_namespace="shop"', 'dst_workload_kind="pod"', 'dst_workload="web-1"'),
            ],
            [(IN, PLAIN, 'namespace="shop"', 'pod="web-1"')],
        ),
        ({"kind": "svc", "namespace": "shop", "name": "web"}, [(OUT, 'dst_namespace="shop"', 'dst_service="web"')], []),
        (
            {"kind": "ns", "name": "shop"},
            [(OUT, 'namespace="shop"'), (OUT, 'dst_namespace="shop"')],
            [(IN, PLAIN, 'namespace="shop"')],
        ),
    ],
)
def test_edges_of_some_are_asked_for_alone(query: dict[str, str], sent: Any, received: Any) -> None:
    """What leaves the objects, and what reaches them: the rest of a large mesh is more than one answer holds."""
    question = parse(query)
    assert [series.matchers for series in edge_series(question)] == sent
    assert [series.matchers for series in plain_series(question)] == received


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ({}, "ask for one namespace, or one name"),
        ({"namespace": "shop"}, "ask for one name"),
        ({"name": "web"}, "ask for one namespace"),
        ({"kind": "job", "namespace": "shop", "name": "web"}, "ask Prometheus itself for a part of it"),
        ({"kind": "svc", "namespace": "shop"}, "ask for one name"),
        ({"namespace": "shop", "name": "web"}, "ask Prometheus itself for a part of it"),
        ({"kind": "svc", "namespace": "shop", "name": "web"}, "ask Prometheus itself for a part of it"),
    ],
)
def test_who_asked_for_one_is_not_told_to(query: dict[str, str], hint: str) -> None:
    """What is advised where an answer is too long is less than what was asked for."""
    assert narrower(now(**query)) == hint


def test_every_label_that_questions_group_by_is_read_from_answers() -> None:
    """Others are skipped while decoding, so a new one belongs into Labels, too."""
    groups = [value for name, value in vars(promql).items() if name.endswith("_LABELS") or name == "BALANCED"]
    kinds = (*(kind.name for kind in KINDS), "serviceaccount")
    groups += [key.labels for kind in kinds for key in (server_key(kind), client_key(kind))]
    assert {label for labels in groups for label in labels} <= set(Labels.__struct_fields__)

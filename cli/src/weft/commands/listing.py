"""`weft viz list`: which pods can be tapped, and which should but cannot."""

from typing import Any

import click

from weft.options import Command, Target, output_option, pass_target


@click.command("list", cls=Command)
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace.")
@output_option("table", "json")
@pass_target
def listing(target: Target, all_namespaces: bool, output: str) -> None:
    """List pods with a proxy, or marked for one."""
    from weft.views import table

    kube = target.connect()
    namespace = "" if all_namespaces else target.namespace_or_default(kube)
    pods = kube.list(f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods")
    rows = _rows(pods, _labelled(kube.list("/api/v1/namespaces")))
    if output == "json":
        click.echo(table.document(rows))
    elif rows:
        cells = [[row["namespace"], row["name"], row["proxy"] or "-", row["note"]] for row in rows]
        click.echo(table.table(["NAMESPACE", "NAME", "PROXY", "NOTE"], cells, left=4))
    else:
        where = f"in namespace {namespace}" if namespace else "in any namespace"
        click.echo(f"no pod {where} has a proxy, or is marked for one: see `weft inject --help`", err=True)


def _labelled(namespaces: list[dict[str, Any]]) -> set[str]:
    from weft.names import INJECT

    return {n["metadata"]["name"] for n in namespaces if (n["metadata"].get("labels") or {}).get(INJECT) == "enabled"}


def _rows(pods: list[dict[str, Any]], labelled: set[str]) -> list[dict[str, str]]:
    from weft.checks.dataplane import wants_proxy
    from weft.names import PROXY_VERSION

    rows = []
    for pod in pods:
        metadata = pod["metadata"]
        version = (metadata.get("labels") or {}).get(PROXY_VERSION, "")
        if version or wants_proxy(pod, labelled):
            note = "" if version else "older than its mark: restart it"
            rows.append({"namespace": metadata["namespace"], "name": metadata["name"], "proxy": version, "note": note})
    return sorted(rows, key=lambda row: (row["namespace"], row["name"]))

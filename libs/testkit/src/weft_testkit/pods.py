"""Fixtures of injection: pods and a template, as small as they can be and still look like the real ones."""

from typing import Any

import pytest
from weft_sidecar.template import Template

Json = dict[str, Any]


@pytest.fixture
def template() -> Template:
    """What the chart renders, shortened."""
    return Template(
        init={"name": "weft-init", "args": ["--inbound-port", "4143", "--skip-inbound-ports", "4190,4191"]},
        proxy={
            "name": "weft-proxy",
            "image": "proxy:0.1.0",
            "restartPolicy": "Always",
            "env": [{"name": "WEFT_LOG", "value": "info"}],
            "resources": {"requests": {"cpu": "10m"}},
        },
        volumes=[{"name": "weft-token"}, {"name": "weft-bundle"}],
        options={"opaque-ports": "25,3306", "skip-inbound-ports": ""},
    )


@pytest.fixture
def deployment_pod() -> Json:
    """A pod of Deployment web, with an init container, a volume, labels and annotations of its own."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-5d4f8c7b9-x2x7q",
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "annotations": {"team": "tea"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-5d4f8c7b9",
                    "uid": "rs-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "initContainers": [{"name": "migrate", "image": "web:1"}],
            "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }


@pytest.fixture
def bare_pod() -> Json:
    """A pod that nobody made, with nothing but a container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shell"},
        "spec": {"containers": [{"name": "sh", "image": "sh:1"}]},
    }

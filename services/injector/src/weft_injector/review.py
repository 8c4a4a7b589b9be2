"""One review: from an AdmissionReview's request to its answer, a metric, a log line and an Event."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from weft_kube.names import CONFIG_PREFIX
from weft_kube.objects import Meta
from weft_sidecar.options import Layer, OptionError, settings
from weft_sidecar.patch import POD, patch, version
from weft_sidecar.template import Template
from weft_sidecar.verdict import RefusedError, Skip, check_conflicts, skip_reason, warnings
from weft_webhook.review import Request, Response

from weft_injector.events import Note, Recorder
from weft_injector.metrics import Metrics
from weft_injector.owners import Owners

Known = Callable[[str], Meta | None]
Fetch = Callable[[str], Awaitable[Meta]]


class Reviewer:
    """Decides over pods, one template for all.

    A namespace's metadata is what the watch has `known`, or what `fetch` asks the API server for. Making one raises
    OptionError for defaults of the template that do not hold: every pod would be refused for them.
    """

    def __init__(
        self,
        template: Template,
        owners: Owners,
        recorder: Recorder,
        metrics: Metrics,
        *,
        known: Known,
        fetch: Fetch,
    ) -> None:
        self._template = template
        self._chart = Layer("chart", {CONFIG_PREFIX + name: value for name, value in template.options.items()})
        settings([self._chart])
        self._known = known
        self._fetch = fetch
        self._owners = owners
        self._recorder = recorder
        self._metrics = metrics
        self._log = structlog.get_logger()

    async def review(self, request: Request) -> Response:
        """The answer for a pod that is to be created."""
        pod: dict[str, Any] = msgspec.json.decode(request.object)
        with self._metrics.review_duration.time():
            try:
                return await self._decide(request, pod)
            except (RefusedError, OptionError) as refused:
                self._count(request, "refused", message=str(refused))
                return Response(allowed=False, message=f"weft: {refused}")
            except Exception:
                self._count(request, "failed")
                raise

    async def _decide(self, request: Request, pod: dict[str, Any]) -> Response:
        namespace, skip = await self._look(request.namespace, pod)
        if skip:
            return self._skip(request, pod, skip)
        found = settings(
            [
                self._chart,
                Layer(f"namespace {request.namespace}", namespace.annotations),
                Layer(POD, pod["metadata"].get("annotations") or {}),
            ]
        )
        check_conflicts(pod, found)
        workload = await self._owners.workload(request.namespace, pod["metadata"])
        operations = patch(pod, self._template, found, workload)
        self._count(request, "injected", workload=str(workload))
        told = f"weft added its proxy, version {version(self._template, found)}, to the pods"
        self._tell(request, pod, "Injected", told)
        return Response(allowed=True, patch=operations, warnings=warnings(pod, found))

    async def _look(self, name: str, pod: dict[str, Any]) -> tuple[Meta, Skip | None]:
        """The pod's namespace, and why the pod is skipped.

        The API server sends no pod but those of labelled namespaces and those with the annotation: a namespace without
        the label is one that the watch is behind with.
        """
        namespace = self._known(name)
        if namespace and (skip := skip_reason(pod, namespace.labels)) is not Skip.NOT_ENABLED:
            return namespace, skip
        namespace = await self._fetch(name)
        return namespace, skip_reason(pod, namespace.labels)

    def _skip(self, request: Request, pod: dict[str, Any], skip: Skip) -> Response:
        self._count(request, "skipped", skip.value)
        if skip.message:
            self._tell(request, pod, "InjectionSkipped", skip.message)
        return Response(allowed=True)

    def _tell(self, request: Request, pod: dict[str, Any], reason: str, message: str) -> None:
        if not request.dry_run:
            self._recorder.tell(Note.about(request.namespace, pod["metadata"], reason, message))

    def _count(self, request: Request, outcome: str, reason: str = "", **facts: str) -> None:
        self._metrics.reviews.labels(outcome, reason).inc()
        self._log.info(
            "pod reviewed", outcome=outcome, reason=reason, namespace=request.namespace, uid=request.uid, **facts
        )

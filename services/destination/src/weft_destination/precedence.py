"""Which object says what becomes of requests to a Service: an attached route, else its ServiceProfile, else its own
annotations. Circuit breaking and the budget of routes that name none are always the annotations'."""

from collections.abc import Sequence
from dataclasses import replace

from weft_destination.model import EndpointsTarget, Profile, Protocol, ToService
from weft_destination.route import NO_SETTINGS, Inherited, RetryBudget, Route, Settings
from weft_destination.settings import ORIGIN


def destination(
    target: EndpointsTarget,
    protocol: Protocol,
    attached: Sequence[Route] | None,
    profile: Profile | None,
    settings: Settings = NO_SETTINGS,
) -> ToService:
    """The whole answer for a port of a Service."""
    budget = settings.budget or RetryBudget()
    if attached is not None:
        routes = tuple(attached)
    elif profile:
        routes = (*(_with_defaults(route, settings) for route in profile.routes), *_rest(settings))
        budget = profile.retry_budget or budget
    else:
        routes = tuple(_rest(settings))
    return ToService(
        target,
        protocol,
        routes,
        budget if any(route.retryable for route in routes) else None,
        settings.breaker,
        no_match_not_found=attached is not None,
    )


def _with_defaults(route: Route, settings: Settings) -> Route:
    """A profile's route without timeouts has the annotations'; its retries are the profile's to say."""
    timeout = settings.timeout_ms if route.timeout_ms is None else route.timeout_ms
    inherited = _inherited(replace(settings, retry=None), Settings(route.timeout_ms))
    return replace(route, timeout_ms=timeout, backend_timeout_ms=settings.backend_timeout_ms or 0, inherited=inherited)


def _rest(settings: Settings) -> list[Route]:
    """Requests that no route names."""
    if settings.timeout_ms is None and settings.backend_timeout_ms is None and settings.retry is None:
        return []
    return [
        Route(
            "",
            timeout_ms=settings.timeout_ms,
            retryable=settings.retry is not None,
            backend_timeout_ms=settings.backend_timeout_ms or 0,
            retry=settings.retry,
            origin=ORIGIN,
            inherited=_inherited(settings, NO_SETTINGS),
        )
    ]


def _inherited(settings: Settings, said: Settings) -> tuple[Inherited, ...]:
    return tuple((name, ORIGIN) for name in settings.adds(said))

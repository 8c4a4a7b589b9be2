"""Routes as discovery/v1 messages."""

from weft_api.discovery.v1 import discovery_pb2 as pb

from weft_destination import route as values

PATHS = {values.Path.PREFIX: "path_prefix", values.Path.REGEX: "path_regex", values.Path.EXACT: "path_exact"}


def pb_route(route: values.Route) -> pb.Route:
    """A route, whole."""
    message = pb.Route(
        name=route.name,
        matches=map(_match, route.matches),
        request_timeout_ms=route.timeout_ms or 0,
        no_request_timeout=route.timeout_ms == 0,
        retryable=route.retryable,
        backends=map(_backend, route.backends),
        filters=map(_filter, route.filters),
        backend_timeout_ms=route.backend_timeout_ms,
        response_classes=[
            pb.ResponseClass(min_status=one.min_status, max_status=one.max_status, failure=one.failure)
            for one in route.response_classes
        ],
    )
    retry = route.retry
    message.single_try = retry is not None and retry.limit == 0
    if retry and route.retryable:
        message.retry.CopyFrom(
            pb.Retry(
                statuses=retry.statuses,
                grpc_codes=retry.grpc_codes,
                max_retries=retry.limit,
                backoff_ms=retry.backoff_ms,
            )
        )
    if route.answer:
        message.answer.CopyFrom(_answer(route.answer))
    return message


def pb_budget(budget: values.RetryBudget) -> pb.RetryBudget:
    """A budget."""
    return pb.RetryBudget(
        ratio_permille=budget.ratio_permille,
        min_retries_per_second=budget.min_retries_per_second,
        ttl_ms=budget.ttl_ms,
    )


def pb_breaker(breaker: values.Breaker) -> pb.Breaker:
    """A circuit breaker's numbers."""
    return pb.Breaker(
        max_failures=breaker.max_failures,
        min_penalty_ms=breaker.min_penalty_ms,
        max_penalty_ms=breaker.max_penalty_ms,
        min_success_permille=breaker.min_success_permille,
        window_ms=breaker.window_ms,
        min_requests=breaker.min_requests,
    )


def _match(match: values.Match) -> pb.RouteMatch:
    message = pb.RouteMatch(method=match.method, headers=map(_value, match.headers), queries=map(_value, match.queries))
    if match.path in PATHS:
        setattr(message, PATHS[match.path], match.value)
    return message


def _value(match: values.ValueMatch) -> pb.ValueMatch:
    return pb.ValueMatch(name=match.name, value=match.value, regex=match.regex)


def _backend(backend: values.Backend) -> pb.WeightedBackend:
    message = pb.WeightedBackend(weight=backend.weight, filters=map(_filter, backend.filters))
    if backend.answer:
        message.answer.CopyFrom(_answer(backend.answer))
    else:
        message.service.namespace, message.service.name = backend.namespace, backend.name
        message.service.port = backend.port
    return message


def _answer(answer: values.Answer) -> pb.Answer:
    return pb.Answer(status=answer.status, message=answer.message)


def _filter(one: values.Filter) -> pb.Filter:
    match one:
        case values.HeaderChange(response=response):
            changes = _headers(one)
            return pb.Filter(response_headers=changes) if response else pb.Filter(request_headers=changes)
        case values.Redirect():
            return pb.Filter(redirect=_redirect(one))
        case values.Rewrite():
            return pb.Filter(rewrite=pb.Rewrite(hostname=one.hostname, path=_path(one.path)))


def _redirect(one: values.Redirect) -> pb.Redirect:
    return pb.Redirect(status=one.status, scheme=one.scheme, hostname=one.hostname, port=one.port, path=_path(one.path))


def _path(change: values.PathChange | None) -> pb.PathChange | None:
    return pb.PathChange(value=change.value, prefix=change.prefix) if change else None


def _headers(change: values.HeaderChange) -> pb.HeaderChange:
    return pb.HeaderChange(
        set=[pb.Header(name=name, value=value) for name, value in change.set],
        add=[pb.Header(name=name, value=value) for name, value in change.add],
        remove=change.remove,
    )

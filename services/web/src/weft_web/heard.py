"""Whether Prometheus hears those who would tell: where it scrapes none of them, nothing found does not mean nothing."""

from weft_web import notes, promql
from weft_web.catalog import Catalog, meshed
from weft_web.prometheus import Prometheus, known
from weft_web.question import Peer, Question


async def unheard(question: Question, catalog: Catalog, prometheus: Prometheus) -> list[str]:
    """Why nothing can be known of a question's traffic; empty where some proxy is scraped, or there is none."""
    asked = _telling(question)
    if not _meshed(asked, catalog):
        return []
    found, refused = await known(prometheus.query(promql.peer_series(asked).up()), [])
    share = next((sample.value for sample in found), None)
    return refused or ([] if share else [notes.unscraped(asked, share)])


def _telling(question: Question) -> Peer:
    """Whose proxies tell: the object's own, those of its namespace, or any where it is a Service's clients."""
    kind, name = question.kind.name, question.name
    if kind == "service":
        return Peer("", "", "")
    if kind == "namespace":
        return Peer(name or question.namespace, "", "")
    return Peer(question.namespace, kind if name else "", name)


def _meshed(asked: Peer, catalog: Catalog) -> int:
    """How many running pods have such a proxy."""
    if asked.name:
        return meshed(catalog.pods(asked.kind, asked.namespace, asked.name)).pods
    spaces = [asked.namespace] if asked.namespace else [one.metadata.name for one in catalog.of("namespace")]
    return sum(meshed(catalog.pods("namespace", space, space)).pods for space in spaces)

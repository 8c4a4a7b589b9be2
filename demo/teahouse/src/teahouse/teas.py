"""The menu."""

from teahouse.v1.teahouse_pb2 import Tea

TEAS = {
    tea.name: tea
    for tea in (
        Tea(name="assam", price=350, temperature=95),
        Tea(name="chai", price=420, temperature=98),
        Tea(name="matcha", price=480, temperature=75),
        Tea(name="oolong", price=460, temperature=90),
        Tea(name="rooibos", price=330, temperature=98),
        Tea(name="sencha", price=390, temperature=70),
    )
}

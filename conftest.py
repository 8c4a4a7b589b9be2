"""For all tests: what must hold for the whole session."""

import grpc
import structlog
from hypothesis import HealthCheck, settings

# Machines that build and test at once are slow at times; that is no fault of the code under test.
settings.register_profile("weft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weft")

# Tracebacks as services log them: structlog's own, with colours and source, take a tenth of a second each.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])

# Keeps grpc.aio's poller alive from one test's event loop to the next: it is shut down when the last server, channel or
# call is collected, and if the garbage collector takes them in an unlucky order, that waits for ever for a call that is
# collected later in the same pass (seen with grpcio 1.85.1).
grpc.aio.init_grpc_aio()

"""For all tests: keeps grpc.aio's poller alive from one test's event loop to the next.

It is shut down when the last server, channel or call is collected; if the garbage collector takes them in an unlucky
order, that waits for ever for a call that is collected later in the same pass (seen with grpcio 1.85.1).
"""

import grpc

grpc.aio.init_grpc_aio()

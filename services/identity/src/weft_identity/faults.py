"""What a request to Kubernetes may fail with."""

import aiohttp
import msgspec
from weft_kube.api import ApiError

FAILURES = (ApiError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError)

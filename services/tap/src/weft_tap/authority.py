"""Trust in the API server: its ConfigMap, read again and again, and the CA in it."""

import asyncio
import ssl

import msgspec
import structlog
from weft_kube.api import FAILURES, KubeApi

from weft_tap.callers import RequestHeader, read_config

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
CHECK_SECONDS = 60.0
RETRY_SECONDS = 1.0
log = structlog.get_logger()


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] = {}


class Authority:
    """Keeps `config` and the CAs that `context` asks client certificates of. `run` goes on until cancelled."""

    def __init__(self, api: KubeApi, context: ssl.SSLContext, stop: asyncio.Event) -> None:
        context.verify_mode = ssl.CERT_OPTIONAL
        self.config: RequestHeader | None = None
        self.ready = asyncio.Event()
        self._api = api
        self._context = context
        self._stop = stop

    async def run(self) -> None:
        """Reads the ConfigMap for ever; what fails is tried again."""
        while True:
            try:
                await self.check()
            except (*FAILURES, ValueError) as error:
                log.warning("request header CA not read", reason=str(error))
            await asyncio.sleep(CHECK_SECONDS if self.ready.is_set() else RETRY_SECONDS)

    async def check(self) -> None:
        """Trusts a new CA at once. OpenSSL cannot forget one: a CA that is gone ends this process, and the next
        one starts without it."""
        config = read_config((await self._api.get(CONFIG_MAP, _ConfigMap)).data)
        if self.config and self.config.authorities != config.authorities and self._removed(config):
            log.warning("request header CA replaced, restarting")
            self._stop.set()
        elif not self.config or self.config.authorities != config.authorities:
            self._context.load_verify_locations(cadata=config.authorities)
        self.config = config
        self.ready.set()

    def _removed(self, config: RequestHeader) -> bool:
        old = _certificates(self.config.authorities) if self.config else set()
        return bool(old - _certificates(config.authorities))


def _certificates(pem: str) -> set[str]:
    return {part.strip() for part in pem.split("-----BEGIN CERTIFICATE-----") if part.strip()}

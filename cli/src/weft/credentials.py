"""Who the user of a kubeconfig is: headers and client certificates, some of which a program gives."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from weft.errors import Failure
from weft.kubeconfig import Object

EARLY_SECONDS = 60
"""So long before its end a plugin's answer is asked for anew."""

EXTENSION = "client.authentication.k8s.io/exec"
"""What of a cluster's extensions is for plugins."""

EXEC_SECONDS = 120
"""A plugin may open a browser and wait for its user."""


class Proof(NamedTuple):
    """What the API server wants to see; `certificate` and `key` are PEM."""

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""


class Credentials:
    """Proof of a user, as of now: token files change, and what a plugin gives ends."""

    def __init__(self, user: Object, cluster: Object) -> None:
        self._user = user
        self._plugin = Plugin(user["exec"], cluster) if user.get("exec") else None

    def proof(self) -> Proof:
        """Token and certificate."""
        given = self._plugin.proof() if self._plugin else Proof()
        return Proof(
            self._token() or given.token,
            pem(self._user, "client-certificate") or given.certificate,
            pem(self._user, "client-key") or given.key,
        )

    def headers(self, token: str) -> list[tuple[str, str]]:
        """Of a request with this token, or with name and password; and as whom else to act. Names may repeat."""
        user = self._user
        if token:
            headers = [("Authorization", f"Bearer {token}")]
        elif user.get("username"):
            pair = f"{user['username']}:{user.get('password', '')}"
            headers = [("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]
        else:
            headers = []
        return headers + _acting_as(user)

    def _token(self) -> str:
        if file := self._user.get("tokenFile"):
            return read(file).decode().strip()
        if self._user.get("auth-provider"):
            return _provided(self._user["auth-provider"])
        return str(self._user.get("token") or "")


def _acting_as(user: Object) -> list[tuple[str, str]]:
    """Headers of impersonation (Kubernetes' "User impersonation"); what goes with a user is nothing without one."""
    groups, extra = user.get("as-groups") or [], user.get("as-user-extra") or {}
    if not user.get("as"):
        if groups or extra or user.get("as-uid"):
            raise Failure("groups go with a user whose they are", "Name the user, too: --as NAME.")
        return []
    acting = [("Impersonate-User", user["as"]), *(("Impersonate-Group", group) for group in groups)]
    acting += [("Impersonate-Uid", user["as-uid"])] if user.get("as-uid") else []
    acting += [(f"Impersonate-Extra-{quote(key, safe='')}", value) for key, values in extra.items() for value in values]
    return acting


def pem(settings: Object, name: str) -> bytes:
    """A certificate or key that stands in the kubeconfig, or in the file that it names."""
    if data := settings.get(f"{name}-data"):
        return base64.b64decode(data)
    return read(settings[name]) if settings.get(name) else b""


def read(file: str) -> bytes:
    """A file that the kubeconfig names."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {file}, which the kubeconfig names: {error.strerror}", "Log in again.") from error


def _provided(provider: Object) -> str:
    """The token of an auth-provider, as kubectl has kept it."""
    config = provider.get("config") or {}
    token = str(config.get("id-token") or "")
    if not token or _ends(token) < time.time():
        raise Failure(
            f"the token of auth-provider {provider.get('name')} has expired",
            "Run `kubectl get ns`, which renews it, or use an exec plugin.",
        )
    return token


def _ends(token: str) -> float:
    """When a JSON web token ends; never, if it is none."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return float("inf")


class Plugin:
    """An exec plugin (client.authentication.k8s.io): a program that prints an ExecCredential."""

    def __init__(self, settings: Object, cluster: Object) -> None:
        self._settings = settings
        self._cluster = cluster
        self._given = Proof()
        self._until = 0.0
        self._asking = threading.Lock()

    def proof(self) -> Proof:
        """What the program gave, or gives now that this has ended."""
        with self._asking:
            if time.time() >= self._until:
                self._take(self._run())
            return self._given

    def _take(self, status: dict[str, Any]) -> None:
        ends = status.get("expirationTimestamp")
        self._until = datetime.fromisoformat(ends).timestamp() - EARLY_SECONDS if ends else float("inf")
        certificate, key = (status.get(name, "").encode() for name in ("clientCertificateData", "clientKeyData"))
        self._given = Proof(status.get("token", ""), certificate, key)

    def _run(self) -> dict[str, Any]:
        command = [self._settings["command"], *(self._settings.get("args") or [])]
        interactive = self._settings.get("interactiveMode") != "Never" and sys.stdin.isatty()
        stdin = None if interactive else subprocess.DEVNULL  # what is piped into weft is not the plugin's
        try:
            done = subprocess.run(
                command,
                env=self._environment(interactive),
                stdin=stdin,
                stdout=subprocess.PIPE,
                timeout=EXEC_SECONDS,
                check=True,
            )
            return dict(json.loads(done.stdout)["status"])
        except FileNotFoundError as error:
            hint = self._settings.get("installHint") or f"Install {command[0]}."
            raise Failure(f"the kubeconfig's plugin {command[0]} is not installed", hint) from error
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            raise Failure(f"the kubeconfig's plugin gives no credentials: {error}", "Log in again.") from error

    def _environment(self, interactive: bool) -> dict[str, str]:
        spec: Object = {"interactive": interactive}
        if self._settings.get("provideClusterInfo"):
            spec["cluster"] = _described(self._cluster)
        asked = {"apiVersion": self._settings["apiVersion"], "kind": "ExecCredential", "spec": spec}
        extra = {one["name"]: one["value"] for one in self._settings.get("env") or []}
        return {**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(asked)}


def _described(cluster: Object) -> Object:
    """A cluster as plugins want to know it: its authority inline, and what the kubeconfig holds for plugins."""
    told = {key: value for key, value in cluster.items() if key not in ("extensions", "certificate-authority")}
    if authority := pem(cluster, "certificate-authority"):
        told["certificate-authority-data"] = base64.b64encode(authority).decode()
    extensions = {one["name"]: one["extension"] for one in cluster.get("extensions") or []}
    return told | ({"config": extensions[EXTENSION]} if EXTENSION in extensions else {})

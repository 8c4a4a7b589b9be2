"""Settings from the environment: all faults at once."""

from dataclasses import dataclass

import pytest
from weft_runtime.config import Address, ConfigError, address, env, load


@dataclass(frozen=True)
class Config:
    """Two settings."""

    listen: Address = env("LISTEN", address, default="127.0.0.1:80", doc="where to listen")
    name: str = env("NAME", doc="what to be called")


def test_defaults_and_values() -> None:
    """What is not set has its default."""
    assert load(Config, {"NAME": "x"}) == Config(Address("127.0.0.1", 80), "x")


def test_every_fault_is_told() -> None:
    """Missing and malformed variables are told together, each by name."""
    with pytest.raises(ConfigError) as error:
        load(Config, {"LISTEN": "nowhere"})
    assert str(error.value).splitlines() == [
        "LISTEN='nowhere' is not host:port",
        "NAME is not set: what to be called",
    ]


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::1]:80", "web.ns:80"])
def test_addresses_are_written_as_read(text: str) -> None:
    """IPv6 hosts have brackets outside and none inside."""
    assert str(address(text)) == text


@pytest.mark.parametrize("text", ["", "80", "host", "host:", "host:x", "host:70000"])
def test_no_addresses(text: str) -> None:
    """Each is refused."""
    with pytest.raises(ValueError, match="is not host:port"):
        address(text)

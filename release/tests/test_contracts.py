"""Contracts only grow: what was released stays, whatever is added."""

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto as File
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from releases.contracts import breaks


def contracts() -> FileDescriptorSet:
    """One file with one of everything."""
    found = FileDescriptorSet()
    file = found.file.add(name="a.proto", package="weft.a.v1", syntax="proto3")
    message = file.message_type.add(name="Route")
    message.oneof_decl.add(name="kind")
    message.field.add(name="host", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    message.field.add(name="port", number=2, type=Field.TYPE_UINT32, label=Field.LABEL_OPTIONAL, oneof_index=0)
    message.nested_type.add(name="Match").field.add(
        name="path", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL
    )
    file.enum_type.add(name="Protocol").value.add(name="OPAQUE", number=1)
    method = file.service.add(name="Discovery").method.add(name="Subscribe")
    method.input_type, method.output_type = ".weft.a.v1.Route", ".weft.a.v1.Route"
    return found


def added(file: File) -> None:
    """What may come: a field, a member of a oneof, an enum's value, a message, a method, a service."""
    message = file.message_type[0]
    message.field.add(name="weight", number=3, type=Field.TYPE_UINT32, label=Field.LABEL_OPTIONAL)
    message.field.add(name="ip", number=4, type=Field.TYPE_BYTES, label=Field.LABEL_OPTIONAL, oneof_index=0)
    file.enum_type[0].value.add(name="HTTP", number=2)
    file.message_type.add(name="Backend")
    file.service[0].method.add(name="List", input_type=".weft.a.v1.Route", output_type=".weft.a.v1.Backend")
    file.service.add(name="Health")


def test_additions_are_no_break() -> None:
    """Within v1 contracts grow."""
    present = contracts()
    added(present.file[0])

    assert breaks(contracts(), present) == []


BREAKS: dict[str, Callable[[File], object]] = {
    "Route field 1: was optional string host, is gone": lambda file: file.message_type[0].field.pop(0),
    "Route field 1: was optional string host, is optional bytes host": lambda file: setattr(
        file.message_type[0].field[0], "type", Field.TYPE_BYTES
    ),
    "Route field 1: was optional string host, is repeated string host": lambda file: setattr(
        file.message_type[0].field[0], "label", Field.LABEL_REPEATED
    ),
    "Route field 1: was optional string host, is optional string name": lambda file: setattr(
        file.message_type[0].field[0], "name", "name"
    ),
    "Route field 1: was optional string host, is in oneof kind optional string host": lambda file: setattr(
        file.message_type[0].field[0], "oneof_index", 0
    ),
    "Route.Match field 1: was optional string path, is gone": lambda file: (
        file.message_type[0].nested_type[0].field.pop()
    ),
    "Protocol value 1: was OPAQUE, is TCP": lambda file: setattr(file.enum_type[0].value[0], "name", "TCP"),
    "Discovery.Subscribe: was .weft.a.v1.Route → .weft.a.v1.Route, is .weft.a.v1.Route → stream .weft.a.v1.Route": (
        lambda file: setattr(file.service[0].method[0], "server_streaming", True)
    ),
    "Discovery.Subscribe: was .weft.a.v1.Route → .weft.a.v1.Route, is gone": lambda file: file.service[0].method.pop(),
}


@pytest.mark.parametrize("told", BREAKS)
def test_whatever_a_peer_relied_on_is_named_when_it_changes(told: str) -> None:
    """With what it was and what it is."""
    present = contracts()
    BREAKS[told](present.file[0])

    assert breaks(contracts(), present) == [f"weft.a.v1.{told}"]

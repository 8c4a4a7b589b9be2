"""What of a contract others rely on, as facts; a released fact stays. Pure.

The rules of `buf breaking`, made stricter by one: within v1 nothing is removed. So each thing that a peer can rely on
is one fact with one value, and whatever was a fact of the released contracts must be the same fact now.
"""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

Fact = tuple[str, str]


def breaks(released: FileDescriptorSet, present: FileDescriptorSet) -> list[str]:
    """A line for each released fact that does not hold any more."""
    now = facts(present)
    return [
        f"{thing}: was {value}, is {now.get(thing, 'gone')}"
        for thing, value in facts(released).items()
        if now.get(thing) != value
    ]


def facts(contracts: FileDescriptorSet) -> dict[str, str]:
    """Everything that a peer relies on, by its name."""
    return dict(fact for file in contracts.file if file.package.startswith("weft.") for fact in _file(file))


def _file(file: FileDescriptorProto) -> Iterator[Fact]:
    for message in file.message_type:
        yield from _message(file.package, message)
    for enum in file.enum_type:
        yield from _enum(file.package, enum)
    for service in file.service:
        yield from _service(file.package, service)


def _message(scope: str, message: DescriptorProto) -> Iterator[Fact]:
    name = f"{scope}.{message.name}"
    yield name, "a message"
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        yield f"{name} field {field.number}", _field(field, oneof)
    for nested in message.nested_type:
        yield from _message(name, nested)
    for enum in message.enum_type:
        yield from _enum(name, enum)
    for reserved in message.reserved_range:
        for number in range(reserved.start, reserved.end):
            yield f"{name} field {number}", "reserved"


def _field(field: FieldDescriptorProto, oneof: str) -> str:
    label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
    kind = field.type_name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    presence = "presence " if field.proto3_optional else f"in oneof {oneof} " if oneof else ""
    return f"{presence}{label} {kind} {field.name}"


def _enum(scope: str, enum: EnumDescriptorProto) -> Iterator[Fact]:
    yield f"{scope}.{enum.name}", "an enum"
    for value in enum.value:
        yield f"{scope}.{enum.name} value {value.number}", value.name


def _service(scope: str, service: ServiceDescriptorProto) -> Iterator[Fact]:
    yield f"{scope}.{service.name}", "a service"
    for method in service.method:
        asked = "stream " * method.client_streaming + method.input_type
        answered = "stream " * method.server_streaming + method.output_type
        yield f"{scope}.{service.name}.{method.name}", f"{asked} → {answered}"

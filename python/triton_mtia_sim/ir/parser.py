"""Reads MLIR's generic text form, one operation a line, into operations (https://mlir.llvm.org/docs/LangRef)."""

import re
from typing import Any

from triton_mtia_sim.ir.attributes import parse_dictionary
from triton_mtia_sim.ir.locations import LocationTable
from triton_mtia_sim.ir.operations import Block, Module, Operation, Region, Value
from triton_mtia_sim.ir.types import parse_function_type, parse_type

_OPERATION = re.compile(r'(?:(%[^"]*?) = )?"([\w.]+)"\(([^)]*)\)(?:\[([^\]]*)\])?(.*)', re.DOTALL)
_BLOCK = re.compile(r"\^(\w+)(?:\((.*)\))?:")
_ALIAS = re.compile(r"(#loc\d*) = loc\((.*)\)")
_LOCATION = re.compile(r" loc\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)$")
_NAME = re.compile(r'"([^"]*)"')


class ParseError(ValueError):
    """The text is not the generic form that this reader knows."""


def parse_module(text: str) -> Module:
    """Reads a module printed in generic form, with or without locations."""
    return _Parser(text).module()


class _Parser:
    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        aliases = (_ALIAS.fullmatch(line) for line in self.lines if line.startswith("#loc"))
        self.locations = LocationTable({match[1]: match[2] for match in aliases if match})
        self.values: dict[str, Value] = {}
        self.open: list[tuple[Operation, dict[str, Block]]] = []
        self.blocks: list[Block | None] = [None]
        self.pending: list[str] = []

    def module(self) -> Module:
        for number, line in enumerate(self.lines):
            stripped = line.strip()
            if not stripped or stripped.startswith(("#", "//")):
                continue
            try:
                finished = self.line(stripped)
            except (ParseError, KeyError, ValueError, AttributeError) as error:
                raise ParseError(f"line {number + 1} of the TTIR cannot be read ({error}): {stripped}") from error
            if finished is not None:
                return Module(finished)
        raise ParseError("the TTIR has no module")

    def line(self, text: str) -> Operation | None:
        """Reads one line; returns the outermost operation when it is complete."""
        if text[0] == "^":
            self.block(text)
        elif text[0] == "}":
            if text.startswith("}, {"):
                self.open[-1][0].regions.append(Region())
                self.open[-1][1].clear()
                self.blocks[-1] = None
            else:
                return self.close(text)
        elif text.endswith("({"):
            self.begin(text[:-2])
        else:
            self.operation(text)
        return None

    def block(self, text: str) -> None:
        match = _BLOCK.match(text)
        if match is None:
            raise ParseError("not a block header")
        block = self.labelled(match[1])
        operation = self.open[-1][0]
        operation.regions[-1].blocks.append(block)
        self.blocks[-1] = block
        for index, part in enumerate(re.split(r", (?=%)", match[2]) if match[2] else []):
            name, _, type_text = part.partition(": ")
            type_text, _, location = type_text.partition(" loc(")
            value = Value(parse_type(type_text), index, None, block)
            named = _NAME.match(location)
            value.name = named[1] if named else ""
            block.arguments.append(value)
            self.values[name] = value

    def labelled(self, label: str) -> Block:
        operation, labels = self.open[-1]
        return labels.setdefault(label, Block(label, operation))

    def current_block(self) -> Block | None:
        if self.blocks[-1] is None and self.open:
            block = Block("bb0", self.open[-1][0])
            self.open[-1][0].regions[-1].blocks.append(block)
            self.blocks[-1] = block
        return self.blocks[-1]

    def head(self, text: str) -> tuple[Operation, str, str]:
        """Reads results, name, operands and successors; returns the operation, its result names and what is left."""
        match = _OPERATION.match(text)
        if match is None:
            raise ParseError("not an operation")
        results, name, operands, successors, rest = match.groups()
        values = [self.values[item] for item in operands.split(", ")] if operands else []
        operation = Operation(name, values, {}, None)  # type: ignore[arg-type]
        if successors:
            operation.successors = [self.labelled(label.lstrip("^")) for label in successors.split(", ")]
        operation.block = self.current_block()
        for value in values:
            value.users.append(operation)
        return operation, results or "", rest.strip()

    def begin(self, text: str) -> None:
        operation, results, rest = self.head(text)
        attributes, _ = self.properties(rest)
        operation.attributes = attributes
        operation.regions.append(Region())
        self.open.append((operation, {}))
        self.blocks.append(None)
        self.pending.append(results)

    def close(self, text: str) -> Operation | None:
        operation, _ = self.open.pop()
        self.blocks.pop()
        rest = text[text.index(")") + 1 :].strip()
        self.finish(operation, self.pending.pop(), rest)
        return operation if not self.open else None

    def operation(self, text: str) -> None:
        operation, results, rest = self.head(text)
        self.finish(operation, results, rest)

    def properties(self, text: str) -> tuple[dict[str, Any], str]:
        """Splits `<{...}> rest` into the properties and the rest."""
        if not text.startswith("<{"):
            return {}, text
        end = text.find("}>")
        while end >= 0:
            rest = text[end + 2 :]
            if not rest or rest.startswith((" : ", " {", " ({")):
                return parse_dictionary(text[1 : end + 1]), rest.strip()
            end = text.find("}>", end + 1)
        raise ParseError("properties do not end")

    def finish(self, operation: Operation, results: str, rest: str) -> None:
        attributes, rest = self.properties(rest)
        if rest.startswith("{"):
            dictionary, _, rest = rest.partition("} : ")
            attributes = {**attributes, **parse_dictionary(dictionary + "}")}
        else:
            rest = rest.removeprefix(": ")
        location = _LOCATION.search(rest)
        if location is not None:
            rest = rest[: location.start()]
        operation.location = self.locations.resolve(location[1] if location else "unknown")
        operation.attributes = {**operation.attributes, **attributes} if operation.attributes else attributes
        _, types = parse_function_type(rest)
        operation.results = [Value(type_, index, operation, None) for index, type_ in enumerate(types)]
        self.name_results(operation, results)
        block = self.current_block()
        if block is not None:
            operation.block = block
            block.operations.append(operation)

    def name_results(self, operation: Operation, text: str) -> None:
        index = 0
        for group in text.split(", ") if text else []:
            name, _, count = group.partition(":")
            for member in range(int(count or 1)):
                value = operation.results[index]
                value.name = name[1:]
                self.values[f"{name}#{member}" if count else name] = value
                index += 1

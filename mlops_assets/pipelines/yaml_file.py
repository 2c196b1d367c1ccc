"""A pipeline as YAML text, both ways: what is exported reads well and comes back as it was.

Add here what is special to YAML. Keep out what a pipeline may say (`validate`). Only plain data is read: no tags, no
merge keys, few aliases, text for keys; dates and times of day stay text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from mlops_assets.pipelines.problem import Problem, ProblemError
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.structure import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from mlops_assets.pipelines.validate import checked

MAX_ALIASES = 100
# A value, its key, and the ends of what holds it.
MAX_EVENTS = 3 * MAX_VALUES
LINE_WIDTH = 100


class YamlError(ProblemError):
    """The text is no YAML that is read here. `line` and `column` count from 1; 0 where the whole text is meant."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        super().__init__([Problem(None, "", f"line {line}, column {column}: {message}" if line else message)])


def load(text: str | bytes) -> PipelineSpec:
    """The pipeline in a YAML text. YamlError: it is no such YAML. ProblemError: the pipeline is refused."""
    return checked(read(text))


def read(text: str | bytes) -> Any:
    """The plain data in a YAML text of one document. YamlError: it is refused."""
    words = _decoded(text)
    try:
        _bounded(words)
        return yaml.load(words, Loader=_Loader)  # noqa: S506 (a safe loader with fewer types)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(mark, error.problem or error.context or "not readable") from None
    except yaml.reader.ReaderError as error:
        before = words.encode()[: error.position].decode(errors="ignore")
        column = len(before) - before.rfind("\n")
        raise YamlError(f"unprintable character: {error.reason}", before.count("\n") + 1, column) from None


def dump(spec: PipelineSpec) -> str:
    """The pipeline as YAML: what differs from the defaults, in the order of the spec, sources as blocks."""
    return yaml.dump(
        spec.model_dump(mode="json", exclude_defaults=True),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=LINE_WIDTH,
    )


def _decoded(text: str | bytes) -> str:
    if len(text) > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES // 1024} KB")
    try:
        words = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        words.encode()
    except UnicodeError:
        raise YamlError("the text is not UTF-8") from None
    return words


def _bounded(text: str) -> None:
    """Refuse what would make building the data expensive. Events come one by one, however deep the text nests."""
    depth = aliases = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        aliases += isinstance(event, yaml.AliasEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if count > MAX_EVENTS:
            raise _at(event.start_mark, "too many values")
        if depth > MAX_DEPTH:
            raise _at(event.start_mark, f"nested deeper than {MAX_DEPTH}")
        if aliases > MAX_ALIASES:
            raise _at(event.start_mark, f"more than {MAX_ALIASES} aliases")
        if documents > 1:
            raise _at(event.start_mark, "a second document begins")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            raise _at(event.start_mark, f"tags like {event.tag[:80]} are not read")


def _at(mark: Any, message: str) -> YamlError:
    return YamlError(message, mark.line + 1, mark.column + 1) if mark is not None else YamlError(message)


class _Loader(yaml.CSafeLoader):
    """A safe loader that refuses doubled keys, keys that are no text and merge keys."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _at(key.start_mark, "merge keys (<<) are not read")
            if key.tag != "tag:yaml.org,2002:str":
                raise _at(key.start_mark, "a key is text; put it in quotes")
            if key.value in seen:
                raise _at(key.start_mark, f"the key {key.value[:80]!r} is given twice")
            seen.add(key.value)

    def words(self, node: yaml.ScalarNode) -> Any:
        """A date stays the text that it is."""
        return node.value

    def number(self, node: yaml.ScalarNode) -> Any:
        """The number, or text where YAML 1.1 counts in sixties: 12:30 would be 750."""
        if ":" in node.value:
            return node.value
        try:
            return self.construct_yaml_int(node) if node.tag.endswith("int") else self.construct_yaml_float(node)
        except ValueError:
            raise _at(node.start_mark, f"{node.value[:80]!r} is no number; put text in quotes") from None


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes text of several lines as a block, and everything twice rather than by alias.

    Not the one in C, which takes characters beyond 16 bits for unprintable and gives up the block.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        if re.search("[\x85\u2028\u2029\ufeff]", value):
            style = '"'  # other line ends of YAML's, which a block would not bring back
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.words)
_Dumper.add_representer(str, _Dumper.text)

"""The strategy files: which there are, and whether one follows the grammar ``charts/grpc-echo/values.schema.json``."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.settings import grammar
from grpc_lb_lab.settings.values import RefusedError, unknown

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "charts/grpc-echo/values.schema.json"


class Catalogue:
    """The strategies of one folder, one YAML file each."""

    def __init__(self, folder: Path, repo: Path) -> None:
        """Look into ``folder``; ``repo`` holds the grammar."""
        self.folder = folder
        self._repo = repo

    @cached_property
    def _schema(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self._repo / SCHEMA).read_text(encoding="utf-8"))
        return data

    def names(self) -> tuple[str, ...]:
        """Return the names of all strategies, sorted."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def path(self, name: str) -> Path:
        """Return where the file of a strategy is."""
        return self.folder / f"{name}.yaml"

    def load(self, name: Any) -> dict[str, Any]:
        """Read and check one strategy file.

        Raises ``RefusedError`` naming the strategies that exist, or the file, the key and what is allowed.
        """
        if not isinstance(name, str) or name not in self.names():
            raise RefusedError(unknown(str(name), self.names()))
        path = self.path(name)
        shown = path.relative_to(self._repo) if path.is_relative_to(self._repo) else path
        data = grammar.read(path, shown, self._schema)
        if data["strategy"]["name"] != name:
            grammar.refuse(
                f"{shown}: strategy.name is {data['strategy']['name']}; allowed is {name}, the name of the file"
            )
        return data

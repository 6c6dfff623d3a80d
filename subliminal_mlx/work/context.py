"""Where the files of a run's units are, and what they are computed on."""

from dataclasses import dataclass, field
from pathlib import Path

from ..bases import load
from ..lab.folders import Folders
from ..setting import Setting


@dataclass(frozen=True, eq=False)
class Context:
    """Where a run's files are, and what it runs on."""

    folders: Folders
    run_id: str
    setting: Setting
    _foreign: dict[str, Setting] = field(default_factory=dict)

    def shard(self, unit: str) -> Path:
        return shard_folder(self.folders, self.run_id, unit)

    def adapter(self, slot: str) -> Path:
        return self.folders.adapter_folder(self.run_id, slot)

    def checkpoint(self, unit: str) -> Path:
        return self.folders.run_folder(self.run_id) / "checkpoints" / unit.replace("/", "-")

    @property
    def foreign(self) -> Setting:
        """The same spec on the other base."""
        name = self.setting.spec.foreign or ""
        if name not in self._foreign:
            self._foreign[name] = Setting(self.setting.spec, load(name))
        return self._foreign[name]


def shard_folder(folders: Folders, run_id: str, unit: str) -> Path:
    """Where a unit's shard lies once it is whole."""
    return folders.shards_folder(run_id) / unit.replace("/", "-")

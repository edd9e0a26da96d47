"""One thing that is wrong with a playbook."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """`path`: where in the playbook, as ("steps", 1, "percent"), counted from 0."""

    playbook: str
    path: tuple[str | int, ...]
    reason: str

    @property
    def key(self) -> str:
        """The path as people write it, beneath the playbook's name."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)

"""How much disk a stage's working folder takes. Standard library only."""

from __future__ import annotations

import os

# A file without content still takes an entry of the disk, of which there are only so many.
BYTES_AN_ENTRY = 1024


def folder_bytes(folder: str) -> int | None:
    """Disk space below a folder in bytes; None when it can't be told, as for paths made too long on purpose."""
    total, left, seen = 0, [folder], set()
    while left:
        try:
            entries = os.scandir(left.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted meanwhile
        except OSError:
            return None
        with entries:
            for entry in entries:
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:
                    return None
                if facts.st_ino not in seen:
                    seen.add(facts.st_ino)
                    total += facts.st_blocks * 512 + BYTES_AN_ENTRY
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
    return total

"""Local copies of releases: fetched by URI, kept by content, the last few at hand when the storage is down.

Add here what happens between a release's URI and a loaded Model. Keep out which release should serve
(`follower`). Folders are named by the hash of their manifest, names from outside never become paths;
`pointer.json` says which one this variant served last, and is replaced by rename, so that a restart needs
neither database nor storage.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.functions import ProductFunctions
from inference.model import Model
from inference.release import MANIFEST, ReleaseError, manifest_digest, read_manifest
from inference.roles import Label, Role

POINTER = "pointer.json"

log = logging.getLogger(__name__)


class Kept(BaseModel):
    """One local copy: the role's release number and URI, and the SHA-256 of its manifest."""

    model_config = ConfigDict(frozen=True)

    version: int
    uri: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class Pointer(BaseModel):
    """What `pointer.json` holds: the copies, newest use first, and whether and as what the first one serves."""

    model_config = ConfigDict(frozen=True)

    product: str
    serving: bool = False
    label: Label = "production"
    kept: tuple[Kept, ...] = ()


class ModelStore:
    """The copies in one folder, which is this process's alone and is made at the first write."""

    def __init__(self, folder: Path, product: str, functions: ProductFunctions, *, keep: int = 3) -> None:
        self._folder = folder
        self._releases = folder / "releases"
        self._product = product
        self._functions = functions
        self._keep = keep
        self._digests: dict[tuple[int, str], str] = {}

    def open(self, role: Role) -> Model:
        """The model of a role, from its local copy or fetched. Raises ReleaseError or StorageError.

        A copy that no longer proves itself is thrown away and fetched again.
        """
        if not role.uri:
            raise ReleaseError(f"release {role.version} has no files: its uri is null")
        kept = self._find(role)
        if kept is not None:
            try:
                return self._load(kept)
            except ReleaseError as error:
                log.warning("release %d: its local copy is damaged, fetching again: %s", role.version, error)
                shutil.rmtree(self._releases / kept.digest, ignore_errors=True)
        return self._fetch(role)

    def remember(self, role: Role | None) -> None:
        """Record the role in service (None: nothing serves), and drop all but the newest copies."""
        pointer = self._pointer()
        if role is None:
            self._write(pointer.model_copy(update={"serving": False}))
            return
        digest = self._digests.get((role.version, role.uri))
        if digest is None:
            raise ReleaseError(f"release {role.version}: it was not opened from this store")
        first = Kept(version=role.version, uri=role.uri, digest=digest)
        rest = tuple(k for k in pointer.kept if k.digest != digest)
        kept = (first, *rest)[: self._keep]
        self._write(Pointer(product=self._product, serving=True, label=role.label, kept=kept))
        self._prune()

    def reopen(self) -> tuple[Role, Model] | None:
        """The role and model that served last, from the local copy alone; None if nothing did."""
        pointer = self._pointer()
        if not (pointer.serving and pointer.kept):
            return None
        kept, label = pointer.kept[0], pointer.label
        production = kept.version if label == "production" else None
        candidate = kept.version if label == "candidate" else None
        return Role(kept.version, kept.uri, production, candidate), self._load(kept)

    def _find(self, role: Role) -> Kept | None:
        for kept in self._pointer().kept:
            if (kept.version, kept.uri) == (role.version, role.uri):
                return kept if (self._releases / kept.digest).is_dir() else None
        return None

    def _load(self, kept: Kept) -> Model:
        folder = self._releases / kept.digest
        if manifest_digest(folder) != kept.digest:
            raise ReleaseError(f"{folder / MANIFEST}: it was changed after it was fetched")
        model = Model.load(folder, self._functions)
        self._digests[kept.version, kept.uri] = kept.digest
        return model

    def _fetch(self, role: Role) -> Model:
        from mlops_assets.storage.files import Storage
        from mlops_assets.storage.folders import fetch_folder

        incoming = self._folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        self._releases.mkdir(parents=True, exist_ok=True)
        incoming.mkdir()
        fresh = incoming / "release"
        try:
            fetch_folder(Storage(role.uri), fresh, manifest=MANIFEST)
            manifest = read_manifest(fresh)
            if (manifest.product, manifest.version) != (self._product, role.version):
                raise ReleaseError(
                    f"{role.uri}: it holds release {manifest.version} of {manifest.product}, "
                    f"the ledger says release {role.version} of {self._product}"
                )
            model = Model.load(fresh, self._functions)
            digest = manifest_digest(fresh)
            final = self._releases / digest
            shutil.rmtree(final, ignore_errors=True)
            os.rename(fresh, final)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        self._digests[role.version, role.uri] = digest
        return model

    def _pointer(self) -> Pointer:
        path = self._folder / POINTER
        try:
            pointer = Pointer.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Pointer(product=self._product)
        except (OSError, ValidationError) as error:
            log.warning("%s can't be read and is ignored: %s", path, error)
            return Pointer(product=self._product)
        return pointer if pointer.product == self._product else Pointer(product=self._product)

    def _write(self, pointer: Pointer) -> None:
        from mlops_assets.storage.files import atomic_file

        with atomic_file(self._folder / POINTER) as file:
            file.write(pointer.model_dump_json(indent=1).encode())

    def _prune(self) -> None:
        wanted = {kept.digest for kept in self._pointer().kept}
        for folder in self._releases.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

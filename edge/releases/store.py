"""The edge's releases on disk. Whatever is killed at whatever moment, a start finds a release that was confirmed.

    state.json       `edge.releases.state.ReleaseState`; written by the holder of `lock` alone
    request.json     what somebody wants of the agent; its name is free while nothing is asked
    lock             held by the agent while it runs, and by a command that works in its place
    staging.lock     held by whoever copies a release in and asks for it
    KEY/             a release, whole: copied under another name, verified, made durable, renamed
    KEY.backend.json what `edge.backends.choice` remembers of it
    updates/         what `edge.releases.updates` knows and downloads

`trainable.safetensors` is not copied: an edge does not train. Of the releases that nobody needs the oldest go, so that
`keep` are left.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from pydantic import Field

from edge.errors import InstallBusyError, InstallError
from edge.releases.state import Action, ReleaseState, Request, why_older
from reid.errors import ConfigError, ReleaseError
from reid.files import sha256_of, sync_folder, write_folder_atomic, write_json_atomic
from reid.release import FILES, MANIFEST_FILE, OPTIONAL_FILES, TRAINABLE_FILE, Release, load_release
from reid.settings import Settings, SettingsT, parse_settings

logger = structlog.get_logger(__name__)

_STATE_FILE = "state.json"
_REQUEST_FILE = "request.json"
_LOCK_FILE = "lock"
_STAGING_LOCK_FILE = "staging.lock"
_KEY_SPACE_LETTERS = 64
_KEY_HASH_LETTERS = 8
_LOCK_POLL_S = 0.05
_STAGING_WAIT_S = 5.0
"""The agent holds that lock while it tidies up; so does another command, for longer."""


class ReleaseSettings(Settings):
    """Releases that are installed while the agent runs."""

    folder: Path | None = None
    """Where they are kept; by default a folder beside the spool, named after it. Each agent needs its own."""
    keep: int = Field(default=3, ge=2)
    """Releases that stay on the disk: the one that runs, the one before it for a roll-back, and older ones."""
    probation_batches: int = Field(default=50, ge=1)
    """A new release is confirmed after so many batches without an error …"""
    probation_s: float = Field(default=60.0, gt=0)
    """… or after this time without one, where nobody passes by; seconds."""

    def folder_beside(self, spool: Path) -> Path:
        """The folder of an agent whose spool this is."""
        return self.folder or spool.with_name(f"{spool.name}.releases")


class ReleaseStore:
    """One folder of releases. Nothing is written before somebody uses it.

    Args:
        folder: See the top of the file.
        keep: Releases that stay.
    """

    def __init__(self, folder: Path, *, keep: int = ReleaseSettings().keep) -> None:
        self._folder = folder
        self._keep = keep

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @contextmanager
    def held(self, *, wait_s: float = 0.0) -> Iterator[bool]:
        """Try to be its only user within the block; yields whether that worked. Ends with the process at the latest.

        Args:
            wait_s: For a command that looks whether an agent runs, and holds it for a moment.

        Raises:
            InstallError: The folder cannot be made or written.
        """
        with self._locked(_LOCK_FILE, wait_s) as is_held:
            yield is_held

    def read_state(self) -> ReleaseState:
        """The state as it is on the disk.

        Raises:
            InstallError: The file is damaged, or of a newer version of this software.
        """
        return self._read(_STATE_FILE, ReleaseState) or ReleaseState()

    def write_state(self, state: ReleaseState) -> ReleaseState:
        """Replace the state; returns it. To be called by the holder only.

        Raises:
            OSError: The disk is full or broken; the old state stays.
        """
        write_json_atomic(self._folder / _STATE_FILE, state.model_dump(mode="json"))
        return state

    def recover(self) -> ReleaseState:
        """Tidy up after whatever ended the last holder; to be called by the holder, at its start.

        A state that cannot be read is put aside: nothing is known to be confirmed then, so the configured release runs.
        """
        self._remove_leftovers()
        try:
            before = self.read_state()
        except InstallError as error:
            path = self._folder / _STATE_FILE
            path.replace(path.with_name(f"{path.name}.damaged"))
            logger.error("state of the releases lost", reason=str(error))
            before = ReleaseState()
        after = before.recover()
        if after is not before:
            interrupted = after.outcomes[-1]
            logger.error("install was interrupted", release=interrupted.key, reason=interrupted.reason)
            self.write_state(after)
        return after

    def read_request(self) -> Request | None:
        """What is asked for, if anything; what cannot be read was never asked, and is removed."""
        try:
            return self._read(_REQUEST_FILE, Request)
        except InstallError as error:
            logger.error("request for a release is unreadable", reason=str(error))
            self.clear_request()
            return None

    def clear_request(self) -> None:
        """The request is dealt with."""
        (self._folder / _REQUEST_FILE).unlink(missing_ok=True)
        sync_folder(self._folder)

    def ask_to_install(
        self, source: Path, *, may_be_older: bool = False, request_id: str = ""
    ) -> tuple[Request, Release]:
        """Copy a release in and ask for it; whoever holds the store carries it out.

        Args:
            source: A release folder, which is left as it is.
            may_be_older: Than what runs.
            request_id: For who wants to find it again; a new one by default.

        Returns:
            The request; the release in the store.

        Raises:
            InstallBusyError: Another request is under way.
            InstallError: It is older than what runs, or the disk cannot take it.
            ReleaseError: The folder is no release, altered, or damaged.
        """
        with self._staging():
            if not may_be_older:
                self._check_newer(source)
            release = self.stage(source)
            request = self._ask("install", release.folder.name, may_be_older=may_be_older, request_id=request_id)
            return request, release

    def ask_to_roll_back(self, *, request_id: str = "") -> Request:
        """Ask for the release before the one that runs, or, during an install, for its end.

        Args:
            request_id: For who wants to find it again; a new one by default.

        Raises:
            InstallBusyError: Another request waits.
            InstallError: There is none.
        """
        with self._staging(may_interrupt=True):
            state = self.read_state()
            target = state.confirmed if state.install else self._previous(state)
            assert target is not None  # an install begins with what is confirmed
            return self._ask("rollback", target, request_id=request_id)

    def stage(self, source: Path) -> Release:
        """Copy a release in, verified and durable; nothing is copied if it is there already.

        Raises:
            ReleaseError: The folder is no release, altered, or damaged.
            InstallError: The disk is full or broken.
        """
        release = load_release(source)
        target = self._folder / _key(release)
        try:
            return load_release(target)
        except ReleaseError:  # not there yet, or damaged since
            pass
        try:
            with write_folder_atomic(target, replace=True) as folder:
                _copy(release, folder)
                _log_step("copied", target.name)
                load_release(folder)
        except OSError as error:
            raise InstallError(f"cannot copy {source} to {target}: {error.strerror}; make room on its disk") from None
        _log_step("staged", target.name)
        return load_release(target)

    def load(self, key: str) -> Release:
        """A release of the store, verified.

        Raises:
            ReleaseError: It is not there, or damaged.
        """
        return load_release(self._folder / key)

    def list_keys(self) -> list[str]:
        """Releases that are there, those staged last at the end."""
        found = []
        for path in self._folder.glob(f"*/{MANIFEST_FILE}"):
            with suppress(FileNotFoundError):  # deleted meanwhile
                found.append((path.parent.stat().st_mtime_ns, path.parent.name))
        return [name for _, name in sorted(found) if not name.startswith(".")]

    def prune(self, state: ReleaseState) -> None:
        """Delete what failed, then the oldest of what nobody needs, until `keep` are left; by the holder only."""
        with self._locked(_STAGING_LOCK_FILE) as is_free:
            if not is_free:
                return  # a release is being copied in; the next install tidies up
            waiting = self.read_request()
            needed = state.needed | ({waiting.key} if waiting else set())
            spare = [key for key in self.list_keys() if key not in needed and key not in state.failed]
            kept = needed.union(spare[max(0, len(spare) - max(0, self._keep - len(needed))) :])
            for key in self.list_keys():
                if key not in kept:
                    self._delete(key)

    def roll_back_now(self) -> str:
        """Go back to the release before, while no agent runs; by the holder only. Returns what starts next.

        An install that waits for the agent is called off instead.

        Raises:
            InstallError: There is none.
            ReleaseError: It is damaged.
        """
        state = self.read_state()
        if self.read_request() is not None:
            self.clear_request()
            return state.confirmed or "the configured release"
        key = self._previous(state)
        self.load(key)
        request = Request(request_id=uuid.uuid4().hex, action="rollback", key=key)
        self.prune(self.write_state(state.begin(request).confirm()))
        return request.key

    def _check_newer(self, source: Path) -> None:
        release, state = load_release(source), self.read_state()
        reason = state.refusal(Request(request_id="", action="install", key=_key(release)))
        if not reason and state.confirmed is not None:
            reason = why_older(release.manifest, self.load(state.confirmed).manifest)
        if reason:
            raise InstallError(f"{source}: {reason}")

    def _previous(self, state: ReleaseState) -> str:
        """What a roll-back goes to."""
        key = state.previous
        if key is None:
            raise InstallError(f"{self._folder}: there is no release before the one that was confirmed last")
        if not (self._folder / key).is_dir():
            raise InstallError(
                f"{key}, which ran before, is not kept any more: 'osprey-edge release install DIR --older'"
            )
        return key

    def _ask(self, action: Action, key: str, *, may_be_older: bool = False, request_id: str = "") -> Request:
        request_id = request_id or uuid.uuid4().hex
        request = Request(request_id=request_id, action=action, key=key, may_be_older=may_be_older)
        write_json_atomic(self._folder / _REQUEST_FILE, request.model_dump(mode="json"))
        _log_step("asked", key)
        return request

    @contextmanager
    def _staging(self, *, may_interrupt: bool = False) -> Iterator[None]:
        with self._locked(_STAGING_LOCK_FILE, _STAGING_WAIT_S) as is_free:
            waiting, install = self.read_request(), self.read_state().install
            busy = waiting or (install.request if install and not may_interrupt else None)
            if not is_free or busy:
                what = f"{busy.action} of {busy.key}" if busy else "another command"
                raise InstallBusyError(f"busy: {what} is under way; 'osprey-edge release list' shows how it goes")
            yield

    @contextmanager
    def _locked(self, name: str, wait_s: float = 0.0) -> Iterator[bool]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InstallError(
                f"cannot use folder {self._folder} for releases: {error.strerror}; give another as releases.folder"
            ) from None
        try:
            yield _lock(descriptor, wait_s)
        finally:
            os.close(descriptor)

    def _delete(self, key: str) -> None:
        """Delete a release at once for whoever looks: nobody sees half of one, even if this process is killed."""
        leftover = self._folder / f".{key}.deleted"
        shutil.rmtree(leftover, ignore_errors=True)
        with suppress(OSError):  # like a file that cannot be deleted: it is tried again
            (self._folder / key).replace(leftover)
        shutil.rmtree(leftover, ignore_errors=True)
        (self._folder / f"{key}.backend.json").unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete what a killed copy or deletion left behind, unless somebody is copying right now."""
        with self._locked(_STAGING_LOCK_FILE) as is_free:
            for path in self._folder.glob(".*") if is_free else ():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _read(self, name: str, kind: type[SettingsT]) -> SettingsT | None:
        path = self._folder / name
        try:
            return parse_settings(kind, json.loads(path.read_text(encoding="utf-8")), source=str(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, ConfigError) as error:
            raise InstallError(f"{path} cannot be read: {error}") from None


def _key(release: Release) -> str:
    """The name of its folder: readable, and different whenever the manifest is."""
    space = re.sub(r"[^A-Za-z0-9_.-]", "-", release.manifest.space).lstrip("-.")[:_KEY_SPACE_LETTERS] or "release"
    return f"{space}-{sha256_of(release.folder / MANIFEST_FILE)[:_KEY_HASH_LETTERS]}"


def _copy(release: Release, folder: Path) -> None:
    optional = [name for name in OPTIONAL_FILES if name != TRAINABLE_FILE and (release.folder / name).is_file()]
    for name in (*FILES, *optional, MANIFEST_FILE):
        shutil.copyfile(release.folder / name, folder / name)
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())


def _lock(descriptor: int, wait_s: float) -> bool:
    until_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
            time.sleep(_LOCK_POLL_S)


def _log_step(step: str, key: str) -> None:
    logger.info("release", step=step, key=key)

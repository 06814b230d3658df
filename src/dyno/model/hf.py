"""Models as people name them: a local folder, or an id on the Hugging Face hub."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dyno.errors import InputError, NoDiskSpace, shown
from dyno.home import free_disk_bytes
from dyno.model.config import read_config
from dyno.model.safetensors import check_against, indexed_files, read_stored, stored_on_hub
from dyno.model.spec import ModelSpec
from dyno.units import format_bytes

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WEIGHTS = ("*.safetensors", "*.bin")
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py")
_NOT_FOR_VLLM = ["original/*", "onnx/*", "training_args.bin", "optimizer.bin"]
_SPARE_BYTES = 2**30  # left free on the disk of the cache


def resolve_model(
    source: str,
    offline: bool | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    download: bool = True,
) -> ModelSpec:
    """The model that a folder holds or an id names.

    An id is taken from the hub's cache if that holds it whole, else downloaded (what an earlier try left is used)
    unless `offline` or HF_HUB_OFFLINE=1. With `download` False its config alone is fetched and `path` stays None.
    InputError for what cannot be found or read; NoDiskSpace, before the download, if it would not fit.
    """
    if folder := _folder(source):
        return read_folder(folder, source)
    if not _ID.fullmatch(source):
        raise InputError(f"{source}: no such model folder, and not a Hugging Face id (owner/name); check the path")
    if cached := _cached(source):
        return read_folder(cached, source)
    files = None if offline else _files_on_hub(source)
    if files is None:
        raise InputError(f"{source}: no such folder, the hub's cache does not hold the whole model, and the hub is not "
                         "reached or not allowed (HF_HUB_OFFLINE); download it, or name a local folder")  # fmt: skip
    spec = _spec_on_hub(source, files)  # read before gigabytes are fetched for nothing
    return read_folder(_download(source, files, progress), source) if download else spec


def _folder(source: str) -> Path | None:
    """The folder of that name. InputError for what cannot be a name."""
    try:
        folder = Path(source).expanduser()
        return folder.absolute() if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{shown(source)}: cannot be a folder or model ({error}); check the path") from error


def read_folder(folder: Path, source: str) -> ModelSpec:
    """The model in a local folder. InputError for one without a readable config.json or with weights missing."""
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(f"{folder}: has no config.json; name the folder that holds the model's config.json")
    if missing := _missing_shards(folder):
        raise InputError(f"{folder}: lacks {', '.join(missing)}, which its index names; fetch the model again")
    return read_config(config, source, path=folder, has_weights=_has_weights(folder))


def describe_model(source: str) -> ModelSpec:
    """The model with what its safetensors headers say, nothing of it downloaded. InputError as in resolve_model."""
    spec = resolve_model(source, download=False)
    stored = read_stored(Path(spec.path)) if spec.path else stored_on_hub(source) if spec.has_weights else ()
    spec = replace(spec, stored=stored)
    check_against(spec)
    return spec


def model_size_bytes(model_id: str) -> int | None:
    """What the whole download of an id takes, None when the hub is not reached. InputError as in resolve_model."""
    files = _files_on_hub(model_id)
    return None if files is None else _size(files)


def weights_bytes(folder: Path) -> int | None:
    """What the safetensors files that a folder's index names hold, or its only one; None where there are none."""
    files = [folder / name for name in indexed_files(folder) or ("model.safetensors",)]
    return sum(file.stat().st_size for file in files) if all(file.is_file() for file in files) else None


def _has_weights(folder: Path) -> bool:
    return any(file.is_file() for pattern in _WEIGHTS for file in folder.glob(pattern))


def _missing_shards(folder: Path) -> list[str]:
    return [name for name in indexed_files(folder) if not (folder / name).is_file()]


def _cached(model_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model_id, allow_patterns=["*.safetensors", *_TEXTS],
                                        ignore_patterns=_NOT_FOR_VLLM, local_files_only=True))  # fmt: skip
    except LocalEntryNotFoundError:
        return None
    whole = (folder / "config.json").is_file() and _has_weights(folder) and not _missing_shards(folder)
    return folder if whole else None


def _files_on_hub(model_id: str) -> "list[DryRunFileInfo] | None":
    """What vLLM needs of an id, safetensors rather than older formats. None when the hub is not reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError, RepositoryNotFoundError

    try:
        files = snapshot_download(model_id, allow_patterns=[*_WEIGHTS, *_TEXTS], ignore_patterns=_NOT_FOR_VLLM,
                                  dry_run=True)  # fmt: skip
    except RepositoryNotFoundError as error:
        raise _refused(model_id, error) from error
    except DryRunError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            raise _refused(model_id, error.__cause__) from error
        return None
    safetensors = any(file.filename.endswith(".safetensors") for file in files)
    return [file for file in files if not (safetensors and file.filename.endswith(".bin"))]


def _spec_on_hub(model_id: str, files: "list[DryRunFileInfo]") -> ModelSpec:
    names = [file.filename for file in files]
    if "config.json" not in names:
        raise InputError(f"{model_id}: has no config.json on the hub, so vLLM cannot serve it; name another model")
    has_weights = any(Path(name).match(pattern) for name in names for pattern in _WEIGHTS)
    return read_config(_fetch(model_id, ["config.json"]) / "config.json", model_id, path=None, has_weights=has_weights)


def _download(model_id: str, files: "list[DryRunFileInfo]", progress: Callable[[str], None] | None) -> Path:
    missing = [file for file in files if file.will_download]
    _check_disk(model_id, _size(missing))
    if progress:
        progress(f"{model_id}: {format_bytes(_size(files))}, {format_bytes(_size(missing))} of it to download")
    return _fetch(model_id, [file.filename for file in files])


def _fetch(model_id: str, names: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    # OSError, and the base of whichever HTTP library this release of the hub uses.
    broken_transfer = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    try:
        return Path(snapshot_download(model_id, allow_patterns=names))
    except RepositoryNotFoundError as error:
        raise _refused(model_id, error) from error
    except broken_transfer as error:
        raise InputError(f"{model_id}: the download broke off ({error}); run it again, what came is kept") from error


def _refused(model_id: str, error: Exception) -> InputError:
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return InputError(f"{model_id}: is gated; accept its licence on its page on the hub, then set HF_TOKEN")
    return InputError(f"{model_id}: no such folder here, and no such model on the hub or a private one; "
                      "check the spelling, or set HF_TOKEN")  # fmt: skip


def _size(files: "list[DryRunFileInfo]") -> int:
    return sum(file.file_size or 0 for file in files)


def _check_disk(model_id: str, needed_bytes: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    free = free_disk_bytes(cache)
    if needed_bytes + _SPARE_BYTES > free:
        raise NoDiskSpace(f"{model_id}: {format_bytes(needed_bytes)} to download, {format_bytes(free)} free in "
                          f"{cache}; free some, or point HF_HOME at a larger disk")  # fmt: skip

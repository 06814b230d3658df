"""A study from spec to outcome: made or resumed, locked, run, judged."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dyno.engine.environment import Environment, current_environment, load_environment
from dyno.engine.lock import hold
from dyno.hardware.probe import gpu_bandwidth
from dyno.hardware.spec import Hardware
from dyno.home import locks_folder
from dyno.model.hf import resolve_model, weights_bytes
from dyno.model.spec import ModelSpec
from dyno.study.boots import keep_starts
from dyno.study.bounds import decode_bounds
from dyno.study.journal import read_journal
from dyno.study.launch import Session
from dyno.study.prepare import Prepared, card_for, model_path
from dyno.study.progress import Progress, Watch
from dyno.study.runner import run_study
from dyno.study.spec import StudySpec
from dyno.study.store import check_resumable, create_study, enter_block, free_folder, make_folder, spec_of


@dataclass(frozen=True, slots=True)
class Host:
    """What a study needs to know of the machine it runs on."""

    hardware: Hardware
    visible_devices: str | None  # CUDA_VISIBLE_DEVICES of the user's shell


def tune(prepared: Prepared, folder: Path | None, host: Host, watch: Watch) -> Path:
    """Run a new study to its end and return its folder. InputError when the folder is not new or empty."""
    folder = folder or free_folder(Path(prepared.spec.model).name)
    with hold_card(prepared.device_uuid):
        make_folder(folder)
        with hold(_study_lock(folder), f"the study {folder}"):
            create_study(folder, prepared, host.hardware)
            _run(folder, (prepared.environment, *prepared.others), prepared.device_uuid, host, watch)
    return folder


def resume(folder: Path, asked: dict[str, Any], host: Host, watch: Watch) -> Path:
    """Go on with a study where it stopped. InputError when this machine or what is asked now makes it another one."""
    journal = read_journal(folder)
    spec = spec_of(journal, asked)
    environment = current_environment(spec.engine)
    others = tuple(load_environment(other.name) for other in journal.study.engines)
    check_resumable(journal, asked, environment, host.hardware, others)
    device = card_for(environment, host.hardware, spec.device, host.visible_devices)
    with hold_card(device), hold(_study_lock(folder), f"the study {folder}"):
        _run(folder, (environment, *others), device, host, watch)
    return folder


def hold_card(device_uuid: str | None) -> AbstractContextManager[None]:
    """The lock that one running Dyno holds on a card, or on the processor for the CPU engine."""
    name = device_uuid or "cpu"
    return hold(locks_folder() / f"{name}.lock", f"the card {name}" if device_uuid else "this machine's processor")


def _study_lock(folder: Path) -> Path:
    return folder / ".lock"


def _run(folder: Path, engines: tuple[Environment, ...], device: str | None, host: Host, watch: Watch) -> None:
    environment, *others = engines
    block = enter_block(folder, host.hardware)
    journal = read_journal(folder)
    model, spec = journal.study.model, spec_of(journal)
    place = _model_folder(model, spec, watch)
    bounds = partial(decode_bounds, model, weights_bytes(place), gpu_bandwidth(device) if device else None)
    session = Session(folder, spec, environment, model.vocab_size, block, device, tuple(others), bounds,
                      model_path(spec))  # fmt: skip
    keep_starts(run_study(session, watch), place)


def _model_folder(model: ModelSpec, spec: StudySpec, watch: Watch) -> Path:
    """Where the model is on this machine, which need not be that of the study's beginning. InputError: nowhere."""
    here = Path(model_path(spec))
    if here.is_absolute():
        return here
    if model.path and Path(model.path).is_dir():
        return Path(model.path)
    found = resolve_model(spec.model, progress=lambda text: watch(Progress("note", "", 0, 0, "", text, 0.0, None)))
    return Path(found.path or "")

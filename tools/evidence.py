"""Makes a folder of evidence from packed studies: tables, data set and one page, by one command.

    python tools/evidence.py docs/evidence/h200 [PACKED.tar.gz ...]

Packed studies that are named are taken into FOLDER/records first, with the raw records that are shown alone. Then
everything is made again from the records, the oldest study first: `points.csv`, `starts.csv`, `audit.csv`, the page of
the oldest study, and the tables of README.md between its marks; what is claimed of these figures stands in claims.toml.
The prose around the marks is written by hand. The same records make the same bytes.
"""

import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from dyno.bench.reconcile import agrees
from dyno.report import dossier
from dyno.report.claims import claims_table, read_claims
from dyno.report.dataset import POINTS, STARTS, columns_table, write_dataset
from dyno.report.dossier import throughput_ratio
from dyno.report.folder import page_of
from dyno.report.matrix import compared
from dyno.study.journal import JOURNAL, read_journal
from dyno.study.outcome import Outcome
from dyno.study.pack import SUFFIX, pack, unpack
from dyno.study.portable import portable
from dyno.study.store import load_outcome

MOST_RAW_BYTES = 2 << 20
AUDIT = {
    **{name: STARTS[name] for name in ("study", "block", "launch", "phase", "config")},
    "scenario": POINTS["scenario"],
    "state": "complete, void or interrupted",
    "agrees": "whether the client's means and vLLM's own are within the rule; empty: there was nothing to compare",
    "void": POINTS["void"],
    "throughput_ratio": "output tokens over the time requests were under way: the client's over vLLM's",
    **{f"reconcile.{latency}_mean_{name}": f"{what}: {how}"
       for latency, what in {"ttft": "mean time to the first token", "itl": "mean gap between tokens",
                             "e2el": "mean time of a whole answer", "http": "the same by its web layer"}.items()
       for name, how in {"ratio": "the client's over vLLM's", "excess_ms": "the client's less vLLM's, ms"}.items()},
    "reconcile.head_mean_ms": "mean time until the head of an answer, by the client",
}  # fmt: skip
MARK = "<!-- {} -->"


def main() -> None:
    folder, packed = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as scratch:
        take_in(packed, folder / "records", Path(scratch) / "in")
        make(folder, Path(scratch) / "studies")


def take_in(packed: Collection[Path], records: Path, scratch: Path) -> None:
    """Packed studies among the records, with what is shown of their raw records."""
    records.mkdir(parents=True, exist_ok=True)
    for file in packed:
        if file.resolve() != (records / file.name).resolve():
            shutil.copyfile(file, records / file.name)
    taken = {file.name for file in packed}
    for place, study in enumerate(opened(records, scratch)):
        if (record := records / f"{study.name}{SUFFIX}").name in taken:
            left_out = pack(study, record, MOST_RAW_BYTES, set(_shown(load_outcome(study), paged=place == 0)))
            print(f"{record}: {record.stat().st_size:,} bytes, {len(left_out)} raw files left out")


def opened(records: Path, scratch: Path) -> list[Path]:
    """The folders of all studies, the oldest first."""
    scratch.mkdir()
    studies = []
    for record in sorted(records.glob(f"*{SUFFIX}")):
        studies.append(unpack(Path(shutil.copyfile(record, scratch / record.name))))
    return sorted(studies, key=lambda study: read_journal(study).study.created_at)


def _shown(outcome: Outcome, paged: bool) -> Iterator[str]:
    """What of the raw records is shown: every search for a capacity, what was sampled during a long load, and on a
    page the loads of the compared sides.
    """
    for step in outcome.steps:
        if step.raw and step.scenario == "concurrency":
            yield f"{Path(step.raw[0]).parent.name}/concurrency.json"
        if step.raw and step.scenario == "sustained":
            yield from (f"{Path(step.raw[0]).parent.name}/sustained{end}"
                        for end in (".json", ".samples.npz", "-series.json"))  # fmt: skip
        if step.raw and paged and step.scenario == "throughput" and step.candidate in compared(outcome):
            yield Path(step.raw[0]).parent.name


def make(folder: Path, scratch: Path) -> None:
    """Everything that follows from the records."""
    studies = opened(folder / "records", scratch)
    for study in studies:  # one that another Dyno packed may name paths
        (study / JOURNAL).write_bytes(portable(study).text(JOURNAL, (study / JOURNAL).read_bytes()))
    outcomes = [load_outcome(study) for study in studies]
    write_dataset(studies, folder)
    (folder / "audit.csv").write_text(audit_csv(outcomes))
    if studies:
        (folder / f"{outcomes[0].study}.html").write_text(page_of(studies[0], outcomes[0]))
    readme = folder / "README.md"
    text = readme.read_text() if readme.is_file() else ""
    claims = claims_table(read_claims(folder / "claims.toml"), outcomes)
    tables = blocks(outcomes) | {"claims": claims}
    if stale := set(re.findall(r"<!-- (?!/)(.+?) -->", text)) - set(tables):
        raise SystemExit(f"{readme}: no record makes {', '.join(sorted(stale))} any more; take the marks out")
    for name, made in tables.items():
        text = with_block(text, name, made)
    readme.write_text(text)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB")


def blocks(outcomes: list[Outcome]) -> dict[str, str]:
    """What stands between the README's marks."""
    made = {"setting": dossier.setting_table(outcomes)}
    for outcome in outcomes:
        made[f"matrix {outcome.study}"] = dossier.seed_matrix(outcome)
        made[f"worth {outcome.study}"] = dossier.worth_table(outcome, outcomes)
        made[f"confirmed {outcome.study}"] = dossier.rounds_table(outcome)
        for name, test in (("capacity", "concurrency"), ("sustained", "sustained"), ("soak", "soak")):
            made[f"{name} {outcome.study}"] = dossier.long_table(outcome, test)
    made["audit"] = dossier.audit_table(outcomes)
    made |= {"points": columns_table(POINTS), "starts": columns_table(STARTS), "runs": columns_table(AUDIT)}
    return {name: text for name, text in made.items() if text}


def with_block(text: str, name: str, made: str) -> str:
    """The text with a block replaced; one whose marks are missing is put at the end."""
    begin, end = MARK.format(name), MARK.format(f"/{name}")
    if begin not in text:
        return f"{text.rstrip()}\n\n{begin}\n{made}\n{end}\n".lstrip()
    before, after = text.index(begin) + len(begin), text.index(end)
    return f"{text[:before]}\n{made}\n{text[after:]}"


def audit_csv(outcomes: list[Outcome]) -> str:
    """One line a run: its state, the audit's reasons, and the client against vLLM's own metrics."""
    figures = [name for name in AUDIT if name.startswith("reconcile.")]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(AUDIT)
    for outcome in outcomes:
        for step in outcome.steps:
            if step.figures and step.scenario not in ("startup", "memory"):
                told = agrees(step.figures)
                known = [throughput_ratio(step.figures), *(step.figures.get(name) for name in figures)]
                table.writerow([outcome.study, step.block, step.launch, step.phase, step.candidate, step.scenario,
                                step.state, "" if told is None else told, "; ".join(step.void),
                                *("" if value is None else f"{value:.6g}" for value in known)])  # fmt: skip
    return text.getvalue()


if __name__ == "__main__":
    main()

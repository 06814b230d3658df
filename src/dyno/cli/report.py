"""`dyno report`: show a study."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dyno.errors import InputError

Format = Literal["terminal", "markdown", "html", "json"]


def report(
    study: Annotated[Path | None, typer.Option(help="Folder of the study; the newest in ./studies by default.")] = None,
    format: Annotated[Format, typer.Option(help="How to show it.")] = "terminal",
    output: Annotated[
        Path | None, typer.Option(help="File to write; html goes to STUDY/report.html by default.")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Statistics again, from a raw file or a folder of them, instead of a study.")
    ] = None,
    pack: Annotated[
        Path | None, typer.Option(help="File (NAME.tar.gz) to pack the study into, to go on with it elsewhere.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="Folder for points.csv and starts.csv: all that was measured, as tables.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show a study: matrix, verdict, recommended command, evidence. Or what raw records say (--raw)."""
    if raw is not None:
        from dyno.cli.figures import raw_text

        if study or output or pack or points or format in ("markdown", "html"):
            raise InputError("--raw: goes without --study, --output, --pack, --points and other formats than json; "
                             "the result is on stdout")  # fmt: skip
        print(raw_text(raw, as_json or format == "json"))
        return
    from dyno.cli.told import told
    from dyno.study.store import load_outcome, newest_study

    folder = study or newest_study()
    if points is not None:
        from dyno.report.dataset import write_dataset

        print(*write_dataset([folder], points), sep="\n")
        return
    if pack is not None:
        from dyno.study.pack import pack as pack_study

        left_out = pack_study(folder, pack)
        print(f"{pack}: {pack.stat().st_size:,} bytes; {len(left_out)} raw files left out")
        return
    outcome = load_outcome(folder)
    if output is not None:
        try:
            output.write_text(told(outcome, folder, "json" if as_json else format, width=140), encoding="utf-8")
        except OSError as error:
            raise InputError(f"--output {output}: cannot be written ({error.strerror}); name another file") from error
        print(output)
    elif format == "html" and not as_json:
        from dyno.report.folder import write_report

        print(write_report(folder, outcome))
    else:
        print(told(outcome, folder, "json" if as_json else format), end="")

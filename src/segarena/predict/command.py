"""The commands `segarena store` and `segarena forget`: what is kept, and asking again."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from segarena.errors import ConfigError, EngineError
from segarena.files import read_json
from segarena.predict.runners.watch import readable
from segarena.predict.store import Store

GIVEN = "the folder of answers, as the key `store` of the config names it (FOLDER/store)"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both commands to a command line; the parsed arguments carry the function to run."""
    store = subparsers.add_parser(
        "store", description="Say how large a store of answers is and which runs use it."
    )
    store.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="the run's folder (here)"
    )
    store.add_argument("--store", type=Path, help=GIVEN)
    store.add_argument(
        "--drop", action="store_true", help="remove the answers that no run's results name"
    )
    store.add_argument("--json", action="store_true", help="print size and runs as JSON")
    store.set_defaults(run=show)
    forget = subparsers.add_parser(
        "forget", description="Forget what a submission answered, so that the next run asks again."
    )
    forget.add_argument("submission")
    forget.add_argument("case", nargs="?", help="one case (all of them)")
    forget.add_argument("--folder", type=Path, default=Path(), help="the run's folder (here)")
    forget.add_argument("--store", type=Path, help=GIVEN)
    forget.set_defaults(run=forget_answers)


def show(arguments: argparse.Namespace) -> int:
    """Print the size of a store and its runs; with --drop remove what none of them names."""
    store = _store(arguments)
    keys = list(store.keys())
    size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    runs = {str(run): run.is_dir() for run in store.runs()}
    if arguments.json:
        found = {"folder": str(store.folder), "answers": len(keys), "bytes": size, "runs": runs}
        print(json.dumps(found, indent=1))
    else:
        print(f"{store.folder}: {len(keys)} answers, {readable(size)}")
        for run, is_there in runs.items():
            print(f"  used by {run}{'' if is_there else ' (not there now)'}")
    if arguments.drop:
        gone = [str(run) for run in store.runs() if not run.is_dir()]
        if gone:
            raise ConfigError(
                f"{store.folder}: {', '.join(gone)}: not there, so nobody knows what it needs; "
                f"bring it back, or if it is gone for good delete its file in {store.folder}/runs"
            )
        named = {key for run in store.runs() for key in _keys(run / "results" / "predict", "*/*/*")}
        freed = [store.forget(key) for key in keys if key not in named]
        print(f"removed {len(freed)} answers, {readable(sum(freed))}", file=sys.stderr)
    return 0


def forget_answers(arguments: argparse.Namespace) -> int:
    """Remove a submission's answers from the store, and its sessions from the results.

    Raises ConfigError where there are none.
    """
    store = _store(arguments)
    predicted = arguments.folder / "results" / "predict"
    sessions = sorted(predicted.glob(f"*/{arguments.submission}/{arguments.case or '*'}"))
    sessions = [session for session in sessions if session.is_dir()]
    if not sessions:
        what = " ".join(filter(None, [arguments.submission, arguments.case]))
        raise ConfigError(f"{predicted}: no answers of {what} here; names are those of the folders")
    answers = 0
    for session in sessions:
        for key in _keys(session, ""):
            answers += store.forget(key) > 0
        shutil.rmtree(session)
    print(f"forgot {answers} answers in {len(sessions)} sessions; the next run asks again")
    return 0


def _store(arguments: argparse.Namespace) -> Store:
    folder = arguments.store or arguments.folder / "store"
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no store of answers here; give it with --store")
    return Store(folder)


def _keys(folder: Path, sessions: str) -> Iterator[str]:
    """Yield the keys that the records of some sessions name."""
    for path in folder.glob(f"{sessions}/[0-9]*.json" if sessions else "[0-9]*.json"):
        try:
            key = read_json(path)["key"]
        except (EngineError, KeyError, TypeError):
            continue  # no whole record: it is made again, and asks for what it needs
        if key:
            yield key

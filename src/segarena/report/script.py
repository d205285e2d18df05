"""Data that a page loads as scripts, because a page opened from disk may fetch nothing else."""

import json
from pathlib import Path
from typing import Any

from segarena.files import atomic_write


def script_json(value: Any) -> str:
    """Return JSON that may stand in a script element: no `<`, `>`, `&` and no line separators."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_script(path: str | Path, function: str, arguments: list[Any]) -> None:
    """Write a script that calls a function of the page with some JSON."""
    with atomic_write(path) as tmp:
        tmp.write_text(f"{function}({','.join(map(script_json, arguments))});\n", encoding="utf-8")

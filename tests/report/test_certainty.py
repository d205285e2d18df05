"""The sentence on the first place."""

import pandas as pd
import pytest

from segarena.report.certainty import sentence

NAMES = {"a": "Alpha", "b": "Beta", "c": "Gamma"}


def text_for(ranks: list[int], shares: list[float], *, cases: int = 100, beaten: str = "bc") -> str:
    table = pd.DataFrame(
        {"algorithm": list("abc")[: len(ranks)], "rank": ranks, "share_first": shares}
    )
    return sentence(table, NAMES, cases=cases, samples=1000, beaten=set(beaten))


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (1.0, "certain as far as these cases go."),
        (0.9, "likely, but not certain."),
        (0.5, "other cases might well have given another first place."),
    ],
)
def test_verdict_follows_the_share(share: float, verdict: str) -> None:
    """The words follow how often the first is first in the bootstrap samples."""
    assert text_for([1, 2], [share, 1 - share]).endswith(verdict)


def test_names_the_closest_rival() -> None:
    """The rival is who is first most often among the others, even if ranked third."""
    text = text_for([1, 2, 3], [0.7, 0.1, 0.2])
    assert text.startswith("Alpha is first in 70 % of 1,000 bootstrap samples of the 100 cases")
    assert "Gamma in 20 %" in text


def test_rare_is_not_never() -> None:
    """A share that would be rounded to nothing or to all is told as what it is."""
    text = text_for([1, 2], [0.996, 0.004])
    assert "over 99 %" in text
    assert "under 1 %" in text


def test_shared_first_place() -> None:
    """Who shares the first place is named, with how often each is first."""
    assert text_for([1, 1, 3], [0.6, 0.55, 0.0]).startswith("Alpha and Beta share the first place")


def test_only_submission() -> None:
    """A single submission is first, and that says nothing."""
    assert text_for([1], [1.0]) == "Alpha is the only submission, so there is no ranking to assess."


def test_few_cases_are_told() -> None:
    """Below twenty cases the sentence warns; one case is not called cases."""
    assert "few cases" in text_for([1, 2], [1.0, 0.0], cases=1)
    assert "of the 1 case:" in text_for([1, 2], [1.0, 0.0], cases=1)


@pytest.mark.parametrize("share", [0.85, 0.98, 1.0])
@pytest.mark.parametrize(("beaten", "open_"), [("", "Beta and Gamma"), ("b", "Gamma")])
def test_what_no_test_tells_apart_is_not_called_certain(
    share: float, beaten: str, open_: str
) -> None:
    """Above a map without a significant pair, no share of draws makes the first place certain."""
    text = text_for([1, 2, 3], [share, 1 - share, 0.0], beaten=beaten)
    assert f"no test separates it from {open_}, so the first place is open." in text
    assert not any(word in text for word in ("certain", "likely"))


def test_many_rivals_are_counted() -> None:
    """Of more than three that no test tells apart, two are named."""
    names = {name: name.upper() for name in "abcdef"}
    table = pd.DataFrame(
        {"algorithm": list(names), "rank": range(1, 7), "share_first": [1.0, 0, 0, 0, 0, 0]}
    )
    text = sentence(table, names, cases=50, samples=10, beaten=())
    assert "from B, C and 3 others" in text

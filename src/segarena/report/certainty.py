"""How certain the first place is, in one sentence that a reader without statistics understands."""

from collections.abc import Collection, Mapping

import pandas as pd


def sentence(
    intervals: pd.DataFrame,
    names: Mapping[str, str],
    *,
    cases: int,
    samples: int,
    beaten: Collection[str],
) -> str:
    """Return the sentence for one ranking.

    intervals: the rows of one subgroup, task and scheme (docs/ranking.md), with algorithm, rank,
    low, high and share_first. samples: how many bootstrap samples they come from. beaten: whom the
    first is significantly better than. Draws of these cases alone do not make a place certain.
    """
    first = intervals[intervals["rank"] == 1].sort_values("algorithm")
    winners = [names[name] for name in first["algorithm"]]
    drawn = f"{samples:,} bootstrap samples of the {_count(cases, 'case')}"
    if len(intervals) == 1:
        return f"{winners[0]} is the only submission, so there is no ranking to assess."
    if len(winners) > 1:
        return (
            f"{_listed(winners)} share the first place; in {drawn} each of them is first, alone or "
            f"shared, in {_shares(first['share_first'])}."
        )
    share = float(first["share_first"].iloc[0])
    others = intervals[intervals["rank"] != 1]
    rival = others.sort_values(["share_first", "rank"], ascending=[False, True]).iloc[0]
    text = f"{winners[0]} is first in {_percent(share)} of {drawn}"
    if rival["share_first"] > 0:
        text += f", {names[rival['algorithm']]} in {_percent(rival['share_first'])}"
    open_ = [names[name] for name in others.sort_values("rank")["algorithm"] if name not in beaten]
    if share < 0.8:
        verdict = "other cases might well have given another first place"
    elif open_:
        verdict = f"but no test separates it from {_few(open_)}, so the first place is open"
    elif share < 0.975:
        verdict = "the first place is likely, but not certain"
    else:
        verdict = "the first place is certain as far as these cases go"
    few = " With so few cases, this says little about others." if cases < 20 else ""
    return f"{text}: {verdict}.{few}"


def _shares(shares: pd.Series) -> str:
    low, high = shares.min(), shares.max()
    return _percent(low) if low == high else f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _few(words: list[str], most: int = 3) -> str:
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} others"]
    return _listed(words) if len(words) > 1 else words[0]


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"

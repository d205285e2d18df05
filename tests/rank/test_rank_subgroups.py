"""Subgroups of the cases are ranked like the whole."""

from pathlib import Path

import pandas as pd

from segarena.rank.outputs import rank_scores


def test_a_subgroup_of_one_case_is_ranked(tmp_path: Path):
    """One CT among two MR cases: the case alone decides there, and nothing can be left out."""
    scores = pd.DataFrame(
        {
            "submission": ["ada", "ada", "ada", "bob", "bob", "bob"],
            "case": ["ct", "mr1", "mr2"] * 2,
            "DSC_Final": [0.5, 0.9, 0.9, 0.6, 0.8, 0.8],
        }
    )
    groups = pd.DataFrame({"case": ["ct", "mr1", "mr2"], "subgroup": ["CT", "MR", "MR"]})
    rank_scores(
        scores,
        tmp_path,
        metrics=["DSC_Final"],
        deciding_scheme="mean_then_rank",
        protocol="p",
        protocol_version=1,
        seed=1,
        subgroups=groups,
        bootstraps=10,
    )
    schemes = pd.read_csv(tmp_path / "schemes.csv")
    ct = schemes[(schemes["subgroup"] == "CT") & (schemes["scheme"] == "mean_then_rank")]
    ct = ct[ct["metric"] == "DSC_Final"]
    assert dict(zip(ct["submission"], ct["rank"], strict=True)) == {"bob": 1, "ada": 2}

"""A ranking that its protocol cannot make is rejected before anything runs."""

from typing import Any

import pytest

from segarena.errors import ConfigError
from segarena.protocol import load
from segarena.rank.check import check_ranking, rankable
from segarena.score.table import row

METRICS = [{"name": "DSC"}, {"name": "RVD"}, {"name": "VD_ml", "as": "ML"}, {"name": "IoU"}]


def protocol(metrics: list[str], **changes: Any) -> dict[str, Any]:
    """Return a protocol of six interactions that ranks by these columns."""
    ranking = {"metrics": metrics, "scheme": "mean_then_rank", **changes.pop("ranking", {})}
    changes = {"metrics": METRICS, "series": {"auc_from": 1}, **changes}
    return {**load("cvpr25"), **changes, "ranking": ranking}


@pytest.mark.parametrize("name", ["RVD_Final", "RVD_AUC", "RVD_6", "ML_Final", "RVD_Final_min150"])
@pytest.mark.parametrize("key", ["metrics", "ties"])
def test_a_metric_that_is_best_near_0_ranks_nobody(name: str, key: str):
    """Neither larger nor smaller wins, in whatever column the metric stands."""
    series = {"auc_from": 1, "noc": {"at": [0.9], "min_area_px": 150}}
    given = {"metrics": ["DSC_Final"]} | {key: [name]}
    with pytest.raises(ConfigError, match=rf"^ranking\.{key}: {name} is best near 0"):
        check_ranking(protocol([], series=series, ranking=given))


@pytest.mark.parametrize("name", ["DSC_7", "DSC_0", "DSC", "NSD_Final", "NoC@90", "num_class"])
def test_a_column_that_no_table_will_have_is_rejected(name: str):
    """One line names the key, the column, and what there is."""
    line = rf"^ranking\.metrics: no column '{name}'; .* DSC_1 to DSC_6, .*$"
    with pytest.raises(ConfigError, match=line):
        check_ranking(protocol([name]))


def test_an_area_under_a_single_interaction_ranks_nobody():
    """With auc_from 6 of six interactions every area is 0."""
    with pytest.raises(ConfigError, match="DSC_AUC is 0 for everybody"):
        check_ranking(protocol(["DSC_AUC"], series={"auc_from": 6}))
    check_ranking(protocol(["DSC_AUC"], series={"auc_from": 5}))


def test_a_weight_of_what_is_not_ranked_is_rejected():
    """A weight for a column that is misspelt would be left unused."""
    ranking = {"weights": {"DSC_Fina": 2}}
    with pytest.raises(ConfigError, match=r"^ranking\.weights: 'DSC_Fina' is not in"):
        check_ranking(protocol(["DSC_Final"], ranking=ranking))


NAMES = ["cvpr25", "cvpr25-script", "noc", "scribble", "autopet-interactive", "brats-lesionwise"]


def test_what_can_be_ranked_is_in_the_tables():
    """Every column that is allowed is one of a team's table."""
    series = {"auc_from": 1, "noc": {"at": [0.85, 0.9], "min_area_px": 150}}
    series |= {"regret": ["DSC", "IoU"]}
    seconds = ("box_seconds", "click_seconds", "scribbled_voxel_seconds")
    series |= {"effort": dict.fromkeys(seconds, 1) | {"at": [2.5, 10]}}
    asked = protocol(["DSC_Final"], series=series)
    names = ["DSC", "RVD", "ML", "IoU", "truth_voxels", "answer_voxels"]
    names += ["boxes", "clicks", "scribbled_voxels"]
    scores = {name: {k: [1.0] for k in range(1, 7)} for name in names}
    columns = row("one", scores, [1.0] * 6, asked)
    allowed = rankable(asked)
    assert [name for name in columns if name in allowed] == allowed
    left = ["CaseName", "num_class", "runtime_upperbound", "Kept_min150"]
    assert [name for name in columns if name not in allowed] == left


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_protocols_pass(name: str):
    """They rank by columns that their tables have."""
    check_ranking(load(name))

"""Named randomness."""

from segarena.prompt.seed import generator


def numbers(*name):
    return generator(*name).integers(2**32, size=4).tolist()


def test_a_name_gives_the_same_numbers_in_every_process_and_for_ever():
    """These numbers were written down once; a change would change every seeded protocol."""
    assert numbers(42, "case", 3, 1) == [4073828644, 2857959040, 4224407933, 3645762673]


def test_each_part_of_the_name_changes_the_numbers():
    """Seed, case, label, interaction and repetition each count."""
    names = [
        (42, "case", 3, 1, 0),
        (43, "case", 3, 1, 0),
        (42, "cas", 3, 1, 0),
        (42, "case", 4, 1, 0),
        (42, "case", 3, 2, 0),
        (42, "case", 3, 1, 1),
    ]
    assert len({tuple(numbers(*name)) for name in names}) == len(names)


def test_neighbouring_parts_do_not_run_together():
    """Case a with label 11 and case a1 with label 1 are different names."""
    assert numbers(1, "a", 11, 1) != numbers(1, "a1", 1, 1)


def test_no_repetition_is_repetition_zero():
    """A protocol played once is the first of its repetitions."""
    assert numbers(42, "case", 3, 1) == numbers(42, "case", 3, 1, 0)

import numpy as np
import pytest

from simulation.looks import draw_looks, unlikeness


def looks(difficulty, seed=0, num_people=12):
    return draw_looks(np.random.default_rng(seed), num_people, difficulty=difficulty)


def nearest(people):
    return min(unlikeness(one, other) for n, one in enumerate(people) for other in people[:n])


def test_the_same_seed_draws_the_same_people():
    assert looks("medium") == looks("medium")
    assert looks("medium") != looks("medium", seed=1)


def test_fewer_people_are_the_first_of_more():
    assert looks("medium", num_people=5) == looks("medium", num_people=9)[:5]


def test_a_person_is_not_unlike_themselves():
    person = looks("easy")[0]
    assert unlikeness(person, person) == 0


@pytest.mark.parametrize("seed", range(3))
def test_people_on_an_easier_site_are_more_unlike(seed):
    assert nearest(looks("easy", seed)) > nearest(looks("hard", seed))


def test_sizes_are_human():
    for person in looks("medium", num_people=200):
        assert 1.5 <= person.height_m <= 2.0
        assert 0.8 <= person.girth <= 1.35


def test_people_on_a_hard_site_dress_soberly():
    assert {person.legwear for person in looks("hard", num_people=40)} == {"trousers"}

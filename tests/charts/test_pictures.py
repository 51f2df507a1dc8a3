"""Figures of the pictures of a dataset: a class is called as its person calls it, whatever that looks like."""

from __future__ import annotations

from core.charts.pictures import balance_figure, sides_figure


def test_classes_stand_side_by_side_under_their_own_names() -> None:
    names = ["1", "2", "10", "2024-05-01", "<b>bold</b>", "a" * 30 + "x", "a" * 30 + "y"]
    figure = balance_figure(names, {"train": [3] * len(names), "": [1] * len(names)})
    assert [list(bars.x) for bars in figure.data] == [[1, 2, 3, 4, 5, 6, 7]] * 2, "no name is read as a number, a date, or as another's"
    assert list(figure.layout.xaxis.ticktext[:5]) == ["1", "2", "10", "2024-05-01", "&lt;b&gt;bold&lt;/b&gt;"]
    assert figure.data[0].customdata[4] == "&lt;b&gt;bold&lt;/b&gt;"


def test_a_size_is_drawn_the_larger_the_more_of_all_pictures_have_it() -> None:
    alone, common = sides_figure([10, 20, 30], [10, 20, 30]).data[0].marker.size, sides_figure([10] * 3, [10] * 3).data[0].marker.size
    assert max(alone) < 18 < max(common) == 26

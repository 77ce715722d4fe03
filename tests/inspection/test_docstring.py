"""The displays' docstrings, with the parts that they share put in."""

import inspect
import re

import pytest

from sklearn_vae import inspection

DISPLAYS = [getattr(inspection, name) for name in inspection.__all__]


@pytest.mark.parametrize("display", DISPLAYS, ids=inspection.__all__)
def test_every_parameter_is_documented_at_its_place(display):
    methods = [m for name, m in inspect.getmembers(display, inspect.isroutine) if name[0] != "_"]
    for documented in (display, *methods):
        doc = inspect.getdoc(documented)
        assert "%(" not in doc
        section = re.search(r"^Parameters\n-+\n(.*?)(?:\n\n|\Z)", doc, flags=re.M | re.S)[1]
        names = ", ".join(re.findall(r"^([\w*].*?)(?: : .*)?$", section, flags=re.M)).split(", ")
        signature = inspect.signature(documented).parameters.values()
        stars = {inspect.Parameter.VAR_KEYWORD: "**"}
        expected = [stars.get(p.kind, "") + p.name for p in signature if p.name != "self"]
        assert names == expected, documented


def test_a_subclass_elsewhere_keeps_its_own_words():
    class Mine(inspection.SampleDisplay):
        """Shows 100 % of %(images)s and %(mine)s."""

        def plot(self, **kwargs):
            """Draw %d images."""

    assert inspect.getdoc(Mine).startswith("Shows 100 % of array-like")
    assert inspect.getdoc(Mine).endswith("and %(mine)s.")
    assert inspect.getdoc(Mine.plot) == "Draw %d images."

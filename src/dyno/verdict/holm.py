"""Several metrics of one comparison: the more are asked, the more often one of them is different by chance."""

from collections.abc import Callable, Mapping

from dyno.verdict.compare import Comparison

Judge = Callable[[float], Comparison]


def holm(judges: Mapping[str, Judge], alpha: float) -> dict[str, Comparison]:
    """Every metric judged so that a false "better" or "worse" among all of them has probability alpha at most.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979); at planned looks as in
    Maurer & Bretz, Statist. Biopharm. Res. 5 (2013). A judge answers at the level it is given. A difference that is
    found leaves its share of alpha to the rest. "Equivalent" is always judged at alpha over the number of metrics: that
    is a claim of its own, and all such claims together are wrong with probability alpha at most, as by Bonferroni.
    """
    found = {name: judge(alpha / len(judges)) for name, judge in judges.items()}
    different = {name for name, made in found.items() if made.answer in ("better", "worse")}
    while left := [name for name, made in found.items() if made.answer == "inconclusive"]:
        level = alpha / (len(judges) - len(different)) if len(different) < len(judges) else alpha
        again = {name: made for name in left if (made := judges[name](level)).answer in ("better", "worse")}
        if not again:
            break
        found |= again
        different |= again.keys()
    return found

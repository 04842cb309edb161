"""The text of docs/rewrites.md: what rewrites do, and every rule of every pass from its table.

`make docs` writes the page with the other generated ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from exprd_compiler.passes.levels import ALIASES, ELSEWHERE, LEVELS
from exprd_compiler.rewrite.pattern import Term
from exprd_compiler.rewrite.rules import Rule, RuleSet

MOST_NAMES = 5  # of ops in the left column

HEAD = """# Rewrites

Made from the rules by `make docs`. A compiled function does not compute a graph as it was written:
equal parts are merged, what depends on constants alone is computed once, shapes are known without
computing the values that have them, unstable formulas are replaced by stable ones, and products of
matrices become BLAS calls.

What you can rely on:

- **Rounding is all that changes.** A rule gives the same value up to rounding, and up to the sign
  of a zero. `0 * x` and `x / x` stay as they are for floats, because x may be infinite or 0, and
  sums and products are not regrouped, but for the factors and the summand that one BLAS call takes.
- **Stability rules are the exception, and they are on.** Where the formula as written overflows or
  loses all digits, the compiled function does not: `log(1 - 1 / (1 + exp(-x)))` is finite for every
  x. A factor cancels only if it cannot be 0 or infinite but by rounding (exp, sigmoid, softmax).
- **Errors stay errors, where there is a value to be wrong.** A check of shapes that concerned only
  a value nobody needs goes with that value.
- **Every rule is a line in a table** with a left side, a right side and a condition, and is tested
  by itself: it fires on its left side, keeps dtype, shape and value, and comes to rest.

## Levels

| level | passes |
|---|---|
"""

EXCLUDING = """
Leave a rule, a group of rules or a whole pass out by its name: the name of the pass, the sentence
in the first column below, or the name by which Theano's users know it (several rules may share
one). A name that nothing has is an error.

"""

PASS_HEAD = """
| rule | Theano's name | from | to | grounds |
|---|---|---|---|---|
"""


def rewrites_page() -> str:
    """The page."""
    levels = "".join(
        f"| `{level}` | {', '.join(step.name for step in row)} |\n" for level, row in LEVELS.items()
    )
    also = ", ".join(f"`{name}` (for `{meant}`)" for name, meant in sorted(ALIASES.items()))
    ignored = ", ".join(f"`{name}`" for name in sorted(ELSEWHERE))
    names = f"Also accepted: {also}; and, without effect on these passes, {ignored}.\n"
    return HEAD + levels + EXCLUDING + names + "".join(_sections())


def _sections() -> Iterator[str]:
    """One table per pass, each rule where it first takes part."""
    seen: set[str] = set()
    for step in LEVELS["fast_run"]:
        if not isinstance(step, RuleSet):
            continue
        fresh = [rule for rule in step.every if rule.name not in seen]
        seen.update(rule.name for rule in fresh)
        yield f"\n## {step.name}\n{PASS_HEAD}" + "".join(map(_row, fresh))


def _row(rule: Rule) -> str:
    theano = f"`{rule.theano}`" if rule.theano else ""
    right = f"`{rule.right!r}`" if isinstance(rule.right, Term) else "computed"
    return f"| {rule.name} | {theano} | {_left(rule)} | {right} | {rule.why} |\n"


def _left(rule: Rule) -> str:
    if isinstance(rule.left, Term):
        return f"`{rule.left!r}`"
    if len(rule.ops) <= MOST_NAMES:
        return ", ".join(f"`{op.name}`" for op in rule.ops)
    return f"any of {len(rule.ops)} ops"

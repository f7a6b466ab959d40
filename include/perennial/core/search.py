"""A seeded search of a candidate's parameters within a budget of trials and seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.records import Record
from perennial.spec import METRICS, Range, Search

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Found(Record):
    """The best parameters, what they reach, and how many trials it took, the unsearched one included."""

    params: Mapping[str, Any]
    value: float
    trials: int = 1
    ended_by: str = "trials"


def search(
    objective: Callable[[Mapping[str, Any]], float],
    space: Mapping[str, Range],
    *,
    metric: str,
    budget: Search,
    seed: int,
) -> Found:
    """Return the best parameters; the candidate's own parameters, unsearched, are the first to be tried.

    Equal seeds give equal trials. Where `seconds` end the search before `trials` do, `ended_by` says so: how
    far it got then depends on the machine, which is why a manifest holds the parameters found and not only
    the budget.

    Args:
        objective: parameters in, value of `metric` on the validation rows out.
        space: what to search; nothing to search leaves the candidate's own parameters.
        metric: says whether more or less is better.
        budget: the most trials besides the first, and the seconds after which no new one starts.
        seed: of the sampler.
    """
    own = Found({}, objective({}))
    if not space:
        return own
    study = _study(seed, maximise=METRICS[metric])
    study.optimize(lambda trial: objective(_suggest(trial, space)), n_trials=budget.trials, timeout=budget.seconds)
    done = len(study.trials)
    ended_by = "trials" if done >= budget.trials else "seconds"
    better = study.best_value > own.value if METRICS[metric] else study.best_value < own.value
    if not better:
        return Found({}, own.value, done + 1, ended_by)
    return Found(dict(study.best_params), float(study.best_value), done + 1, ended_by)


def _study(seed: int, *, maximise: bool) -> optuna.Study:
    """Return an empty study with a seeded sampler and without optuna's log lines."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(direction="maximize" if maximise else "minimize", sampler=sampler)


def _suggest(trial: optuna.Trial, space: Mapping[str, Range]) -> dict[str, Any]:
    """Return one value for each searched parameter."""
    return {name: _suggest_one(trial, name, span) for name, span in space.items()}


def _suggest_one(trial: optuna.Trial, name: str, span: Range) -> Any:
    """Return a value from a list of choices or from a range."""
    if span.choices is not None:
        return trial.suggest_categorical(name, list(span.choices))
    low, high = span.low or 0.0, span.high or 0.0
    if span.integer:
        return trial.suggest_int(name, int(low), int(high), log=span.log)
    return trial.suggest_float(name, low, high, log=span.log)

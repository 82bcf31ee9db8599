"""Fault plans as people write them: a line a rule, read with errors that name the words that fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from enum import IntEnum
from typing import Final, NoReturn

from vnic.abi import DmaStatus, FaultAction
from vnic.errors import ArgumentError
from vnic.gen.enums import ChmObject, ChmStatus
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.fault_plan import (
    ALWAYS,
    MAPS,
    FaultPlan,
    Pending,
    Rule,
    Where,
    admin,
    descriptor_fetch,
    dma,
    frame,
    interrupt,
    oid,
    payload,
    register,
    timer,
    write_back,
)

_LAST: Final = (1 << 64) - 1
_TIME: Final = re.compile(r"(\d+)(ns|us|ms|s)?$")
_UNITS: Final = {None: 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_BEHAVIOURS: Final = {
    **{action.name.lower(): action for action in FaultAction},
    "early": FaultAction.ERROR,
    "lost": FaultAction.DROP,
    "late": FaultAction.DELAY,
}
_STATUSES: Final[dict[str, type[IntEnum]]] = {"dma": DmaStatus, "admin": ChmStatus, "oid": NDIS_STATUS}
_WHEN: Final = {"after": "after", "times": "times", "every": "every", "one-in": "one_in"}

Options = dict[str, str]


# -- reading -------------------------------------------------------------------------------------------------


def parse_plan(text: str, seed: int = 0) -> FaultPlan:
    """A plan from lines or from what `;` separates; `seed N` may be one of them. Raises ArgumentError."""
    plan = FaultPlan(seed=seed)
    for line in re.split(r"[;\n]", text):
        words = line.split("#")[0].split()
        if len(words) == 2 and words[0] == "seed":
            plan = FaultPlan(plan.rules, _number(words[1], "seed"))
        elif words:
            plan = plan.and_rule(parse_rule(" ".join(words)))
    return plan


def parse_rule(text: str) -> Rule:
    """A rule: where, behaviour, when. Raises ArgumentError that names the words that fit."""
    words = text.split()
    at = next((n for n, word in enumerate(words) if n and word in _BEHAVIOURS), None)
    if at is None:
        _refuse(f"{text!r} does not say what happens", words[-1] if words else "", _BEHAVIOURS)
    try:
        where = _read_where(words[:at])
        return _read_behaviour(Pending(FaultPlan(), where), words[at], words[at + 1 :]).rules[0]
    except ArgumentError as error:
        raise ArgumentError(f"fault {text!r}: {error}") from None


def _refuse(what: str, word: str, known: Iterable[str]) -> NoReturn:
    listed = sorted(known)
    close = get_close_matches(word, listed, 1, 0.6)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise ArgumentError(f"{what}: {', '.join(listed)}{hint}")


def _number(text: str, what: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ArgumentError(f"{what} is a number, not {text!r}") from None


def _time(text: str) -> int:
    found = _TIME.match(text)
    if found is None:
        raise ArgumentError(f"a time is a number with ns, us, ms or s, not {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _span(text: str, what: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    start = _number(first, what) if first else 0
    return start, (_number(last, what) if last else _LAST) if dots else start


def _split(words: list[str], known: Iterable[str]) -> tuple[list[str], Options]:
    """Plain words, and options by name. Raises ArgumentError for an option that there is not."""
    plain = [word for word in words if "=" not in word]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    allowed = list(known)
    for name in options:
        if name not in allowed:
            _refuse(f"no option {name!r} here", name, allowed or ["(none)"])
    return plain, options


def _take(plain: list[str], choices: tuple[str, ...]) -> str:
    """A word out of a few, taken out of the plain ones; "" when none of them is there."""
    found = next((word for word in plain if word in choices), "")
    if found:
        plain.remove(found)
    return found


def _end(plain: list[str]) -> None:
    if plain:
        raise ArgumentError(f"{plain[0]!r} means nothing here")


def _index(options: Options, *names: str) -> int | None:
    return next((_number(options[name], name) for name in names if name in options), None)


def _register(words: list[str]) -> Where:
    plain, options = _split(words, ("queue", "vector", "index"))
    access = _take(plain, ("read", "write")) or "write"
    name = plain.pop(0) if plain else ""
    _end(plain)
    return register(name, _index(options, "queue", "vector", "index"), access=access)


def _dma(words: list[str]) -> Where:
    plain, options = _split(words, ("addr",))
    access = _take(plain, ("read", "write"))
    purpose = plain.pop(0) if plain else ""
    _end(plain)
    first, last = _span(options["addr"], "addr") if "addr" in options else (0, _LAST)
    return dma(access, purpose, first=first, last=last)


def _fixed(make: Callable[[], Where]) -> Callable[[list[str]], Where]:
    def read(words: list[str]) -> Where:
        _end(_split(words, ())[0])
        return make()

    return read


def _payload(words: list[str]) -> Where:
    plain, _ = _split(words, ())
    access = _take(plain, ("read", "write"))
    _end(plain)
    return payload(access)


def _interrupt(words: list[str]) -> Where:
    plain, options = _split(words, ("vector",))
    _end(plain)
    return interrupt(_index(options, "vector"))


def _frame(words: list[str]) -> Where:
    plain, options = _split(words, ("queue", "length"))
    direction = _take(plain, ("in", "out"))
    _end(plain)
    shortest, longest = _span(options["length"], "length") if "length" in options else (0, _LAST)
    return frame(direction, _index(options, "queue"), shortest=shortest, longest=longest)


def _timer(words: list[str]) -> Where:
    plain, options = _split(words, ("vector", "connection"))
    name = plain.pop(0) if plain else ""
    _end(plain)
    return timer(name, _index(options, "vector", "connection"))


def _admin(words: list[str]) -> Where:
    plain, options = _split(words, ("object",))
    operation = plain.pop(0) if plain else ""
    _end(plain)
    return admin(operation, options.get("object", ""))


def _oid(words: list[str]) -> Where:
    plain, _ = _split(words, ())
    access = _take(plain, ("query", "set"))
    name = plain.pop(0) if plain else ""
    _end(plain)
    return oid(name, access)


_SITES: Final[dict[str, Callable[[list[str]], Where]]] = {
    "register": _register,
    "dma": _dma,
    "descriptor-fetch": _fixed(descriptor_fetch),
    "write-back": _fixed(write_back),
    "payload": _payload,
    "interrupt": _interrupt,
    "frame": _frame,
    "timer": _timer,
    "admin": _admin,
    "oid": _oid,
}


def _read_where(words: list[str]) -> Where:
    if words[0] not in _SITES:
        _refuse(f"no site {words[0]!r}", words[0], _SITES)
    return _SITES[words[0]](words[1:])


def _when(options: Options) -> dict[str, int]:
    return {
        _WHEN[name]: ALWAYS if (name, text) == ("times", "always") else _number(text, name)
        for name, text in options.items()
        if name in _WHEN
    }


def _status(where: Where, word: str) -> int:
    enum = _STATUSES.get(where.word)
    if enum is None:
        raise ArgumentError(f"an error of {where} has no status: {word!r}")
    names: dict[str, int] = {name: int(value) for name, value in enum.__members__.items()}
    short = word.removeprefix("NDIS_STATUS_").upper()
    if short in names:
        return names[short]
    if not re.match(r"(0x)?[0-9a-fA-F]+$", word):
        _refuse(f"no status {word!r}", short, names)
    number = _number(word, "status")
    if number not in names.values() and enum is not ChmStatus:
        _refuse(f"no status {word!r}", short, names)
    return number


def _stuck(pending: Pending, options: Options, when: dict[str, int]) -> FaultPlan:
    fields = {name: text for name, text in options.items() if name.isupper()}
    if fields:
        if len(fields) > 1 or {"value", "mask"} & set(options):
            raise ArgumentError("one field, or value and mask")
        (name, text), *_ = fields.items()
        return pending.stuck_field(name, _number(text, name), **when)
    if not {"value", "mask"} <= set(options):
        raise ArgumentError("what sticks is said by value=.. and mask=.., or FIELD=..")
    return pending.stuck(_number(options["value"], "value"), _number(options["mask"], "mask"), **when)


def _read_behaviour(pending: Pending, word: str, words: list[str]) -> FaultPlan:
    action = _BEHAVIOURS[word]
    fields = [name.split("=")[0] for name in words if name.split("=")[0].isupper()]
    own = {FaultAction.CORRUPT: ["offset", "mask"], FaultAction.STUCK: ["value", "mask", *fields]}
    plain, options = _split(words, [*_WHEN, *own.get(action, [])])
    when = _when(options)
    value = plain.pop(0) if plain and action not in own else ""
    _end(plain)
    match action:
        case FaultAction.ERROR:
            return pending.error(_status(pending.where, value) if value else None, **when)
        case FaultAction.CORRUPT:
            mask, offset = (
                _number(options.get(name, text), name) for name, text in (("mask", "1"), ("offset", "0"))
            )
            return pending.corrupt(mask, offset, **when)
        case FaultAction.DUPLICATE:
            return pending.duplicate(_time(value) if value else 0, **when)
        case FaultAction.DELAY:
            return pending.delay(_time(value), **when)
        case FaultAction.REORDER:
            return pending.reorder(_number(value, "reorder") if value else 1, **when)
        case FaultAction.STUCK:
            return _stuck(pending, options, when)
        case _:
            _end([value] if value else [])
            return pending.drop(**when) if action == FaultAction.DROP else pending.remove(**when)


# -- writing -------------------------------------------------------------------------------------------------


def _show_span(name: str, where: Where) -> str:
    if (where.first, where.last) == (0, _LAST):
        return ""
    return f"{name}={where.first:#x}..{'' if where.last == _LAST else f'{where.last:#x}'}"


def _show_index(where: Where) -> str:
    if where.index is None:
        return ""
    if where.word == "admin":
        return f"object={ChmObject(where.index).name.lower()}"
    if where.word == "timer" and where.name != "moderation":
        return f"connection={where.index}"
    is_vector = where.word in ("interrupt", "timer")
    return f"{'vector' if is_vector else 'queue' if where.word == 'frame' else 'index'}={where.index}"


def format_where(where: Where) -> str:
    """The site as text."""
    if where == descriptor_fetch():
        return "descriptor-fetch"
    if where == write_back():
        return "write-back"
    span = _show_span({"dma": "addr", "frame": "length"}.get(where.word, ""), where)
    parts = [where.word, where.name, _show_index(where), where.access, span]
    return " ".join(part for part in parts if part)


def _show_status(rule: Rule) -> str:
    enum = _STATUSES.get(rule.where.word)
    if enum is None:
        return ""
    known = {int(member): name for name, member in enum.__members__.items()}
    name = known.get(rule.argument, f"{rule.argument:#x}")
    return f" NDIS_STATUS_{name}" if enum is NDIS_STATUS else f" {name}"


def _show_stuck(rule: Rule) -> str:
    found = next((map_[rule.where.name] for map_ in MAPS.values() if rule.where.name in map_), None)
    for field in found.fields if found is not None and rule.where.word == "register" else ():
        if field.mask == rule.mask and rule.argument == field.put(0, field.get(rule.argument)):
            return f" {field.name}={field.get(rule.argument):#x}"
    return f" value={rule.argument:#x} mask={rule.mask:#x}"


def _show_ns(ns: int) -> str:
    """In the largest unit that loses nothing."""
    for unit in ("s", "ms", "us"):
        if ns % _UNITS[unit] == 0:
            return f"{ns // _UNITS[unit]}{unit}"
    return f"{ns}ns"


def _show_behaviour(rule: Rule) -> str:
    match rule.action:
        case FaultAction.ERROR:
            return "early" if rule.where.word == "timer" else f"error{_show_status(rule)}"
        case FaultAction.CORRUPT:
            return f"corrupt offset={rule.argument} mask={rule.mask:#x}"
        case FaultAction.DUPLICATE:
            return f"duplicate {_show_ns(rule.argument)}" if rule.argument else "duplicate"
        case FaultAction.DELAY:
            return f"delay {_show_ns(rule.argument)}"
        case FaultAction.REORDER:
            return f"reorder {rule.argument}"
        case FaultAction.STUCK:
            return f"stuck{_show_stuck(rule)}"
        case _:
            return rule.action.name.lower()


def format_rule(rule: Rule) -> str:
    """A rule as text; parse_rule() reads it."""
    when = [f"after={rule.after}"] if rule.after else []
    is_thinned = rule.every > 1 or rule.one_in > 1 or rule.action == FaultAction.STUCK
    if rule.times != (ALWAYS if is_thinned else 1):
        when.append(f"times={'always' if rule.times == ALWAYS else rule.times}")
    when += [f"every={rule.every}"] if rule.every > 1 else []
    when += [f"one-in={rule.one_in}"] if rule.one_in > 1 else []
    return " ".join([format_where(rule.where), _show_behaviour(rule), *when])


def format_plan(plan: FaultPlan) -> str:
    """A plan as text, a line a rule; parse_plan() reads it."""
    seed = [f"seed {plan.seed}"] if plan.seed else []
    return "\n".join([*seed, *map(format_rule, plan.rules)])


def plan_to_json(plan: FaultPlan) -> str:
    """{"seed": 7, "rules": [text, ...]}."""
    return json.dumps({"seed": plan.seed, "rules": [format_rule(rule) for rule in plan.rules]})


def plan_from_json(text: str) -> FaultPlan:
    """What plan_to_json() wrote. Raises ArgumentError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"a fault plan in JSON: {error}") from None
    rules = data.get("rules") if isinstance(data, dict) else None
    seed = data.get("seed", 0) if isinstance(data, dict) else None
    is_sound = isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)
    if not is_sound or not isinstance(seed, int) or set(data) - {"seed", "rules"}:
        raise ArgumentError('a fault plan in JSON is {"seed": number, "rules": [text, ...]}')
    return FaultPlan(tuple(parse_rule(rule) for rule in data["rules"]), seed)

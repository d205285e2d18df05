"""Reading the pickles of case files without unpickling them.

Boxes and clicks travel as numpy object arrays, that is as pickles, and Python's unpickler does what
a pickle says: it calls functions, allocates what a length promises, and gives numpy bytes to take
for pointers. So a pickle is read here as what it is, a short program for a stack machine, of which
only the instructions that build plain values are followed. Nothing that the file names is ever
called: an array becomes a list, a numpy scalar a number, and numpy sees nothing but bytes whose
dtype and length have been checked.
"""

import math
import pickletools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

DEEPEST = 20
"""How deep lists, tuples and dicts may be nested."""

_NUMBERS = re.compile(r"[<>|=]?[biuf][1248]|bool|u?int(?:8|16|32|64)|float(?:16|32|64)")
_OBJECTS = {"O", "O4", "O8", "|O"}
_RECONSTRUCT, _SCALAR, _FROMBUFFER = "_reconstruct", "scalar", "_frombuffer"
_NAMES = {
    **{
        (f"numpy.{core}.{module}", name): name
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", _RECONSTRUCT),
            ("multiarray", _SCALAR),
            ("numeric", _FROMBUFFER),
        )
    },
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS = {
    *("MARK", "STOP", "TUPLE", "LIST", "DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}


class NotPlain(ValueError):
    """The pickle holds something else than plain values and arrays of them; the text says what."""


def plain_value(pickled: bytes) -> Any:
    """Return what a pickle holds: None, numbers, text, bytes, lists, tuples and dicts.

    An array is the list that `ndarray.tolist` would give. Raises NotPlain for all that has no place
    in a case file. Memory and time are bounded by the length of `pickled`.
    """
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(pickled):
            machine.follow(code.name, argument)
            if code.name == "STOP":
                break
        return _Plain(machine.steps).of(machine.result)
    except NotPlain:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as error:
        raise NotPlain(f"not a pickle of plain values ({error})") from error


@dataclass(frozen=True)
class _Name:
    """One of the few names that numpy's pickles refer to."""

    name: str


@dataclass
class _Dtype:
    """A dtype of numbers, as numpy writes it, or "O" for objects."""

    code: str


@dataclass
class _Array:
    """An array in the making: `value` is its list once the pickle has given shape and content."""

    value: list[Any] | None = None
    of_numbers: bool = True


class _Mark:
    """Where a list of arguments begins on the stack."""


class _Machine:
    """The stack machine, with the instructions of plain values alone."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0
        self.result: Any = None

    def follow(self, name: str, argument: Any) -> None:
        """Follow one instruction; raises NotPlain for one that builds no plain value."""
        self.steps += 1
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(self._top(_TUPLES[name]))]
        elif name in _METHODS:
            getattr(self, f"_{name.lower()}")(argument)
        elif name not in {"PROTO", "FRAME"}:
            raise NotPlain(f"the instruction {name} has no place in a case file")

    def _top(self, count: int) -> list[Any]:
        found = self.stack[-count:]
        if len(found) != count or any(isinstance(item, _Mark) for item in found):
            raise NotPlain("an instruction lacks its arguments")
        return found

    def _take(self, count: int) -> list[Any]:
        found = self._top(count)
        del self.stack[-count:]
        return found

    def _since_mark(self) -> list[Any]:
        found: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            found.append(item)
        return found[::-1]

    def _mark(self, _: Any) -> None:
        self.stack.append(_Mark())

    def _stop(self, _: Any) -> None:
        (self.result,) = self._take(1)

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _dict(self, _: Any) -> None:
        self.stack.append(_pairs(self._since_mark()))

    def _append(self, _: Any) -> None:
        self._extend(self._take(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        (target,) = self._top(1)
        if not isinstance(target, list):
            raise NotPlain("something else than a list is appended to")
        target += items

    def _setitem(self, _: Any) -> None:
        self._update(self._take(2))

    def _setitems(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        (target,) = self._top(1)
        if not isinstance(target, dict):
            raise NotPlain("something else than a dict is given keys")
        target.update(_pairs(items))

    def _memoize(self, _: Any) -> None:
        self._put(len(self.memo))

    def _put(self, number: int) -> None:
        (self.memo[int(number)],) = self._top(1)

    _binput = _long_binput = _put

    def _get(self, number: int) -> None:
        self.stack.append(self.memo[int(number)])

    _binget = _long_binget = _get

    def _global(self, argument: str) -> None:
        self._refer(*argument.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        self._refer(*self._take(2))

    def _refer(self, module: Any, name: Any) -> None:
        if (module, name) not in _NAMES:
            raise NotPlain(f"{module}.{name} has no place in a case file")
        self.stack.append(_Name(_NAMES[module, name]))

    def _reduce(self, _: Any) -> None:
        function, arguments = self._take(2)
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise NotPlain("something is called that is no function")
        if function.name == "encode":
            self.stack.append(_encoded(*arguments))
        elif function.name == "dtype":
            self.stack.append(_dtype(arguments[0]))
        elif function.name == _RECONSTRUCT:
            self.stack.append(_Array())
        elif function.name == _SCALAR:
            dtype, content = arguments
            self.stack.append(_numbers(content, dtype, ())[0])
        elif function.name == _FROMBUFFER:
            content, dtype, shape, order = arguments
            self.stack.append(_Array(_shaped(_numbers(content, dtype, shape), shape, order == "F")))
        else:
            raise NotPlain(f"{function.name} is never called")

    def _build(self, _: Any) -> None:
        target, state = self._take(2)
        if isinstance(target, _Dtype):
            _set_order(target, state)
        elif isinstance(target, _Array):
            target.value = _array(*state)
            target.of_numbers = state[2].code != "O"
        else:
            raise NotPlain("something else than an array is given a state")
        self.stack.append(target)


def _pairs(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if len(items) % 2 or not all(isinstance(key, str | int) for key in keys):
        raise NotPlain("the keys of a dict are text or whole numbers")
    return dict(zip(keys, items[1::2], strict=True))


def _encoded(text: Any, codec: Any) -> bytes:
    """Return the bytes that protocol 2 writes as text."""
    if not isinstance(text, str) or codec != "latin1":
        raise NotPlain("text is encoded otherwise than as latin1")
    return text.encode("latin1")


def _dtype(code: Any) -> _Dtype:
    if code in _OBJECTS:
        return _Dtype("O")
    if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
        raise NotPlain("an array of something else than numbers or plain values")
    return _Dtype(code)


def _set_order(dtype: _Dtype, state: Any) -> None:
    """Give a dtype the byte order that its state names; the state says nothing else."""
    order = state[1]
    if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
        raise NotPlain("a dtype with fields")
    if dtype.code != "O":
        dtype.code = np.dtype(dtype.code).newbyteorder(order).str


def _array(version: Any, shape: Any, dtype: Any, fortran: Any, content: Any) -> list[Any]:
    """Return the list of an array, given the state that numpy writes."""
    if version != 1 or not isinstance(dtype, _Dtype):
        raise NotPlain("an array without its state")
    if dtype.code != "O":
        return _shaped(_numbers(content, dtype, shape), shape, fortran)
    if not isinstance(content, list) or len(content) != _size(shape):
        raise NotPlain("an object array whose objects are not listed")
    return _shaped(content, shape, False)  # numpy lists objects row by row in any order of memory


def _numbers(content: Any, dtype: Any, shape: Any) -> list[Any]:
    """Return the numbers in a buffer, once its length is what dtype and shape need."""
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise NotPlain("numbers that are not bytes")
    if dtype.code == "O":
        raise NotPlain("objects made from bytes")
    kind = np.dtype(dtype.code)
    if len(content) != _size(shape) * kind.itemsize:
        raise NotPlain("an array whose bytes are not as many as its shape needs")
    return list(np.frombuffer(bytes(content), kind).tolist())


def _size(shape: Any) -> int:
    plain = isinstance(shape, tuple) and len(shape) <= DEEPEST
    if not plain or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise NotPlain("a shape that is none")
    return math.prod(shape)


def _shaped(flat: list[Any], shape: tuple[int, ...], fortran: Any) -> list[Any]:
    """Return items in rows, as `ndarray.tolist` nests them."""
    if len(shape) < 2:
        return flat
    if _size(shape) == 0:
        return []
    places = np.arange(len(flat)).reshape(shape, order="F" if fortran else "C")

    def rows(part: Any) -> Any:
        return [rows(row) for row in part] if isinstance(part, list) else flat[part]

    return list(rows(places.tolist()))


class _Plain:
    """Puts lists in the place of arrays, and visits no more than the pickle has instructions.

    (A list that holds another one ten times, which holds a third one ten times, and so on, is short
    as a pickle and endless as a value.)
    """

    def __init__(self, steps: int) -> None:
        self.left = 4 * steps + 16

    def of(self, value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise NotPlain("values nested too deeply")
        if isinstance(value, list | tuple | dict):
            self.left -= 1 + len(value)
            if self.left < 0:
                raise NotPlain("lists that hold each other many times")
        if isinstance(value, _Array):
            if value.value is None:
                raise NotPlain("an array without its state")
            return value.value if value.of_numbers else self.of(value.value, depth + 1)
        if isinstance(value, dict):
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.of(item, depth + 1) for item in value])
        if value is None or isinstance(value, bool | int | float | str | bytes | bytearray):
            return value
        raise NotPlain("a name where a value belongs")

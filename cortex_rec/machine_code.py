"""Loops over arrays for which NumPy has no verb: written in LLVM's language, compiled for this processor in a tenth of a second."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from llvmlite import binding, ir

from cortex_rec.arrays import Array

#: Numbers that are worked on at once; LLVM cuts them into as many registers as the processor needs for them.
LANES: Final = 16

_NAME: Final = "run"
BIT: Final = ir.IntType(1)
I32: Final = ir.IntType(32)
I64: Final = ir.IntType(64)
F32: Final = ir.FloatType()
F64: Final = ir.DoubleType()


class Loops(ir.IRBuilder):  # type: ignore[misc]
    """LLVM's builder, with loops, and with vectors of `LANES` numbers."""

    @contextmanager
    def each(self, start: Any, end: Any) -> Iterator[Any]:
        """The body runs for each int64 from `start` up to, but without, `end`."""
        before = self.block
        test, body, after = (self.append_basic_block() for _ in range(3))
        self.branch(test)
        self.position_at_end(test)
        at = self.phi(I64)
        at.add_incoming(start, before)
        self.cbranch(self.icmp_signed("<", at, end), body, after)
        self.position_at_end(body)
        yield at
        at.add_incoming(self.add(at, I64(1)), self.block)
        self.branch(test)
        self.position_at_end(after)

    def variable(self, value: Any) -> Any:
        """A place for a vector that changes, for `load` and `store`."""
        with self.goto_entry_block():
            place = self.alloca(value.type)
        self.store(value, place)
        return place

    def read(self, array: Any, at: Any) -> Any:
        """An element."""
        return self.load(self.gep(array, [at]))

    def vector(self, array: Any, at: Any) -> Any:
        """The elements from a position on."""
        return self.load(self._place(array, at), align=4)

    def write(self, values: Any, array: Any, at: Any) -> None:
        """Write a vector from a position on."""
        self.store(values, self._place(array, at), align=4)

    def prefetch(self, array: Any, at: Any) -> None:
        """Ask memory for what lies around a position, which may be beyond the array's ends."""
        address, flag = ir.IntType(8).as_pointer(), I32
        call = self._declared("llvm.prefetch.p0i8", ir.VoidType(), [address, flag, flag, flag])
        self.call(call, [self.bitcast(self.gep(array, [at]), address), flag(0), flag(3), flag(1)])

    def ones(self, word: Any) -> Any:
        """How many bits of an int64 are set."""
        return self.call(self._declared("llvm.ctpop.i64", I64, [I64]), [word])

    def lowest(self, word: Any) -> Any:
        """The lowest bit that is set of an int64 that is not zero."""
        return self.call(self._declared("llvm.cttz.i64", I64, [I64, BIT]), [word, BIT(1)])

    def gathered(self, array: Any, at: Any) -> Any:
        """The elements at a vector of positions."""
        result = vector_of(array.type.pointee)(ir.Undefined)
        for lane in range(LANES):
            result = self.insert_element(result, self.read(array, self.extract_element(at, I32(lane))), I32(lane))
        return result

    def repeated(self, value: Any) -> Any:
        """A vector of one value."""
        one = self.insert_element(vector_of(value.type)(ir.Undefined), value, I32(0))
        return self.shuffle_vector(one, one, constant(I32, 0))

    def call_of(self, intrinsic: str, *given: Any) -> Any:
        """LLVM's function of that name on vectors of the first argument's kind."""
        kind = given[0].type
        name = f"llvm.{intrinsic}.v{LANES}{'i' if kind.element == I32 else 'f'}32"
        return self.call(self._declared(name, kind, [each.type for each in given]), given)

    def _declared(self, name: str, result: Any, given: Sequence[Any]) -> Any:
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(result, given), name)
        return self.module.globals[name]

    def _place(self, array: Any, at: Any) -> Any:
        return self.bitcast(self.gep(array, [at]), vector_of(array.type.pointee).as_pointer())


def vector_of(kind: Any) -> Any:
    """The type of `LANES` numbers of a kind."""
    return ir.VectorType(kind, LANES)


def constant(kind: Any, value: float) -> Any:
    """A vector of one number."""
    return vector_of(kind)([value] * LANES)


def compiled(write: Callable[..., None], *kinds: Any) -> "Code":
    """A function of arrays and whole numbers, as code for this processor.

    Parameters
    ----------
    write
        Given `Loops` and the function's arguments, writes what it does.
    kinds
        Of each argument: a type for a number, a list of one for an array of it.

    Returns
    -------
    Code
        To be called with C-contiguous arrays of just these kinds: nothing is checked, neither their kinds nor their ends. Other threads
        go on meanwhile.
    """
    types = [kind[0].as_pointer() if isinstance(kind, list) else kind for kind in kinds]
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), types), _NAME)
    loops = Loops(function.append_basic_block())
    write(loops, *function.args)
    loops.ret_void()
    return Code(_engine(str(function.module)), tuple(ctypes.c_void_p if isinstance(kind, list) else ctypes.c_int64 for kind in kinds))


class Code:
    """A compiled function; its code is in memory as long as its engine."""

    def __init__(self, engine: Any, kinds: tuple[Any, ...]) -> None:
        self._engine = engine
        self._call = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(_NAME))

    def __call__(self, *given: Array | int) -> None:
        self._call(*(each if isinstance(each, int) else each.ctypes.data for each in given))


def _engine(text: str) -> Any:
    """The code of a module in memory."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    module, passes, settings = binding.parse_assembly(text), binding.ModulePassManager(), binding.PassManagerBuilder()
    settings.opt_level = 3
    machine.add_analysis_passes(passes)
    settings.populate(passes)
    passes.run(module)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine

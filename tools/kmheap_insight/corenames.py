# SPDX-License-Identifier: GPL-2.0
"""Names of the kernel's addresses, without debug information; see core.py.

The kernel has the names of its own text in tables (scripts/kallsyms.c), and says since 6.0 to those
who read its dump where these are. Those of a module's text are in its symbol table. What is made of
an address here is what the kernel's own %pS makes of it.
"""
import bisect
import re
import struct

from .coreread import MASK, PAGE, CoreError
from .text import text_of

KALLSYMS = "/proc/kallsyms"
MOST_SYMBOLS, MOST_MODULES, MOST_NAME_BYTES = 1 << 21, 1 << 14, 1 << 26
SYMBOL_BYTES = 24       # of an Elf64_Sym

# Of struct module, in all kernels since 2.6: its link, and its name behind that. Only for the way
# to kmheap's own, whose table has the rest.
LINK_OFFSET, NAME_OFFSET = 8, 24
MODULE_NAME = re.compile(r"[A-Za-z0-9_.,-]{1,63}")
# How far from its struct module kmheap_vmcore may be: both are in the module's data.
NEAR = 1 << 20


class Kernel:
    """The kernel's own symbols: from the dump's tables, in ascending order."""

    def __init__(self, memory):
        self.memory, self.start = memory, memory.info("SYMBOL", "_stext") or 0
        at = {name: memory.info("SYMBOL", "kallsyms_" + name) for name in (
            "names", "num_syms", "token_table", "token_index", "offsets")}
        if None in at.values():
            raise CoreError("the dump does not say where the kernel's symbols are")
        count = memory.integer(at["num_syms"], 4)
        if not 0 < count <= MOST_SYMBOLS:
            raise CoreError("the kernel has %d symbols" % count)
        self.tokens = self._tokens(at)
        self.starts, self.data = self._names(at["names"], count)
        self.addresses = self._addresses(at["offsets"], count)

    def _tokens(self, at):
        index = struct.unpack("<256H", self.memory.read(at["token_index"], 512))
        table = self.memory.read(at["token_table"], max(index) + 1)
        table += self.memory.string(at["token_table"] + len(table)).encode("ascii", "replace")
        return [table[start:].split(b"\0", 1)[0] for start in index]

    def _names(self, at, count):
        """Where the compressed name of each symbol begins: (offset, length), and all bytes."""
        data, starts, offset = bytearray(), [], 0
        for _ in range(count):
            while len(data) < offset + PAGE:
                if len(data) > MOST_NAME_BYTES:
                    raise CoreError("the names of the kernel's symbols have no end")
                data += self._some(at + len(data))
            length = data[offset]
            offset += 1
            if length & 0x80:
                length = length & 0x7f | data[offset] << 7
                offset += 1
            starts.append((offset, length))
            offset += length
        return starts, bytes(data)

    def _some(self, at):
        """Some bytes of what may end on the page before one that is not there."""
        for size in (1 << 20, PAGE - at % PAGE):
            try:
                return self.memory.read(at, size)
            except CoreError:
                pass
        return bytes(2 * PAGE)      # behind the end: nothing is read of it but by damage

    def _addresses(self, at, count):
        """Newer kernels (7.x) have no base: offsets are from where each of them stands. In others they
        are from the base; or absolute, and from it where they are negative
        (CONFIG_KALLSYMS_ABSOLUTE_PERCPU): which, shows the address of a symbol that is known."""
        offsets = struct.unpack("<%di" % count, self.memory.read(at, 4 * count))
        base = self.memory.info("SYMBOL", "kallsyms_relative_base")
        if base is None:
            return [at + 4 * i + offset & MASK for i, offset in enumerate(offsets)]
        base = self.memory.integer(base, 8)
        either = [offset if offset >= 0 else base - 1 - offset for offset in offsets]
        if self.start in either:
            return either
        return [base + (offset & 0xffffffff) for offset in offsets]

    def symbol(self, i):
        offset, length = self.starts[i]
        text = b"".join(self.tokens[token] for token in self.data[offset:offset + length])
        return text_of(text[1:].decode("ascii", "replace"))     # its type is before it

    def address_of(self, name):
        """The address of a symbol that there is once; or None."""
        for i, address in enumerate(self.addresses):
            if self.symbol(i) == name:
                return address
        return None

    def name(self, address):
        """"vfs_write+0x10/0x450", or None for an address that is none of the kernel's own."""
        text = bisect.bisect_left(self.addresses, self.start)
        i = bisect.bisect_right(self.addresses, address) - 1
        end = bisect.bisect_right(self.addresses, address)
        if i < text or end == len(self.addresses):
            return None
        first = bisect.bisect_left(self.addresses, self.addresses[i])
        return "%s+0x%x/0x%x" % (self.symbol(first), address - self.addresses[i],
                                 self.addresses[end] - self.addresses[i])


class Running:
    """The same of the kernel that runs, which lists them in a file."""

    def __init__(self, memory):
        self.memory = memory
        self.all = {}
        rows = []
        try:
            with open(KALLSYMS, encoding="ascii", errors="replace") as file:
                for line in file:
                    words = line.split()
                    self.all.setdefault(words[2], int(words[0], 16))
                    if len(words) == 3:
                        rows.append((int(words[0], 16), words[2]))
        except (OSError, ValueError, IndexError) as error:
            raise CoreError("%s cannot be read: %s" % (KALLSYMS, error)) from None
        self.start = self.all.get("_stext", 0)
        rows.sort(key=lambda row: row[0])
        self.addresses = [address for address, _ in rows]
        self.texts = [name for _, name in rows]

    name = Kernel.name

    def symbol(self, i):
        return text_of(self.texts[i])

    def address_of(self, name):
        return self.all.get(name) or None


class Module:
    """A module's text and its symbols."""

    def __init__(self, layout, address, name):
        self.memory, self.name = layout.memory, name
        self.text = layout.field("module.text", address)
        self.end = self.text + layout.field("module.text_bytes", address)
        self.symbols = None
        self.layout, self.address = layout, address

    def _symbols(self):
        layout = self.layout
        if not layout.has("module.kallsyms"):
            return []
        table = layout.field("module.kallsyms", self.address)
        count = layout.field("mod_kallsyms.num_symtab", table)
        if count > MOST_SYMBOLS:
            raise CoreError("the module %s has %d symbols" % (self.name, count))
        data = self.memory.read(layout.field("mod_kallsyms.symtab", table), count * SYMBOL_BYTES)
        self.strings = layout.field("mod_kallsyms.strtab", table)
        found = []
        for i in range(1, count):
            name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, i * SYMBOL_BYTES)
            if section and self.text <= value < self.end:
                found.append((value, i, name))
        return sorted(found)

    def _name(self, i):
        """The name of a symbol; "" for one that is a mark of the compiler."""
        name = self.memory.string(self.strings + self.symbols[i][2])
        return "" if name.startswith((".L", "L0", "$")) else name

    def symbol_of(self, address):
        """"strtab_line+0x10/0x450 [strtab]", or None."""
        if self.symbols is None:
            self.symbols = self._symbols()
        values = [value for value, _, _ in self.symbols]
        after = bisect.bisect_right(values, address)
        i = after - 1
        while i >= 0:
            first = bisect.bisect_left(values, values[i])
            name = next(filter(None, map(self._name, range(first, i + 1))), "")
            if name:
                break
            i = first - 1
        else:
            return None
        while after < len(values) and not self._name(after):
            after += 1
        end = values[after] if after < len(values) else self.end
        return "%s+0x%x/0x%x [%s]" % (text_of(name), address - values[i], end - values[i],
                                      self.name)


class Names:
    """Names of addresses of the kernel and its modules. LAYOUT, a Core, is set once it is known."""

    def __init__(self, memory):
        self.memory, self.layout = memory, None
        self.live = self._live()
        self._kernel = self._modules = None
        self.known = {}

    def _live(self):
        try:
            import drgn
            return bool(self.memory.prog.flags & drgn.ProgramFlags.IS_LIVE)
        except Exception:       # no program of drgn
            return False

    def kernel(self):
        if self._kernel is None:
            self._kernel = (Running if self.live else Kernel)(self.memory)
        return self._kernel

    def running(self, name):
        """The address of a symbol of the kernel that runs; None for a dump, where it is not listed."""
        return self.kernel().address_of(name) if self.live else None

    def modules(self):
        """Those that are loaded. Their list leads over its head, which is no module."""
        if self._modules is None:
            layout, found = self.layout, []
            own = layout.variable_at("__this_module")
            links = layout.members(layout.at("module.list", own), "module.list", MOST_MODULES,
                                   "modules")
            for address in [own, *links]:
                try:
                    name = self.memory.string(layout.at("module.name", address), 64)
                    if MODULE_NAME.fullmatch(name):
                        found.append(Module(layout, address, name))
                except CoreError:
                    pass
            self._modules = found
        return self._modules

    def _name(self, address):
        try:
            name = self.kernel().name(address)
        except CoreError:       # no tables: addresses of modules have names all the same
            name = None
        if name:
            return name
        for module in self.modules():
            if module.text <= address < module.end:
                return module.symbol_of(address)
        return None

    def name(self, address):
        if address not in self.known:
            try:
                name = self._name(address)
            except CoreError:   # a damaged table leaves the address
                name = None
            self.known[address] = name or "0x%x" % address
        return self.known[address]


def find_near_module(memory, names, name, is_header):
    """The address near the struct module of NAME, in steps of 8 bytes, for which IS_HEADER is true."""
    try:
        head = names.kernel().address_of("modules")
    except CoreError as error:
        raise CoreError("kmheap_vmcore is not found: %s; --address gives it" % error) from None
    if not head:
        raise CoreError("kmheap_vmcore is not found: the kernel does not name its modules "
                        "(CONFIG_KALLSYMS_ALL); --address gives it")
    at, seen, module = memory.integer(head, 8), set(), None
    while at != head:
        if at in seen or len(seen) == MOST_MODULES:
            raise CoreError("the list of modules has no end")
        seen.add(at)
        if memory.string(at - LINK_OFFSET + NAME_OFFSET & MASK, 64) == name:
            module = at - LINK_OFFSET & MASK
            break
        at = memory.integer(at, 8)
    if module is None:
        raise CoreError("the module %s is not loaded" % name)
    for step in range(NEAR // PAGE):
        for page in {(module & -PAGE) + step * PAGE, (module & -PAGE) - step * PAGE}:
            try:
                data = memory.read(page, PAGE)
            except CoreError:
                continue
            for offset in range(0, PAGE, 8):
                if data[offset:offset + 6] == b"KMHEAP" and is_header(page + offset):
                    return page + offset
    raise CoreError("kmheap_vmcore is not near the module %s: the module is older than it, or the "
                    "dump is damaged; --address gives it" % name)

# SPDX-License-Identifier: GPL-2.0
"""Reads of a kernel's memory, and what it leaves for those who read it; see core.py."""
import struct

from .tree import ToolError

MASK = (1 << 64) - 1
IMAGE = 0xffffffff80000000      # where x86-64 maps the kernel's image
PAGE = 4096
MOST_BYTES = 1 << 26
MOST_STRING = 512


class CoreError(ToolError):
    """Why something cannot be read, in one line."""


def _elf_notes(file, header):
    """The contents of the segments of notes of an ELF file."""
    at, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    for i in range(count):
        file.seek(at + i * size)
        kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
        if kind == 4 and length <= MOST_BYTES:
            file.seek(offset)
            yield file.read(length)


def _in_notes(data):
    """The text of the note VMCOREINFO among others; None if it is not there."""
    at = 0
    while at + 12 <= len(data):
        name, text, _ = struct.unpack_from("<III", data, at)
        begin = at + 12 + -(-name // 4) * 4
        if data[at + 12:at + 12 + name] == b"VMCOREINFO\0":
            return data[begin:begin + text]
        at = begin + -(-text // 4) * 4
    return None


def _in_file(path):
    """The same of a dump: an ELF file, or what makedumpfile writes. drgn 0.0.22 has read
    it and does not hand it on."""
    with open(path, "rb") as file:
        header = file.read(4096)
        if header[:5] == b"\x7fELF\2":
            return next(filter(None, map(_in_notes, _elf_notes(file, header))), b"")
        if header[:8] == b"KDUMP   ":
            block, = struct.unpack_from("<i", header, 428)
            file.seek(block + 32)       # in the second header
            offset, size = struct.unpack("<QQ", file.read(16))
            file.seek(offset)
            return file.read(min(size, MOST_BYTES))
    return b""


class Memory:
    """The memory of PROG, which is what the dump PATH has, if that is known."""

    def __init__(self, prog, path=None):
        self.prog, self.path = prog, path
        self.vmcoreinfo = self._vmcoreinfo()
        self._map_image()

    def _map_image(self):
        """Dumps of QEMU have physical addresses alone, unlike those of kdump, and drgn 0.0.22 then does
        not find the kernel's page table, which is in its image. Tell it where on x86-64 that is."""
        image, start = self.info("NUMBER", "phys_base"), self.info("SYMBOL", "_stext")
        if image is None or start is None:
            return
        try:
            self.prog.read(start, 1)
        except Exception:
            self.prog.add_memory_segment(
                IMAGE, self.info("NUMBER", "KERNEL_IMAGE_SIZE") or 1 << 29,
                lambda address, size, offset, physical: self.prog.read(offset + image, size, True))

    def read(self, address, size):
        if size > MOST_BYTES:
            raise CoreError("%d bytes at 0x%x are more than there could be" % (size, address))
        if address + size > 1 << 64:
            raise CoreError("there is no memory at 0x%x" % address)
        try:
            data = self.prog.read(address, size)
        except Exception as error:      # each kind of program has its own
            raise CoreError("memory at 0x%x cannot be read: %s" % (
                address, str(error).splitlines()[0] if str(error) else "not in the dump")) from None
        if len(data) != size:
            raise CoreError("memory at 0x%x cannot be read" % address)
        return data

    def integer(self, address, size, what="it"):
        if size not in (1, 2, 4, 8):
            raise CoreError("%s at 0x%x is a number of %d bytes" % (what, address, size))
        return int.from_bytes(self.read(address, size), "little")

    def string(self, address, most=MOST_STRING):
        """What stands at ADDRESS up to a 0, without a look at the next page if that is not there."""
        data = b""
        while len(data) < most and b"\0" not in data:
            at = address + len(data) & MASK
            data += self.read(at, min(PAGE - at % PAGE, most - len(data)))
        return data[:most].split(b"\0")[0].decode("ascii", "replace")

    def symbol(self, name):
        """The address of a symbol, if somebody has loaded debug information; or None."""
        try:
            return self.prog.symbol(name).address
        except Exception:
            return None

    def _vmcoreinfo(self):
        """{line before "=": behind it} of what the kernel leaves for those who read its dump."""
        try:
            text = self.prog["VMCOREINFO"].string_()
        except Exception:
            try:
                text = _in_file(self.path or self.prog.core_dump_path)
            except Exception:   # not known, no file, or cut off
                text = b""
        lines = text.decode("ascii", "replace").split("\n")
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def info(self, kind, name):
        """An address (kind SYMBOL) or a number (NUMBER) of these lines; None if it is not there."""
        try:
            return int(self.vmcoreinfo["%s(%s)" % (kind, name)], 16 if kind == "SYMBOL" else 0)
        except (KeyError, ValueError):
            return None

# SPDX-License-Identifier: GPL-2.0
"""Files that the tool writes."""
import os
import tempfile


def replace(path, contents):
    """Write PATH so that whoever reads it sees the old CONTENTS or the new ones: text, or bytes."""
    if isinstance(contents, str):
        contents = contents.encode("utf-8")
    new = tempfile.NamedTemporaryFile("wb", dir=os.path.dirname(path) or ".", delete=False,
                                      prefix=".kmheap-")
    try:
        with new:
            new.write(contents)
            os.fchmod(new.fileno(), 0o644)
        os.replace(new.name, path)
    except BaseException:
        os.unlink(new.name)
        raise

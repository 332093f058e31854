# SPDX-License-Identifier: GPL-2.0
"""What the command kmheap is made of. Each file of verbs/ is a verb; the other files know nothing
of verbs."""

# The version of the package, which is that of dkms.conf.
VERSION = "0.1.0"

# The version of the formats that this tool reads, as the file abi of the module says it. A module
# without that file has version 1.
ABI = 1

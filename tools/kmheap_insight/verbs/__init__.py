# SPDX-License-Identifier: GPL-2.0
"""The verbs. A file NAME.py here is the verb NAME, and says:

HELP            one line for the list of all verbs
EXAMPLE         a command line, and what it shows
arguments(p)    adds the verb's own arguments to the argparse parser p
run(args, tree) does it, and returns the exit status; tree is a tree.Tree
"""

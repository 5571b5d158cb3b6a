"""What goes wrong with a command, in one line for the person who typed it."""


class CommandError(Exception):
    """A command cannot do what was asked; the text says why and what to do."""

"""The errors Puna expects, by who must act. Anything else that is raised is our bug and stays loud.

Every floor raises these and nothing below imports anything but this file.
"""


class NodeError(Exception):
    """Something expected went wrong.

    `what` says what was wrong and why; `todo` says what the reader can do about it.
    """

    def __init__(self, what: str, todo: str = ""):
        super().__init__(what, todo)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what} {self.todo}".rstrip() if self.todo else self.what


class Invalid(NodeError):
    """The sender must change what they sent."""


class Missing(NodeError):
    """Nobody here has what was asked for."""


class NotYet(NodeError):
    """Ask again later: the answer may come to exist, or a part of the node is restarting."""

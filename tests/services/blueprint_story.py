"""Loading a blueprint into a process of a story, as a console does: its text is evaluated by the owner."""

from services.story import ALICE, Evaluation, Story, named_id

from puna.services.blueprints.index import BLUEPRINTS, blueprint_source

IDS = {"registry": named_id("REGISTRY"), "token": named_id("TOKEN"), "herder": named_id("HERDER")}


def source_of(name: str) -> str:
    row = next(row for row in BLUEPRINTS if row.name == name)
    return blueprint_source(row, IDS).decode()


def load(story: Story, process: str, name: str, owner: str = ALICE) -> Evaluation:
    return story.send(owner, process, "Eval", source_of(name))


def do(story: Story, process: str, code: str, owner: str = ALICE) -> str:
    """Evaluate as the owner; what that message printed."""
    return story.send(owner, process, "Eval", code).printed


def printed(story: Story, process: str) -> str:
    """All that the process has printed."""
    return "\n".join(each.printed for each in story.log if each.process == process)

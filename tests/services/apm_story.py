"""A story with a package registry and processes that have the package client, as every process has."""

import json
from dataclasses import dataclass

from services.story import ALICE, OPERATOR, Evaluation, Story, named_id

from puna.services import programs
from puna.services.outbox import Sent

REGISTRY = named_id("REGISTRY")
APP = named_id("APP")


@dataclass
class ApmStory(Story):
    """The registry is the operator's, and so are the vendors @apm and @puna. Alice owns the process APP."""

    def __post_init__(self):
        self.spawn("REGISTRY", programs.source(programs.REGISTRY), Vendors="@puna,@sam")
        self.app("APP")

    def app(self, name: str, owner: str = ALICE, source: str = "", **tags: str) -> str:
        return self.spawn(name, source, owner=owner, **({"Apm_Registry": REGISTRY} | tags))

    def do(self, code: str, process: str = APP, owner: str = ALICE) -> Evaluation:
        """Have the process run `code`; returns the evaluation of that message alone."""
        return self.send(owner, process, "Eval", code)

    def tell(self, sender: str, action: str, data: str = "", **tags: str) -> Sent:
        """Ask the registry as a wallet; its answer."""
        return self.ask(sender, REGISTRY, action, data, **tags)

    def publish(self, full: str, version: str, source: str = "return {}", sender: str = OPERATOR, **tags) -> Sent:
        """Publish `@vendor/name`; tags that are no text become JSON."""
        vendor, name = full.split("/")
        named = {key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()}
        data = json.dumps({"source": source})
        return self.tell(sender, "APM.Publish", data, Name=name, Vendor=vendor, Version=version, **named)

    def info(self, reference: str) -> dict:
        return json.loads(self.tell(ALICE, "APM.Info", reference).data)

    def search(self, query: str) -> list[str]:
        found = json.loads(self.tell(ALICE, "APM.Search", query).data)
        return [f"{entry['Vendor']}/{entry['Name']}@{entry['Version']}" for entry in found]

    def said(self, process: str = APP) -> str:
        """All that the process has printed."""
        return "\n".join(each.printed for each in self.log if each.process == process)

    def value(self, expression: str, process: str = APP):
        return self.processes[process].eval(expression)

"""The story as a Link: what the Python clients talk to, with the events that a node would publish."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from services.story import Story

from puna.ao.message import owner_address, tag_list
from puna.ao.result import Result


class Events:
    """A subscription: what was published so far, then the end. A real one would wait instead of ending."""

    def __init__(self, link: "StoryLink"):
        self.waiting, self.link = deque(), link

    async def __aenter__(self):
        self.link.listeners.append(self)
        return self

    async def __aexit__(self, *_):
        self.link.listeners.remove(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.waiting:
            await asyncio.sleep(0)
            if not self.link.later:
                raise TimeoutError
            self.link.later.popleft()()
            self.link.publish_new()
        return self.waiting.popleft()


@dataclass
class StoryLink:
    """`later` holds what happens while the client waits: each step is run when no event is left."""

    story: Story
    listeners: list = field(default_factory=list)
    later: deque = field(default_factory=deque)
    results: dict = field(default_factory=dict)
    known: set = field(default_factory=set)
    submitted: list = field(default_factory=list)
    root: str = ""
    seen: int = 0

    async def submit(self, item):
        if item.id in self.known:
            return
        self.known.add(item.id)
        self.submitted.append(item)
        sender, text = owner_address(item), bytes(item.data).decode()
        if ("Type", "Process") in item.tags:
            booted = self.story.bear(item.id, sender, dict(item.tags), text)
            self.results[item.id, item.id] = Result(tuple(booted.entries), error=booted.error)
            return
        message = self.story._message(item.target, sender, sender, tag_list(item.tags), text, item.id)
        self.root = item.id
        self.publish({"kind": "accepted", "root": item.id, "process": item.target, "message": item.id})
        self.story._apply(item.target, message)
        self.story.settle()
        self.publish_new()

    async def result(self, process, message):
        return self.results[process, message]

    async def preview(self, process, message):
        named = {tag["name"]: tag["value"] for tag in message["Tags"]}
        body = self.story._message(process, message["Owner"], message["Owner"], named, message["Data"])
        evaluation = self.story.processes[process].apply(body)
        return Result(messages=tuple(evaluation.entries), error=evaluation.error)

    def events(self, root=None):
        return Events(self)

    def publish(self, event):
        for listener in self.listeners:
            listener.waiting.append(event)

    def publish_new(self):
        """Turn what the story did since the last time into events."""
        for evaluation in self.story.log[self.seen :]:
            where = {"root": self.root, "process": evaluation.process, "message": evaluation.message}
            result = Result(tuple(evaluation.entries), error=evaluation.error)
            self.results[evaluation.process, evaluation.message] = result
            for entry in evaluation.sent:
                if entry.action == "Inference-Response" and entry.target not in self.story.wallets:
                    for index, word in enumerate(entry.data.split(" ")):
                        self.publish({**where, "kind": "token", "index": index, "text": (" " if index else "") + word})
            self.publish({**where, "kind": "evaluated", "error": evaluation.error})
            for number, entry in enumerate(evaluation.sent):
                if entry.target in self.story.wallets:
                    tags = [{"name": name, "value": value} for name, value in entry.tags.items()]
                    stored = {"message": f"stored-{evaluation.message}-{number}", "target": entry.target}
                    item = {"tags": tags, "data": entry.data}
                    self.publish({**where, **stored, "kind": "stored", "item": item})
        self.seen = len(self.story.log)
        self.publish({"kind": "finished", "root": self.root})

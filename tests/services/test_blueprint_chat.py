"""Chat and chat rooms: processes of several people in one room, and wallets among them."""

import pytest
from services.blueprint_story import do, load, printed
from services.story import ALICE, BOB, Story, named_id

ROOM, ANN, BEN, ROUTER = (named_id(name) for name in ("ROOM", "ANN", "BEN", "ROUTER"))


@pytest.fixture
def it():
    """A room, and two processes with the chat client."""
    story = Story()
    story.spawn("ROOM", "", owner=ALICE)
    load(story, ROOM, "chatroom")
    for process, owner in ((ANN, ALICE), (BEN, BOB)):
        story.spawn(process.rstrip("-A"), "", owner=owner)
        load(story, process, "chat", owner)
    return story


def test_members_hear_what_anybody_says(it):
    assert it.ask(BOB, ROOM, "Register").data == "Registered."
    assert it.ask(BOB, ROOM, "Register").data == "Already registered."
    assert it.ask(ALICE, ROOM, "Broadcast", "hello").data == "Broadcasted."
    (notice,) = it.received(BOB, "Broadcast-Notice")
    assert notice.data == "hello" and notice.tags["Broadcaster"] == ALICE
    assert it.ask(BOB, ROOM, "Unregister").data == "Unregistered"
    assert it.ask(BOB, ROOM, "Unregister").data == "Not registered"
    it.send(ALICE, ROOM, "Broadcast", "anybody?")
    assert len(it.received(BOB, "Broadcast-Notice")) == 1


def test_actions_are_told_apart_by_case(it):
    it.send(BOB, ROOM, "register")
    assert it.processes[ROOM].eval("#Members") == 0


def test_a_full_room_says_so(it):
    do(it, ROOM, "for n = 1, 500 do Members[n] = 'member' .. n end")
    answer = it.ask(BOB, ROOM, "Register")
    assert (answer.data, answer.tags["Result"]) == ("The room is full.", "error")
    assert it.processes[ROOM].eval("#Members") == 500


def test_two_clients_talk_in_a_room(it):
    do(it, ANN, f'Join("{ROOM}", "ann")')
    do(it, BEN, f'Join("{ROOM}", "ben")', BOB)
    do(it, ANN, 'Say("good morning")')
    do(it, BEN, f'Say("and to you", "{ROOM}")', BOB)
    for process in (ANN, BEN):
        for line in ("ann", "good morning", "ben", "and to you"):
            assert line in printed(it, process)
    do(it, BEN, "Leave()", BOB)
    do(it, ANN, 'Say("are you there?")')
    assert "are you there?" not in printed(it, BEN)


def test_rooms_are_joined_by_the_name_that_the_router_tells_whatever_its_case(it):
    do(it, ANN, f'Chat.router = "{ROUTER}" List()')
    assert it.received(ROUTER, "Get-List")
    it.speak(ROUTER, ANN, "Room-List", **{"Room-DevChat": ROOM, "Room-bad": "x"})
    it.speak(named_id("STRANGER"), ANN, "Room-List", **{"Room-Trap": named_id("TRAP")})
    do(it, ANN, 'Join("DevChat", "ann")')
    assert list(it.processes[ROOM].eval("Members").values()) == [ANN]
    assert it.processes[ANN].eval("Chat.rooms.trap") is None and it.processes[ANN].eval("Chat.rooms.bad") is None


def test_published_rooms_are_understood_and_strangers_are_not_heard(it):
    do(it, ANN, f'Join("{ROUTER}", "ann")')
    it.speak(ROUTER, ANN, "Broadcasted", "from the old room", Nickname="olga")
    it.speak(named_id("STRANGER"), ANN, "Broadcasted", "listen to me", Nickname="spam")
    assert "olga" in printed(it, ANN) and "from the old room" in printed(it, ANN)
    assert "listen to me" not in printed(it, ANN)
    do(it, ANN, "Replay(5)")
    assert it.received(ROUTER, "Replay")[0].tags["Depth"] == "5"


def test_tips_are_transfers_of_the_chosen_token(it):
    do(it, ANN, f'Chat.token = "{named_id("TOKEN")}" Tip("{BEN}", 5)')
    (transfer,) = it.received(named_id("TOKEN"), "Transfer")
    assert (transfer.tags["Recipient"], transfer.tags["Quantity"]) == (BEN, "5")


@pytest.mark.parametrize("call, fault", [
    ('Say("x")', "Join a room first"),
    ('Join("Nowhere", "ann")', "There is no room Nowhere in the list"),
    (f'Say("x", "{ROOM}")', "You are not in the room"),
    (f'Join("{ROOM}") Say("")', "Say something"),
    (f'Join("{ROOM}") Replay("many")', "Replay takes a whole number"),
    (f'Tip("{ROOM}", 5)', "Say which token pays tips"),
    (f'Chat.token = "{ROOM}" Tip("{ROOM}", -5)', "A tip is a whole number of units"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(it, call, fault):
    assert fault in do(it, ANN, f"local ok, fault = pcall(function() {call} end) return fault")

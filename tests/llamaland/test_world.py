"""A world under the real runtime: who stands where, what is said, and whatever people send instead."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from services.story import ALICE, BOB, OPERATOR, Story, named_id

from puna.llamaland.cast import CAST, WORLD
from puna.llamaland.genesis import settlement
from puna.llamaland.land import Land
from puna.llamaland.places import WORLDS, Warp
from puna.services import programs

TOWN, KEY, CAROL, KING = named_id("TOWN"), named_id("KEY"), named_id("CAROL"), named_id("KING")
LAND = Land(
    named_id("COIN"), {each.key: named_id(each.key.upper()) for each in CAST},
    {"town": TOWN, "meadow": named_id("MEADOW")},
)  # fmt: skip
MINUTE_MS = 60_000


@dataclass
class World(Story):
    """The town, settled; `act` returns the tags of the answer, or None when there is none."""

    def __post_init__(self):
        self.spawn("TOWN", programs.source(WORLD), Name="Llama Town")
        self.clock.pass_ms(86_400_000)
        settled = settlement(WORLDS[0], LAND)
        assert self.act(OPERATOR, "Reality.Settle", settled)["Result"] == "OK"

    def act(self, who: str, action: str, data=None, **tags):
        text = data if isinstance(data, str) else "" if data is None else json.dumps(data)
        evaluation = self.send(who, TOWN, action, text, **tags)
        answer = next((entry for entry in evaluation.sent if entry.target == who), None)
        return None if answer is None else {**answer.tags, "Data": answer.data}

    def enter(self, who: str, name: str = "Ann", at=(20, 20), **metadata):
        wanted = {"Type": "Avatar", "Position": at, "Metadata": {"DisplayName": name, **metadata}}
        return self.act(who, "Reality.EntityCreate", wanted)

    def move(self, who: str, x, y, **tags):
        return self.act(who, "Reality.EntityUpdatePosition", {"Position": [x, y]}, **tags)

    def say(self, who: str, text: str = "hello", **tags):
        return self.act(who, "ChatMessage", text, **tags)

    def seen(self, who: str = CAROL, since: int = 0, initial: bool = True) -> dict:
        asked = {"Timestamp": since, "Initial": initial}
        return json.loads(self.act(who, "Reality.EntitiesDynamic", asked)["Data"])

    def lines(self, **tags) -> list[dict]:
        return json.loads(self.act(CAROL, "ChatHistory", **tags)["Data"])

    def at(self, who: str):
        return tuple(self.seen()[who]["Position"])

    def now(self) -> int:
        return self.clock.tip().timestamp_ms


@pytest.fixture
def world():
    return World()


# Standing and walking ----------------------------------------------------------------------------------------------


def test_a_world_says_what_it_is_like(world):
    info = json.loads(world.act(ALICE, "Reality.Info")["Data"])
    assert (info["Name"], info["Dimensions"], info["Render-With"]) == ("Llama Town", 2, "2D-Tile-0")
    assert json.loads(world.act(ALICE, "Reality.Parameters")["Data"])["Bounds"] == {"Lower": [0, 0], "Upper": [40, 30]}
    static = json.loads(world.act(ALICE, "Reality.EntitiesStatic")["Data"])
    assert static[KING]["Metadata"]["Interaction"] == {"Type": "SchemaExternalForm", "Id": "Petition", "Target": KING}
    warp = static[LAND.worlds["meadow"]]["Metadata"]["Interaction"]
    assert (warp["Type"], warp["Target"]) == ("Warp", LAND.worlds["meadow"])


def test_a_player_enters_walks_and_leaves_and_another_sees_it(world):
    answer = world.enter(ALICE, SkinNumber=3)
    assert (answer["Result"], json.loads(answer["Data"])[ALICE]["Position"]) == ("OK", [20, 20])
    assert world.seen(BOB)[ALICE]["Metadata"] == {"DisplayName": "Ann", "SkinNumber": 3, "_": False}
    world.clock.pass_ms(250)
    assert world.move(ALICE, 20.5, 20.125)["Result"] == "OK"
    assert world.at(ALICE) == (20.5, 20.125)
    assert world.act(ALICE, "Reality.EntityHide")["Result"] == "OK"
    assert ALICE not in world.seen(BOB)
    assert world.seen(BOB, since=world.now() - 1, initial=False)[ALICE]["StateCode"] == 0


def test_a_path_ends_at_its_last_place_and_a_cast_move_is_not_answered(world):
    world.enter(ALICE)
    told = world.act(ALICE, "Reality.EntityUpdatePosition", {"Path": [[21, 20], [21, 21], [22, 21]]})
    assert told["Result"] == "OK" and world.at(ALICE) == (22, 21)
    assert world.move(ALICE, 23, 21, Cast="1") is None and world.at(ALICE) == (23, 21)
    assert world.move(ALICE, 99, 21, Cast="1")["Error"] == "Position outside the world"


def test_nobody_walks_faster_than_a_llama_and_the_refusal_says_where_one_is(world):
    world.enter(ALICE, at=(2, 2))
    told = world.move(ALICE, 38, 28)
    assert told["Error"] == "Too fast" and json.loads(told["Data"])[ALICE]["Position"] == [2, 2]
    for step in range(100):  # what a client does that lies about every step
        world.move(ALICE, 2 + step % 2 * 10, 2)
    walked = world.processes[TOWN].eval(f"40 - World.entities['{ALICE}'].reach")
    assert walked == 40 and world.at(ALICE) == (2, 2)
    assert world.move(ALICE, 3, 2)["Error"] == "Too fast"
    world.clock.pass_ms(2000)  # is good for sixteen tiles
    assert world.move(ALICE, 19, 2)["Error"] == "Too fast" and world.move(ALICE, 18, 2)["Result"] == "OK"


def test_creating_again_changes_looks_but_not_the_place_and_a_hidden_one_may_come_through_any_door(world):
    world.enter(ALICE, at=(5, 5))
    world.enter(ALICE, name="Anna", at=(9, 9))
    assert world.at(ALICE) == (5, 5) and world.seen()[ALICE]["Metadata"]["DisplayName"] == "Anna"
    world.act(ALICE, "Reality.EntityHide")
    world.enter(ALICE, name="Anna", at=(9, 9))
    assert world.at(ALICE) == (5, 5)
    for _ in range(2):  # as far as it gets
        world.move(ALICE, 37, 28)
        world.move(ALICE, 2, 2)
    world.act(ALICE, "Reality.EntityHide")
    world.enter(ALICE, name="Anna")
    assert world.move(ALICE, 37, 28)["Result"] == "OK"
    assert world.move(ALICE, 2, 2)["Error"] == "Too fast"


@pytest.mark.parametrize(("data", "fault"), [
    ({"Position": [1, 2, 3]}, "Invalid Position length"), ({"Position": [1]}, "Invalid Position length"),
    ({"Position": "here"}, "Invalid Position value"), ({"Position": ["1", "2"]}, "Invalid Position value"),
    ({"Position": [1, None]}, "Invalid Position length"), ({"Position": [1, {}]}, "Invalid Position value"),
    ({"Position": [-0.1, 5]}, "Position outside the world"), ({"Position": [5, 30.5]}, "Position outside the world"),
    ({"Position": [1e308, 5]}, "Position outside the world"), ("{\"Position\":[1e999,5]}", "Invalid Position value"),
    ({}, "Position not found"), ("", "Position not found"), ("no json", "Invalid Data"), ("[1,2", "Invalid Data"),
    ("7", "Invalid Data"), ("x" * 20_000, "Invalid Data"), ("[" * 15_000, "Invalid Data"),
    ({"Path": []}, "Position not found"), ({"Path": 5}, "Position not found"), ({"Path": [[1, 2]] * 65}, "at most 64"),
    ({"Path": [[20, 20], [20, 99]]}, "Position outside the world"),
], ids=lambda value: str(value)[:30])  # fmt: skip
def test_a_place_that_is_none_is_refused_and_nothing_moves(world, data, fault):
    world.enter(ALICE)
    told = world.act(ALICE, "Reality.EntityUpdatePosition", data)
    assert told["Result"] == "Error" and fault in told["Error"] and len(told["MsgRef"]) == 43
    assert world.at(ALICE) == (20, 20)


def test_moving_without_being_there_is_refused(world):
    assert world.move(ALICE, 5, 5)["Error"] == "Entity not found"


# Who may do what ---------------------------------------------------------------------------------------------------


def test_67_only_the_entity_the_owner_and_a_warp_master_hide_or_fix(world):
    world.enter(ALICE)
    for action in ("Reality.EntityHide", "Reality.EntityFix"):
        assert "Only the entity itself" in world.act(BOB, action, EntityId=ALICE)["Error"]
        assert world.seen()[ALICE]["StateCode"] == 2
    assert world.act(ALICE, "Reality.EntityFix")["Result"] == "OK" and world.seen()[ALICE]["StateCode"] == 1
    assert world.act(OPERATOR, "Reality.EntityHide", EntityId=ALICE)["Result"] == "OK" and ALICE not in world.seen()
    assert world.act(OPERATOR, "Reality.Settle", {"Masters": [BOB]})["Result"] == "OK"
    assert world.act(BOB, "Reality.EntityFix", EntityId=ALICE)["Result"] == "OK"
    assert world.seen()[ALICE]["StateCode"] == 1
    assert world.act(BOB, "Reality.EntityFix", EntityId="nobody")["Error"] == "Entity not found"
    assert world.act(ALICE, "Reality.Settle", {"Info": {}})["Error"].startswith("Only the owner")


def test_a_session_key_moves_and_speaks_for_its_wallet_until_it_expires(world):
    assert world.act(ALICE, "Reality.Session", Session_Key=KEY, Expires=str(world.now() + 60_000))["Result"] == "OK"
    world.enter(KEY)
    assert KEY not in world.seen() and world.move(KEY, 21, 20)["Result"] == "OK"
    assert world.at(ALICE) == (21, 20)
    world.say(KEY)
    assert (world.lines()[0]["AuthorId"], world.lines()[0]["AuthorName"]) == (ALICE, "Ann")
    world.clock.pass_ms(60_000)
    assert world.move(KEY, 22, 20)["Error"] == "Entity not found"


def test_a_wallet_ends_its_sessions_and_nobody_makes_a_session_of_another_wallet(world):
    world.act(ALICE, "Reality.Session", Session_Key=KEY)
    assert world.act(ALICE, "Reality.Session")["Result"] == "OK"
    assert world.move(KEY, 21, 20)["Error"] == "Entity not found"
    world.enter(BOB, name="Bob")
    assert "in use" in world.act(ALICE, "Reality.Session", Session_Key=BOB)["Error"]
    assert "character" in world.act(ALICE, "Reality.Session", Session_Key=KING)["Error"]
    # Said before the other came: the wallet takes itself back with the first thing that a client does.
    assert world.act(ALICE, "Reality.Session", Session_Key=CAROL)["Result"] == "OK"
    world.act(CAROL, "Reality.Session", Session_Key=KEY)
    world.enter(KEY, name="Carol")
    assert CAROL in world.seen() and ALICE not in world.seen()
    for bad in ({"Session_Key": "short"}, {"Session_Key": ALICE}, {"Session_Key": KEY, "Expires": "soon"},
                {"Session_Key": named_id("OTHER"), "Expires": "5"}):  # fmt: skip
        assert world.act(ALICE, "Reality.Session", **bad)["Result"] == "Error", bad


# Names and looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "Llama King", "llama king", "LLAMA  KING", "LlamaKing", "Llаma King", "L1ama King", "Llama-King!", "Llama Кing",
    "Oracle LIama", "Llama\u200b King", "Llama King\u202e", "Llama Bank\u0435r", "Ll\u0430m\u0430 J\u043eker",
])  # fmt: skip
def test_nobody_bears_the_name_of_a_character_however_it_is_spelled(world, name):
    assert "belongs to somebody else" in world.enter(ALICE, name=name)["Error"]
    assert "belongs to somebody else" in world.say(ALICE, Author_Name=name)["Error"]
    assert world.lines() == [] and world.seen() == {}


def test_the_character_itself_bears_it(world):
    assert world.say(KING, "Hear!", Author_Name="Llama King") is None
    assert world.lines()[0]["AuthorName"] == "Llama King"


@pytest.mark.parametrize(("name", "kept"), [
    ("<b>Ann</b>", "b Ann /b"), ("<script>alert(1)</script>", "script alert(1) /scr"), ("Ann\r\n\tB", "Ann B"),
    ("Zoë", "Zoë"), ("小明", "小明"), ("A" * 50, "A" * 20), ("ö" * 15, "ö" * 10), ("\u202eAnn", "Ann"),
    ("  Ann  ", "Ann"), ('A"n&n', "Ann"),
])  # fmt: skip
def test_names_are_cleaned_of_what_is_no_name(world, name, kept):
    assert world.enter(ALICE, name=name)["Result"] == "OK"
    assert world.seen()[ALICE]["Metadata"]["DisplayName"] == kept


@pytest.mark.parametrize("metadata", [
    {"DisplayName": ""}, {"DisplayName": "<>"}, {"DisplayName": 7}, {"DisplayName": "!?"}, {"DisplayName": "\u200b"},
    {"SkinNumber": 10}, {"SkinNumber": -1}, {"SkinNumber": 1.5}, {"SkinNumber": "3"}, {"Note": "x" * 5000},
    {"Interaction": {"Type": "Warp", "Target": TOWN}}, {"Interaction": {"Type": "Other"}}, {"Interaction": 5}, "text",
], ids=str)  # fmt: skip
def test_looks_that_are_not_allowed_are_refused(world, metadata):
    told = world.act(ALICE, "Reality.EntityCreate", {"Metadata": metadata})
    assert told["Result"] == "Error" and world.seen() == {}


def test_no_markup_gets_through_whatever_is_put_into_metadata(world):
    hostile = {
        "DisplayName": "Ann",
        "A<b>": "<img src=x onerror=alert(1)>",
        "Deep": {"x": ["<svg/onload=1>", "\u202e"]},
    }
    assert world.act(ALICE, "Reality.EntityCreate", {"Metadata": hostile})["Result"] == "OK"
    world.say(ALICE, "<script>alert(1)</script>\x07 hi \u202edne", Author_Name="Ann")
    shown = json.dumps([world.seen(), world.lines()], ensure_ascii=False)
    assert not any(mark in shown for mark in "<>\u202e\x07")


# What is said ------------------------------------------------------------------------------------------------------


def test_lines_are_numbered_and_read_from_where_one_was(world):
    for number in range(1, 4):
        world.say(ALICE, f"line {number}", Author_Name="Ann")
        world.clock.pass_ms(1000)
    assert [line["Content"] for line in world.lines()] == ["line 3", "line 2", "line 1"]
    assert world.act(ALICE, "ChatCount")["Data"] == "3"
    assert [line["Id"] for line in world.lines(Id_After="1")] == [3, 2]
    assert [line["Id"] for line in world.lines(Id_Before="3", Limit="1")] == [2]
    middle = world.lines()[1]["Timestamp"]
    assert [line["Id"] for line in world.lines(Timestamp_Start=str(middle), Timestamp_End=str(middle))] == [2]
    for bad in ({"Limit": "0"}, {"Limit": "101"}, {"Limit": "x"}, {"Id_After": "-"}, {"Timestamp_Start": "1.5"}):
        assert world.act(ALICE, "ChatHistory", **bad)["Result"] == "Error", bad


def test_a_line_for_one_is_marked_private_and_a_line_may_name_its_inference(world):
    world.say(
        KING, "hm", Author_Name="Llama King", Recipient=ALICE, Kind="thinking", Root="R" * 43, Inference="herder-1"
    )
    line = world.lines()[0]
    assert line["Private"] is True and line["Recipient"] == ALICE
    assert (line["Kind"], line["Root"], line["Inference"]) == ("thinking", "R" * 43, "herder-1")


@pytest.mark.parametrize(("text", "tags", "fault"), [
    ("", {"Author_Name": "Ann"}, "Invalid Content"), ("  \n ", {"Author_Name": "Ann"}, "Invalid Content"),
    ("x" * 1001, {"Author_Name": "Ann"}, "Invalid Content"), ("hi", {}, "Invalid Author Name"),
    ("hi", {"Author_Name": ""}, "Invalid Author Name"), ("hi", {"Author_Name": "x" * 5000}, "Invalid Author Name"),
    ("hi", {"Author_Name": "Ann", "Recipient": "<b>"}, "Invalid Recipient"),
])  # fmt: skip
def test_lines_that_cannot_be_said_are_refused(world, text, tags, fault):
    assert world.say(ALICE, text, **tags)["Error"] == fault and world.lines() == []


def test_who_speaks_too_fast_is_asked_to_wait_and_others_are_not(world):
    told = [world.say(ALICE, str(n), Author_Name="Ann") for n in range(8)]
    assert told[:5] == [None] * 5 and {each["Error"] for each in told[5:]} == {"You speak too fast; wait a moment"}
    assert world.say(BOB, "hello", Author_Name="Bob") is None
    world.clock.pass_ms(1000)
    assert world.say(ALICE, "slowly", Author_Name="Ann") is None


# Memory ------------------------------------------------------------------------------------------------------------


def test_what_is_over_is_forgotten(world):
    for number in range(600):
        world.say(KING, f"line {number}", Author_Name="Llama King")
    assert world.processes[TOWN].eval("#World.lines == 0 or World.lines[100] == nil and World.lines[101].Id == 101")
    assert [line["Id"] for line in world.lines(Id_Before="102")] == [101]
    world.enter(ALICE)
    world.act(ALICE, "Reality.Session", Session_Key=KEY, Expires=str(world.now() + 1000))
    world.enter(BOB, name="Bob")
    world.act(BOB, "Reality.EntityFix")
    world.clock.pass_ms(31 * MINUTE_MS)
    world.say(CAROL, "hello", Author_Name="Carol")
    held = world.processes[TOWN].eval("World.count .. ' ' .. World.fixed .. ' ' .. World.session_count")
    assert held == "1 1 0" and set(world.seen()) == {BOB}


def test_a_full_world_says_so_and_makes_room_for_the_next(world):
    for number in range(1000):
        world.enter(named_id(f"P{number}"), name=f"P {number}")
    assert "full" in world.enter(ALICE)["Error"]
    world.clock.pass_ms(11 * MINUTE_MS)
    assert world.enter(ALICE)["Result"] == "OK"


def test_the_greeter_hears_of_each_arrival_once(world):
    giver = LAND.characters["giver"]
    world.enter(ALICE)
    world.act(ALICE, "Reality.EntityHide")
    world.enter(ALICE)
    (arrived,) = world.received(giver, "Reality.Arrived")
    assert (arrived.tags["Account"], arrived.tags["World"]) == (ALICE, "Llama Town")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["Position", "Path", "Metadata", "Type", "DisplayName", "Interaction", "Timestamp"]), inner,
        max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip
ACTIONS = [
    "Reality.EntityCreate", "Reality.EntityUpdatePosition", "Reality.EntitiesDynamic", "Reality.EntityHide",
    "Reality.EntityFix", "Reality.Session", "Reality.Settle", "ChatMessage", "ChatHistory", "ChatCount", "Reality.Info",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ACTIONS), JSON | st.text(max_size=30),
    st.dictionaries(st.sampled_from(["EntityId", "Session-Key", "Expires", "Author-Name", "Recipient", "Limit"]),
                    st.text(max_size=30)),
)  # fmt: skip
@example("Reality.EntityCreate", {"Metadata": [False]}, {})  # a list is no metadata
@example("Reality.EntityCreate", {"Metadata": [None, 1]}, {})
def test_nothing_a_stranger_sends_makes_a_world_fail_or_forget_where_its_people_are(steady, action, data, tags):
    text = data if isinstance(data, str) else json.dumps(data)
    named = [{"name": "Action", "value": action}, *({"name": name, "value": value} for name, value in tags.items())]
    steady.send_tags(BOB, TOWN, named, text)
    for id, entity in steady.seen().items():
        assert id in (ALICE, BOB) and 0 <= entity["Position"][0] <= 40 and 0 <= entity["Position"][1] <= 30
    assert steady.at(ALICE) == (20, 20)


@pytest.fixture(scope="module")
def steady():
    world = World()
    world.enter(ALICE)
    world.act(ALICE, "Reality.EntityFix")
    return world


def test_places_come_from_the_map_where_there_is_one(tmp_path, monkeypatch):
    marks = [
        {"name": "spawn", "type": "spawn", "x": 32, "y": 48, "width": 0, "height": 0},
        {"name": "king", "type": "character", "x": 160, "y": 80, "width": 0, "height": 0},
        {"name": "meadow", "type": "warp", "x": 624, "y": 304, "width": 16, "height": 64,
         "properties": [{"name": "arrive", "value": "2 20"}, {"name": "target", "value": "meadow"}]},
    ]  # fmt: skip
    drawn = {"width": 41, "height": 31, "layers": [{"name": "Places", "objects": marks}]}
    monkeypatch.setattr("puna.llamaland.places.ASSETS", tmp_path)
    assert WORLDS[0].drawn() == WORLDS[0]
    (tmp_path / "town.tmj").write_text(json.dumps(drawn))
    town = WORLDS[0].drawn()
    assert (town.width, town.height, town.spawn, town.characters["king"]) == (41, 31, (2, 3), (10, 5))
    assert town.warps == (Warp("meadow", (39, 19), (1, 4), (2, 20)),)

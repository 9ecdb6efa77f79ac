"""What a process does with a message. Numbers in names are those of the conformance list of aos."""

import json

import pytest
from vm.lua.hosts import HOSTS
from vm.lua.stories import ALICE, BOB, MESSENGER, MODULE, OTHER, PROCESS, Process, plain

PROMPT = "tester@aos-2.0.4[Inbox:1]> "


# --- birth ---------------------------------------------------------------------------------------------------------


def test_statement_1_a_fresh_process_answers_its_spawn_item(host):
    process = Process(host)
    answer = process.spawn()
    assert set(answer.output) == {"data", "prompt", "print"}
    assert (answer.data, plain(answer.output["prompt"]), answer.output["print"]) == ("", PROMPT, True)
    assert process.ask("#Inbox") == "1" and process.ask("Owner") == ALICE and process.ask("Name") == "tester"


def test_a_process_without_name_is_called_aos(host):
    process = Process(host, name=None)
    process.spawn()
    assert process.ask("Name") == "aos"


def test_the_environment_may_come_wrapped(host):
    process = Process(host)
    process.spawn()
    message = process.message("return ao.id .. ao.env.Process.Id", tags=[("Action", "Eval")])
    answer = host.handle(message, {"env": process.environment})
    assert answer["response"]["Output"]["data"] == PROCESS + PROCESS


def test_statement_2_a_child_is_owned_by_its_parent_even_untrusted(host):
    process = Process(host, tags=[("From-Process", OTHER)], owner="unknown-messenger")
    process.spawn()
    reading = process.send("return Owner", action="Eval", sender=OTHER, signer=MESSENGER)
    assert reading.data == OTHER


def test_statement_38_failing_boot_code_leaves_an_owned_process_that_answers(host):
    process = Process(host, tags=[("On-Boot", "Data")])
    booted = process.spawn("error('no')")
    assert booted.error.endswith('[string "aos"]:1: no')
    assert process.ask("Owner") == ALICE and process.ask("Name") == "tester"
    assert process.eval("math.random(10)").error is None


def test_a_process_whose_spawn_was_never_evaluated_knows_its_owner(host):
    process = Process(host)
    assert process.eval("Owner").data == ALICE
    assert process.send("Owner", action="Eval", signer=BOB).data.startswith("New Message From bob...bbb")


def test_statement_38_boot_code_in_the_spawn_item_runs_once(host):
    process = Process(host, tags=[("On-Boot", "Data")])
    booted = process.spawn("Runs = (Runs or 0) + 1; Send({Target = Owner, Action = 'Born'}); return 'hello'")
    assert booted.data == "hello" and [m.tags["Action"] for m in booted.messages] == ["Born"]
    assert process.ask("Runs") == "1" and process.ask("#Inbox") == "1"


def test_the_handlers_of_a_fresh_process(process):
    """Reference 1.3."""
    assert process.ask("table.concat(Utils.map(function(h) return h.name end, Handlers.list), ' ')") == (
        "APM.DownloadResponse APM.SearchResponse APM.InfoResponse APM.UpdateResponse _eval _default"
    )


# --- eval ----------------------------------------------------------------------------------------------------------


def test_statement_3_eval_of_a_sum(process):
    answer = process.eval("1+1")
    assert answer.output["data"] == "2" and plain(answer.output["prompt"]) == PROMPT
    assert set(answer.output) == {"data", "prompt", "test"} and '"2"' in answer.output["test"]


def test_statement_4_eval_shows_tables(process):
    assert process.eval("{}").output["data"] == "{  }"
    assert process.eval("nil").output["data"] == "" and process.eval("unknown_name").output["data"] == ""
    assert process.eval("{1,2}").output["data"] == "{ \x1b[34m1\x1b[0m, \x1b[34m2\x1b[0m }"
    assert process.eval('{a = {b = "c"}, d = true}').data == '{\n   a = {\n     b = "c"\n  },\n   d = true\n}'
    assert process.eval("{1, {2}}").data == "{\n  1,\n  { 2 }\n }"
    assert process.eval("{1, x = 2}").data == "{\n   1 = 1,\n   x = 2\n}"
    assert process.eval("local t = {} t.t = t return t").data == "{\n   t = <circular reference>\n}"
    assert process.eval("local t = {} t[1] = t return t").data == "{\n  <circular reference>\n }"


def test_statement_5_a_second_truthy_value_is_an_error(process):
    answer = process.eval("Send({Target = 'x'}) return 1, 2")
    assert answer.error == 2 and answer.messages == []


def test_statement_6_a_raised_error_ends_the_error_text(process):
    error = process.eval('print("before") error("boom")').error
    assert error == 'before\n\n\x1b[31merror:\n\x1b[0m[string "aos"]:1: boom'


@pytest.mark.parametrize("code", ["error({})", "error()", "error(nil)", "error({code = 1})", "error(true)"])
def test_an_error_that_is_no_text_is_reported_all_the_same(process, code):
    assert "error:" in process.eval(code).error


def test_statement_7_a_compile_error_names_its_line(process):
    assert process.eval("x y").error.startswith('[string "aos"]:1:')
    assert process.eval("\n\nlocal = 1").error.startswith('[string "aos"]:3:')


def test_statement_8_eval_by_a_stranger_lands_in_the_inbox(process):
    answer = process.send("Hacked = true", action="Eval", signer=BOB)
    assert answer.data == "New Message From bob...bbb: Action = Eval" and answer.output["print"] is True
    assert process.ask("Hacked") == "nil" and process.ask("#Inbox") == "2"
    assert process.ask("Inbox[2].Data") == "Hacked = true"


def test_a_program_may_give_its_process_away(process):
    assert process.eval(f"Owner = '{BOB}'").error is None
    assert process.eval("1").data.startswith("New Message")
    assert process.send("1+1", action="Eval", signer=BOB).data == "2"


# --- errors in handlers --------------------------------------------------------------------------------------------


def test_an_error_in_a_handler_is_told_with_its_place(process):
    process.eval('Handlers.add("Break", function(msg) print("half way") error("no") end)')
    answer = process.send("x", action="Break", signer=BOB)
    text = plain(answer.error)
    assert text.startswith("half way\nError handling message with Action = Break\n")
    assert "stack traceback:" in text and ".handlers" not in text
    assert answer.error.endswith('\n\n\x1b[31merror:\n\x1b[0m[string "aos"]:1: no')
    assert answer.messages == []


def test_statement_9_an_error_takes_everything_back(module_process):
    process = module_process
    process.eval('Count = 0; Handlers.add("Break", function() Count = 1; ao.send({Target = "x"}); error("no") end)')
    before = process.ask("ao.reference .. '/' .. #Inbox .. '/' .. #Errors")
    assert process.send(action="Break", signer=BOB).messages == []
    assert process.ask("ao.reference .. '/' .. #Inbox .. '/' .. #Errors") == before and process.ask("Count") == "0"


# --- messages ------------------------------------------------------------------------------------------------------


def test_statement_10_tags_become_fields_in_one_spelling(process):
    process.eval('Handlers.add("Read", function(msg) Got = msg end)')
    process.send(action="Read", signer=BOB, tags=[("X-camelCase", "1"), ("foo_bar", "2"), ("lower", "3")])
    assert process.ask('rawget(Got, "X-Camelcase") .. rawget(Got, "Foo-Bar") .. rawget(Got, "Lower")') == "123"
    assert process.ask('Got["X-camelCase"] .. Got.Tags["X-camelCase"] .. Got.foo_bar .. Got.lower') == "1123"
    assert process.ask('rawget(Got, "X-camelCase")') == "nil"
    assert process.ask('ao.clone(Got)["X-camelCase"]') == "1"


def test_statement_11_of_two_tags_with_one_name(process):
    process.eval('Handlers.add("Read", function(msg) Got = msg end)')
    process.send(action="Read", signer=BOB, tags=[("K", "1"), ("K", "2"), ("camelCase", "3"), ("camelCase", "4")])
    assert process.ask("Got.Tags.K .. Got.K .. #Got.TagArray") == "128"
    assert process.ask("Got.Tags.camelCase .. Got.camelCase") == "34"


def test_statement_12_a_sender_cannot_forge_what_the_node_says(process):
    process.eval('Handlers.add("Read", function(msg) Got, Now = msg, os.time() end)')
    forged = [("Id", "f"), ("ID", "g"), ("timestamp", "1"), ("Block_Height", "2"), ("Nonce", "3"), ("Cron", "yes")]
    message = process.message(signer=BOB, tags=[("Action", "Read"), *forged])
    process.give(message)
    assert process.ask("Got.Id") == message["Id"] and process.ask("Now") == str(message["Timestamp"])
    assert process.ask('Got["Block-Height"]') == str(message["Block-Height"])
    assert process.ask("tostring(Got.Cron) .. Got.Nonce") == f"false{message['Nonce']}"
    assert process.ask("Got.Tags.Id .. Got.ID .. Got.Tags.Timestamp") == "fg1"


def test_statement_13_a_tag_never_replaces_data_or_sender(process):
    process.eval('Handlers.add("Read", function(msg) Got = msg end)')
    forged = [("Data", "f"), ("data", "f"), ("from", MESSENGER), ("OWNER", MESSENGER), ("target", "f"), ("Tags", "f")]
    process.send("true data", action="Read", signer=BOB, tags=forged)
    assert process.ask("Got.Data .. Got.From .. Got.Owner .. Got.Target") == "true data" + BOB + BOB + PROCESS
    assert process.ask("Got.from .. Got.data") == BOB + "true data"
    assert process.ask("Got.Tags.Data") == "f"


def test_statement_14_json_data_arrives_as_a_table(process):
    process.eval('Handlers.add("Read", function(msg) Got = msg.Data end)')
    json_tag = [("Content-Type", "application/json")]
    process.send('{"a": [1, 2, "3"]}', action="Read", signer=BOB, tags=json_tag)
    assert process.ask("Got.a[1] + Got.a[2] .. Got.a[3]") == "33"
    process.send(None, action="Read", signer=BOB, tags=json_tag)
    assert process.ask("type(Got) .. tostring(next(Got))") == "tablenil"
    broken = process.send('{"a":', action="Read", signer=BOB, tags=json_tag)
    assert broken.raw["ok"] is False and "at line 1 col" in broken.error


def test_statement_15_messages_of_unknown_carriers_are_not_handled(process):
    process.eval('Handlers.add("Hi", function(msg) Greeted = msg.From; msg.reply({Data = "hi"}) end)')
    refused = process.send(action="Hi", sender=OTHER, signer="somebody")
    assert refused.data == f"Message is not trusted! From: {OTHER} - Owner: somebody"
    assert refused.messages == [] and process.ask("Greeted") == "nil" and process.ask("#Inbox") == "1"
    assert [m.target for m in process.from_process(action="Hi").messages] == [OTHER]
    assert process.ask("Greeted") == OTHER


def test_statement_16_an_authority_tag_may_list_several(host):
    process = Process(host, tags=[("Authority", "a,b,,c")])
    process.spawn()
    assert process.ask("table.concat(ao.authorities, '/')") == f"{MESSENGER}/a/b/c"
    for authority in "abc":
        assert process.send("x", sender=OTHER, signer=authority).data.startswith("New Message")


def test_statement_17_assigned_items_need_a_pattern(process):
    process.eval('Handlers.add("As", function(msg) Seen = msg.Data end)')
    refused = process.send("1", action="As", signer=BOB, Target="")
    assert [(m.target, m.data) for m in refused.messages] == [(BOB, "Assignment is not trusted by this process!")]
    assert refused.data == f"Assignment is not trusted! From: {BOB} - Owner: {BOB}"
    process.eval('ao.addAssignable("t", {Action = "Other"}) ao.addAssignable("t", {Action = "As"})')
    assert process.send("2", action="As", signer=BOB, Target="").messages == []
    assert process.ask("Seen") == "2" and process.ask("#ao.assignables") == "1"
    process.eval('ao.removeAssignable(7) ao.removeAssignable("t")')
    assert process.send("3", action="As", signer=BOB, Target="").messages != []


# --- sending -------------------------------------------------------------------------------------------------------


def test_statement_18_the_shape_of_an_outbox_entry(process):
    answer = process.eval('Send({Target = "t", Data = "d", Zoo = "z", Action = "A", Tags = {Y = "y", B = "b"}})')
    assert answer.messages[0].tag_pairs == [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Message"),
        ("Reference", "1"),
        ("Action", "A"),
        ("Zoo", "z"),
        ("B", "b"),
        ("Y", "y"),
    ]
    assert (answer.messages[0].target, answer.messages[0].data, answer.messages[0].anchor) == ("t", "d", f"{1:032d}")
    spawned = process.eval('Spawn({Data = "d", Name = "n", Tags = {{name = "Z", value = "1"}}})').spawns[0]
    assert spawned.tag_pairs == [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Process"),
        ("From-Process", PROCESS),
        ("From-Module", MODULE),
        ("Module", MODULE),
        ("Reference", "2"),
        ("Name", "n"),
        ("Z", "1"),
    ]
    assert spawned.anchor == f"{2:032d}" and spawned.target is None
    assert process.eval('Spawn("other-module", {})').spawns[0].tags["Module"] == "other-module"
    assert process.eval("Spawn({})").spawns[0].data == "NODATA"
    assert process.ask("ao.reference") == "4"


def test_an_outbox_entry_lists_tags_in_the_order_given(process):
    answer = process.eval('Send({Target = "t", Tags = {{name = "Z", value = "1"}, {name = "A", value = "2"}}})')
    assert answer.messages[0].tag_pairs[4:] == [("Z", "1"), ("A", "2")]


def test_statement_19_a_table_as_data_is_sent_as_json(process):
    [message] = process.eval('Send({Target = "t", Data = {a = {1, "2"}}})').messages
    assert json.loads(message.data) == {"a": [1, "2"]} and message.tags["Content-Type"] == "application/json"


def test_statement_20_a_message_without_target_warns(process):
    answer = process.eval('Send({Data = "x"}) return "done"')
    assert answer.data.splitlines()[0].startswith("WARN: No target specified for message.")
    assert [m.target for m in answer.messages] == [None]


def test_statement_21_a_reply_goes_where_it_was_asked_for(process):
    process.eval('Handlers.add("Ask", function(msg) msg.reply({Target = "ignored?", Data = "x"}) end)')

    def reply_to(*tags):
        [reply] = process.send(action="Ask", signer=BOB, tags=[("Reference", "7"), *tags]).messages
        return reply.target, reply.tags.get("X-Reference"), reply.tags.get("X-Origin")

    assert reply_to() == ("ignored?", "7", None)
    assert reply_to(("Reply-To", OTHER)) == (OTHER, "7", None)
    assert reply_to(("X-Reference", "8"), ("X-Origin", "me")) == ("ignored?", "8", "me")


def test_statement_22_forwarding_leaves_the_delivery_behind(process):
    process.eval('Handlers.add("Go", function(msg) msg.forward("t", {Extra = "e"}) end)')
    tags = [("Reference", "7"), ("Pushed-For", "root"), ("X-Keep", "k")]
    message = process.message("the data", signer=BOB, tags=[("Action", "Go"), *tags])
    [sent] = process.give(message).messages
    assert sent.target == "t" and sent.data == "the data"
    assert dict(sent.tag_pairs[4:]) == {
        "Action": "Go",
        "Extra": "e",
        "Reply-To": BOB,
        "X-Keep": "k",
        "X-Origin": BOB,
        "X-Reference": "7",
    }


def test_assigning_items_to_other_processes(process):
    answer = process.eval('Assign({Processes = {"a", "b"}, Message = "m"})')
    assert answer.assignments == [{"Processes": ["a", "b"], "Message": "m"}]
    assert answer.data == "Assignment added to outbox.\nAssignment added to outbox."
    assert process.eval('Assign({Processes = "a", Message = "m"})').error.endswith("Processes should be a table")


# --- waiting -------------------------------------------------------------------------------------------------------


def reply(process, reference: str, data: str, sender: str = OTHER):
    return process.from_process(data, sender=sender, tags=[("X-Reference", reference)])


def test_statement_23_a_handler_waits_for_its_answer(process):
    process.eval(f"""Handlers.add("Start", function(msg)
        print("asking")
        local answer = Send({{Target = "{OTHER}", Action = "Question"}}).receive()
        print("got " .. answer.Data)
        msg.reply({{Data = answer.Data}})
    end)""")
    first = process.send(action="Start", signer=BOB)
    assert first.data == "asking" and [m.tags["Action"] for m in first.messages] == ["Question"]
    assert process.send("hello", signer=BOB).data.startswith("New Message")
    assert reply(process, "9", "wrong reference").data.startswith("New Message")
    second = reply(process, "1", "42")
    assert second.data == "got 42" and [(m.target, m.data) for m in second.messages] == [(BOB, "42")]
    assert reply(process, "1", "again").data.startswith("New Message")
    assert process.ask("#Handlers.list") == "7"


def test_statement_25_a_waiting_handler_survives_a_restart(module_process):
    process = module_process
    process.eval(f'local m = Send({{Target = "{OTHER}"}}).receive() print("got " .. m.Data)')
    process.host.restart()
    assert reply(process, "1", "42").data == "got 42"


def test_an_eval_may_wait(process):
    first = process.eval(f'local m = Send({{Target = "{OTHER}"}}).receive() return "the answer is " .. m.Data')
    assert first.data == "" and "test" in first.output
    assert reply(process, "1", "42").data == "the answer is 42"


def test_statement_24_an_error_after_waiting_belongs_to_the_later_message(process):
    process.eval(f"""Handlers.add("Start", function(msg)
        Stage = 1
        local answer = Send({{Target = "{OTHER}"}}).receive()
        error("bad answer")
    end)""")
    assert process.send(action="Start", signer=BOB).error is None
    assert process.ask("Stage") == "1"
    assert reply(process, "1", "42").error.endswith('[string "aos"]:4: bad answer')


def test_statement_26_two_waits_for_the_same_answer_are_both_served(process):
    process.eval(f"""
        for _, name in ipairs({{"First", "Second"}}) do
            Handlers.add(name, function() print(name .. Receive({{From = "{OTHER}"}}).Data) end)
        end""")
    process.send(action="First", signer=BOB)
    process.send(action="Second", signer=BOB)
    assert process.from_process("1").data == "Second1"
    assert process.from_process("2").data == "First2"
    assert process.from_process("3").data.startswith("New Message")


@pytest.mark.parametrize("told_by", ["the process", "the messenger"])
def test_statement_27_a_spawner_waits_for_its_child(process, told_by):
    process.eval("local m = Spawn({Name = 'child'}).receive() Child = m.Process")
    tags = [("Action", "Spawned"), ("Reference", "1"), ("Process", "child-id")]
    forged = process.from_process(" ", tags=tags)
    assert forged.data.startswith("New Message")
    sender = PROCESS if told_by == "the process" else MESSENGER
    process.send(" ", sender=sender, signer=MESSENGER, tags=tags)
    assert process.ask("Child") == "child-id"


def test_answers_may_be_given_to_a_function(process):
    process.eval(f'Send({{Target = "{OTHER}"}}).onReply(function(msg) Answer = msg.Data end)')
    process.eval("Spawn({}).after(function(msg) Child = msg.Process end)")
    reply(process, "1", "42")
    process.from_process(sender=PROCESS, tags=[("Action", "Spawned"), ("Reference", "2"), ("Process", "child-id")])
    assert process.ask("Answer .. Child") == "42child-id"


# --- clock, chance, libraries --------------------------------------------------------------------------------------


def test_statement_33_chance_is_fixed_by_the_first_message(host):
    process = Process(host, name="x")
    process.tags = [("Type", "Process"), ("Module", "WOOPAWOOPA")]
    spawn = process.message(None, signer="FOOBAR", **{"Block-Height": 999})
    # The vector takes the sum over these three texts; the id of a spawn item is the process id.
    process.environment_id = "AOS"
    environment = process.environment
    environment["Process"] |= {"Id": "AOS", "Owner": "FOOBAR"}
    host.handle(spawn | {"Id": "AOS", "Target": "AOS", "Tags": environment["Process"]["Tags"]}, environment)
    code = "return string.format('%d %d %.14f %d', math.random(10), math.random(1, 10), math.random(), math.random(5))"
    process.owner = "FOOBAR"
    question = process.message(code, tags=[("Action", "Eval")], Target="AOS")
    answer = host.handle(question, environment)
    assert answer["response"]["Output"]["data"] == "2 6 0.00063033984043 5"


def test_chance_refuses_an_empty_range(process):
    assert "max must bigger than min" in process.eval("math.random(2, 1)").error
    assert process.ask("math.random(1, 2, 3) < 1") == "true"
    before = process.eval("math.randomseed(1) return math.random(1000000)").data
    assert process.eval("math.randomseed(1) return math.random(1000000)").data != before


def test_statement_34_time_is_the_messages(process):
    message = process.message("return os.time() .. ' ' .. os.time({year = 2000})", tags=[("Action", "Eval")])
    now = message["Timestamp"]
    assert process.give(message).data == f"{now} {now}"
    assert process.ask("os.date('!%Y-%m-%d')") == "2023-11-14"


def test_statement_35_the_libraries_of_lua_are_there(process):
    assert process.ask("string.pack('<I2', 513) .. utf8.char(228) .. type(coroutine.create)") == "\x01\x02äfunction"
    if process.host.name != "lupa":  # lupa's Lua is built without it
        assert process.ask("bit32.band(6, 3)") == "2"
    for name in "json .ao .utils .handlers .process .pretty .stringify .dump .base64 .bint .chance .default".split():
        assert process.eval(f"require('{name}') return 'yes'").data == "yes", name
    assert process.ask("require('ao') == ao and require('.ao') == ao and require('json') == require('.json')") == "true"


def test_statement_37_cron_ticks_are_handled_as_the_owners(process):  # the process's side
    process.eval('Handlers.add("Cron", function(msg) Ticks = (Ticks or 0) + 1; msg.reply({Data = "tick"}) end)')
    tick = {
        "Owner": ALICE,
        "Target": PROCESS,
        "From": ALICE,
        "Tags": [{"name": "Action", "value": "Cron"}],
        "Timestamp": 1_700_000_000_000,
        "Block-Height": 5,
        "Cron": True,
        "Read-Only": False,
    }
    assert [m.data for m in process.give(tick).messages] == ["tick"] and process.ask("Ticks") == "1"


# --- text ----------------------------------------------------------------------------------------------------------


def test_print_paints_values(process):
    answer = process.eval('print(1) print("a") print(true) print(nil) print({"x"})')
    green, blue, red, reset = "\x1b[32m", "\x1b[34m", "\x1b[31m", "\x1b[0m"
    assert answer.output["data"].split("\n") == [
        f"{green}1{reset}",
        "a",
        f"{blue}true{reset}",
        f"{red}nil{reset}",
        f'{{ {green}"x"{reset} }}',
    ]


def test_the_prompt_counts_the_inbox(process):
    process.send("one", signer=BOB)
    answer = process.send("two", signer=BOB)
    assert answer.output["prompt"] == (
        "\x1b[32mtester\x1b[90m@\x1b[34maos-2.0.4\x1b[90m[Inbox:\x1b[31m3\x1b[90m]\x1b[0m> "
    )


def test_the_default_handler_shows_the_beginning(process):
    long = process.send(None, action="A" * 30, signer=BOB)
    assert long.output["data"] == (
        "\x1b[90mNew Message From \x1b[32mbob...bbb\x1b[90m: \x1b[90mAction = \x1b[34m" + "A" * 20 + "\x1b[0m"
    )
    assert process.send("äöü" * 10, signer=BOB).data == "New Message From bob...bbb: Data = äöüäöüäöüä"
    tagged = process.send('{"a":1}', signer=BOB, tags=[("Content-Type", "application/json")])
    assert tagged.data == 'New Message From bob...bbb: Data = {"a":1}'


def test_the_inbox_has_an_end(process):
    process.eval("for i = 1, 10005 do Inbox[i] = {n = i} end")
    process.send("last", signer=BOB)
    assert process.ask("#Inbox .. ' ' .. Inbox[#Inbox].Data .. ' ' .. Inbox[1].n") == "10000 last 7"


def test_code_can_be_replaced_while_a_process_runs(process):
    process.eval('Handlers.add("Keep", function() end) Send({Target = "x"})')
    process.eval('package.loaded[".handlers"] = nil; Handlers = require(".handlers")')
    process.eval('package.loaded[".ao"] = nil; ao = require(".ao")')
    assert process.ask("Handlers.list[#Handlers.list].name .. ao.reference .. ao.id") == f"Keep1{PROCESS}"
    assert process.ask("#ao.authorities") == "1" and process.eval("1+1").data == "2"


def test_the_version_is_told(process):
    assert process.eval("require('.process')._version").data == "2.0.4"
    assert process.eval("Version()").data == "version: 2.0.4"


def test_bytes_that_are_no_text_become_the_replacement_character(process):
    answer = process.eval(r'return "a\xffb \xed\xa0\x80 \xc3"')
    assert answer.output["data"].replace("�", "") == "ab  "


def test_values_that_are_no_text_reach_the_outbox_or_become_null():
    host = HOSTS[0]()  # the module's glue still encodes results by itself
    with host:
        process = Process(host)
        process.spawn()
        check_values_that_are_no_text(process)


def check_values_that_are_no_text(process):
    code = """Send({Target = "t", Amount = 123456789012345678, Half = 0.5, Yes = true, Map = {a = "b"},
        Tags = {{name = "Mixed", value = {1, a = 2}}, {name = "Function", value = print}, {name = "Nan", value = 0/0}}})
    Send({Target = "u", Data = 5})"""
    first, second = process.eval(code).messages
    assert first.tag_pairs[4:] == [
        ("Amount", 123456789012345678),
        ("Half", 0.5),
        ("Map", {"a": "b"}),
        ("Yes", True),
        ("Mixed", None),
        ("Function", None),
        ("Nan", None),
    ]
    assert second.data == 5


def test_statement_40_a_replay_gives_the_same_bytes(module_host):  # the process's side
    def life(host) -> list[str]:
        process = Process(host)
        told = [process.spawn()]
        told.append(
            process.eval('Handlers.add("Go", function(m) for k in pairs(m) do print(k) end m.reply(m.Tags) end)')
        )
        told += [process.send("x", action="Go", signer=BOB, tags=[(f"T{n}", "v") for n in range(9)]) for _ in range(3)]
        told.append(process.eval("return {math.random(), tostring(print), Handlers.list}"))
        return [json.dumps(answer.raw) for answer in told]

    with type(module_host)() as again:
        assert life(module_host) == life(again)
        assert module_host.process.state_root == again.process.state_root


def test_a_fresh_process_has_the_package_client(process):
    """Reference 1.13: the global `apm`; and the name by which the article calls it."""
    assert process.ask("require('.apm') == apm and apm == APM and type(apm.install)") == "function"
    assert process.ask("next(apm.installed)") == "nil"


def test_a_process_knows_its_registry_from_the_tag_it_was_spawned_with(host):
    process = Process(host, tags=[("Apm-Registry", OTHER)])
    process.spawn()
    assert process.ask("apm.ID") == OTHER
    asked = process.eval('apm.search("x")').messages
    assert [(each.target, each.tags["Action"]) for each in asked] == [(OTHER, "APM.Search")]

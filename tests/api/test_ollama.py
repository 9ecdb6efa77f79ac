"""The Ollama door, asked with the ollama package, and raw where its users do."""

import json

import httpx
import ollama
import pytest
from api.conftest import MODEL
from cli.conftest import puna

JOKE = [{"role": "user", "content": "Tell me a joke about cats"}]


@pytest.fixture(scope="module")
def client(door, key):
    return ollama.Client(host=door.url, headers={"Authorization": f"Bearer {key['key']}"})


def test_what_there_is_can_be_listed_and_shown_without_a_key(door):
    client = ollama.Client(host=door.url)
    (model,) = client.list().models
    assert model.model == MODEL and model.details.format == "gguf" and model.size > 0
    shown = client.show(MODEL)
    assert shown.capabilities == ["completion"] and shown.modelinfo["general.name"] == MODEL
    assert httpx.get(f"{door.url}/api/version").json()["version"]
    with pytest.raises(ollama.ResponseError, match="401|not one of this node's") as caught:
        ollama.Client(host=door.url, headers={"Authorization": "Bearer wrong"}).list()
    assert caught.value.status_code == 401


def test_a_chat_is_answered_whole_and_in_pieces_with_its_receipt(door, client):
    whole = client.chat(MODEL, JOKE, options={"num_predict": 40})
    assert whole.done and whole.done_reason == "stop" and "cat" in whole.message.content
    parts = list(client.chat(f"{MODEL}:latest", JOKE, stream=True, options={"stop": ["no such text"]}))
    assert "".join(part.message.content for part in parts) == whole.message.content and len(parts) > 2
    assert parts[-1].done and parts[-1].eval_count == whole.eval_count and parts[-1].total_duration > 0
    raw = door.post("/api/chat", {"model": MODEL, "messages": JOKE, "stream": False}, client_key(client))
    proof = raw.json()["puna"]
    assert door.receipt(proof["payment"])["text"] == whole.message.content
    assert raw.headers["X-Puna-Receipt"] == proof["receipt"]


def client_key(client) -> str:
    return client._client.headers["Authorization"].removeprefix("Bearer ")


def test_generate_wraps_a_prompt_or_takes_it_raw(door, client, key):
    wrapped = client.generate(MODEL, "Tell me a joke about cats")
    assert wrapped.response == client.chat(MODEL, JOKE).message.content
    raw = client.generate(MODEL, "Once upon a time", raw=True, options={"num_predict": 4})
    assert raw.response.startswith(" ") and raw.done_reason == "length"
    options = {"num_predict": -1, "seed": -1, "temperature": 1}
    body = {"model": MODEL, "prompt": "hi", "system": "Be Puna.", "stream": False, "options": options}
    told = door.post("/api/generate", body, key["key"])
    asked = door.receipt(told.json()["puna"]["receipt"])
    assert json.loads(asked["prompt"])[0] == {"role": "system", "content": "Be Puna."}


def test_an_empty_request_only_asks_whether_the_model_is_there(door, client, key):
    before = door.balance(key["wallet"])
    assert client.generate(MODEL).done_reason == "load" and client.chat(MODEL).done_reason == "load"
    with pytest.raises(ollama.ResponseError) as caught:
        client.generate("llama3")
    assert caught.value.status_code == 404 and MODEL in caught.value.error
    assert door.balance(key["wallet"]) == before


def test_a_tool_that_can_send_no_header_has_its_key_in_the_path(door, key):
    client = ollama.Client(host=f"{door.url}/key/{key['key']}")
    assert client.chat(MODEL, JOKE, options={"num_predict": 2}).message.content
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=f"{door.url}/key/none").chat(MODEL, JOKE)
    assert caught.value.status_code == 401
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=door.url).chat(MODEL, JOKE)
    assert caught.value.status_code == 401 and "puna key create" in caught.value.error


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": 7}, {"model": ""}, {"messages": "hi"}, {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": "hi", "images": ["AAAA"]}]}, {"stream": "yes"}, {"options": []},
        {"options": {"temperature": 9}}, {"options": {"num_predict": 0}}, {"options": {"num_predict": 600}},
        {"options": {"num_predict": "5"}}, {"options": {"top_k": 40}}, {"options": {"repeat_penalty": 1.1}},
        {"options": {"stop": [""]}}, {"options": {"seed": 2**40}}, {"options": {"top_p": "x"}}, {"format": "json"},
        {"tools": [{}]}, {"think": True},
    ],
)  # fmt: skip
def test_a_wrong_field_is_an_error_in_ollamas_shape(door, key, wrong):
    answer = door.post("/api/chat", {"model": MODEL, "messages": JOKE, "stream": False} | wrong, key["key"])
    assert answer.status_code == 400 and isinstance(answer.json()["error"], str)


def test_a_budget_that_ends_is_said_in_one_line(door):
    key = door.key(budget=12)
    answer = door.post("/api/chat", {"model": MODEL, "messages": JOKE}, key["key"])
    assert answer.status_code == 429 and "12 winston are left" in answer.json()["error"]
    assert puna("key", "revoke", key["key"], "--json", home=door.home).json()["returned_winston"] == 12

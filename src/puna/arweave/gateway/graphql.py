"""GraphQL over the weave: the schema that Arweave's clients know, with limits on what a stranger may ask.

Parsed and validated documents are kept, for clients send the same few texts again and again.
Source: protocol reference 1.8.
"""

import asyncio
from functools import lru_cache
from inspect import isawaitable
from typing import Any

import msgspec
from graphql import DocumentNode, GraphQLError, build_schema, execute, parse, specified_rules, validate
from graphql.language import FieldNode, Visitor, visit
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.arweave.gateway.library import Library
from puna.arweave.gateway.reply import bounded_body, json_of
from puna.arweave.gateway.selection import PAGE_MAX, TagFilter, Wanted, find_one, read_cursor, select
from puna.arweave.ids import is_id
from puna.arweave.weave import Weave
from puna.errors import Invalid, NodeError

BODY_MAX = 1 << 20  # ids and owners come as variables
QUERY_CHARACTERS_MAX = 32 * 1024
TOKENS_MAX = 2000
FIELDS_MAX = 400
SEARCHES_MAX = 10  # fields that search, by whatever alias
DEPTH_MAX = 16  # of fields within fields; introspection by the usual tools needs 13
VALUES_MAX = 2000  # in all lists of one search
NODES_MAX = 300  # that all searches of a request may ask for: a page of 100 costs 25 ms of everybody's time
FETCHED_MAX = 20  # missing ids that one search may have brought from elsewhere
ERRORS_MAX = 5

SCHEMA_TEXT = """
type Query {
  transaction(id: ID!): Transaction
  transactions(ids: [ID!], owners: [String!], recipients: [String!], tags: [TagFilter!], bundledIn: [ID!],
    block: BlockFilter, first: Int = 10, after: String, sort: SortOrder = HEIGHT_DESC): TransactionConnection!
  block(id: String, height: Int): Block
  blocks(ids: [ID!], height: BlockFilter, first: Int = 10, after: String, sort: SortOrder = HEIGHT_DESC):
    BlockConnection!
}
enum SortOrder { HEIGHT_ASC HEIGHT_DESC }
enum TagOperator { EQ NEQ }
input TagFilter { name: String! values: [String!]! op: TagOperator = EQ }
input BlockFilter { min: Int max: Int }
type Transaction {
  id: ID! anchor: String! signature: String! recipient: String! owner: Owner! fee: Amount! quantity: Amount!
  data: MetaData! tags: [Tag!]! block: Block parent: Parent bundledIn: Bundle
}
type Owner { address: String! key: String! }
type Amount { winston: String! ar: String! }
type MetaData { size: String! type: String }
type Tag { name: String! value: String! }
type Block { id: ID! timestamp: Int! height: Int! previous: ID! }
type Parent { id: ID! }
type Bundle { id: ID! }
type PageInfo { hasNextPage: Boolean! }
type TransactionEdge { cursor: String! node: Transaction! }
type TransactionConnection { pageInfo: PageInfo! edges: [TransactionEdge!]! }
type BlockEdge { cursor: String! node: Block! }
type BlockConnection { pageInfo: PageInfo! edges: [BlockEdge!]! }
"""
SCHEMA = build_schema(SCHEMA_TEXT)


def graphql_routes(library: Library) -> list[Route]:
    async def answer(request: Request) -> Response:
        try:
            query, variables, operation = await _asked(request)
        except Invalid as error:
            return _failure([str(error)])
        document = read_document(query)
        if not isinstance(document, DocumentNode):
            return _failure(document)
        result = execute(SCHEMA, document, _Root(library), variable_values=variables, operation_name=operation)
        if isawaitable(result):
            result = await result
        for error in result.errors or ():
            if error.original_error is not None and not isinstance(error.original_error, NodeError):
                raise error.original_error  # a fault of ours stays loud
        formatted = {"data": result.data}
        if result.errors:
            formatted["errors"] = [{"message": error.message} for error in result.errors[:ERRORS_MAX]]
        return json_of(formatted)

    return [Route("/graphql", answer, methods=["GET", "POST"])]


@lru_cache(maxsize=256)
def read_document(query: str) -> DocumentNode | list[str]:
    """The parsed and validated document, or what is wrong with it."""
    if len(query) > QUERY_CHARACTERS_MAX:
        return [f"The query is {len(query)} characters long, at most {QUERY_CHARACTERS_MAX}. Use variables."]
    try:
        document = parse(query, no_location=False, max_tokens=TOKENS_MAX)
        errors = _over_limits(document) or [error.message for error in validate(SCHEMA, document, RULES)]
    except GraphQLError as error:
        return [error.message]
    except RecursionError:
        return ["The query is nested too deep."]
    return errors[:ERRORS_MAX] or document


class _Counter(Visitor):
    """Counts before anything costly is done with a document. A fragment counts where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = self.searches = self.depth = self.deepest = 0

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.fields += 1
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        self.searches += node.name.value in ("transaction", "transactions", "blocks", "__schema", "__type")

    def leave_field(self, *_: Any) -> None:
        self.depth -= 1


def _over_limits(document: DocumentNode) -> list[str]:
    counter = _Counter()
    visit(document, counter)
    for what, count, limit in (
        ("fields", counter.fields, FIELDS_MAX),
        ("searches", counter.searches, SEARCHES_MAX),
        ("levels of fields", counter.deepest, DEPTH_MAX),
    ):
        if count > limit:
            return [f"The query has {count} {what}, at most {limit}. Ask in several queries."]
    return []


def _rules() -> list:
    try:
        from graphql.validation import MaxIntrospectionDepthRule
    except ImportError:  # older than the rule; then nobody may ask about the schema
        from graphql.validation import NoSchemaIntrospectionCustomRule as MaxIntrospectionDepthRule
    return [*specified_rules, MaxIntrospectionDepthRule]


RULES = _rules()


async def _asked(request: Request) -> tuple[str, dict[str, Any], str | None]:
    """Query text, variables and operation name of a request. Raises Invalid."""
    try:
        if request.method == "POST":
            asked = msgspec.json.decode(await bounded_body(request, BODY_MAX))
        else:
            asked = dict(request.query_params)
            asked["variables"] = msgspec.json.decode(asked.get("variables") or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Invalid("The request is not JSON.", 'Send {"query": "...", "variables": {...}}.') from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise Invalid("The request has no query.", 'Send {"query": "...", "variables": {...}}.')
    variables, operation = asked.get("variables") or {}, asked.get("operationName")
    if not isinstance(variables, dict) or not isinstance(operation, str | None):
        raise Invalid("The variables must be a JSON object.")
    return asked["query"], variables, operation


def _failure(messages: list[str]) -> Response:
    return json_of({"errors": [{"message": message} for message in messages]}, 400)


class _Root:
    """The resolvers of Query, for one request. Everything below them is an attribute or a key of the same name."""

    def __init__(self, library: Library):
        self._library = library
        self._weave = library.weave
        self._nodes = 0

    async def transaction(self, info, id: str):
        await self._library.bring(id)
        return await asyncio.to_thread(find_one, self._weave, id)

    async def transactions(self, info, **arguments):
        wanted = _wanted(arguments)
        self._count(wanted.first)
        missing = [id for id in wanted.ids if is_id(id)][:FETCHED_MAX]
        await asyncio.gather(*(self._library.bring(id) for id in missing))
        found, more = await asyncio.to_thread(select, self._weave, wanted)
        return _connection([(thing.position.cursor(), thing) for thing in found], more)

    def block(self, info, id: str | None = None, height: int | None = None):
        block = self._weave.block_of_hash(id) if id is not None else None
        if id is None:
            block = self._weave.tip if height is None else self._weave.block(height)
        return _block(block) if block else None

    def blocks(self, info, **arguments):
        self._count(_first(arguments))
        found, more = _blocks(self._weave, arguments)
        return _connection([(str(block.height), _block(block)) for block in found], more)

    def _count(self, first: int) -> None:
        self._nodes += first
        if self._nodes > NODES_MAX:
            raise Invalid(f"The request asks for over {NODES_MAX} nodes in all.", "Ask in several requests.")


def _wanted(arguments: dict[str, Any]) -> Wanted:
    """A search from its arguments. Raises Invalid."""
    lists = [tuple(arguments.get(name) or ()) for name in ("ids", "owners", "recipients", "bundledIn")]
    tags = tuple(
        TagFilter(tag["name"], tuple(tag["values"]), tag.get("op", "EQ") == "EQ") for tag in arguments.get("tags") or ()
    )
    values = sum(map(len, lists)) + sum(1 + len(tag.values) for tag in tags)
    if values > VALUES_MAX:
        raise Invalid(f"The search names {values} values, at most {VALUES_MAX}.", "Ask in several queries.")
    ids, owners, recipients, bundled_in = lists
    after = arguments.get("after")
    return Wanted(
        ids=ids,
        owners=owners,
        recipients=recipients,
        tags=tags,
        bundled_in=bundled_in,
        heights=_heights(arguments.get("block")),
        first=_first(arguments),
        after=read_cursor(after) if after else None,
        newest_first=arguments.get("sort", "HEIGHT_DESC") != "HEIGHT_ASC",
    )


def _blocks(weave: Weave, arguments: dict[str, Any]) -> tuple[list, bool]:
    first, after = _first(arguments), arguments.get("after")
    newest_first = arguments.get("sort", "HEIGHT_DESC") != "HEIGHT_ASC"
    low, high = _heights(arguments.get("height")) or (None, None)
    low, high = max(low or 0, 0), weave.tip.height if high is None else min(high, weave.tip.height)
    if after:
        if not after.isascii() or not after.isdigit() or len(after) > 18:
            raise Invalid("The argument after is not a cursor of this gateway.", "Take one from an edge.")
        low, high = (low, min(high, int(after) - 1)) if newest_first else (max(low, int(after) + 1), high)
    heights = range(low, high + 1)
    if arguments.get("ids"):
        named = (weave.block_of_hash(id) for id in arguments["ids"][:VALUES_MAX])
        heights = sorted(block.height for block in named if block and block.height in heights)
    heights = heights[::-1] if newest_first else heights
    return [weave.block(height) for height in heights[:first]], len(heights) > first


def _heights(filter: dict[str, Any] | None) -> tuple[int | None, int | None] | None:
    return (filter.get("min"), filter.get("max")) if filter else None


def _first(arguments: dict[str, Any]) -> int:
    first = arguments.get("first")
    first = 10 if first is None else first
    if first < 1:
        raise Invalid(f"The argument first is {first}, must be 1 to {PAGE_MAX}.")
    return min(first, PAGE_MAX)


def _connection(found: list[tuple[str, Any]], more: bool) -> dict[str, Any]:
    edges = [{"cursor": cursor, "node": node} for cursor, node in found]
    return {"pageInfo": {"hasNextPage": more}, "edges": edges}


def _block(block: Any) -> dict[str, Any]:
    return {
        "id": block.indep_hash,
        "height": block.height,
        "timestamp": block.timestamp,
        "previous": block.previous_block,
    }

"""The OpenAPI document, made from the same table as the routes, so that the two cannot drift apart."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of an operation; `schema` is JSON Schema."""

    name: str
    where: str
    description: str
    schema: dict[str, Any]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: what is served where. `body` and `answer` are types, `media` is the answer's."""

    method: str
    path: str
    name: str
    summary: str
    answer: Any = None
    status: int = 200
    media: str = "application/json"
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()
    token: bool = True


class ProblemBody(msgspec.Struct, frozen=True):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def openapi(operations: Sequence[Operation], *, version: str, prefix: str = "") -> dict[str, Any]:
    """An OpenAPI 3.1 document of `operations`; `prefix` is where the application is mounted."""
    kinds = [kind for one in operations for kind in (one.answer, one.body) if kind is not None] + [ProblemBody]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = list(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "controlplane admin API", "version": version},
        "servers": [{"url": prefix or "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Operation, by_kind: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    def schema(kind: Any) -> dict[str, Any]:
        return next(found for known, found in by_kind if known is kind)

    answer: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    content = {"schema": schema(one.answer)} if one.answer is not None else {"schema": {"type": "string"}}
    answer["content"] = {one.media: content}
    refusals = sorted(
        {*one.refusals, *((401,) if one.token else ()), *((400, 413, 415) if one.body is not None else ())}
    )
    problem = {"application/problem+json": {"schema": schema(ProblemBody)}}
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "responses": {
            str(one.status): answer,
            **{str(status): {"description": HTTPStatus(status).phrase, "content": problem} for status in refusals},
        },
    }
    if not one.token:
        described["security"] = []
    if one.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "description": parameter.description,
                "required": parameter.where == "path",
                "schema": parameter.schema,
            }
            for parameter in one.parameters
        ]
    if one.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema(one.body)}}}
    return described

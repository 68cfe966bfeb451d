"""LangChain's OpenAI classes against a running gateway; both generations run this file unchanged."""

from typing import Any

import openai
from cases import BASE, FORBIDDEN, INJECTION, KEYS, LONG, MODEL, case, kinds_of, main
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


def model(key: str = "assistant", **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=f"{BASE}/v1", api_key=KEYS[key], **more)


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def refusal(act: Any) -> dict[str, Any]:
    try:
        act()
    except openai.APIError as error:
        return {"kinds": kinds_of(error), "code": error.code, "status": getattr(error, "status_code", None)}
    return {"kinds": []}


@case
def invoke() -> dict[str, Any]:
    answer = model().invoke("[[say=Good morning]]")
    return {"text": answer.content, "usage": answer.usage_metadata["total_tokens"] > 0}


@case
def stream() -> dict[str, Any]:
    chunks = list(model().stream("[[say=one two three]]"))
    return {"text": "".join(chunk.content for chunk in chunks), "several": len(chunks) > 1}


@case
def stream_usage() -> dict[str, Any]:
    plain = model().invoke("[[say=one two three]]").usage_metadata["total_tokens"]
    whole = None
    for chunk in model(stream_usage=True).stream("[[say=one two three]]"):
        whole = chunk if whole is None else whole + chunk
    return {"same_as_plain": whole.usage_metadata["total_tokens"] == plain}


@case
def tools() -> dict[str, Any]:
    bound = model().bind_tools([weather])
    first = bound.invoke("[[tool=weather]]")
    call = first.tool_calls[0]
    history = [HumanMessage("[[say=done]]"), first, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
    return {"name": call["name"], "args": call["args"], "again": bound.invoke(history).content}


@case
def tools_stream() -> dict[str, Any]:
    whole = None
    for chunk in model().bind_tools([weather]).stream("[[tool=weather]]"):
        whole = chunk if whole is None else whole + chunk
    call = whole.tool_calls[0]
    return {"name": call["name"], "args": call["args"]}


@case
def responses_api() -> dict[str, Any]:
    answer = model(use_responses_api=True).invoke("[[say=Good morning]]")
    text = answer.text() if callable(answer.text) and not isinstance(answer.text, str) else answer.text
    return {"text": str(text)}


@case
def embeddings() -> dict[str, Any]:
    vectors = OpenAIEmbeddings(
        model="vectors", base_url=f"{BASE}/v1", api_key=KEYS["assistant"], check_embedding_ctx_length=False
    ).embed_documents(["one", "two"])
    return {"vectors": len(vectors), "floats": isinstance(vectors[0][0], float)}


@case
def guardrail() -> dict[str, Any]:
    return refusal(lambda: model().invoke(INJECTION))


@case
def over_budget() -> dict[str, Any]:
    return refusal(lambda: model("broke").invoke("hi"))


@case
def output_blocked_in_mid_stream() -> dict[str, Any]:
    return refusal(lambda: list(model().stream(f"[[say={LONG * 40}{FORBIDDEN}]]")))


@case
def upstream_cut() -> dict[str, Any]:
    return refusal(lambda: list(model().stream(f"[[say={LONG * 40}]] [[cut]]")))


if __name__ == "__main__":
    main()

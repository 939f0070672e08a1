"""An MCP server that keeps sessions, and remembers what was said in each; on the FastMCP of `mcp` 1, as most servers that exist are."""

import os
from weakref import WeakKeyDictionary

from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("remembers", host="0.0.0.0", port=8000)
said = WeakKeyDictionary()


@server.tool()
def remember(word: str, context: Context) -> str:
    """Remembers a word; says all of this session's."""
    words = said.setdefault(context.session, [])
    words.append(word)
    return " ".join(words)


@server.tool()
def die() -> str:
    """Ends the server in the middle of a call."""
    os._exit(3)


if __name__ == "__main__":
    server.run(transport="streamable-http")

"""An MCP server with two tools, on the `mcp` package. Deploy it with `--protocol MCP`.

It keeps no sessions of its own (`stateless_http=True`), so that any request may meet a fresh one; what it says while a tool runs goes
out as events at once.
"""

import asyncio

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("innkeep-example")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def count(to: int, context: Context) -> str:
    """Counts, a word at a time, and tells how far it is."""
    for n in range(1, to + 1):
        await context.report_progress(n, to, f"at {n}")
        await asyncio.sleep(0.1)
    return f"counted to {to}"


if __name__ == "__main__":
    server.run("streamable-http", host="0.0.0.0", port=8000, stateless_http=True)

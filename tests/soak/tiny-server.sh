#!/bin/sh
# The smallest MCP server of the 2025 era over stdio: it starts in a millisecond or two, so that thousands of starts fit
# into a test. Its tool `process` tells its process id, `exit` ends it without an answer.
while IFS= read -r line; do
  id=${line#*\"id\":}
  id=${id%%[,\}]*}
  case $line in
  *'"method":"initialize"'*)
    result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"tiny","version":"1"}}'
    ;;
  *'"name":"exit"'*) exit 3 ;;
  *'"name":"process"'*) result="{\"content\":[{\"type\":\"text\",\"text\":\"$$\"}]}" ;;
  *'"method":"tools/list"'*)
    result='{"tools":[{"name":"process","inputSchema":{"type":"object"}},{"name":"exit","inputSchema":{"type":"object"}}]}'
    ;;
  *'"id":'*)
    printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}\n' "$id"
    continue
    ;;
  *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done

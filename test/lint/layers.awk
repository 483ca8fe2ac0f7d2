# Includes point down: base <- term <- dist <- net <- node; services and daemon
# see the rest through tiebeam.h alone. Foreign headers have their homes.
BEGIN {
    n = split("base term dist net node", order, " ")
    for (i = 1; i <= n; i++) rank[order[i]] = i
    home["<ei.h>"] = "^c_src/term/(get|put)\\.c$"
    home["<uthash.h>"] = "^c_src/base/map\\.c$"
    home["<ares.h>"] = "^c_src/net/resolve\\.c$"
    home["<uv.h>"] = "^c_src/(net|node|daemon)/"
    home["<openssl/"] = "^c_src/(dist/handshake\\.c|net/tls\\.h|net/tls\\.c|net/tls_context\\.c)$"
}
FILENAME ~ /^c_src\// && /^#include/ {
    split(FILENAME, path, "/")
    layer = path[2]
    for (h in home)
        if (index($2, h) == 1 && FILENAME !~ home[h]) bad($2 " has another home")
    if ($2 !~ /^"/ || $2 == "\"tiebeam.h\"") next
    target = substr($2, 2)
    sub(/\/.*/, "", target)
    if (layer in rank) {
        if (!(target in rank) || rank[target] > rank[layer]) bad("upward include of " $2)
    } else if (target != layer && !(layer == "daemon" && target == "services"))
        bad(layer " includes " $2 " and not tiebeam.h")
}
function bad(what) { print FILENAME ":" FNR ": " what; failed = 1 }
END { exit failed }

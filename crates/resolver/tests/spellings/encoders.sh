# Encodes texts with bash's own quoting. Reads texts that end with NUL; of each it writes every spelling,
# each with a NUL behind it: printf %q, the Q expansion, a declaration, a trace, and a here-document's base64.
export LC_ALL=C.UTF-8
while IFS= read -r -d '' text; do
    printf '%q\0' "$text"
    printf '%s\0' "${text@Q}"
    declare -p text
    printf '\0'
    { set -x; true "$text"; set +x; } 2>&1
    printf '\0'
    base64 -w 20 <<< "$text"
    printf '\0'
    od -An -tx1 -v <<< "$text"
    printf '\0'
done
